"""The molecules experiment: baselines, what it writes, folds, bad input."""

import json
import os

import numpy as np
import pytest

from experiments import molecules
from seqgraph_jax.data import datasets
from seqgraph_jax.data.splits import fold_splits, scaffold_split, shuffled_split
from seqgraph_jax.data.synthetic import draw_molecules
from seqgraph_jax.tasks.baselines import (
    bag_features,
    fit_baselines,
    fit_logistic,
    fit_ridge,
    measure,
)

from .commands import SMOKE, smoke_run
from .sentences import assert_one_sentence

#: Programs are compiled once.
pytestmark = pytest.mark.xdist_group("molecules")
FILES = {"config.json", "metrics.jsonl", "results.json", "report.html", "state"}
FILES |= {f"{name}.{kind}" for name in ("results", "curves") for kind in ("png", "svg")}

needs_data = pytest.mark.skipif(
    not os.environ.get("SEQGRAPH_DATA"), reason="SEQGRAPH_DATA is not set"
)


def run(*argv):
    """Exit code of the experiment in this process."""
    return molecules.main([str(word) for word in argv])


def test_ridge_is_the_minimum_of_its_loss():
    # The penalty on the constant, or not divided by the number of graphs.
    rng = np.random.default_rng(0)
    x, y, penalty = rng.normal(size=(30, 4)) + 2, rng.normal(size=30) + 5, 0.3
    weights = fit_ridge(x, y, penalty)
    rows = np.vstack([x / np.sqrt(30), np.sqrt(penalty) * np.eye(4)])
    constant = np.append(np.full(30, 1 / np.sqrt(30)), np.zeros(4))
    expected = np.linalg.lstsq(
        np.column_stack([rows, constant]), np.append(y / np.sqrt(30), np.zeros(4))
    )[0]
    np.testing.assert_allclose(weights, expected, atol=1e-10)


def test_logistic_regression_on_one_yes_or_no_gives_its_frequencies():
    # A wrong gradient: the closed form is the share of each class in each group.
    x = np.repeat([[0.0], [1.0]], [10, 20], axis=0)
    labels = np.concatenate([[0] * 7 + [1] * 3, [0] * 4 + [1] * 10 + [2] * 6])
    weights = fit_logistic(x, labels, 3, penalty=1e-9)
    scores = np.exp(np.array([[0.0, 1.0], [1.0, 1.0]]) @ weights)
    shares = scores / scores.sum(1, keepdims=True)
    np.testing.assert_allclose(shares, [[0.7, 0.3, 0], [0.2, 0.5, 0.3]], atol=1e-3)


def test_logistic_regression_is_stationary_with_its_penalty():
    rng = np.random.default_rng(1)
    x, labels, penalty = rng.normal(size=(40, 3)), rng.integers(0, 2, 40), 0.05
    weights = fit_logistic(x, labels, 2, penalty)
    x = np.column_stack([x, np.ones(40)])
    scores = np.exp(x @ weights)
    slope = x.T @ (scores / scores.sum(1, keepdims=True) - np.eye(2)[labels]) / 40
    slope[:-1] += 2 * penalty * weights[:-1]
    np.testing.assert_allclose(slope, 0, atol=1e-4)


def test_baselines_of_values():
    # A bag without its numbers of nodes and edges; a mean over all graphs.
    data = draw_molecules(classes=False)
    splits = [shuffled_split(data.num_graphs, seed) for seed in range(2)]
    found = fit_baselines(data, splits)
    for k, split in enumerate(splits):
        mean = data.targets[split.train_mask].mean()
        expected = np.sqrt(np.mean((data.targets[split.test_mask] - mean) ** 2))
        constant = found["constant"].outputs[k]
        np.testing.assert_allclose(measure(data, constant, split.test_mask), expected)
        # Atoms minus two for a ring: what the numbers of atoms and bonds say.
        assert measure(data, found["linear"].outputs[k], split.test_mask) < 0.1
    bag = bag_features(data)
    assert bag[3, :3].tolist() == data.graph(3).nodes.sum(0).tolist()
    assert bag[3, 3:].tolist() == [data.n_node[3], data.n_edge[3]]


def test_the_constant_baseline_says_the_training_set_s_majority():
    data = draw_molecules(classes=True)
    splits = fold_splits(data.targets, 4, seed=0)
    found = fit_baselines(data, splits)["constant"]
    majority = np.bincount(data.targets).argmax()
    for outputs, split in zip(found.outputs, splits, strict=True):
        share = np.mean(data.targets[split.test_mask] == majority)
        assert measure(data, outputs, split.test_mask) == share


def test_smoke_run_of_classes():
    # Folds that are averaged in another order than they lie, seeds that are runs.
    out, printed = smoke_run("molecules")
    assert "Verdict: gcn " in printed
    assert "Note: All seeds share the same 40 molecules" in printed
    assert {path.name for path in out.iterdir()} == {
        *FILES,
        *("confusion.png", "confusion.svg"),
    }
    record = json.loads((out / "results.json").read_text())
    assert record["schema"] == 1
    assert record["experiment"] == "molecules"
    assert record["seeds"] == [0, 500]
    assert list(record["arms"]) == ["gcn", "gat", "gin", "linear", "constant"]
    assert len(record["comparisons"]) == 10
    rows = [json.loads(r) for r in (out / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 3 * 2 * 3 * 2
    assert {(row["seed"], row["fold"]) for row in rows} == {
        (seed, fold) for seed in (0, 500) for fold in range(3)
    }
    for arm in record["arms"].values():
        assert arm["num_params"] > 0
        assert len(arm["metrics"]["test_accuracy"]["per_seed"]) == 2
    for name in ("gcn", "gin"):
        for s, seed in enumerate((0, 500)):
            chosen = [
                min(
                    (r for r in rows if (r["arm"], r["seed"], r["fold"]) == key),
                    key=lambda row: row["loss"],
                )["test_accuracy"]
                for key in ((name, seed, fold) for fold in range(3))
            ]
            found = record["arms"][name]["metrics"]["test_accuracy"]["per_seed"][s]
            np.testing.assert_allclose(found, np.mean(chosen), rtol=1e-6)
            of_epochs = [
                np.mean(
                    [
                        row["test_accuracy"]
                        for row in rows
                        if (row["arm"], row["seed"], row["update"]) == (name, seed, at)
                    ]
                )
                for at in {row["update"] for row in rows}
            ]
            optimistic = record["arms"][name]["metrics"]["optimistic_test_accuracy"]
            np.testing.assert_allclose(
                optimistic["per_seed"][s], max(of_epochs), rtol=1e-6
            )


@pytest.mark.parametrize("split", ["random", "scaffold"])
def test_smoke_run_of_values(tmp_path, capsys, split):
    out = tmp_path / "run"
    argv = [*SMOKE, "--dataset", "esol", "--split", split, "--models", "gatv2"]
    assert run(*argv, "--no-bonds", "--seeds", "3", "1", "--out", out) == 0
    printed = capsys.readouterr().out
    assert ("All seeds have one split" in printed) == (split == "scaffold")
    assert {path.name for path in out.iterdir()} == {
        *FILES,
        *("predictions.png", "predictions.svg"),
    }
    assert "Test molecules of seed 3, the first" in (out / "report.html").read_text()
    record = json.loads((out / "results.json").read_text())
    assert record["seeds"] == [3, 1]
    rows = (out / "metrics.jsonl").read_text().splitlines()
    assert set(json.loads(rows[0])) == {
        *("arm", "seed", "update", "loss", "val_rmse", "test_loss", "test_rmse"),
        *("train_loss", "train_rmse"),
    }
    values = record["arms"]["linear"]["metrics"]["test_rmse"]["per_seed"]
    assert (values[0] == values[1]) == (split == "scaffold")


def test_resuming_a_finished_run_reports_again(tmp_path):
    out = tmp_path / "run"
    argv = [*SMOKE, "--models", "gin", "--out", out]
    assert run(*argv) == 0
    before = (out / "metrics.jsonl").read_bytes()
    (out / "report.html").unlink()
    assert run(*argv, "--resume") == 0
    assert (out / "report.html").exists()
    assert (out / "metrics.jsonl").read_bytes() == before


def test_tables_and_verdicts_show_the_values_own_unit(tmp_path, capsys):
    out = tmp_path / "run"
    argv = [*SMOKE, "--dataset", "esol", "--models", "gin", "--num-seeds", "1"]
    assert run(*argv, "--out", out) == 0
    printed = capsys.readouterr().out
    assert "RMSE (atoms)" in " ".join(printed.split())
    assert "atoms on average" in printed
    assert "3 programs for each network" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--dataset", "tox"], "'tox' is neither one of karate"),
        (["--dataset", "karate"], "karate holds one graph, not many"),
        (["--models"], "--models takes one or more different models"),
        (["--models", "gin", "gin"], "--models takes one or more different models"),
        (["--models", "gat", "sage"], "invalid choice 'sage' for argument '--models'"),
        (["--split", "thirds"], "('auto', 'folds', 'random', 'scaffold')"),
        (["--split", "random"], "has classes: its split must be folds, not random"),
        (["--dataset", "esol", "--split", "folds"], "must be random or scaffold"),
        (["--folds", "2"], "--folds must be 3 or more, not 2"),
        (["--folds", "50"], "has 40 graphs: a split needs 50"),
        (["--seeds", "4294967296"], "seed 4294967296 is outside 0 to 2**32 - 1"),
        (["--heads", "3"], "--heads 3 does not divide --hidden 8"),
        (["--readout", "median"], "invalid choice 'median' for argument '--readout'"),
        (["--dropout", "1"], "--dropout must be 0 to below 1, not 1.0"),
        (["--epochs", "0"], "--epochs must be 1 or more, not 0"),
        (["--batch-size", "-2"], "--batch-size must be 1 or more, not -2"),
        (["--learning-rate", "0"], "--learning-rate must be above 0, not 0.0"),
        (["--weight-decay", "-1"], "--weight-decay must be 0 or more, not -1.0"),
        (["--layer", "2"], "--layers"),
    ],
)
def test_bad_input_ends_with_one_sentence(tmp_path, capsys, argv, message):
    out = tmp_path / "run"
    assert run(*SMOKE, "--out", out, *argv) == 2
    assert_one_sentence(capsys, message)
    assert not out.exists()


def test_a_folder_in_the_tu_format(tmp_path, capsys):
    data = draw_molecules(classes=False, num_graphs=30)
    folder = tmp_path / "TOY"
    folder.mkdir()
    owners = np.repeat(np.arange(30), data.n_node)
    for part, rows in {
        "A": np.column_stack([data.senders, data.receivers]) + 1,
        "graph_indicator": owners + 1,
        "node_labels": data.nodes.argmax(1),
    }.items():
        np.savetxt(folder / f"TOY_{part}.txt", rows, fmt="%d", delimiter=",")
    np.savetxt(folder / "TOY_graph_attributes.txt", data.targets)
    argv = [*SMOKE, "--dataset", folder, "--models", "gin", "--num-seeds", "1"]
    assert run(*argv, "--split", "scaffold", "--out", tmp_path / "a") == 2
    assert "TOY has no scaffolds: its split must be random" in capsys.readouterr().err
    assert run(*argv, "--out", tmp_path / "b") == 0
    assert "test RMSE" in capsys.readouterr().out


@needs_data
def test_the_baselines_of_the_real_sets():
    # The majority of MUTAG, 66.5 %; a linear model far better than a constant.
    mutag, esol = datasets.load("mutag"), datasets.load("esol")
    splits = fold_splits(mutag.targets, 10, seed=0)
    found = fit_baselines(mutag, splits)
    of_folds = {
        name: np.mean(
            [
                measure(mutag, outputs, split.test_mask)
                for outputs, split in zip(baseline.outputs, splits, strict=True)
            ]
        )
        for name, baseline in found.items()
    }
    assert abs(of_folds["constant"] - 125 / 188) < 0.01
    assert of_folds["linear"] > 0.8
    split = scaffold_split(esol.scaffolds)
    assert [int(members.sum()) for members in split] == [902, 113, 113]
    found = fit_baselines(esol, [split])
    linear, constant = (
        measure(esol, found[name].outputs[0], split.test_mask) for name in found
    )
    assert linear < 0.7 * constant
