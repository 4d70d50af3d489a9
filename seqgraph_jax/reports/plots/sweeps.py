"""Pictures of sweeps: every setting with every seed, and what more trials bring."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqgraph_jax.reports import statistics
from seqgraph_jax.reports.plots.curves import (
    COLOURS,
    MARKERS,
    band_title,
    finish_axes,
    plot_seeds,
)
from seqgraph_jax.reports.plots.style import drawn, own_style
from seqgraph_jax.reports.sweeps import Tuned, value_words

MOST = 40  # settings of an arm that have room side by side: the best ones


@own_style
def plot_grid(tuned: Tuned) -> Figure:
    """Every setting's seeds, mean and 95 % interval, a panel per arm; chosen ringed.

    Settings stand in the order of the grid. Crosses are seeds that diverged.
    """
    shown = {
        arm: sorted([tuned.chosen(arm), *tuned.others(arm)][:MOST])
        for arm in tuned.values
    }
    widths = [max(2.0, 0.42 * len(points)) for points in shown.values()]
    figure = Figure(figsize=(1.2 + sum(widths), 4.8), layout="constrained")
    grid = figure.subplots(
        1, len(shown), sharey=True, squeeze=False, width_ratios=widths
    )[0]
    metric = tuned.metric
    for k, (axes, (arm, points)) in enumerate(zip(grid, shown.items(), strict=True)):
        colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
        for x, p in enumerate(points):
            values, missing = metric.scale * tuned.values[arm][p], tuned.missing[arm][p]
            near = x + np.linspace(-0.2, 0.0, len(values))
            axes.plot(near[~missing], values[~missing], ".", c="#888888", ms=4)
            axes.plot(near[missing], values[missing], "x", c="#888888", ms=5)
            s = statistics.summarize(values, metric.shown_bounds)
            axes.errorbar(x + 0.2, s.mean, s.reach, fmt=marker, c=colour, capsize=3)
            if p == tuned.chosen(arm):
                ring = {"ms": 14, "mfc": "none", "mec": "#000000"}
                axes.plot(x + 0.2, s.mean, "o", **ring)
        names = [n for n in tuned.points[0] if n not in tuned.idle[arm]]
        ticks = [value_words([tuned.points[p][n] for n in names]) for p in points]
        axes.set_xticks(range(len(points)), map(drawn, ticks), rotation=90)
        axes.set_xlim(-0.6, len(points) - 0.4)
        axes.set_title(drawn(arm))
        label = metric.axis.replace(", ", "\n") if k == 0 else ""
        finish_axes(axes, drawn(",\n".join(names)), label)
    return figure


@own_style
def plot_expected(tuned: Tuned) -> Figure:
    """What the best of n trials is expected to reach, against n, a curve per arm."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes, metric = figure.subplots(), tuned.metric
    trials = np.arange(1, len(tuned.points) + 1)
    for k, arm in enumerate(tuned.values):
        curves = metric.scale * tuned.expected(arm).T
        colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
        bounds = metric.shown_bounds
        plot_seeds(axes, trials, curves, colour, drawn(arm), bounds, marker=marker)
    axes.legend(title=band_title(len(tuned.seeds)), frameon=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    label = f"expected {metric.axis}".replace(", ", "\n")
    finish_axes(axes, "settings tried, the best of them kept", label)
    return figure
