"""How far a node's input reaches in a graph network, and by which walks.

A network here is one layer K times over, each time with weights of its own and, but
after the last, an activation: what `seqgraph_jax.graph.networks.GraphLayers` is, as a
`lax.scan` that gives the outputs of all depths at once and compiles one layer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import jraph
import numpy as np
from jax import lax
from scipy.sparse import csgraph

from seqgraph_jax.graph.adjacency import IndexedGraph
from seqgraph_jax.graph.layers import GraphConvolution


def init_layers(
    layer: nn.Module, key: jax.Array, inputs: IndexedGraph, depth: int
) -> Any:
    """Parameters of ``depth`` layers, stacked: every leaf is ``[K, ...]``.

    Layer k has the key's fold with k, so a deeper network starts like a shallow one.
    They are made one by one: XLA takes seconds to compile random numbers of a `vmap`.
    """

    def one(k: jax.Array) -> Any:
        return layer.init(jax.random.fold_in(key, k), *inputs)["params"]

    return lax.map(one, jnp.arange(depth))


def layer_outputs(
    layer: nn.Module,
    params: Any,
    inputs: IndexedGraph,
    activation: Callable[[jax.Array], jax.Array] = nn.relu,
    residual: bool = False,
) -> jax.Array:
    r"""Input and outputs of the networks of 1 to K layers, with the same weights.

    .. math:: y_k = \mathrm{layer}_k(h_{k-1}), \qquad
        h_k = s(y_k) \;[+\, h_{k-1} \text{ with residual}], \qquad h_0 = x

    where s is ``activation``; a network of k layers ends with y_k.

    Shapes: nodes ``[N, F]``, params of `init_layers`; returns x and y_1 to y_K,
    ``[K + 1, N, F]``.

    Raises `ValueError` if the layer's width is not that of the nodes.

    >>> from seqgraph_jax.graph.adjacency import index_graph
    >>> inputs = index_graph(jraph.GraphsTuple(
    ...     nodes=np.ones((3, 2), np.float32), edges=None, globals=None,
    ...     senders=np.array([0, 1]), receivers=np.array([2, 0]),
    ...     n_node=np.array([3]), n_edge=np.array([2])))
    >>> layer = GraphConvolution(features=2)
    >>> params = init_layers(layer, jax.random.key(0), inputs, depth=4)
    >>> layer_outputs(layer, params, inputs).shape
    (5, 3, 2)
    """
    x = jnp.asarray(inputs.graph.nodes)
    width = getattr(layer, "features", None)
    if width != x.shape[-1]:
        raise ValueError(f"a layer of {width} features does not fit {x.shape[-1]}")

    def step(h: jax.Array, params: Any) -> tuple[jax.Array, jax.Array]:
        graph = inputs.graph._replace(nodes=h)
        result: Any = layer.apply({"params": params}, graph, inputs.adjacency)
        y = result.nodes
        return activation(y) + (h if residual else 0), y

    _, outputs = lax.scan(step, x, params)
    return jnp.concatenate([x[None], outputs])


def influences(
    layer: nn.Module,
    params: Any,
    inputs: IndexedGraph,
    activation: Callable[[jax.Array], jax.Array] = nn.elu,
) -> jax.Array:
    r"""How strongly every node's output depends on every node's input, at all depths.

    .. math:: I_{kij} = \left\lVert \partial y_{k,i} / \partial x_j \right\rVert_F

    An activation whose derivative is 0 somewhere, such as the ReLU, can hide a
    dependence; the ELU has none.

    Shapes: nodes ``[N, F]``; returns ``[K + 1, N, N]``, of depth 0 to K, a row per
    node reached, a column per source. Reverse mode, since `propagate` has no other.

    Source: Xu et al., Representation learning on graphs with jumping knowledge
    networks, 2018, definition 3.1, where absolute values are summed.
    """

    def outputs(nodes: jax.Array) -> jax.Array:
        graph = inputs.graph._replace(nodes=nodes)
        moved = IndexedGraph(graph, inputs.adjacency)
        return layer_outputs(layer, params, moved, activation)

    jacobian = jax.jacrev(outputs)(jnp.asarray(inputs.graph.nodes))  # [K+1, N, F, N, F]
    return jnp.sqrt((jacobian**2).sum((2, 4)))


def receptive_field(influences: Any) -> np.ndarray:
    """First depth at which a node depends on a source: ``[K + 1, N, N]`` to ``[N, N]``.

    -1 where it never does. In a network of graph layers this is `hops`.

    >>> path = np.array([[[1, 0], [0, 1]], [[1, 0], [0.5, 1]]])
    >>> receptive_field(path)
    array([[ 0, -1],
           [ 1,  0]])
    """
    depends = np.asarray(influences) != 0
    return np.where(depends.any(0), depends.argmax(0), -1)


def hops(graph: jraph.GraphsTuple) -> np.ndarray:
    """Edges of the shortest way from a source to a node, what `receptive_field` is.

    ``[N, N]``, a row per node reached, a column per source; -1 where there is no way.

    >>> path = jraph.GraphsTuple(
    ...     nodes=None, edges=None, globals=None,
    ...     senders=np.array([0, 1]), receivers=np.array([1, 2]),
    ...     n_node=np.array([3]), n_edge=np.array([2]))
    >>> hops(path)
    array([[ 0, -1, -1],
           [ 1,  0, -1],
           [ 2,  1,  0]])
    """
    steps = csgraph.shortest_path(with_loops(graph), unweighted=True)
    return np.where(np.isfinite(steps), steps, -1).astype(int)


def with_loops(graph: jraph.GraphsTuple, self_weight: float = 1.0) -> np.ndarray:
    """``A + w I`` of a graph without weights, a row per receiver: ``[N, N]``.

    A self-loop among the edges is the one that every node has.
    """
    size = int(np.sum(graph.n_node))
    matrix = np.zeros((size, size))
    matrix[np.asarray(graph.receivers), np.asarray(graph.senders)] = 1
    np.fill_diagonal(matrix, self_weight)
    return matrix


def convolution_matrix(graph: jraph.GraphsTuple, **options: Any) -> np.ndarray:
    r"""What a `GraphConvolution` multiplies nodes with: :math:`\hat A`, ``[N, N]``.

    The layer itself with the identity for features and weights; ``options`` are its
    own, such as ``self_weight``.

    >>> graph = jraph.GraphsTuple(
    ...     nodes=None, edges=None, globals=None,
    ...     senders=np.array([0, 1]), receivers=np.array([1, 0]),
    ...     n_node=np.array([2]), n_edge=np.array([2]))
    >>> convolution_matrix(graph, self_weight=3.0)
    array([[0.75, 0.25],
           [0.25, 0.75]], dtype=float32)
    """
    identity = jnp.eye(int(np.sum(graph.n_node)))
    layer = GraphConvolution(len(identity), use_bias=False, **options)
    params = {"linear": {"kernel": identity}}

    def apply(nodes: jax.Array) -> Any:
        return layer.apply({"params": params}, graph._replace(nodes=nodes))

    return np.asarray(jax.jit(apply)(identity).nodes)


@dataclass(frozen=True)
class Walk:
    """Nodes from a source to where it ends, and the product of the steps' weights."""

    nodes: tuple[int, ...]
    weight: float


def walks(matrix: np.ndarray, sender: int, receiver: int, length: int) -> list[Walk]:
    r"""All walks of ``length`` steps from a node to another, in the order of nodes.

    .. math:: (M^k)_{ij} = \sum_{j = n_0, n_1, \dots, n_k = i}
        M_{n_1 n_0} M_{n_2 n_1} \cdots M_{n_k n_{k-1}}

    A step goes from a column j to a row i with ``matrix[i, j]`` not 0; a self-loop is
    a step that stays. Their number grows fast with the length.

    >>> [walk.nodes for walk in walks(np.array([[1, 1], [1, 0]]), 0, 1, 3)]
    [(0, 0, 0, 1), (0, 1, 0, 1)]
    """
    pattern = np.asarray(matrix) != 0
    arrives = [np.arange(len(pattern)) == receiver]  # after 0, 1, ... steps
    for _ in range(length):
        arrives.append((pattern & arrives[-1][:, None]).any(0))
    found = [Walk((sender,), 1.0)] if arrives[length][sender] else []
    for left in reversed(range(length)):
        found = [
            Walk((*walk.nodes, int(i)), walk.weight * float(matrix[i, walk.nodes[-1]]))
            for walk in found
            for i in np.flatnonzero(pattern[:, walk.nodes[-1]] & arrives[left])
        ]
    return found
