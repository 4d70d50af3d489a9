"""How well the prescriptions of the next day are foretold: by days, by patients.

Numbers that pool days have an interval over patients: patients are drawn again with
putting back, all their days together, as often as ``weights`` say.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from seqgraph_jax.data.splits import Split
from seqgraph_jax.tasks.prescriptions import (
    DayPairs,
    Rates,
    best_threshold,
    foretold,
    log_loss,
)
from seqgraph_jax.tasks.ranking import average_precision, average_precisions, recall_at
from seqgraph_jax.training.metrics import FROM_ZERO, SHARE, Metric

FIRST = 10  # of which recall is taken
#: Borders of the chances in which calibration is looked at.
BINS = np.array([0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1])
_higher = partial(Metric, better="higher", bounds=SHARE, digits=3)
_percent = partial(_higher, unit="%", scale=100)
#: What is measured, the first five first of all; each says what it is a mean over.
STARTS = _higher("starts_ap", "AP of starts, mean over folds")
STOPS = _higher("stops_ap", "AP of stops, mean over folds")
STARTS_POOLED = _higher("starts_ap_pooled", "AP of starts, all test days pooled")
STOPS_POOLED = _higher("stops_ap_pooled", "AP of stops, all test days pooled")
_RECALL = f"recall@{FIRST} of starts"
RECALL = _percent("recall_days", f"{_RECALL}, mean over days")
RECALL_PATIENTS = _percent("recall_patients", f"{_RECALL}, mean over patients")
NATS = Metric("nats", "log-loss", unit="nats a day", better="lower", bounds=FROM_ZERO)
ACTIVE = _higher("active_ap_pooled", "AP of what is active, all test days pooled")
MICRO_F1 = _percent("micro_f1", "F1 of what is active, all days pooled")
DAY_F1 = _percent("day_f1", "F1 of what is active, mean over days")
JACCARD = _percent("jaccard", "Jaccard of what is active, mean over days")
EMPTY = _percent("empty_days", "days with nothing active and nothing said")
PRIMARY = (STARTS, STOPS, RECALL, RECALL_PATIENTS, NATS)
SECONDARY = (ACTIVE, MICRO_F1, DAY_F1, JACCARD, EMPTY)
POOLED = (STARTS_POOLED, STOPS_POOLED)


def draw_patients(num_patients: int, draws: int, seed: int = 0) -> np.ndarray:
    """How often each patient counts, ``[1 + D, P]``: first once each, then drawn."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(num_patients, np.ones(num_patients) / num_patients, draws)
    return np.concatenate([np.ones((1, num_patients)), drawn])


@dataclass(frozen=True, eq=False)
class JudgedStays:
    """How an arm foretells the test days of S seeds; P patients.

    ``values[metric]`` is ``[S, 1 + D]``: of all patients, and of those drawn. ``by_
    patient[metric]`` is ``[S, P]``, of means over a patient's days, NaN without one.
    ``curves[kind]`` are precision and recall ``[2, K]`` of the first seed's pooled
    days, ``calibration`` counts, chances and what came, summed in each of `BINS`.
    """

    values: Mapping[Metric, np.ndarray]
    by_patient: Mapping[Metric, np.ndarray]
    curves: Mapping[str, np.ndarray]
    calibration: Mapping[str, np.ndarray]  # [3, bins]

    @property
    def per_seed(self) -> dict[Metric, np.ndarray]:
        """Of all patients, ``[S]`` by metric."""
        return {metric: drawn[:, 0] for metric, drawn in self.values.items()}

    def interval(self, metric: Metric, other: "JudgedStays | None" = None) -> tuple:
        """Mean over seeds, and the 95 % interval over patients; of a difference."""
        drawn = self.values[metric].mean(0)
        if other is not None:
            drawn = drawn - other.values[metric].mean(0)
        return float(drawn[0]), *bias_corrected(drawn[1:], drawn[0])


def bias_corrected(drawn: np.ndarray, value: float) -> tuple[float, float]:
    r"""The 95 % interval of bootstrap draws ``[D]`` of a value, corrected for its bias.

    .. math:: G^{-1}(\Phi(2 z_0 \pm 1.96)), \qquad z_0 = \Phi^{-1}(G(\text{value}))

    where G is the distribution of the draws; z0 is 0 where the value is their median.

    Source: Efron, Nonparametric standard errors and confidence intervals, 1981,
    section 7.

    >>> np.round(bias_corrected(np.arange(101.0), 50.0), 3).tolist()
    [2.5, 97.5]
    """
    from scipy import special

    drawn = drawn[np.isfinite(drawn)]
    below = ((drawn < value).sum() + (drawn <= value).sum()) / 2
    z0 = special.ndtri(np.clip(below, 1, len(drawn) - 1) / len(drawn))
    places = special.ndtr(2 * z0 + special.ndtri([0.025, 0.975]))
    low, high = np.quantile(drawn, places)
    return float(low), float(high)


def judge_folds(
    pairs: DayPairs,
    splits: Sequence[Split],
    chances: Sequence[np.ndarray],
    thresholds: Sequence[float],
    weights: np.ndarray,
) -> JudgedStays:
    """One seed's folds: ``chances[k]`` of the test days of split k, ``[R', V]``.

    Days on which nothing starts have no recall; two sets that are both empty are alike,
    F1 and Jaccard 1.
    """
    chance = np.zeros(pairs.then.shape)
    said = np.zeros(pairs.then.shape, bool)
    ranked: dict[Metric, list[np.ndarray]] = {STARTS: [], STOPS: []}
    for split, of_fold, threshold in zip(splits, chances, thresholds, strict=True):
        rows = split.test_mask[pairs.patient]
        chance[rows], said[rows] = of_fold, of_fold >= threshold
        sides = _sides(pairs.rows(rows), of_fold)
        for metric, aps in ranked.items():
            aps.append(_precisions(sides[metric], weights))
    values = {metric: np.mean(found, 0)[None] for metric, found in ranked.items()}
    whole = _sides(pairs, chance)
    for metric, pooled in ((STARTS, STARTS_POOLED), (STOPS, STOPS_POOLED)):
        values[pooled] = _precisions(whole[metric], weights)[None]
    values[ACTIVE] = _precisions(whole[ACTIVE], weights)[None]
    out, then = ~pairs.active, pairs.then
    days = {
        NATS: log_loss(chance, then),
        RECALL: recall_at(FIRST, np.where(out, chance, -np.inf), then & out),
    }
    both, either = (said & then).sum(1), (said | then).sum(1)
    sizes = both + either
    days[DAY_F1] = np.where(sizes > 0, 2 * both / np.maximum(1, sizes), 1)
    days[JACCARD] = np.where(either > 0, both / np.maximum(1, either), 1)
    days[EMPTY] = (either == 0).astype(float)
    by_patient = {}
    for metric, of_days in days.items():
        there = np.isfinite(of_days)
        sums, counts = (
            np.bincount(pairs.patient[there], of, pairs.num_patients)
            for of in (of_days[there], np.ones(there.sum()))
        )
        if metric in (NATS, RECALL):
            by_patient[metric] = _ratio(sums, counts)[None]
        values[metric] = _ratio(weights @ sums, weights @ counts)[None]
    recall = by_patient.pop(RECALL)[0]
    by_patient[RECALL_PATIENTS] = recall[None]
    there = np.isfinite(recall)
    sums = weights @ np.where(there, recall, 0)
    values[RECALL_PATIENTS] = _ratio(sums, weights @ there)[None]
    both, sizes = (np.bincount(pairs.patient, of) for of in (both, sizes))
    values[MICRO_F1] = _ratio(2 * weights @ both, weights @ sizes)[None]
    return JudgedStays(
        values,
        by_patient,
        {k.name: _curve(*whole[k][:2]) for k in (STARTS, STOPS)},
        {k.name: _calibration(*whole[k][:2]) for k in (STARTS, STOPS)},
    )


def judge_arm(
    pairs: DayPairs,
    splits: Sequence[Split],
    num_folds: int,
    baseline: Callable[[DayPairs], Rates],
    weights: np.ndarray,
    added: Sequence[np.ndarray] | None = None,
    without: np.ndarray | None = None,
) -> tuple[JudgedStays, np.ndarray, np.ndarray]:
    """All seeds' folds of an arm: ``splits [S P]``, and what a network adds in each.

    Where what it adds does not lower the validation loss, nothing is added, unless
    ``without [S P]`` says where that is. Returns what is found, the thresholds, and
    where nothing is added.

    >>> from seqgraph_jax.data.splits import patient_splits
    >>> from seqgraph_jax.data.synthetic_records import draw_records
    >>> from seqgraph_jax.tasks.prescriptions import day_pairs, rates
    >>> pairs = day_pairs(draw_records(50))
    >>> splits = patient_splits(pairs.num_patients, num_folds=5, seed=0)
    >>> weights = draw_patients(pairs.num_patients, draws=100)
    >>> found, *_ = judge_arm(pairs, splits, 5, rates, weights)
    >>> [round(number, 3) for number in found.interval(STARTS)]
    [0.019, 0.014, 0.023]
    """
    chances, thresholds, none = [], [], []
    for k, split in enumerate(splits):
        then = pairs.then[split.val_mask[pairs.patient]]
        val, test = foretold(pairs, split, baseline)
        none.append(True)
        if added is not None:
            other, with_it = foretold(pairs, split, baseline, added[k])
            losses = (log_loss(chance, then).mean() for chance in (other, val))
            none[k] = not np.subtract(*losses) < 0 if without is None else without[k]
            val, test = (val, test) if none[k] else (other, with_it)
        thresholds.append(best_threshold(val, then))
        chances.append(test)
    seeds = [slice(k, k + num_folds) for k in range(0, len(splits), num_folds)]
    found = [
        judge_folds(pairs, splits[of], chances[of], thresholds[of], weights)
        for of in seeds
    ]
    return _joined(found), np.array(thresholds), np.array(none)


def _joined(found: Sequence[JudgedStays]) -> JudgedStays:
    def stacked(name: str) -> dict[Metric, np.ndarray]:
        first = getattr(found[0], name)
        return {m: np.concatenate([getattr(f, name)[m] for f in found]) for m in first}

    sums = {
        name: np.sum([one.calibration[name] for one in found], 0)
        for name in found[0].calibration
    }
    return JudgedStays(stacked("values"), stacked("by_patient"), found[0].curves, sums)


Side = tuple[np.ndarray, np.ndarray, np.ndarray]


def _sides(pairs: DayPairs, chance: np.ndarray) -> dict[Metric, Side]:
    """Chance, whether it came, patient: of all that could start, stop, be active."""
    patient = np.broadcast_to(pairs.patient[:, None], chance.shape)
    out, on, then = ~pairs.active, pairs.active, pairs.then
    return {
        STARTS: (chance[out], then[out], patient[out]),
        STOPS: (1 - chance[on], ~then[on], patient[on]),
        ACTIVE: (chance.ravel(), then.ravel(), patient.ravel()),
    }


def _precisions(side: Side, weights: np.ndarray) -> np.ndarray:
    """Average precision of all, to the last score, and of patients drawn."""
    scores, came, _ = side
    drawn = average_precisions(*side, weights[1:])
    return np.append(average_precision(scores, came), drawn)


def _ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.where(counts > 0, sums / np.where(counts > 0, counts, 1), np.nan)


def _curve(scores: np.ndarray, happens: np.ndarray) -> np.ndarray:
    """Recall and precision of the highest scores, at most 200 points, ``[2, K]``."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    found = np.cumsum(happens[order])[last]
    recall = found / max(1, found[-1])
    places = np.unique(np.searchsorted(recall, np.linspace(0, 1, 200)))
    places = places[places < len(recall)]
    return np.stack([recall[places], (found / (last + 1))[places]])


def _calibration(chance: np.ndarray, came: np.ndarray) -> np.ndarray:
    place = np.clip(np.digitize(chance, BINS) - 1, 0, len(BINS) - 2)
    sums = (np.bincount(place, of, len(BINS) - 1) for of in (None, chance, came))
    return np.array(list(sums))
