"""Cells on graphs: equations as dense matrices, PyTorch Geometric Temporal, symmetries.

One program for each setting serves nearly all tests: graphs of other content have the
same shape, padding included.
"""

import re
from functools import cache, partial
from pathlib import Path

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqgraph_jax as sg
from seqgraph_jax.recurrent.steps import HiddenCarry, LSTMCarry

from .graph_cases import convolution
from .graph_recurrent_cases import (
    LAYERS,
    PADDED,
    RECEIVERS,
    SENDERS,
    B,
    F,
    H,
    N,
    T,
    equations,
    make_graph,
    other_graph,
    without_padding,
)

GOLDEN = Path(__file__).parent / "golden" / "pygt_cells.npz"
ON_GRAPHS = [name for name in LAYERS if name not in ("gru", "lstm")]
SIGNALS = np.random.default_rng(2).normal(size=(B, T, PADDED, F)).astype(np.float32)


@cache
def static_graph():
    return sg.index_graph(make_graph())


@cache
def params_of(name, seed=0):
    """Parameters without a zero, and without a compilation."""
    shapes = jax.eval_shape(
        LAYERS[name].init, jax.random.key(0), SIGNALS, static_graph()
    )["params"]
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape, scale=0.6).astype(np.float32), shapes
    )


def carry_of(name, seed=3, batch=B):
    rng = np.random.default_rng(seed)
    h, c = rng.normal(size=(2, batch, PADDED, H)).astype(np.float32)
    return LSTMCarry(c, h) if "lstm" in name else HiddenCarry(h)


@cache
def program(name):
    layer = LAYERS[name]
    return jax.jit(
        lambda params, signals, graph, carry: layer.apply(
            {"params": params}, signals, graph, carry
        )
    )


def run(name, signals=SIGNALS, graph=None, carry=None, params=None):
    """Last carry and outputs ``[B, T, N, H]`` of a setting."""
    return program(name)(
        params_of(name) if params is None else params,
        signals,
        static_graph() if graph is None else graph,
        carry_of(name) if carry is None else carry,
    )


def outputs_of(name, *args, **kwargs):
    return np.asarray(run(name, *args, **kwargs)[1])


@pytest.fixture(params=LAYERS)
def name(request):
    return request.param


def test_every_named_cell_is_tested():
    assert set(sg.GRAPH_CELLS) == set(LAYERS)


def expected_outputs(name, graphs):
    """Of the real nodes alone, by the equations: nothing is padded."""
    carry = carry_of(name)
    before = [None] * B if carry.hidden is carry[0] else carry.cell[:, :N]
    graphs = [without_padding(graph) for graph in graphs]
    windows = zip(SIGNALS[:, :, :N], carry.hidden[:, :N], before, strict=True)
    return np.stack(
        [
            equations(LAYERS[name], params_of(name), x, graphs, h, c)
            for x, h, c in windows
        ]
    )


@pytest.mark.smoke
def test_a_setting_is_its_equations(name):
    # Taps in another order than the kernel's rows, out-degrees for in-degrees, a loop
    # counted twice, gates or windows exchanged, padding that reaches a real node.
    expected = expected_outputs(name, [make_graph()] * T)
    np.testing.assert_allclose(outputs_of(name)[:, :, :N], expected, atol=2e-5)


@pytest.mark.parametrize("name", ON_GRAPHS)
def test_a_graph_that_changes_is_its_equations(name):
    # The graph of another step, or edges that pad one that has fewer.
    graphs = [other_graph(t) for t in range(T)]
    found = outputs_of(name, graph=sg.graphs_in_time(graphs))
    expected = expected_outputs(name, graphs)
    np.testing.assert_allclose(found[:, :, :N], expected, atol=2e-5)


@pytest.mark.parametrize("name", ON_GRAPHS)
def test_a_graph_that_never_changes_is_a_static_one(name):
    found = outputs_of(name, graph=sg.graphs_in_time([make_graph()] * T))
    np.testing.assert_allclose(found, outputs_of(name), atol=2e-6)


def test_nodes_in_another_order_give_the_same_in_that_order(name):
    # Gates cut along the nodes, so that a node has those of others.
    order = np.random.default_rng(4).permutation(PADDED)
    place = np.argsort(order)
    moved = sg.index_graph(make_graph(place[SENDERS], place[RECEIVERS]))
    carry = jax.tree.map(lambda leaf: leaf[:, order], carry_of(name))
    found = outputs_of(name, SIGNALS[:, :, order], moved, carry)
    np.testing.assert_allclose(found, outputs_of(name)[:, :, order], atol=2e-5)


def test_what_pads_changes_nothing(name):
    # Edges of weight 0 between real nodes, loops among them; signals of padding nodes.
    senders, receivers = SENDERS.copy(), RECEIVERS.copy()
    senders[-2:], receivers[-2:] = (4, 2), (1, 2)
    graph = sg.index_graph(make_graph(senders, receivers))
    signals = SIGNALS.copy()
    signals[:, :, N:] += 100
    found = outputs_of(name, signals, graph)
    np.testing.assert_allclose(found[:, :, :N], outputs_of(name)[:, :, :N], atol=2e-6)


def test_the_past_counts_and_the_future_does_not(name):
    # A state that is not carried on, a step that sees a later one, windows that mix.
    outputs = outputs_of(name)
    first, later, other = SIGNALS.copy(), SIGNALS.copy(), SIGNALS.copy()
    first[:, 0] += 1
    later[:, 2:] += 1
    other[1] += 1
    assert (np.abs(outputs_of(name, first) - outputs)[:, -1, :N] > 1e-6).any(-1).all()
    np.testing.assert_array_equal(outputs_of(name, later)[:, :2], outputs[:, :2])
    np.testing.assert_array_equal(outputs_of(name, other)[0], outputs[0])


def test_weights_and_direction_of_edges_count(name):
    weights = make_graph().edges
    heavier = sg.index_graph(
        make_graph(weights=weights * np.linspace(1, 3, len(weights)))
    )
    turned = sg.index_graph(make_graph(RECEIVERS, SENDERS))
    for graph in (heavier, turned):
        differs = (
            np.abs(outputs_of(name, graph=graph) - outputs_of(name)) > 1e-4
        ).any()
        assert differs == (name in ON_GRAPHS)


@pytest.mark.parametrize("name", ["gconv-lstm", "gat-gru"])
@pytest.mark.parametrize("changes", [False, True])
def test_segments_with_the_carry_are_one_run(name, changes):
    graph, parts = static_graph(), [static_graph()] * 2
    if changes:
        graph = sg.graphs_in_time([other_graph(t) for t in range(T)])
        half = T // 2
        parts = [jax.tree.map(lambda a, s=s: a[s : s + half], graph) for s in (0, half)]
    carry, outputs = carry_of(name), []
    for signals, part in zip(np.split(SIGNALS, 2, axis=1), parts, strict=True):
        carry, some = run(name, signals, part, carry)
        outputs.append(some)
    last, together = run(name, graph=graph)
    np.testing.assert_allclose(np.concatenate(outputs, 1), together, atol=1e-6)
    chex.assert_trees_all_close(carry, last, atol=1e-6)
    np.testing.assert_array_equal(last.hidden, together[:, -1])


@pytest.mark.parametrize("kind", ["chebyshev", "diffusion"])
def test_the_identity_tap_is_the_cell_at_every_node(kind, optimized):
    # The same bits as the cell with nodes in place of sequences.
    params, carry = params_of("gru"), carry_of("gru")
    taps = sg.GraphTaps(kind, order=1)
    assert taps.num_taps == 1
    layer = sg.GraphRecurrent(sg.GRUCell(H), taps, taps)
    call = partial(layer.apply, {"params": params}, SIGNALS, static_graph())
    last, outputs = jax.jit(call)(carry)

    def rows(x):
        return np.moveaxis(x, -2, 1).reshape(B * PADDED, *x.shape[1:-2], x.shape[-1])

    recurrent = partial(sg.Recurrent(sg.GRUCell(H)).apply, {"params": params})
    plain = jax.jit(recurrent)(rows(SIGNALS), None, HiddenCarry(rows(carry.hidden)))
    np.testing.assert_array_equal(rows(np.asarray(outputs)), plain[1])
    np.testing.assert_array_equal(rows(np.asarray(last.hidden)), plain[0].hidden)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("tgcn", False), ("gconv-lstm", False), ("dcrnn", True), ("gat-gru", True)],
)
def test_seeds_side_by_side_are_a_loop_and_gradients_are_finite(name, changes):
    # Seeds that mix, in value or gradient; 0 / 0 at a node that nothing reaches.
    graph = static_graph()
    if changes:
        graph = sg.graphs_in_time([other_graph(t) for t in range(T)])

    def loss(params, graph):
        carry = jax.tree.map(jnp.zeros_like, carry_of(name))
        _, outputs = LAYERS[name].apply({"params": params}, SIGNALS, graph, carry)
        return (outputs**2).sum()

    slope = jax.grad(loss)
    several = [params_of(name, seed) for seed in (0, 7)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *several)
    together = jax.jit(jax.vmap(slope, in_axes=(0, None)))(stacked, graph)
    alone = jax.jit(slope)
    for s, params in enumerate(several):
        one = alone(params, graph)
        chex.assert_tree_all_finite(one)
        chex.assert_trees_all_close(
            jax.tree.map(lambda leaf, s=s: leaf[s], together), one, rtol=1e-3, atol=1e-4
        )
        for path, leaf in jax.tree.leaves_with_path(one):
            assert np.abs(leaf).max() > 0, path


@pytest.mark.parametrize("name", ["dcrnn", "gat-gru"])
def test_windows_with_graphs_of_their_own_go_through_vmap(name):
    graphs = [
        sg.graphs_in_time([other_graph((t + b) % T) for t in range(T)])
        for b in range(B)
    ]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *graphs)

    def one(signals, graph, carry):
        signals, carry = jax.tree.map(lambda leaf: leaf[None], (signals, carry))
        params = {"params": params_of(name)}
        return LAYERS[name].apply(params, signals, graph, carry)[1][0]

    together = jax.jit(jax.vmap(one))(SIGNALS, stacked, carry_of(name))
    for b, graph in enumerate(graphs):
        found = outputs_of(name, graph=graph)[b]
        np.testing.assert_allclose(together[b], found, atol=2e-6)


@pytest.mark.parametrize("name", ["gcn-gru", "gconv-gru", "dcrnn"])
@pytest.mark.parametrize("changes", [False, True])
def test_a_step_has_recurrent_products_alone(name, changes):
    # Degrees, normalisation or input projection in the scan, or a copy for each window.
    graph = sg.graphs_in_time([make_graph()] * T) if changes else static_graph()
    call = partial(LAYERS[name].apply, {"params": params_of(name)})
    equations = jax.make_jaxpr(call)(SIGNALS, graph, carry_of(name)).eqns
    (scan,) = (e for e in equations if e.primitive.name == "scan")
    body = str(scan.params["jaxpr"])
    products = re.findall(r" dot_general\[", body)
    assert len(products) == 2  # of h for two gates, and of r h
    assert not re.search(r" (div|sqrt|rsqrt|integer_pow) ", body)
    sizes = [int(n) for n in re.findall(r"i32\[(\d+)", body)]
    assert max(sizes) <= len(SENDERS)


def test_weights_have_gradients():
    # At a node without edges and at edges of weight 0: finite, for every kind of taps.
    graph, adjacency = static_graph()

    @jax.jit
    def slopes(weights):
        def loss(weights, kind):
            taps = sg.GraphTaps(kind, order=3)
            inputs = sg.IndexedGraph(graph._replace(edges=weights), adjacency)
            return (
                taps.mix(taps.operators(inputs), jnp.asarray(SIGNALS[0, 0])) ** 2
            ).sum()

        kinds = ("convolution", "chebyshev", "diffusion")
        return [jax.grad(loss)(weights, kind) for kind in kinds]

    chex.assert_tree_all_finite(slopes(graph.edges))


def golden_params(golden, name):
    """PyTorch Geometric Temporal's weights as ours; their z is 1 - z here."""
    raw = {
        k.removeprefix(f"{name}."): golden[k]
        for k in golden.files
        if k.startswith(f"{name}.")
    }
    gates = "ifco" if "lstm" in name else "rzh"

    def together(values):
        signs = [-1 if gate == "z" else 1 for gate in gates]
        return np.concatenate([s * v for s, v in zip(signs, values, strict=True)], -1)

    if name == "tgcn":
        both = [raw[f"linear_{g}.weight"].T for g in gates]
        first = np.zeros((3 * H, 3 * H), np.float32)
        for k, kernel in enumerate(both):
            first[k * H : (k + 1) * H, k * H : (k + 1) * H] = kernel[:H]
        convolutions = [raw[f"conv_{g}.lin.weight"].T for g in gates]
        signs = np.repeat([1, -1, 1], H)
        return {
            "input_layer": {
                "linear": {"kernel": np.concatenate(convolutions, -1)},
                "bias": np.concatenate([raw[f"conv_{g}.bias"] for g in gates]),
            },
            "cell": {
                "input": {
                    "kernel": first * signs,
                    "bias": together([raw[f"linear_{g}.bias"] for g in gates]),
                },
                "recurrent_kernel": together([kernel[H:] for kernel in both]),
            },
        }

    def taps(prefix):
        lins = [f"{prefix}.lins.{k}.weight" for k in range(3)]
        return np.concatenate([raw[lin].T for lin in lins])

    states = "conv_" if name == "gc-lstm" else "conv_h_"
    biases = [raw[f"{states}{g}.bias"] for g in gates]
    if name == "gc-lstm":
        kernels = [raw[f"W_{g}"] for g in gates]
    else:
        kernels = [taps(f"conv_x_{g}") for g in gates]
        biases = [
            b + raw[f"conv_x_{g}.bias"] for b, g in zip(biases, gates, strict=True)
        ]
    if "lstm" in name:
        biases = [b + raw[f"b_{g}"][0] for b, g in zip(biases, gates, strict=True)]
    cell = {
        "input": {"kernel": together(kernels), "bias": together(biases)},
        "recurrent_kernel": together([taps(f"{states}{g}") for g in gates]),
    }
    if name == "gconv-lstm":
        cell["peepholes"] = np.concatenate([raw[f"w_c_{g}"] for g in "ifo"])
    return {"cell": cell}


@pytest.mark.parametrize("name", ["gconv-gru", "gconv-lstm", "gc-lstm", "tgcn"])
def test_one_step_equals_pytorch_geometric_temporals(name):
    golden = np.load(GOLDEN)
    layer = LAYERS[name]
    if name == "tgcn":  # theirs has one convolution, and one for each gate
        layer = sg.GraphRecurrent(sg.GRUCell(H), sg.GraphConvolution(3 * H))
    graph = make_graph(golden["senders"], golden["receivers"], golden["weights"])
    h, c = golden["hidden"][None], golden["cell"][None]
    carry = LSTMCarry(c, h) if "lstm" in name else HiddenCarry(h)
    new, outputs = layer.apply(
        {"params": golden_params(golden, name)},
        jnp.asarray(golden["signals"][None, None]),
        sg.index_graph(graph),
        carry,
    )
    np.testing.assert_allclose(outputs[0, 0], golden[f"{name}:hidden"], atol=2e-6)
    if "lstm" in name:
        np.testing.assert_allclose(new.cell[0], golden[f"{name}:cell"], atol=2e-6)


def test_without_a_carry_states_start_at_zero():
    params = params_of("gcn-gru")
    found = program("gcn-gru")(params, SIGNALS, static_graph(), None)[1]
    zeros = jax.tree.map(np.zeros_like, carry_of("gcn-gru"))
    np.testing.assert_allclose(found, outputs_of("gcn-gru", carry=zeros), atol=1e-6)


def test_a_signal_layer_is_the_layer_at_every_step_of_every_window():
    # Steps or windows exchanged, in a graph that changes too.
    layer = sg.GraphConvolution(H, use_bias=False)
    kernel = np.random.default_rng(5).normal(size=(F, H)).astype(np.float32)
    params = {"layer": {"linear": {"kernel": kernel}}}
    graphs = [other_graph(t) for t in range(T)]
    found = jax.jit(sg.SignalLayer(layer).apply)(
        {"params": params}, SIGNALS, sg.graphs_in_time(graphs)
    )
    for b in range(B):
        for t in range(T):
            graph = graphs[t]._replace(nodes=SIGNALS[b, t])
            expected = convolution(graph, kernel, 0)
            np.testing.assert_allclose(found[b, t], expected, atol=1e-5)


def test_what_does_not_go_together_is_one_sentence():
    layer, graph = LAYERS["dcrnn"], static_graph()
    call = partial(layer.apply, {"params": params_of("dcrnn")})
    with pytest.raises(ValueError, match=r"\[B, T, 7, F\], not \[2, 4, 5, 2\]"):
        call(SIGNALS[:, :, :N], graph)
    with pytest.raises(ValueError, match="4 steps of signals and graphs of 2 steps"):
        call(SIGNALS, sg.graphs_in_time([make_graph()] * 2))
    with pytest.raises(ValueError, match=r"shape \[2, 7, 3\].*hidden has.*\[1, 7, 3\]"):
        call(SIGNALS, graph, carry_of("dcrnn", batch=1))
    with pytest.raises(ValueError, match="choose from convolution, chebyshev"):
        sg.GraphTaps("cheb")
    with pytest.raises(ValueError, match="1 or more, not 0"):
        sg.GraphTaps("diffusion", 0)
    features = make_graph()._replace(edges=np.ones((len(SENDERS), 2)))
    with pytest.raises(ValueError, match="without edge features"):
        call(SIGNALS, sg.index_graph(features))
    with pytest.raises(ValueError, match=r"has 5 nodes and the first one 7"):
        sg.graphs_in_time([make_graph(), other_graph(0)._replace(n_node=np.array([5]))])
    with pytest.raises(ValueError, match="no graph"):
        sg.graphs_in_time([])
    with pytest.raises(ValueError, match=r"weights \[E\], not \[10, 2\]"):
        sg.graphs_in_time([features])
    dropped = sg.GraphRecurrent(sg.GRUCell(H), sg.GraphAttention(2, dropout_rate=0.5))
    with pytest.raises(ValueError, match="cannot be a layer over time"):
        dropped.init(jax.random.key(0), SIGNALS, graph)

    class Plain(nn.Module):
        features: int = H

        def prepare(self, inputs):
            raise AssertionError

    alone = sg.GraphRecurrent(Plain(), None, sg.GraphTaps("chebyshev"))
    with pytest.raises(ValueError, match="Plain cannot have a recurrent layer"):
        alone.init(jax.random.key(0), SIGNALS, graph)
