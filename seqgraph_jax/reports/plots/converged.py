"""Pictures of how many seeds have converged, against updates."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from seqgraph_jax.reports.censoring import Times, event_shares
from seqgraph_jax.reports.plots.curves import COLOURS, finish_axes
from seqgraph_jax.reports.plots.style import drawn, own_style
from seqgraph_jax.training.metrics import counted

DASHES = ("-", "--", "-.", ":")


@own_style
def plot_converged(arms: Mapping[str, Times]) -> Figure:
    """Kaplan and Meier's share of seeds that have converged, and its 95 % interval.

    ``arms`` are `seqgraph_jax.reports.censoring.times_to_converge` of runs.
    Ticks on a curve are seeds that had not converged when they were last watched. A
    curve ends where no seed of its arm is watched any more.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots()
    for a, (arm, times) in enumerate(arms.items()):
        colour, dash = COLOURS[a % len(COLOURS)], DASHES[a % len(DASHES)]
        found = event_shares(times)
        at = np.append(found.at, max(times.watched.max(), found.at[-1]))
        curves = 100 * np.array([found.share, found.low, found.high])
        share, low, high = np.append(curves, curves[:, -1:], axis=1)
        axes.fill_between(at, low, high, step="post", color=colour, alpha=0.15, lw=0)
        axes.step(at, share, dash, where="post", c=colour, lw=2, label=drawn(arm))
        heights = share[np.searchsorted(at, found.marks)]
        axes.plot(found.marks, heights, "|", c=colour, ms=12, mew=2)
    seeds = counted(len(next(iter(arms.values())).times), "seed")
    title = f"share of {seeds}\nand its 95 % interval,\nupdate by update"
    axes.legend(title=title, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    axes.set_ylim(-3, 103)
    axes.set_xlim(left=0)
    finish_axes(axes, "updates", "seeds that have converged (%)")
    return figure
