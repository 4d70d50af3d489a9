"""Pictures of what was foretold for days of patients; no patient can be told in one."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from seqgraph_jax.reports.plots.curves import COLOURS, finish_axes
from seqgraph_jax.reports.plots.style import drawn, own_style

TICKS = {1e-3: "0.1 %", 1e-2: "1 %", 1e-1: "10 %", 1.0: "100 %"}
LEAST = 0.01  # recall from which on curves are drawn; before, precision is of a few
DASHES = ("-", "--", ":")


def _look(k: int) -> dict:
    return {"color": COLOURS[k % len(COLOURS)], "ls": DASHES[k // len(COLOURS) % 3]}


@own_style
def plot_precision_recall(
    curves: Mapping[str, Mapping[str, np.ndarray]], kinds: Mapping[str, str]
) -> Figure:
    """Precision against recall, ``curves[arm][kind] [2, K]``, a panel for each kind."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    panels = figure.subplots(1, len(kinds), squeeze=False)[0]
    for axes, (kind, words) in zip(panels, kinds.items(), strict=True):
        for k, (arm, of_arm) in enumerate(curves.items()):
            recall, precision = of_arm[kind][:, of_arm[kind][0] >= LEAST]
            axes.plot(recall, precision, lw=1.2, label=drawn(arm), **_look(k))
        axes.set_title(words, fontsize="medium", loc="left")
        axes.set_ylim(bottom=0)
        finish_axes(axes, "recall", "precision" if axes is panels[0] else "")
    panels[-1].legend(fontsize="small", frameon=False)
    return figure


@own_style
def plot_calibration(
    sums: Mapping[str, Mapping[str, np.ndarray]], kinds: Mapping[str, str]
) -> Figure:
    """What came against what was said, ``sums[arm][kind]``: counts, chances, came."""
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    panels = figure.subplots(1, len(kinds), squeeze=False)[0]
    for axes, (kind, words) in zip(panels, kinds.items(), strict=True):
        axes.plot([1e-3, 1], [1e-3, 1], color="#888888", lw=1, ls=":")
        for k, (arm, of_arm) in enumerate(sums.items()):
            counts, chances, came = of_arm[kind]
            there = (counts >= 20) & (came > 0)  # a rare one is no aggregate
            said, share = chances[there] / counts[there], came[there] / counts[there]
            look = _look(k)
            axes.plot(said, share, marker="o", ms=3.5, lw=1, label=drawn(arm), **look)
        axes.set_title(words, fontsize="medium", loc="left")
        for scale, ticks in (
            (axes.set_xscale, axes.set_xticks),
            (axes.set_yscale, axes.set_yticks),
        ):
            scale("log")
            ticks([*TICKS], labels=[*TICKS.values()])
        axes.minorticks_off()
        axes.set(xlim=(1e-3, 1.1), ylim=(1e-3, 1.1))
        finish_axes(axes, "chance said", "share that came" * (axes is panels[0]))
    panels[-1].legend(fontsize="small", frameon=False, loc="lower right")
    return figure


@own_style
def plot_patients(
    gains: Mapping[str, np.ndarray],
    intervals: Sequence[tuple[float, float]],
    label: str,
) -> Figure:
    """Gains of patients ``[P]``, in their order of size, with the mean's interval."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for k, (arm, values) in enumerate(gains.items()):
        values = np.sort(values[np.isfinite(values)])
        places = (np.arange(len(values)) + 0.5) / max(1, len(values))
        axes.plot(
            places, values, marker=".", ms=4, lw=0.8, label=drawn(arm), **_look(k)
        )
        axes.axhspan(*intervals[k], color=COLOURS[k % len(COLOURS)], alpha=0.15, lw=0)
    axes.axhline(0, color="#444444", lw=1, ls=":")
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set_xticks(ticks, labels=[f"{tick:.0%}" for tick in ticks])
    axes.legend(fontsize="small", frameon=False)
    finish_axes(axes, "share of patients, in the order of their gain", label)
    return figure


@own_style
def plot_effects(
    effects: Mapping[str, tuple[float, float, float]], label: str
) -> Figure:
    """Values with intervals, one below another."""
    figure = Figure(figsize=(7, 0.45 * len(effects) + 1.2), layout="constrained")
    axes = figure.subplots()
    for k, (mean, low, high) in enumerate(effects.values()):
        axes.plot([low, high], [k, k], color=COLOURS[0], lw=2, alpha=0.5)
        axes.plot(mean, k, "o", color=COLOURS[0])
    axes.axvline(0, color="#444444", lw=1, ls=":")
    axes.set_yticks(range(len(effects)), labels=[drawn(name) for name in effects])
    axes.invert_yaxis()
    finish_axes(axes, label, "")
    return figure
