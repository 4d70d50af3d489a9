"""Intervals and the test that they turn round: by hand, as one, and as a group."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from seqgraph_jax.reports import intervals, statistics
from seqgraph_jax.reports.intervals import interval_of_mean, sign_flips, subset_means
from seqgraph_jax.reports.paired import compare
from seqgraph_jax.training.metrics import Metric

few = st.integers(-3, 3).map(float)
some = st.floats(-100, 100).map(lambda x: round(x, 2))
differences = st.one_of(
    st.lists(few, min_size=1, max_size=25), st.lists(some, min_size=1, max_size=12)
)


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        # k = 1 of 63 means: the least and the greatest value.
        ([3.0, -1.0, 4.0, 1.5, 9.0, 2.0], -1.0, 9.0),
        # k = 3 of 127: 1, 1.5, 2 from below; 64, 48, 40 from above.
        ([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0], 2.0, 40.0),
        # k = 6 of 255: 1, 1.5, 2, 7/3, 2.5, 3; 128, 96, 80, 224/3, 72, 208/3.
        ([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0], 3.0, 208 / 3),
    ],
)
def test_interval_by_hand(values, low, high):
    found = interval_of_mean(values)
    assert found[:2] == pytest.approx((low, high), rel=1e-14)
    assert found.method == "means of subsets"
    assert sign_flips(values)[1:3] == pytest.approx((low, high), rel=1e-14)


@settings(deadline=None, max_examples=80)
@given(differences)
def test_the_test_rejects_if_and_only_if_0_is_outside(values):
    p, low, high, _ = sign_flips(values)
    assert (p <= 0.05) == (low > 0 or high < 0)
    turned = sign_flips([-v for v in values])
    assert (p, low, high) == (turned.p_value, -turned.high, -turned.low)


@settings(deadline=None, max_examples=25)
@given(st.lists(few, min_size=6, max_size=12), st.sampled_from([0.25, 1.0, -0.5]))
def test_the_interval_is_what_is_not_rejected(values, step):
    # Of every mean on a grid, not of 0 alone.
    _, low, high, _ = sign_flips(values)
    for mu in (low, high, low - step / 8, high + abs(step), (low + high) / 2):
        p = sign_flips(np.array(values) - mu).p_value
        assert (p <= 0.05) == (not low - 1e-9 <= mu <= high + 1e-9)


def test_sums_that_are_0_but_for_rounding_are_ties():
    exact = np.array([1, 2, -3, 4, -5, 1, -1, 2, 6], float)
    assert sign_flips(exact / 10).p_value == sign_flips(exact).p_value
    # Shares of 1000 in single precision, whose differences are off by 1e-8.
    shares = np.random.default_rng(0).integers(800, 812, (2, 12))
    single = (shares / 1000).astype(np.float32)
    metric = Metric("m")
    [c] = compare({"a": single[0], "b": single[1]}, metric)
    [whole] = compare({"a": shares[0], "b": shares[1]}, metric)
    assert c.p_value == whole.p_value
    assert c.ci95 == pytest.approx(np.array(whole.ci95) / 1000, abs=1e-7)


def test_above_the_limit_subsets_are_a_group_with_complements():
    masks = intervals._masks(9, 5)
    assert len(set(masks.tolist())) == 9
    patterns = intervals._signs(masks, 5)
    found = {tuple(row) for row in patterns.tolist()}
    assert len(found) == 32
    assert (-1.0,) * 9 in found
    for row in patterns:
        assert {tuple(other) for other in (patterns * row).tolist()} == found


@pytest.mark.parametrize("shift", [0.0, 0.45])
def test_a_group_agrees_with_all_subsets(shift):
    values = np.random.default_rng(1).normal(shift, 1, 18)
    every, group = subset_means(values), subset_means(values, limit=13)
    assert (every.size, group.size) == (2**18 - 1, 2**13 - 1)
    p = [float(intervals.two_sided_p(means)) for means in (every, group)]
    assert p[1] == pytest.approx(p[0], rel=0.15, abs=0.01)
    ends = np.array([intervals.typical_range(means) for means in (every, group)])
    assert np.abs(ends[1] - ends[0]).max() < 0.03 * np.ptp(ends[0])


def test_many_pairs_are_tested_as_the_normal_limit_says():
    values = np.random.default_rng(4).normal(0.2, 1, 100)
    p, low, high, name = sign_flips(values)
    z = values.sum() / np.sqrt((values**2).sum())
    assert p == pytest.approx(2 * stats.norm.sf(abs(z)), rel=0.1)
    assert "262,144 sign patterns" in name
    reach = stats.t.ppf(0.975, 99) * values.std(ddof=1) / 10
    assert (high - low) / 2 == pytest.approx(reach, rel=0.05)
    assert sign_flips(np.ones(1000)).p_value == 2 / 2**18


def test_few_values_have_student_s_interval_and_say_so():
    values = [1.0, 2.0, 4.0, 9.0]
    low, high, method = interval_of_mean(values)
    theirs = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (low, high) == pytest.approx(theirs)
    assert method == "Student's t"
    assert sign_flips(values)[:3] == (0.125, -math.inf, math.inf)
    assert "(Student's t)" in statistics.interval_words(statistics.summarize(values))
    assert interval_of_mean([1.0]).method == "none"
    assert statistics.interval_words(statistics.summarize([1.0])) == "none"


@pytest.mark.parametrize("values", [[0.99, 1.0, 1.0], [1.0] * 15 + [0.5]])
def test_no_interval_of_a_share_goes_beyond_1(values):
    low, high, _ = interval_of_mean(values, bounds=(0.0, 1.0))
    assert low < np.mean(values)
    assert high == 1.0  # to the bit, or it would be shown as 99.99 %


@pytest.mark.parametrize(
    "values",
    [[0.7] * 16, [1, 1 - 1e-16, 1 + 2e-16] * 6, np.float32([0.3, 0.3 + 3e-8] * 8)],
)
def test_equal_values_have_a_bound_on_their_share_instead(values):
    s = statistics.summarize(values)
    assert math.isnan(s.ci95[0])
    assert s.ci95_method == "all equal"
    n = len(values)
    share = {16: 79, 18: 81}[n]  # 0.025 ** (1 / n)
    said = f"all {n} equal: at least {share} % of folds"
    assert statistics.interval_words(s, unit="fold") == said


def test_shares_by_hand():
    # The binomial tails at both ends are 2.5 %.
    low, high = intervals.share_interval(4, 10)
    assert stats.binom.sf(3, 10, low) == pytest.approx(0.025)
    assert stats.binom.cdf(4, 10, high) == pytest.approx(0.025)
    assert intervals.share_interval(0, 5) == pytest.approx((0, 1 - 0.025**0.2))


def test_numbers_are_kept_where_values_are_large_and_close():
    values = 1e6 + np.array([1, 2, 4, 8, 16, 32, 64]) * 1e-4
    low, high, _ = interval_of_mean(values)
    assert np.array([low, high]) - 1e6 == pytest.approx([2e-4, 40e-4], abs=2e-9)


def test_band_is_the_interval_at_every_point():
    rng = np.random.default_rng(7)
    curves = rng.normal([0, 10, 20, 30, 1], size=(9, 5))
    curves[0, 1], curves[:, 2], curves[6:, 3], curves[:, 4] = np.nan, np.nan, np.nan, 1
    band = statistics.mean_band(curves)
    for k, column in enumerate(curves.T):
        found = interval_of_mean(column[np.isfinite(column)])
        assert band[:, k] == pytest.approx(found[:2], nan_ok=True)
    assert np.isfinite(band[:, [0, 1, 3]]).all()
    assert np.isnan(band[:, [2, 4]]).all()
    clipped = statistics.mean_band(curves, bounds=(0, 29))
    assert (clipped[0, 0], clipped[1, 3]) == (0, 29)


def test_a_band_ends_where_few_of_many_seeds_are_left():
    # Two seeds that trained for longer, with a band as high as the picture.
    curves = np.random.default_rng(7).normal(size=(9, 2))
    curves[3:, 1] = np.nan
    band = statistics.mean_band(curves)
    assert np.isfinite(band[:, 0]).all()
    assert np.isnan(band[:, 1]).all()
    assert np.isfinite(statistics.mean_band(curves[:3])).all()


def test_equal_values_have_no_spread():
    # 2.3e-16 as a standard deviation.
    values = [0.1 + 0.2, 0.3, 0.3]
    assert np.std(values) > 0
    assert (
        statistics.summarize(values).sd,
        statistics.summarize(values).sd_population,
    ) == (0.0, 0.0)
