"""Intervals, tests and verdicts: by hand, against SciPy, and their words."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from seqgraph_jax.reports import intervals, statistics
from seqgraph_jax.reports.intervals import sign_flips
from seqgraph_jax.reports.paired import compare
from seqgraph_jax.reports.verdicts import holm
from seqgraph_jax.training.metrics import ACCURACY, UPDATES_TO_CONVERGE, Metric

METRIC = Metric("m", words=("is lower than", "is higher than"))

NAN = float("nan")
differences = st.lists(
    st.floats(-100, 100).map(lambda x: round(x, 2)), min_size=1, max_size=9
)


@pytest.mark.smoke
def test_summary_by_hand():
    s = statistics.summarize([2.0, 4.0, NAN, 9.0, math.inf])
    assert (s.n, s.num_missing, s.mean) == (3, 2, 5.0)
    assert s.sd == pytest.approx(math.sqrt((9 + 1 + 16) / 2))
    assert s.sd_population == pytest.approx(math.sqrt((9 + 1 + 16) / 3))
    assert math.isnan(s.per_seed[2])


def test_summary_of_too_few_values():
    empty, single = statistics.summarize([NAN]), statistics.summarize([3.0])
    assert empty.n == 0
    assert math.isnan(empty.mean)
    assert single.mean == 3.0
    assert math.isnan(single.sd)
    assert math.isnan(single.ci95[0])


def test_sign_flip_by_hand():
    # Of the 8 sign patterns of 1, 2, 4 only +++ and --- reach a sum of 7.
    assert sign_flips([1, 2, 4])[0] == 2 / 8
    # |1 + 2 - 4| = 1 is reached or exceeded by every pattern.
    assert sign_flips([1, 2, -4])[0] == 1
    assert sign_flips([0, 0, 0])[0] == 1
    assert sign_flips([5, 0, 0])[0] == 1


@settings(deadline=None, max_examples=50)
@given(differences)
def test_sign_flip_equals_enumeration_and_is_symmetric(values):
    p = sign_flips(values).p_value
    sums = [
        abs(np.dot(signs, values))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    expected = np.mean([s >= abs(sum(values)) - 1e-9 for s in sums])
    assert p == pytest.approx(expected)
    assert p == sign_flips([-v for v in values])[0]


def test_sign_flip_equals_scipy():
    values = np.random.default_rng(3).normal(0.5, 1, 10)
    theirs = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flips(values)[0] == pytest.approx(theirs.pvalue)


def test_holm_by_hand():
    assert holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]


def test_verdict_of_three_seeds_says_what_they_cannot_do():
    [c] = compare({"gru": [1, 2, 3], "lstm": [4, 6, 9]}, METRIC)
    assert c.difference == pytest.approx(-13 / 3)
    assert "3 seeds cannot reach p < 0.05 with this test" in c.verdict
    assert "(smallest possible p = 0.25); 6 can." in c.verdict
    # Student's t with 2 degrees of freedom: -13/3 +- 4.3027 * 1.5275 / 1.732.
    assert c.verdict.endswith(
        "Student's 95 % interval of gru - lstm, if differences are normal: -8.128 to "
        "-0.5388."
    )
    assert (c.claim, c.ci95_method) == (0, "Student's t")


def test_verdict_claims_a_difference_that_is_there():
    b = np.arange(8.0)
    [c] = compare({"a": b + 2 + b / 10, "b": b}, UPDATES_TO_CONVERGE)
    assert c.p_value == 2 / 2**8
    assert c.verdict.startswith(
        "a converges later than b by 2.35 updates on average (p"
    )
    [c] = compare({"b": b, "a": b + 2 + b / 10}, UPDATES_TO_CONVERGE)
    assert c.verdict.startswith("b converges earlier than a by 2.35 updates")


def test_verdict_of_noise_claims_nothing():
    rng = np.random.default_rng(5)
    [c] = compare({"a": rng.normal(size=10), "b": rng.normal(size=10)}, METRIC)
    assert c.p_value > 0.05
    assert "do not tell from chance" in c.verdict


def test_verdict_of_equal_arms():
    [c] = compare({"a": [1.0] * 7, "b": [1.0] * 7}, ACCURACY)
    assert c.verdict == (
        "a and b do not differ on average over 7 seeds (the same value in all of them, "
        "as in at least 59 % of seeds)."
    )
    assert c.p_value == 1


def test_verdict_of_equal_differences_shows_no_interval():
    [c] = compare({"a": np.arange(8.0) + 2, "b": np.arange(8.0)}, METRIC)
    assert c.verdict == (
        "a is higher than b by 2 on average (p = 0.0078, all 8 differences are equal, "
        "which gives no interval, 8 seeds)."
    )


def test_verdict_says_where_correction_takes_a_claim_away():
    b = np.array([3.0, 1, 4, 1, 5, 9, 2])
    a = b + np.array([1, 2, 3, 1, 2, 1, -0.25])  # of the sums only -0.25 is below 0
    c = b + np.array([1, -2, 3, -1, 2, -1, 0.5])
    [first, *_] = compare({"a": a, "b": b, "c": c}, METRIC)
    assert (first.p_value, first.p_holm, first.claim) == (4 / 2**7, 12 / 2**7, 0)
    assert first.ci95[0] > 0
    assert first.verdict == (
        "a is higher than b by 1.393 on average, but no claim is made: p = 0.031 of "
        "this pair is 0.094 after Holm's correction for 3 comparisons (95 % interval "
        "of a - b alone: 0.375 to 2.5, 7 seeds)."
    )
    [alone] = compare({"a": a, "b": b}, METRIC)
    assert alone.claim == 1


def test_verdicts_name_what_was_sampled():
    b = np.arange(8.0) ** 2
    [c] = compare({"a": b + 2 + b / 10, "b": b}, METRIC, unit="patient")
    assert ", 8 patients)" in c.verdict
    [c] = compare({"a": b[:3] + b[1:4], "b": b[:3]}, METRIC, unit="fold")
    assert "but 3 folds cannot reach p < 0.05" in c.verdict
    [c] = compare({"a": [1.0, NAN], "b": [1.0, 1.0]}, METRIC, unit="block")
    assert "one block to compare" in c.verdict
    assert "Left out: blocks without" in c.verdict


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.full(9, 0.7 + 0.1), np.full(9, 0.8)),
        (np.full(22, 1 / 49 * 49), np.ones(22)),
        (np.full(9, 0.3, np.float32), np.full(9, 0.3)),
        (np.float32([0.1, 0.7] * 5) * np.float32(1 + 1.2e-7), [0.1, 0.7] * 5),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.2, 0.1, 0.4, 0.3, 0.6, 0.5]),
    ],
)
def test_rounding_is_no_difference(a, b):
    # A difference of 1e-16 for every seed, which no test takes for chance.
    [c] = compare({"a": a, "b": b}, METRIC)
    said = f"a and b do not differ on average over {len(a)} seeds ("
    assert c.verdict.startswith(said)
    assert (c.difference, c.claim) == (0, 0)
    [c] = compare({"a": np.add(a, 1e-4 * np.arange(1, len(a) + 1)), "b": b}, METRIC)
    assert c.verdict.startswith("a is higher than b by 0.00")


def test_one_seed_shows_no_equality():
    [c] = compare({"a": [1.0], "b": [1.0]}, METRIC)
    assert c.verdict == "a and b have one seed to compare, with the same value in both."


def test_verdicts_keep_to_their_own_p_value():
    # A pair of fewer seeds, which cannot have the smallest p and need not.
    b = np.array([3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3])
    early, late = np.arange(10) < 8, np.arange(10) > 1
    a, c = np.where(early, b - 9 - b / 8, NAN), np.where(late, b + 9 + b / 8, NAN)
    found = compare({"a": a, "b": b, "c": c}, METRIC)
    assert [pair.num_pairs for pair in found] == [8, 6, 8]
    assert found[1].p_holm == found[1].p_value == 2 / 2**6
    assert found[1].verdict.startswith("a is lower than c by 19.12")
    assert "(p = 0.031 after Holm's correction" in found[1].verdict
    for c in found:
        assert ("cannot reach" in c.verdict) <= (c.p_holm >= 0.05)


def test_values_that_do_not_exist_are_refused():
    # A p-value of 0, since no sum of signs is as high as NaN.
    for function in (sign_flips, intervals.interval_of_mean):
        with pytest.raises(ValueError, match="2 of 3 values do not exist"):
            function([1.0, NAN, math.inf])


def test_equivalence_by_hand():
    # d = 1, -1, 2, 0, 1, 0: of the 63 means of subsets one is 2 or more ({2}), and of
    # those with 1.5 there are {2}, {1, 2}, {2, 1}; -1 alone is at most -0.9.
    d = np.array([1.0, -1, 2, 0, 1, 0])
    means = [
        np.mean(part) for r in range(1, 7) for part in itertools.combinations(d, r)
    ]
    for within in (0.9, 1.5, 2.0, 2.1):
        most = max(sum(m >= within for m in means), sum(m <= -within for m in means))
        assert intervals.equivalence_p(d, within) == (1 + most) / 64
    assert intervals.equivalence_p(d, 1.5) == 4 / 64
    assert intervals.equivalence_p(d, 2.1) == 1 / 64


def test_equivalence_is_claimed_within_bounds_alone():
    # A bound in shares where points are shown; "not significant" taken for equality.
    rng = np.random.default_rng(0)
    near = {"a": 0.9 + rng.normal(0, 0.002, 12), "b": 0.9 + rng.normal(0, 0.002, 12)}
    [c] = compare(near, ACCURACY, equivalent_within=1.0)
    assert c.equivalent
    assert "They do not differ by more than 1 points (two one-sided" in c.verdict
    [c] = compare(near, ACCURACY, equivalent_within=0.01)
    assert not c.equivalent
    assert "no more than 0.01 points is not shown" in c.verdict
    [c] = compare({"a": np.ones(16), "b": np.ones(16)}, ACCURACY, equivalent_within=1)
    assert c.equivalent
    assert c.p_equivalent == 2.0**-16
    [c] = compare({"a": [1.0], "b": [1.0]}, ACCURACY, equivalent_within=1)
    assert not c.equivalent


def test_an_inconclusive_verdict_says_how_many_would_find_it():
    rng = np.random.default_rng(3)
    few = {"a": rng.normal(0.5, 1, 16), "b": np.zeros(16)}
    [c] = compare(few, METRIC)
    more = int(c.needed)
    assert c.claim == 0
    assert f"about {more} seeds would find it in 8 of 10" in c.verdict
    # As many as the t-test's formula has it, n = (2.8 sd / mean)^2, but for steps.
    expected = (2.8 * few["a"].std(ddof=1) / few["a"].mean()) ** 2
    assert expected / 1.5 < more < expected * 1.5
    [c] = compare({"a": few["a"] - few["a"].mean() + 0.1, "b": np.zeros(16)}, METRIC)
    assert math.isinf(c.needed)
    assert "200 seeds would find it in fewer than 8 of 10" in c.verdict


def test_every_pair_is_compared_and_corrected():
    rng = np.random.default_rng(6)
    arms = {name: rng.normal(k, 1, 9) for k, name in enumerate("abc")}
    found = compare(arms, METRIC)
    assert [(c.a, c.b) for c in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [c.p_holm for c in found] == holm([c.p_value for c in found])
    few = compare({name: values[:6] for name, values in arms.items()}, METRIC)
    assert (
        "after Holm's correction (smallest possible p = 0.094); 7 can."
        in few[0].verdict
    )


def test_missing_values_are_left_out_aloud_or_counted_as_a_bound():
    arms = {"a": [1.0, NAN, 3.0], "b": [2.0, 5.0, 5.0]}
    [left_out] = compare(arms, METRIC)
    assert left_out.num_pairs == 2
    assert left_out.difference == -1.5
    assert "Left out: seeds without a value in both (1 of a)." in left_out.verdict
    [counted] = compare(arms, METRIC, missing_as=9.0)
    assert counted.num_pairs == 3
    assert counted.difference == pytest.approx(1 / 3)
    assert "(1 of a) are counted as 9." in counted.verdict


def test_nothing_is_compared_where_no_value_exists():
    [c] = compare({"a": [NAN] * 8, "b": [NAN] * 8}, METRIC, missing_as=9.0)
    assert math.isnan(c.difference)
    assert "none are compared" in c.verdict


@pytest.mark.parametrize("arms", [{"a": [1.0]}, {"a": [1.0], "b": [1.0, 2.0]}])
def test_arms_that_cannot_be_paired_raise(arms):
    with pytest.raises(ValueError, match="same seeds"):
        compare(arms, METRIC)
