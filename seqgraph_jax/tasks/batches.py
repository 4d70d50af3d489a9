"""Batches of small graphs, such as molecules, of one shape.

A batch is one graph made of the chosen ones and of a padding graph, which fills it up
to a fixed number of nodes and edges. Training graphs are sorted by size and a batch
takes one from each of B parts of that order, so that all batches are nearly equally
large: one shape holds any of them, with little padding, and a network is compiled once.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jraph
import numpy as np

from seqgraph_jax.graph.adjacency import Adjacency, IndexedGraph


class Slots(NamedTuple):
    """Room of a batch: its nodes and edges, those of the padding graph included."""

    nodes: int
    edges: int


def batch_slots(n_node: np.ndarray, n_edge: np.ndarray, batch_size: int) -> Slots:
    """Room for any batch that `draw_sorted` takes of these graphs, in this order.

    The sum, over the B parts of the order, of the largest size up to the part's end;
    one node more, which padding edges join to itself; rounded up to multiples of 8.

    >>> batch_slots(np.array([1, 2, 3, 9]), np.array([0, 2, 4, 20]), batch_size=2)
    Slots(nodes=16, edges=24)
    """
    ends = (np.arange(1, batch_size + 1) * len(n_node) - 1) // batch_size
    return room_for(*(np.maximum.accumulate(n)[ends].sum() for n in (n_node, n_edge)))


def room_for(num_nodes: int, num_edges: int) -> Slots:
    """Room for so many nodes and edges: a node more, rounded up to multiples of 8.

    >>> room_for(8, 16)
    Slots(nodes=16, edges=16)
    """
    return Slots(8 * -(-(int(num_nodes) + 1) // 8), 8 * -(-int(num_edges) // 8))


def draw_sorted(key: jax.Array, num_graphs: Any, batch_size: int) -> jax.Array:
    r"""Places ``[B]`` in a list, one from each of B equally long parts of it.

    .. math:: i_k = \lfloor (k n + v_k) / B \rfloor, \qquad
        v_k \text{ uniform in } 0, \dots, n - 1

    Of all the numbers k n + v, each there once, exactly B give the place i: so every
    place is expected B / n times in a batch.
    """
    within = jax.random.randint(key, (batch_size,), 0, num_graphs)
    return (jnp.arange(batch_size) * num_graphs + within) // batch_size


def _placed(
    counts: jax.Array, chosen: jax.Array, num_slots: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Where rows of the chosen graphs, behind one another, come from.

    ``counts [G]`` are the rows of each graph. Returns the batch's counts ``[B + 1]``;
    what is added to a row's number, ``[B + 1]``; and whose each slot is,
    ``[num_slots]``, where B is the padding.
    """
    own = counts[chosen]
    ends = jnp.cumsum(own)
    before = (jnp.cumsum(counts) - counts)[chosen]
    shifts = jnp.append(ends - own - before, 0)
    owners = jnp.searchsorted(ends, jnp.arange(num_slots), side="right")
    return jnp.append(own, num_slots - ends[-1]), shifts, owners


@partial(jax.jit, static_argnames="slots")
def gather_graphs(whole: IndexedGraph, chosen: jax.Array, slots: Slots) -> IndexedGraph:
    """The chosen of many graphs, ``[B]``, and a padding graph as the last, indexed.

    ``slots`` must have room for them and for one node more. Padding edges join the last
    node to itself. A graph may be chosen more than once.
    """
    graph, adjacency = whole
    num_chosen, last = len(chosen), slots.nodes - 1
    n_node, node_shifts, node_owners = _placed(graph.n_node, chosen, slots.nodes)
    n_edge, edge_shifts, edge_owners = _placed(graph.n_edge, chosen, slots.edges)
    real_node, real_edge = node_owners < num_chosen, edge_owners < num_chosen
    node, edge = jnp.arange(slots.nodes), jnp.arange(slots.edges)
    node_rows = jnp.where(real_node, node - node_shifts[node_owners], 0)
    edge_rows = jnp.where(real_edge, edge - edge_shifts[edge_owners], 0)

    def ends(nodes: jax.Array) -> jax.Array:
        return jnp.where(real_edge, nodes[edge_rows] + node_shifts[edge_owners], last)

    def starts(of_nodes: jax.Array) -> jax.Array:
        moved = of_nodes[node_rows] + edge_shifts[node_owners]
        padding = slots.edges - n_edge[-1]
        return jnp.append(jnp.where(real_node, moved, padding), slots.edges)

    order = adjacency.by_sender[edge_rows] + edge_shifts[edge_owners]
    by_sender = jnp.where(real_edge, order, edge)
    senders, receivers = ends(adjacency.senders), ends(adjacency.receivers)
    batch = jraph.GraphsTuple(
        nodes=jnp.where(real_node[:, None], graph.nodes[node_rows], 0),
        edges=None
        if graph.edges is None
        else jnp.where(real_edge[:, None], graph.edges[edge_rows], 0),
        senders=senders,
        receivers=receivers,
        globals=None,
        n_node=n_node,
        n_edge=n_edge,
    )
    indexed = Adjacency(
        senders,
        receivers,
        slots.nodes,
        slots.nodes,
        starts(adjacency.indptr),
        by_sender,
        receivers[by_sender],
        starts(adjacency.sender_indptr),
    )
    return IndexedGraph(batch, indexed)
