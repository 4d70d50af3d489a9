"""Do numbers that came from somewhere else differ by more than chance?

Time: seconds; nothing is trained.

    python -m experiments.compare results.csv
    python -m experiments.compare runs/first runs/second/results.json --metric loss

A CSV file has a row for each arm and seed: columns arm, seed, and one or more of
numbers, whose names are those of the metrics; an empty cell is no value. Instead, or
beside it, results.json of this package's runs. Arms are paired by seed: what is paired
may as well be folds or patients, as long as a name means the same in every arm, and
--unit says which, for the sentences.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import tyro

import seqgraph_jax as sg
from experiments.harness import Report, Study, Trained, experiment
from experiments.harness.cli import RunOptions
from seqgraph_jax.training.ranges import Positive


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    files: tyro.conf.Positional[tuple[Path, ...]] = ()  # CSV, results.json, or folders
    metric: tuple[str, ...] = ()  # what is compared (default: all that there is)
    unit: str = "seed"  # what column seed names: seed, fold, patient, block
    equivalent_within: Positive | None = None  # do arms differ by less than this?
    run: RunOptions = field(default_factory=RunOptions)


def build(config: Config, seeds: tuple[int, ...]) -> Study:
    if not config.files:
        raise ValueError("give a CSV file, a results.json, or a run's folder")
    found, arms = sg.reports.read_results(config.files)
    known = next(iter(arms.values())).value_names
    for name in config.metric:
        if name not in known:
            raise ValueError(f"there is no metric {name!r}, only {', '.join(known)}")
    names = config.metric or known
    title = f"{' against '.join(arms)}"
    settings = {"files": [str(path) for path in config.files]}
    make = partial(report, arms, names, config)
    return Study(title, make, settings=settings, seeds=found)


def report(
    arms: Mapping[str, Any], names: tuple[str, ...], config: Config, trained: Trained
) -> Report:
    unit, within = config.unit, config.equivalent_within
    records = [next(iter(arms.values())).record(name) for name in names]
    comparisons = [sg.compare(arms, name, unit, within) for name in names]
    tables, plots = sg.reports.tables, sg.reports.plots.classes
    pictures = [
        sg.Section(
            f"Every {unit}'s {record.words_for_it}, mean and 95 % interval",
            None,
            plots.plot_results(arms, record.name),
            f"results_{k}",
        )
        for k, record in enumerate(records)
    ]
    summary = tables.summary_table(arms, records, unit=unit)
    each = tables.seed_table(arms, trained.seeds, records, unit)
    return Report(
        arms,
        [pair.verdict for compared in comparisons for pair in compared.pairs],
        [
            sg.Section("Results", summary, printed=True),
            *pictures,
            sg.Section("Comparisons", tables.comparison_table(comparisons)),
            sg.Section(f"Every {unit}", each),
        ],
        comparisons,
    )


main = experiment(
    "compare", Config(), build, doc=__doc__, seeds=lambda config: (0,), smoke={}
)

if __name__ == "__main__":
    sys.exit(main())
