"""The experiment on recurrent and graph networks: its cases, its report, bad input."""

import json
from dataclasses import replace

import numpy as np
import pytest

import seqgraph_jax as sg
from experiments import rnn_vs_gnn
from experiments.rnn_vs_gnn import PRESETS, Config

from .commands import SMOKE, smoke_run
from .sentences import assert_one_sentence

#: Programs are compiled once.
pytestmark = pytest.mark.xdist_group("rnn_vs_gnn")
FILES = {"config.json", "metrics.jsonl", "results.json", "report.html", "state"}
FILES |= {f"trade.{kind}" for kind in ("png", "svg")}


def run(*argv):
    return rnn_vs_gnn.main([str(word) for word in argv])


@pytest.mark.parametrize(
    ("argv", "arms", "pictures", "words"),
    [
        (
            (),
            ["gru", "gin-1", "majority", "counter of runs"],
            {"sizes", "slopes"},
            ("Edges lead both ways", "accuracy on pairs"),
        ),
        (
            ("--case", "cora"),
            ["gcn", "gru-2", "mean-2"],
            set(),
            ("SD of draws", "gru-2 has"),
        ),
        (
            ("--case", "molecules"),
            ["gin", "dfs-gru", "linear", "constant"],
            set(),
            ("Depth-first orders", "test RMSE"),
        ),
        (
            ("--case", "molecules", "--dataset", "mutag"),
            ["gin", "dfs-gru", "linear", "constant"],
            set(),
            ("test accuracy in equal time",),
        ),
    ],
    ids=["strings", "cora", "esol", "mutag"],
)
def test_a_smoke_run_writes_and_prints_everything(argv, arms, pictures, words):
    # An arm without a time, a budget of another arm, a verdict on what is not compared.
    out, printed = smoke_run("rnn_vs_gnn", *argv)
    files = {f"{name}.{kind}" for name in pictures for kind in ("png", "svg")}
    assert {path.name for path in out.iterdir()} == FILES | files
    results = json.loads((out / "results.json").read_text())
    assert list(results["arms"]) == arms
    networks = [arm for arm in arms if "updates" in results["arms"][arm]]
    paces = {k: np.median(v) for k, v in results["seconds_per_update"].items()}
    assert set(paces) == set(networks)
    assert results["budget_s"] == pytest.approx(4 * min(paces.values()))
    assert results["comparisons"][0]["a"] in networks
    assert "are not told apart" in printed
    assert "times as long as one of" in printed
    html = (out / "report.html").read_text()
    for word in words:
        assert word in html, word


@pytest.mark.parametrize("case", ["strings", "cora"])
def test_default_networks_have_equally_many_parameters(case, monkeypatch):
    # A default that `match_params` refuses, seen after minutes of training.
    config = PRESETS[case]
    if case == "cora":
        rng = np.random.default_rng(0)
        nodes = np.arange(60)
        words = (rng.random((60, 1433)) < 0.01).astype(np.float32)
        data = sg.data.from_arrays(nodes, np.roll(nodes, 1), words, nodes % 7)
        monkeypatch.setattr(sg.datasets, "load_nodes", lambda name: data)
        config = replace(config, arms=("gcn", "gru-3", "mean-3"))
    else:
        config = replace(config, arms=("gru", "gin-16"))
    arms = rnn_vs_gnn.CASES[case](config, (0,)).arms
    counts = [
        sg.training.count_params(arm.model, arm.first_task) for arm in arms.values()
    ]
    assert max(counts) <= 1.05 * counts[0]
    assert min(counts) >= 0.95 * counts[0]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--arms", "gru", "gru"), "--arms takes different networks"),
        (("--arms", "gru", "lstm"), "--arms needs a recurrent and a graph network"),
        (("--arms", "gru", "gcn", "gin-2"), "unknown cell 'gcn'"),
        (("--case", "molecules", "--arms", "gin", "inchi-gru"), "not as 'inchi'"),
        (("--within", "0"), "parameters is not possible: the nearest has"),
        (("--case", "text"), "Expected one of ('strings', 'cora', 'molecules')"),
    ],
)
def test_bad_input_ends_with_one_sentence(argv, message, tmp_path, capsys):
    assert run(*argv, *SMOKE, "--out", tmp_path / "run") == 2
    assert_one_sentence(capsys, message)
    assert not (tmp_path / "run").exists()


def test_defaults_of_the_cases():
    assert PRESETS["strings"] == Config()
    for case, dataset, metric in (
        ("strings", "", 0.05),
        ("cora", "citeseer", 1.0),
        ("molecules", "mutag", None),
    ):
        chosen = rnn_vs_gnn.preset(_First(case, dataset))
        assert (chosen.case, chosen.dataset) == (case, dataset)
        assert chosen.train.threshold == metric


class _First:
    smoke = False

    def __init__(self, case, dataset):
        self.case, self.dataset = case, dataset
