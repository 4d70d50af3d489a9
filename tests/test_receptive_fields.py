"""Reach of derivatives, walks, twins and smoothing, against counting and theory."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import networkx
import numpy as np
import pytest

import seqgraph_jax as sg
from seqgraph_jax.analysis import receptive_fields as fields
from seqgraph_jax.analysis import smoothing, twins, untrained
from seqgraph_jax.data.records import from_arrays
from seqgraph_jax.graph.networks import LAYERS, GraphLayers
from seqgraph_jax.reports.plots import graphs as graph_plots

from .graph_cases import F, N, convolution, random_graph

NAMES = "ABCDEF"
PAIRS = ("AB", "AE", "AF", "BD", "CD", "DF")
A, B, C, D, E_, F_ = range(6)


def six_nodes():
    ends = np.array([[NAMES.index(end) for end in pair] for pair in PAIRS])
    return from_arrays(*ends.T, undirected=True).graph()


def directed(seed, num_nodes=9, num_edges=14):
    """A random directed graph: nodes no edge reaches or leaves, maybe a self-loop."""
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(num_nodes**2)[:num_edges]
    edges = pairs // num_nodes, pairs % num_nodes
    return random_graph(seed, None, num_nodes, *edges)


def twin_graph():
    """Nodes 0 and 1 are closed twins of three neighbours each; 4 and 5 hang on 2."""
    pairs = np.array([(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 4), (4, 5)])
    return from_arrays(*pairs.T, undirected=True).graph()


@pytest.mark.smoke
def test_six_nodes_by_hand():
    # Rows and columns exchanged elsewhere, a loop left out, degrees without the loop.
    graph = six_nodes()
    loops = [
        [1, 1, 0, 0, 1, 1],
        [1, 1, 0, 1, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 1, 1, 1, 0, 1],
        [1, 0, 0, 0, 1, 0],
        [1, 0, 0, 1, 0, 1],
    ]
    np.testing.assert_array_equal(fields.with_loops(graph), loops)
    degrees = np.array([4, 3, 2, 4, 2, 3])
    expected = loops / np.sqrt(degrees[:, None] * degrees)
    np.testing.assert_allclose(fields.convolution_matrix(graph), expected, atol=1e-6)


@pytest.mark.parametrize("self_weight", [1.0, 2.5])
def test_matrix_of_a_directed_graph(self_weight):
    # Senders for receivers; a self-loop among the edges counted twice.
    graph = random_graph()
    identity = graph._replace(nodes=np.eye(N))
    expected = convolution(identity, np.eye(N), 0, self_weight=self_weight)
    matrix = fields.convolution_matrix(graph, self_weight=self_weight)
    np.testing.assert_allclose(matrix, expected, atol=1e-6)
    loops = fields.with_loops(graph, self_weight)
    assert (np.diag(loops) == self_weight).all()
    np.testing.assert_array_equal(loops != 0, matrix != 0)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_outputs_are_those_of_networks_of_every_depth(name, residual, key):
    # An activation after the last layer, weights in another order, residual twice.
    inputs = sg.index_graph(random_graph())
    layer = LAYERS[name](F)
    params = fields.init_layers(layer, key, inputs, 4)
    outputs = fields.layer_outputs(layer, params, inputs, nn.elu, residual)
    np.testing.assert_array_equal(outputs[0], inputs.graph.nodes)
    for depth in (1, 2, 4):
        network = GraphLayers(
            name, (F,) * depth, activation="elu", residual=residual, drop_inputs=False
        )
        own = {
            f"layer_{k}": jax.tree.map(lambda leaf, k=k: leaf[k], params)
            for k in range(depth)
        }
        expected = network.apply({"params": own}, inputs).nodes
        np.testing.assert_allclose(outputs[depth], expected, atol=1e-5)


def test_a_deeper_network_starts_like_a_shallow_one(key):
    # Keys split by the depth; all layers with one key.
    inputs = sg.index_graph(random_graph())
    layer = LAYERS["gat"](F)
    short, long = (fields.init_layers(layer, key, inputs, depth) for depth in (2, 5))
    for a, b in zip(jax.tree.leaves(short), jax.tree.leaves(long), strict=True):
        np.testing.assert_array_equal(a, b[:2])
    kernels = long["linear"]["kernel"]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.1


def test_a_layer_of_another_width_is_refused(key):
    inputs = sg.index_graph(random_graph())
    layer = LAYERS["gcn"](F)
    params = fields.init_layers(layer, key, inputs, 2)
    with pytest.raises(ValueError, match="a layer of 7 features does not fit 5"):
        fields.layer_outputs(LAYERS["gcn"](7), params, inputs)


@pytest.mark.smoke
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", LAYERS)
def test_receptive_field_is_the_distance_in_the_graph(name, seed, key):
    # Messages against the edges' direction, one depth more or less, missing self-loops.
    graph, depth = directed(seed), 5
    inputs, layer = sg.index_graph(graph), LAYERS[name](F)
    params = fields.init_layers(layer, key, inputs, depth)
    influence = jax.jit(partial(fields.influences, layer))(params, inputs)
    found = fields.receptive_field(influence)
    there = networkx.DiGraph(zip(graph.senders, graph.receivers, strict=True))
    there.add_nodes_from(range(len(graph.nodes)))
    ways = dict(networkx.all_pairs_shortest_path_length(there, cutoff=depth))
    expected = np.full_like(found, -1)
    for source, reached in ways.items():
        for node, steps in reached.items():
            expected[node, source] = steps
    np.testing.assert_array_equal(
        np.where(fields.hops(graph) <= depth, fields.hops(graph), -1), expected
    )
    if name == "mlp":  # reads no edge
        expected = np.where(np.eye(len(expected)), 0, -1)
    if name == "gin":  # its ReLUs may hide a dependence, and never make one
        assert (found >= expected)[found >= 0].all()
        assert (found[expected < 0] < 0).all()
        return
    np.testing.assert_array_equal(found, expected)


def test_influence_is_the_norm_of_a_difference_quotient(key):
    # Sums over the wrong axes: nodes and features, outputs and inputs exchanged.
    with jax.enable_x64(True):
        graph = random_graph()
        graph = graph._replace(nodes=graph.nodes.astype(float))
        inputs, layer = sg.index_graph(graph), LAYERS["gcn"](F)
        params = fields.init_layers(layer, key, inputs, 3)
        influence = fields.influences(layer, params, inputs)
        node, source, step = 1, 4, 1e-6
        columns = []
        for f in range(F):
            ends = []
            for sign in (1, -1):
                x = graph.nodes.copy()
                x[source, f] += sign * step
                there = inputs._replace(graph=inputs.graph._replace(nodes=x))
                ends.append(fields.layer_outputs(layer, params, there, nn.elu)[3, node])
            columns.append((ends[0] - ends[1]) / (2 * step))
        expected = np.linalg.norm(columns)
        assert expected > 0.01
        np.testing.assert_allclose(influence[3, node, source], expected, rtol=1e-5)


@pytest.mark.smoke
def test_walks_from_c_to_e_by_hand():
    # A walk back and forth counted as a way, or one that stays before it leaves.
    matrix = fields.with_loops(six_nodes())
    assert fields.walks(matrix, C, E_, 3) == []
    found = fields.walks(matrix, C, E_, 4)
    assert [walk.nodes for walk in found] == [(C, D, B, A, E_), (C, D, F_, A, E_)]
    assert [walk.weight for walk in found] == [1.0, 1.0]
    assert fields.walks(matrix, C, C, 0) == [fields.Walk((C,), 1.0)]
    assert (
        len(fields.walks(matrix, C, E_, 5))
        == np.linalg.matrix_power(matrix.astype(int), 5)[E_, C]
    )


@pytest.mark.parametrize("length", [1, 2, 4])
def test_walks_add_up_to_the_power_of_the_matrix(length):
    # Steps from row to column; weights of another step.
    matrix = np.asarray(fields.convolution_matrix(directed(1)), float)
    power = np.linalg.matrix_power(matrix, length)
    for i, j in np.ndindex(*matrix.shape):
        total = sum(walk.weight for walk in fields.walks(matrix, j, i, length))
        np.testing.assert_allclose(total, power[i, j], atol=1e-12)


def test_twins_by_hand():
    # Open for closed twins; a pair twice, or a node with itself.
    assert twins.find_twins(six_nodes()) == []
    assert twins.find_twins(six_nodes(), closed=False) == [(B, F_)]
    assert twins.find_twins(twin_graph()) == [(0, 1)]
    # Directed: who sends counts, not who receives.
    graph = random_graph(num_nodes=3, senders=[2, 2], receivers=[0, 1])
    assert twins.find_twins(graph, closed=False) == [(0, 1)]
    assert twins.find_twins(graph) == []


@pytest.mark.parametrize("self_weight", [1.0, 2.0, 4.0])
def test_difference_of_twins_after_a_linear_layer(self_weight, key):
    # h_u' - h_v' = (w - 1) / d (x_u - x_v) W: w / d would be the self-loop alone.
    graph = twin_graph()._replace(nodes=random_graph(num_nodes=6).nodes)
    layer = sg.GraphConvolution(F, self_weight=self_weight)
    params = layer.init(key, graph)["params"]
    y = layer.apply({"params": params}, graph).nodes
    x, degree = graph.nodes, self_weight + 3
    expected = (self_weight - 1) / degree * (x[0] - x[1]) @ params["linear"]["kernel"]
    np.testing.assert_allclose(y[0] - y[1], expected, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_twins_with_equal_features_stay_equal(name, key):
    # A layer that knows a node's number, or treats the first of its neighbours apart.
    nodes = random_graph(num_nodes=6).nodes
    nodes[1] = nodes[0]
    inputs = sg.index_graph(twin_graph()._replace(nodes=nodes))
    layer = LAYERS[name](F)
    params = fields.init_layers(layer, key, inputs, 5)
    outputs = fields.layer_outputs(layer, params, inputs)
    np.testing.assert_allclose(outputs[:, 0], outputs[:, 1], atol=1e-6)
    assert np.abs(outputs[1, 0] - outputs[1, 2]).max() > 1e-3


def test_distance_to_smooth_by_hand():
    # The vector not scaled to length 1; a mean for a projection.
    vector = np.array([1.0, 2.0, 2.0])
    smooth = np.outer(vector, [3.0, -1.0])
    np.testing.assert_allclose(
        smoothing.distance_to_smooth(smooth, vector), 0, atol=1e-12
    )
    apart = np.outer([2.0, -1.0, 0.0], [0.0, 2.0])  # at right angles to the vector
    both = np.stack([smooth + apart, apart])
    expected = np.full(2, np.linalg.norm(apart))
    np.testing.assert_allclose(smoothing.distance_to_smooth(both, vector), expected)


def test_distance_of_convolutions_obeys_its_bound(key):
    # Roots of degrees without self-loop, or plain ones: then the bound does not hold.
    graph = six_nodes()
    rate = smoothing.second_eigenvalue(fields.convolution_matrix(graph))
    assert rate == pytest.approx(0.75, abs=1e-6)
    nodes = random_graph(num_nodes=6).nodes
    inputs, layer = sg.index_graph(graph._replace(nodes=nodes)), LAYERS["gcn"](F)
    params = fields.init_layers(layer, key, inputs, 12)
    roots = np.sqrt(fields.with_loops(graph).sum(1))
    measure = partial(smoothing.distance_to_smooth, vector=roots)
    distances = measure(fields.layer_outputs(layer, params, inputs))
    largest = np.linalg.norm(params["linear"]["kernel"], 2, axis=(-2, -1))
    assert (distances[1:] <= distances[0] * np.cumprod(rate * largest) + 1e-6).all()
    # What the roots leave over shrinks by the rate at least, the roots stay.
    matrix = fields.convolution_matrix(graph)
    np.testing.assert_allclose(matrix @ roots, roots, atol=1e-5)
    assert measure(matrix @ nodes) <= rate * measure(nodes) + 1e-6


def test_seeds_are_independent_under_vmap(key):
    # One seed's weights used for another in the sums over neighbours.
    inputs, layer = sg.index_graph(random_graph()), LAYERS["gat"](F)

    init = partial(fields.init_layers, layer, inputs=inputs, depth=3)
    params = jax.lax.map(init, jax.random.split(key, 3))
    one = jax.jit(partial(fields.influences, layer, inputs=inputs))
    together = jax.jit(jax.vmap(one))(params)
    for seed in range(3):
        alone = one(jax.tree.map(lambda leaf, s=seed: leaf[s], params))
        np.testing.assert_allclose(together[seed], alone, rtol=1e-4, atol=1e-6)
    assert jnp.abs(together[0] - together[1]).max() > 0.01


def test_networks_of_many_seeds_are_those_of_each_seed():
    # Another half of the seed's key, single precision, a seed's weights for another.
    graph, layer, seeds = sg.index_graph(random_graph()), LAYERS["gat"](F), (3, 500)
    networks = untrained.draw_networks(layer, graph, seeds, depth=4)
    nodes = untrained.draw_nodes(graph, F, seeds)
    outputs = networks.outputs(graph, nodes)
    influences = networks.first(2).influences(graph, nodes)
    assert outputs.shape == (2, 5, N, F)
    assert influences.shape == (2, 3, N, N)
    with jax.enable_x64(True):
        for s, seed in enumerate(seeds):
            for_nodes, for_weights = jax.random.split(jax.random.key(seed))
            x = jax.random.normal(for_nodes, (N, F))
            inputs = graph._replace(graph=graph.graph._replace(nodes=x))
            params = fields.init_layers(layer, for_weights, inputs, 4)
            expected = fields.layer_outputs(layer, params, inputs)
            np.testing.assert_allclose(outputs[s], expected, rtol=1e-9, atol=1e-12)
            first = jax.tree.map(lambda leaf: leaf[:2], params)
            expected = fields.influences(layer, first, inputs)
            np.testing.assert_allclose(influences[s], expected, rtol=1e-9, atol=1e-12)
    assert outputs.dtype == np.float64


def test_constants_of_all_layers_and_the_parameters_of_one():
    graph = sg.index_graph(random_graph())
    gin = untrained.draw_networks(LAYERS["gin"](F), graph, (0, 1, 2), depth=3)
    assert (gin.with_constant("epsilon", 1.0).params["epsilon"] == 1).all()
    assert (gin.params["epsilon"] == 0).all()
    np.testing.assert_array_equal(
        gin.of_layer(1)["first"]["kernel"], gin.params["first"]["kernel"][:, 1]
    )


def draw(**options):
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    positions = np.array([[0, 0], [1, 0], [0, 1]])
    senders, receivers = [0, 1, 1, 2], [1, 0, 2, 2]
    points = graph_plots.draw_graph(
        axes, senders, receivers, positions, "abc", **options
    )
    return axes, points


def test_a_drawn_graph_has_every_pair_once_or_every_arrow():
    # Lines drawn twice, self-loops as lines, edges of no width drawn.
    axes, _ = draw()
    assert len(axes.patches) == 2
    axes, _ = draw(directed=True)
    assert len(axes.patches) == 3
    axes, _ = draw(directed=True, edge_widths=[1.0, 0.0, 2.0, 1.0])
    assert [patch.get_linewidth() for patch in axes.patches] == [1.0, 2.0]
    axes, _ = draw(edge_widths=[1.0, 3.0, 2.0, 1.0])
    assert [patch.get_linewidth() for patch in axes.patches] == [3.0, 2.0]
    assert [text.get_text() for text in axes.texts] == list("abc")


def test_a_node_without_a_value_is_not_coloured():
    # NaN drawn in the lowest colour.
    _, points = draw(node_values=[2.0, np.nan, 5.0])
    assert points.get_array().tolist() == [2.0, 5.0]
    assert points.get_offsets().tolist() == [[0, 0], [0, 1]]
    assert points.get_clim() == (2.0, 5.0)
