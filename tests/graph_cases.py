"""Graphs that tell layers apart, and the layers' equations with dense matrices."""

import jax.numpy as jnp
import jraph
import numpy as np

#: Directed and irregular: nodes without incoming edges (5 of 8), without any (6), and
#: with a self-loop (3).
SENDERS = np.array([1, 2, 4, 0, 2, 7, 3, 3, 5, 5], np.int32)
RECEIVERS = np.array([0, 0, 0, 1, 1, 1, 2, 3, 4, 7], np.int32)
N, E, F = 8, 10, 5


def random_graph(seed=0, edges=None, num_nodes=N, senders=SENDERS, receivers=RECEIVERS):
    """The graph with random features; ``edges`` is None, "weights" or "features"."""
    rng = np.random.default_rng(seed)
    kinds = {
        None: None,
        "weights": rng.uniform(0.2, 2.0, len(senders)).astype(np.float32),
        "features": rng.normal(size=(len(senders), 3)).astype(np.float32),
    }
    return jraph.GraphsTuple(
        nodes=rng.normal(size=(num_nodes, F)).astype(np.float32),
        edges=kinds[edges],
        senders=np.asarray(senders, np.int32),
        receivers=np.asarray(receivers, np.int32),
        globals=None,
        n_node=np.array([num_nodes]),
        n_edge=np.array([len(senders)]),
    )


def dense(graph, values=None):
    """Matrix with the edges' weights, a row per receiver; edges of one pair add up."""
    matrix = np.zeros((len(graph.nodes),) * 2)
    values = np.ones(len(graph.senders)) if values is None else values
    np.add.at(matrix, (graph.receivers, graph.senders), values)
    return matrix


def loops_of(graph, self_weight):
    """Weights of the self-loops, and the other edges' matrix."""
    weighted = graph.edges is not None and graph.edges.ndim == 1
    matrix = dense(graph, graph.edges if weighted else None)
    own = np.full(len(matrix), float(self_weight))
    if weighted:
        own = np.where(np.diag(matrix) > 0, np.diag(matrix), own)
    return own, matrix - np.diag(np.diag(matrix))


def convolution(graph, kernel, bias, normalization="symmetric", self_weight=1.0):
    """D^-1/2 (A + w I) D^-1/2 X W + b, or D^-1 (A + w I) X W + b."""
    own, matrix = loops_of(graph, self_weight)
    matrix = matrix + np.diag(own)
    degree = matrix.sum(1)
    inverse = np.divide(1, degree, out=np.zeros(len(degree)), where=degree > 0)
    if normalization == "symmetric":
        matrix = np.sqrt(inverse)[:, None] * matrix * np.sqrt(inverse)[None]
    else:
        matrix = inverse[:, None] * matrix
    return matrix @ graph.nodes @ kernel + np.asarray(bias)


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def attention(graph, params, num_heads, version):
    """Heads side by side: node by node, neighbour by neighbour."""
    own, matrix = loops_of(graph, 1.0)
    matrix = matrix + np.eye(len(own))
    h = graph.nodes @ np.asarray(params["linear"]["kernel"])
    h = h.reshape(len(h), num_heads, -1)
    outputs = np.zeros_like(h)
    for i in range(len(h)):
        for a in range(num_heads):
            neighbours = np.flatnonzero(matrix[i])
            if version == 1:
                sender, receiver = (
                    np.asarray(params[k])[a] for k in ("sender", "receiver")
                )
                logits = [
                    leaky(h[j, a] @ sender + h[i, a] @ receiver) for j in neighbours
                ]
            else:
                query = graph.nodes @ np.asarray(params["query"]["kernel"])
                query = query.reshape(h.shape)
                vector = np.asarray(params["attention"])[a]
                logits = [vector @ leaky(query[i, a] + h[j, a]) for j in neighbours]
            weights = matrix[i, neighbours] * np.exp(logits)
            weights /= weights.sum()
            outputs[i, a] = weights @ h[neighbours, a]
    return outputs.reshape(len(h), -1)


def isomorphism(graph, params):
    """W_2 relu(W_1 ((1 + eps) h + sum of neighbours) + b_1) + b_2."""
    _, matrix = loops_of(graph, 1.0)
    sums = (1 + float(params["epsilon"])) * graph.nodes + matrix @ graph.nodes
    hidden = sums @ np.asarray(params["first"]["kernel"]) + np.asarray(
        params["first_bias"]
    )
    second = params["second"]
    return np.maximum(hidden, 0) @ np.asarray(second["kernel"]) + np.asarray(
        second["bias"]
    )


def padded(graph, num_nodes=3, num_edges=4):
    """The graph with a padding graph behind it, as jraph pads."""
    return jraph.pad_with_graphs(
        graph._replace(nodes=jnp.asarray(graph.nodes)),
        len(graph.nodes) + num_nodes,
        len(graph.senders) + num_edges,
        len(graph.n_node) + 1,
    )
