"""Twins, nodes with the same neighbours, and which layers tell them apart."""

from collections.abc import Mapping
from typing import Any

import jraph
import numpy as np

from seqgraph_jax.analysis.receptive_fields import with_loops
from seqgraph_jax.analysis.untrained import Networks
from seqgraph_jax.graph.adjacency import IndexedGraph

#: Features that twins are given by `separations`.
DIFFERENT = "different features"
IDENTICAL = "identical features"
RANDOM = "identical features beside random ones"


def find_twins(graph: jraph.GraphsTuple, closed: bool = True) -> list[tuple[int, int]]:
    """Pairs of nodes with the same neighbours, themselves among them if ``closed``.

    Neighbours are the senders of incoming edges. Closed twins are what a graph
    convolution with a self-weight of 1 cannot tell apart, whatever their features.

    >>> pair = jraph.GraphsTuple(
    ...     nodes=None, edges=None, globals=None,
    ...     senders=np.array([0, 1]), receivers=np.array([1, 0]),
    ...     n_node=np.array([2]), n_edge=np.array([2]))
    >>> find_twins(pair), find_twins(pair, closed=False)
    ([(0, 1)], [])
    """
    rows = with_loops(graph, 1.0 if closed else 0.0)
    same = (rows[:, None] == rows[None]).all(-1)
    return [(int(u), int(v)) for u, v in np.argwhere(np.triu(same, 1))]


def separation(outputs: Any, u: int, v: int) -> np.ndarray:
    r"""How far apart the outputs of two nodes are, as a share of their size.

    .. math:: 2 \, \lVert h_u - h_v \rVert / (\lVert h_u \rVert + \lVert h_v \rVert)

    0 where both are 0. Shapes: ``outputs [..., N, F]``; returns ``[...]``.

    >>> separation(np.array([[3.0, 0.0], [1.0, 0.0]]), 0, 1).item()
    1.0
    """
    outputs = np.asarray(outputs)
    norms = np.linalg.norm(outputs[..., [u, v], :], axis=-1)
    apart = np.linalg.norm(outputs[..., u, :] - outputs[..., v, :], axis=-1)
    mean = norms.mean(-1)
    return np.divide(apart, mean, out=np.zeros_like(apart), where=mean > 0)


def separations(
    arms: Mapping[str, Networks], graph: IndexedGraph, nodes: np.ndarray, u: int, v: int
) -> dict[str, dict[str, np.ndarray]]:
    """`separation` of two nodes by networks of all depths, by features and arm.

    With the nodes' own features; with those of u for both; and with those of u for
    both in the first half, beside their own ones in the second.

    Shapes: nodes ``[S, N, F]``; returns ``[S, K]`` for depth 1 to K.

    >>> import seqgraph_jax as sg
    >>> pair = sg.index_graph(sg.data.from_arrays([0], [1], undirected=True).graph())
    >>> draw = sg.analysis.untrained
    >>> gcn = draw.draw_networks(sg.GraphConvolution(4), pair, seeds=[0], depth=2)
    >>> nodes = draw.draw_nodes(pair, 4, seeds=[0])
    >>> found = separations({"gcn": gcn}, pair, nodes, 0, 1)
    >>> [bool((of["gcn"] > 1e-12).any()) for of in found.values()]
    [False, False, False]
    """
    alike, half = nodes.copy(), nodes.shape[-1] // 2
    alike[:, v] = nodes[:, u]
    partly = np.concatenate([alike[..., :half], nodes[..., half:]], axis=-1)
    variants = {DIFFERENT: nodes, IDENTICAL: alike, RANDOM: partly}
    return {
        features: {
            arm: separation(networks.outputs(graph, given)[:, 1:], u, v)
            for arm, networks in arms.items()
        }
        for features, given in variants.items()
    }


def kink_divides(
    nodes: np.ndarray, params: Any, graph: jraph.GraphsTuple, u: int, v: int
) -> np.ndarray:
    r"""Do both signs occur among the logits of closed twins in a layer of GAT?

    Before the LeakyReLU, the logits of u and v differ by a constant; where all have one
    sign, a softmax takes it away, and the layer gives both twins the same output.

    Shapes: nodes ``[S, N, F]``, params of `GraphAttention` with one head, leaves
    ``[S, ...]``; returns ``[S]`` bool.

    >>> from seqgraph_jax.graph.attention import GraphAttention
    >>> pair = jraph.GraphsTuple(
    ...     nodes=np.array([[1.0], [-2.0]]), edges=None, globals=None,
    ...     senders=np.array([0, 1]), receivers=np.array([1, 0]),
    ...     n_node=np.array([2]), n_edge=np.array([2]))
    >>> params = {"linear": {"kernel": np.ones((1, 1, 1))},
    ...     "sender": np.ones((1, 1, 1)), "receiver": np.zeros((1, 1, 1))}
    >>> kink_divides(pair.nodes[None], params, pair, 0, 1)
    array([ True])
    """
    h = nodes @ params["linear"]["kernel"]  # [S, N, F]
    of_sender, of_receiver = (
        np.einsum("snf,sf->sn", h, params[name][:, 0])
        for name in ("sender", "receiver")
    )
    around = np.flatnonzero(with_loops(graph)[u])
    logits = of_sender[:, around, None] + of_receiver[:, None, [u, v]]
    return (logits > 0).any((1, 2)) & (logits < 0).any((1, 2))
