"""Pictures of what is reached by updates and by time, and of times by length."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from seqgraph_jax.reports.plots.curves import (
    COLOURS,
    MARKERS,
    band_title,
    finish_axes,
)
from seqgraph_jax.reports.plots.style import drawn, log_scale, own_style
from seqgraph_jax.reports.statistics import mean_band
from seqgraph_jax.reports.trade import Trade, slope

STYLES = ("-", "--", ":", "-.")


@own_style
def plot_trade(trade: Trade) -> Figure:
    """What is reported after every evaluation, against updates and against seconds.

    A line stands where the budget of equal time is used up.
    """
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    metric = trade.metrics[0]
    for k, (arm, run) in enumerate(trade.runs.items()):
        colour, style = COLOURS[k % len(COLOURS)], STYLES[k // len(COLOURS)]
        shown, updates = metric.scale * trade.curve(arm), run.updates
        for axes, x in ((left, updates), (right, updates * trade.pace(arm))):
            if len(shown) > 1:
                low, high = mean_band(shown, metric.shown_bounds)
                axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
            axes.plot(x, shown.mean(0), style, color=colour, lw=2, label=drawn(arm))
    log_scale(right, "x")
    right.tick_params(axis="x", which="minor", labelbottom=False)
    if metric.better == "lower":  # an error, which begins far above where it ends
        log_scale(left)
    right.axvline(trade.budget, color="#444444", ls=":", lw=1)
    top, words = right.get_xaxis_transform(), f"{trade.budget:.3g} s"
    right.text(trade.budget, 1.01, words, transform=top, ha="center", fontsize="small")
    finish_axes(left, "updates", metric.axis)
    finish_axes(right, "seconds of training, one network", "")
    title = band_title(len(next(iter(trade.runs.values())).seeds))
    handles, labels = left.get_legend_handles_labels()
    place: Any = {"loc": "outside right upper", "frameon": False}
    figure.legend(handles, labels, title=title, **place)
    return figure


@own_style
def plot_by_size(
    panels: Mapping[str, tuple[Sequence[int], Mapping[str, np.ndarray]]],
    label: str,
    marks: Mapping[str, float],
    chance: float,
) -> Figure:
    """Shares ``[S, X]`` by arm against sizes ``[X]``, in %, a panel for each.

    ``marks`` are sizes of the last panel, by arm, beyond which no node of it can see.
    """
    figure = Figure(figsize=(5.2 * len(panels) + 1.6, 4.6), layout="constrained")
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (x_label, (sizes, arms)) in zip(grid, panels.items(), strict=True):
        for k, (arm, values) in enumerate(arms.items()):
            again = k // len(COLOURS)
            colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
            mean, low, high = (
                100 * f(values, axis=0) for f in (np.mean, np.min, np.max)
            )
            axes.fill_between(sizes, low, high, color=colour, alpha=0.1, lw=0)
            style = {"color": colour, "marker": marker, "ls": STYLES[again], "ms": 4}
            axes.plot(sizes, mean, label=drawn(arm), **style)
        axes.axhline(100 * chance, color="#444444", ls=":", lw=1)
        finish_axes(axes, x_label, label if axes is grid[0] else "")
    for mark in sorted({*marks.values()}):
        if sizes[0] <= mark <= sizes[-1]:
            seen = ", ".join(drawn(arm) for arm in marks if marks[arm] == mark)
            axes.axvline(mark, color="#888888", ls=":", lw=1)
            where: Any = {"transform": axes.get_xaxis_transform(), "rotation": 90}
            words = f"seen by {seen} up to here"
            axes.text(mark, 0.95, words, va="top", ha="left", fontsize="small", **where)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False)
    return figure


@own_style
def plot_slopes(sizes: Sequence[int], seconds: Mapping[str, np.ndarray]) -> Figure:
    """Milliseconds of an update ``[X]`` by arm against the length, both on log scales.

    A dashed line is the power law that fits best; the legend has its exponent.
    """
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axes = figure.subplots()
    for k, (arm, values) in enumerate(seconds.items()):
        colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
        exponent, shift = np.polyfit(np.log(sizes), np.log(values), 1)
        fitted = np.exp(shift) * np.asarray(sizes, float) ** exponent
        label = f"{drawn(arm)}: T to the {slope(sizes, values):.2f}"
        axes.plot(sizes, 1e3 * values, marker, color=colour, label=label)
        axes.plot(sizes, 1e3 * fitted, "--", color=colour, lw=1)
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(sizes, [str(size) for size in sizes])
    log_scale(axes)
    axes.legend(frameon=False)
    finish_axes(axes, "length T of the strings", "milliseconds per update")
    return figure
