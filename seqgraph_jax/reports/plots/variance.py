"""What values vary by, by source."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from seqgraph_jax.reports.plots.curves import COLOURS, MARKERS, finish_axes
from seqgraph_jax.reports.plots.style import drawn, own_style
from seqgraph_jax.reports.variance import Variance
from seqgraph_jax.training.metrics import Metric


@own_style
def plot_variance(
    of: Mapping[str, Variance], metric: Metric, sources: tuple[str, str]
) -> Figure:
    """SD that comes from each source, with its interval, by arm and pair of arms."""
    figure = Figure(figsize=(6.4, 1.4 + 0.8 * len(of)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(of))
    for k, source in enumerate([*sources, "both together"]):
        spreads = [(v.rows, v.columns, v.both)[k] for v in of.values()]
        sd, low, high = (
            metric.scale * np.array([(s.sd, s.low, s.high) for s in spreads]).T
        )
        axes.errorbar(
            sd,
            places + 0.22 * (k - 1),
            xerr=[np.maximum(0, sd - low), np.maximum(0, high - sd)],
            fmt=MARKERS[k],
            color=COLOURS[k],
            capsize=3,
            label=source,
        )
    axes.set_yticks(places, [drawn(name) for name in of])
    axes.set_ylim(len(of) - 0.5, -0.5)
    axes.set_xlim(left=0)
    figure.legend(
        *axes.get_legend_handles_labels(),
        frameon=False,
        ncols=3,
        loc="outside upper center",
    )
    unit = metric.difference_unit
    finish_axes(
        axes, f"SD of {metric.words_for_it}" + (f" ({unit})" if unit else ""), ""
    )
    return figure
