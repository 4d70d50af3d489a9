"""Paired comparisons of arms, with a verdict in one sentence.

Numbers in, numbers and a sentence out. A value that does not exist is NaN: it is
counted and named, and never left out in silence.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from seqgraph_jax.reports.statistics import ALPHA, bootstrap_interval, only_finite
from seqgraph_jax.training.metrics import Metric

EXACT_UP_TO = 20  # seeds whose 2**n sign flips are enumerated
NUM_DRAWS = 100_000  # sign flips drawn above that


def sign_flip_test(differences: ArrayLike) -> tuple[float, str]:
    """Two-sided paired sign-flip test of mean 0: the p-value and the test's name.

    Under the null hypothesis each difference is as likely as its negative. Up to 20
    pairs all 2**n sign patterns are enumerated; above, 100,000 are drawn with a fixed
    generator and p is (hits + 1) / (draws + 1).

    Raises `ValueError` for a difference that does not exist.

    Source: Fisher, The design of experiments, 1935, section 21.

    >>> sign_flip_test([1.0, 2.0, 3.0])
    (0.25, 'exact paired sign-flip test')
    """
    differences = only_finite(differences)
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
    value is left out, and the verdict says how many. Values that differ by rounding
    alone, in their precision, count as equal. Words, unit and scale of the verdict are
    the metric's.

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
        rounding = _rounding(arms[a], arms[b])
        differences = _differences(values[0], values[1], rounding)
        mean = float(differences.mean()) if len(differences) else math.nan
        if abs(mean) <= rounding * np.abs(differences).max(initial=0):
            mean = 0.0
        p_value, test = sign_flip_test(differences)
        found.append(
            Comparison(
                metric=metric.name,
                a=a,
                b=b,
                difference=mean,
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
        replace(
            c,
            verdict=_verdict(c, [o.p_value for o in found if o is not c], metric)
            + c.verdict,
        )
        for c in found
    ]


def _rounding(*arms: ArrayLike) -> float:
    """Largest relative difference that is rounding in the precision of the arms."""
    dtypes = [np.result_type(np.asarray(arm), np.float16) for arm in arms]
    return 8 * max(float(np.finfo(dtype).eps) for dtype in dtypes)


def _differences(a: np.ndarray, b: np.ndarray, rounding: float) -> np.ndarray:
    """a - b where both exist, and 0 where their difference is only rounding."""
    exist = np.isfinite(a) & np.isfinite(b)
    a, b = a[exist], b[exist]
    equal = np.abs(a - b) <= rounding * np.maximum(np.abs(a), np.abs(b))
    return np.where(equal, 0.0, a - b)


def _smallest_p(num_pairs: int, others: Sequence[float]) -> float:
    """The smallest p that so many pairs can reach, corrected with the others' p-values.

    >>> _smallest_p(6, []), _smallest_p(6, [0.5, 0.5]), _smallest_p(6, [1e-3, 2e-3])
    (0.03125, 0.09375, 0.03125)
    """
    return holm([min(1.0, 2 / 2**num_pairs), *others])[0]


def _verdict(c: Comparison, others: Sequence[float], metric: Metric) -> str:
    """What the data support, as a sentence; ``others`` are p-values of other pairs."""
    n = c.num_pairs
    if n == 0:
        return f"{c.a} and {c.b}: no seed has a value in both, so none are compared."
    if c.difference == 0 and n == 1:
        return f"{c.a} and {c.b} have one seed to compare, with the same value in both."
    if c.difference == 0:
        return f"{c.a} and {c.b} do not differ on average over {n} seeds."
    unit = f" {metric.difference_unit}" if metric.difference_unit else ""
    size = f"{metric.scale * abs(c.difference):.4g}{unit}"
    claim = f"{c.a} {metric.verdict_words[c.difference > 0]} {c.b} by {size} on average"
    corrected = " after Holm's correction" if others else ""
    smallest = _smallest_p(n, others)
    if smallest >= ALPHA:
        needed = n + 1
        while _smallest_p(needed, others) >= ALPHA:
            needed += 1
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
