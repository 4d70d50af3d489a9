"""Molecules as sequences: their SMILES, and their atoms in depth-first order."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from seqgraph_jax.data.checks import DataError
from seqgraph_jax.data.files import read_rows
from seqgraph_jax.data.molecules import SOLUBILITY
from seqgraph_jax.data.origins import find_files
from seqgraph_jax.data.records import GraphData


class Sequences(NamedTuple):
    """R sequences of each of G graphs: symbols ``[G, R, T]``, or features with an F.

    What lies behind a length is 0. ``num_symbols`` is 0 for features.
    """

    values: np.ndarray
    lengths: np.ndarray  # [G]
    num_symbols: int = 0


def read_as(form: str, data: GraphData, num_orders: int) -> Sequences:
    """Graphs as ``"smiles"``, where they have them, or ``"dfs"``: `depth_first`.

    Raises `ValueError` for another word.
    """
    if form == "smiles":
        return as_symbols(load_smiles(data.name))
    if form != "dfs":
        raise ValueError(f"molecules are read as smiles or as dfs, not as {form!r}")
    return depth_first(data, num_orders)


def load_smiles(name: str = "esol") -> list[str]:
    """The SMILES of ESOL's molecules, in the order of its graphs.

    Raises `DataError` for other data, and if the table cannot be had.
    """
    from seqgraph_jax.data.datasets import SOURCES

    if name != "esol":
        raise DataError(f"{name} has no SMILES: of the data sets esol has them")
    [path] = find_files(name, SOURCES[name].raw)
    _, rows = read_rows(path, ("smiles", SOLUBILITY), None)
    return [row["smiles"].strip() for _, row in rows]


def as_symbols(texts: Sequence[str]) -> Sequences:
    """Texts as numbers of their characters, from 1 on; 0 is padding.

    >>> found = as_symbols(["CO", "C"])
    >>> found.values[:, 0].tolist(), found.lengths.tolist(), found.num_symbols
    ([[1, 2], [1, 0]], [2, 1], 3)
    """
    vocabulary = {c: k for k, c in enumerate(sorted(set("".join(texts))), start=1)}
    lengths = np.array([len(text) for text in texts], np.int32)
    values = np.zeros((len(texts), 1, lengths.max()), np.int32)
    for row, text in zip(values, texts, strict=True):
        row[0, : len(text)] = [vocabulary[c] for c in text]
    return Sequences(values, lengths, len(vocabulary) + 1)


def depth_first(data: GraphData, num_orders: int, seed: int = 0) -> Sequences:
    """Nodes of each graph in depth-first order, from roots that are drawn.

    The order of neighbours is drawn, too. A position has the features of its node, of
    the edge that it was reached by, the sum over edges that close a ring to earlier
    nodes; one over the number of positions back to the node it was reached from, 0 for
    a root; and how many rings it closes. So a sequence has all features of the graph,
    and of its rings all but where they begin.

    Shapes: F node features and D edge features give F + 2 D + 2.

    >>> from seqgraph_jax.data.synthetic import draw_molecules
    >>> found = depth_first(draw_molecules(classes=True), num_orders=2)
    >>> found.values.shape, found.lengths[:3].tolist()
    ((40, 2, 8, 9), [4, 4, 5])
    """
    rng = np.random.default_rng(seed)
    edges = data.edges
    if edges is None:
        edges = np.zeros((len(data.senders), 0), np.float32)
    width, F, D = int(data.n_node.max()), data.nodes.shape[1], edges.shape[1]
    values = np.zeros((data.num_graphs, num_orders, width, F + 2 * D + 2), np.float32)
    outgoing: list[list[int]] = [[] for _ in data.nodes]
    for e, sender in enumerate(data.senders):
        outgoing[sender].append(e)
    for g, (first, size) in enumerate(
        zip(data.n_node.cumsum() - data.n_node, data.n_node, strict=True)
    ):
        for r in range(num_orders):
            nodes = first + rng.permutation(size)
            order = _visit(nodes, outgoing, data.receivers, rng)
            place = {node: t for t, (node, _) in enumerate(order)}
            for t, (node, edge) in enumerate(order):
                row = values[g, r, t]
                row[:F] = data.nodes[node]
                parent = -1
                if edge >= 0:
                    parent = data.senders[edge]
                    row[F : F + D] = edges[edge]
                    row[-2] = 1 / (t - place[parent])
                for e in outgoing[node]:
                    other = data.receivers[e]
                    if place[other] < t and other != parent:
                        row[F + D : F + 2 * D] += edges[e]
                        row[-1] += 1
    return Sequences(values, data.n_node.astype(np.int32))


def _visit(
    nodes: np.ndarray,
    outgoing: list[list[int]],
    receivers: np.ndarray,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """Nodes in depth-first order, each with the edge that led there, -1 for a root."""
    seen: set[int] = set()
    order: list[tuple[int, int]] = []
    for root in nodes:
        stack = [(int(root), -1)]
        while stack:
            node, edge = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            order.append((node, edge))
            for e in rng.permutation(outgoing[node]):
                if int(receivers[int(e)]) not in seen:
                    stack.append((int(receivers[int(e)]), int(e)))
    return order
