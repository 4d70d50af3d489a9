"""Graphs as records of NumPy arrays on the host, checked where they are made.

An edge runs from a sender to a receiver; an undirected edge stands in both directions.
Edges are sorted by receiver, then sender, and no edge stands twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from seqgraph_jax.data.checks import (
    LARGEST,
    DataError,
    as_array,
    check_range,
    classes,
    edge_order,
    finite,
)

if TYPE_CHECKING:
    import jraph
    import networkx


@dataclass(frozen=True, eq=False)
class NodeData:
    """One graph whose nodes have labels: NumPy arrays on the host."""

    name: str
    senders: np.ndarray  # [E] int32
    receivers: np.ndarray  # [E] int32
    labels: np.ndarray  # [N] int32, -1 for none
    class_names: tuple[str, ...]
    features: np.ndarray | sparse.csr_array | None = None  # [N, F] float32
    weights: np.ndarray | None = None  # [E] float32
    train_mask: np.ndarray | None = None  # [N] bool: the official split, or None
    val_mask: np.ndarray | None = None
    test_mask: np.ndarray | None = None
    node_names: tuple[str, ...] = ()  # () or N

    num_nodes = property(lambda self: len(self.labels))
    num_edges = property(lambda self: len(self.senders))
    one_way = property(lambda self: _one_way(self.senders, self.receivers))
    num_features = property(lambda s: 0 if s.features is None else s.features.shape[1])
    num_classes = property(lambda self: len(self.class_names))

    def graph(self) -> "jraph.GraphsTuple":
        """As jraph's record: features (dense) as nodes, weights as edges."""
        import jraph

        nodes: Any = self.features
        return jraph.GraphsTuple(
            nodes=nodes.toarray() if sparse.issparse(nodes) else nodes,
            edges=self.weights,
            senders=self.senders,
            receivers=self.receivers,
            globals=None,
            n_node=np.array([self.num_nodes], np.int32),
            n_edge=np.array([self.num_edges], np.int32),
        )


@dataclass(frozen=True, eq=False)
class GraphData:
    """Many graphs with one target each, one after the other in flat arrays."""

    name: str
    n_node: np.ndarray  # [G] int32
    n_edge: np.ndarray  # [G] int32
    nodes: np.ndarray  # [sum of n_node, F] float32
    senders: np.ndarray  # [sum of n_edge] int32, rows of nodes
    receivers: np.ndarray  # [sum of n_edge] int32, rows of nodes
    edges: np.ndarray | None  # [sum of n_edge, D] float32
    targets: np.ndarray  # [G] int32 classes, or float32
    class_names: tuple[str, ...] = ()  # () for regression
    target_name: str = ""  # with its unit
    feature_names: tuple[str, ...] = ()  # of the F columns
    folds: np.ndarray | None = None  # [G] int32
    scaffolds: np.ndarray | None = None  # [G] int32

    one_way = property(lambda self: _one_way(self.senders, self.receivers))
    num_graphs = property(lambda self: len(self.n_node))
    num_classes = property(lambda self: len(self.class_names))

    def graph(self, i: int) -> "jraph.GraphsTuple":
        """Graph ``i`` alone, its nodes numbered from 0."""
        import jraph

        if not 0 <= i < self.num_graphs:
            raise IndexError(f"graph {i} is not one of 0 to {self.num_graphs - 1}")
        node, edge = self.n_node[:i].sum(), self.n_edge[:i].sum()
        nodes = slice(node, node + self.n_node[i])
        edges = slice(edge, edge + self.n_edge[i])
        return jraph.GraphsTuple(
            nodes=self.nodes[nodes],
            edges=None if self.edges is None else self.edges[edges],
            senders=self.senders[edges] - np.int32(node),
            receivers=self.receivers[edges] - np.int32(node),
            globals=None,
            n_node=self.n_node[i : i + 1],
            n_edge=self.n_edge[i : i + 1],
        )


def _one_way(senders: np.ndarray, receivers: np.ndarray) -> bool:
    """Whether there are edges between nodes, and none has its opposite."""
    between = senders != receivers
    pairs = np.stack([senders, receivers])[:, between]
    both = np.unique(np.concatenate([pairs, pairs[::-1]], axis=1), axis=1)
    return 0 < 2 * int(between.sum()) == both.shape[1]


def from_arrays(
    senders: Any,
    receivers: Any,
    features: Any = None,
    labels: Any = None,
    weights: Any = None,
    *,
    num_nodes: int | None = None,
    undirected: bool = False,
    train_mask: Any = None,
    val_mask: Any = None,
    test_mask: Any = None,
    class_names: Sequence[str] = (),
    node_names: Sequence[str] = (),
    name: str = "graph",
) -> NodeData:
    """A checked graph from lists or arrays; ``undirected`` adds the reverses not there.

    Features are dense or a SciPy sparse matrix, labels 0 to C - 1 or -1 for none.
    The number of nodes is that of the rows, else one more than the largest in an edge.
    Of the masks there are all or none. Weights count as so many edges: none is below 0.
    Raises `DataError` that names the first row that is wrong.

    >>> data = from_arrays([0, 2], [1, 1], labels=[0, 1, -1], undirected=True)
    >>> data.senders.tolist(), data.receivers.tolist(), data.class_names
    ([1, 0, 2, 1], [0, 1, 1, 2], ('0', '1'))
    """
    masks = {"train_mask": train_mask, "val_mask": val_mask, "test_mask": test_mask}
    given = {"labels": labels, **masks}
    rows: dict[str, Any] = {
        key: as_array(key, row, "iu" if key == "labels" else "b")
        for key, row in given.items()
        if row is not None
    }
    if features is not None:
        rows["features"] = finite("features", features, 2)
    ends = [as_array("senders", senders, "iu"), as_array("receivers", receivers, "iu")]
    counts = {key: row.shape[0] for key, row in rows.items()}
    if node_names:
        counts["node_names"] = len(node_names)
    if num_nodes is None:
        largest = max((int(end.max()) for end in ends if end.size), default=-1)
        num_nodes = next(iter(counts.values()), largest + 1)
        if not counts and num_nodes > 1000 + 10 * len(np.unique(np.concatenate(ends))):
            raise DataError(
                f"the largest node in an edge is {largest}, and most below it are in "
                "none: number the nodes from 0 on, or say num_nodes"
            )
    for key, count in counts.items():
        if count != num_nodes:
            raise DataError(f"{key} has {count} rows for {num_nodes} nodes: one each")
    missing = [key for key in masks if key not in rows]
    if 0 < len(missing) < 3:
        raise DataError(f"there is no {missing[0]}: the three masks go together")
    if num_nodes < 1:
        raise DataError(f"a graph needs at least one node, not {num_nodes}")
    labels = np.full(num_nodes, -1) if labels is None else rows["labels"]
    names = class_names or range(max(0, int(labels.max()) + 1))
    check_range("node", "label", labels, -1, len(names))
    rows["labels"] = labels.astype(np.int32)
    rows |= {"class_names": tuple(map(str, names)), "node_names": tuple(node_names)}
    return NodeData(name, **_edges(ends, weights, num_nodes, undirected), **rows)


def _edges(
    pair: list[np.ndarray], weights: Any, num_nodes: int, undirected: bool
) -> dict[str, Any]:
    weights = None if weights is None else finite("weights", weights, 1)
    for what, row in (("receivers", pair[1]), ("weights", weights)):
        if row is not None and len(row) != len(pair[0]):
            raise DataError(f"{len(row)} {what} for {len(pair[0])} senders: one each")
    if weights is not None and (weights < 0).any():
        row = int(np.argmax(weights < 0))
        raise DataError(f"edge {row}: the weight {weights[row]:g} is below 0")
    check_range("edge", "sender", pair[0], 0, num_nodes)
    check_range("edge", "receiver", pair[1], 0, num_nodes)
    ends = np.stack(pair).astype(np.int64)
    order = edge_order(*ends)
    if undirected:
        codes, reverses = ends[0] * num_nodes + ends[1], ends[1] * num_nodes + ends[0]
        added = np.flatnonzero(~np.isin(reverses, codes))
        ends = np.concatenate([ends, ends[::-1, added]], axis=1)
        weights = None if weights is None else np.append(weights, weights[added])
        order = edge_order(*ends)
    ends = ends[:, order].astype(np.int32)
    weights = None if weights is None else weights[order]
    return {"senders": ends[0], "receivers": ends[1], "weights": weights}


def both_ways(data: NodeData) -> NodeData:
    """The graph with the reverse of each edge, where it is not there yet."""
    ends = [data.senders, data.receivers]
    return replace(data, **_edges(ends, data.weights, data.num_nodes, True))


def from_networkx(
    graph: "networkx.Graph",
    label: str | None = "label",
    features: Sequence[str] | None = None,
    weight: str | None = None,
    *,
    name: str = "graph",
) -> NodeData:
    """A checked graph from a NetworkX ``Graph`` or ``DiGraph``, nodes in its order.

    ``label``, ``features`` and ``weight`` name attributes; a node without a label gets
    -1, and features are numbers. Raises `DataError` that names the node or edge.

    >>> import networkx
    >>> data = from_networkx(networkx.path_graph(["a", "b", "c"]), label=None)
    >>> data.senders.tolist(), data.receivers.tolist(), data.node_names
    ([1, 0, 2, 1], [0, 1, 1, 2], ('a', 'b', 'c'))
    """
    if graph.is_multigraph():
        raise DataError("a MultiGraph has parallel edges: make it a Graph or a DiGraph")
    nodes, edges = list(graph.nodes.data()), list(graph.edges.data())
    index = {node: i for i, (node, _) in enumerate(nodes)}
    labels = [row.get(label) for _, row in nodes]
    if label is not None and all(value is None for value in labels):
        raise DataError(f"no node has the attribute {label!r}: use label=None for none")
    codes, class_names = classes(labels)
    keys = features or ()
    table = [[_attribute(f"node {n!r}", row, key) for key in keys] for n, row in nodes]
    return from_arrays(
        [index[sender] for sender, _, _ in edges],
        [index[receiver] for _, receiver, _ in edges],
        np.array(table, np.float32) if features else None,
        codes,
        weight and [_attribute(f"edge {s!r} to {r!r}", d, weight) for s, r, d in edges],
        undirected=not graph.is_directed(),
        class_names=class_names,
        node_names=tuple(map(str, index)),
        name=name,
    )


def _attribute(owner: str, attributes: dict[Any, Any], key: str) -> float:
    value: Any = attributes.get(key)
    real = isinstance(value, int | float | np.integer | np.floating)
    if real and abs(value) <= LARGEST:  # NaN is not
        return float(value)
    raise DataError(f"{owner}: {key!r} must be a finite number, not {value!r}")
