"""Sequences as graphs: positions are nodes, joined to the next one; and a network.

A batch of B padded sequences is one graph of B paths with T nodes each. Edges at the
padding have weight 0, so a path is as long as its sequence and all batches have one
shape.
"""

from functools import cache

import flax.linen as nn
import jax
import jax.numpy as jnp
import jraph
import numpy as np

from seqgraph_jax.graph.adjacency import Adjacency, IndexedGraph, index_edges
from seqgraph_jax.graph.networks import GraphLayers


@cache
def _edges(num_paths: int, num_nodes: int, both_ways: bool) -> Adjacency:
    """Edges of paths side by side, indexed."""
    places = np.arange(num_paths * num_nodes).reshape(num_paths, num_nodes)
    senders, receivers = places[:, :-1].ravel(), places[:, 1:].ravel()
    if both_ways:
        senders, receivers = (
            np.append(senders, receivers),
            np.append(receivers, senders),
        )
    order = np.lexsort((senders, receivers))
    size = num_paths * num_nodes
    return index_edges(senders[order], receivers[order], size, size)


def path_graphs(
    nodes: jax.Array, lengths: jax.Array, both_ways: bool = False
) -> IndexedGraph:
    """Padded sequences as paths: position t sends to t + 1, or they send to each other.

    Nodes at and after a sequence's length are joined to nothing, by edges of weight 0.

    Shapes: ``nodes [B, T, F]``, ``lengths [B]``; a graph of B T nodes and B (T - 1)
    edges, twice as many with ``both_ways``.

    >>> paths = path_graphs(jnp.ones((2, 3, 1)), jnp.array([3, 2]))
    >>> paths.graph.senders, paths.graph.edges
    (array([0, 1, 3, 4], dtype=int32), Array([1., 1., 1., 0.], dtype=float32))
    """
    B, T, F = nodes.shape
    edges = _edges(B, T, both_ways)
    later = np.maximum(edges.senders, edges.receivers)
    joined = jnp.asarray(later % T) < lengths[later // T]
    graph = jraph.GraphsTuple(
        nodes=nodes.reshape(B * T, F),
        edges=joined.astype(nodes.dtype),
        senders=edges.senders,
        receivers=edges.receivers,
        globals=None,
        n_node=np.full(B, T),
        n_edge=np.full(B, len(edges.senders) // B),
    )
    return IndexedGraph(graph, edges)


def receptive_field(num_layers: int, both_ways: bool) -> int:
    """Symbols of a path that a node has heard of after so many layers, its own too.

    >>> receptive_field(3, both_ways=False), receptive_field(3, both_ways=True)
    (4, 7)
    """
    return 1 + num_layers * (2 if both_ways else 1)


class PathClassifier(nn.Module):
    """Embedding, graph layers on the path of each sequence, a readout, a linear layer.

    ``readout`` is the mean or the maximum over a sequence's positions, or the last of
    them, which without ``both_ways`` is the only one that may have heard of all. Layers
    are normalised and residual. Padding changes nothing.

    Shapes: ``(tokens [B, T], lengths [B])`` to ``[B, num_outputs]``.

    Raises `ValueError` for an unknown layer or readout.

    >>> model = PathClassifier("gin", features=4, num_symbols=3, num_outputs=2)
    >>> inputs = jnp.array([[1, 2, 1], [2, 1, 0]]), jnp.array([3, 2])
    >>> model.apply(model.init(jax.random.key(0), inputs), inputs).shape
    (2, 2)
    """

    layer: str
    features: int
    num_symbols: int
    num_outputs: int
    num_layers: int = 3
    both_ways: bool = False
    readout: str = "max"

    @nn.compact
    def __call__(
        self, inputs: tuple[jax.Array, jax.Array], *, train: bool = False
    ) -> jax.Array:
        tokens, lengths = inputs
        shape = (self.num_symbols, self.features)
        embedding = self.param("embedding", nn.initializers.normal(1.0), shape)
        graph = GraphLayers(
            self.layer,
            (self.features,) * self.num_layers,
            drop_inputs=False,
            residual=True,
            normalize=True,
            name="layers",
        )(path_graphs(embedding[tokens], lengths, self.both_ways), train=train)
        nodes = nn.relu(graph.nodes).reshape(*tokens.shape, self.features)
        pooled = read_positions(nodes, lengths, self.readout)
        return nn.Dense(self.num_outputs, name="head")(pooled)


def read_positions(x: jax.Array, lengths: jax.Array, how: str) -> jax.Array:
    """Mean, maximum or last of the positions of each sequence.

    Shapes: ``x [B, T, H]``, ``lengths [B]``, at least 1; returns ``[B, H]``. Raises
    `ValueError` for another word.

    >>> x = jnp.array([[[1.0], [4.0], [9.0]]])
    >>> [read_positions(x, jnp.array([2]), how).item() for how in ("mean", "max")]
    [2.5, 4.0]
    """
    if how == "last":
        return jnp.take_along_axis(x, lengths[:, None, None] - 1, axis=1)[:, 0]
    counted = (jnp.arange(x.shape[1])[None] < lengths[:, None])[..., None]
    if how == "max":
        return x.max(1, where=counted, initial=-jnp.inf)
    if how == "mean":
        return x.sum(1, where=counted) / lengths[:, None]
    raise ValueError(f"readout {how!r} is unknown: choose mean, max or last")
