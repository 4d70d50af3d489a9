"""A graph that changes in time, as arrays of one shape."""

from collections.abc import Sequence

import jax
import jraph
import numpy as np

from seqgraph_jax.graph.adjacency import IndexedGraph, index_graph


def graphs_in_time(graphs: Sequence[jraph.GraphsTuple]) -> IndexedGraph:
    """The graph of every step, with a leading axis T; on the host, once.

    Every graph has the same nodes. Those with fewer edges than others get edges of
    weight 0, and graphs without weights get weights 1.

    Shapes: senders, receivers, weights ``[T, E_max]``, row starts ``[T, N + 1]``.

    Raises `ValueError` for no graph, another number of nodes, and edge features.

    >>> def graph(senders, receivers):
    ...     return jraph.GraphsTuple(
    ...         nodes=None, edges=None, globals=None, senders=np.array(senders),
    ...         receivers=np.array(receivers), n_node=np.array([3]),
    ...         n_edge=np.array([len(senders)]))
    >>> graphs = graphs_in_time([graph([0, 1], [1, 2]), graph([2], [0])])
    >>> graphs.graph.edges
    array([[1., 1.],
           [1., 0.]], dtype=float32)
    """
    if not graphs:
        raise ValueError("there is no graph: one for every step is needed")
    num_nodes = int(np.sum(graphs[0].n_node))
    num_edges = max(len(graph.senders) for graph in graphs)
    padded = []
    for t, graph in enumerate(graphs):
        if int(np.sum(graph.n_node)) != num_nodes:
            raise ValueError(
                f"graph {t} has {int(np.sum(graph.n_node))} nodes and the first one "
                f"{num_nodes}: all steps have the same nodes"
            )
        number = len(graph.senders)
        weights = np.ones(number) if graph.edges is None else np.asarray(graph.edges)
        if weights.ndim != 1:
            raise ValueError(
                "a graph that changes in time has edges None or weights [E], not "
                f"{list(weights.shape)} (graph {t})"
            )
        # From node 0 to the last one: sorted by receiver, they stay among the last.
        spare = np.zeros(num_edges - number, np.int32)
        graph = jraph.GraphsTuple(
            nodes=None,
            edges=np.concatenate([weights, spare]).astype(np.float32),
            senders=np.concatenate([graph.senders, spare]),
            receivers=np.concatenate([graph.receivers, spare + num_nodes - 1]),
            globals=None,
            n_node=np.array([num_nodes]),
            n_edge=np.array([num_edges]),
        )
        padded.append(index_graph(graph))
    return jax.tree.map(lambda *leaves: np.stack(leaves), *padded)


def changes_in_time(graph: IndexedGraph) -> bool:
    """Whether there is a graph for every step: `graphs_in_time`."""
    return graph.adjacency.senders.ndim == 2
