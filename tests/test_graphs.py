"""Graph layers: equations as dense matrices, jraph, PyTorch Geometric, symmetries."""

from functools import partial
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import jraph
import numpy as np
import pytest

import seqgraph_jax as sg
from seqgraph_jax.graph.adjacency import plain_edges
from seqgraph_jax.graph.attention import edge_softmax
from seqgraph_jax.graph.networks import NodeLinear
from seqgraph_jax.graph.propagation import propagate

from . import graph_cases
from .graph_cases import N, padded, random_graph

H, A = 4, 3
GOLDEN = Path(__file__).parent / "golden" / "pyg_layers.npz"

LAYERS = {
    "gcn": sg.GraphConvolution(H),
    "gcn-mean": sg.GraphConvolution(H, normalization="mean", self_weight=2.5),
    "gat": sg.GraphAttention(H, num_heads=A),
    "gat-mean": sg.GraphAttention(H, num_heads=A, concat=False),
    "gatv2": sg.GraphAttention(H, num_heads=A, version=2),
    "gin": sg.GraphIsomorphism(H),
    "mlp": NodeLinear(H),
}
EDGES = [None, "weights", "features"]


def random_params(layer, graph, key):
    """Parameters without a zero, biases and epsilon too."""
    params = layer.init(key, graph)["params"]
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    return structure.unflatten(
        [
            0.5 * jax.random.normal(k, leaf.shape)
            for k, leaf in zip(keys, leaves, strict=True)
        ]
    )


@pytest.fixture(params=LAYERS)
def layer(request):
    return LAYERS[request.param]


@pytest.fixture(params=EDGES, ids=str)
def edges(request):
    return request.param


def nodes_of(layer, params, graph, adjacency=None):
    return layer.apply({"params": params}, graph, adjacency).nodes


@pytest.mark.smoke
@pytest.mark.parametrize("self_weight", [1.0, 3.0])
@pytest.mark.parametrize("normalization", ["symmetric", "mean"])
@pytest.mark.parametrize("edges", [None, "weights"], ids=str)
def test_convolution_is_its_matrix_form(edges, normalization, self_weight, key):
    # Out-degrees for in-degrees, a loop counted twice, the self-weight left out of d.
    graph = random_graph(edges=edges)
    layer = sg.GraphConvolution(H, normalization, self_weight)
    params = random_params(layer, graph, key)
    expected = graph_cases.convolution(
        graph,
        np.asarray(params["linear"]["kernel"]),
        params["bias"],
        normalization,
        self_weight,
    )
    np.testing.assert_allclose(nodes_of(layer, params, graph), expected, atol=1e-5)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("edges", [None, "weights"], ids=str)
def test_attention_is_its_equations(edges, version, key):
    # Sender and receiver exchanged in the logits, a softmax over out-going edges.
    graph = random_graph(edges=edges)
    layer = sg.GraphAttention(H, num_heads=A, version=version)
    params = random_params(layer, graph, key)
    expected = graph_cases.attention(graph, params, A, version) + np.asarray(
        params["bias"]
    )
    np.testing.assert_allclose(nodes_of(layer, params, graph), expected, atol=1e-5)


@pytest.mark.parametrize("edges", [None, "weights"], ids=str)
def test_isomorphism_is_its_equations(edges, key):
    # A self-loop among the edges counted beside (1 + epsilon).
    graph = random_graph(edges=edges)
    layer = sg.GraphIsomorphism(H)
    params = random_params(layer, graph, key)
    expected = graph_cases.isomorphism(graph, params)
    np.testing.assert_allclose(nodes_of(layer, params, graph), expected, atol=1e-5)


def undirected_graph():
    pairs = np.array([(0, 1), (0, 2), (1, 2), (2, 3), (4, 5), (5, 3)])
    senders = np.concatenate([pairs[:, 0], pairs[:, 1]])
    receivers = np.concatenate([pairs[:, 1], pairs[:, 0]])
    return random_graph(num_nodes=7, senders=senders, receivers=receivers)


def test_convolution_equals_jraphs_on_an_undirected_graph(key):
    graph = jax.tree.map(jnp.asarray, undirected_graph())
    layer = sg.GraphConvolution(H, use_bias=False)
    params = layer.init(key, graph)["params"]
    kernel = params["linear"]["kernel"]
    theirs = jraph.GraphConvolution(
        lambda nodes: nodes @ kernel, symmetric_normalization=True, add_self_edges=True
    )
    with jax.numpy_rank_promotion("allow"):
        expected = theirs(graph).nodes
    np.testing.assert_allclose(nodes_of(layer, params, graph), expected, atol=1e-5)


def test_attention_equals_jraphs(key):
    graph = jax.tree.map(jnp.asarray, undirected_graph())
    layer = sg.GraphAttention(H, num_heads=1, use_bias=False)
    params = random_params(layer, graph, key)
    sender, receiver = params["sender"][0], params["receiver"][0]

    def logits(senders, receivers, edges):
        scores = senders @ sender + receivers @ receiver
        return jax.nn.leaky_relu(scores, 0.2)[:, None]

    loops = jnp.arange(len(graph.nodes))
    with_loops = graph._replace(
        senders=jnp.concatenate([graph.senders, loops]),
        receivers=jnp.concatenate([graph.receivers, loops]),
        n_edge=graph.n_edge + len(loops),
    )
    kernel = params["linear"]["kernel"]
    theirs = jraph.GAT(lambda nodes: nodes @ kernel, logits, lambda nodes: nodes)
    np.testing.assert_allclose(
        nodes_of(layer, params, graph), theirs(with_loops).nodes, atol=1e-5
    )


def golden_params(golden, name):
    """PyTorch Geometric's weights as ours."""
    raw = {
        k.removeprefix(f"{name}."): golden[k]
        for k in golden.files
        if k.startswith(f"{name}.")
    }
    params = {}
    if "bias" in raw:
        params["bias"] = raw["bias"]
    if name.startswith("gin"):
        params |= {
            "epsilon": raw["eps"][0],
            "first": {"kernel": raw["nn.0.weight"].T},
            "first_bias": raw["nn.0.bias"],
            "second": {"kernel": raw["nn.2.weight"].T, "bias": raw["nn.2.bias"]},
        }
    if name == "gine":
        width = golden["nodes"].shape[1]
        params["node"] = {"kernel": np.eye(width), "bias": np.zeros(width)}
        params["edge"] = {"kernel": raw["lin.weight"].T}
    if name.startswith("gcn") or name in ("gat", "gat_mean"):
        params["linear"] = {"kernel": raw["lin.weight"].T}
    if name in ("gat", "gat_mean"):
        params["sender"], params["receiver"] = raw["att_src"][0], raw["att_dst"][0]
    if name == "gatv2":
        params["linear"] = {"kernel": raw["lin_l.weight"].T}
        params["query"] = {"kernel": raw["lin_r.weight"].T}
        params["attention"] = raw["att"][0]
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)


@pytest.mark.parametrize(
    ("name", "layer", "edges"),
    [
        ("gcn", LAYERS["gcn"], None),
        ("gcn_weighted", LAYERS["gcn"], "weights"),
        ("gat", LAYERS["gat"], None),
        ("gat_mean", LAYERS["gat-mean"], None),
        ("gatv2", sg.GraphAttention(H, num_heads=A, version=2, use_bias=False), None),
        ("gin", LAYERS["gin"], None),
        ("gine", sg.GraphIsomorphism(5), "edges"),
    ],
)
def test_layers_equal_pytorch_geometrics(name, layer, edges):
    golden = np.load(GOLDEN)
    graph = jraph.GraphsTuple(
        nodes=golden["nodes"],
        edges=None if edges is None else golden[edges],
        senders=golden["senders"].astype(np.int32),
        receivers=golden["receivers"].astype(np.int32),
        globals=None,
        n_node=np.array([len(golden["nodes"])]),
        n_edge=np.array([len(golden["senders"])]),
    )
    inputs = sg.index_graph(graph)
    params = golden_params(golden, name)
    for arguments in ((graph, None), inputs):
        np.testing.assert_allclose(
            nodes_of(layer, params, *arguments), golden[f"{name}.outputs"], atol=1e-5
        )


@pytest.mark.parametrize("how", ["sum", "mean", "max"])
def test_readouts_equal_pytorch_geometrics(how):
    # The third graph has no nodes.
    golden = np.load(GOLDEN)
    n_node = np.bincount(golden["owners"], minlength=4)
    graph = jraph.GraphsTuple(golden["nodes"], None, None, None, None, n_node, None)
    expected = golden[f"readout.{how}"]
    np.testing.assert_allclose(sg.readout(graph, how), expected, atol=1e-6)


@pytest.mark.smoke
def test_indexed_edges_give_the_same(layer, edges, key):
    # The fast way: edges sorted, values and gradients.
    graph = random_graph(edges=edges)
    indexed, adjacency = sg.index_graph(graph)
    params = random_params(layer, graph, key)

    def loss(params, graph, adjacency):
        return jnp.sin(nodes_of(layer, params, graph, adjacency)).sum()

    plain = jax.value_and_grad(loss)(params, graph, None)
    fast = jax.value_and_grad(loss)(params, indexed, adjacency)
    jax.tree.map(partial(np.testing.assert_allclose, atol=2e-5), fast, plain)
    chex.assert_tree_all_finite(fast)


def test_nodes_in_another_order_give_the_same_in_that_order(layer, edges, key):
    # Anything that depends on a node's number.
    graph = random_graph(edges=edges)
    params = random_params(layer, graph, key)
    order = np.random.default_rng(3).permutation(N)
    place = np.argsort(order).astype(np.int32)
    moved = graph._replace(
        nodes=graph.nodes[order],
        senders=place[graph.senders],
        receivers=place[graph.receivers],
    )
    np.testing.assert_allclose(
        nodes_of(layer, params, moved),
        np.asarray(nodes_of(layer, params, graph))[order],
        atol=1e-5,
    )


def test_padding_changes_no_node(layer, edges, key):
    # A padding edge that reaches a real node, or a softmax or degree over all.
    graph = random_graph(edges=edges)
    params = random_params(layer, graph, key)
    more = sg.index_graph(jax.tree.map(np.asarray, padded(graph)))
    found = nodes_of(layer, params, *more)[:N]
    np.testing.assert_allclose(found, nodes_of(layer, params, graph), atol=1e-6)


@pytest.mark.parametrize("how", ["sum", "mean", "max"])
def test_padding_changes_no_readout(how):
    two = jraph.batch_np([random_graph(1), random_graph(2, num_nodes=9)])
    # A GPU adds up in any order.
    np.testing.assert_allclose(
        sg.readout(padded(two), how)[:2], sg.readout(two, how), rtol=1e-6
    )


@pytest.mark.parametrize("num_nodes", [1, 4])
def test_a_graph_without_edges(layer, num_nodes, key):
    # 0 / 0 in the degree or the softmax: each node sees itself alone.
    nothing = np.zeros(0, np.int32)
    graph = random_graph(num_nodes=num_nodes, senders=nothing, receivers=nothing)
    params = random_params(layer, graph, key)
    together = nodes_of(layer, params, *sg.index_graph(graph))
    for i in range(num_nodes):
        one = random_graph(num_nodes=1, senders=nothing, receivers=nothing)
        one = one._replace(nodes=graph.nodes[i : i + 1])
        np.testing.assert_allclose(
            together[i], nodes_of(layer, params, one)[0], atol=1e-6
        )
    chex.assert_tree_all_finite(together)


def test_a_node_that_nothing_reaches_without_a_self_loop(key):
    # self_weight 0: degree 0 must give 0, not NaN, and finite gradients.
    graph = random_graph(edges="weights")
    layer = sg.GraphConvolution(H, self_weight=0.0, use_bias=False)
    params = random_params(layer, graph, key)
    nodes = nodes_of(layer, params, graph)
    assert (np.asarray(nodes)[[5, 6]] == 0).all()

    def loss(weights):
        return nodes_of(layer, params, graph._replace(edges=weights)).sum()

    chex.assert_tree_all_finite(jax.grad(loss)(jnp.asarray(graph.edges)))


def test_forced_attention_is_the_identity(key):
    # Logits that leave each node nothing but itself, as far as floats go.
    graph = random_graph()
    edges = plain_edges(graph.senders, graph.receivers, N)
    logits = jnp.full((len(graph.senders), A), -1e10)
    to_edges, own = edge_softmax(
        edges, jnp.ones(len(graph.senders)), logits, jnp.zeros((N, A))
    )
    h = jax.random.normal(key, (N, A, H))
    y = propagate(edges, to_edges, h) + own[..., None] * h
    np.testing.assert_array_equal(y, h)


def test_parameters_can_force_attention_of_version_2_only(key):
    # Version 2: each node finds itself by its features; version 1 ranks alike for all.
    graph = random_graph()._replace(nodes=10 * np.eye(N, dtype=np.float32))
    layer = sg.GraphAttention(N, version=2, use_bias=False)
    params = {
        "linear": {"kernel": jnp.eye(N)},
        "query": {"kernel": -jnp.eye(N)},
        "attention": -10 * jnp.ones((1, N)),
    }
    np.testing.assert_allclose(nodes_of(layer, params, graph), graph.nodes, atol=1e-5)
    layer = sg.GraphAttention(H, num_heads=1)
    _, state = layer.apply(layer.init(key, graph), graph, mutable=["intermediates"])
    logits_are_ranked_alike(graph, state["intermediates"]["attention"][0])


def logits_are_ranked_alike(graph, attention):
    """Of two senders that two nodes share, both hear the same one more."""
    to_edges = np.asarray(attention[0])[:, 0]
    scores = {
        (int(s), int(r)): value
        for s, r, value in zip(graph.senders, graph.receivers, to_edges, strict=True)
    }
    # Nodes 0 and 1 both hear node 2, and each other.
    assert {(2, 0), (1, 0), (2, 1), (0, 1)} <= set(scores)
    own = np.asarray(attention[1])[:, 0]
    assert (scores[2, 0] > own[0]) == (scores[2, 1] > scores[0, 1])


@pytest.mark.smoke
def test_attention_sums_to_one_and_is_sown(key):
    graph = random_graph(edges="weights")
    layer = LAYERS["gat"]
    _, state = layer.apply(layer.init(key, graph), graph, mutable=["intermediates"])
    to_edges, own = state["intermediates"]["attention"][0]
    edges = plain_edges(graph.senders, graph.receivers, N)
    total = own + propagate(edges, to_edges, jnp.ones((N, A, 1)))[..., 0]
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert float(to_edges[6].max()) > 0  # an edge that counts
    assert float(jnp.abs(to_edges[7]).max()) == 0  # the self-loop among the edges


def test_edge_features_reach_their_receiver_alone(key):
    graph = random_graph(edges="features")
    for name, layer in LAYERS.items():
        params = random_params(layer, graph, key)

        def outputs(edges, layer=layer, params=params):
            return nodes_of(layer, params, graph._replace(edges=edges))

        jacobian = np.abs(jax.jacrev(outputs)(jnp.asarray(graph.edges))).sum((1, 3))
        reached = jacobian > 0  # [N, E]
        loops = graph.senders == graph.receivers
        for e, receiver in enumerate(graph.receivers):
            expected = set() if name == "mlp" or loops[e] else {int(receiver)}
            assert set(np.flatnonzero(reached[:, e])) <= expected, name
        assert reached.any() == (name != "mlp")


@pytest.mark.parametrize("how", ["gcn", "gat", "gatv2", "gin", "mlp"])
def test_networks_of_every_layer(how, key):
    inputs = sg.index_graph(random_graph())
    model = sg.NodeClassifier(
        how, 6, 3, num_layers=3, num_heads=2, residual=True, normalize=True
    )
    logits = model.apply(model.init(key, inputs), inputs)
    chex.assert_shape(logits, (N, 3))
    chex.assert_tree_all_finite(logits)
    graphs = sg.GraphClassifier(how, 6, 2, num_heads=2, readout="mean")
    two = sg.index_graph(jraph.batch_np([random_graph(1), random_graph(2)]))
    params = graphs.init(key, two)
    together = graphs.apply(params, two)
    alone = graphs.apply(params, sg.index_graph(random_graph(2)))
    np.testing.assert_allclose(together[1], alone[0], atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sg.GraphConvolution(H, "row"), "choose symmetric or mean"),
        (lambda: sg.GraphAttention(H, version=3), "version 1 or 2, not 3"),
        (
            lambda: lambda_network(sg.NodeClassifier("gnc", 4, 2)),
            "'gnc': choose from gcn, gat",
        ),
        (
            lambda: lambda_network(sg.GraphClassifier("gat", 5, 2, num_heads=2)),
            "2 heads do not divide 5 features",
        ),
    ],
)
def test_what_is_not_possible_is_said(make, message, key):
    with pytest.raises(ValueError, match=message):
        make().init(key, random_graph())


def test_nodes_without_a_feature_axis_are_refused(layer, key):
    # N nodes taken as one row of N features.
    graph = random_graph()._replace(nodes=np.arange(8.0))
    with pytest.raises(ValueError, match=r"are \[N, F\], not \[8\]: one feature each"):
        layer.init(key, graph)


def test_an_edge_of_weight_0_takes_no_part_in_attention():
    # Its logit in the maximum: exp overflows, or every other weight becomes 0.
    graph = random_graph(edges="weights")
    edges = plain_edges(graph.senders, graph.receivers, N)
    rng = np.random.default_rng(3)
    logits, own = rng.normal(size=(10, A)), rng.normal(size=(N, A))
    gone = np.array([0, 4, 8])
    weights, logits[gone] = graph.edges.copy(), 1000
    weights[gone] = 0
    left = np.setdiff1d(np.arange(10), gone)
    fewer = plain_edges(graph.senders[left], graph.receivers[left], N)

    def of(edges, weights, logits, own=own):
        return edge_softmax(edges, jnp.asarray(weights), jnp.asarray(logits), own)

    found = of(edges, weights, logits)
    expected = of(fewer, weights[left], logits[left])
    np.testing.assert_allclose(found[0][left], expected[0], atol=1e-6)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)
    assert not np.any(found[0][gone])
    slopes = jax.grad(lambda x: of(edges, weights, x)[1][0].sum())(logits)
    assert np.isfinite(slopes).all()


@pytest.mark.parametrize("version", [1, 2])
def test_attention_refuses_weights_below_0(version, key):
    graph = random_graph(edges="weights")
    graph.edges[4] = -0.25
    with pytest.raises(ValueError, match=r"weights must be 0 or more, not -0\.25"):
        sg.GraphAttention(H, version=version).init(key, graph)


def lambda_network(network):
    """A network that takes a graph as layers do."""

    class Taker:
        def init(self, key, graph):
            return network.init(key, sg.index_graph(graph))

    return Taker()


def test_an_unknown_readout_is_refused():
    with pytest.raises(ValueError, match="choose sum, mean or max"):
        sg.readout(random_graph(), "median")
