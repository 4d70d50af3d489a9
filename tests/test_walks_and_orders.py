"""Other forms of graphs: random walks to a node, molecules as sequences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqgraph_jax as sg
from seqgraph_jax.data.sequences import Sequences, as_symbols, depth_first
from seqgraph_jax.data.synthetic import draw_molecules
from seqgraph_jax.graph.adjacency import index_edges
from seqgraph_jax.joined.walks import WalkClassifier
from seqgraph_jax.tasks.sequences import sequence_task
from seqgraph_jax.tasks.walks import walk_task, walk_tasks

#: A directed graph: 0 and 1 send to 2 (1 twice), 2 sends to 3; nobody sends to 0, 1.
EDGES = index_edges(np.array([0, 1, 1, 2]), np.array([2, 2, 2, 3]), 4, 4)


def test_walks_end_where_they_should_and_follow_edges():
    # Walks that go against the edges, leave the graph, or repeat one key.
    walks = sg.graph.draw_walks(jax.random.key(0), EDGES, jnp.array([3, 2, 0]), 3000, 4)
    assert walks.shape == (3, 3000, 4)
    np.testing.assert_array_equal(walks[:, :, -1], np.repeat([[3], [2], [0]], 3000, 1))
    assert (walks[0, :, 2] == 2).all()
    assert (walks[2] == 0).all()
    for row, step in ((0, 1), (1, 2)):  # those that send to 2, one of them twice
        starts = np.bincount(np.asarray(walks[row, :, step]), minlength=4) / 3000
        np.testing.assert_allclose(starts, [1 / 3, 2 / 3, 0, 0], atol=0.04)
    np.testing.assert_array_equal(walks[1, :, 0], walks[1, :, 2])  # it stays there


def karate():
    data = sg.datasets.load("karate")
    split = sg.random_split(data.labels, seed=0, per_class=5)
    inputs = sg.node_inputs(data.graph(), np.eye(34))
    return sg.NodeTask(inputs, data.labels, split)


def test_a_walk_task_has_the_nodes_and_classes_of_its_sets():
    task = karate()
    walks = walk_tasks(task, {"gcn": 0, "gru-3": 3}, 2, 5)
    assert walks["gcn"] is task
    batch = walks["gru-3"].sample(jax.random.key(0), 1)
    train = np.flatnonzero(task.split.train_mask)
    assert batch.inputs.nodes.shape == (10, 2, 3)
    np.testing.assert_array_equal(batch.inputs.nodes[:, 0, -1], train)
    np.testing.assert_array_equal(batch.targets.labels, task.labels[train])
    held = walks["gru-3"].evaluation(jax.random.key(1), 1)
    ends = np.asarray(held.inputs.nodes)[:, 0, -1]
    assert held.inputs.nodes.shape[1:] == (5, 3)
    for mask, counted in (
        (task.split.val_mask, held.targets.counted),
        (task.split.test_mask, held.targets.tested),
    ):
        np.testing.assert_array_equal(ends[np.asarray(counted)], np.flatnonzero(mask))


def test_walks_drawn_again_are_judged_on_test_nodes():
    task = walk_task(karate(), 3, eval_walks=2)
    seen = []

    class Truth:
        def predict(self, walks, batch_size):
            seen.append(np.asarray(walks.nodes))
            ends = np.asarray(walks.nodes)[:, 0, -1]
            right = np.eye(2)[np.asarray(task.labels)[ends]]
            return np.stack([right, 1 - right])

    found = task.test_accuracies(Truth(), redraws=2)
    np.testing.assert_array_equal(found, [[1, 1], [0, 0]])
    assert (seen[0] != seen[1]).any()


@pytest.mark.parametrize("reader", ["gru", "mean"])
def test_what_reads_walks_knows_their_order_or_does_not(reader):
    # A mean that depends on order, a cell that reads from the node outwards or sees
    # walks of other nodes.
    model = WalkClassifier(reader, features=4, num_classes=3)
    x = jax.random.normal(jax.random.key(0), (5, 2))
    walks = jnp.array([[[0, 1, 2], [3, 1, 2]], [[4, 4, 1], [1, 0, 1]]])
    params = model.init(jax.random.key(1), (x, walks))
    apply = jax.jit(model.apply)
    found = apply(params, (x, walks))
    np.testing.assert_allclose(apply(params, (x, walks[:, ::-1])), found, rtol=1e-5)
    turned = apply(params, (x, walks[:, :, ::-1]))
    same = np.isclose(turned, found, rtol=1e-5, atol=1e-6).all()
    assert same == (reader == "mean")
    moved = apply(params, (x.at[3].add(1.0), walks)) != found
    assert moved[0].any()
    assert not moved[1].any()
    p = jax.tree.map(np.asarray, params["params"])
    h = np.maximum(np.asarray(x) @ p["project"]["kernel"] + p["project"]["bias"], 0)[
        walks
    ]
    if reader == "mean":
        state = h.mean((1, 2))
    else:
        cell = sg.GRUCell(features=4)
        carry = cell.initial_carry(4)
        for t in range(3):
            inputs = h[:, :, t].reshape(4, 4)
            carry, _ = cell.apply({"params": p["cell"]}, carry, inputs)
        state = np.asarray(carry.hidden).reshape(2, 2, 4).mean(1)
    expected = state @ p["head"]["kernel"] + p["head"]["bias"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_depth_first_rows_hold_the_whole_graph():
    # A parent that is no neighbour, a ring that is counted twice or not at all, atoms
    # left out, features of another bond, one order drawn twice.
    data = draw_molecules(classes=True)
    found = depth_first(data, num_orders=3)
    F, D = data.nodes.shape[1], data.edges.shape[1]
    for g in range(data.num_graphs):
        graph, n = data.graph(g), data.n_node[g]
        assert not found.values[g, :, n:].any()
        assert found.lengths[g] == n
        for rows in found.values[g, :, :n]:
            nodes, parent, rings, (back, closing) = (
                rows[:, :F],
                rows[:, F : F + D],
                rows[:, F + D : F + 2 * D],
                rows[:, -2:].T,
            )
            np.testing.assert_array_equal(nodes.sum(0), graph.nodes.sum(0))
            bonds = (parent + rings).sum(0)
            np.testing.assert_array_equal(2 * bonds, graph.edges.sum(0))
            assert closing.sum() == data.targets[g] == len(graph.senders) / 2 - n + 1
            assert back[0] == 0
            assert (back[1:] > 0).all()
            if not data.targets[g]:  # a chain: an inner root has one far step
                assert (back[1:] < 1).sum() <= 1
    assert (found.values[:, 0] != found.values[:, 1]).any()


def test_depth_first_of_two_parts_begins_twice():
    data = draw_molecules(classes=True, num_graphs=4)
    sizes = np.array([data.n_node.sum()])
    whole = sg.data.GraphData(
        **{**vars(data), "n_node": sizes, "n_edge": np.array([len(data.senders)])}
        | {"targets": data.targets[:1], "scaffolds": None, "edges": None}
    )
    rows = depth_first(whole, num_orders=1).values[0, 0]
    assert (rows[:, -2] == 0).sum() == 4
    assert rows.shape[1] == 3 + 2


def test_sequences_are_the_molecules_of_the_same_batches():
    # Another molecule's row, an order that never changes, a first order that does.
    data = draw_molecules(classes=False)
    [graphs] = sg.make_tasks(data, [sg.data.shuffled_split(40, seed=0)], 8)
    number = np.arange(40, dtype=np.int32)
    values = np.stack([number, 100 + number], 1)[..., None]
    task = sequence_task(graphs, Sequences(values, number + 1, 200))
    orders = set()
    for seed in range(6):
        key = jax.random.key(seed)
        (rows, lengths), targets = task.sample(key, 8)
        chosen, of_graphs = np.asarray(graphs.draw(key, 8)), graphs.sample(key, 8)
        np.testing.assert_array_equal(rows[:, 0] % 100, chosen)
        np.testing.assert_array_equal(lengths, chosen + 1)
        np.testing.assert_array_equal(targets.values, of_graphs.targets.values)
        orders |= {*(np.asarray(rows[:, 0]) // 100).tolist()}
    assert orders == {0, 1}
    held = task.evaluation(jax.random.key(0), 1)
    np.testing.assert_array_equal(held.inputs.values[:, 0], graphs.held)
    with pytest.raises(ValueError, match="39 sequences for 40 graphs"):
        sequence_task(graphs, Sequences(values[1:], number[1:]))


def test_texts_and_words_for_forms():
    found = as_symbols(["c1cc", "Br"])
    assert found.values.tolist() == [[[3, 1, 3, 3]], [[2, 4, 0, 0]]]
    assert found.num_symbols == 5
    with pytest.raises(ValueError, match="not as 'inchi'"):
        sg.data.read_as("inchi", draw_molecules(classes=True), 1)
    with pytest.raises(sg.data.DataError, match="has no SMILES"):
        sg.data.load_smiles("mutag")
