"""Means and shares with intervals.

Numbers in, numbers out; only NumPy and SciPy. A value that does not
exist is NaN: it is counted and named, and never left out in silence. All random draws
come from generators with fixed seeds, so the same numbers give the same report.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from seqgraph_jax.training.metrics import number

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
NUM_RESAMPLES = 9_999  # of the bootstrap


@dataclass(frozen=True)
class Summary:
    """Values per seed with mean, standard deviations and interval of the mean.

    ``n`` counts the values that exist and everything after it is of those; ``sd``
    divides by n - 1, ``sd_population`` by n. What needs more values is NaN.
    """

    per_seed: tuple[float, ...]
    n: int
    mean: float
    sd: float
    sd_population: float
    ci95: tuple[float, float]

    @property
    def num_missing(self) -> int:
        """Seeds without a value."""
        return len(self.per_seed) - self.n


def only_finite(values: ArrayLike) -> np.ndarray:
    """The values as an array; raises `ValueError` if one of them does not exist."""
    values = np.asarray(values, float)
    missing = int((~np.isfinite(values)).sum())
    if missing:
        raise ValueError(
            f"{missing} of {values.size} values do not exist (NaN or infinite): count "
            "them and leave them out first"
        )
    return values


def bootstrap_interval(values: ArrayLike) -> tuple[float, float]:
    """BCa bootstrap 95 % interval of the mean.

    Values that are equal, or would be but for rounding, give the smallest and the
    largest of them, a single one gives NaN. Raises `ValueError` for a value that does
    not exist.

    Source: Efron, Better bootstrap confidence intervals, 1987; `scipy.stats.bootstrap`
    with 9,999 resamples of a generator with seed 0.

    >>> low, high = bootstrap_interval([1.0, 2.0, 3.0, 4.0, 5.0, 9.0])
    >>> round(low, 1), round(high, 1)
    (2.3, 6.7)
    """
    values = only_finite(values)
    if len(values) < 2:
        return math.nan, math.nan
    if np.ptp(values) <= 1e-13 * np.abs(values).max():
        return float(values.min()), float(values.max())
    from scipy import stats  # a second to import

    result = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=CONFIDENCE,
        n_resamples=NUM_RESAMPLES,
        method="BCa",
        rng=np.random.default_rng(0),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def block_interval(values: ArrayLike, block: int) -> tuple[float, float]:
    """95 % interval of the mean of values that follow one another in time.

    Percentiles of the means of series put together from blocks of so many values that
    stand beside one another, the last one beside the first; whole blocks are drawn
    with replacement. Fewer than two blocks give NaN. Raises `ValueError` for a value
    that does not exist.

    Source: Politis and Romano, A circular block-resampling procedure for stationary
    data, 1992.

    >>> low, high = block_interval([0.0, 0.0, 1.0, 1.0] * 8, block=4)
    >>> low, high  # every block of four has the same mean
    (0.5, 0.5)
    """
    values = only_finite(values)
    number = len(values) // block
    if number < 2:
        return math.nan, math.nan
    sums = np.convolve(np.append(values, values[: block - 1]), np.ones(block), "valid")
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(values), (NUM_RESAMPLES, number))
    means = sums[drawn].mean(1) / block
    low, high = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2])
    return float(low), float(high)


def mean_interval(values: ArrayLike, digits: int = 3) -> str:
    """Mean and its 95 % interval as text; the mean alone, of a single value.

    >>> mean_interval([1.0, 2.0, 3.0, 4.0, 5.0, 9.0]), mean_interval([2.0])
    ('4 (2.33 to 6.67)', '2')
    """
    s = summarize(values)
    if s.n < 2:
        return number(s.mean, digits)
    low, high = (number(end, digits) for end in s.ci95)
    return f"{number(s.mean, digits)} ({low} to {high})"


def mean_band(curves: np.ndarray, num_resamples: int = 2_000) -> np.ndarray:
    """Percentile-bootstrap 95 % band of the mean curve: ``[S, K]`` to ``[2, K]``.

    Seeds are resampled whole. A column's missing values are left out of its mean.
    """
    rng = np.random.default_rng(0)
    counts = rng.multinomial(
        len(curves), np.full(len(curves), 1 / len(curves)), num_resamples
    )  # [R, S]
    exists = np.isfinite(curves)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (counts @ np.where(exists, curves, 0)) / (counts @ exists)  # [R, K]
    band = np.full((2, curves.shape[1]), np.nan)
    some = exists.any(axis=0)
    band[:, some] = np.nanquantile(means[:, some], [ALPHA / 2, 1 - ALPHA / 2], axis=0)
    return band


def summarize(values: ArrayLike) -> Summary:
    """Summary of one value per seed; NaN and infinite values count as missing.

    >>> summary = summarize([1.0, 2.0, float("nan"), 3.0])
    >>> summary.n, summary.num_missing, summary.mean, summary.sd
    (3, 1, 2.0, 1.0)
    """
    values = np.asarray(values, float)
    found = values[np.isfinite(values)]
    n = len(found)
    return Summary(
        per_seed=tuple(values.tolist()),
        n=n,
        mean=float(found.mean()) if n else math.nan,
        sd=float(found.std(ddof=1)) if n > 1 else math.nan,
        sd_population=float(found.std()) if n else math.nan,
        ci95=bootstrap_interval(found),
    )


def share_interval(count: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of which ``count`` of ``n`` were seen.

    Source: Wilson, Probable inference, the law of succession, and statistical
    inference, 1927; `scipy.stats.binomtest`.

    >>> low, high = share_interval(8, 8)
    >>> round(low, 2), round(high, 2)
    (0.68, 1.0)
    """
    from scipy import stats  # a second to import

    interval = stats.binomtest(count, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
