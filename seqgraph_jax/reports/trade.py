"""What arms reach in equally many updates and in equal time, and what may be said."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from seqgraph_jax.reports import statistics
from seqgraph_jax.reports.censoring import shown_times, times_to_converge
from seqgraph_jax.reports.intervals import SUBSETS
from seqgraph_jax.reports.results import Arms
from seqgraph_jax.reports.tables import Table
from seqgraph_jax.reports.verdicts import Comparison
from seqgraph_jax.training.metrics import UPDATES_TO_CONVERGE, Metric
from seqgraph_jax.training.runs import Run


class Ratio(NamedTuple):
    """Median, lowest and highest ratio over rounds.

    >>> str(Ratio(2.75, 2.5, 3.0))
    '2.75 (2.50 to 3.00)'
    """

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def best_of_first(run: Run, number: int) -> np.ndarray:
    """Best of a run's first evaluations, a row each; -1 if there are none.

    As `Run.best`, which is that of all: the best metric, of equals the lowest loss, of
    these the first.
    """
    value, loss = (
        np.asarray(run.metrics[name][:, :number], float)
        for name in (run.judged_by, "loss")
    )
    value = run.records[run.judged_by].sign * value
    value = np.where(np.isnan(value), -np.inf, value)
    if not number:
        return np.full(len(value), -1)
    highest = value.max(axis=1, keepdims=True)
    tied = np.where(np.isnan(loss), np.inf, loss)
    lowest = np.where(value == highest, tied, np.inf).min(axis=1, keepdims=True)
    best = ((value == highest) & (tied == lowest)).argmax(axis=1)
    return np.where(np.isfinite(highest[:, 0]), best, -1)


def reached(run: Run, metric: str, number: int) -> np.ndarray:
    """What a run that ends after so many evaluations reports, ``[S]``.

    A metric at the best of them; where seeds have parts, means over these. NaN where
    there is none.
    """
    return run.by_seed(run.at(metric, best_of_first(run, number))).mean(1)


@dataclass(frozen=True)
class Trade:
    """Runs on the same data, the seconds of an update of each, and what is compared.

    ``seconds [rounds]`` by arm were measured in turn (`time_updates`), ``test`` names a
    metric of the runs. In equal time every arm has what the fastest takes for all its
    updates; evaluations are not counted. What a run reports is its test metric at the
    evaluation that is best by what it is judged by.
    """

    runs: Mapping[str, Run]
    seconds: Mapping[str, np.ndarray]
    test: str

    def pace(self, arm: str) -> float:
        """Seconds of an update: the first arm's median, times the `ratio` to it."""
        first = next(iter(self.runs))
        return float(np.median(self.seconds[first])) * self.ratio(arm, first).median

    def ratio(self, a: str, b: str) -> Ratio:
        """How many times as long an update of a takes as one of b, round by round."""
        ratios = self.seconds[a] / self.seconds[b]
        return Ratio(float(np.median(ratios)), ratios.min(), ratios.max())

    @property
    def budget(self) -> float:
        """Seconds that one network of the fastest arm takes for all its updates."""
        return min(self.pace(k) * run.config.updates for k, run in self.runs.items())

    def updates(self, arm: str) -> int:
        """Updates of an arm within the budget."""
        most = math.floor(self.budget / self.pace(arm) * (1 + 1e-9))
        return min(self.runs[arm].config.updates, most)

    def evaluations(self, arm: str, equal_time: bool) -> int:
        """Evaluations of an arm in all, or within the budget."""
        done = self.runs[arm].updates
        return int((done <= self.updates(arm)).sum()) if equal_time else len(done)

    def first(self, names: Sequence[str], equal_time: bool) -> str:
        """The arm of these that is best in validation, mean over seeds.

        By what its run is judged by; one with a seed without an evaluation is last.
        """

        def mean(name: str) -> float:
            run, number = self.runs[name], self.evaluations(name, equal_time)
            found = reached(run, run.judged_by, number).mean()
            sign = run.records[run.judged_by].sign
            return -math.inf if np.isnan(found) else sign * found

        return max(names, key=mean)

    def pairs(self, kinds: Mapping[str, str], both: Sequence[str]) -> list[list[str]]:
        """The `first` of both kinds, in equally many updates and in equal time.

        ``kinds`` says what each arm is.
        """
        of_kinds = [[k for k in self.runs if kinds[k] == kind] for kind in both]
        return [[self.first(names, t) for names in of_kinds] for t in (False, True)]

    @property
    def metrics(self) -> tuple[Metric, Metric]:
        """Records of the test metric with equally many updates and in equal time."""
        record = next(iter(self.runs.values())).record(self.test)
        label = f"{record.words_for_it} in equal time"
        name = f"{record.name}_in_equal_time"
        return record, replace(record, name=name, label=label)

    def judged(self) -> dict[str, Run]:
        """The runs with both test metrics, a row for each seed."""
        arms = {}
        for name, run in self.runs.items():
            values = {
                record: reached(run, self.test, self.evaluations(name, equal_time))
                for record, equal_time in zip(self.metrics, (False, True), strict=True)
            }
            arms[name] = (run.over_parts() if run.parts else run).adding(values)
        return arms

    def curve(self, arm: str) -> np.ndarray:
        """What a run that had ended at each evaluation would report, ``[S, K]``."""
        run = self.runs[arm]
        numbers = range(1, len(run.updates) + 1)
        return np.stack([reached(run, self.test, k) for k in numbers], axis=1)

    def answers(self, pairs: Sequence[Comparison]) -> list[str]:
        """What may be said of a pair in equally many updates, and in equal time."""
        words = (" in equally many updates", f" in equal time ({self.budget:.3g} s)")
        said = []
        for pair, metric, where in zip(pairs, self.metrics, words, strict=True):
            rounds = len(self.seconds[pair.a])
            said.append(
                f"{answer(pair, metric, where)} An update of {pair.a} takes "
                f"{self.ratio(pair.a, pair.b)} times as long as one of {pair.b}, "
                f"median, lowest and highest of {rounds}."
            )
        return said

    def table(self, arms: Arms, more: Sequence[Metric] = ()) -> Table:
        """A row for each of ``arms``: what it reached, and what an update takes.

        ``arms`` are those of `judged` and others, ``more`` their further metrics.
        """
        reported = *self.metrics, *more
        times = {
            name: times_to_converge(run)
            for name, run in self.runs.items()
            if run.config.threshold is not None and not run.parts
        }
        label, converged = shown_times(times) if times else (UPDATES_TO_CONVERGE, {})
        base = next(iter(self.runs))
        rows = []
        for name, arm in arms.items():
            number = "none" if arm.num_params is None else f"{arm.num_params:,}"
            row = [name, number]
            for metric in reported:
                known = metric.name in arm.value_names
                row.append(
                    _spread(metric, arm.values(metric.name)) if known else "none"
                )
            if times:
                known = name in converged
                row.append(_spread(label, converged[name]) if known else "none")
            if name in self.runs:
                row += [f"{1e3 * self.pace(name):.3g}", str(self.ratio(name, base))]
                row.append(f"{self.updates(name):,}")
                row.append(f"{self.runs[name].compile_s:.1f}")
            else:
                row += ["none"] * 4
            rows.append(row)
        header = ["", "parameters", *(metric.axis for metric in reported)]
        header += [label.axis] if times else []
        header += ["ms per update", f"divided by {base}"]
        header += [f"updates in {self.budget:.3g} s", "compiling (s)"]
        return Table(header, rows, CAPTION)


CAPTION = (
    "Means ± SD of seeds. A network is the one of the best evaluation in validation; "
    "the test set takes no part in the choice. Times are those of one network, without "
    "compilation and evaluations; all arms took turns, and ratios are the median of "
    "those within a round, in brackets the lowest and the highest. Equal "
    "time is what all updates of the fastest arm take; compiling is that of the "
    "program of all seeds."
)


def _spread(metric: Metric, values: np.ndarray) -> str:
    s = statistics.summarize(values, metric.bounds)
    shown = f"{metric.show(s.mean, unit=False)} ± {metric.show(s.sd, unit=False)}"
    return shown if s.n else "none"


def size_table(
    sizes: Sequence[int],
    shares: Mapping[str, np.ndarray],
    heard: Mapping[str, int],
    caption: str,
) -> Table:
    """Mean shares of right answers ``[S, X]`` by arm at each size, in %.

    ``heard`` says of how many symbols a node hears, where that is not of all.
    """
    rows = [
        [name, str(heard.get(name, "all")), *(f"{100 * v:.0f}" for v in of.mean(0))]
        for name, of in shares.items()
    ]
    return Table(["", "symbols heard of", *map(str, sizes)], rows, caption)


def nested_table(shares: Mapping[str, np.ndarray], caption: str) -> Table:
    """Deviations of seeds and of draws by arm, of shares ``[S, R]``, in points."""
    rows = []
    for name, of in shares.items():
        rows.append([name, *(f"{100 * sd:.2f}" for sd in statistics.nested_sds(of))])
    return Table(["", "SD of seeds (points)", "SD of draws (points)"], rows, caption)


def slope(sizes: ArrayLike, seconds: ArrayLike) -> float:
    """Least-squares slope of log seconds against log size: the exponent of a power law.

    >>> round(slope([8, 16, 32], [3 * 8**2, 3 * 16**2, 3 * 32**2]), 6)
    2.0
    """
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def answer(pair: Comparison, metric: Metric, where: str = "") -> str:
    """Whether the first arm of a pair outperforms the second: what may be said.

    It does, or the second does, where the comparison claims so. Else they are not told
    apart, and what lies outside the interval is excluded.

    >>> from seqgraph_jax.reports.paired import compare
    >>> score = Metric("score", better="higher")
    >>> [pair] = compare({"gcn": [2, 3, 4, 3, 2, 4], "gru": [1, 1, 1, 1, 1, 1]}, score)
    >>> answer(pair, score, " on six seeds")
    'gcn outperforms gru on six seeds.'
    """
    a, b = pair.a, pair.b
    if pair.claim:
        better, worse = (a, b) if metric.sign * pair.claim > 0 else (b, a)
        return f"{better} outperforms {worse}{where}."
    words = f"{a} and {b} are not told apart{where}"
    far = metric.scale * np.abs(pair.ci95).max()
    if pair.ci95_method != SUBSETS:  # of so few pairs nothing is claimed
        return f"{words}."
    unit = f" {metric.difference_unit}" if metric.difference_unit else ""
    return f"{words}; a difference of more than {far:.3g}{unit} is excluded."
