"""`sg.report` of every kind of task: what stands on the page is in the task's words."""

import json
from dataclasses import replace

import jax
import pytest

import seqgraph_jax as sg

from .test_graph_batches import SPLITS, small_graphs
from .test_graph_tasks import MODEL as GCN
from .test_graph_tasks import TASK as NODES
from .test_training import CONFIG, MODEL, TASK, Linear, Sum

QUICK = replace(CONFIG, updates=4, eval_every=2, threshold=None)
TEXT = sg.text.text_task(sg.text.Vocabulary("abcd"), "abdcab" * 40, 5)
VALUES = sg.make_tasks(small_graphs(classes=False), SPLITS[:2], 4)

#: Network, task, what is judged, and what the page says of it.
KINDS = {
    "classification": (MODEL, TASK, "accuracy", "accuracy than"),
    "regression": (Linear(), Sum(), "mae", "mean absolute error (minutes)"),
    "its loss": (Linear(), Sum(), "loss", "squared error than"),
    "text": (
        sg.CharLM("gru", 4, 4, num_layers=1),
        TEXT,
        "bits_per_char",
        "bits per character than",
    ),
    "nodes": (GCN, NODES, "val_accuracy", "validation accuracy"),
    "values of graphs": (
        sg.GraphClassifier("gin", 4, 1, num_layers=1),
        VALUES,
        "val_rmse",
        "validation RMSE",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_speaks_of_what_the_task_declares(kind, tmp_path):
    # A page that knows accuracies alone: a KeyError, or the worst called the best.
    model, task, metric, words = KINDS[kind]
    config = replace(QUICK, metric=metric, batch_size=4)
    seeds = [0, 1] if isinstance(task, list) else [0, 1, 2]
    faster = replace(config, learning_rate=0.1)
    runs = {
        "slow": sg.train_seeds(model, task, config, seeds),
        "fast": sg.train_seeds(model, task, faster, seeds),
    }
    sg.report(runs, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert words in page
    assert "converge" not in page
    record = json.loads((tmp_path / "results.json").read_text())
    assert [pair["metric"] for pair in record["comparisons"]] == [metric]
    run = runs["fast"]
    values, sign = run.metrics[metric], run.record(metric).sign
    best = (sign * values).max(1)
    assert (sign * run.at(metric, run.best) == best).all()
    assert run.record(metric).words_for_it in page


def test_a_run_that_was_asked_to_converge_says_when(tmp_path):
    config = replace(QUICK, metric="mae", threshold=1e9, hold_for=1)
    runs = {
        name: sg.train_seeds(Linear(), Sum(), config, [0, 1]) for name in ("a", "b")
    }
    comparisons = sg.report(runs, tmp_path)
    # An error at or below its threshold: a higher one would never be reached.
    assert runs["a"].updates_to_converge.tolist() == [2, 2]
    assert [c.metric.name for c in comparisons] == ["updates_to_converge", "mae"]
    assert "updates to converge" in (tmp_path / "report.html").read_text()


def test_metrics_that_nobody_described_are_shown_but_not_judged_by(tmp_path):
    class Plain(Sum):
        metrics = staticmethod(lambda o, t: Sum().metrics(o, t))

    task = jax.tree_util.register_static(Plain)()
    run = sg.train_seeds(Linear(), task, QUICK, [0, 1])
    assert run.judged_by == "loss"
    sg.report({"a": run, "b": run}, tmp_path)
    assert "mae" in (tmp_path / "report.html").read_text()
    with pytest.raises(ValueError, match="'mae' is unknown: the task declares loss"):
        sg.train_seeds(Linear(), task, replace(QUICK, metric="mae"), [0])


def test_a_metric_without_a_direction_cannot_be_chosen_by():
    with pytest.raises(ValueError, match="Metric\\('speed', better=\"lower\"\\)"):
        assert sg.Metric("speed").sign
