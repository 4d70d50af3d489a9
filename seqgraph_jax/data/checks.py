"""What data must be: finite numbers in a range, arrays of a shape, edges but once."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

#: How Python, NumPy and pandas write a value that is not there.
_NOTHING = ("None", "nan", "NaT", "<NA>")

LARGEST = float(np.finfo(np.float32).max)


class DataError(ValueError):
    """Data that cannot be had or used; the message is one sentence for the user."""


def classes(values: Sequence[Any]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels ``[N]`` and names of classes, whole numbers first; no label gives -1.

    There is none where the value is None, or what NumPy and pandas put in its place.

    >>> codes, names = classes(["b", 10, None, 9, float("nan")])
    >>> codes.tolist(), names
    ([2, 1, -1, 0, -1], ('9', '10', 'b'))
    """

    def by_number(name: str) -> tuple[bool, int, str]:
        whole = re.fullmatch(r"-?[0-9]{1,18}", name) is not None
        return not whole, int(name) if whole else 0, name

    missing = [not isinstance(v, str) and str(v) in _NOTHING for v in values]
    found = {str(v) for v, none in zip(values, missing, strict=True) if not none}
    names = sorted(found, key=by_number)
    index = {name: i for i, name in enumerate(names)}
    codes = [-1 if m else index[str(v)] for v, m in zip(values, missing, strict=True)]
    return np.array(codes, np.int32), tuple(names)


def edge_order(senders: np.ndarray, receivers: np.ndarray) -> np.ndarray:
    """Order ``[E]`` by receiver, then sender; `DataError` for an edge that repeats."""
    if pair := repeated(senders, receivers):
        again, first = pair
        edge = f"edge {again} ({senders[again]} to {receivers[again]})"
        raise DataError(f"{edge} repeats edge {first}")
    return np.lexsort((senders, receivers))


def repeated(senders: np.ndarray, receivers: np.ndarray) -> tuple[int, int] | None:
    """The first edge that repeats another, and the one that it repeats, if any does.

    >>> repeated(np.array([3, 1, 3]), np.array([2, 2, 2]))
    (2, 0)
    """
    order = np.lexsort((senders, receivers))
    s, r = senders[order], receivers[order]
    same = np.flatnonzero((s[1:] == s[:-1]) & (r[1:] == r[:-1]))
    if not same.size:
        return None
    at = same[np.argmin(order[same + 1])]
    return int(order[at + 1]), int(order[at])


def as_array(name: str, values: Any, kinds: str, ndim: int = 1) -> np.ndarray:
    """An array of ``ndim`` axes whose dtype has one of ``kinds``, else `DataError`."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise DataError(f"{name} is not an array: {error}") from error
    if array.size == 0 and array.dtype == float:  # an empty list
        array = array.astype(bool if kinds == "b" else np.int32)
    if array.ndim != ndim or array.dtype.kind not in kinds:
        what = {"i": "whole numbers", "b": "booleans", "f": "numbers"}[kinds[0]]
        found = f"{array.dtype} of shape {array.shape}"
        raise DataError(f"{name} must be {ndim}-D {what}, not {found}")
    return array


def finite(name: str, values: Any, ndim: int) -> Any:
    """Finite float32 as an array or, from a sparse matrix, as a `csr_array`."""
    with np.errstate(over="ignore"):
        if sparse.issparse(values):
            array: Any = sparse.csr_array(values, dtype=np.float32, copy=True)
            array.sum_duplicates()
        else:
            array = as_array(name, values, "fiub", ndim).astype(np.float32)
    stored = array.data if sparse.issparse(array) else array
    bad = np.argwhere(~np.isfinite(stored))
    if len(bad):
        value, row = stored[tuple(bad[0])], bad[0][0]
        if sparse.issparse(array):
            row = np.searchsorted(array.indptr, row, side="right") - 1
        raise DataError(f"row {row} of {name}: {value} is not a finite number")
    return array


def check_range(row: str, what: str, values: np.ndarray, low: int, high: int) -> None:
    """Raises `DataError` for the first value that is not in ``low`` to ``high`` - 1."""
    bad = np.flatnonzero((values < low) | (values >= high))
    if bad.size:
        value = f"{what} {values[bad[0]]}"
        raise DataError(f"{row} {bad[0]}: {value} is not in {low} to {high - 1}")
