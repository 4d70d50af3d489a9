"""What a paired comparison supports, in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from seqgraph_jax.reports.intervals import ALPHA, EQUAL, NONE, STUDENT
from seqgraph_jax.reports.power import SIZES
from seqgraph_jax.reports.statistics import at_least
from seqgraph_jax.training.metrics import Metric, counted


@dataclass(frozen=True)
class Comparison:
    """Paired comparison of two arms over the same seeds, or what else was sampled.

    ``difference`` is the mean of a - b and ``ci95`` its interval, had as
    ``ci95_method`` says; both are of this pair alone, and so is ``p_value``. ``p_holm``
    is adjusted for all comparisons made together, and ``claim`` is -1 where a is lower
    by it, 1 where a is higher, and 0 where nothing is claimed. ``num_pairs`` counts
    what was compared, in units named ``unit``. Where no difference is told from chance,
    ``needed`` is about how many would find one as large (`power.pairs_needed`). Where
    it was asked, ``p_equivalent`` is that of a difference within bounds
    (`intervals.equivalence_p`), corrected as well, and ``equivalent`` whether that is
    claimed. ``verdict`` says all of it.
    """

    metric: str
    a: str
    b: str
    difference: float
    ci95: tuple[float, float]
    ci95_method: str
    p_value: float
    p_holm: float
    num_pairs: int
    test: str
    unit: str = "seed"
    claim: int = 0
    needed: float = math.nan
    p_equivalent: float = math.nan
    equivalent: bool = False
    verdict: str = ""


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


def judge(
    found: Sequence[Comparison], metric: Metric, within: float | None = None
) -> list[Comparison]:
    """Comparisons made together, with Holm's p-values, claims and verdicts.

    ``within`` is the bound that ``p_equivalent`` is of, in the unit that is shown.
    """
    adjusted = holm([c.p_value for c in found])
    alike = holm([c.p_equivalent for c in found])
    judged = []
    for c, p, p_alike in zip(found, adjusted, alike, strict=True):
        claim = int(np.sign(c.difference)) if p < ALPHA else 0
        others = [o.p_value for o in found if o is not c]
        c = replace(c, p_holm=p, claim=claim)
        verdict = sentence(c, others, metric)
        if within is not None:
            c = replace(c, p_equivalent=p_alike, equivalent=p_alike < ALPHA)
            verdict += _equivalence(c, metric, within, bool(others))
        judged.append(replace(c, verdict=verdict))
    return judged


def _equivalence(c: Comparison, metric: Metric, within: float, several: bool) -> str:
    """Whether a difference is within bounds, as a sentence of its own."""
    unit = f" {metric.difference_unit}" if metric.difference_unit else ""
    corrected = " after Holm's correction" if several else ""
    p = f"two one-sided tests, p = {c.p_equivalent:.2g}{corrected}"
    if c.equivalent:
        return f" They do not differ by more than {within:g}{unit} ({p})."
    return f" That they differ by no more than {within:g}{unit} is not shown ({p})."


def smallest_p(num_pairs: int, others: Sequence[float]) -> float:
    """The smallest p that so many pairs can reach, corrected with the others' p-values.

    >>> smallest_p(6, []), smallest_p(6, [0.5, 0.5]), smallest_p(6, [1e-3, 2e-3])
    (0.03125, 0.09375, 0.03125)
    """
    return holm([min(1.0, 2 / 2**num_pairs), *others])[0]


def sentence(c: Comparison, others: Sequence[float], metric: Metric) -> str:
    """The verdict; ``others`` are p-values of the pairs that were compared with it."""
    n = c.num_pairs
    if n == 0:
        return (
            f"{c.a} and {c.b}: no {c.unit} has a value in both, so none are compared."
        )
    if c.difference == 0:
        return _no_difference(c, metric)
    unit = f" {metric.difference_unit}" if metric.difference_unit else ""
    size = f"{metric.scale * abs(c.difference):.4g}{unit}"
    claim = f"{c.a} {metric.verdict_words[c.difference > 0]} {c.b} by {size} on average"
    corrected = " after Holm's correction" if others else ""
    interval = _interval(c, metric, bool(others))
    smallest = smallest_p(n, others)
    if smallest >= ALPHA:
        needed = n + 1
        while smallest_p(needed, others) >= ALPHA:
            needed += 1
        return (
            f"{claim}, but {counted(n, c.unit)} cannot reach p < 0.05 with this test"
            f"{corrected} (smallest possible p = {smallest:.2g}); {needed} can."
            + (f" {interval[0].upper()}{interval[1:]}." if interval else "")
        )
    evidence = f"{interval}, {counted(n, c.unit)}"
    if c.p_value < ALPHA <= c.p_holm:
        return (
            f"{claim}, but no claim is made: p = {c.p_value:.2g} of this pair is "
            f"{c.p_holm:.2g} after Holm's correction for {len(others) + 1} comparisons "
            f"({evidence})."
        )
    said = f"(p = {c.p_holm:.2g}{corrected}, {evidence})"
    if c.claim:
        return f"{claim} {said}."
    return (
        f"{claim}, a difference that {counted(n, c.unit)} do not tell from chance "
        f"{said}.{_more(c)}"
    )


def _more(c: Comparison) -> str:
    """How many would find a difference as large as the one that was seen."""
    if math.isnan(c.needed):
        return ""
    if math.isinf(c.needed):
        return (
            f" Were the true difference as large, {SIZES[-1]} {c.unit}s would find it "
            "in fewer than 8 of 10 such experiments."
        )
    return (
        f" Were the true difference as large, about {c.needed:g} {c.unit}s would find "
        "it in 8 of 10 such experiments."
    )


def _no_difference(c: Comparison, metric: Metric) -> str:
    n, both = c.num_pairs, f"{c.a} and {c.b}"
    if n == 1:
        return f"{both} have one {c.unit} to compare, with the same value in both."
    known = f"the same value in all of them, as in {at_least(n, c.unit)}"
    if c.ci95_method != EQUAL:
        known = _interval(c, metric, False)
    return f"{both} do not differ on average over {counted(n, c.unit)} ({known})."


def _interval(c: Comparison, metric: Metric, of_several: bool) -> str:
    """The interval in words; nothing where there is none."""
    if c.ci95_method == NONE:
        return ""
    if c.ci95_method == EQUAL:
        return f"all {c.num_pairs} differences are equal, which gives no interval"
    unit = f" {metric.difference_unit}" if metric.difference_unit else ""
    low, high = (metric.scale * end for end in c.ci95)
    ends = f"{low:.4g} to {high:.4g}{unit}"
    alone = " alone" if of_several else ""
    if c.ci95_method == STUDENT:
        return (
            f"Student's 95 % interval of {c.a} - {c.b}{alone}, if differences are "
            f"normal: {ends}"
        )
    return f"95 % interval of {c.a} - {c.b}{alone}: {ends}"
