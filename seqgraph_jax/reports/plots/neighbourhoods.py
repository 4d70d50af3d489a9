"""Pictures of attention: a few nodes with their neighbours."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from seqgraph_jax.reports.plots.curves import COLOURS
from seqgraph_jax.reports.plots.graphs import draw_graph
from seqgraph_jax.reports.plots.style import drawn, own_style

#: Neighbours that a drawn node has: few enough to see, enough to differ.
FEWEST, MOST = 4, 9


@own_style
def plot_neighbourhoods(
    senders: np.ndarray,
    receivers: np.ndarray,
    to_edges: np.ndarray,
    own: np.ndarray,
    even: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    node_names: Sequence[str] = (),
) -> Figure | None:
    """Three nodes' neighbourhoods, a line as wide as the attention to its neighbour.

    Of the nodes with few neighbours, those whose attention is the least even, the
    median, and the most even. None if there are none.

    Shapes: ``senders``, ``receivers``, attention ``to_edges`` ``[E]``; attention to
    oneself ``own``, evenness ``even``, ``labels`` (-1 for none) ``[N]``.
    """
    between = senders != receivers
    degree = np.bincount(receivers[between], minlength=len(own))
    few = np.flatnonzero((degree >= FEWEST) & (degree <= MOST) & np.isfinite(even))
    if not len(few):
        return None
    ranked = few[np.argsort(even[few], kind="stable")]
    chosen = ranked[[0, len(ranked) // 2, -1]]
    num_classes = len(class_names)
    figure = Figure(figsize=(12.5, 4.8), layout="constrained")
    colours = [COLOURS[c % len(COLOURS)] for c in range(num_classes)]
    bounds = np.arange(num_classes + 1) - 0.5
    for axes, node in zip(figure.subplots(1, 3), chosen, strict=True):
        mine = np.flatnonzero(between & (receivers == node))
        members = np.array([node, *senders[mine]])
        angles = 2 * np.pi * np.arange(len(mine)) / len(mine)
        circle = np.column_stack([np.cos(angles), np.sin(angles)])
        weights = np.array([own[node], *to_edges[mine]])
        draw_graph(
            axes,
            np.arange(1, len(members)),
            np.zeros(len(mine), int),
            np.concatenate([np.zeros((1, 2)), circle]),
            [f"{100 * w:.0f} %" for w in weights],
            np.where(labels[members] >= 0, labels[members], np.nan),
            edge_widths=20 * to_edges[mine],
            norm=BoundaryNorm(bounds, num_classes),
            colour_map=ListedColormap(colours),
        )
        name = drawn(node_names[node]) if node_names else str(node)
        axes.set_title(f"node {name}, evenness {100 * even[node]:.2f} %", fontsize=11)
    found = np.unique(labels[labels >= 0])[: len(COLOURS)]
    present = {c: drawn(class_names[c]) for c in found}
    figure.legend(
        handles=[
            Line2D([], [], marker="o", ls="", color=colours[c], label=label)
            for c, label in present.items()
        ],
        loc="outside lower center",
        ncols=min(4, len(present)),
        frameon=False,
        title="% of the middle node's attention, mean over heads; colour: true class",
    )
    return figure
