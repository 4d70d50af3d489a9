"""Sums over neighbours: the fast way against the plain one, values and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqgraph_jax.graph import propagation
from seqgraph_jax.graph.adjacency import index_edges, index_graph, plain_edges
from seqgraph_jax.graph.features import Linear, NodeDropout, SparseFeatures

from .graph_cases import random_graph

S, A, F = 3, 2, 4
NUM_SENDERS, NUM_RECEIVERS, E = 7, 5, 19


@pytest.fixture
def edges():
    """Random edges between unlike numbers of nodes, the last receiver without any."""
    rng = np.random.default_rng(1)
    senders = rng.integers(0, NUM_SENDERS, E)
    receivers = np.sort(rng.integers(0, NUM_RECEIVERS - 1, E))
    return index_edges(senders, receivers, NUM_SENDERS, NUM_RECEIVERS)


def plain(edges):
    """The same edges in another order, without row starts, and that order."""
    order = np.random.default_rng(2).permutation(E)
    return type(edges)(
        edges.senders[order], edges.receivers[order], NUM_SENDERS, NUM_RECEIVERS
    ), order


def dense(edges, weights):
    """[NUM_RECEIVERS, NUM_SENDERS]; edges of one pair add up."""
    matrix = np.zeros((NUM_RECEIVERS, NUM_SENDERS))
    np.add.at(matrix, (edges.receivers, edges.senders), np.asarray(weights, float))
    return matrix


@pytest.mark.smoke
def test_propagate_is_a_matrix_product(edges, key):
    # An off-by-one in the row starts, or rows and columns exchanged.
    weights = jax.random.normal(key, (E,))
    x = jax.random.normal(jax.random.fold_in(key, 1), (NUM_SENDERS, F))
    expected = dense(edges, weights) @ np.asarray(x)
    unordered, order = plain(edges)
    np.testing.assert_allclose(
        propagation.propagate(edges, weights, x), expected, atol=1e-5
    )
    np.testing.assert_allclose(
        propagation.propagate(unordered, weights[order], x), expected, atol=1e-5
    )


@pytest.mark.parametrize("heads", [False, True])
def test_gradients_equal_those_of_the_plain_way(edges, key, heads):
    # A backward pass with unturned edges, or weights in the wrong order.
    shape = (A,) if heads else ()
    keys = jax.random.split(key, 4)
    weights = jax.random.normal(keys[0], (E, *shape))
    x = jax.random.normal(keys[1], (NUM_SENDERS, *shape, F))
    grads = jax.random.normal(keys[2], (NUM_RECEIVERS, *shape, F))

    def by_scatter(weights, x):
        messages = weights[..., None] * x[edges.senders]
        sums = jax.ops.segment_sum(messages, edges.receivers, NUM_RECEIVERS)
        return (grads * jnp.sin(sums)).sum()

    def ours(edges, weights, x):
        return (grads * jnp.sin(propagation.propagate(edges, weights, x))).sum()

    expected = jax.grad(by_scatter, (0, 1))(weights, x)
    found = jax.jit(jax.grad(ours, (1, 2)))(edges, weights, x)
    unordered, order = plain(edges)
    slow = jax.grad(ours, (1, 2))(unordered, weights[order], x)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_allclose(slow[0], expected[0][order], atol=1e-5)
    np.testing.assert_allclose(slow[1], expected[1], atol=1e-5)


def test_gradients_have_the_dtype_of_what_they_are_of(edges):
    # Half-precision values at edges of single precision.
    unordered, _ = plain(edges)
    values = jnp.ones(E), jnp.ones((NUM_SENDERS, F), jnp.bfloat16)
    y, vjp = jax.vjp(partial(propagation.propagate, unordered), *values)
    assert [grad.dtype for grad in vjp(y)] == [value.dtype for value in values]


def test_gradients_of_gradients_equal_those_of_a_scatter(edges, key):
    # The kernel of a sum has no derivative; turned edges in the wrong order.
    keys = jax.random.split(key, 3)
    weights = jax.random.normal(keys[0], (E,))
    x, direction = jax.random.normal(keys[1], (2, NUM_SENDERS, F))
    ends = edges.senders, edges.receivers

    def by_scatter(weights, x):
        values = weights[:, None] * x[ends[0]] + jnp.sin(x[ends[0]])
        return (jax.ops.segment_sum(values, ends[1], NUM_RECEIVERS) ** 3).sum()

    def ours(weights, x):
        y = propagation.propagate(edges, weights, x)
        sine = jnp.sin(propagation.at_senders(edges, x))
        return ((y + propagation.sum_at_receivers(edges, sine)) ** 3).sum()

    def second(function):
        def slope(weights, x):
            return (jax.grad(function, 1)(weights, x) * direction).sum()

        return jax.jit(jax.grad(slope, (0, 1)))(weights, x)

    for a, b in zip(second(ours), second(by_scatter), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("function", "size"),
    [
        (propagation.at_senders, NUM_SENDERS),
        (propagation.at_receivers, NUM_RECEIVERS),
        (propagation.sum_at_receivers, E),
    ],
)
def test_linear_maps_and_their_transposes(edges, key, function, size):
    # <y, M x> = <M^T y, x> fails if a backward pass is not the transpose.
    x = jax.random.normal(key, (size, A, F))
    y, vjp = jax.vjp(lambda x: function(edges, x), x)
    cotangent = jax.random.normal(jax.random.fold_in(key, 1), y.shape)
    (back,) = vjp(cotangent)
    np.testing.assert_allclose((y * cotangent).sum(), (back * x).sum(), rtol=1e-4)
    unordered, order = plain(edges)
    per_edge = function is not propagation.sum_at_receivers
    other = function(unordered, x if per_edge else x[order])
    np.testing.assert_allclose(other, y[order] if per_edge else y, atol=1e-5)


@pytest.mark.parametrize("axes", [(None, 0), (0, None), (0, 0)])
def test_a_seed_axis_equals_a_loop(edges, key, axes):
    # Seeds that mix, in the folded features or in the blocks of the pattern.
    weights = jax.random.normal(key, (S, E, A))
    x = jax.random.normal(jax.random.fold_in(key, 1), (S, NUM_SENDERS, A, F))

    def grads(weights, x):
        def loss(weights, x):
            return jnp.cos(propagation.propagate(edges, weights, x)).sum()

        return jax.grad(loss, (0, 1))(weights, x)

    arguments = [
        array if axis == 0 else array[0]
        for array, axis in zip((weights, x), axes, strict=True)
    ]
    together = jax.jit(jax.vmap(grads, in_axes=axes))(*arguments)
    for s in range(S):
        one = [
            array[s] if axis == 0 else array
            for array, axis in zip(arguments, axes, strict=True)
        ]
        for a, b in zip(together, grads(*one), strict=True):
            np.testing.assert_allclose(a[s], b, atol=1e-5)


def test_a_seed_axis_needs_no_loop(edges):
    # vmap over a kernel without a rule of its own becomes a loop over the seeds.
    x = jnp.ones((S, NUM_SENDERS, F))
    function = jax.vmap(lambda x: propagation.propagate(edges, jnp.ones(E), x))
    program = jax.jit(function).lower(x).compile().as_text()
    assert "while" not in program
    if jax.default_backend() == "cpu":
        assert program.count('custom_call_target="cpu_csr') == 1


@pytest.mark.smoke
def test_edges_that_are_not_sorted_are_refused():
    with pytest.raises(ValueError, match="sorted by receiver"):
        index_edges(np.array([0, 1]), np.array([1, 0]), 2, 2)


def test_index_graph_takes_edge_features_along():
    # Features left in the old order.
    graph = random_graph(edges="features")
    order = np.random.default_rng(0).permutation(len(graph.senders))
    shuffled = graph._replace(
        senders=graph.senders[order],
        receivers=graph.receivers[order],
        edges=graph.edges[order],
    )
    indexed = index_graph(shuffled).graph
    rows = {
        (int(s), int(r)): e
        for s, r, e in zip(graph.senders, graph.receivers, graph.edges, strict=True)
    }
    assert (np.diff(indexed.receivers) >= 0).all()
    for s, r, e in zip(indexed.senders, indexed.receivers, indexed.edges, strict=True):
        np.testing.assert_array_equal(rows[int(s), int(r)], e)


def sparse_matrix(seed=0, shape=(6, 9)):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=shape).astype(np.float32)
    return np.where(rng.random(shape) < 0.3, matrix, 0)


@pytest.mark.smoke
def test_a_linear_layer_of_sparse_features_is_that_of_dense_ones(key):
    # Rows and columns of the entries exchanged, in the value or in the gradient.
    matrix = sparse_matrix()
    layer = Linear(features=4)
    params = layer.init(key, jnp.asarray(matrix))
    features = SparseFeatures.of(matrix)
    assert features.shape == matrix.shape

    def loss(params, x):
        return jnp.sin(layer.apply(params, x)).sum()

    dense_grads = jax.grad(loss)(params, jnp.asarray(matrix))
    sparse_grads = jax.grad(loss)(params, features)
    np.testing.assert_allclose(
        layer.apply(params, features), layer.apply(params, matrix), atol=1e-5
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        sparse_grads,
        dense_grads,
    )
    again = layer.init(key, features)
    jax.tree.map(np.testing.assert_array_equal, again, params)


def test_dropout_of_sparse_features_keeps_the_mean_and_the_zeros(key):
    # Dropout that forgets the scale 1 / (1 - rate), or acts in an evaluation.
    matrix = np.ones((200, 50), np.float32) * (np.arange(50) % 5 == 0)
    features = SparseFeatures.of(matrix)
    drop = NodeDropout(rate=0.4)
    dropped = drop.apply({}, features, train=True, rngs={"dropout": key})
    values = np.asarray(dropped.values)
    assert set(np.unique(values.round(4))) == {0.0, np.float32(1.6667)}
    assert abs(values.mean() - 1) < 0.05
    assert drop.apply({}, features, train=False).values is features.values


def test_plain_edges_of_a_graph_take_any_order():
    graph = random_graph()
    edges = plain_edges(graph.senders, graph.receivers, len(graph.nodes))
    sums = propagation.sum_at_receivers(edges, jnp.ones(len(graph.senders)))
    np.testing.assert_array_equal(sums, np.bincount(graph.receivers, minlength=8))
