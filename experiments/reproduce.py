"""Does a run give the same results when it is made again, here and now?

Time: that of the run.

    python -m experiments.reproduce runs/first
    python -m experiments.reproduce runs/first --out runs/again

Makes a finished run again with the flags that it had, into a directory of its own, and
says of every arm and metric whether the values are equal to the bit, equal but for
rounding, within the interval of the first run, or different, and what differs in the
surroundings: versions, kind and number of devices. The exit code is 0 if every verdict
makes the same claim, and 1 if one does not.
"""

import importlib
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

import seqgraph_jax as sg
from experiments.__main__ import experiments
from experiments.harness.cli import parse
from experiments.harness.command import (
    PROCESSES,
    UsageError,
    command,
    print_table,
    without_place,
)

MODULE = "experiments.reproduce"


@dataclass(frozen=True)
class Config:
    """Flags of this command."""

    run: tyro.conf.Positional[Path] = Path()  # directory of a finished run
    out: Path | None = None  # where it is made again (default: beside it, with -again)


def read(directory: Path) -> Any:
    """The record of a run; raises `UsageError` if it cannot be made again from it."""
    path = directory / "results.json"
    try:
        record = sg.reports.results.read_json(path)
        name, argv = record["experiment"], record["argv"]
        there = name in [known for known, _, _ in experiments()]
        if not there or not all(isinstance(word, str) for word in argv):
            raise ValueError("it names no experiment of this package")
        sg.reports.again.claims(record)
    except OSError as error:
        raise UsageError(
            f"{directory} is not a finished run: {path.name}: {error.strerror}"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} does not say which command made it, and what its verdicts claim: "
            f"{error!s:.80}"
        ) from error
    return record


def report(before: Any, after: Any) -> int:
    """Print what agrees, arm by arm; 0 if every claim is the same, else 1."""
    again = sg.reports.again
    rows = [[*key, how] for key, how in again.agreement(before, after).items()]
    print_table(sg.Table(["arm", "metric", "the values are"], rows))
    around = again.surroundings(before, after)
    if around:
        table = [[name, str(a), str(b)] for name, (a, b) in around.items()]
        print_table(sg.Table(["surroundings", "first", "again"], table))
    old, new = again.claims(before), again.claims(after)
    changed = [key for key in old | new if old.get(key) != new.get(key)]
    for metric, a, b in changed:
        print(f"Another verdict on {a} and {b}, {metric}.")
    if not changed:
        print("Every verdict makes the same claim.")
    return 1 if changed else 0


def run(argv: Sequence[str]) -> int:
    config = parse(Config(), argv, f"python -m {MODULE}", __doc__ or "")
    before = read(config.run)
    here = config.run.resolve()
    out = config.out or here.with_name(f"{here.name}-again")
    words = [*without_place(before["argv"], *PROCESSES), "--out", str(out)]
    name = f"experiments.{before['experiment']}"
    print(f"Again: {shlex.join(['python', '-m', name, *words])}", flush=True)
    code = importlib.import_module(name).main(words)
    return code or report(before, sg.reports.results.read_json(out / "results.json"))


main = command(MODULE, run)

if __name__ == "__main__":
    sys.exit(main())
