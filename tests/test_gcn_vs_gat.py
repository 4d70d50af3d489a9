"""The experiment on nodes as a user runs it: results, own graphs, bad input."""

import csv
import json
import os

import numpy as np
import pytest

import seqgraph_jax as sg
from experiments import gcn_vs_gat
from seqgraph_jax.data.notes import notes_on_nodes

from .commands import SMOKE, smoke_run
from .sentences import assert_one_sentence

#: Programs are compiled once.
pytestmark = pytest.mark.xdist_group("gcn_vs_gat")
needs_data = pytest.mark.skipif(
    "SEQGRAPH_DATA" not in os.environ, reason="SEQGRAPH_DATA is not set"
)


def run(*argv):
    """Exit code of the experiment in this process."""
    return gcn_vs_gat.main([str(word) for word in argv])


def test_smoke_run_writes_what_it_promises():
    out, printed = smoke_run("gcn_vs_gat")
    assert printed.count("Verdict: ") == 3
    assert f"Report: {out / 'report.html'}" in printed
    record = json.loads((out / "results.json").read_text())
    assert list(record["arms"]) == ["gcn", "gat", "mlp"]
    assert record["seeds"] == [0, 500]
    for arm in record["arms"].values():
        assert "updates_to_converge" not in arm["metrics"]
        for name in ("test_accuracy", "val_accuracy"):
            assert len(arm["metrics"][name]["per_seed"]) == 2
    assert {c["metric"] for c in record["comparisons"]} == {
        "test_accuracy",
        "val_accuracy",
    }
    rows = [json.loads(row) for row in (out / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 3 * 2 * 4
    for name in ("accuracy", "curves", "confusion"):
        assert (out / f"{name}.png").stat().st_size > 10_000
        assert (out / f"{name}.svg").exists()
    # A seed's reported accuracy is that of its best validation epoch.
    for arm in ("gcn", "mlp"):
        mine = [r for r in rows if r["arm"] == arm and r["seed"] == 500]
        best = max(mine, key=lambda r: (r["val_accuracy"], -r["loss"]))
        found = record["arms"][arm]["metrics"]
        assert found["test_accuracy"]["per_seed"][1] == best["test_accuracy"]
        assert found["best_update"]["per_seed"][1] == best["update"]


def test_one_model_random_splits_and_every_option(tmp_path):
    out = tmp_path / "run"
    argv = ["--models", "gatv2", "--random-splits", "--layers", "3", "--heads", "2"]
    argv += ["--hidden", "4", "--per-class", "3", "--num-val", "8", "--residual"]
    argv += ["--normalize", "--features", "degree", "--metric", "loss"]
    assert run(*SMOKE, "--out", out, *argv) == 0
    record = json.loads((out / "results.json").read_text())
    assert record["comparisons"] == []
    assert record["config"]["training"]["gatv2"]["metric"] == "loss"
    assert "split of its own" in (out / "report.html").read_text()


def write_graph(folder, split=True):
    """A user's own graph: two groups of nodes, mostly joined within."""
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 2, 30)
    with open(folder / "nodes.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", *(["split"] if split else []), "a", "b"])
        for i, group in enumerate(groups):
            part = ["train", "val", "test"][i % 3]
            features = rng.normal(size=2).round(3).tolist()
            row = [f"n{i}", ["red", "<b>blue</b>"][group], *([part] if split else [])]
            writer.writerow(row + features)
    with open(folder / "edges.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "target", "weight"])
        for i in range(30):
            for j in range(30):
                if i != j and rng.random() < (0.3 if groups[i] == groups[j] else 0.02):
                    writer.writerow([f"n{i}", f"n{j}", round(rng.uniform(0.5, 2), 3)])


def rewrite(path, change):
    """Change the rows of a table, dictionaries by column."""
    with open(path, newline="") as file:
        rows = [change(i, row) for i, row in enumerate(csv.DictReader(file))]
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_a_set_without_a_labelled_node_is_one_sentence(tmp_path, capsys):
    # Numbers of an empty set are NaN, and every seed was said to have diverged.
    (tmp_path / "mine").mkdir()
    write_graph(tmp_path / "mine")
    rewrite(
        tmp_path / "mine" / "nodes.csv",
        lambda i, row: row | {"label": "" if i % 3 == 1 else row["label"]},
    )
    out = tmp_path / "run"
    assert run(*SMOKE, "--dataset", tmp_path / "mine", "--out", out) == 2
    assert_one_sentence(capsys, "no node with a label is in val_mask")
    assert not out.exists()


def test_notes_say_what_was_made_of_the_data(tmp_path):
    write_graph(tmp_path)
    rewrite(
        tmp_path / "nodes.csv",
        lambda i, row: row | {"label": "" if i in (0, 3, 5) else row["label"]},
    )
    edges = [f"n{i},n{i + 1}\n" for i in range(29)]
    (tmp_path / "edges.csv").write_text("source,target\n" + "".join(edges))
    load = sg.datasets.load_nodes
    scale, way, labels = notes_on_nodes(load(tmp_path), "auto", False)
    assert "divided by its standard deviation over the training nodes" in scale
    assert "--undirected adds the opposites" in way
    assert "2 for training, 0 for validation, 1 for the test" in labels
    both = load(tmp_path, undirected=True)
    assert (both.num_edges, both.one_way) == (58, False)
    scale, split = notes_on_nodes(both, "rows", True)
    assert "divided by their sum" in scale
    assert "a split of its own" in split


@pytest.mark.parametrize("split", [True, False])
def test_a_graph_of_ones_own(tmp_path, split):
    folder = tmp_path / "mine"
    folder.mkdir()
    write_graph(folder, split)
    out = tmp_path / "run"
    model = "gcn" if split else "gin"
    assert run(*SMOKE, "--out", out, "--dataset", folder, "--models", model) == 0
    page = (out / "report.html").read_text()
    assert "&lt;b&gt;blue" in page
    assert "<b>blue" not in page


def test_an_error_in_a_file_names_its_line(tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    write_graph(folder)
    with open(folder / "edges.csv", "a") as file:
        file.write("n1,nobody,1.0\n")
    line = len((folder / "edges.csv").read_text().splitlines())
    assert run(*SMOKE, "--dataset", folder, "--out", tmp_path / "run") == 2
    printed = capsys.readouterr().err
    assert f"line {line}" in printed
    assert "'nobody'" in printed
    assert len(printed.splitlines()) == 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--models", "gcm"], "Expected one of ('gcn', 'gat', 'gatv2'"),
        (["--models", "gcn", "gcn"], "one or more different models"),
        (["--dataset", "coral"], "'coral' is neither one of karate, cora"),
        (["--hidden", "0"], "--hidden must be 1 or more, not 0"),
        (["--per-class", "0"], "--per-class must be 1 or more, not 0"),
        (["--dropout", "1"], "--dropout must be 0 to below 1, not 1.0"),
        (["--self-weight", "-1"], "--self-weight must be 0 or more"),
        (["--metric", "accuracy"], "Expected one of ('val_accuracy', 'loss')"),
        (
            ["--features", "words"],
            "Expected one of ('auto', 'own', 'raw', 'rows'",
        ),
        (["--features", "own"], "karate has no features"),
        (["--updates", "0"], "--updates must be 1 or more, not 0"),
        (["--patience", "-1"], "--patience must be 0 or more, not -1"),
        (["--learning-rate", "0"], "--learning-rate must be above 0"),
        (["--lerning-rate", "1"], "--learning-rate"),
    ],
)
def test_bad_input_ends_with_one_sentence(tmp_path, capsys, argv, message):
    out = tmp_path / "run"
    assert run(*SMOKE, "--out", out, *argv) == 2
    assert_one_sentence(capsys, message)
    assert not out.exists()


def test_without_data_and_network_it_says_what_to_do(tmp_path, capsys, monkeypatch):
    from seqgraph_jax.data import datasets, origins

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SEQGRAPH_DATA", raising=False)
    source = datasets.SOURCES["cora"]
    raw = tuple(
        origins.Origin(o.filename, o.sha256, ("http://localhost:9/x",))
        for o in source.raw
    )
    gone = origins.Source(source.npz, raw, source.arrays)
    monkeypatch.setitem(datasets.SOURCES, "cora", gone)
    assert run("--dataset", "cora", "--out", tmp_path / "run") == 2
    printed = capsys.readouterr().err
    assert "cannot be downloaded from http://localhost:9/x" in printed
    assert len(printed.splitlines()) == 1


@needs_data
def test_many_graphs_are_refused(tmp_path, capsys):
    assert run("--dataset", "mutag", "--out", tmp_path / "run") == 2
    assert "mutag holds many graphs, not one" in capsys.readouterr().err


@needs_data
@pytest.mark.parametrize("dataset", ["cora", "lastfm_asia"])
def test_real_graphs(tmp_path, dataset):
    out = tmp_path / "run"
    argv = ["--dataset", dataset, "--models", "gcn", "--updates", "3"]
    assert run(*SMOKE, "--out", out, *argv) == 0
    record = json.loads((out / "results.json").read_text())
    assert record["arms"]["gcn"]["metrics"]["test_accuracy"]["n"] == 2


def star():
    """Node 0 hears 1, 2, 3 and nobody hears them; 0 and 1 are of one class."""
    import jraph

    return sg.index_graph(
        jraph.GraphsTuple(
            nodes=np.ones((4, 1), np.float32),
            edges=None,
            senders=np.array([1, 2, 3]),
            receivers=np.array([0, 0, 0]),
            globals=None,
            n_node=np.array([4]),
            n_edge=np.array([3]),
        )
    )


def test_evenness_and_homophily_by_hand():
    # The own loop left out of the entropy, or counted as a neighbour of one's class.
    import jax.numpy as jnp

    inputs = star()
    alone = jnp.array([[1.0]] * 3)
    equal = sg.analysis.evenness(
        inputs.adjacency,
        jnp.full((3, 1), 0.25),
        jnp.concatenate([jnp.array([[0.25]]), alone]),
    )
    np.testing.assert_allclose(equal[0], 1, atol=1e-6)
    assert np.isnan(equal[1:]).all()
    weights = jnp.array([0.6, 0.2, 0.1])
    own = jnp.concatenate([jnp.array([[0.1]]), alone])
    found = sg.analysis.evenness(inputs.adjacency, weights[:, None], own)[0, 0]
    p = np.array([0.6, 0.2, 0.1, 0.1])
    np.testing.assert_allclose(found, -(p * np.log(p)).sum() / np.log(4), atol=1e-5)
    labels = jnp.array([0, 0, 1, -1])
    plain, attended = sg.analysis.homophily(inputs.adjacency, labels, weights)
    np.testing.assert_allclose([plain, attended], [1 / 2, 0.6 / 0.8], atol=1e-6)
