"""Two sources of variance, crossed: how much comes from each, and from both together.

S draws of one source are tried with S draws of the other, S x S values in all.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from seqgraph_jax.reports.intervals import FEWEST
from seqgraph_jax.reports.tables import Table
from seqgraph_jax.training.metrics import Metric, counted
from seqgraph_jax.training.runs import Run


@dataclass(frozen=True)
class Spread:
    """What a source makes values vary by: an SD, and its 95 % interval."""

    sd: float
    low: float
    high: float


@dataclass(frozen=True)
class Variance:
    """Where the variance of S x S values comes from, see `variance_parts`.

    ``share`` of the variance of one value comes from ``rows``, ``columns`` and
    ``both``; ``p`` is that of the two sources having the same variance.
    """

    n: int
    mean: float
    ci95: tuple[float, float]
    rows: Spread
    columns: Spread
    both: Spread
    share: tuple[float, float, float]
    p: float


def variance_parts(
    values: ArrayLike, bounds: tuple[float, float] | None = None
) -> Variance:
    r"""Take the variance of crossed values ``[S, S]`` apart.

    .. math::
        y_{ij} &= \mu + a_i + b_j + e_{ij} \\
        M_a &= \frac{S}{S - 1} \sum_i (\bar y_{i\cdot} - \bar y)^2, \quad
        \hat\sigma_a^2 = \max(0, M_a - M_e) / S, \quad \hat\sigma_e^2 = M_e

    where a is what a row does, b what a column does, and e, with mean square M_e, what
    they do together. Intervals are Williams' and Tukey's for a and b, that of the
    chi-squared distribution for e, and Satterthwaite's for the mean over both. ``p`` is
    that of Snedecor's F, M_a / M_b. All hold if the parts are normal. No end of the
    mean's interval lies beyond the ``bounds`` of the values.

    Raises `ValueError` for fewer than two rows, and for values that are not finite.

    Source: Searle, Casella and McCulloch, Variance Components, 1992, chapter 4;
    Bouthillier et al., Accounting for Variance in Machine Learning Benchmarks, 2021.

    >>> parts = variance_parts([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    >>> parts.rows.sd, parts.columns.sd, parts.both.sd, parts.mean
    (3.0, 1.0, 0.0, 5.0)
    """
    y = np.asarray(values, float)
    n = len(y)
    if y.shape != (n, n) or n < 2 or not np.isfinite(y).all():
        raise ValueError("crossed values are finite, [S, S], for two seeds or more")
    mean = y.mean()
    by_row, by_column = y.mean(1) - mean, y.mean(0) - mean
    rest = y - mean - by_row[:, None] - by_column
    for part in (by_row, by_column, rest):
        part[np.abs(part) < 1e-12 * np.abs(y).max()] = 0.0  # rounding
    row, column = (n * (part**2).sum() / (n - 1) for part in (by_row, by_column))
    both = (rest**2).sum() / (n - 1) ** 2
    found = [_component(row, both, n), _component(column, both, n)]
    low, high = both * (n - 1) ** 2 / stats.chi2.ppf([0.975, 0.025], (n - 1) ** 2)
    variances = np.array([max(0.0, row - both) / n, max(0.0, column - both) / n, both])
    share = variances / variances.sum() if variances.sum() > 0 else np.zeros(3)
    ends = _mean_ends(float(mean), row, column, both, n)
    if bounds:
        ends = max(ends[0], bounds[0]), min(ends[1], bounds[1])
    ratio = stats.f(n - 1, n - 1).cdf(row / column) if column > 0 else float(row > 0)
    return Variance(
        n=n,
        mean=float(mean),
        ci95=ends,
        rows=found[0],
        columns=found[1],
        both=Spread(*(math.sqrt(v) for v in (both, low, high))),
        share=(float(share[0]), float(share[1]), float(share[2])),
        p=float(2 * min(ratio, 1 - ratio)) if row or column else 1.0,
    )


def _component(of_source: float, both: float, n: int) -> Spread:
    """Williams' and Tukey's interval of a source's SD, from two mean squares."""
    ends = [of_source - both]
    for q in (0.975, 0.025):
        scale = (n - 1) / stats.chi2.ppf(q, n - 1)
        ends.append(scale * (of_source - stats.f.ppf(q, n - 1, (n - 1) ** 2) * both))
    sd, low, high = (math.sqrt(max(0.0, end) / n) for end in ends)
    return Spread(sd, low, high)


def _mean_ends(
    mean: float, row: float, column: float, both: float, n: int
) -> tuple[float, float]:
    """Student's interval of the mean over rows and columns, both drawn anew."""
    squares = np.array([row, column, -both])
    total = max(squares.sum(), both)  # it is no less, but for chance
    if total == 0:
        return mean, mean
    df = total**2 / (squares**2 / [n - 1, n - 1, (n - 1) ** 2]).sum()
    reach = stats.t.ppf(0.975, max(1.0, df)) * math.sqrt(total) / n
    return mean - float(reach), mean + float(reach)


def crossed_values(
    runs: Mapping[str, Run], shown: Mapping[str, Any], metric: str
) -> dict[str, np.ndarray]:
    """A metric of S x S crossed runs, ``[S, S]``, by arm and pair of arms.

    It is what ``shown``, the same arms with the runs of equal seeds, has of it: that of
    the last evaluation, or of the best. Empty if it is neither, or was not trained.
    """
    found: dict[str, np.ndarray] = {}
    for name, run in runs.items():
        n = len(run.seeds)
        if metric not in run.value_names or metric not in shown[name].value_names:
            return {}
        asked = [run.values(metric)]
        if metric in run.metrics:
            asked.append(run.at(metric, run.best))
        for values in asked:
            values = values.reshape(n, n)
            same = np.diagonal(values), shown[name].values(metric)
            if np.array_equal(*same, equal_nan=True):
                found[name] = values
                break
        else:
            return {}
    return with_pairs(found)


def best_values(runs: Mapping[str, Run]) -> dict[str, np.ndarray]:
    """What S x S crossed runs are judged by at their best, as `crossed_values`."""
    found = {}
    for name, run in runs.items():
        values = run.at(run.judged_by, run.best)
        found[name] = values.reshape(len(run.seeds), -1)
    return with_pairs(found)


def with_pairs(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Values of arms, and the differences of every pair."""
    pairs = itertools.combinations(values, 2)
    return values | {f"{a} - {b}": values[a] - values[b] for a, b in pairs}


def variance_table(
    of: Mapping[str, Variance], metric: Metric, sources: tuple[str, str]
) -> Table:
    """What varies, in a row for each arm and pair of arms."""
    show = metric.show if metric.unit == "%" else _plain(metric)
    rows = []
    for name, parts in of.items():
        ends = " to ".join(show(end) for end in parts.ci95)
        row = [name, f"{show(parts.mean)} ({ends})"]
        spreads = (parts.rows, parts.columns, parts.both)
        for spread, share in zip(spreads, parts.share, strict=True):
            ends = " to ".join(show(end) for end in (spread.low, spread.high))
            row.append(f"{show(spread.sd)} ({ends}), {100 * share:.0f} %")
        rows.append(row)
    n = next(iter(of.values())).n
    header = [metric.axis, f"mean of {n * n} runs", *sources, "both together"]
    return Table(header, rows, CAPTION.format(n, *sources))


CAPTION = (
    "SD that comes from a source, its 95 % interval, and its share of the variance of "
    "one run: each of {0} seeds' {1} with each of their {2}. Of the mean the interval "
    "is one over both. Intervals hold if the parts are normal."
)


def _plain(metric: Metric) -> Any:
    return lambda value: metric.show(value, unit=False)


def variance_words(
    name: str, parts: Variance, metric: Metric, sources: tuple[str, str]
) -> str:
    """Which source the next seeds should vary, in a sentence or two.

    >>> import textwrap
    >>> from seqgraph_jax.training.metrics import ACCURACY
    >>> parts = variance_parts(np.add.outer(np.arange(6) / 10, np.arange(6) / 100))
    >>> words = variance_words("gru", parts, ACCURACY, ("initial values", "batches"))
    >>> for line in textwrap.wrap(words, 80):
    ...     print(line)
    accuracy of gru: initial values make 99 % of the variance of a run, batches 1 %,
    both together 0 % (6 x 6 runs). More of it comes from initial values (p =
    0.0001): the next seeds must vary initial values, since with batches alone the
    SD would be 1.87 % in place of 18.80 %.
    """
    if not any(parts.share):
        return f"{metric.words_for_it} of {name}: all {parts.n**2} runs are equal."
    rows, columns, both = (100 * share for share in parts.share)
    text = (
        f"{metric.words_for_it} of {name}: {sources[0]} make {rows:.0f} % of the "
        f"variance of a run, {sources[1]} {columns:.0f} %, both together {both:.0f} % "
        f"({parts.n} x {parts.n} runs). "
    )
    if parts.n < FEWEST:
        return text + f"Which is the larger takes {FEWEST} seeds or more to tell."
    if parts.p >= 0.05 or parts.rows.sd == parts.columns.sd:
        return text + (
            f"Which is the larger is not told from chance (p = {parts.p:.2g}): the "
            "next seeds should vary both."
        )
    first = parts.rows.sd >= parts.columns.sd
    (more, less), rest = sources if first else sources[::-1], parts.both.sd
    alone = math.hypot((parts.columns if first else parts.rows).sd, rest)
    whole = math.hypot(parts.rows.sd, parts.columns.sd, rest)
    return text + (
        f"More of it comes from {more} (p = {parts.p:.2g}): the next seeds must vary "
        f"{more}, since with {less} alone the SD would be {metric.show(alone)} in "
        f"place of {metric.show(whole)}."
    )


def variance_record(of: Mapping[str, Variance], metric: str) -> dict[str, Any]:
    """For results.json: the parts by arm and pair of arms."""
    return {"metric": metric, **{name: asdict(parts) for name, parts in of.items()}}


def missing_words(metric: Metric, missing: int, num_runs: int) -> str:
    """Why a metric was not taken apart."""
    return (
        f"{metric.words_for_it}: {missing} of {counted(num_runs, 'run')} have no "
        "value, so its variance is not taken apart."
    )
