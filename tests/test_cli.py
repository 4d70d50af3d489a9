"""Command lines: ranges and choices in types, presets, help, sentences for errors."""

import subprocess
import sys
from dataclasses import dataclass, field
from typing import Literal

import pytest

from experiments import cli
from experiments.cli import RunOptions, UsageError, parse
from seqgraph_jax import TrainConfig
from seqgraph_jax.training.ranges import Count, Positive, Share, bounds_of


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


@pytest.mark.parametrize("name", ["lstm_vs_gru", "gradients", "molecules", "sample"])
def test_help_is_there_before_jax_is(name):
    program = (
        f"import sys; from experiments import {name}\n"
        f"try: {name}.main(['--help'])\n"
        "except SystemExit: print('imported', 'jax' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.splitlines()[-1] == "imported False"


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
