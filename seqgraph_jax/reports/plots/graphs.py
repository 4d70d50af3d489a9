"""Drawings of graphs, and pictures of what travels and what fades on them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from seqgraph_jax.reports.plots.curves import COLOURS, MARKERS, plot_log_seeds

#: Light to dark, as far apart for colour-blind readers and in grey.
COLOUR_MAP = "viridis_r"
NODE_SIZE = 560.0  # points squared
_INK = "#1d2430"


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
    senders, receivers = np.asarray(senders), np.asarray(receivers)
    positions = np.asarray(positions, float)
    widths = np.full(len(senders), 1.4) if edge_widths is None else edge_widths
    edges: dict[tuple[int, int], float] = {}
    for j, i, width in zip(senders.tolist(), receivers.tolist(), widths, strict=True):
        pair = (j, i) if directed else (min(i, j), max(i, j))
        if i != j and width > 0:
            edges[pair] = max(float(width), edges.get(pair, 0.0))
    radius = np.sqrt(node_size) / 2
    for (j, i), width in edges.items():
        bend = 0.18 if directed and (i, j) in edges else 0.0
        style = f"-|>,head_length={4 + width},head_width={2 + width / 2}"
        arrow = FancyArrowPatch(
            tuple(positions[j]),
            tuple(positions[i]),
            arrowstyle=style if directed else "-",
            mutation_scale=1,
            connectionstyle=f"arc3,rad={bend}",
            shrinkA=radius,
            shrinkB=radius + (1 if directed else 0),
            color="#7b8494",
            linewidth=width,
            zorder=1,
        )
        axes.add_patch(arrow)
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
        edgecolor=_INK,
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
        edgecolor=_INK,
        linewidth=1.0,
        zorder=2,
    )
    for (x, y), name, value in zip(positions, names, values, strict=True):
        dark = np.isfinite(value) and _is_dark(points.cmap(norm(value)))
        colour = "white" if dark else _INK
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


def _range(values: np.ndarray) -> tuple[float, float]:
    found = values[np.isfinite(values)]
    return (found.min(), found.max()) if len(found) else (0.0, 1.0)


def _is_dark(colour: tuple[float, float, float, float]) -> bool:
    return float(np.dot(colour[:3], (0.299, 0.587, 0.114))) < 0.5


def plot_signal(
    graph: Any,
    positions: np.ndarray,
    names: Sequence[str],
    shares: np.ndarray,
    source: int,
) -> Figure:
    """A drawing per depth, nodes coloured by their share of a source's influence.

    ``shares [K + 1, N]`` are from 0 to 1 and add up to 1 at each depth; a node that
    nothing has reached stays white.
    """
    columns = 3
    rows = -(-len(shares) // columns)
    figure = Figure(figsize=(4.3 * columns, 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    percent = 100 * np.where(shares > 0, shares, np.nan)
    lowest = 10.0 ** np.floor(np.log10(np.nanmin(percent)))
    norm = LogNorm(lowest, 100)
    for k, axes in enumerate(grid):
        axes.set_visible(k < len(shares))
        if k < len(shares):
            labels = [
                f"{name}\n{_share(value)}"
                for name, value in zip(names, percent[k], strict=True)
            ]
            edges = graph.senders, graph.receivers
            points = draw_graph(
                axes, *edges, positions, labels, percent[k], norm=norm, node_size=1150
            )
            axes.set_title(f"after {k} update{'' if k == 1 else 's'}", fontsize=11)
    label = f"dependence on {names[source]}'s input\n(% of its sum over the nodes)"
    bar = figure.colorbar(points, ax=list(grid), label=label, shrink=0.9)
    ticks = 10.0 ** np.arange(np.log10(lowest), 2.5)
    bar.set_ticks(ticks.tolist(), labels=[f"{t:g}" for t in ticks])
    bar.minorticks_off()
    return figure


def _share(percent: float) -> str:
    if not np.isfinite(percent):
        return "0"
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %"


def plot_separation(
    axes: Axes,
    arms: Mapping[str, np.ndarray],
    label: str,
    lowest: float,
    bounds: tuple[float, float] = (0.1, 1.0),
) -> None:
    """Every seed's value ``[S]`` as a point, an arm a row, on a log scale with a 0.

    Values below ``lowest`` are drawn in the column of 0, and counted at the right; the
    diamond is the median. The scale holds ``bounds`` at least.
    """
    found = np.concatenate(list(arms.values()))
    found = found[found >= lowest]
    first = np.floor(np.log10(found.min(initial=bounds[0])))
    last = np.log10(found.max(initial=bounds[1])) + 0.15
    unit = 0.06 * (last - first)  # decades
    zero = first - 2.5 * unit
    rng = np.random.default_rng(0)
    for a, values in enumerate(arms.values()):
        above = values >= lowest
        # Zeros would lie on one another: spread them sideways as well.
        spread = rng.uniform(-unit, unit, len(values))
        shown = np.where(above, np.log10(np.where(above, values, 1)), zero + spread)
        height = a + rng.permutation(np.linspace(-0.3, 0.3, len(values)))
        colour = COLOURS[a % len(COLOURS)]
        axes.scatter(shown, height, s=13, color=colour, alpha=0.55, lw=0)
        middle = float(np.median(np.where(above, shown, zero)))
        axes.scatter(
            middle, a, s=55, color="white", edgecolor=_INK, marker="D", zorder=3
        )
        axes.annotate(
            f"{(~above).sum()} of {len(values)} at 0",
            (1.01, a),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize="small",
            color="#5b6472",
            annotation_clip=False,
        )
    axes.axvline(first - unit, color="#888888", ls=":", lw=1)
    axes.set_xlim(zero - 1.6 * unit, last)
    ticks = np.arange(first, last)
    ticks = ticks[:: -(-len(ticks) // 5)]
    axes.set_xticks([zero, *ticks], ["0", *(f"{10.0**t:g}" for t in ticks)])
    axes.set_yticks(range(len(arms)), list(arms))
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.set_xlabel(label)
    axes.grid(alpha=0.25, axis="x")
    axes.spines[["top", "right"]].set_visible(False)


def plot_smoothing(
    panels: Mapping[str, Mapping[str, np.ndarray]], rates: Mapping[str, float]
) -> Figure:
    """Relative distances ``[S, K + 1]`` against depth 0 to K, a panel for each graph.

    Seeds are thin, their geometric mean is thick and has its 95 % band. ``rates``
    holds by graph the factor per layer of the dotted line, which starts where the
    first arm does.
    """
    figure = Figure(figsize=(6.1 * len(panels), 4.8), layout="constrained")
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (name, arms) in zip(grid, panels.items(), strict=True):
        for a, (arm, curves) in enumerate(arms.items()):
            depth, colour = np.arange(curves.shape[1]), COLOURS[a % len(COLOURS)]
            plot_log_seeds(
                axes,
                depth,
                curves,
                colour,
                arm,
                marker=MARKERS[a % len(MARKERS)],
                markersize=5,
                markevery=(a, len(arms)),
            )
        first = np.nanmean(next(iter(arms.values()))[:, 0])
        line, label = first * rates[name] ** depth, f"λ^depth, λ = {rates[name]:.3f}"
        axes.plot(depth, line, color=_INK, ls=":", lw=1.8, label=label)
        axes.set_title(name)
        axes.set_xlabel("depth (layers)")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(
            loc="lower left",
            frameon=False,
            fontsize="small",
            title=f"geometric mean of {len(curves)} seeds",
            title_fontsize="small",
        )
    grid[0].set_ylabel("distance to smooth features (share of their norm)")
    return figure
