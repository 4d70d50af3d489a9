"""Edges as arrays, plain or indexed by receiver and by sender."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jraph
import numpy as np


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Adjacency:
    """Edges from ``num_senders`` to ``num_receivers`` nodes, of a graph or a matrix.

    As a matrix: a row per receiver, a column per sender. The last four arrays say
    where each node's edges are (`index_edges` makes them, and sorts); without them
    edges may stand in any order.
    """

    senders: Any  # [E]
    receivers: Any  # [E]
    num_senders: int = field(metadata={"static": True})
    num_receivers: int = field(metadata={"static": True})
    indptr: Any = None  # [num_receivers + 1], first edge of each receiver
    by_sender: Any = None  # [E], edges in the order of their senders
    turned: Any = None  # [E], their receivers
    sender_indptr: Any = None  # [num_senders + 1], into by_sender


def plain_edges(senders: Any, receivers: Any, num_nodes: int) -> Adjacency:
    """Edges of one graph as they are, in any order."""
    return Adjacency(senders, receivers, num_nodes, num_nodes)


def index_edges(
    senders: np.ndarray, receivers: np.ndarray, num_senders: int, num_receivers: int
) -> Adjacency:
    """Edges with the places of each node's edges; on the host, once a graph.

    Raises `ValueError` if edges are not sorted by receiver.

    >>> index_edges(np.array([1, 2, 0]), np.array([0, 0, 2]), 3, 3).indptr
    array([0, 2, 2, 3], dtype=int32)
    """
    senders, receivers = (np.asarray(e, np.int32) for e in (senders, receivers))
    if (np.diff(receivers) < 0).any():
        raise ValueError("edges must be sorted by receiver")
    by_sender = np.argsort(senders, kind="stable").astype(np.int32)

    def pointers(sorted_nodes: np.ndarray, num_nodes: int) -> np.ndarray:
        return np.searchsorted(sorted_nodes, np.arange(num_nodes + 1)).astype(np.int32)

    return Adjacency(
        senders,
        receivers,
        num_senders,
        num_receivers,
        pointers(receivers, num_receivers),
        by_sender,
        receivers[by_sender],
        pointers(senders[by_sender], num_senders),
    )


class IndexedGraph(NamedTuple):
    """A graph and the same edges indexed: the input of graph networks."""

    graph: jraph.GraphsTuple
    adjacency: Adjacency


def index_graph(graph: jraph.GraphsTuple) -> IndexedGraph:
    """Sort a graph's edges by receiver, and index them; on the host, once a graph.

    Several graphs in one `GraphsTuple` are fine, since none shares a node.

    >>> graph = jraph.GraphsTuple(
    ...     nodes=np.ones((3, 2)), edges=np.array([0.1, 0.2]), globals=None,
    ...     senders=np.array([0, 1]), receivers=np.array([2, 0]),
    ...     n_node=np.array([3]), n_edge=np.array([2]))
    >>> index_graph(graph).graph.edges
    array([0.2, 0.1])
    """
    num_nodes = int(np.sum(graph.n_node))
    order = np.lexsort((graph.senders, graph.receivers))
    senders, receivers = graph.senders[order], graph.receivers[order]
    adjacency = index_edges(senders, receivers, num_nodes, num_nodes)
    graph = graph._replace(
        senders=adjacency.senders,
        receivers=adjacency.receivers,
        edges=jax.tree.map(lambda leaf: leaf[order], graph.edges),
    )
    return IndexedGraph(graph, adjacency)
