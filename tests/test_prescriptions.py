"""Tomorrow's prescriptions: rankings and rates by hand, and nothing of tomorrow."""

from pathlib import Path

import numpy as np
import pytest

from seqgraph_jax.data.mimic import read_mimic
from seqgraph_jax.tasks import prescriptions
from seqgraph_jax.tasks.prescriptions import DayPairs, chances, day_pairs, rates
from seqgraph_jax.tasks.ranking import average_precision, recall_at

from .test_datasets import DATA, needs_data


def some_pairs(num_rows=60, num_drugs=7, seed=0):
    rng = np.random.default_rng(seed)
    return DayPairs(
        patient=np.sort(rng.integers(0, 12, num_rows)),
        day=rng.integers(0, 14, num_rows),
        active=rng.random((num_rows, num_drugs)) < 0.4,
        earlier=rng.random((num_rows, num_drugs)) < 0.5,
        then=rng.random((num_rows, num_drugs)) < 0.4,
    )


def test_average_precision_is_that_of_a_loop_over_thresholds():
    # Ties in the order in which they stand: better or worse by chance.
    rng = np.random.default_rng(1)
    scores, happens = rng.integers(0, 6, 40), rng.random(40) < 0.3
    recall, expected = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        chosen = scores >= threshold
        new = (chosen & happens).sum() / happens.sum()
        expected += (new - recall) * (chosen & happens).sum() / chosen.sum()
        recall = new
    assert average_precision(scores, happens) == pytest.approx(expected)
    order = rng.permutation(40)
    again = average_precision(scores[order], happens[order])
    assert again == pytest.approx(expected)
    assert average_precision(np.zeros(8), np.arange(8) < 2) == 0.25
    assert np.isnan(average_precision(np.zeros(3), np.zeros(3, bool)))


def test_recall_of_the_first_k_shares_out_what_scores_alike():
    rng = np.random.default_rng(2)
    scores, happens = rng.integers(0, 3, (5, 9)).astype(float), rng.random((5, 9)) < 0.4
    scores[0, :6] = -np.inf  # not to be chosen
    happens[0, :6] = False
    happens[:, -1] = True
    expected = np.zeros(5)
    for _ in range(2_000):  # ties broken at random
        tied = scores + 1e-3 * rng.random(scores.shape)
        first = np.argsort(-tied, axis=1)[:, :4]
        chosen = np.zeros_like(happens)
        np.put_along_axis(chosen, first, True, axis=1)
        expected += (chosen & happens & np.isfinite(scores)).sum(1) / happens.sum(1)
    found = recall_at(4, scores, happens)
    np.testing.assert_allclose(found, expected / 2_000, atol=0.02)
    assert recall_at(99, scores[1:], happens[1:]).tolist() == [1.0] * 4


def test_rates_by_hand():
    # Three days, two drugs. Drug 0 is out on two days and starts on one of them.
    pairs = DayPairs(
        patient=np.array([0, 0, 1]),
        day=np.array([0, 1, 0]),
        active=np.array([[False, True], [True, True], [False, False]]),
        earlier=np.array([[False, True], [True, True], [False, False]]),
        then=np.array([[True, True], [True, False], [False, False]]),
    )
    found = rates(pairs)
    start = 1 / 3  # of three chances to start one is taken, by drug 0
    np.testing.assert_allclose(
        found.start, [(1 + 50 * start) / 52, (0 + 50 * start) / 51]
    )
    stop = 1 / 3
    np.testing.assert_allclose(found.stop, [(0 + 5 * stop) / 6, (1 + 5 * stop) / 7])
    # All chances to start were on day 0; of day 0 the odds of stopping are 0.
    np.testing.assert_allclose(found.start_day, [1, 1, 1, 1, 1], atol=2e-6)
    assert found.stop_day[0] < 1e-5
    assert found.stop_day[1] == pytest.approx(1 / (1 / 2))
    plain = chances(prescriptions.plain(pairs), pairs)
    np.testing.assert_allclose(plain[0], [found.start[0], 1 - found.stop[1]])


def test_what_was_given_before_starts_again_more_often():
    # The factor of the other group; starts counted for drugs that were active.
    pairs = some_pairs()
    found = rates(pairs)
    plain = chances(prescriptions.by_day(pairs), pairs)
    out = ~pairs.active
    for past, given in enumerate((~pairs.earlier, pairs.earlier)):
        expected = sum(
            plain[r, j] for r, j in zip(*(out & given).nonzero(), strict=True)
        )
        seen = (pairs.then & out & given).sum()
        assert found.again[past] == pytest.approx(seen / expected)
    odds = [p / (1 - p) for p in (chances(found, pairs), plain)]
    ratio = np.where(pairs.earlier, found.again[1], found.again[0])
    np.testing.assert_allclose((odds[0] / odds[1])[out], ratio[out])
    np.testing.assert_allclose(odds[0][~out], odds[1][~out])


def test_rates_know_training_days_alone_and_nothing_of_tomorrow():
    # A rate over all patients; a target among the inputs.
    pairs = some_pairs()
    train = pairs.patient < 8
    other = pairs._replace(then=np.where(train[:, None], pairs.then, ~pairs.then))
    found = [chances(rates(of.rows(train)), of.rows(~train)) for of in (pairs, other)]
    np.testing.assert_array_equal(*found)
    moved = some_pairs(seed=9).rows(~train)._replace(then=pairs.rows(~train).then)
    assert not np.array_equal(chances(rates(pairs.rows(train)), moved), found[0])


def test_a_drug_that_training_has_not_seen_has_the_mean_rate():
    pairs = some_pairs()
    none = pairs._replace(active=pairs.active.copy(), then=pairs.then.copy())
    none.active[:, 0] = none.then[:, 0] = False
    found = rates(none)
    stops = none.active & ~none.then
    assert found.stop[0] == pytest.approx(stops.sum() / none.active.sum())
    assert 0 < found.start[0] < found.start[1:].mean()


def test_groups_of_days():
    days = np.array([0, 1, 2, 4, 5, 9, 10, 300])
    assert prescriptions.group_of(days).tolist() == [0, 1, 2, 2, 3, 3, 4, 4]


@needs_data
def test_rates_on_the_demo_reach_what_was_measured_elsewhere():
    pairs = day_pairs(read_mimic(Path(DATA) / "mimic3_demo"))
    people = np.random.default_rng(0).permutation(np.unique(pairs.patient))
    found = np.zeros(pairs.active.shape)
    for fold in np.array_split(people, 5):
        test = np.isin(pairs.patient, fold)
        of = rates(pairs.rows(~test))
        found[test] = chances(of, pairs.rows(test))
    out, then = ~pairs.active, pairs.then
    assert average_precision(found, then) > 0.887
    assert average_precision(found[out], then[out]) > 0.069
    assert average_precision(1 - found[~out], ~then[~out]) > 0.151
    loss = -np.log(np.where(then, found, 1 - found)).sum() / len(then)
    assert loss < 19.8  # nats a day
    scores = np.where(out, found, -np.inf)
    recall = recall_at(10, scores, then & out)
    assert np.nanmean(recall) > 0.257
    assert np.isfinite(recall).mean() == pytest.approx(0.707, abs=5e-4)
