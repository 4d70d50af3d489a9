"""Times to an event that not every seed was watched long enough to see.

Of a seed without the event it is known that its time is longer than it was watched, and
no more: its time is censored there. A seed that can never have the event, since it has
diverged, has an infinite time, which is known.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from seqgraph_jax.reports.intervals import ALPHA
from seqgraph_jax.reports.paired import compared
from seqgraph_jax.reports.verdicts import Comparison, judge
from seqgraph_jax.training.metrics import UPDATES_TO_CONVERGE, Metric
from seqgraph_jax.training.runs import Run


@dataclass(frozen=True)
class Times:
    """Times of each seed's event, ``[S]``; NaN where it was not seen.

    ``watched [S]`` says how long each seed was watched, ``never [S]`` which of those
    without the event can never have it.
    """

    times: np.ndarray
    watched: np.ndarray
    never: np.ndarray

    def rows(self, chosen: slice) -> "Times":
        """The same of some seeds, or of one part of each."""
        return Times(self.times[chosen], self.watched[chosen], self.never[chosen])

    @property
    def ends(self) -> np.ndarray:
        """Time of the event, infinite if it never comes, or of censoring, ``[S]``."""
        without = np.where(self.never, np.inf, self.watched)
        return np.where(np.isnan(self.times), without, self.times)

    @property
    def censored(self) -> np.ndarray:
        """Seeds whose time is not known, ``[S]``."""
        return np.isnan(self.times) & ~self.never


def times_to_converge(run: Run) -> Times:
    """Updates until each seed converged, and until when that could be judged.

    A seed converges at the first of ``hold_for`` evaluations at its threshold, so its
    last ``hold_for - 1`` evaluations are too late to begin: it was watched up to the
    one before them.
    """
    late = (run.config.hold_for - 1) * run.config.eval_every
    watched = np.maximum(0, run.last_update - late).astype(float)
    return Times(run.updates_to_converge, watched, run.diverged)


class Restricted(NamedTuple):
    """Times of A arms, ``[A, S]``, none longer than a horizon.

    ``common`` are those up to ``horizon``, which every seed was watched for; no time
    up to there is unknown, and ``late [A, S]`` are longer. In ``longest``, up to
    ``last``, the longest that any was watched for, censored seeds count as if they had
    not had the event by then.
    """

    common: np.ndarray
    horizon: float
    late: np.ndarray
    longest: np.ndarray
    last: float


def restrict(*arms: Times) -> Restricted:
    """Times of arms, restricted to a common horizon and to the longest one.

        min(T, horizon), horizon = the shortest watch of a censored seed

    Source: Royston and Parmar, Restricted mean survival time, 2013, for the mean.

    >>> few = Times(np.array([5.0, np.nan]), np.array([10.0, 10]), np.zeros(2, bool))
    >>> more = Times(np.array([30.0, 20]), np.array([40.0, 40]), np.zeros(2, bool))
    >>> found = restrict(few, more)
    >>> found.common.tolist(), found.longest.tolist()
    ([[5.0, 10.0], [10.0, 10.0]], [[5.0, 40.0], [30.0, 20.0]])
    """
    last = float(max(arm.watched.max() for arm in arms))
    limits = np.concatenate([arm.watched[arm.censored] for arm in arms])
    horizon = float(limits.min(initial=last))
    times = np.array([arm.times for arm in arms])
    known = np.where(np.isnan(times), np.inf, times)
    return Restricted(
        common=np.minimum(known, horizon),
        horizon=horizon,
        late=known > horizon,
        longest=np.minimum(known, last),
        last=last,
    )


def shown_times(arms: Mapping[str, Times]) -> tuple[Metric, dict[str, np.ndarray]]:
    """Updates until convergence as tables show them, ``[S]``, and what they are.

    Where a seed had not converged they are restricted to a horizon of all arms, which
    the label says.
    """
    found, metric = restrict(*arms.values()), UPDATES_TO_CONVERGE
    if found.late.any():
        label = f"{metric.label}, counted up to {found.horizon:g}"
        metric = replace(metric, label=label)
    return metric, dict(zip(arms, found.common, strict=True))


def compare_times(
    arms: Mapping[str, Times], equivalent_within: float | None = None
) -> list[Comparison]:
    """Compare updates until convergence of every pair of arms, over the same seeds.

    Means are restricted to a horizon that all seeds of both arms were watched for
    (`restrict`). Where seeds were watched for different times, all is counted a second
    time, up to the longest: if that makes another claim, none is made, and the verdict
    says so. Claims are those of `paired.compare`.

    >>> def times(found, budget):
    ...     return Times(np.array(found), np.full(6, budget), np.zeros(6, bool))
    >>> short = times([np.nan] * 6, 10.0)
    >>> long = times([20.0, 30.0, 20.0, 40.0, 30.0, 20.0], 40.0)
    >>> [c] = compare_times({"short": short, "long": long})
    >>> c.claim, c.difference
    (0, 0.0)
    """
    pairs = list(itertools.combinations(arms, 2))
    found = [restrict(arms[a], arms[b]) for a, b in pairs]
    judged = [
        judge(
            [
                compared(
                    a, b, values, 0.0, UPDATES_TO_CONVERGE, "seed", equivalent_within
                )
                for (a, b), values in zip(pairs, up_to, strict=True)
            ],
            UPDATES_TO_CONVERGE,
            equivalent_within,
        )
        for up_to in ([f.common for f in found], [f.longest for f in found])
    ]
    return [
        _agreed(common, longest, times)
        for common, longest, times in zip(*judged, found, strict=True)
    ]


def _agreed(common: Comparison, longest: Comparison, times: Restricted) -> Comparison:
    """The comparison up to the common horizon, if the longest claims the same."""
    if not times.late.any():
        return common
    horizon = f"the first {times.horizon:g} updates"
    counts = " and ".join(
        f"{row.sum()} of {name}"
        for name, row in zip((common.a, common.b), times.late, strict=True)
        if row.any()
    )
    if (common.claim, common.equivalent) == (longest.claim, longest.equivalent):
        note = (
            f" Times are restricted to {horizon}, for which every seed was watched: "
            f"{counts} had not converged by then."
        )
        return replace(common, verdict=common.verdict + note)
    verdict = (
        f"{common.a} and {common.b}: no claim is made, since it would hang on how long "
        f"seeds were watched. Restricted to {horizon}, for which all were "
        f"({counts} had not converged by then): {common.verdict} Counted up to "
        f"{times.last:g}, the longest that any was: {longest.verdict}"
    )
    return replace(common, claim=0, equivalent=False, verdict=verdict)


class Shares(NamedTuple):
    """Share of seeds that have had the event, with its 95 % interval, ``[K]`` each.

    They hold from a time of ``at`` to the next one; ``marks`` are times of censoring.
    """

    at: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    marks: np.ndarray


def event_shares(of: Times) -> Shares:
    """Kaplan and Meier's estimate of the share that has had the event, with a band.

        S(t) = product over t_i <= t of (1 - d_i / n_i)

    where d_i of n_i seeds that were still watched have the event at t_i; given is
    1 - S. The band is pointwise: S is at most a quantile of the product of
    Beta(n_i - d_i + 1, d_i), at least one of the same times Beta(m, 1) with m seeds
    watched after t, each product taken as the beta variable of its mean and variance.
    Without censoring that is Clopper and Pearson's interval exactly; it holds its level
    in small samples, where those by Greenwood's variance do not.

    Source: Kaplan and Meier, Nonparametric estimation from incomplete observations,
    1958; Fay, Brittain and Proschan, Pointwise confidence intervals for a survival
    distribution with small samples or heavy censoring, 2013.

    >>> times = np.array([10.0, 20, np.nan, 30])
    >>> shares = event_shares(Times(times, np.full(4, 15.0), np.zeros(4, bool)))
    >>> shares.at.tolist(), shares.share.tolist()
    ([0.0, 10.0, 15.0, 20.0, 30.0], [0.0, 0.25, 0.25, 0.625, 1.0])
    """
    ends, events = of.ends, np.isfinite(of.times)
    at = np.unique(np.append(0.0, ends[np.isfinite(ends)]))
    remaining, mean, square = 1.0, 1.0, 1.0
    found = []
    for t in at:
        at_risk = int((ends >= t).sum())
        now, after = int((events & (ends == t)).sum()), int((ends > t).sum())
        if now:
            remaining *= 1 - now / at_risk
            kept = at_risk - now + 1
            mean *= kept / (at_risk + 1)
            square *= kept * (kept + 1) / ((at_risk + 1) * (at_risk + 2))
        upper = _quantile(mean, square, 1 - ALPHA / 2)
        share, next_square = mean * after / (after + 1), square * after / (after + 2)
        lower = _quantile(share, next_square, ALPHA / 2)
        found.append((1 - remaining, 1 - upper, 1 - lower))
    share, low, high = np.array(found).T
    return Shares(at, share, low, high, np.unique(ends[of.censored]))


def _quantile(mean: float, square: float, q: float) -> float:
    """Quantile of the beta variable with a mean and a mean square; 0 and 1 are sure."""
    variance = square - mean**2
    if mean <= 0 or variance <= 1e-15:
        return mean
    from scipy import special

    size = mean * (1 - mean) / variance - 1
    return float(special.betaincinv(mean * size, (1 - mean) * size, q))
