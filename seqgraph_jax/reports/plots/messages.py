"""Pictures of messages on graphs: what travels, what is told apart, what fades."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure

from seqgraph_jax.reports.plots.curves import COLOURS, MARKERS, plot_log_seeds
from seqgraph_jax.reports.plots.graphs import INK, draw_graph
from seqgraph_jax.reports.plots.style import drawn, own_style
from seqgraph_jax.training.metrics import counted


@own_style
def plot_signal(
    graph: Any,
    positions: np.ndarray,
    names: Sequence[str],
    influences: np.ndarray,
    source: int,
) -> Figure:
    """A drawing per depth, nodes coloured by their share of a source's influence.

    ``influences [S, K + 1, N]`` are those of the source; shares are means over seeds. A
    node that nothing has reached stays white.
    """
    shares = (influences / influences.sum(-1, keepdims=True)).mean(0)
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


@own_style
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
            middle, a, s=55, color="white", edgecolor=INK, marker="D", zorder=3
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
    axes.set_yticks(range(len(arms)), [drawn(arm) for arm in arms])
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.set_xlabel(label)
    axes.grid(alpha=0.25, axis="x")
    axes.spines[["top", "right"]].set_visible(False)


@own_style
def plot_twins(
    graph: Any,
    positions: np.ndarray,
    names: Sequence[str],
    twins: Sequence[int],
    separations: Mapping[str, Mapping[str, np.ndarray]],
    panels: Sequence[tuple[str, int]],
    lowest: float,
) -> Figure:
    """The graph with two closed twins coloured, and panels of `plot_separation`.

    ``separations`` are by features and arm, ``[S, K]``; a panel shows those of some
    features after 1 to K layers.
    """
    rows = -(-(1 + len(panels)) // 2)
    figure = Figure(figsize=(13, 4.2 * rows), layout="constrained")
    drawing, *grid = figure.subplots(rows, 2).ravel()
    marked = np.isin(np.arange(len(names)), twins).astype(float)
    colours = ListedColormap(["white", COLOURS[5]])
    edges = graph.senders, graph.receivers
    draw_graph(drawing, *edges, positions, names, marked, colour_map=colours)
    around = np.unique(graph.senders[np.isin(graph.receivers, twins)])
    others = " and ".join(names[i] for i in around if i not in twins)
    u, v = (names[i] for i in twins)
    drawing.set_title(f"{u} and {v}: neighbours of each other, and of {others}")
    label = f"|h_{u} - h_{v}| over the mean of both norms"
    for axes, (features, k) in zip(grid, panels, strict=False):
        arms = {arm: values[:, k - 1] for arm, values in separations[features].items()}
        plot_separation(axes, arms, label, lowest, bounds=(1e-3, 1.0))
        axes.set_title(f"{features}, {k} layer{'s' if k > 1 else ''}")
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    return figure


@own_style
def plot_smoothing(smoothing: Mapping[str, Any]) -> Figure:
    """Relative distances ``[S, K + 1]`` against depth 0 to K, a panel for each graph.

    ``smoothing`` holds by graph what `analysis.smoothing.measure_smoothing` found.
    Seeds are thin, their geometric mean is thick and has its 95 % band. The dotted line
    falls by the graph's rate, from where the first arm starts.
    """
    figure = Figure(figsize=(6.1 * len(smoothing), 4.8), layout="constrained")
    grid = figure.subplots(1, len(smoothing), sharey=True, squeeze=False)[0]
    for axes, (name, found) in zip(grid, smoothing.items(), strict=True):
        arms, rate = found.distances, found.rate
        for a, (arm, curves) in enumerate(arms.items()):
            depth, colour = np.arange(curves.shape[1]), COLOURS[a % len(COLOURS)]
            plot_log_seeds(
                axes,
                depth,
                curves,
                colour,
                drawn(arm),
                marker=MARKERS[a % len(MARKERS)],
                markersize=5,
                markevery=(a, len(arms)),
            )
        first = np.nanmean(next(iter(arms.values()))[:, 0])
        line, label = first * rate**depth, f"λ^depth, λ = {rate:.3f}"
        axes.plot(depth, line, color=INK, ls=":", lw=1.8, label=label)
        axes.set_title(drawn(name))
        axes.set_xlabel("depth (layers)")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(
            loc="lower left",
            frameon=False,
            fontsize="small",
            title=f"geometric mean of {counted(len(curves), 'seed')}",
            title_fontsize="small",
        )
    grid[0].set_ylabel("distance to smooth features (share of their norm)")
    return figure
