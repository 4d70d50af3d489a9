"""Tables of what the gates of trained LSTMs do."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from seqgraph_jax.analysis.gates import NAMES
from seqgraph_jax.reports.tables import Table


def saturation_table(groups: Mapping[str, Mapping[str, Any]], caption: str) -> Table:
    """A row per gate of every group: means over its units, and their range over seeds.

    Groups hold shares ``[S, H]`` by gate; the last columns count units of all seeds.
    """
    header = ["gate", "left-saturated", "right-saturated", "neither"]
    header += ["units left ≥ 90 %", "units right ≥ 90 %"]
    rows = []
    for label, shares in groups.items():
        for gate, (left, right) in shares.items():
            sides = (side.mean(1) for side in (left, right, 1 - left - right))
            ends = [f"{(side >= 0.9).sum()} of {side.size}" for side in (left, right)]
            name = f"{label}{gate}: {NAMES[gate]}"
            rows.append([name, *map(_range, sides), *ends])
    return Table(header, rows, caption)


def _range(shares: np.ndarray) -> str:
    mean = f"{100 * shares.mean():.1f} %"
    if len(shares) == 1:
        return mean
    return f"{mean} ({100 * shares.min():.1f} to {100 * shares.max():.1f})"
