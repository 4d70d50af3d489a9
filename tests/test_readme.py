"""Every command and every example in README and docs runs as it stands there."""

import contextlib
import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest

from experiments import train_text
from experiments.harness import runner

from .commands import SMOKE, smoke_run

ROOT = Path(__file__).parents[1]
RUN = "checkpoints/my-grimm"  # the run that the pages train, then go on with
TEXT = ("train_text", "sample", "temperature", "export")  # of one model
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language):
    """Contents of the fenced blocks of a language, over all pages."""
    for page in PAGES:
        yield from re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.S)


def commands():
    """Arguments of every `python -m experiments...` in a shell block, once each."""
    found = {}
    for block in blocks("sh"):
        for line in block.splitlines():
            match = re.search(r"python3? -m (experiments\.\w+)(.*?)(&&|#|$)", line)
            if match:
                found[match[1] + match[2].rstrip()] = (match[1], shlex.split(match[2]))
    return found


def by_experiment():
    """Commands, on the worker of their experiment's tests: it has compiled them."""
    for command, (module, _) in commands().items():
        name = module.removeprefix("experiments.")
        group = "text" if name in TEXT else name
        yield pytest.param(command, marks=pytest.mark.xdist_group(group))


class Trains(Exception):
    """A command has been understood, and would train now."""


#: Commands that train and report to their ends: the first one, and one chain.
WHOLE = {"experiments.lstm_vs_gru"}


def ends(command):
    """Whether a command runs to its end."""
    module, argv = commands()[command]
    own = module.removeprefix("experiments.") in ("sample", "temperature", "export")
    return command in WHOLE or RUN in argv or own


@pytest.mark.parametrize("command", list(by_experiment()))
def test_commands_run(command, tmp_path, monkeypatch):
    # Most until they would train: what they train and report is tested with their
    # experiments.
    module, argv = commands()[command]
    monkeypatch.chdir(tmp_path)
    argv = [word for word in argv if word != "--resume"]
    if not ends(command):

        def train(*arguments):
            raise Trains

        monkeypatch.setattr(runner, "train", train)
        monkeypatch.setattr(runner, "try_settings", train)
        with contextlib.suppress(Trains):
            main = importlib.import_module(module).main
            assert main([*argv, *SMOKE, "--out", "run"]) == 0
        assert Path("run/config.json").is_file()
        return
    if RUN not in argv and not module.endswith("sample"):
        smoke_run(module.removeprefix("experiments."), *argv)
        return
    if RUN in argv and not module.endswith("train_text"):
        assert train_text.main([*SMOKE, "--out", RUN]) == 0
    assert importlib.import_module(module).main([*argv, *SMOKE]) == 0


EXAMPLES = list(blocks("python"))


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_run(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"example_{number}.py"
    path.write_text(EXAMPLES[number])
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    if hasattr(module, "main"):  # an experiment: one file that one can read
        assert len(EXAMPLES[number].splitlines()) <= 120
        argv = [*SMOKE, "--out", str(tmp_path / "run")]
        assert module.main(argv) == 0
        assert {"results.json", "report.html", "curves.png"} <= {
            file.name for file in (tmp_path / "run").iterdir()
        }


def test_the_first_two_commands_set_everything_up():
    lines = [line for block in blocks("sh") for line in block.splitlines() if line]
    for line in lines[:2]:
        assert line.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert "experiments.lstm_vs_gru" in lines[0]
    assert "pytest" in lines[1]


def test_pictures_exist():
    for page in PAGES:
        for target in re.findall(r"!\[.*?\]\((.*?)\)", page.read_text()):
            assert (page.parent / target).exists(), target
