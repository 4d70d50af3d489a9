"""What settings reach: which are chosen, how flat that choice is, what tuning brings.

Settings are chosen on seeds of their own, by what training itself judges by, never by a
test set; what is chosen is judged on other seeds. Numbers in, numbers and words out.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from seqgraph_jax.reports import paired, results, statistics
from seqgraph_jax.reports.censoring import restrict, times_to_converge
from seqgraph_jax.reports.intervals import ALPHA
from seqgraph_jax.reports.tables import Table
from seqgraph_jax.training.metrics import UPDATES_TO_CONVERGE, Metric, counted
from seqgraph_jax.training.runs import Run
from seqgraph_jax.training.sweeps import Point, Sweep

RULE = (
    "Chosen is the setting with the fewest seeds that diverged, of these the one with "
    "the best mean, of equals the first; a seed that diverged counts as the worst of "
    "all values."
)


@dataclass(frozen=True)
class Tuned:
    """What A arms reached at G points with S tuning seeds; `tune` makes it.

    ``values[arm]`` is ``[G, S]``; where ``missing[arm]`` a seed diverged, and its value
    is the worst of all arms'. ``idle`` are the settings that change nothing in an arm,
    ``distinct`` the points that differ in others.
    """

    metric: Metric
    points: tuple[Point, ...]
    seeds: tuple[int, ...]
    values: Mapping[str, np.ndarray]
    missing: Mapping[str, np.ndarray]
    idle: Mapping[str, tuple[str, ...]]
    distinct: Mapping[str, tuple[int, ...]]

    def order(self, arm: str) -> np.ndarray:
        """Points, the best first, ``[G]``: see `RULE`."""
        means = -self.metric.sign * self.values[arm].mean(1)
        return np.lexsort((means, self.missing[arm].sum(1)))  # stable

    def chosen(self, arm: str) -> int:
        """The best point."""
        return int(self.order(arm)[0])

    def expected(self, arm: str) -> np.ndarray:
        """What each seed is expected to reach after n trials, ``[G, S]``, n = 1 to G.

            E(n) = sum over i of C(G - i, n - 1) / C(G, n) v_(i)

        where v_(i) is the value at the i-th best point: of n of the G points, drawn
        without putting back, the best is the i-th with this chance. After G trials it
        is the chosen point's.

        Source: Dodge et al., Show your work, 2019, section 3, where points are drawn
        with putting back; without it Tang et al., Showing your work doesn't always
        work, 2020, section 4.
        """
        return chances(len(self.points)) @ self.values[arm][self.order(arm)]

    def words(self, arm: str, point: int) -> str:
        """Settings of a point, without those that change nothing in the arm."""
        return point_words(self.points[point], self.idle[arm])

    def others(self, arm: str) -> list[int]:
        """Points that differ from the chosen one, the best first."""
        order = [p for p in self.order(arm) if p in self.distinct[arm]]
        return order[1:]

    def told_apart(self, arm: str) -> list[bool]:
        """Which of `others` the tuning seeds tell from the chosen one, each alone."""
        best = self.values[arm][self.chosen(arm)]
        found = []
        for p in self.others(arm):
            two = {"chosen": best, "other": self.values[arm][p]}
            found.append(paired.compare(two, self.metric)[0].p_value < ALPHA)
        return found


def chances(num_points: int) -> np.ndarray:
    """Chance that the best of n drawn points is the i-th best of all, ``[G, G]``.

    >>> chances(3).round(2).tolist()
    [[0.33, 0.33, 0.33], [0.67, 0.33, 0.0], [1.0, 0.0, 0.0]]
    """
    sizes = range(1, num_points + 1)
    return np.array(
        [
            [math.comb(num_points - i, n - 1) / math.comb(num_points, n) for i in sizes]
            for n in sizes
        ]
    )


def point_words(point: Point, without: Sequence[str] = ()) -> str:
    """A point of a grid as text.

    >>> point_words({"learning_rate": 0.003, "optimizer": "sgd"})
    'learning_rate 0.003, optimizer sgd'
    """
    said = [
        f"{name} {value_words([value])}"
        for name, value in point.items()
        if name not in without
    ]
    return ", ".join(said) or "its own settings"


def value_words(values: Sequence[Any]) -> str:
    """Values of settings as text.

    >>> value_words([0.003, 1.0, 16, "sgd"])
    '0.003, 1, 16, sgd'
    """
    return ", ".join(f"{v:g}" if isinstance(v, float) else f"{v}" for v in values)


def tune(sweeps: Mapping[str, Sweep]) -> Tuned:
    """What sweeps over the same points and seeds reached, arm by arm.

    Where a threshold asks for convergence, a value is the updates until then, no more
    than every seed of every arm was watched for (`censoring.restrict`); else the best
    value of what runs are judged by. Of parts, such as folds, it is their mean.

    Raises `ValueError` if points or seeds differ, and if no seed has a value.

    >>> import seqgraph_jax as sg
    >>> task = sg.tasks.RandomCombinations(size=4)
    >>> config = sg.TrainConfig(updates=20, eval_every=10, batch_size=8, eval_size=16)
    >>> model = sg.SequenceClassifier("gru", features=8, num_symbols=4, num_classes=4)
    >>> grid = {"learning_rate": (1e-3, 1e-2)}
    >>> tuned = tune({"gru": sg.sweep(model, task, config, [0, 1, 2], grid)})
    >>> tuned.values["gru"].shape, tuned.expected("gru").shape
    ((2, 3), (2, 3))
    """
    first, *others = sweeps.values()
    seeds = first.runs[0].seeds
    if any(s.points != first.points or s.runs[0].seeds != seeds for s in others):
        raise ValueError("sweeps are compared if they have the same points and seeds")
    runs = [run for one in sweeps.values() for run in one.runs]
    metric, rows = _values(runs)
    means = [run.by_seed(row).mean(1) for run, row in zip(runs, rows, strict=True)]
    broken = [run.by_seed(run.diverged).any(1) for run in runs]
    shape = (len(sweeps), len(first.points), len(seeds))
    values = np.array(means, float).reshape(shape)
    missing = np.array(broken).reshape(shape) | ~np.isfinite(values)
    if missing.all():
        raise ValueError(
            "nothing can be chosen: every seed diverged with every setting"
        )
    worst = metric.sign * np.min(metric.sign * values[~missing])
    values = np.where(missing, worst, values)
    return Tuned(
        metric,
        first.points,
        seeds,
        dict(zip(sweeps, values, strict=True)),
        dict(zip(sweeps, missing, strict=True)),
        {arm: one.idle for arm, one in sweeps.items()},
        {arm: one.distinct for arm, one in sweeps.items()},
    )


def _values(runs: Sequence[Run]) -> tuple[Metric, Sequence[np.ndarray]]:
    """What settings are chosen by, and its values in each run, ``[S P]``."""
    if runs[0].config.threshold is not None:
        found, metric = restrict(*map(times_to_converge, runs)), UPDATES_TO_CONVERGE
        if found.late.any():
            label = f"{metric.label}, counted up to {found.horizon:g}"
            metric = replace(metric, label=label)
        return metric, list(found.common)
    record = runs[0].record(runs[0].judged_by)
    metric = replace(record, label=f"best {record.words_for_it}", words=None)
    return metric, [run.at(run.judged_by, run.best) for run in runs]


def chosen_table(tuned: Tuned) -> Table:
    """A row per arm: the chosen setting, what it reached, how far others are behind."""
    rows = []
    for arm in tuned.values:
        mean, interval = _spread(tuned, arm, tuned.chosen(arm))
        others, apart = tuned.others(arm), tuned.told_apart(arm)
        second = [tuned.words(arm, others[0]), _behind(tuned, arm, others[0])]
        alike = f"{len(apart) - sum(apart)} of {len(apart)}"
        here = tuned.words(arm, tuned.chosen(arm))
        rows.append([arm, here, mean, interval, *second, alike])
    header = ["arm", "chosen", tuned.metric.axis, "95 % interval"]
    header += ["second", "behind by", "others not told from it"]
    caption = (
        f"Of {counted(len(tuned.points), 'setting')}, on "
        f"{counted(len(tuned.seeds), 'tuning seed')}. {RULE} Others are told from it "
        "where a paired sign-flip test has p < 0.05, each pair alone."
    )
    return Table(header, rows, caption, prose=True)


def grid_table(tuned: Tuned) -> Table:
    """A row per arm and setting, the best first."""
    rows = []
    for arm in tuned.values:
        apart = {tuned.chosen(arm): False}
        apart |= dict(zip(tuned.others(arm), tuned.told_apart(arm), strict=True))
        for p, told in apart.items():
            cells = [arm, tuned.words(arm, p), *_spread(tuned, arm, p)]
            diverged = int(tuned.missing[arm][p].sum())
            rows.append([*cells, f"{diverged}", "yes" if told else "no"])
    header = ["arm", "setting", tuned.metric.axis, "95 % interval", "diverged"]
    caption = (
        "The chosen one's numbers are those that it was chosen by, and so too good; "
        "the results are those of other seeds. Expected best: of n settings of the "
        "grid, drawn without putting back, the one with the best mean; its interval is "
        "over seeds, and takes the order of the settings as given (Dodge et al., 2019)."
    )
    return Table([*header, "told from the chosen one"], rows, caption, prose=True)


def _spread(tuned: Tuned, arm: str, point: int) -> tuple[str, str]:
    metric, show = tuned.metric, partial(tuned.metric.show, unit=False)
    found = statistics.summarize(tuned.values[arm][point], metric.bounds)
    return show(found.mean), statistics.interval_words(found, show)


def _behind(tuned: Tuned, arm: str, point: int) -> str:
    means = tuned.values[arm].mean(1)
    behind = tuned.metric.scale * abs(means[point] - means[tuned.chosen(arm)])
    return f"{behind:.4g} {tuned.metric.difference_unit}".rstrip()


def sweep_record(tuned: Tuned) -> dict[str, Any]:
    """What results.json holds of it; the value of a seed that diverged is NaN."""
    values, expected = {}, {}
    for arm, found in tuned.values.items():
        values[arm] = np.where(tuned.missing[arm], np.nan, found).tolist()
        curve = tuned.expected(arm)
        band = statistics.mean_band(curve.T, tuned.metric.bounds)
        expected[arm] = {"mean": curve.mean(1).tolist(), "ci95": band.T.tolist()}
    names = tuned.points[0]
    grid = {n: list(dict.fromkeys(p[n] for p in tuned.points)) for n in names}
    return {
        "grid": grid,
        "points": [dict(point) for point in tuned.points],
        "tune_seeds": list(tuned.seeds),
        "metric": tuned.metric.name,
        "label": tuned.metric.words_for_it,
        "values": values,
        "chosen": {arm: dict(tuned.points[tuned.chosen(arm)]) for arm in tuned.values},
        "expected_best": expected,
    }


def metric_rows(arm: str, of: Sweep) -> Iterator[dict[str, Any]]:
    """Rows of sweep.jsonl: those of metrics.jsonl, with the settings of each."""
    for k in of.distinct:
        for row in results.metric_rows(arm, of.runs[k]):
            yield {"arm": arm, **of.points[k], **row}
