"""Pictures of an LSTM's gates: their values, their saturation, and their course."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from seqgraph_jax.analysis.gates import BOUNDS, NAMES
from seqgraph_jax.reports.plots.curves import COLOURS
from seqgraph_jax.reports.plots.style import drawn, own_style
from seqgraph_jax.training.metrics import counted

#: From 0 to 1, and from below 0 over it; both are clear to colour-blind readers.
SHARE_MAP, SIGNED_MAP = "viridis", "RdBu_r"
_SHADE = "#e8ebf0"


@own_style
def plot_histogram(
    axes: Axes, gate: str, edges: np.ndarray, shares: np.ndarray, colour: str
) -> None:
    """Shares of a gate's values by bin, ``[S, N]``: seeds thin, their mean thick.

    ``edges [N + 1]``; where values count as saturated the ground is grey.
    """
    low, high = BOUNDS[gate]
    for span in ((edges[0], low), (high, edges[-1])):
        axes.axvspan(*span, color=_SHADE, lw=0)
    percent = 100 * shares
    for seed_shares in percent:
        axes.stairs(seed_shares, edges, color=colour, lw=0.8, alpha=0.6)
    axes.stairs(percent.mean(0), edges, color=colour, lw=2.2)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"value of {gate}")
    axes.set_title(f"{gate}: {NAMES[gate]}", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)


@own_style
def plot_saturation(
    axes: Axes, gate: str, groups: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> None:
    """A dot for every unit: left-saturated against right-saturated share.

    ``groups`` holds both shares, arrays of one shape, by label. The two add up to 1 at
    most: beyond the dashed line no dot can be.
    """
    axes.plot([0, 100], [100, 0], color="#888888", ls="--", lw=1, zorder=1)
    for (label, (left, right)), colour in zip(groups.items(), COLOURS, strict=False):
        axes.scatter(
            100 * right.ravel(),
            100 * left.ravel(),
            s=18,
            color=colour,
            alpha=0.5,
            lw=0,
            label=drawn(label),
            clip_on=False,
            zorder=2,
        )
    low, high = BOUNDS[gate]
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.set_aspect("equal")
    axes.set_xlabel(f"right-saturated, {gate} > {high:g} (%)")
    axes.set_ylabel(f"left-saturated,\n{gate} < {low:g} (%)".replace("-0", "−0"))
    axes.spines[["top", "right"]].set_visible(False)


@own_style
def plot_distributions(
    histograms: Mapping[str, tuple[np.ndarray, np.ndarray]],
    saturations: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> Figure:
    """A column for every gate: its values above, its units' saturation below.

    ``histograms`` holds edges and shares as `plot_histogram` takes them,
    ``saturations`` left and right shares ``[S, H]``.
    """
    figure = Figure(figsize=(12.5, 6.6), layout="constrained")
    above, below = figure.subplots(2, len(histograms), squeeze=False)
    for column, (gate, (edges, shares)) in enumerate(histograms.items()):
        plot_histogram(above[column], gate, edges, shares, COLOURS[0])
        plot_saturation(below[column], gate, {"": saturations[gate]})
    above[0].set_ylabel(f"share of all values,\nin {len(edges) - 1} bins (%)")
    handles = [
        Line2D(
            [],
            [],
            color=COLOURS[0],
            lw=2.2,
            label=f"mean of {counted(len(shares), 'seed')}",
        ),
        Line2D([], [], color=COLOURS[0], lw=0.8, alpha=0.6, label="each seed"),
        Patch(color=_SHADE, label="saturated"),
    ]
    above[0].legend(handles=handles, loc="upper center", frameon=False)
    return figure


@own_style
def heat_map(
    axes: Axes,
    name: str,
    values: np.ndarray,
    symbols: Sequence[str],
    mark: float | None = None,
    label: str = "",
) -> None:
    """A field of `Gates` as units by positions, ``[H, T]``, with a colour bar.

    ``symbols`` are what was read, under the columns. Gates i, f, o are coloured from 0
    to 1, g from -1 to 1 and the cell state as far as it reaches, both white at 0.
    ``mark`` is a position at which to draw a dashed line; ``label`` is that of the bar.
    """
    reach = {"g": 1.0, "cell": float(np.abs(values).max())}.get(name)
    image = axes.imshow(
        values,
        cmap=SIGNED_MAP if reach else SHARE_MAP,
        vmin=-reach if reach else 0,
        vmax=reach or 1,
        aspect="auto",
        interpolation="nearest",
    )
    letter, words = ("c", "cell state") if name == "cell" else (name, NAMES[name])
    bar = axes.figure.colorbar(
        image, ax=axes, label=label or f"value of {letter}", pad=0.015
    )
    if name != "cell":
        bar.set_ticks([-1, -0.5, 0, 0.5, 1] if reach else [0, 0.25, 0.5, 0.75, 1])
    bar.outline.set_visible(False)
    if mark is not None:
        axes.axvline(mark, color="white", lw=2.2)
        axes.axvline(mark, color="black", lw=2.2, ls=(0, (2, 2)))
    if len(values) <= 12:  # few enough to set apart
        for row in range(1, len(values)):
            axes.axhline(row - 0.5, color="white", lw=1.5)
    axes.set_xticks(range(len(symbols)), list(symbols))
    axes.tick_params(length=0, pad=3)
    axes.set_title(f"{letter}: {words}", fontsize=11)
    axes.spines[:].set_visible(False)


@own_style
def plot_answers(
    axes: Axes, digits: str, given: np.ndarray, labels: np.ndarray, mark: float
) -> None:
    """Probabilities of label 1 after each of T bits, ``[T]``, and the labels, 0 or 1.

    ``digits`` are the bits; ``mark`` as for `heat_map`.
    """
    positions = np.arange(len(digits))
    axes.plot(positions, given, color=COLOURS[0], lw=1.8, label="given")
    for label, marker, colour in ((1, "o", COLOURS[2]), (0, "X", COLOURS[1])):
        found = positions[labels == label]
        at, words = np.full(len(found), float(label)), f"label {label}"
        axes.scatter(found, at, 42, colour, marker=marker, label=words, zorder=3)
    axes.axvline(mark, color="black", lw=1.4, ls=(0, (2, 2)))
    axes.set_xticks(positions, list(digits))
    axes.tick_params(axis="x", length=0, pad=3)
    axes.set_xlim(-0.5, len(digits) - 0.5)
    axes.set_ylim(-0.07, 1.07)
    axes.set_xlabel("bit that was read")
    axes.set_ylabel("probability of label 1")
    axes.set_title("answer, if the number ended here", fontsize=11)
    axes.legend(loc="center right", frameon=False, handlelength=1, borderaxespad=0)
    axes.grid(alpha=0.25, axis="y")
    axes.spines[["top", "right"]].set_visible(False)


@own_style
def plot_course(
    gates: Mapping[str, np.ndarray],
    digits: str,
    given: np.ndarray,
    labels: np.ndarray,
    mark: float,
) -> Figure:
    """Heat maps of i, f, o, g and the cell state, and the answers, along a number.

    ``gates`` holds ``[H, T]`` by field of `Gates`, units in the order of f's mean; the
    other arguments are those of `plot_answers`.
    """
    figure = Figure(figsize=(12.5, 7.8), layout="constrained")
    grid = figure.subplots(2, 3).ravel()
    for axes, name in zip(grid, ("i", "f", "o", "g", "cell"), strict=False):
        heat_map(axes, name, gates[name], digits, mark)
        last = len(gates[name])
        axes.set_yticks([0, last - 1], ["1", str(last)])
        axes.set_ylabel("hidden unit, by mean of f", labelpad=-8)
        axes.set_xlabel("bit that was read")
    plot_answers(grid[5], digits, given, labels, mark)
    return figure


@own_style
def plot_text_course(
    gates: Mapping[str, np.ndarray],
    symbols: Sequence[str],
    units: Sequence[str],
    mark: float | None,
    groups: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]],
) -> Figure:
    """Chosen units along a text, a heat map below another, and every unit's saturation.

    ``gates`` holds ``[U, T]`` by field of `Gates`, the cell state as a share of its
    largest modulus; ``units`` are the names of the rows; ``groups`` holds by gate what
    `plot_saturation` draws.
    """
    figure = Figure(figsize=(12.5, 12.8), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(3.2, 1))
    above, below = parts
    label = "c / its largest |c|"
    grid = above.subplots(5, 1)
    for axes, name in zip(grid, ("cell", "i", "f", "o", "g"), strict=True):
        heat_map(
            axes, name, gates[name], symbols, mark, label if name == "cell" else ""
        )
        axes.set_yticks(range(len(units)), units)
        axes.set_ylabel("layer: unit")
    grid[-1].set_xlabel("character that was read (␣ is a space)")
    for axes, (gate, of_gate) in zip(below.subplots(1, 4), groups.items(), strict=True):
        plot_saturation(axes, gate, of_gate)
        axes.set_title(f"{gate}: {NAMES[gate]}", fontsize=11)
    axes.legend(loc="upper right", frameon=False, markerscale=1.6, handletextpad=0.1)
    return figure
