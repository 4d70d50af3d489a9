"""Drawings of graphs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.patches import FancyArrowPatch

from seqgraph_jax.reports.plots.style import own_style

#: Light to dark, as far apart for colour-blind readers and in grey.
COLOUR_MAP = "viridis_r"
NODE_SIZE = 560.0  # points squared
INK = "#1d2430"


@own_style
def draw_graph(
    axes: Axes,
    senders: Any,
    receivers: Any,
    positions: Any,
    names: Sequence[str],
    node_values: Any = None,
    edge_widths: Any = None,
    directed: bool = False,
    *,
    norm: Normalize | None = None,
    colour_map: str | Colormap = COLOUR_MAP,
    node_size: float = NODE_SIZE,
) -> Any:
    """Draw nodes with their names, and edges; returns what a colour bar is made of.

    ``node_values [N]`` are coloured by ``norm`` (default: from the lowest to the
    highest); a node whose value is NaN stays white with a dashed rim. ``edge_widths
    [E]`` are in points, and an edge without width is not drawn. Self-loops are left
    out. Undirected, a pair is one line, as wide as the wider of its two edges;
    ``directed``, every edge is an arrow, bent where there is one back.

    Shapes: ``senders``, ``receivers [E]``, ``positions [N, 2]``, ``names`` N.
    """
    positions = np.asarray(positions, float)
    widths = np.full(len(senders), 1.4) if edge_widths is None else edge_widths
    gap = np.sqrt(node_size) / 2
    _draw_edges(axes, senders, receivers, widths, positions, gap, directed)
    values = np.full(len(positions), np.nan)
    if node_values is not None:
        values = np.asarray(node_values, float)
    norm = norm or Normalize(*_range(values))
    known = np.isfinite(values)
    axes.scatter(
        positions[~known, 0],
        positions[~known, 1],
        s=node_size,
        facecolor="white",
        edgecolor=INK,
        linewidth=1.0,
        linestyle="--" if node_values is not None else "-",
        zorder=2,
    )
    points = axes.scatter(
        positions[known, 0],
        positions[known, 1],
        c=values[known],
        cmap=colour_map,
        norm=norm,
        s=node_size,
        edgecolor=INK,
        linewidth=1.0,
        zorder=2,
    )
    for (x, y), name, value in zip(positions, names, values, strict=True):
        dark = np.isfinite(value) and _is_dark(points.cmap(norm(value)))
        colour = "white" if dark else INK
        axes.annotate(
            name, (x, y), ha="center", va="center", color=colour, fontsize=9, zorder=3
        )
    low, high = positions.min(0), positions.max(0)
    room = 0.14 * max(*(high - low), 1e-9)
    axes.set_xlim(low[0] - room, high[0] + room)
    axes.set_ylim(low[1] - room, high[1] + room)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return points


def _draw_edges(
    axes: Axes,
    senders: Any,
    receivers: Any,
    widths: Any,
    positions: np.ndarray,
    gap: float,
    directed: bool,
) -> None:
    """Lines or arrows from node to node, which they leave out by ``gap`` points."""
    edges: dict[tuple[int, int], float] = {}
    pairs = np.stack([senders, receivers], axis=1).tolist()
    for (j, i), width in zip(pairs, widths, strict=True):
        pair = (j, i) if directed else (min(i, j), max(i, j))
        if i != j and width > 0:
            edges[pair] = max(float(width), edges.get(pair, 0.0))
    for (j, i), width in edges.items():
        bend = 0.18 if directed and (i, j) in edges else 0.0
        style = f"-|>,head_length={4 + width},head_width={2 + width / 2}"
        arrow = FancyArrowPatch(
            tuple(positions[j]),
            tuple(positions[i]),
            arrowstyle=style if directed else "-",
            mutation_scale=1,
            connectionstyle=f"arc3,rad={bend}",
            shrinkA=gap,
            shrinkB=gap + (1 if directed else 0),
            color="#7b8494",
            linewidth=width,
            zorder=1,
        )
        axes.add_patch(arrow)


def _range(values: np.ndarray) -> tuple[float, float]:
    found = values[np.isfinite(values)]
    return (found.min(), found.max()) if len(found) else (0.0, 1.0)


def _is_dark(colour: tuple[float, float, float, float]) -> bool:
    return float(np.dot(colour[:3], (0.299, 0.587, 0.114))) < 0.5
