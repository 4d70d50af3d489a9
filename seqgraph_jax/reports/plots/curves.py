"""Pictures of runs. As other modules of pictures it waits for matplotlib, a second.

Figures are made without pyplot: no global state, no window, no backend to choose.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seqgraph_jax.reports import statistics
from seqgraph_jax.reports.censoring import shown_times, times_to_converge
from seqgraph_jax.reports.plots.style import drawn, log_scale, own_style
from seqgraph_jax.training.metrics import counted
from seqgraph_jax.training.runs import Run

#: Okabe and Ito's colours, which colour-blind readers can tell apart, and markers.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#56b4e9", "#f0e442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@own_style
def plot_curves(axes: Axes, runs: Mapping[str, Run], metric: str) -> None:
    """Draw a metric against updates: every seed thin, the mean thick, and its band."""
    record = next(iter(runs.values())).record(metric)
    for (arm, run), colour in zip(runs.items(), COLOURS * len(runs), strict=False):
        num_diverged = int(run.diverged.sum())
        label = drawn(arm) + f" ({num_diverged} diverged)" * bool(num_diverged)
        curves = record.scale * run.metrics[metric]
        plot_seeds(axes, run.updates, curves, colour, label, record.shown_bounds)
    finish_axes(axes, "updates", record.axis)


@own_style
def plot_seeds(
    axes: Axes,
    x: np.ndarray,
    curves: np.ndarray,
    colour: str,
    label: str,
    bounds: tuple[float, float] | None = None,
    **line: Any,
) -> None:
    """Draw curves ``[S, K]`` over x ``[K]``: seeds thin, mean thick, with its band.

    The band is the interval of the mean at every x, and not beyond ``bounds``; there is
    none where all seeds are equal.
    """
    many = curves.size > 5_000  # points that an SVG should not hold one by one
    axes.plot(x, curves.T, color=colour, lw=0.5, alpha=0.45, rasterized=many)
    if len(curves) > 1:
        low, high = statistics.mean_band(curves, bounds)
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    exists = np.isfinite(curves)
    mean = np.where(exists, curves, 0).sum(0) / np.maximum(exists.sum(0), 1)
    mean[~exists.any(axis=0)] = np.nan
    axes.plot(x, mean, color=colour, linewidth=2, label=label, **line)


def band_title(num_seeds: int) -> str:
    """What a thick line and its band are, for a legend."""
    seeds = counted(num_seeds, "seed")
    return f"mean of {seeds}\nand its 95 % interval,\npoint by point"


@own_style
def plot_log_seeds(
    axes: Axes, x: np.ndarray, curves: np.ndarray, colour: str, label: str, **line: Any
) -> None:
    """`plot_seeds` on a log scale: the thick line is the geometric mean.

    It ends, and so does the band, where a seed has a value of 0: the geometric mean is
    0 there, which has no place on the scale.
    """
    axes.plot(x, curves.T, color=colour, lw=0.5, alpha=0.2, rasterized=True)
    logs = np.log10(np.where((curves == 0).any(axis=0), np.nan, curves))
    if len(curves) > 1:
        low, high = 10 ** statistics.mean_band(logs)
        axes.fill_between(x, low, high, color=colour, alpha=0.25, lw=0)
    exists = np.isfinite(logs)
    mean = np.where(exists, logs, 0).sum(0) / np.maximum(exists.sum(0), 1)
    mean[~exists.any(axis=0)] = np.nan
    axes.plot(x, 10**mean, color=colour, lw=2, label=label, **line)
    log_scale(axes)


@own_style
def finish_axes(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


@own_style
def mark_level(axes: Axes, value: float, words: str, offset: int) -> None:
    """A dotted line at a value, with words ``offset`` points above its right end."""
    axes.axhline(value, color="#444444", ls=":", lw=1)
    axes.annotate(
        words,
        (1, value),
        xycoords=("axes fraction", "data"),
        xytext=(-2, offset),
        textcoords="offset points",
        ha="right",
        fontsize="small",
        bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.7},
    )


@own_style
def plot_sweep(
    panels: Mapping[str, np.ndarray], x: np.ndarray, x_label: str, marks: Any = ()
) -> Figure:
    """Quantities ``[S, K]`` by their axis label against x ``[K]``, a panel for each."""
    columns = 3
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4 * columns, 3.4 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (label, curves) in zip(grid, panels.items(), strict=False):
        plot_seeds(axes, x, curves, COLOURS[0], "", marker="o", markersize=4)
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(x, [f"{value:g}" for value in x], rotation=60)
        for mark in marks:
            axes.axvline(mark, color="#888888", ls=":", lw=1)
        finish_axes(axes, x_label, label.replace(" (", "\n("))
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    return figure


@own_style
def plot_convergence(axes: Axes, runs: Mapping[str, Run]) -> None:
    """Draw updates until convergence, a point per seed; a line joins its points.

    Beside them are mean and interval, of times up to what all seeds were watched for.
    """
    values = np.array([run.updates_to_converge for run in runs.values()])  # [A, S]
    metric, shown = shown_times({k: times_to_converge(r) for k, r in runs.items()})
    positions = np.arange(len(runs))
    # Equal values would hide one another: move each seed a little, always alike.
    shifts = np.linspace(-0.12, 0.12, values.shape[1]) if values.shape[1] > 1 else [0.0]
    for seed_values, shift in zip(values.T, shifts, strict=True):
        axes.plot(positions + shift, seed_values, color="#888888", lw=0.5, alpha=0.6)
    for a, times in enumerate(shown.values()):
        colour, marker = COLOURS[a % len(COLOURS)], MARKERS[a % len(MARKERS)]
        axes.scatter(a + np.array(shifts), values[a], s=18, color=colour, marker=marker)
        s = statistics.summarize(times, metric.bounds)
        axes.errorbar(
            a + 0.26, s.mean, s.reach, fmt=marker, color=colour, capsize=4, lw=2
        )
        if missing := int(np.isnan(values[a]).sum()):
            note = f"{missing} not converged"
            axes.annotate(note, (a, 1), xycoords=("data", "axes fraction"), ha="center")
    axes.set_xticks(positions, [drawn(arm) for arm in runs])
    axes.set_xlim(-0.5, len(runs) - 0.3)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("arm")
    axes.set_ylabel(metric.label.replace(", ", "\n"))
    axes.grid(alpha=0.25, axis="y")
    axes.spines[["top", "right"]].set_visible(False)


@own_style
def plot_runs(runs: Mapping[str, Run], baseline: float | None = None) -> Figure:
    """Loss and what runs are judged by against updates, and updates until convergence.

    ``baseline`` is a value of the judged metric, drawn as a line. The last panel is
    there if a threshold asked for convergence.
    """
    first = next(iter(runs.values()))
    metrics = list(dict.fromkeys(["loss", first.judged_by]))
    converges = first.config.threshold is not None
    widths = [3] * len(metrics) + [2] * converges
    figure = Figure(figsize=(1.6 * sum(widths), 4.4), layout="constrained")
    panels = list(
        figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    )
    for axes, metric in zip(panels, metrics, strict=False):
        plot_curves(axes, runs, metric)
    lowest = min(np.nanmin(run.metrics["loss"], initial=1.0) for run in runs.values())
    if lowest > 0:
        log_scale(panels[0])
    judged = panels[len(metrics) - 1]
    if baseline is not None:
        record = first.record(first.judged_by)
        mark_level(judged, record.scale * baseline, "baseline", offset=3)
    judged.legend(title=band_title(len(first.seeds)), frameon=False)
    if converges:
        plot_convergence(panels[-1], runs)
    return figure


@own_style
def write_png(figure: Figure, path: Path) -> None:
    """Write the figure with 160 pixels an inch, or 10,000 along its longer side."""
    longer = float(max(figure.get_size_inches()))
    figure.savefig(path, dpi=min(160, 10_000 / longer))


@own_style
def svg(figure: Figure) -> str:
    """The figure as SVG text, the same for the same figure."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "seqgraph_jax"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
