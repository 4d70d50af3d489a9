"""Means with intervals, and how they are said.

Numbers in, numbers and words out. A value that does not exist is NaN: it is counted and
named, and never left out in silence.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from seqgraph_jax.reports.intervals import (
    BAND_BITS,
    EQUAL,
    FEWEST,
    NONE,
    STUDENT,
    interval_of_mean,
    mean_ends,
    share_interval,
)
from seqgraph_jax.training.metrics import number


@dataclass(frozen=True)
class Summary:
    """Values per seed with mean, standard deviations and interval of the mean.

    ``n`` counts the values that exist and everything after it is of those; ``sd``
    divides by n - 1, ``sd_population`` by n. What needs more values is NaN.
    ``ci95_method`` is that of `seqgraph_jax.reports.intervals.Interval`.
    """

    per_seed: tuple[float, ...]
    n: int
    mean: float
    sd: float
    sd_population: float
    ci95: tuple[float, float]
    ci95_method: str = NONE

    @property
    def num_missing(self) -> int:
        """Seeds without a value."""
        return len(self.per_seed) - self.n

    @property
    def reach(self) -> np.ndarray | None:
        """How far the interval reaches down and up, ``[2, 1]``; None without one."""
        ends = np.array([self.ci95]).T
        return np.abs(ends - self.mean) if np.isfinite(ends).all() else None


def nested_sds(values: np.ndarray) -> tuple[float, float]:
    r"""Standard deviations of seeds, and of what was drawn R times for each of them.

    .. math:: \sigma_{draws}^2 = \frac{1}{S} \sum_s \mathrm{var}_r(x_{sr}), \qquad
        \sigma_{seeds}^2 = \max\Big(0, \mathrm{var}_s(\bar x_s)
        - \frac{\sigma_{draws}^2}{R}\Big)

    where variances divide by their number less one: estimates by the analysis of
    variance with one random factor.

    Shapes: ``values [S, R]``, both at least 2.

    Source: Searle, Casella, McCulloch, Variance components, 1992, section 3.5.

    >>> seeds, draws = nested_sds(np.array([[1.0, 3.0], [5.0, 7.0]]))
    >>> round(seeds**2, 6), round(draws**2, 6)
    (7.0, 2.0)
    """
    within = float(values.var(axis=1, ddof=1).mean())
    between = float(values.mean(1).var(ddof=1)) - within / values.shape[1]
    return math.sqrt(max(0.0, between)), math.sqrt(within)


def block_means(values: ArrayLike, block: int) -> np.ndarray:
    """Means of values that follow one another in time, over blocks of at least so many.

    Values near in time are alike: their mean has an interval (`summarize`) as a mean of
    blocks that are long enough to know little of one another. The blocks are as equal
    in length as can be; fewer values than ``block`` are one.

    >>> block_means([1.0, 3.0, 5.0, 5.0, 8.0], block=2)
    array([3. , 6.5])
    """
    values = np.asarray(values, float)
    parts = np.array_split(values, max(1, len(values) // block))
    return np.array([part.mean() for part in parts])


def summarize(values: ArrayLike, bounds: tuple[float, float] | None = None) -> Summary:
    """Summary of one value per seed; NaN and infinite values count as missing.

    No end of the interval lies beyond the ``bounds`` of the values.

    >>> summary = summarize([1.0, 2.0, float("nan"), 3.0])
    >>> summary.n, summary.num_missing, summary.mean, summary.sd
    (3, 1, 2.0, 1.0)
    """
    values = np.asarray(values)
    values = (
        values if np.issubdtype(values.dtype, np.floating) else values.astype(float)
    )
    found = values[np.isfinite(values)]
    low, high, method = interval_of_mean(found, bounds)
    values, found = values.astype(float), found.astype(float)
    n = len(found)
    spread = 0.0 if method == EQUAL else 1.0  # what is left of equal values is rounding
    return Summary(
        per_seed=tuple(values.tolist()),
        n=n,
        mean=float(found.mean()) if n else math.nan,
        sd=spread * float(found.std(ddof=1)) if n > 1 else math.nan,
        sd_population=spread * float(found.std()) if n else math.nan,
        ci95=(low, high),
        ci95_method=method,
    )


def interval_words(
    summary: Summary, show: Callable[[float], str] = number, unit: str = "seed"
) -> str:
    """The interval of a summary in words; ``unit`` is what was sampled.

    >>> interval_words(summarize([1.0, 2.0, 3.0, 4.0, 5.0, 9.0]))
    '1 to 9'
    >>> interval_words(summarize([1.0, 2.0, 3.0]))
    "-0.4841 to 4.484 (Student's t)"
    >>> interval_words(summarize([1.0] * 16))
    'all 16 equal: at least 79 % of seeds'
    """
    if summary.ci95_method == NONE:
        return "none"
    if summary.ci95_method == EQUAL:
        return f"all {summary.n} equal: {at_least(summary.n, unit)}"
    low, high = (show(end) for end in summary.ci95)
    named = f" ({STUDENT})" if summary.ci95_method == STUDENT else ""
    return f"{low} to {high}{named}"


def at_least(n: int, unit: str) -> str:
    """The share that surely has what all of n have, by Clopper and Pearson.

    >>> at_least(16, "seed")
    'at least 79 % of seeds'
    """
    return f"at least {int(100 * share_interval(n, n)[0])} % of {unit}s"


def interval_caption(unit: str = "seed") -> str:
    """How intervals of means are had, in two sentences."""
    return (
        f"Intervals are those of the mean over {unit}s that have a value: from 6 on "
        "the means that an exact sign-flip test does not reject, which are means of "
        "subsets; below, Student's t, if values are normal. Of equal values there is "
        "none, but a 95 % bound (Clopper and Pearson's) on the share that has them."
    )


def mean_interval(
    values: ArrayLike, digits: int = 3, bounds: tuple[float, float] | None = None
) -> str:
    """Mean and its 95 % interval as text; the mean alone, of a single value.

    >>> mean_interval([1.0, 2.0, 3.0, 4.0, 5.0, 9.0]), mean_interval([2.0])
    ('4 (1 to 9)', '2')
    >>> mean_interval([1.0, 2.0, 3.0]), mean_interval([2.0, 2.0])
    ("2 (Student's t: -0.484 to 4.48)", '2 (all 2 equal)')
    """
    s = summarize(values, bounds)
    mean = number(s.mean, digits)
    if s.ci95_method == NONE:
        return mean
    if s.ci95_method == EQUAL:
        return f"{mean} (all {s.n} equal)"
    low, high = (number(end, digits) for end in s.ci95)
    named = f"{STUDENT}: " if s.ci95_method == STUDENT else ""
    return f"{mean} ({named}{low} to {high})"


def mean_band(
    curves: np.ndarray, bounds: tuple[float, float] | None = None
) -> np.ndarray:
    """95 % band of the mean curve, point by point: ``[S, K]`` to ``[2, K]``.

    Each column has the interval of its mean, as `summarize` has it, with a smaller
    group of subsets above 12 seeds. A column's missing values are left out of it; where
    fewer than 6 of 6 or more seeds are left, there is no band.

    >>> mean_band(np.array([[1.0], [2.0], [3.0], [4.0], [5.0], [9.0]])).tolist()
    [[1.0], [9.0]]
    """
    band = np.full((2, curves.shape[1]), np.nan)
    fewest = FEWEST if len(curves) >= FEWEST else 2
    exists = np.isfinite(curves)
    patterns, of_column = np.unique(exists, axis=1, return_inverse=True)
    for p, pattern in enumerate(patterns.T):
        if pattern.sum() >= fewest:
            columns = np.flatnonzero(of_column.ravel() == p)
            found = curves[np.ix_(pattern, columns)].T
            band[:, columns] = mean_ends(found, BAND_BITS)
    return band if bounds is None else np.clip(band, *bounds)
