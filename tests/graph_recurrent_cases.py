"""A graph that tells cells on graphs apart, and their equations with dense matrices."""

import jraph
import numpy as np

import seqgraph_jax as sg

from . import graph_cases
from .equations import sigmoid

B, T, N, F, H, K = 2, 4, 5, 2, 3, 3
PADDED = N + 2  # nodes 5 and 6 are padding
#: Directed and irregular, with a self-loop (1), a node without incoming edges (3), one
#: without any (4), and at the end edges between padding nodes and edges of weight 0.
SENDERS = np.array([1, 2, 3, 0, 1, 0, 1, 5, 3, 0])
RECEIVERS = np.array([0, 0, 0, 1, 1, 2, 2, 6, 3, 4])
NUM_EDGES = 7  # that count

LAYERS = {
    "gru": sg.GRAPH_CELLS["gru"](H),
    "lstm": sg.GRAPH_CELLS["lstm"](H),
    "tgcn": sg.GRAPH_CELLS["tgcn"](H),
    "gcn-gru": sg.GRAPH_CELLS["gcn-gru"](H),
    "gconv-gru": sg.GRAPH_CELLS["gconv-gru"](H, order=K),
    "gconv-lstm": sg.GRAPH_CELLS["gconv-lstm"](H, order=K),
    "gc-lstm": sg.GRAPH_CELLS["gc-lstm"](H, order=K),
    "dcrnn": sg.GRAPH_CELLS["dcrnn"](H, order=K),
    "gat-gru": sg.GRAPH_CELLS["gat-gru"](H, num_heads=2),
}


def make_graph(senders=SENDERS, receivers=RECEIVERS, weights=None, num_nodes=PADDED):
    """Weights from 0.3 to 2, and 0 for the last two edges."""
    if weights is None:
        weights = np.random.default_rng(1).uniform(0.3, 2.0, len(senders))
        weights[NUM_EDGES + 1 :] = 0
    return jraph.GraphsTuple(
        nodes=None,
        edges=np.asarray(weights, np.float32),
        senders=np.asarray(senders, np.int32),
        receivers=np.asarray(receivers, np.int32),
        globals=None,
        n_node=np.array([num_nodes]),
        n_edge=np.array([len(senders)]),
    )


def other_graph(t):
    """As many edges, others at every step."""
    rng = np.random.default_rng(10 + t)
    pairs = rng.choice(N * N, len(SENDERS) - t, replace=False)
    senders, receivers = np.divmod(pairs, N)
    return make_graph(senders, receivers, rng.uniform(0.3, 2.0, len(pairs)))


def without_padding(graph):
    """The real nodes and the edges that count."""
    kept = (graph.edges != 0) & (graph.receivers < N)
    return make_graph(
        graph.senders[kept], graph.receivers[kept], graph.edges[kept], num_nodes=N
    )


def taps(kind, order, graph):
    """P_1, P_2, ... as dense matrices, a row per receiver."""
    graph = graph._replace(nodes=np.zeros((int(graph.n_node[0]), 1)))
    own, neighbours = graph_cases.loops_of(graph, 1.0)
    identity = np.eye(len(own))

    def over(degree, power):
        inverse = np.divide(1, degree, out=np.zeros(len(degree)), where=degree > 0)
        return np.diag(inverse**power)

    if kind == "convolution":
        matrix = neighbours + np.diag(own)
        half = over(matrix.sum(1), 0.5)
        step = half @ matrix @ half
        return [np.linalg.matrix_power(step, k) for k in range(1, order + 1)]
    if kind == "chebyshev":
        half = over(neighbours.sum(1), 0.5)
        laplacian = identity - half @ neighbours @ half
        polynomials = [identity, laplacian - identity]
        while len(polynomials) < order:
            new = 2 * (laplacian - identity) @ polynomials[-1] - polynomials[-2]
            polynomials.append(new)
        return polynomials[:order]
    matrix = graph_cases.dense(graph, graph.edges)
    onward, back = over(matrix.sum(1), 1) @ matrix, over(matrix.sum(0), 1) @ matrix.T
    return [identity] + [
        np.linalg.matrix_power(step, k)
        for step in (onward, back)
        for k in range(1, order)
    ]


def mixed(layer, params, graph, x):
    """What a layer gives for ``x [N, F]``: taps side by side, or the layer's output."""
    if layer is None:
        return x
    graph = graph._replace(nodes=x)
    if isinstance(layer, sg.GraphTaps):
        matrices = taps(layer.kind, layer.order, graph)
        return np.concatenate([matrix @ x for matrix in matrices], axis=1)
    if isinstance(layer, sg.GraphAttention):
        heads = graph_cases.attention(graph, params, layer.num_heads, layer.version)
        return heads.reshape(len(x), layer.num_heads, -1).mean(1)
    for name, layer_params in sorted(params.items()):
        kernel, bias = layer_params["linear"]["kernel"], layer_params["bias"]
        x = graph_cases.convolution(graph._replace(nodes=x), kernel, bias)
        x = np.maximum(x, 0) if name == "layer_0" else x
    return x


def equations(layer, params, signals, graphs, hidden, cell):
    """Outputs ``[T, N, H]`` of one window ``[T, N, F]``, step by step, gate by gate."""
    p = params["cell"]
    W, U = p["input"]["kernel"], p["recurrent_kernel"]
    b, width = p["input"]["bias"], hidden.shape[-1]
    outputs = []
    for x, graph in zip(signals, graphs, strict=True):
        x = mixed(layer.input_layer, params.get("input_layer"), graph, x)

        def gate(number, h, x=x, graph=graph):
            part = slice(number * width, (number + 1) * width)
            m = mixed(layer.recurrent_layer, params.get("recurrent_layer"), graph, h)
            return x @ W[:, part] + m @ U[:, part] + b[part]

        if isinstance(layer.cell, sg.GRUCell):
            r, z = sigmoid(gate(0, hidden)), sigmoid(gate(1, hidden))
            hidden = (1 - z) * hidden + z * np.tanh(gate(2, r * hidden))
        else:
            i, f, g, o = (gate(k, hidden) for k in range(4))
            p_i, p_f, p_o = p.get("peepholes", np.zeros((3, width)))
            i, f = sigmoid(i + p_i * cell), sigmoid(f + p_f * cell)
            cell = f * cell + i * np.tanh(g)
            hidden = sigmoid(o + p_o * cell) * np.tanh(cell)
        outputs.append(hidden)
    return np.stack(outputs)
