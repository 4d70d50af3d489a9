"""Batches of many graphs: equal chances, room for any, padding; folds and scaffolds."""

from dataclasses import replace
from itertools import pairwise

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqgraph_jax as sg
from seqgraph_jax.data.arrays import flat_graphs
from seqgraph_jax.data.splits import fold_splits, scaffold_split, shuffled_split
from seqgraph_jax.graph.adjacency import index_edges
from seqgraph_jax.tasks.batches import (
    Slots,
    batch_slots,
    draw_sorted,
    gather_graphs,
)
from seqgraph_jax.tasks.graphs import answers, filled, make_tasks
from seqgraph_jax.training import iterate, stacks
from seqgraph_jax.training import loop as training


def small_graphs(seed=0, num_graphs=23, classes=True, most=9):
    """Random directed graphs; the first has one node and no edge, the second a loop."""
    rng = np.random.default_rng(seed)
    n_node = rng.integers(1, most, num_graphs)
    n_node[:2] = 1, 3
    ends = []
    for g, (first, n) in enumerate(zip(n_node.cumsum() - n_node, n_node, strict=True)):
        chosen = rng.random((n, n)) < 0.4
        np.fill_diagonal(chosen, g == 1)
        ends.append(first + np.argwhere(chosen & (g > 0)))
    ends = np.concatenate(ends)
    return flat_graphs(
        "small",
        n_node,
        rng.normal(size=(n_node.sum(), 4)),
        ends[:, 0],
        ends[:, 1],
        rng.integers(0, 2, num_graphs) if classes else rng.normal(size=num_graphs) * 3,
        edges=rng.normal(size=(len(ends), 2)),
        class_names=("no", "yes") if classes else (),
    )


DATA = small_graphs()
SPLITS = [shuffled_split(DATA.num_graphs, seed) for seed in range(3)]


def test_a_batch_of_one_graph_is_a_batch():
    # Parameters were drawn for a batch of two, which the task has no room for.
    [task] = make_tasks(DATA, SPLITS[:1], batch_size=1)
    arm = iterate.Arm(
        sg.GraphClassifier("gin", 4, 2), task, sg.TrainConfig(batch_size=1)
    )
    assert iterate.abstract_state(arm, 3).step.shape == (3,)


def test_arrays_without_entries_are_shared_by_all_runs():
    # Graphs without any edge: no device takes its part of nothing.
    tasks = [
        {"a": np.arange(2), "b": np.zeros((0, 3)), "c": np.ones(s)} for s in (1, 1)
    ]
    shared, own, join = stacks.shared_and_own(tasks)
    assert ([leaf.shape for leaf in shared], len(own)) == ([(0, 3)], 2)
    chex.assert_trees_all_equal(join(shared, [leaf[1] for leaf in own]), tasks[1])


def test_a_split_with_an_empty_set_is_refused():
    empty = SPLITS[0]._replace(val_mask=np.zeros(DATA.num_graphs, bool))
    with pytest.raises(ValueError, match="no graph is in val_mask"):
        make_tasks(DATA, [SPLITS[1], empty])


@pytest.mark.parametrize(
    ("num_graphs", "batch_size"), [(10, 4), (7, 7), (3, 8), (9, 1)]
)
def test_every_graph_has_the_same_chance(num_graphs, batch_size):
    # A part of the order that is longer than the others, its last place never drawn.
    v = np.arange(num_graphs)
    places = (np.arange(batch_size)[:, None] * num_graphs + v) // batch_size
    expected = np.bincount(places.ravel(), minlength=num_graphs) / num_graphs
    np.testing.assert_allclose(expected, batch_size / num_graphs)
    draws = 4000
    keys = jax.random.split(jax.random.key(1), draws)
    drawn = jax.vmap(lambda key: draw_sorted(key, num_graphs, batch_size))(keys)
    shares = np.bincount(np.ravel(drawn), minlength=num_graphs) / draws
    assert shares.shape == (num_graphs,)
    deviation = np.sqrt(batch_size / num_graphs / draws)
    np.testing.assert_allclose(shares, batch_size / num_graphs, atol=5 * deviation)


@pytest.mark.parametrize("seed", range(5))
def test_no_batch_is_larger_than_its_slots(seed):
    # Every draw at the end of its part, and edges that do not grow with the nodes.
    rng = np.random.default_rng(seed)
    n_node = np.sort(rng.integers(1, 40, 29))
    n_edge = rng.integers(0, 90, 29)
    for largest in (3, 8, 29, 40):
        slots = batch_slots(n_node, n_edge, largest)
        for batch_size in range(1, largest + 1):  # a smaller one fits, too
            k = np.arange(batch_size)
            for ends in (k + 1, k):
                last = np.maximum(ends * 29 - 1, 0) // batch_size
                assert n_node[last].sum() < slots.nodes
            parts = [
                n_edge[k * 29 // batch_size : ((k + 1) * 29 - 1) // batch_size + 1]
                for k in range(batch_size)
            ]
            assert sum(part.max() for part in parts) <= slots.edges


def test_slots_leave_a_node_for_the_padding_edges():
    assert batch_slots(np.full(4, 8), np.full(4, 16), 1) == Slots(16, 16)


def random_model(layer, data, key, num_outputs=2, use_edges=True):
    """A network with random parameters, biases too."""
    model = sg.GraphClassifier(
        layer, 8, num_outputs, num_layers=2, num_heads=2, normalize=True
    )
    example = gather_graphs(
        make_tasks(data, SPLITS[:1], 4, use_edges)[0].inputs,
        jnp.array([2]),
        Slots(16, 64),
    )
    params = model.init(key, example)["params"]
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    noisy = [
        leaf + 0.3 * jax.random.normal(k, leaf.shape)
        for k, leaf in zip(keys, leaves, strict=True)
    ]
    return model, structure.unflatten(noisy)


@pytest.mark.parametrize("use_edges", [True, False])
@pytest.mark.parametrize(
    "layer", ["gcn", pytest.param("gat", marks=pytest.mark.smoke), "gin"]
)
def test_a_batch_gives_what_its_graphs_give_alone(layer, use_edges, key):
    # Edges that reach another molecule, a readout over padding, index arrays that do
    # not belong to the edges (in the gradient, too), 0 / 0 where there is no edge.
    model, params = random_model(layer, DATA, key, use_edges=use_edges)
    [task] = make_tasks(DATA, SPLITS[:1], 4, use_edges)
    chosen = np.array([5, 0, 1, 5, 20])
    alone = [DATA.graph(i) for i in chosen]
    if not use_edges:
        alone = [graph._replace(edges=None) for graph in alone]

    def together(params, inputs):
        outputs = model.apply({"params": params}, inputs)[: len(chosen)]
        return jnp.sin(outputs).sum(), outputs

    batch = gather_graphs(task.inputs, chosen, Slots(48, 160))
    assert batch.graph.n_node.tolist()[:5] == DATA.n_node[chosen].tolist()
    assert batch.graph.n_node.sum() == 48
    assert batch.graph.n_edge.sum() == 160
    grads, outputs = jax.jit(jax.grad(together, has_aux=True))(params, batch)
    apply = jax.jit(lambda graph: model.apply({"params": params}, graph))
    expected = [apply(sg.index_graph(one)) for one in alone]
    np.testing.assert_allclose(outputs, np.concatenate(expected), atol=2e-5)
    plain = batch._replace(adjacency=sg.Adjacency(*batch.graph[3:1:-1], 48, 48))
    slow = jax.jit(jax.grad(together, has_aux=True))(params, plain)[0]
    chex.assert_trees_all_close(grads, slow, atol=5e-5)
    chex.assert_tree_all_finite(grads)


def test_edges_are_sorted_and_indexed_as_the_host_would():
    # Index arrays moved by the wrong graph's offset.
    [task] = make_tasks(DATA, SPLITS[:1], 4)
    batch = gather_graphs(task.inputs, jnp.array([7, 3, 0, 11]), Slots(40, 96))
    ours = batch.adjacency
    theirs = index_edges(np.asarray(ours.senders), np.asarray(ours.receivers), 40, 40)
    for name in ("indptr", "by_sender", "turned", "sender_indptr"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), name)


def test_a_split_s_batches_and_evaluation_hold_its_graphs_alone():
    # A padded place of the index arrays that counts, validation and test exchanged.
    splits = [*SPLITS, *fold_splits(DATA.targets, 5, seed=1)]
    tasks = make_tasks(DATA, splits, batch_size=6)
    shapes = {str(jax.tree.map(np.shape, task)) for task in tasks}
    assert len(shapes) == 1
    assert all(task.inputs is tasks[0].inputs for task in tasks)
    of_nodes = np.repeat(np.arange(DATA.num_graphs), DATA.n_node)
    first_values = {
        row.tobytes(): g for row, g in zip(DATA.nodes, of_nodes, strict=True)
    }
    for task, split in zip(tasks, splits, strict=True):
        seen = set()
        for seed in range(40):
            batch = task.sample(jax.random.key(seed), 6)
            nodes = np.asarray(batch.inputs.graph.nodes)
            real = int(batch.inputs.graph.n_node[:-1].sum())
            seen |= {first_values[row.tobytes()] for row in nodes[:real]}
            assert not nodes[real:].any()
        assert seen == set(np.flatnonzero(split.train_mask))
        targets = task.evaluation(jax.random.key(0), 1).targets
        for mask, members in (
            (task.val_mask, split.val_mask),
            (task.test_mask, split.test_mask),
        ):
            assert sorted(task.held[mask]) == np.flatnonzero(members).tolist()
        np.testing.assert_array_equal(targets.values, DATA.targets[task.held])


def test_a_batch_without_room_is_refused(key):
    [task] = make_tasks(DATA, SPLITS[:1], batch_size=4)
    with pytest.raises(ValueError, match="a batch of 5 graphs is larger than the 4"):
        task.sample(key, 5)


def test_root_mean_squared_error_is_in_the_values_own_unit():
    # Standardised errors, a mean over padding or over the other set.
    data = small_graphs(classes=False)
    [task] = make_tasks(data, SPLITS[:1], batch_size=4)
    split = SPLITS[0]
    batch = task.evaluation(jax.random.key(0), 1)
    outputs = jnp.zeros((len(task.held) + 1, 1))  # the mean of the training values
    found = task.metrics(outputs, batch.targets)
    mean = data.targets[split.train_mask].mean()
    for part, members in (("val", split.val_mask), ("test", split.test_mask)):
        errors = data.targets[members] - mean
        np.testing.assert_allclose(
            found[f"{part}_rmse"], np.sqrt(np.mean(errors**2)), rtol=1e-5
        )
    variance = data.targets[split.train_mask].var()
    expected = np.mean((data.targets[split.val_mask] - mean) ** 2) / variance
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-5)
    assert "rmse" in task.metrics(
        jnp.zeros((5, 1)), task.sample(jax.random.key(0), 4)[1]
    )


def test_answers_are_values_in_their_own_unit():
    # Predictions that stay standardised; one run's mean used for another.
    data = small_graphs(classes=False)
    tasks = make_tasks(data, SPLITS, batch_size=4)
    said = answers(tasks, np.zeros((3, 7, 1)))
    means = [data.targets[split.train_mask].mean() for split in SPLITS]
    np.testing.assert_allclose(said, np.tile(means, (7, 1)).T, rtol=1e-5)
    deviations = [data.targets[split.train_mask].std() for split in SPLITS]
    apart = answers(tasks, np.ones((3, 7, 1))) - said
    np.testing.assert_allclose(apart, np.tile(deviations, (7, 1)).T, rtol=1e-5)
    shared = answers(tasks[:1], np.zeros((2, 7, 1)))  # one task for all runs
    np.testing.assert_allclose(shared, np.full((2, 7), means[0]), rtol=1e-5)
    scores = np.ones((3, 7, 2))
    assert answers(make_tasks(DATA, SPLITS, 4), scores) is scores


def test_records_say_the_values_unit_and_whose_loss_it_is():
    data = replace(small_graphs(classes=False), target_name="charge (e)")
    [task] = make_tasks(data, SPLITS[:1], batch_size=4)
    records = {record.name: record for record in task.metrics.records}
    assert records["test_rmse"].axis == "test RMSE (e)"
    assert records["loss"].axis == "validation loss (squared standard deviations)"
    assert records["train_loss"].axis == "training loss (squared standard deviations)"
    [task] = make_tasks(DATA, SPLITS[:1], batch_size=4)
    records = {record.name: record for record in task.metrics.records}
    assert records["test_accuracy"].axis == "test accuracy (%)"
    assert records["loss"].axis == "validation loss (nats)"


def test_how_full_batches_are():
    # Graphs that are no training graphs, or places that are only there for one shape.
    splits = [*SPLITS, *fold_splits(DATA.targets, 5, seed=1)]
    tasks = make_tasks(DATA, splits, batch_size=6)
    nodes = [
        task.sample(jax.random.key(seed), 6).inputs.graph.n_node[:-1].sum()
        for task in tasks
        for seed in range(40)
    ]
    share, of_edges = filled(tasks)
    assert abs(np.mean(nodes) / tasks[0].slots.nodes - share) < 0.01
    assert 0 < of_edges < 1


def test_values_that_do_not_vary_are_learned():
    data = small_graphs(classes=False)
    data.targets[:] = 2.5
    [task] = make_tasks(data, SPLITS[:1], batch_size=4)
    found = task.metrics(jnp.zeros((5, 1)), task.sample(jax.random.key(0), 4).targets)
    assert float(found["rmse"]) == 0


def test_a_network_is_compiled_once_for_all_splits():
    # A shape that depends on the split, or on the graphs drawn.
    tasks = make_tasks(DATA, fold_splits(DATA.targets, 5, seed=0), batch_size=8)
    config = sg.TrainConfig(
        updates=6,
        eval_every=2,
        batch_size=8,
        metric="loss",
        early_stop=False,
    )
    model = sg.GraphClassifier("gcn", 4, 2, num_layers=2)

    @jax.jit
    @chex.assert_max_traces(1)
    def advance(task, evaluation, state):
        key = jax.random.key(0)
        return training.advance(model, task, config, key, evaluation, state)

    state = training.init(model, tasks[0], config, jax.random.key(0))
    for task in tasks:
        evaluation = training.eval_batch(task, config)
        for _ in range(2):
            state, metrics = advance(task, evaluation, state)
        assert np.isfinite(metrics["loss"])
    run = sg.train_seeds(model, tasks, config, range(5), width=5)
    assert run.metrics["test_accuracy"].shape == (5, 3)


def test_what_tasks_share_is_on_the_device_once():
    tasks = make_tasks(DATA, SPLITS, batch_size=4)
    shared, own, _ = stacks.shared_and_own(tasks)
    assert sum(np.size(leaf) for leaf in own) < sum(np.size(leaf) for leaf in shared)
    assert any(np.shape(leaf) == DATA.nodes.shape for leaf in shared)


@pytest.mark.parametrize("num_folds", [3, 10])
def test_folds_are_disjoint_stratified_and_cover_all(num_folds):
    labels = np.random.default_rng(0).permutation([0] * 63 + [1] * 125)
    splits = fold_splits(labels, num_folds, seed=4)
    assert len(splits) == num_folds
    tested = np.sum([split.test_mask for split in splits], axis=0)
    np.testing.assert_array_equal(tested, 1)
    for split in splits:
        np.testing.assert_array_equal(
            split.train_mask + 0 + split.val_mask + split.test_mask, 1
        )
        for members in (split.val_mask, split.test_mask):
            assert abs(members.sum() - len(labels) / num_folds) < 1
            ones = labels[members].sum()
            assert abs(ones - 125 / num_folds) < 1
    for one, following in pairwise(splits):
        np.testing.assert_array_equal(one.val_mask, following.test_mask)
    again, other = (fold_splits(labels, num_folds, seed) for seed in (4, 5))
    np.testing.assert_array_equal(splits[0].test_mask, again[0].test_mask)
    assert (splits[0].test_mask != other[0].test_mask).any()


def test_shuffled_splits_are_80_10_10():
    for num_graphs in (10, 11, 1128):
        split = shuffled_split(num_graphs, seed=1)
        np.testing.assert_array_equal(
            split.train_mask + 0 + split.val_mask + split.test_mask, 1
        )
        for members, share in zip(split, (0.8, 0.1, 0.1), strict=True):
            assert abs(members.sum() - share * num_graphs) <= 1
    assert (shuffled_split(50, 1).test_mask != shuffled_split(50, 2).test_mask).any()


def test_no_scaffold_is_in_two_sets():
    scaffolds = np.random.default_rng(0).geometric(0.1, 200)
    split = scaffold_split(scaffolds)
    np.testing.assert_array_equal(
        split.train_mask + 0 + split.val_mask + split.test_mask, 1
    )
    sets = [set(scaffolds[members]) for members in split]
    assert len(set.union(*sets)) == sum(map(len, sets))
    names, counts = np.unique(scaffolds, return_counts=True)
    assert names[counts.argmax()] in sets[0]
    assert 0.7 < split.train_mask.mean() <= 0.8
    assert split.val_mask.sum() <= 20
    with pytest.raises(ValueError, match="2 scaffolds are too few"):
        scaffold_split(np.array([0] * 7 + [1] * 3))
