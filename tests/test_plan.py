"""How many pairs a difference needs: against theory, and what the command says."""

import json

import numpy as np
import pytest
from scipy import stats

from experiments import plan as command
from seqgraph_jax.reports import power
from seqgraph_jax.reports.intervals import sign_flips

from .sentences import assert_one_sentence


def test_power_is_that_of_the_t_test_where_values_are_normal():
    # A difference that is added to values around their own mean; a one-sided test.
    quantiles = stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
    rng, sizes = np.random.default_rng(0), (10, 20, 40)
    found = power.found_shares(quantiles, 0.7, sizes, 2_000, rng)
    for n, share in zip(sizes, found, strict=True):
        edge = stats.t.ppf(0.975, n - 1)
        theirs = 1 - stats.nct.cdf(edge, n - 1, 0.7 * np.sqrt(n))
        assert share == pytest.approx(theirs, abs=0.05)
    [chance] = power.found_shares(quantiles, 0.0, (16,), 2_000, rng)
    assert chance == pytest.approx(0.05, abs=0.02)


def test_an_experiment_is_judged_as_the_package_judges_one():
    # Six pairs find something if and only if all of them have one sign.
    residuals = np.array([-3.0, -1.0, 0.5, 1.5, 2.0])
    drawn = np.random.default_rng(3).choice(residuals, (500, 6)) + 1.0
    expected = np.mean([sign_flips(row)[0] < 0.05 for row in drawn])
    rng = np.random.default_rng(3)
    [share] = power.found_shares(residuals, 1.0, (6,), 500, rng)
    assert share == expected


def test_a_larger_difference_needs_fewer_seeds_and_its_sign_does_not_matter():
    pilot = np.random.default_rng(4).normal(5, 2, 12)
    plans = [power.plan(pilot, d, (6, 10, 16, 24)) for d in (1.5, 2, 4, -4)]
    needed = [plan.needed(0.8)[0] for plan in plans]
    assert needed[0] > needed[1] > needed[2] == needed[3]
    assert (plans[0].low <= plans[0].high).all()
    assert plans[0].needed(0.999)[0] is None


@pytest.mark.parametrize(
    ("values", "difference", "message"),
    [
        ([1.0, 2.0], 1, "3 pairs or more, not 2"),
        ([1.0, 2.0, 4.0], 0, "other than 0"),
        ([1.0, 2.0, np.nan], 1, "1 of 3 values do not exist"),
    ],
)
def test_plans_that_cannot_be(values, difference, message):
    with pytest.raises(ValueError, match=message):
        power.plan(values, difference)


def test_the_command_says_how_many(tmp_path, capsys):
    rng = np.random.default_rng(5)
    path, out = tmp_path / "pilot.csv", tmp_path / "run"
    rows = [f"{k},{s},{rng.normal(0, 1):.3f}" for k in "ab" for s in range(8)]
    path.write_text("arm,seed,error\n" + "\n".join(rows))
    argv = [str(path), "--difference", "1.5", "--out", str(out)]
    assert command.main(argv) == 0
    printed = capsys.readouterr().out
    record = json.loads((out / "results.json").read_text())
    needed = record["plans"]["a and b"]["needed"]
    assert f"Verdict: a and b: {needed} seeds find a difference of 1.5" in printed
    assert (out / "power.png").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["{csv}"], "a difference other than 0"),
        (["{csv}", "--difference", "1", "--metric", "x"], "no metric 'x', only m"),
        (["nothing", "--difference", "1"], "nothing cannot be read"),
    ],
)
def test_what_is_no_pilot_is_one_sentence(argv, message, tmp_path, capsys):
    path = tmp_path / "p.csv"
    path.write_text("arm,seed,m\na,1,1\nb,1,2\na,2,2\nb,2,4\na,3,1\nb,3,5\n")
    assert command.main([word.format(csv=path) for word in argv]) == 2
    assert_one_sentence(capsys, message)
