"""What is foretold of days, judged: by hand, by loops, and over patients drawn anew."""

import numpy as np
import pytest

from seqgraph_jax.data.splits import Split, patient_splits
from seqgraph_jax.data.synthetic_records import draw_records
from seqgraph_jax.tasks import judged_stays as judged
from seqgraph_jax.tasks.prescriptions import DayPairs, day_pairs, foretold, rates
from seqgraph_jax.tasks.ranking import average_precision, average_precisions


def test_patients_drawn_twice_count_twice():
    # Weights of the wrong patient; positives alone weighted; ties in their order.
    rng = np.random.default_rng(0)
    scores, happens = rng.integers(0, 9, 200) / 9, rng.random(200) < 0.2
    group = rng.integers(0, 6, 200)
    weights = rng.multinomial(6, np.ones(6) / 6, 5)
    found = average_precisions(scores, happens, group, np.vstack([np.ones(6), weights]))
    assert found[0] == pytest.approx(average_precision(scores, happens))
    for value, weight in zip(found[1:], weights, strict=True):
        again = np.repeat(np.arange(200), weight[group])
        expected = average_precision(scores[again], happens[again])
        assert value == pytest.approx(expected)
    few = average_precisions(scores, happens, group, weights, most=5)
    assert not np.allclose(few, found[1:], atol=1e-9)
    np.testing.assert_allclose(few, found[1:], rtol=0.3)
    one = np.eye(6)[[3]]
    none = average_precisions(scores, happens & (group != 3), group, one)
    assert np.isnan(none).all()
    assert np.isnan(average_precisions(scores, scores > 9, group, one)).all()


#: Patient 0 has two days, patients 1 and 2 one each; four drugs.
PAIRS = DayPairs(
    patient=np.array([0, 0, 1, 2]),
    day=np.array([0, 1, 0, 0]),
    active=np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]], bool),
    earlier=np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]], bool),
    then=np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]], bool),
)
CHANCE = np.array(
    [
        [0.9, 0.6, 0.2, 0.1],
        [0.9, 0.8, 0.1, 0.3],
        [0.4, 0.1, 0.1, 0.1],
        [0.1, 0.2, 0.9, 0.1],
    ]
)
ALL = Split(*(np.zeros(3, bool),) * 2, np.ones(3, bool))


def test_sets_of_days_by_hand():
    # Two empty sets without a value; the mean of ratios for the ratio of sums.
    weights = np.array([[1, 1, 1], [2, 0, 1]])
    found = judged.judge_folds(PAIRS, [ALL], [CHANCE], [0.5], weights)
    value = {metric.name: of[0] for metric, of in found.values.items()}
    # Said and came: {0, 1} of {0, 1}; {0, 1} of {0}; none of none; {2} of {2, 3}.
    f1, jaccard = np.array([1, 2 / 3, 1, 2 / 3]), np.array([1, 1 / 2, 1, 1 / 2])
    for name, days in (("day_f1", f1), ("jaccard", jaccard)):
        twice = (2 * days[:2].sum() + days[3]) / 5
        np.testing.assert_allclose(value[name], [days.mean(), twice])
    micro = [2 * 4 / (5 + 5), 2 * (2 * 3 + 1) / (2 * (4 + 3) + 3)]
    np.testing.assert_allclose(value["micro_f1"], micro)
    np.testing.assert_allclose(value["empty_days"], [1 / 4, 0])
    # Starts: drug 1 on day 0 of patient 0, drug 3 of patient 2. All are among ten.
    assert value["recall_days"].tolist() == [1, 1]
    assert np.isnan(found.by_patient[judged.RECALL_PATIENTS][0, 1])
    starts = [0.6, 0.2, 0.1, 0.1, 0.3, 0.4, *[0.1] * 3, 0.1, 0.2, 0.1]
    came = np.arange(12) % 11 == 0
    assert value["starts_ap"][0] == pytest.approx(
        average_precision(np.array(starts), came)
    )
    stops = average_precision(1 - np.array([0.9, 0.9, 0.8, 0.9]), np.arange(4) == 2)
    assert value["stops_ap"][0] == pytest.approx(stops) == pytest.approx(1)
    said = np.where(PAIRS.then, CHANCE, 1 - CHANCE)
    nats = -np.log(said).sum(1)
    np.testing.assert_allclose(value["nats"][0], nats.mean())
    of_patients = found.by_patient[judged.NATS][0]
    np.testing.assert_allclose(of_patients, [nats[:2].mean(), nats[2], nats[3]])


def test_recall_over_patients_and_over_days_differ(monkeypatch):
    monkeypatch.setattr(judged, "FIRST", 1)
    chance = CHANCE.copy()
    chance[3] = [0.5, 0.1, 0.9, 0.2]  # misses the start of patient 2
    pairs = PAIRS._replace(then=PAIRS.then.copy())
    pairs.then[1, 3] = True  # another of patient 0, found
    found = judged.judge_folds(pairs, [ALL], [chance], [0.5], np.ones((1, 3)))
    values = {metric.name: of[0, 0] for metric, of in found.values.items()}
    assert values["recall_days"] == pytest.approx(2 / 3)
    assert values["recall_patients"] == pytest.approx(1 / 2)


def test_folds_are_ranked_apart_and_pooled():
    splits = [
        Split(*(np.zeros(3, bool),) * 2, np.isin(np.arange(3), of))
        for of in ([0], [1, 2])
    ]
    parts = [CHANCE[:2], CHANCE[2:]]
    found = judged.judge_folds(PAIRS, splits, parts, [0.5, 0.5], np.ones((1, 3)))
    values = {metric.name: of[0, 0] for metric, of in found.values.items()}
    apart = []
    for rows in (slice(0, 2), slice(2, 4)):
        out = ~PAIRS.active[rows]
        apart.append(average_precision(CHANCE[rows][out], PAIRS.then[rows][out]))
    assert values["starts_ap"] == pytest.approx(np.mean(apart))
    out = ~PAIRS.active
    pooled = average_precision(CHANCE[out], PAIRS.then[out])
    assert values["starts_ap_pooled"] == pytest.approx(pooled)
    assert abs(pooled - np.mean(apart)) > 0.01


@pytest.fixture(scope="module")
def drawn():
    pairs = day_pairs(draw_records(40, num_items=4))
    return pairs, patient_splits(pairs.num_patients, 2, seed=0)


def test_nothing_of_the_test_days_is_in_what_is_foretold_of_them(drawn):
    pairs, splits = drawn
    test = splits[0].test_mask[pairs.patient]
    other = pairs._replace(then=np.where(test[:, None], ~pairs.then, pairs.then))
    for of in (pairs, other):
        val, chance = foretold(of, splits[0], rates)
        if of is pairs:
            known = val, chance
    np.testing.assert_array_equal(val, known[0])
    np.testing.assert_array_equal(chance, known[1])


def test_a_network_that_does_not_help_in_validation_is_left_out(drawn):
    # The choice by test days; update 0 never chosen.
    pairs, splits = drawn
    weights = judged.draw_patients(pairs.num_patients, 30)
    judge = [pairs, splits, 2, rates, weights]
    plain, thresholds, _ = judged.judge_arm(*judge)
    assert plain.values[judged.NATS].shape == (1, 31)
    truth = np.where(pairs.then, 2.0, -2.0)
    better = [truth, truth]
    worse = []
    for split in splits:  # wrong in validation, right in the test
        val = split.val_mask[pairs.patient][:, None]
        worse.append(np.where(val, -truth, truth))
    found, _, none = judged.judge_arm(*judge, added=worse)
    assert none.all()
    np.testing.assert_array_equal(found.values[judged.NATS], plain.values[judged.NATS])
    found, _, none = judged.judge_arm(*judge, added=better)
    assert not none.any()
    gap, low, high = found.interval(judged.NATS, plain)
    assert low <= gap <= high < 0
    forced, *_ = judged.judge_arm(*judge, added=worse, without=none)
    assert (forced.values[judged.NATS] == found.values[judged.NATS]).all()
    assert set(np.round(20 * thresholds)) <= set(range(1, 20))


def test_calibration_sums_all_chances():
    found = judged.judge_folds(PAIRS, [ALL], [CHANCE], [0.5], np.ones((1, 3)))
    counts, chances, came = found.calibration["starts_ap"]
    out = ~PAIRS.active
    assert counts.sum() == out.sum()
    assert chances.sum() == pytest.approx(CHANCE[out].sum())
    assert came.sum() == PAIRS.then[out].sum()


def test_intervals_are_corrected_for_bias_alone():
    # The shift to the wrong side; a place beyond the draws.
    drawn = np.random.default_rng(0).normal(1.0, 2.0, 4000)
    plain = np.quantile(drawn, [0.025, 0.975])
    np.testing.assert_allclose(
        judged.bias_corrected(drawn, np.median(drawn)), plain, atol=1e-6
    )
    low, high = judged.bias_corrected(drawn, 0.0)  # draws lie half an SD too high
    np.testing.assert_allclose([low, high], plain - 2.0, atol=0.25)
    assert judged.bias_corrected(drawn, -99.0)[0] == drawn.min()
    assert judged.bias_corrected(np.full(9, 0.5), 0.5) == (0.5, 0.5)
