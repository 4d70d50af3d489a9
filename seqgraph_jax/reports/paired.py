"""Paired comparisons of arms, with a verdict in one sentence.

Numbers in, numbers and a sentence out. A value that does not exist is NaN: it is
counted and named, and never left out in silence.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from seqgraph_jax.reports.intervals import (
    ALPHA,
    EQUAL,
    FEWEST,
    SUBSETS,
    Interval,
    SignFlips,
    equivalence_p,
    interval_of_mean,
    rounding_of,
    sign_flips,
)
from seqgraph_jax.reports.power import pairs_needed
from seqgraph_jax.reports.verdicts import Comparison, judge
from seqgraph_jax.training.metrics import Metric


def compare(
    arms: Mapping[str, Sequence[float] | np.ndarray],
    metric: Metric,
    missing_as: float | None = None,
    unit: str = "seed",
    equivalent_within: float | None = None,
) -> list[Comparison]:
    """Compare every pair of arms, in their order, value i of each from the same seed.

    ``missing_as`` stands in for values that do not exist. Without it a pair with a
    missing value is left out, and the verdict says how many. Values that differ by
    rounding alone, in their precision, count as equal. Words, unit, scale and bounds
    are the metric's; ``unit`` is what was sampled and paired: a seed, a patient.

    The interval of a pair is that of its test (`intervals.sign_flips`), below 6 pairs
    Student's; a claim is made by the p-value corrected for all pairs (Holm). With
    ``equivalent_within``, in the unit that the metric is shown in, it is tested, too,
    whether arms differ by less (`intervals.equivalence_p`).

    Raises `ValueError` if arms differ in their number of values or are fewer than 2.

    >>> updates = Metric("updates", words=("needs fewer than", "needs more than"))
    >>> [c] = compare({"gru": [90, 70, 80], "lstm": [140, 160, 120]}, updates)
    >>> print(c.verdict)
    gru needs fewer than lstm by 60 on average, but 3 seeds cannot reach p < 0.05 with \
this test (smallest possible p = 0.25); 6 can. Student's 95 % interval of gru - lstm, \
if differences are normal: -125.7 to 5.724.
    """
    if len(arms) < 2 or len({len(values) for values in arms.values()}) > 1:
        raise ValueError(f"a comparison needs two arms or more with the same {unit}s")
    found, notes = [], []
    for a, b in itertools.combinations(arms, 2):
        values = np.array([arms[a], arms[b]], float)
        missing = ~np.isfinite(values)
        stand_in = None if missing.all() else missing_as
        if stand_in is not None:
            values = np.where(missing, stand_in, values)
        notes.append(_missing_note((a, b), missing, stand_in, unit))
        found.append(
            compared(
                *(a, b, values, rounding_of(arms[a], arms[b])),
                *(metric, unit, equivalent_within),
            )
        )
    judged = judge(found, metric, equivalent_within)
    return [
        replace(c, verdict=c.verdict + note)
        for c, note in zip(judged, notes, strict=True)
    ]


def compared(
    a: str,
    b: str,
    values: np.ndarray,
    rounding: float,
    metric: Metric,
    unit: str,
    equivalent_within: float | None = None,
) -> Comparison:
    """The comparison of two arms ``[2, S]``, before others correct its p-values.

    Values that differ by ``rounding`` alone, relative to them, count as equal.
    """
    values = values[:, np.isfinite(values).all(axis=0)]
    differences = values[0] - values[1]
    error = rounding * np.abs(values).max(axis=0, initial=0)
    differences = np.where(np.abs(differences) <= error, 0.0, differences)
    largest = float(error.max(initial=0))
    flips = sign_flips(differences, largest)
    mean = float(differences.mean()) if len(differences) else math.nan
    if abs(mean) <= largest:
        mean = 0.0
    low, high, method = _interval(differences, flips, largest, metric)
    unclear = flips.p_value >= ALPHA and len(differences) >= FEWEST
    p_equivalent = math.nan
    if equivalent_within is not None and len(differences):
        bound = equivalent_within / metric.scale
        p_equivalent = equivalence_p(differences, bound, largest)
    return Comparison(
        metric=metric.name,
        a=a,
        b=b,
        difference=mean,
        ci95=(low, high),
        ci95_method=method,
        p_value=flips.p_value,
        p_holm=math.nan,
        num_pairs=len(differences),
        test=flips.test,
        unit=unit,
        needed=pairs_needed(differences) if unclear else math.nan,
        p_equivalent=p_equivalent,
    )


def _interval(
    differences: np.ndarray, flips: SignFlips, error: float, metric: Metric
) -> Interval:
    """What the test leaves, from 6 pairs on; Student's below; none of equal values."""
    if len(differences) > 1 and np.ptp(differences) <= 2 * error:
        return Interval(math.nan, math.nan, EQUAL)
    if len(differences) >= FEWEST:
        return Interval(flips.low, flips.high, SUBSETS)
    low, high = metric.bounds or (-math.inf, math.inf)
    return interval_of_mean(differences, (low - high, high - low))


def _missing_note(
    names: tuple[str, str], missing: np.ndarray, missing_as: float | None, unit: str
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
        return f" Left out: {unit}s without a value in both ({counts})."
    return f" Values that do not exist ({counts}) are counted as {missing_as:g}."
