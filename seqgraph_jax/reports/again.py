"""Two records of results.json, of a run and of the same run made again."""

from collections.abc import Mapping
from typing import Any

import numpy as np

Record = Mapping[str, Any]
BIT, ROUNDING, INTERVAL, OTHER, GONE = (
    *("equal to the bit", "equal but for rounding", "within the interval", "different"),
    "not there",
)


def agreement(before: Record, after: Record) -> dict[tuple[str, str], str]:
    """How much each arm's values of each metric agree, by arm and metric.

    Equal to the bit; equal but for rounding, 1e-5 of the values; within the interval:
    the new mean lies in the 95 % interval of the old one; or different. What is in one
    of the records alone is not there.

    >>> metric = {"per_seed": [1.0, 2.0], "mean": 1.5, "ci95": [1.0, 2.0]}
    >>> other = {**metric, "per_seed": [1.0, 2.2], "mean": 1.6}
    >>> before = {"arms": {"a": {"metrics": {"loss": metric}}}}
    >>> agreement(before, {"arms": {"a": {"metrics": {"loss": other}}}})
    {('a', 'loss'): 'within the interval'}
    """
    values = [
        {
            (arm, name): metric
            for arm, of in record["arms"].items()
            for name, metric in of["metrics"].items()
        }
        for record in (before, after)
    ]
    keys = dict.fromkeys(key for found in values for key in found)
    return {key: _how(*(found.get(key) for found in values)) for key in keys}


def _how(old: Record | None, new: Record | None) -> str:
    if old is None or new is None:
        return GONE
    a, b = (np.array(metric["per_seed"], float) for metric in (old, new))
    if a.shape != b.shape:
        return OTHER
    if np.array_equal(a, b, equal_nan=True):
        return BIT
    if np.allclose(a, b, rtol=1e-5, atol=1e-12, equal_nan=True):
        return ROUNDING
    low, high = np.array(old["ci95"], float)
    return INTERVAL if low <= np.float64(new["mean"]) <= high else OTHER


def claims(record: Record) -> dict[tuple[str, str, str], int]:
    """What each comparison claims of metric, a and b: a lower -1, higher 1, nothing 0.

    >>> pair = {"metric": "loss", "a": "x", "b": "y"}
    >>> claims({"comparisons": [{**pair, "claim": -1}]})
    {('loss', 'x', 'y'): -1}
    """
    return {
        (pair["metric"], pair["a"], pair["b"]): pair["claim"]
        for pair in record["comparisons"]
    }


def surroundings(before: Record, after: Record) -> dict[str, tuple[Any, Any]]:
    """What differs in the environments of two records: versions, device, layout."""
    old, new = before["environment"], after["environment"]
    names = dict.fromkeys((*old, *new))
    pairs = {name: (old.get(name), new.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
