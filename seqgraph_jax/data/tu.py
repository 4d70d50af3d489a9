"""Folders in the TU format: many graphs in a few text files."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from seqgraph_jax.data.arrays import flat_graphs
from seqgraph_jax.data.checks import DataError, classes, repeated
from seqgraph_jax.data.records import GraphData


def tu_names(folder: Path) -> list[str]:
    """Names of the data sets in the TU format in a folder."""
    files = folder.glob("*_A.txt")
    return sorted(f.name[:-6] for f in files if not f.name.startswith("."))


def read_tu(folder: Path, name: str) -> GraphData:
    """Graphs from ``NAME_A.txt``, ``NAME_graph_indicator.txt`` and the files with them.

    A line of ``_A`` is an edge "from, to", numbered from 1. Labels of nodes and edges
    become one-hot columns, attributes stand after them, and nodes with neither have one
    column of ones. The target is the graph's label, else its attribute. Format: Morris
    et al., TUDataset, 2020. Raises `DataError` that names file and line.
    """
    files = {part: folder / f"{name}_{part}.txt" for part in TU_PARTS}
    tables = {
        part: _table(path, TU_PARTS[part])
        for part, path in files.items()
        if path.is_file()
    }
    found = [part for part in ("graph_labels", "graph_attributes") if part in tables]
    target = found[0] if found else "graph_labels"
    for part, columns in (("A", 2), ("graph_indicator", 1), (target, 1)):
        if part not in tables:
            raise DataError(f"{files[part]} is missing")
        if tables[part].shape[1] != columns:
            width = tables[part].shape[1]
            raise DataError(f"{files[part]} has {width} columns instead of {columns}")
    ends, graph_of, targets = (
        tables[part] for part in ("A", "graph_indicator", target)
    )
    _check_lines(files["graph_indicator"], "graph", graph_of, len(targets))
    _check_lines(files["A"], "node", ends, len(graph_of))
    _check_edges(files["A"], ends, graph_of[:, 0])
    labels, class_names = classes(targets[:, 0].tolist() if target[6] == "l" else [])
    nodes, feature_names = _columns(tables, "node", len(graph_of))
    if not feature_names:
        nodes, feature_names = np.ones((len(graph_of), 1)), ("constant",)
    edges, edge_names = _columns(tables, "edge", len(ends))
    order = np.argsort(graph_of[:, 0], kind="stable")  # graph after graph
    position = np.argsort(order)
    return flat_graphs(
        name,
        np.bincount(graph_of[:, 0] - 1, minlength=len(targets)),
        nodes[order],
        position[ends[:, 0] - 1],
        position[ends[:, 1] - 1],
        labels if class_names else targets[:, 0],
        edges=edges if edge_names else None,
        class_names=class_names,
        target_name="class" if class_names else "graph attribute",
        feature_names=feature_names,
    )


TU_PARTS: dict[str, type] = {
    "A": np.int64,
    "graph_indicator": np.int64,
    "graph_labels": np.int64,
    "graph_attributes": np.float32,
    "node_labels": np.int64,
    "node_attributes": np.float32,
    "edge_labels": np.int64,
    "edge_attributes": np.float32,
}


def _columns(
    tables: dict[str, np.ndarray], what: str, rows: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    """One-hot labels beside attributes, and what each column is."""
    nothing = np.zeros((rows, 0), np.float32)
    labels = tables.get(f"{what}_labels", nothing)
    attributes = tables.get(f"{what}_attributes", nothing)
    for part, table in (("labels", labels), ("attributes", attributes)):
        if len(table) != rows:
            raise DataError(f"{len(table)} lines of {what}_{part} for {rows} {what}s")
    uniques = [np.unique(column, return_inverse=True) for column in labels.T]
    hot = [np.eye(len(values), dtype=np.float32)[codes] for values, codes in uniques]
    names = [f"label {value}" for values, _ in uniques for value in values]
    names += [f"attribute {i + 1}" for i in range(attributes.shape[1])]
    return np.concatenate([*hot, attributes], axis=1), tuple(names)


def _table(path: Path, dtype: Any) -> np.ndarray:
    """Numbers of a text file ``[lines, columns]``, comma between columns."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of an empty file
            table = np.loadtxt(path, dtype, delimiter=",", comments=None, ndmin=2)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}, {_bad_line(path, dtype) or error}") from error
    if not table.size:
        return np.zeros((0, 2 if path.stem[-2:] == "_A" else 1), dtype)
    for row, column in np.argwhere(~np.isfinite(table))[:1]:
        value = f"{table[row, column]} is not a finite number"
        raise DataError(f"{path}, line {_line_of(path, row)}: {value}")
    return table


def _line_of(path: Path, row: int) -> int:
    """Line of the file that a row of its table stands in, from 1; some may be empty."""
    lines = path.read_text("utf-8", "replace").splitlines()
    return [number for number, line in enumerate(lines, 1) if line.strip()][row]


def _bad_line(path: Path, dtype: Any) -> str:
    width = None
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        try:
            numbers = [dtype(cell) for cell in line.split(",") if line.strip()]
        except ValueError:
            return f"line {number}: {line!r} is not {dtype.__name__} between commas"
        width = width or len(numbers)
        if numbers and len(numbers) != width:
            return f"line {number}: {line!r} has not {width} columns"
    return ""


def _check_lines(path: Path, what: str, table: np.ndarray, high: int) -> None:
    """Numbers from 1 to ``high``, or an error that names the line."""
    for row, column in np.argwhere((table < 1) | (table > high))[:1]:
        value = f"{what} {table[row, column]} is not in 1 to {high}"
        raise DataError(f"{path}, line {_line_of(path, row)}: {value}")


def _check_edges(path: Path, ends: np.ndarray, graph_of: np.ndarray) -> None:
    """Edges within a graph, none of them twice, or an error that names the line."""
    graphs = graph_of[ends - 1]
    for row in np.flatnonzero(graphs[:, 0] != graphs[:, 1])[:1]:
        edge, (one, other) = f"the edge {ends[row, 0]}, {ends[row, 1]}", graphs[row]
        where = f"{path}, line {_line_of(path, row)}"
        raise DataError(f"{where}: {edge} joins the graphs {one} and {other}")
    if pair := repeated(*ends.T):
        again, first = (_line_of(path, row) for row in pair)
        edge = f"the edge {ends[pair[0], 0]}, {ends[pair[0], 1]}"
        raise DataError(f"{path}, line {again}: {edge} stands in line {first} already")
