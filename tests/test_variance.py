"""Crossed runs: which runs they are, and where their variance comes from."""

import json
from dataclasses import replace

import numpy as np
import pytest

import seqgraph_jax as sg
from experiments import gcn_vs_gat
from experiments.harness.command import UsageError
from experiments.harness.vary import Vary, read_vary, varied
from seqgraph_jax.reports.variance import variance_parts

from .commands import smoke_run
from .test_sweeps import SEEDS, VARIED
from .test_training import CONFIG, TASK


def test_parts_of_a_table_that_is_a_sum():
    # A component divided by S twice; rows and columns exchanged; rounding as variance.
    rows, columns = np.array([0.0, 2.0, 7.0]), np.array([1.0, 1.5, 2.0])
    parts = variance_parts(np.add.outer(rows, columns))
    assert parts.rows.sd == pytest.approx(rows.std(ddof=1))
    assert parts.columns.sd == pytest.approx(columns.std(ddof=1))
    assert parts.both == type(parts.both)(0, 0, 0)
    assert sum(parts.share) == pytest.approx(1)
    turned = variance_parts(np.add.outer(columns, rows))
    assert (turned.rows, turned.columns) == (parts.columns, parts.rows)
    assert turned.p == pytest.approx(parts.p)
    equal = variance_parts(np.full((3, 3), 0.7))
    assert (equal.share, equal.p, equal.ci95) == ((0, 0, 0), 1, (0.7, 0.7))
    assert variance_parts(np.eye(2), (0.0, 1.0)).ci95 == (0, 1)
    for wrong in (np.ones((2, 3)), np.ones((1, 1)), np.array([[1, 2], [3, np.nan]])):
        with pytest.raises(ValueError, match="two seeds or more"):
            variance_parts(wrong)


def test_intervals_hold_the_true_parts():
    # A quantile of the wrong side, wrong degrees of freedom, a mean's interval that
    # knows of one source alone, a test of two sources that finds too much.
    rng, n, true = np.random.default_rng(0), 6, np.array([3.0, 1.5, 2.0, 0.0])
    held, found = np.zeros(4), 0
    for _ in range(600):
        normal = rng.standard_normal
        a, b, e = 3.0 * normal((n, 1)), 1.5 * normal(n), 2.0 * normal((n, n))
        parts = variance_parts(a + b + e)
        spreads = (parts.rows, parts.columns, parts.both)
        ends = [(s.low, s.high) for s in spreads] + [parts.ci95]
        low, high = np.array(ends).T
        held += (low <= true) & (true <= high)
        alike = variance_parts(a + 3.0 * normal(n) + e)
        found += alike.p < 0.05
    assert (held / 600 > 0.925).all(), held
    assert (held[:3] / 600 < 0.985).all(), held
    assert 0.02 < found / 600 < 0.08


@pytest.mark.parametrize(
    ("cross", "message"),
    [
        (("dropout",), "copies of the first: nothing here depends on dropout"),
        (("init",), "init is crossed with itself"),
        (("weather",), "vary takes init, data or dropout, not 'weather'"),
    ],
)
def test_sources_that_cannot_be_crossed(cross, message):
    with pytest.raises(ValueError, match=message):
        sg.train_seeds(VARIED, TASK, CONFIG, SEEDS, vary=["init"], cross=cross)


def test_what_vary_says():
    assert read_vary(["init", "split"]) == Vary(("init", "split"))
    assert read_vary(["init*split"]) == Vary(("split",), ("init",))
    for words in (["init*data", "split"], ["init*data*split"], ["init*init+data"]):
        with pytest.raises(UsageError, match="two different sources, such as init"):
            read_vary(words)
    with pytest.raises(UsageError, match="init, data, dropout and split, and A"):
        read_vary(["init*weather"])


def test_a_crossed_split_is_that_of_its_row():
    # The tasks of S seeds beside S x S runs, in the order of the parts.
    config = gcn_vs_gat.Config(dataset="karate", models=("gcn",), random_splits=True)
    config = replace(config, per_class=4, num_val=5, num_test=5)
    study = varied(gcn_vs_gat.build, config, (0, 500), read_vary(["init*split"]))
    arm = study.arms["gcn"]
    masks = [task.split.test_mask for task in arm.task]
    assert (masks[0] == masks[1]).all()
    assert (masks[2] == masks[3]).all()
    assert (masks[1] != masks[2]).any()
    assert (arm.vary, arm.cross) == ((), ("init",))


@pytest.mark.xdist_group("lstm_vs_gru")
def test_a_command_takes_the_variance_apart():
    out, printed = smoke_run("lstm_vs_gru", "--vary", "init*data")
    assert "said of sources of variance is of all 4 runs" in printed
    record = json.loads((out / "results.json").read_text())
    assert record["config"]["vary"] == ["init*data"]
    assert record["seeds"] == [0, 500]
    lines = (out / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert {(row["seed"], row["data"]) for row in rows} == {
        (a, b) for a in (0, 500) for b in (0, 500)
    }
    variance = {one["metric"]: one for one in record["variance"]}
    assert set(variance["accuracy"]) == {"metric", "lstm", "gru", "lstm - gru"}
    assert "Where the variance comes from" in (out / "report.html").read_text()
