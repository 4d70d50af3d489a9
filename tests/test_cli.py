"""Command lines: ranges and choices in types, presets, help, sentences for errors."""

import io
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

import experiments.__main__
import seqgraph_jax as sg
from experiments.harness import cli, study
from experiments.harness.cli import RunOptions, parse
from experiments.harness.command import UsageError, command
from experiments.harness.directory import Directory, keeping, open_directory, show
from seqgraph_jax import TrainConfig
from seqgraph_jax.training.memory import TooLargeError
from seqgraph_jax.training.ranges import Count, Positive, Share, bounds_of

from .sentences import assert_one_sentence


@dataclass(frozen=True)
class Config:
    """Flags of a test.

    More that nobody wants to read in a terminal.
    """

    size: Count = 3  # how many
    share: Share | None = None  # of them
    rates: tuple[Positive, ...] = (1.0, 2.0)  # steps
    kind: Literal["plain", "fancy"] = "plain"  # of thing
    train: TrainConfig = field(default_factory=TrainConfig)
    run: RunOptions = field(default_factory=RunOptions)


def parsed(*argv):
    def choose(first):
        return Config(size=9 if first.kind == "fancy" else 1 if first.smoke else 3)

    return parse(Config(), argv, "prog", "What?", choose, ("kind", "smoke"))


def test_flags_win_over_what_others_choose():
    # A flag that has the default's value, overwritten by the preset.
    assert parsed("--kind", "fancy").size == 9
    assert parsed("--kind=fancy", "--size", "3").size == 3
    assert parsed("--smoke").size == 1
    assert parsed("--size", "3", "--smoke").size == 3
    assert parsed("--optimizer", "sgd").train.optimizer == "sgd"
    assert isinstance(parsed(), Config)
    assert type(parsed().train) is TrainConfig


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--size", "0"], "--size must be 1 or more, not 0"),
        (["--share", "1"], "--share must be 0 to below 1, not 1.0"),
        (["--share", "nan"], "--share must be 0 to below 1, not nan"),
        (["--rates", "1", "-2"], "--rates must be above 0, not -2.0"),
        (["--num-seeds", "0"], "--num-seeds must be 1 or more, not 0"),
        (["--eval-size", "0"], "--eval-size must be 1 or more, not 0"),
        (["--kind", "odd"], "('plain', 'fancy')"),
        (["--sise", "1"], "--size"),
    ],
)
def test_what_is_out_of_range_is_one_sentence(argv, message):
    with pytest.raises(UsageError) as error:
        parsed(*argv)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_help_shows_ranges_choices_and_a_line_of_docstrings(capsys):
    with pytest.raises(SystemExit) as stopped:
        parsed("--help", "--kind", "fancy")
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for words in ("INT, 1 or more", "{plain,fancy}", "default: 9", "how many", "What?"):
        assert words in text
    for words in ("nobody wants", "Raises", ">>>"):
        assert words not in text


HELP = """
import contextlib, importlib, io, sys
for name in sys.argv[1:]:
    module = importlib.import_module(f"experiments.{name}")
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        module.main(["--help"])
    assert "Time: " in text.getvalue(), name
    for words in ("Raises", ">>>", "jax"):
        assert words not in text.getvalue().replace("seqgraph_jax", ""), (name, words)
    assert "jax" not in sys.modules, name
"""


def test_every_help_is_there_before_jax_is():
    names = [name for name, _, _ in experiments.__main__.experiments()]
    assert len(names) > 8
    command = [sys.executable, "-c", HELP, *names]
    subprocess.run(command, check=True)


def raising(error):
    def main(argv):
        raise error

    return command("experiments.x", main)


def noted(error, note):
    error.add_note(note)
    return error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UsageError("no such arm"), "error: no such arm"),
        (UsageError("a\x1b[2Jb\n"), r"a\x1b[2Jb\n"),
        (TooLargeError("this needs 9 GiB"), "error: this needs 9 GiB"),
        (MemoryError("of NumPy"), "not enough memory: take smaller batches"),
        (RuntimeError("RESOURCE_EXHAUSTED: 9 GB"), "not enough memory"),
        (OSError(28, "No space left"), "the output cannot be read or written: No"),
        (OSError(36, "Name too long", "xxx"), "xxx cannot be read or written: Name"),
        (noted(MemoryError(), "the state is kept"), "; the state is kept"),
    ],
)
def test_what_a_machine_lacks_is_one_sentence(capsys, error, message):
    assert raising(error)([]) == 2
    assert_one_sentence(capsys, message)


def test_a_fault_of_the_program_is_none(capsys):
    with pytest.raises(RuntimeError, match="INTERNAL"):
        raising(RuntimeError("INTERNAL: something else"))([])


def test_an_error_after_training_says_what_is_kept(tmp_path):
    # A traceback after hours of training, and no word of the state.
    place = Directory(tmp_path, {})
    with pytest.raises(KeyError) as found, keeping(place):
        raise KeyError
    assert not hasattr(found.value, "__notes__")  # nothing was trained
    place.arm("gru").mkdir(parents=True)
    with pytest.raises(KeyError) as found, keeping(place):
        raise KeyError
    [note] = found.value.__notes__
    assert note.startswith(f"what was trained is kept in {tmp_path}")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_characters_that_a_stream_lacks_are_escaped(monkeypatch, encoding):
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding, "strict")
    monkeypatch.setattr(sys, "stdout", stream)
    text = "λ \udce9"

    assert command("experiments.x", lambda argv: print(text))([]) == 0
    found = written.getvalue().decode(encoding)
    assert found == f"{'λ' if encoding == 'utf-8' else chr(92) + 'u03bb'} \\udce9\n"
    assert stream.errors == "strict"


FULL = """
import sys
from experiments.harness.command import command
sys.stdout = open("/dev/full", "w")
sys.exit(command("experiments.x", lambda argv: print("much"))([]))
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk")
def test_output_that_is_full_is_one_sentence():
    answer = subprocess.run(
        [sys.executable, "-c", FULL], capture_output=True, text=True
    )
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: the output cannot be")
    assert len(answer.stderr.splitlines()) == 1


@pytest.mark.skipif(os.name != "posix", reason="needs locks")
def test_a_run_directory_in_use_is_one_sentence(tmp_path, capsys):
    def main(argv):
        with open_directory("x", tmp_path / "run", argv == ["--resume"], {"a": 1}):
            assert command("experiments.x", main)(["--resume"]) == 2

    assert command("experiments.x", main)([]) == 0
    assert_one_sentence(capsys, "another process trains in")


def test_tables_show_names_as_they_are(capsys):
    table = sg.Table(["", "[red]gru", ":x:"], [["a[0]", "1\x1b[2J", "[/b]"]], "[i]")
    section = sg.Section("Results", table, printed=True)
    report = study.Report({}, ["[bold]v[/bold] :x:"], [section], closing=["\x07"])
    show(report, ["[n] \x1b"], Path("run[1]"))
    out = capsys.readouterr().out
    for words in ("[red]gru", ":x:", "a[0]", r"1\x1b[2J", "[/b]", "[i]", r"\x07"):
        assert words in out
    for words in ("Verdict: [bold]v[/bold] :x:", r"[n] \x1b", "run[1]"):
        assert words in out


def test_records_nested_in_a_configuration_are_found():
    config = Config(run=RunOptions(smoke=True))
    assert cli.nested(config, RunOptions).smoke
    changed = cli.with_values(
        config, {"size": 5, "train.updates": 20, "run.smoke": False}
    )
    assert (changed.size, changed.train.updates, changed.run.smoke) == (5, 20, False)


def test_bounds_are_found_anywhere_in_a_type():
    [bound] = bounds_of(tuple[Count, ...] | None)
    assert (bound.holds(1), bound.holds(0), bound.holds(float("nan"))) == (
        *(True, False, False),
    )
