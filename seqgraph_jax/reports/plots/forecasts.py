"""Pictures of forecasts at the nodes of a graph."""

from collections.abc import Mapping, Sequence

import networkx
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from seqgraph_jax.reports.plots.curves import COLOURS, MARKERS, finish_axes
from seqgraph_jax.reports.plots.style import drawn, own_style


@own_style
def plot_forecasts(
    times: np.ndarray,
    truth: np.ndarray,
    forecasts: Mapping[str, np.ndarray],
    names: Sequence[str],
    labels: tuple[str, str],
    width: float = 0.0,
) -> Figure:
    """What came, ``[W, P]``, and what was forecast for it, a panel for each of P nodes.

    ``times [W]`` are the hours, or other units, from the first; ``labels`` those of
    both axes. ``width`` is half that of the band around the first forecast.
    """
    figure = Figure(figsize=(9, 1.9 * len(names) + 0.6), layout="constrained")
    grid = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for p, (axes, name) in enumerate(zip(grid, names, strict=True)):
        axes.plot(times, truth[:, p], color="#777777", lw=1.6, label="measured")
        for k, (arm, values) in enumerate(forecasts.items()):
            colour = COLOURS[k % len(COLOURS)]
            axes.plot(times, values[:, p], color=colour, lw=1.0, label=drawn(arm))
            if k == 0 and np.isfinite(width) and width > 0:
                low, high = values[:, p] - width, values[:, p] + width
                axes.fill_between(times, low, high, color=colour, alpha=0.15, lw=0)
        axes.set_title(drawn(name), fontsize="medium", loc="left")
        finish_axes(axes, labels[0] if p == len(names) - 1 else "", labels[1])
    grid[0].legend(ncols=4, fontsize="small", loc="lower left", frameon=False)
    return figure


@own_style
def plot_horizons(
    errors: Mapping[str, np.ndarray], minutes: np.ndarray, label: str, x_label: str
) -> Figure:
    """Errors ``[S, horizon]`` of every arm against the time ahead, means over seeds.

    A band spans the seeds. Arms with one row, of which no seed is drawn, are dashed.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for k, (arm, values) in enumerate(errors.items()):
        colour, again = COLOURS[k % len(COLOURS)], k // len(COLOURS)
        many = len(values) > 1
        axes.plot(
            minutes,
            values.mean(0),
            color=colour,
            ls="-" if many else "--",
            marker=MARKERS[again % len(MARKERS)],
            markerfacecolor="white" if again else colour,
            ms=4,
            lw=1.6 if many else 1.0,
            label=drawn(arm),
        )
        if many:
            low, high = values.min(0), values.max(0)
            axes.fill_between(minutes, low, high, color=colour, alpha=0.12, lw=0)
    finish_axes(axes, x_label, label)
    figure.legend(loc="outside right upper", fontsize="small", frameon=False)
    return figure


@own_style
def plot_gains(
    gains: np.ndarray,
    senders: np.ndarray,
    receivers: np.ndarray,
    label: str,
    title: str,
) -> Figure:
    """What the graph adds at every node, ``[S, N]``: in order, and where it lies.

    A line spans a node's seeds. Below zero the arm has the lower error. Nodes that are
    joined lie near one another (Fruchterman and Reingold's forces), whatever their
    places are in the world.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    mean, order = gains.mean(0), np.argsort(gains.mean(0))
    places = np.arange(len(order))
    low, high = gains.min(0)[order], gains.max(0)[order]
    left.vlines(places, low, high, color=COLOURS[0], alpha=0.25, lw=1)
    left.plot(places, mean[order], ".", color=COLOURS[0], ms=4)
    left.set_title(drawn(title), fontsize="medium", loc="left")
    left.axhline(0, color="#444444", lw=1, ls=":")
    finish_axes(left, "nodes, in this order", label)
    graph = networkx.Graph()
    graph.add_nodes_from(range(len(mean)))
    graph.add_edges_from(zip(senders.tolist(), receivers.tolist(), strict=True))
    at = np.zeros((len(mean), 2))
    alone = list(networkx.isolates(graph))  # in a row below the others
    at[alone] = np.linspace((-1, -1.3), (1, -1.3), len(alone) + 2)[1:-1]
    for node, place in networkx.spring_layout(
        graph.subgraph(set(graph) - set(alone)), seed=0
    ).items():
        at[node] = place
    lines = LineCollection(at[np.array(graph.edges).reshape(-1, 2)])
    lines.set(color="#bbbbbb", lw=0.4, zorder=1)
    right.add_collection(lines)
    limit = float(np.abs(mean).max()) or 1.0
    size = np.clip(4000 / len(mean), 8, 60)
    dots = right.scatter(
        *at.T, c=mean, s=size, cmap="PuOr_r", vmin=-limit, vmax=limit, zorder=2
    )
    dots.set(edgecolor="#444444", lw=0.4)
    right.set_axis_off()
    figure.colorbar(dots, ax=right, shrink=0.9).ax.set_title("mean", fontsize="small")
    return figure
