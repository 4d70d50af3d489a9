"""Means with intervals, and paired comparisons with a verdict.

Numbers in, numbers and one sentence out; only NumPy and SciPy. A value that does not
exist is NaN: it is counted and named, and never left out in silence. All random draws
come from generators with fixed seeds, so the same numbers give the same report.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from seqgraph_jax.training.metrics import Metric, number

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
EXACT_UP_TO = 20  # seeds whose 2**n sign flips are enumerated
NUM_DRAWS = 100_000  # sign flips drawn above that
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


def bootstrap_interval(values: ArrayLike) -> tuple[float, float]:
    """BCa bootstrap 95 % interval of the mean.

    Values that are equal, or would be but for rounding, give the smallest and the
    largest of them, a single one gives NaN.

    Source: Efron, Better bootstrap confidence intervals, 1987; `scipy.stats.bootstrap`
    with 9,999 resamples of a generator with seed 0.

    >>> low, high = bootstrap_interval([1.0, 2.0, 3.0, 4.0, 5.0, 9.0])
    >>> round(low, 1), round(high, 1)
    (2.3, 6.7)
    """
    values = np.asarray(values, float)
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


def sign_flip_test(differences: ArrayLike) -> tuple[float, str]:
    """Two-sided paired sign-flip test of mean 0: the p-value and the test's name.

    Under the null hypothesis each difference is as likely as its negative. Up to 20
    pairs all 2**n sign patterns are enumerated; above, 100,000 are drawn with a fixed
    generator and p is (hits + 1) / (draws + 1).

    Source: Fisher, The design of experiments, 1935, section 21.

    >>> sign_flip_test([1.0, 2.0, 3.0])
    (0.25, 'exact paired sign-flip test')
    """
    differences = np.asarray(differences, float)
    observed = abs(differences.sum())
    tolerance = 1e-9 * np.abs(differences).sum()
    if len(differences) <= EXACT_UP_TO:
        sums = np.zeros(1)
        for difference in differences:
            sums = np.concatenate([sums + difference, sums - difference])
        p_value = float(np.mean(np.abs(sums) >= observed - tolerance))
        return p_value, "exact paired sign-flip test"
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(100):  # in parts, to bound the memory
        signs = rng.choice((-1.0, 1.0), (NUM_DRAWS // 100, len(differences)))
        hits += int((np.abs(signs @ differences) >= observed - tolerance).sum())
    name = f"paired sign-flip test with {NUM_DRAWS:,} draws"
    return (hits + 1) / (NUM_DRAWS + 1), name


def seeds_needed(num_comparisons: int = 1) -> int:
    """Fewest seeds whose smallest p, 2 / 2**n, is below 0.05 after Holm's correction.

    >>> seeds_needed(), seeds_needed(num_comparisons=3)
    (6, 7)
    """
    return next(n for n in itertools.count(1) if num_comparisons * 2 / 2**n < ALPHA)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number by Holm's step-down procedure.

    Source: Holm, A simple sequentially rejective multiple test procedure, 1979.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


@dataclass(frozen=True)
class Comparison:
    """Paired comparison of two arms over the same seeds.

    ``difference`` is the mean of a - b and ``ci95`` its interval; ``p_value`` is of
    the pair alone, ``p_holm`` adjusted for all comparisons made together.
    ``num_pairs`` counts the seeds compared. ``verdict`` is one sentence.
    """

    metric: str
    a: str
    b: str
    difference: float
    ci95: tuple[float, float]
    p_value: float
    p_holm: float
    num_pairs: int
    test: str
    verdict: str = ""


def compare(
    arms: Mapping[str, Sequence[float] | np.ndarray],
    metric: Metric,
    missing_as: float | None = None,
) -> list[Comparison]:
    """Compare every pair of arms, in their order, value i of each from the same seed.

    ``missing_as`` stands in for values that do not exist, as a lower bound: for times
    to an event that never came, the time waited. Without it a pair with a missing
    value is left out, and the verdict says how many. Words, unit and scale of the
    verdict are the metric's.

    Raises `ValueError` if arms differ in their number of values or are fewer than 2.

    >>> updates = Metric("updates", words=("needs fewer than", "needs more than"))
    >>> [c] = compare({"gru": [90, 70, 80], "lstm": [140, 160, 120]}, updates)
    >>> print(c.verdict)
    gru needs fewer than lstm by 60 on average, but 3 seeds cannot reach p < 0.05 with \
this test (smallest possible p = 0.25); 6 can.
    """
    if len(arms) < 2 or len({len(values) for values in arms.values()}) > 1:
        raise ValueError("a comparison needs two arms or more with the same seeds")
    pairs = list(itertools.combinations(arms, 2))
    found = []
    for a, b in pairs:
        values = np.array([arms[a], arms[b]], float)
        missing = ~np.isfinite(values)
        bound = None if missing.all() else missing_as
        if bound is not None:
            values = np.where(missing, bound, values)
        differences = values[0] - values[1]
        differences = differences[np.isfinite(differences)]
        p_value, test = sign_flip_test(differences)
        found.append(
            Comparison(
                metric=metric.name,
                a=a,
                b=b,
                difference=float(differences.mean()) if len(differences) else math.nan,
                ci95=bootstrap_interval(differences),
                p_value=p_value,
                p_holm=math.nan,
                num_pairs=len(differences),
                test=test,
                verdict=_missing_note((a, b), missing, bound),
            )
        )
    adjusted = holm([comparison.p_value for comparison in found])
    found = [replace(c, p_holm=p) for c, p in zip(found, adjusted, strict=True)]
    return [
        replace(c, verdict=_verdict(c, len(found), metric) + c.verdict) for c in found
    ]


def _verdict(c: Comparison, pairs: int, metric: Metric) -> str:
    """What the data support, as a sentence."""
    n = c.num_pairs
    if n == 0:
        return f"{c.a} and {c.b}: no seed has a value in both, so none are compared."
    if c.difference == 0:
        return f"{c.a} and {c.b} do not differ on average over {n} seeds."
    unit = f" {metric.difference_unit}" if metric.difference_unit else ""
    size = f"{metric.scale * abs(c.difference):.4g}{unit}"
    claim = f"{c.a} {metric.verdict_words[c.difference > 0]} {c.b} by {size} on average"
    needed = seeds_needed(pairs)
    corrected = " after Holm's correction" if pairs > 1 else ""
    if n < needed:
        smallest = min(1.0, pairs * 2 / 2**n)
        return (
            f"{claim}, but {n} seed{'s' if n > 1 else ''} cannot reach p < 0.05 with "
            f"this test{corrected} (smallest possible p = {smallest:.2g}); "
            f"{needed} can."
        )
    low, high = metric.scale * c.ci95[0], metric.scale * c.ci95[1]
    evidence = (
        f"(p = {c.p_holm:.2g}{corrected}, 95 % interval of {c.a} - {c.b}: "
        f"{low:.4g} to {high:.4g}{unit}, {n} seeds)"
    )
    significant, excludes_0 = c.p_holm < ALPHA, low > 0 or high < 0
    if significant and excludes_0:
        return f"{claim} {evidence}."
    if significant or excludes_0:
        return (
            f"{claim}, but test and interval disagree, so no claim is made {evidence}."
        )
    return f"{claim}, a difference that {n} seeds do not tell from chance {evidence}."


def _missing_note(
    names: tuple[str, str], missing: np.ndarray, missing_as: float | None
) -> str:
    """A sentence on values that do not exist, or nothing."""
    if not missing.any():
        return ""
    counts = " and ".join(
        f"{row.sum()} of {name}"
        for name, row in zip(names, missing, strict=True)
        if row.any()
    )
    if missing_as is None:
        return f" Left out: seeds without a value in both ({counts})."
    return (
        f" Values that do not exist ({counts}) are counted as {missing_as:g}, a lower "
        "bound."
    )
