"""How often a difference is found, against the number of pairs."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from seqgraph_jax.reports.plots.curves import COLOURS, MARKERS, finish_axes
from seqgraph_jax.reports.plots.style import drawn, own_style
from seqgraph_jax.reports.power import Plan


@own_style
def plot_power(plans: Mapping[str, Plan], power: float, unit: str) -> Figure:
    """Share of experiments that find the difference, with a range, by pair of arms."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for k, (name, plan) in enumerate(plans.items()):
        colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
        axes.fill_between(
            plan.sizes, 100 * plan.low, 100 * plan.high, color=colour, alpha=0.18, lw=0
        )
        shares, label = 100 * plan.shares, drawn(name)
        axes.plot(plan.sizes, shares, marker, c=colour, ls="-", label=label)
    axes.axhline(100 * power, color="#444444", ls="--", lw=1)
    axes.set_xscale("log")
    ticks = [6, 10, 16, 32, 64, 100, 200]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 103)
    axes.legend(frameon=False, loc="lower right")
    finish_axes(axes, f"{unit}s", "experiments that find the difference (%)")
    return figure
