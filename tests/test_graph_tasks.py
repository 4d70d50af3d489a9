"""Node tasks: which nodes count, splits, a task for each seed, decay, patience."""

import os
from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

import seqgraph_jax as sg
from seqgraph_jax.tasks.nodes import NodeTargets, node_metrics
from seqgraph_jax.training import loop as training
from seqgraph_jax.training.optimizers import optimizer

from .graph_cases import RECEIVERS, SENDERS, random_graph
from .test_training import assert_same_bits

needs_data = pytest.mark.skipif(
    "SEQGRAPH_DATA" not in os.environ, reason="SEQGRAPH_DATA is not set"
)
N = 40
CONFIG = sg.TrainConfig(
    updates=30,
    eval_every=1,
    batch_size=1,
    eval_size=1,
    learning_rate=0.05,
    metric="val_accuracy",
    early_stop=False,
    max_norm=float("inf"),
)
MODEL = sg.NodeClassifier("gcn", features=4, num_classes=3, dropout_rate=0.3)


def small_task(seed=0):
    """Three classes with features that tell a little, on a random directed graph."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, N).astype(np.int32)
    senders, receivers = rng.integers(0, N, (2, 90)).astype(np.int32)
    graph = random_graph(num_nodes=N, senders=senders, receivers=receivers)
    features = np.eye(3)[labels] + 0.8 * rng.normal(size=(N, 3))
    inputs = sg.node_inputs(graph, features)
    return sg.NodeTask(inputs, labels, sg.random_split(labels, 0, 4, 10, 10))


TASK = small_task()


@pytest.mark.smoke
def test_metrics_count_the_nodes_of_their_set_alone():
    # A mean over all nodes, val and test exchanged, a node without a label counted.
    logits = jnp.array([[2.0, 0], [0, 2], [2, 0], [0, 2], [2, 0]])
    labels = jnp.array([0, 0, 1, 1, -1])
    val = jnp.array([True, True, False, False, False])
    test = jnp.array([False, True, True, True, False])
    metrics = node_metrics(logits, NodeTargets(labels, val, test))
    assert float(metrics["val_accuracy"]) == 0.5
    np.testing.assert_allclose(metrics["test_accuracy"], 1 / 3, atol=1e-6)
    right, wrong = np.log1p(np.exp(-2)), np.log1p(np.exp(2))
    np.testing.assert_allclose(metrics["loss"], (right + wrong) / 2, atol=1e-6)
    np.testing.assert_allclose(metrics["test_loss"], (2 * wrong + right) / 3, atol=1e-6)


def test_updates_do_not_see_labels_outside_of_the_training_set():
    # The test's labels leaking into training.
    hidden = np.where(TASK.split.train_mask, TASK.labels, (TASK.labels + 1) % 3)
    key = jax.random.key(0)
    states = []
    for task in (TASK, replace(TASK, labels=hidden)):
        state = training.init(MODEL, task, CONFIG, key)
        states.append(training.update(MODEL, task, CONFIG, key, state)[0].params)
    assert_same_bits(*states)


@pytest.mark.parametrize("per_class", [3, 20])
def test_random_splits(per_class):
    # Sets that overlap, classes that are missing, a split that ignores its seed.
    labels = np.random.default_rng(0).choice(
        [-1, 0, 1, 2], 300, p=[0.1, 0.6, 0.27, 0.03]
    )
    one, two = (sg.random_split(labels, seed, per_class, 50, 100) for seed in (1, 2))
    for split in (one, two):
        counts = np.bincount(labels[split.train_mask], minlength=3)
        sizes = np.bincount(labels[labels >= 0], minlength=3)
        np.testing.assert_array_equal(counts, np.minimum(per_class, -(-sizes // 3)))
        assert (split.val_mask.sum(), split.test_mask.sum()) == (50, 100)
        assert (np.sum([*split], axis=0) <= 1).all()
        assert not np.any([*split], axis=0)[labels < 0].any()
    assert (one.test_mask != two.test_mask).any()
    chex.assert_trees_all_equal(one, sg.random_split(labels, 1, per_class, 50, 100))


def test_inputs_are_sparse_where_the_features_are_and_the_callers_stay():
    graph = random_graph()
    matrix = scipy.sparse.eye_array(8) * 3
    nodes = sg.node_inputs(graph, scipy.sparse.hstack([matrix] * 2)).graph.nodes
    assert isinstance(nodes, np.ndarray)  # an eighth of it is not zero
    np.testing.assert_array_equal(nodes, 3 * np.tile(np.eye(8), 2))
    # Zeros that are stored, and columns out of order, in the caller's own arrays.
    pattern = np.repeat([3.0, 0.0], 8), np.r_[7:-1:-1, 8:16], np.arange(0, 17, 2)
    data, indices, indptr = (p.copy() for p in pattern)
    data = data.astype(np.float32)
    given = scipy.sparse.csr_array((data, indices, indptr), shape=(8, 80))
    nodes = sg.node_inputs(graph, given).graph.nodes
    assert isinstance(nodes, sg.SparseFeatures)
    np.testing.assert_array_equal(nodes.values, np.full(8, 3))
    sg.SparseFeatures.of(given)
    for array, before in zip((given.data, given.indices), pattern, strict=False):
        np.testing.assert_array_equal(array, before)
    empty = sg.node_inputs(graph, np.zeros((8, 5))).graph.nodes
    chex.assert_tree_all_finite(empty.values)


@pytest.mark.parametrize("features", [np.arange(8.0), np.ones((7, 2)), np.float32(1)])
def test_features_of_another_shape_are_refused(features):
    # Eight nodes with one feature each, taken as one row of eight.
    with pytest.raises(ValueError, match=r"\[N, F\], a row for each of 8 nodes"):
        sg.node_inputs(random_graph(), features)


def test_a_node_without_a_label_counts_in_no_set():
    # It was counted as one of class 0: that all are of class 0 was right of it.
    rng = np.random.default_rng(1)
    labels = np.array([0, 1, -1, -1, 0, 2, -1, 1])
    masks = np.arange(8) % 3 == np.arange(3)[:, None]
    logits = jnp.asarray(rng.normal(size=(8, 3)), jnp.float32)
    known = masks & (labels >= 0)
    given = node_metrics(logits, NodeTargets(jnp.asarray(labels), *masks[1:]))
    chex.assert_trees_all_close(
        given, node_metrics(logits, NodeTargets(jnp.asarray(labels), *known[1:]))
    )
    right = np.asarray(logits.argmax(-1)) == labels
    for name, mask in (("val_accuracy", known[1]), ("test_accuracy", known[2])):
        np.testing.assert_allclose(given[name], right[mask].mean(), atol=1e-6)
    trained = node_metrics(logits, NodeTargets(jnp.asarray(labels), masks[0]))
    np.testing.assert_allclose(trained["accuracy"], right[known[0]].mean(), atol=1e-6)
    said = sg.tasks.confusion(labels, np.asarray(logits.argmax(-1)), masks[2], 3)
    np.testing.assert_allclose(said[2].sum(), 100)
    assert np.isnan(said[:2]).all()  # both have no member with a label


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"val_mask": np.zeros(N, bool)}, "no node with a label is in val_mask"),
        ({"test_mask": None}, "no node with a label is in test_mask"),
        ({"train_mask": np.arange(N) == 3}, "no node with a label is in train_mask"),
        ({"test_mask": np.arange(N) < N}, "is in [a-z]+_mask and in test_mask: put it"),
    ],
)
def test_sets_that_are_empty_or_overlap_are_refused_before_training(change, message):
    # Every number is NaN then, and all seeds are said to have diverged.
    labels = np.where(np.arange(N) == 3, -1, TASK.labels)
    task = replace(TASK, labels=labels, split=TASK.split._replace(**change))
    with pytest.raises(ValueError, match=message):
        sg.train_seeds(MODEL, task, CONFIG, [0, 1])


def test_attention_is_not_trained_on_weights_below_0():
    # Parameters are drawn on a graph of zeros, and under jit no weight is known.
    graph = random_graph(edges="weights")
    graph.edges[7] = -2
    masks = np.arange(8) % 3 == np.arange(3)[:, None]
    task = sg.NodeTask(
        sg.node_inputs(graph, graph.nodes), np.arange(8) % 2, sg.Split(*masks)
    )
    with pytest.raises(ValueError, match=r"weights must be 0 or more, not -2"):
        sg.train_seeds(sg.NodeClassifier("gatv2", 2, 2), task, CONFIG, [0, 1])


@pytest.mark.parametrize("width", [1, pytest.param(2, marks=pytest.mark.smoke)])
def test_a_task_for_each_seed_equals_runs_of_one(width):
    # A seed that gets its neighbour's split, in training or in the evaluation.
    splits = [sg.random_split(TASK.labels, s, 4, 10, 10) for s in (5, 6, 7)]
    tasks = TASK.with_splits(splits)
    together = sg.train_seeds(MODEL, tasks, CONFIG, [0, 1, 2], width)
    for s, task in enumerate(tasks):
        alone = sg.train_seeds(MODEL, task, CONFIG, [s])
        for name, metric in alone.metrics.items():
            np.testing.assert_allclose(
                together.metrics[name][s], metric[0], atol=1e-5, err_msg=name
            )


def test_tasks_that_do_not_fit_the_seeds_are_refused():
    with pytest.raises(ValueError, match="2 tasks do not fit 3 seeds"):
        sg.train_seeds(MODEL, [TASK, TASK], CONFIG, [0, 1, 2])


def test_what_tasks_share_is_on_a_device_once():
    # The graph copied for every seed.
    from seqgraph_jax.training.stacks import shared_and_own

    tasks = TASK.with_splits(
        [sg.random_split(TASK.labels, s, 4, 10, 10) for s in (1, 2)]
    )
    shared, own, join = shared_and_own(tasks)
    assert len(own) == 3
    assert len(shared) == len(jax.tree.leaves(TASK)) - 3
    for s, task in enumerate(tasks):
        chex.assert_trees_all_equal(join(shared, [leaf[s] for leaf in own]), task)


def test_weight_decay_is_an_l2_penalty_on_the_chosen_parameters():
    # Decay after Adam (AdamW), of all layers, or of none.
    config = replace(CONFIG, weight_decay=0.3, decay_only="layers.layer_0")
    key = jax.random.key(1)
    params = training.init(MODEL, TASK, config, key).params

    def loss(params, penalty):
        batch = TASK.sample(key, 1)
        value = TASK.metrics(
            MODEL.apply({"params": params}, batch.inputs), batch.targets
        )
        squares = jax.tree.map(lambda p: (p**2).sum(), params["layers"]["layer_0"])
        return value["loss"] + penalty * sum(jax.tree.leaves(squares)) / 2

    tx, plain = optimizer(config), optimizer(replace(config, weight_decay=0.0))
    found, _ = tx.update(jax.grad(loss)(params, 0.0), tx.init(params), params)
    expected, _ = plain.update(jax.grad(loss)(params, 0.3), plain.init(params), params)
    chex.assert_trees_all_close(found, expected, atol=1e-6)


@pytest.mark.parametrize("metric", ["val_accuracy", "loss"])
def test_patience_by_hand(metric):
    # Best parameters that move after the stop, or a stop one evaluation off.
    long = replace(CONFIG, updates=60, metric=metric)
    patient = replace(long, patience=4)
    free = sg.train_seeds(MODEL, TASK, long, range(4))
    run = sg.train_seeds(MODEL, TASK, patient, range(4))
    assert run.finished
    assert run.stopped.any()
    for s in range(4):
        losses = free.metrics["loss"][s]
        values = -losses if metric == "loss" else free.metrics[metric][s]
        values = list(zip(values, -losses, strict=True))  # of equals the lowest loss
        best, waited, last = 0, 0, len(values) - 1
        for k, value in enumerate(values):
            if k == 0 or value > values[best]:
                best, waited = k, 0
            else:
                waited += 1
            if waited == 4:
                last = k
                break
        assert (run.best[s], run.last[s]) == (best, last)
        assert run.state.best.step[s] == best + 1
        after = run.metrics["loss"][s, last + 1 :]
        assert np.isnan(after).all()
        np.testing.assert_allclose(
            run.metrics["loss"][s, : last + 1],
            free.metrics["loss"][s, : last + 1],
            atol=1e-6,
        )
        assert run.values("test_accuracy")[s] == run.metrics["test_accuracy"][s, last]
        assert run.at("loss", run.best)[s] == run.metrics["loss"][s, best]
    assert not run.diverged.any()


def test_a_patient_run_resumes_to_the_same_bits():
    config = replace(CONFIG, updates=60, patience=4)
    whole = sg.train_seeds(MODEL, TASK, config, range(3))
    half = next(
        run
        for run in sg.iterate_seeds(MODEL, TASK, config, range(3))
        if run.updates[-1] == 7
    ).on_host()
    *_, resumed = sg.iterate_seeds(MODEL, TASK, config, range(3), resume=half)
    assert_same_bits(resumed.metrics, whole.metrics)
    assert_same_bits(resumed.state, whole.state)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("patience", -1, "patience must be 0 or more, not -1"),
        ("weight_decay", -0.1, "weight_decay must be 0 or more, not -0.1"),
    ],
)
def test_settings_that_are_not_possible(field, value, message):
    with pytest.raises(ValueError, match=message):
        sg.TrainConfig(**{field: value})


def test_seeds_of_a_whole_graph_apply_as_one_by_one():
    run = sg.train_seeds(MODEL, TASK, CONFIG, [3, 4, 5])
    params = run.state.best.params
    logits = sg.apply_seeds(MODEL, params, TASK.inputs, batch_size=None)
    chex.assert_shape(logits, (3, N, 3))
    tested = np.asarray(TASK.split.test_mask)
    right = (logits.argmax(-1) == TASK.labels[None])[:, tested].mean(1)
    # The chosen network is the one whose accuracy is reported.
    np.testing.assert_allclose(right, run.at("test_accuracy", run.best), atol=1e-6)


@needs_data
def test_a_gcn_learns_cora():
    # Three seeds far from chance and from an MLP: the graph, its features, its split.
    data = sg.datasets.load("cora")
    task = sg.NodeTask(
        sg.node_inputs(data.graph(), sg.data.node_features(data)),
        data.labels,
        sg.Split(data.train_mask, data.val_mask, data.test_mask),
    )
    model = sg.NodeClassifier("gcn", 16, 7, dropout_rate=0.5)
    config = replace(
        CONFIG,
        updates=100,
        learning_rate=0.01,
        weight_decay=5e-4,
        decay_only="layers.layer_0",
    )
    run = sg.train_seeds(model, task, config, range(3))
    assert run.at("test_accuracy", run.best).min() > 0.77


def test_the_graph_of_the_tests_is_directed_and_irregular():
    assert len(set(np.bincount(RECEIVERS, minlength=8))) >= 3
    assert not set(zip(SENDERS, RECEIVERS, strict=True)) <= set(
        zip(RECEIVERS, SENDERS, strict=True)
    )
