"""A graph in CSV tables: one of its edges, and one of its nodes."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqgraph_jax.data.checks import LARGEST, DataError, classes
from seqgraph_jax.data.records import NodeData, from_arrays


def from_csv(
    edges: str | Path,
    nodes: str | Path | None = None,
    *,
    undirected: bool = False,
    name: str | None = None,
) -> NodeData:
    """A checked graph from tables with a header (UTF-8, commas).

    ``edges`` has the columns source, target and perhaps weight, which counts as so many
    edges and is not below 0. ``nodes`` has id and
    perhaps label and split (train, val or test; either may be empty); other columns are
    features, and its order is that of the nodes. Without it the nodes are the ids in
    ``edges``, sorted. ``undirected`` adds the reverse of each edge that is not there.
    Raises `DataError` that names file, line and reason.
    """
    path = Path(edges)
    arrays: dict[str, Any] = {}
    header, rows = read_rows(path, ("source", "target"), ("weight",))
    if nodes is None:
        ids = classes([row[end] for _, row in rows for end in ("source", "target")])[1]
        index = {node: i for i, node in enumerate(ids)}
    else:
        index, arrays = _read_nodes(Path(nodes))
    line_of: dict[tuple[int, int], int] = {}
    for line, row in rows:
        for end in ("source", "target"):
            if row[end] not in index:
                where = f"{path}, line {line}: the {end} {row[end]!r}"
                raise DataError(f"{where} is not an id in {nodes}")
        pair = index[row["source"]], index[row["target"]]
        if pair in line_of:
            where = f"{path}, line {line}: the edge"
            raise DataError(f"{where} stands in line {line_of[pair]} already")
        line_of[pair] = line
    if "weight" in header:
        arrays["weights"] = [
            number_of(path, line, row, "weight", lowest=0.0) for line, row in rows
        ]
    return from_arrays(
        [sender for sender, _ in line_of],
        [receiver for _, receiver in line_of],
        **arrays,
        undirected=undirected,
        node_names=tuple(index),
        name=name or path.stem,
    )


def _read_nodes(path: Path) -> tuple[dict[str, int], dict[str, Any]]:
    """Row of each id, and the arrays of the nodes."""
    header, rows = read_rows(path, ("id",), None)
    index: dict[str, int] = {}
    for line, row in rows:
        if row["id"] in index:
            raise DataError(f"{path}, line {line}: the id {row['id']!r} stands twice")
        if row.get("split", "") not in ("", "train", "val", "test"):
            where = f"{path}, line {line}: the split {row['split']!r}"
            raise DataError(f"{where} is not train, val, test or empty")
        index[row["id"]] = len(index)
    arrays: dict[str, Any] = {}
    if "label" in header:
        labels = [row["label"] or None for _, row in rows]
        arrays["labels"], arrays["class_names"] = classes(labels)
    if "split" in header:
        for split in ("train", "val", "test"):
            arrays[f"{split}_mask"] = [row["split"] == split for _, row in rows]
    columns = [column for column in header if column not in ("id", "label", "split")]
    if columns:
        arrays["features"] = [
            [number_of(path, line, row, column) for column in columns]
            for line, row in rows
        ]
    return index, arrays


def read_rows(
    path: Path, required: Sequence[str], optional: Sequence[str] | None
) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Header, and number and cells of each line; ``optional`` None: any column."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, [c.strip() for c in r]) for r in reader if r]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV in UTF-8: {error}") from error
    if not rows:
        raise DataError(
            f"{path} is empty: it needs a header with {', '.join(required)}"
        )
    header = rows[0][1]
    for column in header:
        if re.fullmatch(r"(Unnamed: \d+)?", column):
            raise DataError(
                f"{path}, line {rows[0][0]}: column {column!r} has no name, as pandas "
                "writes its index: write the table with index=False, or name the column"
            )
    known = [*required, *(header if optional is None else optional)]
    for column in (*required, *header):
        if header.count(column) != 1 or column not in known:
            fault = "missing" if column not in header else "unknown"
            fault = "there twice" if header.count(column) > 1 else fault
            raise DataError(f"{path}, line {rows[0][0]}: column {column!r} is {fault}")
    for line, row in rows[1:]:
        if len(row) != len(header):
            wanted = f"{len(row)} cells instead of {len(header)}"
            raise DataError(f"{path}, line {line}: {wanted}")
        if "" in (row[header.index(column)] for column in required):
            raise DataError(f"{path}, line {line}: {' or '.join(required)} is empty")
    return header, [
        (line, dict(zip(header, row, strict=True))) for line, row in rows[1:]
    ]


def number_of(
    path: Path, line: int, row: dict[str, str], column: str, lowest: float = -LARGEST
) -> float:
    """The finite number in a cell, not below ``lowest``, else `DataError`."""
    try:
        value = float(row[column])
    except ValueError:
        value = float("nan")
    if lowest <= value <= LARGEST:  # NaN is not
        return value
    where = f"{path}, line {line}: {column}"
    what = "a finite number" + (", 0 or more" if lowest == 0 else "")
    raise DataError(f"{where} must be {what}, not {row[column]!r}")
