"""Experiments as a user runs them: results, bad input, kill, interrupt, resume."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import __main__ as listing
from experiments import lstm_vs_gru
from experiments.harness.cli import parse
from experiments.harness.command import resume_command
from seqgraph_jax.training import checkpoints

from .commands import SMOKE, smoke_run
from .sentences import assert_one_sentence

#: Programs are compiled once.
pytestmark = pytest.mark.xdist_group("lstm_vs_gru")

ROOT = Path(__file__).parents[1]
#: Long enough to be stopped in the middle: 40 evaluations, a checkpoint after each. On
#: two devices, as a run is without --smoke.
LONG = [*SMOKE, "--seed-width", "1", "--updates", "400", "--no-early-stop"]
LONG += ["--checkpoint-every", "0"]


def run(*argv):
    """Exit code of the experiment in this process."""
    return lstm_vs_gru.main([str(word) for word in argv])


def start(*argv, cache=""):
    """The experiment as a process of its own, with a folder of compiled programs."""
    command = [sys.executable, "-m", "experiments.lstm_vs_gru", *map(str, argv)]
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2"}
    environment["JAX_COMPILATION_CACHE_DIR"] = cache
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )


def stop(process, out, lines, number):
    """Send a signal once metrics.jsonl has so many lines; give back stderr."""
    metrics, deadline = out / "metrics.jsonl", time.monotonic() + 120
    while not metrics.exists() or len(metrics.read_bytes().splitlines()) < lines:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    return process.communicate(timeout=120)[1]


def final_arrays(out):
    """All arrays of the last checkpoints but the times, as bytes."""
    return {
        (arm.name, name): array.tobytes()
        for arm in (out / "state").iterdir()
        for name, array in checkpoints.load(arm).arrays.items()
        if not name.startswith("seconds")
    }


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    assert run(*LONG, "--out", out) == 0
    return out


@pytest.mark.smoke
def test_smoke_run_writes_what_it_promises():
    out, printed = smoke_run("lstm_vs_gru")
    assert "Verdict: " in printed
    assert f"Report: {out / 'report.html'}" in printed
    assert {path.name for path in out.iterdir()} == {
        *("config.json", "metrics.jsonl", "results.json", "report.html"),
        *("curves.png", "curves.svg", "state"),
        *("converged.png", "converged.svg"),
    }
    record = json.loads((out / "results.json").read_text())
    assert list(record["arms"]) == ["lstm", "gru"]
    assert record["seeds"] == [0, 500]
    assert set(record["timing"]) == {"setup_s", "compile_s", "train_s", "total_s"}
    assert {"accuracy_on_ones", "accuracy_on_zeros"} <= set(
        record["arms"]["gru"]["metrics"]
    )
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 2 * 2 * 2


@pytest.mark.parametrize("task", ["random-combinations", "palindrome"])
def test_other_tasks_and_the_other_cells(tmp_path, task):
    # Those that no command of README names.
    cells = ["gru-reset-after", "peephole-diagonal"]
    if task == "palindrome":
        cells = ["rnn", "bilstm"]
    out = tmp_path / "run"
    argv = [*SMOKE, "--task", task, "--length", "4", "--cells", *cells]
    assert run(*argv, "--num-seeds", "3", "--seed-width", "2", "--out", out) == 0
    record = json.loads((out / "results.json").read_text())
    assert list(record["arms"]) == cells
    assert record["seeds"] == [0, 500, 1000]
    assert record["environment"]["seed_width"] == 2
    pairs = len(cells) * (len(cells) - 1) // 2
    assert len(record["comparisons"]) == 2 * pairs
    assert "accuracy_on_fresh" in record["arms"][cells[0]]["metrics"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--hiden", "3"], "--hidden"),
        (["--hidden", "x"], "'x'"),
        (["--hidden"], "--hidden"),
        (["extra"], "extra"),
        (["--hidden", "0"], "--hidden must be 1 or more, not 0"),
        (["--embedding", "-1"], "--embedding must be 1 or more, not -1"),
        (["--batch-size", "0"], "--batch-size must be 1 or more, not 0"),
        (["--updates", "-10"], "--updates must be 1 or more, not -10"),
        (["--updates", "15"], "multiple of eval_every"),
        (["--learning-rate", "-1"], "--learning-rate must be above 0"),
        (["--max-norm", "0"], "--max-norm must be above 0"),
        (["--task", "sorting"], "('baum-sweet', 'random-combinations', 'palindrome')"),
        (["--preset", "slow"], "('quick', 'reference')"),
        (["--length", "1"], "choose 2 to 9"),
        (["--cells", "lstm", "grue"], "unknown cell 'grue': choose from rnn, lstm"),
        (["--cells", "lstm"], "two or more different cells"),
        (["--cells", "lstm", "lstm"], "two or more different cells"),
        (["--seeds", "1", "2", "1"], "seed 1 is given more than once"),
        (["--seeds", "0", "-5"], "seed -5 is outside"),
        (["--num-seeds", "0"], "--num-seeds must be 1 or more, not 0"),
        (["--seeds", "1", "--num-seeds", "2"], "cannot be given together"),
        (["--seed-width", "0"], "--seed-width must be auto or 1 or more, not 0"),
        (["--seed-width", "many"], "--seed-width must be auto"),
        (["--checkpoint-every", "-1"], "--checkpoint-every"),
        (["--metric", "speed"], "metric 'speed' is unknown: the task declares"),
    ],
)
def test_bad_input_ends_with_one_sentence(tmp_path, capsys, argv, message):
    out = tmp_path / "run"
    assert run(*SMOKE, "--out", out, *argv) == 2
    assert_one_sentence(capsys, message)
    assert not out.exists()


def test_help_shows_every_flag_with_its_default(capsys):
    with pytest.raises(SystemExit) as stopped:
        run("--help")
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    flags = ["task", "cells", "length", "hidden", "batch-size", "learning-rate"]
    flags += [
        "updates",
        "max-norm",
        "seeds",
        "num-seeds",
        "seed-width",
        "out",
        "resume",
    ]
    flags += ["smoke", "preset", "early-stop", "compilation-cache", "eval-every"]
    for flag in flags:
        assert f"--{flag}" in text
    assert "default: 32" in text


def test_a_directory_that_holds_something_is_left_alone(
    tmp_path, capsys, uninterrupted
):
    before = (uninterrupted / "results.json").read_bytes()
    assert run(*SMOKE, "--out", uninterrupted) == 2
    assert "is not empty; add --resume" in capsys.readouterr().err
    assert (uninterrupted / "results.json").read_bytes() == before
    (tmp_path / "notes.txt").write_text("mine")
    assert run(*SMOKE, "--out", tmp_path) == 2
    assert run(*SMOKE, "--out", tmp_path / "notes.txt") == 2
    assert run(*SMOKE, "--out", tmp_path, "--resume") == 2
    assert "holds no run to resume" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_place_that_cannot_be_written(capsys):
    assert run(*SMOKE, "--out", "/dev/null/run") == 2
    assert capsys.readouterr().err.startswith("error: cannot write to /dev/null/run: ")


def test_resume_without_a_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*SMOKE, "--resume") == 2
    assert "there is no unfinished run" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, uninterrupted):
    out = tmp_path / "run"
    process = start(*LONG, "--out", out)
    stop(process, out, random.randint(2, 120), signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (out / "results.json").exists()
    assert run(*LONG, "--out", out, "--resume") == 0
    for file in ("metrics.jsonl", "config.json"):
        assert (out / file).read_bytes() == (uninterrupted / file).read_bytes()
    assert final_arrays(out) == final_arrays(uninterrupted)
    ours, theirs = (
        json.loads((path / "results.json").read_text()) for path in (out, uninterrupted)
    )
    assert ours["comparisons"] == theirs["comparisons"]


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_saves_and_says_how_to_go_on(tmp_path, uninterrupted, number):
    out = tmp_path / "a run"
    # Without periodic checkpoints: what is there afterwards was saved on the signal.
    argv = [*LONG[:-1], "1000", "--out", out]
    process = start(*argv, cache=jax.config.jax_compilation_cache_dir)
    errors = stop(process, out, 9, number)
    assert process.returncode == 128 + number
    assert "interrupted; the state is saved" in errors
    command = errors.splitlines()[-1]
    assert f"--checkpoint-every 1000 --out '{out}' --resume" in command
    assert checkpoints.steps(out / "state/lstm")
    assert run(*argv, "--resume") == 0
    assert final_arrays(out) == final_arrays(uninterrupted)


def test_resuming_with_other_settings_names_the_difference(capsys, uninterrupted):
    argv = [*LONG, "--out", uninterrupted, "--resume"]
    assert run(*argv, "--hidden", "9") == 2
    assert "was made with hidden = 8, not 9" in capsys.readouterr().err
    assert run(*argv, "--seeds", "0", "1") == 2
    assert "was made with seeds = [0, 500], not [0, 1]" in capsys.readouterr().err


def test_resuming_a_finished_run_reports_again(uninterrupted, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(uninterrupted, out)
    (out / "report.html").unlink()
    assert run(*LONG, "--out", out, "--resume") == 0
    assert (out / "report.html").exists()
    assert (out / "metrics.jsonl").read_bytes() == (
        uninterrupted / "metrics.jsonl"
    ).read_bytes()


# Orbax leaves a coroutine behind when it fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_checkpoint_is_named(tmp_path, capsys, uninterrupted):
    out = tmp_path / "run"
    shutil.copytree(uninterrupted, out)
    newest = out / "state/gru/400"
    for path in newest.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert run(*LONG, "--out", out, "--resume") == 2
    message = capsys.readouterr().err
    assert f"checkpoint {newest} is damaged" in message
    shutil.rmtree(newest)  # the one before it is there, and gives the same end
    assert run(*LONG, "--out", out, "--resume") == 0
    assert final_arrays(out) == final_arrays(uninterrupted)


def test_a_checkpoint_of_another_model_is_refused(tmp_path, capsys, uninterrupted):
    out = tmp_path / "run"
    assert run(*SMOKE, "--hidden", "9", "--out", out) == 0
    shutil.rmtree(out / "state")
    shutil.copytree(uninterrupted / "state", out / "state")
    assert run(*SMOKE, "--hidden", "9", "--out", out, "--resume") == 2
    assert "is a checkpoint of another model" in capsys.readouterr().err


LIMITED = """
import resource, sys
from experiments import lstm_vs_gru
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
sys.exit(lstm_vs_gru.main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs limits on file sizes")
def test_a_full_disk_ends_with_one_sentence(tmp_path):
    answer = subprocess.run(
        [sys.executable, "-c", LIMITED, *LONG, "--out", str(tmp_path / "run")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 2
    errors = [line for line in answer.stderr.splitlines() if "error: " in line]
    assert len(errors) == 1
    assert errors[0].startswith(f"error: cannot write to {tmp_path / 'run'}: ")
    assert "Traceback" not in answer.stderr


def configure(argv):
    """The configuration for a command line."""
    default, choices = lstm_vs_gru.PRESETS["quick", "baum-sweet"], ("preset", "task")
    return parse(default, argv, "x", "", lstm_vs_gru.with_preset, choices)


def test_reference_preset_has_the_reference_s_settings():
    config = configure(["--preset", "reference"])
    train = config.train
    assert (config.length, config.hidden, config.forget_bias) == (6, 256, 0.0)
    assert (train.learning_rate, train.updates, train.batch_size) == (1e-4, 3000, 256)
    assert (train.max_norm, train.eval_every) == (10.0, 10)
    assert lstm_vs_gru.SEEDS["reference"] == (0, 500, 1000)
    combinations = configure(["--preset=reference", "--task", "random-combinations"])
    train = combinations.train
    assert (combinations.length, combinations.hidden) == (5, 128)
    assert (train.learning_rate, train.updates, train.batch_size) == (1e-3, 2000, 128)
    palindrome = configure(["--preset", "reference", "--task=palindrome"])
    assert (palindrome.length, palindrome.train.learning_rate) == (10, 1e-4)


def test_flags_win_over_the_preset():
    argv = ["--preset", "reference", "--hidden", "12", "--updates", "50"]
    config = configure(argv)
    assert (config.hidden, config.train.updates, config.train.batch_size) == (
        12,
        50,
        256,
    )


def test_resume_command_keeps_the_flags_and_quotes_the_path():
    argv = ["--hidden", "8", "--out=old", "--resume", "--smoke", "--out", "older"]
    command = resume_command("experiments.x", argv, Path("a b"))
    assert command.partition(" ")[2] == (
        "-m experiments.x --hidden 8 --smoke --out 'a b' --resume"
    )


@pytest.mark.smoke
def test_the_list_names_every_experiment():
    found = listing.experiments()
    assert "lstm_vs_gru" in [name for name, _, _ in found]
    for name, question, duration in found:
        assert question.endswith("?"), name
        assert duration, name
        assert (ROOT / "experiments" / f"{name}.py").exists()


def test_metrics_files_hold_no_time(uninterrupted):
    rows = (uninterrupted / "metrics.jsonl").read_text().splitlines()
    assert set(json.loads(rows[0])) == {
        *("arm", "seed", "update"),
        *("loss", "accuracy", "train_loss", "train_accuracy"),
    }
    assert np.isfinite(json.loads(rows[-1])["loss"])
