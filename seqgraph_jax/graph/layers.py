"""Graph layers on `jraph.GraphsTuple`, written as their equations.

A layer is a Flax module ``layer(graph, adjacency=None, train=False) -> graph`` that
gives new ``nodes`` and leaves everything else. What all layers agree on:

- graphs stay raw, the layer owns self-loops and normalisation. Every node has one
  self-loop: a loop among the edges replaces it and is not counted twice.
- an edge leads from ``senders`` to ``receivers``; an undirected edge stands in both
  directions; degrees are in-degrees.
- ``graph.edges`` is None, weights ``[E]``, or features ``[E, D]``.
- ``graph.nodes`` is ``[N, F]`` or, into a first layer, `SparseFeatures`.
- ``adjacency`` (`index_graph`) is the same edges, sorted, for speed.

Padding as jraph does it, with a graph of its own, changes no other node.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import jraph

from seqgraph_jax.graph.adjacency import Adjacency, plain_edges
from seqgraph_jax.graph.features import Linear
from seqgraph_jax.graph.propagation import (
    at_receivers,
    at_senders,
    propagate,
    sum_at_receivers,
)


def edges_of(graph: jraph.GraphsTuple, adjacency: Adjacency | None) -> Adjacency:
    """``adjacency``, or the graph's edges as they stand."""
    if adjacency is not None:
        return adjacency
    return plain_edges(graph.senders, graph.receivers, graph.nodes.shape[0])


def split_edges(
    graph: jraph.GraphsTuple, adjacency: Adjacency
) -> tuple[jax.Array, jax.Array | None, jax.Array]:
    """Weights ``[E]`` without self-loops, edge features or None, where loops are."""
    loops = adjacency.senders == adjacency.receivers  # [E]
    weighted = graph.edges is not None and graph.edges.ndim == 1
    weights = graph.edges if weighted else jnp.ones(len(loops))
    features = None if weighted else graph.edges
    return jnp.where(loops, 0, weights), features, loops


def inverse_degree(degree: jax.Array) -> jax.Array:
    """``1 / degree``, and 0 for a node without any: ``[N]``."""
    some = degree > 0
    return jnp.where(some, 1 / jnp.where(some, degree, 1), 0)


def normalized(
    graph: jraph.GraphsTuple,
    adjacency: Adjacency,
    normalization: str = "symmetric",
    self_weight: float = 1.0,
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Weights of the edges ``[E]`` and of the own loops ``[N]``; edge features.

    As in `GraphConvolution`. A loop of weight 0 among the edges is none.
    """
    weights, edges, loops = split_edges(graph, adjacency)
    own = jnp.full(adjacency.num_receivers, self_weight)
    if edges is None and graph.edges is not None:
        loops = loops & (graph.edges != 0)
        kept = sum_at_receivers(adjacency, jnp.where(loops, graph.edges, 0))
        own = jnp.where(sum_at_receivers(adjacency, loops + 0.0) > 0, kept, own)
    inverse = inverse_degree(sum_at_receivers(adjacency, weights) + own)
    if normalization == "mean":
        return weights * at_receivers(adjacency, inverse), own * inverse, edges
    if normalization != "symmetric":
        raise ValueError(
            f"normalization {normalization!r} is unknown: choose symmetric or mean"
        )
    root = jnp.sqrt(inverse)
    both = at_senders(adjacency, root) * at_receivers(adjacency, root)
    return weights * both, own * inverse, edges


class GraphConvolution(nn.Module):
    r"""Graph convolution: a normalised sum over neighbours of a linear map.

    .. math::
        H' &= \hat D^{-1/2} (A + w I) \hat D^{-1/2} H W + b \\
        h_i' &= b + \sum_{j \to i} \frac{a_{ji}}{\sqrt{d_i d_j}} h_j W
            + \frac{w}{d_i} h_i W, \qquad d_i = w + \sum_{j \to i} a_{ji}

    where a are the edge weights (1 without any), w is ``self_weight``, and d the
    in-degree with the self-loop, also of the sender in a directed graph. With
    ``normalization="mean"`` the sum is divided by d_i alone. In a weighted graph a
    self-loop keeps its weight in place of w, unless it is 0. Edge features e add
    ``e W_e`` to the message of their edge.

    Shapes: nodes ``[N, F]`` to ``[N, features]``. Parameters: F features + features.

    Raises `ValueError` for an unknown normalisation.

    Source: Kipf and Welling, Semi-supervised classification with graph convolutional
    networks, 2017, equation 2.

    >>> graph = jraph.GraphsTuple(
    ...     nodes=jnp.ones((3, 2)), edges=None, globals=None,
    ...     senders=jnp.array([0, 1]), receivers=jnp.array([1, 2]),
    ...     n_node=jnp.array([3]), n_edge=jnp.array([2]))
    >>> layer = GraphConvolution(features=4)
    >>> layer.apply(layer.init(jax.random.key(0), graph), graph).nodes.shape
    (3, 4)
    """

    features: int
    normalization: str = "symmetric"
    self_weight: float = 1.0
    use_bias: bool = True

    @nn.compact
    def __call__(
        self,
        graph: jraph.GraphsTuple,
        adjacency: Adjacency | None = None,
        *,
        train: bool = False,
    ) -> jraph.GraphsTuple:
        adjacency = edges_of(graph, adjacency)
        weights, own_weights, edges = normalized(
            graph, adjacency, self.normalization, self.self_weight
        )
        h = Linear(self.features, use_bias=False, name="linear")(graph.nodes)
        y = propagate(adjacency, weights, h) + own_weights[:, None] * h
        if edges is not None:
            messages = Linear(self.features, use_bias=False, name="edge")(edges)
            y += sum_at_receivers(adjacency, weights[:, None] * messages)
        if self.use_bias:
            y += self.param("bias", nn.initializers.zeros, (self.features,))[None]
        return graph._replace(nodes=y)


class GraphIsomorphism(nn.Module):
    r"""Graph isomorphism layer: a network of two layers on a sum over neighbours.

    .. math:: h_i' = W_2 \, \mathrm{ReLU}\Big(W_1 \big((1 + \epsilon) h_i +
        \sum_{j \to i} a_{ji} m_{ji}\big) + b_1\Big) + b_2

    where the message m is h_j, and with edge features ``ReLU(h_j + W_e e)``; the
    nodes have a linear map before the sum then, which gives both one width. epsilon
    is learned and starts at 0. The self-loop is the term (1 + epsilon) h_i.

    Shapes: nodes ``[N, F]`` to ``[N, features]``.

    Source: Xu et al., How powerful are graph neural networks?, 2019, equation 4.1;
    edge features: Hu et al., Strategies for pre-training graph neural networks, 2020.

    >>> graph = jraph.GraphsTuple(
    ...     nodes=jnp.ones((3, 2)), edges=None, globals=None,
    ...     senders=jnp.array([0, 1]), receivers=jnp.array([1, 2]),
    ...     n_node=jnp.array([3]), n_edge=jnp.array([2]))
    >>> layer = GraphIsomorphism(features=4)
    >>> layer.apply(layer.init(jax.random.key(0), graph), graph).nodes.shape
    (3, 4)
    """

    features: int

    @nn.compact
    def __call__(
        self,
        graph: jraph.GraphsTuple,
        adjacency: Adjacency | None = None,
        *,
        train: bool = False,
    ) -> jraph.GraphsTuple:
        adjacency = edges_of(graph, adjacency)
        weights, edges, _ = split_edges(graph, adjacency)
        scale = 1 + self.param("epsilon", nn.initializers.zeros, ())
        first = Linear(self.features, use_bias=False, name="first")
        if edges is None:  # W_1 goes before the sum, which then is narrower
            h = first(graph.nodes)
            y = scale * h + propagate(adjacency, weights, h)
        else:
            h = Linear(self.features, name="node")(graph.nodes)
            messages = Linear(self.features, use_bias=False, name="edge")(edges)
            messages = nn.relu(at_senders(adjacency, h) + messages)
            sums = sum_at_receivers(adjacency, weights[:, None] * messages)
            y = first(scale * h + sums)
        y += self.param("first_bias", nn.initializers.zeros, (self.features,))[None]
        y = Linear(self.features, name="second")(nn.relu(y))
        return graph._replace(nodes=y)


def readout(graph: jraph.GraphsTuple, how: str = "mean") -> jax.Array:
    """Sum, mean or maximum of each graph's nodes: ``[N, F]`` to ``[G, F]``.

    A graph without nodes gets zeros. Padding nodes belong to a graph of their own and
    reach no other row. Raises `ValueError` for another word.

    >>> graph = jraph.GraphsTuple(
    ...     nodes=jnp.array([[1.0], [3.0], [5.0]]), edges=None, globals=None,
    ...     senders=jnp.array([0]), receivers=jnp.array([1]),
    ...     n_node=jnp.array([2, 0, 1]), n_edge=jnp.array([1, 0, 0]))
    >>> readout(graph, "mean").ravel()
    Array([2., 0., 5.], dtype=float32)
    """
    num_nodes, num_graphs = len(graph.nodes), len(graph.n_node)
    owners = jnp.repeat(
        jnp.arange(num_graphs), graph.n_node, total_repeat_length=num_nodes
    )
    some = (graph.n_node > 0)[:, None]
    if how == "max":
        highest = jax.ops.segment_max(graph.nodes, owners, num_graphs)
        return jnp.where(some, highest, 0)
    sums = jax.ops.segment_sum(graph.nodes, owners, num_graphs)
    if how == "sum":
        return sums
    if how == "mean":
        return sums / jnp.maximum(graph.n_node, 1)[:, None]
    raise ValueError(f"readout {how!r} is unknown: choose sum, mean or max")
