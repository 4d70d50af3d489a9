"""Times that were not seen: who is watched how long, what is claimed, the curve."""

import numpy as np
import pytest
from scipy import stats

import seqgraph_jax as sg
from seqgraph_jax.reports import censoring
from seqgraph_jax.reports.censoring import Times, compare_times, event_shares
from seqgraph_jax.reports.intervals import share_interval
from seqgraph_jax.reports.plots.converged import plot_converged

from .test_seeds import made_run

NAN = float("nan")
EIGHT = [20.0, 30, 40, 20, 30, 40, 30, 20]


def times(found, watched, never=()):
    """Times of seeds that were watched equally long; some can never have the event."""
    found = np.array(found, float)
    return Times(
        found,
        np.full(len(found), float(watched)),
        np.isin(np.arange(len(found)), never),
    )


@pytest.mark.smoke
def test_shares_with_censoring_by_hand():
    # 1 of 6 at 10; one unseen from 15; 2 of 4 at 20; one unseen from 30; 1 of 1 at 40.
    found = np.array([40, 10, NAN, 20, NAN, 20])
    watched = np.array([50, 50, 15, 50, 30, 50.0])
    shares = event_shares(Times(found, watched, np.zeros(6, bool)))
    assert shares.at.tolist() == [0, 10, 15, 20, 30, 40]
    assert shares.share == pytest.approx([0, 1 / 6, 1 / 6, 7 / 12, 7 / 12, 1])
    assert shares.marks.tolist() == [15, 30]
    assert (shares.low <= shares.share).all()
    assert (shares.share <= shares.high).all()
    # At 20: S is at most a quantile of Beta(6, 1) Beta(3, 2), at least one of the same
    # times Beta(2, 1), since two are watched after it.
    rng = np.random.default_rng(0)
    upper = rng.beta(6, 1, 400_000) * rng.beta(3, 2, 400_000)
    lower = upper * rng.beta(2, 1, 400_000)
    ends = (1 - np.quantile(upper, 0.975), 1 - np.quantile(lower, 0.025))
    assert (shares.low[3], shares.high[3]) == pytest.approx(ends, abs=0.01)


def test_without_censoring_the_band_is_clopper_and_pearson_s():
    # Ties, and seeds that are still watched, or can never have it, at the end.
    shares = event_shares(times([10, 20, 20, 20, 30, NAN, NAN], 40, never=[6]))
    counts = [0, 1, 4, 5]
    for k, count in enumerate(counts):
        assert shares.share[k] == pytest.approx(count / 7)
        ends = share_interval(count, 7)
        assert (shares.low[k], shares.high[k]) == pytest.approx(ends, abs=1e-9)


def test_the_band_holds_what_it_should_under_heavy_censoring():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        event, watch = rng.exponential(1, 8), rng.exponential(1.5, 8)
        found = Times(np.where(event <= watch, event, NAN), watch, np.zeros(8, bool))
        shares = event_shares(found)
        k = np.searchsorted(shares.at, np.log(2), side="right") - 1
        covered += shares.low[k] <= 0.5 <= shares.high[k]
    assert stats.binom.sf(covered, 300, 0.95) < 1 - 1e-4  # no less than 95 %


def test_a_seed_is_watched_while_convergence_can_begin():
    # Two good evaluations are needed: one that is good for the first time at the last
    # of three may be the beginning, at 30, which nobody has seen.
    run = made_run([[0.5, 1, 1], [0.5, 0.5, 1], [0.5, NAN, NAN]], updates=30)
    found = censoring.times_to_converge(run)
    assert found.watched.tolist() == [20, 20, 20]
    np.testing.assert_array_equal(found.times, [20, NAN, NAN])
    assert found.censored.tolist() == [False, True, False]  # the last has diverged
    assert found.ends.tolist() == [20, 20, np.inf]


def test_a_shorter_budget_is_no_faster_and_no_slower():
    # All of one arm had 10 updates, in which the other one did not converge either.
    short, long = times([NAN] * 8, 10), times(EIGHT, 40)
    [c] = compare_times({"short": short, "long": long})
    assert (c.claim, c.difference) == (0, 0)
    assert c.verdict.startswith(
        "short and long: no claim is made, since it would hang on how long seeds were "
        "watched. Restricted to the first 10 updates, for which all were (8 of short "
        "and 8 of long had not converged by then): short and long do not differ"
    )
    assert "Counted up to 40, the longest that any was: short converges later" in (
        c.verdict
    )


def test_what_was_not_watched_is_not_equivalent():
    # Equal up to 10 updates, since neither had converged by then.
    short, long = times([NAN] * 8, 10), times(EIGHT, 40)
    [c] = compare_times({"short": short, "long": long}, equivalent_within=5)
    assert (c.claim, c.equivalent) == (0, False)
    assert c.verdict.startswith("short and long: no claim is made")
    # No claim of a difference up to 40 updates either, but none of equality.
    some = times([20, NAN, 20, NAN, NAN, 20, NAN, NAN], 40)
    [c] = compare_times({"short": short, "some": some}, equivalent_within=5)
    assert (c.claim, c.equivalent) == (0, False)
    assert c.verdict.startswith("short and some: no claim is made")
    [c] = compare_times({"a": long, "b": long}, equivalent_within=5)
    assert c.equivalent
    assert "They do not differ by more than 5 updates" in c.verdict


def test_equal_budgets_are_compared_up_to_their_end():
    [c] = compare_times({"rnn": times([NAN] * 8, 400), "gru": times(EIGHT, 400)})
    assert c.difference == 400 - np.mean(EIGHT)
    assert (c.claim, c.p_value, c.num_pairs) == (1, 2 / 2**8, 8)
    assert c.verdict.startswith("rnn converges later than gru by 371.2 updates")
    assert c.verdict.endswith(
        " Times are restricted to the first 400 updates, for which every seed was "
        "watched: 8 of rnn had not converged by then."
    )


def test_budgets_that_change_no_claim_leave_it():
    # By 25 updates nearly all of one have converged, and none of the other.
    early = times([10, 12, 11, 9, 10, 13, 8, NAN], 25)
    late = times([30.0, 40, 30, 35, 50, 60, 45, 70], 100)
    [c] = compare_times({"early": early, "late": late})
    assert c.claim == -1
    assert c.difference == np.mean([10, 12, 11, 9, 10, 13, 8, 25]) - 25
    assert "restricted to the first 25 updates" in c.verdict
    # Up to 25 one arm is ahead for sure; if its late seeds take 100, it is not.
    early = times([20, 20, 20, 20, 20, 20, NAN, NAN], 25)
    late = times([30.0, 40, 30, 35, 30, 30, 32, 31], 100)
    [c] = compare_times({"early": early, "late": late})
    assert c.p_value <= 0.05
    assert c.claim == 0
    assert "hang on how long" in c.verdict


def test_seeds_that_have_all_converged_need_no_horizon():
    [c] = compare_times({"a": times(EIGHT, 40), "b": times(np.add(EIGHT, 9.5), 80)})
    assert c.difference == -9.5
    assert "restricted" not in c.verdict


def test_a_seed_that_diverged_never_converges_and_sets_no_horizon():
    a = times([*EIGHT[:7], NAN], 40, never=[7])
    [c] = compare_times({"a": a, "b": times(EIGHT, 80)})
    assert c.difference == (80 - EIGHT[7]) / 8
    assert "first 80 updates" in c.verdict
    assert "1 of a had not" in c.verdict


def test_runs_are_compared_and_drawn_so(tmp_path):
    good, slow = [[0.5, 1, 1, 1]] * 8, [[0.5, 0.5, 0.5, 1]] * 8
    runs = {"good": made_run(good, updates=40), "slow": made_run(slow, updates=40)}
    [c] = sg.compare(runs).pairs
    assert (c.difference, c.claim) == (-10, -1)
    assert "restricted to the first 30 updates" in c.verdict
    rows = {row[0]: row[1:] for row in sg.reports.summary_table(runs).rows}
    assert rows["seeds converged"] == ["8 of 8", "0 of 8"]
    label = "updates to converge, counted up to 30 (updates)"
    assert rows[label] == ["20", "30"]  # whose difference is the verdict's
    assert label in str(sg.compare(runs))
    sg.report(runs, tmp_path)
    assert (tmp_path / "converged.png").exists()
    found = {name: censoring.times_to_converge(run) for name, run in runs.items()}
    axes = plot_converged(found).axes[0]
    assert axes.get_ylabel() == "seeds that have converged (%)"
    marks = [line for line in axes.lines if line.get_marker() == "|"]
    assert marks[1].get_xydata().tolist() == [[30, 0]]
