"""Arrays that are kept of a data set, and graphs laid end to end in them."""

import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from seqgraph_jax.data.checks import DataError, check_range, edge_order, finite
from seqgraph_jax.data.records import GraphData


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz``, none of them pickled; `DataError` if it is damaged."""
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is not a ZIP file")
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except Exception as error:  # a damaged ZIP file can raise nearly anything
        raise DataError(f"{path} cannot be read as .npz: {error}") from error


def write_npz(path: Path, arrays: dict[str, Any]) -> None:
    """Keep arrays; another reader sees the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        np.savez_compressed(file, **arrays)
    os.replace(file.name, path)


def flat_graphs(
    name: str,
    n_node: np.ndarray,
    nodes: np.ndarray,
    senders: np.ndarray,
    receivers: np.ndarray,
    targets: np.ndarray,
    *,
    edges: np.ndarray | None = None,
    **others: Any,
) -> GraphData:
    """Many graphs from flat arrays: checked, their edges sorted and counted.

    Senders and receivers number the rows of ``nodes`` (axes as in `GraphData`). Raises
    `DataError` where the arrays do not fit, and for an edge between two graphs.
    """
    n_node = np.asarray(n_node, np.int32)
    if len(nodes) != n_node.sum() or len(targets) != len(n_node):
        raise DataError(
            f"{name}: {len(nodes)} rows of nodes and {len(targets)} targets for "
            f"{len(n_node)} graphs of {n_node.sum()} nodes"
        )
    if not len(senders) == len(receivers) == len(senders if edges is None else edges):
        raise DataError(f"{name}: senders, receivers and edges differ in length")
    check_range("edge", "sender", senders, 0, len(nodes))
    check_range("edge", "receiver", receivers, 0, len(nodes))
    graph_of = np.repeat(np.arange(len(n_node)), n_node)
    across = np.flatnonzero(graph_of[senders] != graph_of[receivers])
    if across.size:
        raise DataError(f"{name}: edge {across[0]} joins two graphs")
    order = edge_order(senders, receivers)
    counts = np.bincount(graph_of[senders], minlength=len(n_node))
    return GraphData(
        name,
        n_node,
        counts.astype(np.int32),
        finite("nodes", nodes, 2),
        np.asarray(senders, np.int32)[order],
        np.asarray(receivers, np.int32)[order],
        None if edges is None else finite("edges", edges, 2)[order],
        finite("targets", targets, 1) if targets.dtype.kind == "f" else targets,
        **others,
    )
