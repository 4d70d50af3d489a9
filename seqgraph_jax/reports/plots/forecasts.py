"""Pictures of forecasts at the nodes of a graph."""

from collections.abc import Mapping, Sequence

import numpy as np
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
    gains: np.ndarray, num_senders: np.ndarray, label: str, title: str
) -> Figure:
    """What the graph adds at every node, ``[S, N]``: in order, and against senders.

    A line spans a node's seeds. Below zero the arm has the lower error.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    mean, order = gains.mean(0), np.argsort(gains.mean(0))
    places = np.arange(len(order))
    low, high = gains.min(0)[order], gains.max(0)[order]
    left.vlines(places, low, high, color=COLOURS[0], alpha=0.25, lw=1)
    left.plot(places, mean[order], ".", color=COLOURS[0], ms=4)
    left.set_title(drawn(title), fontsize="medium", loc="left")
    right.plot(num_senders, mean, "o", color=COLOURS[1], ms=4, alpha=0.6, mew=0)
    for axes in (left, right):
        axes.axhline(0, color="#444444", lw=1, ls=":")
    finish_axes(left, "nodes, in this order", label)
    finish_axes(right, "nodes that it hears", "")
    return figure
