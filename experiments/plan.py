"""How many seeds would find a difference of a given size?

Time: seconds; nothing is trained.

    python -m experiments.plan runs/first --difference 10
    python -m experiments.plan results.csv --difference 0.5 --metric error --power 0.9

From the paired differences of a pilot, a run or a table as for experiments.compare,
experiments of 6 to 200 seeds are simulated: their differences are drawn from those of
the pilot, around the difference that is asked for, and each is judged by the package's
own test. The band says what another pilot of as many seeds could have answered. The
unit is that of results.json: updates as they are, an accuracy as a share.
"""

import itertools
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tyro

import seqgraph_jax as sg
from experiments.harness import Report, Study, Trained, experiment
from experiments.harness.cli import RunOptions
from seqgraph_jax.training.metrics import counted, number
from seqgraph_jax.training.ranges import Share


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    pilot: tyro.conf.Positional[Path] = Path()  # a run's folder, results.json, or CSV
    difference: float = 0.0  # between two arms, in the metric's own unit
    metric: str = ""  # of the pilot (default: the first)
    power: Share = 0.8  # share of experiments that should find it
    unit: str = "seed"  # what the pilot's pairs are: seeds, patients
    run: RunOptions = field(default_factory=RunOptions)


def build(config: Config, seeds: tuple[int, ...]) -> Study:
    found, arms = sg.reports.read_results([config.pilot])
    known = next(iter(arms.values())).value_names
    metric = config.metric or known[0]
    if metric not in known:
        raise ValueError(f"there is no metric {metric!r}, only {', '.join(known)}")
    plans = {}
    for a, b in itertools.combinations(arms, 2):
        differences = arms[a].values(metric) - arms[b].values(metric)
        exist = differences[np.isfinite(differences)]
        plans[f"{a} and {b}"] = sg.reports.power.plan(exist, config.difference)
    return Study(
        f"Seeds for a difference of {config.difference:g} in {metric}",
        partial(report, plans, metric, config),
        settings={"pilot": str(config.pilot)},
        seeds=found,
    )


def report(
    plans: Mapping[str, Any], metric: str, config: Config, trained: Trained
) -> Report:
    sizes = next(iter(plans.values())).sizes
    rows = [
        [f"{size}"]
        + [
            f"{100 * p.shares[k]:.0f} ({100 * p.low[k]:.0f} to {100 * p.high[k]:.0f})"
            for p in plans.values()
        ]
        for k, size in enumerate(sizes)
    ]
    caption = (
        "Experiments in 100 that find the difference, with p < 0.05, and a 95 % range "
        f"over pilots of {counted(len(trained.seeds), config.unit)} that could have "
        "been in place of this one."
    )
    table = sg.Table([f"{config.unit}s", *plans], rows, caption)
    figure = sg.reports.plots.power.plot_power(plans, config.power, config.unit)
    said = [sentence(name, p, metric, config) for name, p in plans.items()]
    sections = [
        sg.Section(f"{config.unit}s".capitalize(), table, printed=True),
        sg.Section("Power", None, figure, "power"),
    ]
    record = {
        name: {
            "difference": p.difference,
            "sizes": list(p.sizes),
            "shares": p.shares.tolist(),
            "low": p.low.tolist(),
            "high": p.high.tolist(),
            "needed": p.needed(config.power)[0],
        }
        for name, p in plans.items()
    }
    return Report({}, said, sections, extra={"plans": record})


def sentence(name: str, plan: Any, metric: str, config: Config) -> str:
    """How many pairs are needed, and how sure that is."""
    needed, fewest, most = plan.needed(config.power)
    size = f"a difference of {number(abs(plan.difference))} in {metric}"
    often = f"in {number(10 * config.power)} of 10 such experiments"
    if needed is None:
        few = f"{plan.sizes[-1]} {config.unit}s are too few"
        return f"{name}: {few} to find {size} {often}."
    least = f"{fewest}" if fewest is not None else f"{needed}"
    greatest = f"{most}" if most is not None else f"more than {plan.sizes[-1]}"
    return (
        f"{name}: {needed} {config.unit}s find {size} {often}; pilots like this one "
        f"say {least} to {greatest}."
    )


main = experiment(
    "plan", Config(), build, doc=__doc__, seeds=lambda config: (0,), smoke={}
)

if __name__ == "__main__":
    sys.exit(main())
