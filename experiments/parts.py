"""Runs that are parts of a seed, such as its folds or its delays."""

from collections.abc import Iterator, Sequence
from typing import Any

import seqgraph_jax as sg
from experiments.cli import UsageError
from seqgraph_jax.reports import results


def number_runs(seeds: Sequence[int], num_parts: int) -> tuple[int, ...]:
    """A seed for each run: that of part k is the seed times their number plus k.

    Raises `UsageError` for a seed that is too large for that.
    """
    if max(seeds) * num_parts + num_parts > 2**32:
        raise UsageError(f"seed {max(seeds)} is too large for {num_parts} parts of it")
    return tuple(seed * num_parts + k for seed in seeds for k in range(num_parts))


def metric_rows(
    arm: str, run: sg.Run, since: int = 0, *, name: str, parts: Sequence[Any]
) -> Iterator[dict[str, Any]]:
    """Rows of metrics.jsonl with the seed and, as ``name``, its part."""
    for row in results.metric_rows(arm, run, since):
        seed, k = divmod(row["seed"], len(parts))
        named = {"arm": arm, "seed": seed, name: parts[k]}
        yield {**named, **{key: v for key, v in row.items() if key not in named}}
