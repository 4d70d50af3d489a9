"""Runs of a script that uses the library alone: killed, interrupted, gone on with."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import jax
import numpy as np
import pytest

import seqgraph_jax as sg
from seqgraph_jax.training import checkpoints, setup
from seqgraph_jax.training.checkpoints import CheckpointError

from .test_training import CONFIG, MODEL, TASK, assert_same_bits

#: A study as somebody would write it; it ends with the bits of its parameters.
STUDY = """
import hashlib, sys
import jax
import seqgraph_jax as sg

task = sg.tasks.RandomCombinations(size=4)
model = sg.SequenceClassifier("gru", features=6, num_symbols=4, num_classes=4)
config = sg.TrainConfig(updates=600, eval_every=20, batch_size=8, eval_size=16)
run = sg.train_seeds(
    model, task, config, range(3), directory=sys.argv[1], checkpoint_every=0
)
digest = hashlib.sha256()
for leaf in jax.tree.leaves((run.state, run.metrics)):
    digest.update(leaf.tobytes())
print(digest.hexdigest())
"""


def start(folder):
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2"}
    cache = jax.config.jax_compilation_cache_dir
    environment["JAX_COMPILATION_CACHE_DIR"] = cache
    return subprocess.Popen(
        [sys.executable, "-c", STUDY, str(folder)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stopped(folder, number):
    """A study that got a signal after a few checkpoints; the process."""
    there = max(checkpoints.steps(folder), default=0)
    process, deadline = start(folder), time.monotonic() + 120
    while max(checkpoints.steps(folder), default=0) < there + 60:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    process.errors = process.communicate(timeout=120)[1]
    assert max(checkpoints.steps(folder)) < 600
    return process


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_study_of_ten_lines_is_killed_interrupted_and_ends_with_the_same_bits(
    tmp_path,
):
    whole = start(tmp_path / "whole")
    expected, errors = whole.communicate(timeout=240)
    assert whole.returncode == 0, errors
    assert errors == ""  # no bar where the output goes to a file
    killed = stopped(tmp_path / "run", signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    interrupted = stopped(tmp_path / "run", signal.SIGINT)
    assert interrupted.returncode != 0
    assert "saved in" in interrupted.errors
    resumed = start(tmp_path / "run")
    assert resumed.communicate(timeout=240)[0] == expected


def test_a_directory_of_another_run_is_refused(tmp_path):
    # Another model's, another task's or other seeds' states gone on with.
    config = replace(CONFIG, updates=10)
    sg.train_seeds(MODEL, TASK, config, [0, 1], directory=tmp_path)
    again = sg.train_seeds(MODEL, TASK, config, [0, 1], directory=tmp_path)
    assert again.finished
    faster = replace(config, learning_rate=0.5)
    wider = sg.SequenceClassifier("gru", 7, num_symbols=4, num_classes=4)
    other = sg.tasks.RandomCombinations(size=4)
    for arguments, message in (
        ((MODEL, TASK, config, [0, 2]), r"made with seeds = \[0, 1\], not \[0, 2\]"),
        ((MODEL, TASK, faster, [0, 1]), r"made with learning_rate = 0\.01, not 0\.5"),
        ((wider, TASK, config, [0, 1]), "of another model"),
        ((MODEL, other, config, [0, 1]), "was made with task = "),
    ):
        with pytest.raises(CheckpointError, match=message):
            sg.train_seeds(*arguments, directory=tmp_path)


def test_a_run_that_was_saved_is_read_whole(tmp_path):
    parts = sg.Parts("fold", (0, 1))
    run = sg.train_seeds(MODEL, TASK, CONFIG, [3, 1], parts=parts, directory=tmp_path)
    again = sg.train_seeds(MODEL, TASK, CONFIG, [3, 1], parts=parts, directory=tmp_path)
    assert_same_bits(again.state, run.state)
    assert_same_bits(again.metrics, run.metrics)
    np.testing.assert_array_equal(again.best, run.best)
    np.testing.assert_array_equal(again.last, run.last)
    assert again.parts == run.parts
    assert (again.train_s, again.compile_s) == (run.train_s, run.compile_s)


def test_what_cannot_be_saved_is_not_trained(tmp_path, monkeypatch):
    # A whole training that ends with its state in a directory that is none.
    monkeypatch.setattr(sg.training.saving, "prepare", None)
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(OSError, match="file"):
        sg.train_seeds(MODEL, TASK, CONFIG, [0], directory=tmp_path / "file" / "run")
    free = checkpoints.shutil.disk_usage(tmp_path)._replace(free=2**20 + 100)
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda directory: free)
    with pytest.raises(OSError, match="No space left"):
        sg.train_seeds(MODEL, TASK, CONFIG, [0], directory=tmp_path / "run")


@pytest.mark.skipif(os.name != "posix", reason="needs locks")
def test_a_directory_in_use_is_refused(tmp_path):
    with (
        checkpoints.locked(tmp_path),
        pytest.raises(CheckpointError, match="another process trains in"),
    ):
        sg.train_seeds(MODEL, TASK, CONFIG, [0], directory=tmp_path)


def test_checkpoints_at_chosen_steps_stay(tmp_path):
    sg.train_seeds(
        MODEL,
        TASK,
        CONFIG,
        [0],
        directory=tmp_path,
        checkpoint_every=0,
        keep_steps=[10],
    )
    assert checkpoints.steps(tmp_path) == [10, 30, 40]


SETTINGS = """
import sys, warnings
warnings.simplefilter("error" if "quiet" in sys.argv else "always")
import jax
import seqgraph_jax as sg
if "early" in sys.argv:
    jax.numpy.zeros(1)
if "leave" in sys.argv:
    sg.set_up(cores=False, cache=False)
task = sg.tasks.RandomCombinations(size=3)
model = sg.SequenceClassifier("rnn", features=2, num_symbols=3, num_classes=3)
config = sg.TrainConfig(updates=1, eval_every=1, batch_size=2, eval_size=2)
for _ in range(2):
    sg.train_seeds(model, task, config, [0])
print(jax.device_count(), jax.config.jax_compilation_cache_dir)
"""


def settings(*argv, **variables):
    """What a script that trains finds set, and its standard error."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    answer = subprocess.run(
        [sys.executable, "-c", SETTINGS, *argv],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.split(), answer.stderr


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="counts cores")
def test_the_first_training_serves_all_cores_and_keeps_programs(tmp_path):
    cores = len(os.sched_getaffinity(0))
    (found, cache), _ = settings("quiet", XDG_CACHE_HOME=str(tmp_path))
    assert int(found) == cores
    assert cache == str(tmp_path / "seqgraph_jax/xla")
    assert any((tmp_path / "seqgraph_jax/xla").iterdir())
    # A way out, and settings of JAX's own, which stay.
    assert settings("leave")[0] == ["1", "None"]
    assert settings("quiet", JAX_NUM_CPU_DEVICES="3")[0][0] == "3"


def test_a_platform_that_is_not_there_is_one_sentence(monkeypatch):
    # A traceback of JAX, which of a missing plug-in says nothing at all.
    def devices():
        raise AssertionError

    given = {"jax_platforms": "tpu", "jax_num_cpu_devices": 1}
    monkeypatch.setattr(setup, "_called", [])
    monkeypatch.setattr(setup, "_setting", given.get)
    monkeypatch.setattr(setup.jax, "devices", devices)
    for _ in range(2):
        with pytest.raises(ValueError, match="'tpu': name another one, such as cpu"):
            sg.train_seeds(MODEL, TASK, CONFIG, [0])


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="counts cores")
def test_what_could_not_be_set_is_said_once(tmp_path):
    if len(os.sched_getaffinity(0)) == 1:
        pytest.skip("one core is one device")
    (found, _), errors = settings("early", XDG_CACHE_HOME=str(tmp_path))
    assert found == "1"
    assert errors.count("JAX had started") == 1
