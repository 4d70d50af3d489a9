"""What is prescribed tomorrow: day pairs of stays, and rates that need no network.

A row is a day t of a stay that has a next one. Of a drug that is not active on day t it
is asked whether it starts, of one that is active whether it stops; both together say
what is active tomorrow.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from seqgraph_jax.data.patients import PatientData
from seqgraph_jax.data.splits import Split

#: Days of a stay that rates tell apart, by the first of each group.
DAY_GROUPS = (0, 1, 2, 5, 10)
START_PRIOR, STOP_PRIOR = 50.0, 5.0  # days that the mean over drugs counts as


class DayPairs(NamedTuple):
    """R days that have a next one, and V drugs.

    ``patient [R]``, 0 to P - 1 of those that have any, and ``day [R]``, of the stay;
    ``active [R, V]`` says what is active on the day, ``earlier [R, V]`` what was on any
    day of the stay so far, ``then [R, V]`` what is active on the next day.
    """

    patient: np.ndarray
    day: np.ndarray
    active: np.ndarray
    earlier: np.ndarray
    then: np.ndarray

    @property
    def num_patients(self) -> int:
        return int(self.patient.max()) + 1

    @property
    def out(self) -> np.ndarray:
        """What could start: not active today, ``[R, V]``."""
        return ~self.active

    def rows(self, chosen: np.ndarray) -> "DayPairs":
        """The chosen days alone."""
        return DayPairs(*(leaf[chosen] for leaf in self))


def day_pairs(data: PatientData) -> DayPairs:
    """All day pairs of the stays that have an order of any drug."""
    rows = data.pairs()
    stay = np.repeat(np.arange(data.num_stays), data.num_days)
    active = data.active().toarray()
    earlier = np.zeros_like(active)
    for first, end in zip(data.days[:-1], data.days[1:], strict=True):
        np.logical_or.accumulate(active[first:end], axis=0, out=earlier[first:end])
    return DayPairs(
        patient=np.unique(data.patient[stay[rows]], return_inverse=True)[1],
        day=rows - data.days[stay[rows]],
        active=active[rows],
        earlier=earlier[rows],
        then=active[rows + 1],
    )


class Rates(NamedTuple):
    """How often each drug starts and stops, and what the day and the past do to it.

    ``start [V]`` and ``stop [V]`` are shares of the days on which it could; a factor
    multiplies the odds: ``day [G]`` by the group of the day, ``again`` of starts for
    drugs that were active before.
    """

    start: np.ndarray
    stop: np.ndarray
    start_day: np.ndarray
    stop_day: np.ndarray
    again: np.ndarray  # [2]: not active before in the stay, active before


def rates(pairs: DayPairs) -> Rates:
    r"""Rates of each drug, shrunk to the mean over drugs, from training days.

    .. math:: p_j = (n_j + s\, p) / (N_j + s)

    where drug j started (stopped) on n_j of the N_j days on which it was not active
    (was), p is the same share over all drugs, and s is 50 for starts and 5 for stops. A
    drug without a day has p. Factors of days are odds of all drugs' starts (stops) in a
    group of days, divided by the odds over all days; those of the past are starts that
    there were, divided by those that rates and days alone expect, or 1 without any.
    """
    out, starts = ~pairs.active, pairs.then & ~pairs.active
    stops = pairs.active & ~pairs.then
    groups = group_of(pairs.day)
    every = range(len(DAY_GROUPS))
    found = Rates(
        start=_shrunk(starts.sum(0), out.sum(0), START_PRIOR),
        stop=_shrunk(stops.sum(0), pairs.active.sum(0), STOP_PRIOR),
        start_day=_factors([(starts[groups == g], out[groups == g]) for g in every]),
        stop_day=_factors(
            [(stops[groups == g], pairs.active[groups == g]) for g in every]
        ),
        again=np.ones(2),
    )
    expected = chances(found, pairs)
    again = []
    for past in (~pairs.earlier, pairs.earlier):
        seen, by_rates = (starts & past).sum(), expected[out & past].sum()
        again.append(seen / by_rates if seen else 1.0)
    return found._replace(again=np.array(again))


def log_odds(of: Rates, pairs: DayPairs) -> np.ndarray:
    """Log-odds that each drug is active on the next day, ``[R, V]``, by rates alone."""
    groups = group_of(pairs.day)
    start = np.log(odds_of(of.start)) + np.log(of.start_day[groups])[:, None]
    stop = np.log(odds_of(of.stop)) + np.log(of.stop_day[groups])[:, None]
    again = np.log(of.again)
    start = start + np.where(pairs.earlier, again[1], again[0])
    return np.where(pairs.active, -stop, start)


def chances(of: Rates, pairs: DayPairs) -> np.ndarray:
    """Chance that each drug is active on the next day, ``[R, V]``, by rates alone."""
    return 1 / (1 + np.exp(-log_odds(of, pairs)))


def foretold(
    pairs: DayPairs,
    split: Split,
    baseline: Callable[[DayPairs], Rates],
    added: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Chances of a split's validation and of its test days, ``[R', V]`` each.

    They are those of rates, with what a network ``added [R, V]`` to their log-odds. For
    validation, by which the network was chosen, rates are of the training patients; for
    the test of these and the validation patients.
    """
    train, val, test = (mask[pairs.patient] for mask in split)
    of_training = pairs.rows(train)
    seen = (of_training.active | of_training.then).any(0)
    found = []
    for of, rows in ((of_training, val), (pairs.rows(~test), test)):
        logits = log_odds(baseline(of), pairs.rows(rows))
        if added is not None:
            logits = logits + np.where(seen, added[rows], 0)
        found.append(1 / (1 + np.exp(-logits)))
    return found[0], found[1]


def log_loss(chance: np.ndarray, then: np.ndarray) -> np.ndarray:
    """Nats of each day, ``[R]``, summed over drugs."""
    said = np.where(then, chance, 1 - chance)
    return -np.log(np.maximum(said, 1e-12)).sum(1)


def best_threshold(chance: np.ndarray, then: np.ndarray) -> float:
    """The chance from which on a drug counts as said, with the best pooled F1.

    >>> best_threshold(np.array([[0.9, 0.4, 0.3]]), np.array([[True, True, False]]))
    0.35
    """
    tried = np.arange(1, 20) / 20

    def f1(threshold: float) -> float:
        said = chance >= threshold
        return float(2 * (said & then).sum() / max(1, said.sum() + then.sum()))

    return float(max(tried, key=f1))


def group_of(day: np.ndarray) -> np.ndarray:
    """Group of each day of a stay, by `DAY_GROUPS`."""
    return np.searchsorted(DAY_GROUPS, day, side="right") - 1


def _shrunk(count: np.ndarray, days: np.ndarray, prior: float) -> np.ndarray:
    mean = count.sum() / max(1, days.sum())
    return (count + prior * mean) / (days + prior)


def copying(pairs: DayPairs) -> Rates:
    """What is active stays so: one share of starts and one of stops, of all drugs."""
    every = np.ones(pairs.active.shape[1])
    start = (pairs.then & ~pairs.active).sum() / max(1, (~pairs.active).sum())
    stop = (pairs.active & ~pairs.then).sum() / max(1, pairs.active.sum())
    return _alone(start * every, stop * every)


def frequency(pairs: DayPairs) -> Rates:
    """How often each drug is given, whether it is active today or not."""
    share = _shrunk(pairs.then.sum(0), np.full(pairs.then.shape[1], len(pairs.then)), 1)
    return _alone(share, 1 - share)


def plain(pairs: DayPairs) -> Rates:
    """`rates` without factors of days and of the past."""
    return _alone(*rates(pairs)[:2])


def by_day(pairs: DayPairs) -> Rates:
    """`rates` without the factor of the past."""
    return rates(pairs)._replace(again=np.ones(2))


def _alone(start: np.ndarray, stop: np.ndarray) -> Rates:
    groups = np.ones(len(DAY_GROUPS))
    return Rates(start, stop, groups, groups, np.ones(2))


#: What is said without a network: functions of training days.
BASELINES = {
    "copy": copying,
    "frequency": frequency,
    "rates": plain,
    "rates by day": by_day,
    "rates by day and past": rates,
}


def odds_of(p: np.ndarray | float) -> np.ndarray:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return p / (1 - p)


def _factors(of: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Odds in each group divided by those over all; 1 where a group has no day."""
    counts = np.array([events.sum() for events, _ in of])
    days = np.array([possible.sum() for _, possible in of])
    all_days = counts.sum() / max(1, days.sum())
    shares = np.where(days > 0, counts / np.maximum(1, days), all_days)
    return odds_of(shares) / odds_of(all_days)
