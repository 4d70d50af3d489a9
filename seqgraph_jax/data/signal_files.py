"""A user's series at the nodes of a graph: one file of values, and one of edges."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from seqgraph_jax.data.arrays import read_npz
from seqgraph_jax.data.checks import DataError
from seqgraph_jax.data.files import number_of, read_rows
from seqgraph_jax.data.signals import SignalData, from_signal

MINUTES_A_DAY = 1440
VALUES = ("signal.csv", "signal.npz", "signal.h5")


def read_signals(folder: Path, missing: float | None = None) -> SignalData:
    """The series in a folder: ``edges.csv`` and ``signal.csv``, ``.npz`` or ``.h5``.

    ``signal.csv`` has a column ``time`` (ISO 8601, equal steps, none left out) and one
    for every node; an empty cell is a value that is missing. ``signal.npz`` has the
    arrays ``signal [T, N]`` or ``[T, N, F]``, ``times [T]`` (datetime64) and perhaps
    ``node_names [N]``. ``signal.h5`` is a table as pandas writes it, columns for nodes
    (METR-LA and PEMS-BAY come so); it needs h5py. ``edges.csv`` has ``source``,
    ``target``, names of nodes, and perhaps ``weight``. ``missing`` is a value that
    stands for none. Raises `DataError` that names file, line and reason.
    """
    found = [folder / name for name in VALUES if (folder / name).is_file()]
    if len(found) != 1:
        raise DataError(
            f"{folder} must hold one of {', '.join(VALUES)}, and it holds "
            f"{len(found) or 'none'}"
        )
    readers = {".csv": _read_csv, ".npz": _read_npz, ".h5": _read_h5}
    signal, times, names = readers[found[0].suffix](found[0])
    edges = _read_edges(folder / "edges.csv", names, found[0])
    minutes = _step(found[0], times)
    season, season_name, start = season_of(minutes, times[0])
    try:
        return from_signal(
            signal,
            *edges,
            node_names=names,
            missing=missing,
            name=folder.resolve().name,
            step_minutes=minutes,
            season=season,
            season_name=season_name,
            start=start,
        )
    except DataError as error:
        raise DataError(f"{found[0]}: {error}") from error


def season_of(step_minutes: float, first: datetime) -> tuple[int, str, int]:
    """Steps of a season, its name, and the number of a first step in it.

    Steps below a day make a day, days a week, weeks a year; others nothing.

    >>> season_of(5.0, datetime(2012, 3, 1, 1, 0))
    (288, 'day', 12)
    >>> season_of(1440.0, datetime(2012, 3, 1))  # a Thursday
    (7, 'week', 3)
    """
    minute = 60 * first.hour + first.minute
    if step_minutes < MINUTES_A_DAY and MINUTES_A_DAY % step_minutes == 0:
        return round(MINUTES_A_DAY / step_minutes), "day", int(minute // step_minutes)
    if step_minutes == MINUTES_A_DAY:
        return 7, "week", first.weekday()
    if step_minutes == 7 * MINUTES_A_DAY:
        return 52, "year", (first.isocalendar().week - 1) % 52
    return 0, "", 0


def _step(path: Path, times: Sequence[datetime]) -> float:
    """Minutes of a step; `DataError` unless all are equal."""
    if len(times) < 2:
        raise DataError(f"{path} has fewer than two steps")
    first = times[1] - times[0]
    for row, (before, after) in enumerate(pairwise(times)):
        if after - before != first or first <= timedelta(0):
            csv = path.suffix == ".csv"
            where, there = ("line", row + 3) if csv else ("row", row + 1)
            raise DataError(
                f"{path}, {where} {there}: {after} comes {after - before} after "
                f"{where} {there - 1}, where a step is {first}: steps are equal, and "
                "one without values has an empty cell for each"
            )
    return first / timedelta(minutes=1)


Values = tuple[Any, list[datetime], tuple[str, ...]]


def _read_csv(path: Path) -> Values:
    header, rows = read_rows(path, ("time",), None)
    names = tuple(column for column in header if column != "time")
    times = []
    for line, row in rows:
        try:
            time = datetime.fromisoformat(row["time"])
        except ValueError as error:
            raise DataError(
                f"{path}, line {line}: the time {row['time']!r} is not written as in "
                "2012-03-01 00:05"
            ) from error
        times.append(time.replace(tzinfo=None))
    nothing = float("nan")
    signal = [
        [number_of(path, line, row, n) if row[n] else nothing for n in names]
        for line, row in rows
    ]
    return np.array(signal, np.float32).reshape(len(rows), len(names)), times, names


def _read_npz(path: Path) -> Values:
    arrays = read_npz(path)
    for name in ("signal", "times"):
        if name not in arrays:
            raise DataError(f"{path} has no array {name!r}")
    signal, times = arrays["signal"], arrays["times"]
    if times.dtype.kind != "M" or signal.ndim < 2 or times.shape != signal.shape[:1]:
        raise DataError(
            f"{path}: times must be datetime64 of {len(signal)} steps, not "
            f"{times.dtype} of shape {list(times.shape)}"
        )
    names = arrays.get("node_names", np.arange(signal.shape[1]))
    return signal, _datetimes(times), tuple(map(str, names.tolist()))


def _read_h5(path: Path) -> Values:
    try:
        import h5py
    except ImportError as error:
        raise DataError(f"{path} needs h5py: pip install h5py") from error
    try:
        with h5py.File(path) as file:
            groups = [g for g in file.values() if "block0_values" in g]
            (group,) = groups
            if "block1_values" in group:
                raise DataError(f"{path}: all columns must hold numbers of one kind")
            columns, times = (group[axis][()] for axis in ("axis0", "axis1"))
            signal = group["block0_values"][()]
    except (OSError, KeyError, ValueError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path} is not one table as pandas writes it with to_hdf: {error}"
        ) from error
    names = tuple(n.decode() if isinstance(n, bytes) else str(n) for n in columns)
    return signal, _datetimes(times.astype("datetime64[ns]")), names


def _datetimes(times: np.ndarray) -> list[datetime]:
    return list(times.astype("datetime64[us]").tolist())


def _read_edges(path: Path, names: Sequence[str], values: Path) -> tuple[Any, ...]:
    """Senders, receivers and weights, as numbers of the nodes."""
    header, rows = read_rows(path, ("source", "target"), ("weight",))
    index = {name: i for i, name in enumerate(names)}
    line_of: dict[tuple[str, ...], int] = {}
    for line, row in rows:
        pair = row["source"], row["target"]
        for end, node in zip(("source", "target"), pair, strict=True):
            if node not in index:
                where = f"{path}, line {line}: the {end} {node!r}"
                raise DataError(f"{where} is no node of {values}")
        if pair in line_of:
            where = f"{path}, line {line}: the edge"
            raise DataError(f"{where} stands in line {line_of[pair]} already")
        line_of[pair] = line
    weights = None
    if "weight" in header:
        weights = [number_of(path, line, row, "weight", 0.0) for line, row in rows]
    senders, receivers = ([index[pair[end]] for pair in line_of] for end in (0, 1))
    return senders, receivers, weights
