"""Where attention goes: measured over all nodes and seeds, drawn on neighbourhoods."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import seqgraph_jax as sg
from experiments.runner import Arm
from seqgraph_jax.data.records import NodeData
from seqgraph_jax.graph.propagation import sum_at_receivers
from seqgraph_jax.reports import pages as reporting
from seqgraph_jax.reports import statistics
from seqgraph_jax.reports.pages import Section, Table
from seqgraph_jax.reports.plots.curves import COLOURS
from seqgraph_jax.reports.plots.graphs import draw_graph

#: Neighbours that a drawn node has: few enough to see, enough to differ.
FEWEST, MOST = 4, 9


def attention_of(arm: Arm, params: Any, inputs: Any) -> tuple[jax.Array, jax.Array]:
    """First layer's attention: to the edges ``[E, A]`` and to oneself ``[N, A]``."""
    _, state = arm.model.apply({"params": params}, inputs, mutable=["intermediates"])
    return state["intermediates"]["layers"]["layer_0"]["attention"][0]


def evenness(inputs: Any, to_edges: jax.Array, own: jax.Array) -> jax.Array:
    """Entropy of attention as a share of that of equal weights: ``[N, A]``.

    NaN for a node that hears nobody but itself.
    """
    adjacency = inputs.adjacency

    def surprise(p: jax.Array) -> jax.Array:
        return -p * jnp.log(jnp.where(p > 0, p, 1))

    edges = sum_at_receivers(adjacency, surprise(to_edges))
    heard = sum_at_receivers(adjacency, (to_edges > 0).astype(float))
    entropy = edges + surprise(own)
    return jnp.where(heard > 0, entropy / jnp.log1p(jnp.maximum(heard, 1)), jnp.nan)


def kinship(
    inputs: Any, labels: jax.Array, to_edges: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Share of neighbours of a node's own class, and of its attention ``[E]`` to them.

    Both are means over the nodes that have a label and neighbours with one.
    """
    adjacency = inputs.adjacency
    known = (labels[adjacency.senders] >= 0) & (labels[adjacency.receivers] >= 0)
    counts = known & (adjacency.senders != adjacency.receivers)
    same = labels[adjacency.senders] == labels[adjacency.receivers]

    def share(weights: jax.Array) -> jax.Array:
        total = sum_at_receivers(adjacency, weights * counts)
        kin = sum_at_receivers(adjacency, weights * counts * same)
        return (kin / jnp.where(total > 0, total, 1)).mean(where=total > 0)

    return share(jnp.ones_like(to_edges)), share(to_edges)


def measure(arm: Arm, run: sg.Run) -> dict[str, np.ndarray]:
    """Evenness and kinship of the chosen networks, ``[S]`` each."""
    task = arm.task[0] if isinstance(arm.task, list) else arm.task
    labels = jnp.asarray(task.labels)

    def one(params: Any) -> dict[str, jax.Array]:
        to_edges, own = attention_of(arm, params, task.inputs)
        plain, attended = kinship(task.inputs, labels, to_edges.mean(1))
        even = jnp.nanmean(evenness(task.inputs, to_edges, own))
        return {"evenness": even, "kin": plain, "attended": attended}

    measured = jax.jit(lambda params: jax.lax.map(one, params))(run.state.best.params)
    return {name: np.asarray(values) for name, values in measured.items()}


def attention_table(measured: Mapping[str, Mapping[str, np.ndarray]]) -> Table:
    """A row per attention network."""
    header = ["model", "evenness, mean", "95 % interval", "neighbours of the own class"]
    header += ["attention to them", "difference (points), 95 % interval"]
    rows = []
    for name, values in measured.items():
        even = statistics.summarize(100 * values["evenness"])
        gain = statistics.summarize(100 * (values["attended"] - values["kin"]))
        intervals = [
            f"{s.ci95[0]:.2f} to {s.ci95[1]:.2f}" if s.n > 1 else "none"
            for s in (even, gain)
        ]
        rows.append(
            [
                name,
                f"{even.mean:.2f} %",
                intervals[0],
                f"{100 * values['kin'].mean():.1f} %",
                f"{100 * values['attended'].mean():.1f} %",
                f"{gain.mean:.2f} ({intervals[1]})",
            ]
        )
    caption = (
        "Attention of the first layer of each seed's chosen network, over all heads "
        "and nodes. Evenness is the entropy of a head's attention as a share of that "
        "of equal weights: at 100 % attention is an average."
    )
    return Table(header, rows, caption)


def plot_neighbourhoods(arm: Arm, run: sg.Run, data: NodeData) -> Figure | None:
    """Three nodes' neighbourhoods, a line as wide as the attention to its neighbour.

    Of the nodes with few neighbours, those whose attention is the least even, the
    median, and the most even, of the first seed's network. None if there are none.
    """
    task = arm.task[0] if isinstance(arm.task, list) else arm.task
    params = jax.tree.map(lambda leaf: leaf[0], run.state.best.params)
    attention = attention_of(arm, params, task.inputs)
    to_edges, own = (np.asarray(a.mean(1)) for a in attention)
    even = np.asarray(evenness(task.inputs, *attention).mean(1))
    senders, receivers = (
        np.asarray(e)
        for e in (task.inputs.adjacency.senders, task.inputs.adjacency.receivers)
    )
    between = senders != receivers
    degree = np.bincount(receivers[between], minlength=len(own))
    few = np.flatnonzero((degree >= FEWEST) & (degree <= MOST) & np.isfinite(even))
    if not len(few):
        return None
    ranked = few[np.argsort(even[few], kind="stable")]
    chosen = ranked[[0, len(ranked) // 2, -1]]
    labels = np.asarray(task.labels)
    figure = Figure(figsize=(12.5, 4.8), layout="constrained")
    colours = [COLOURS[c % len(COLOURS)] for c in range(data.num_classes)]
    bounds = np.arange(data.num_classes + 1) - 0.5
    for axes, node in zip(figure.subplots(1, 3), chosen, strict=True):
        mine = np.flatnonzero(between & (receivers == node))
        members = np.array([node, *senders[mine]])
        angles = 2 * np.pi * np.arange(len(mine)) / len(mine)
        circle = np.column_stack([np.cos(angles), np.sin(angles)])
        weights = np.array([own[node], *to_edges[mine]])
        known = labels[members] >= 0
        draw_graph(
            axes,
            np.arange(1, len(members)),
            np.zeros(len(mine), int),
            np.concatenate([np.zeros((1, 2)), circle]),
            [f"{100 * w:.0f} %" for w in weights],
            np.where(known, labels[members], np.nan),
            edge_widths=20 * to_edges[mine],
            norm=BoundaryNorm(bounds, data.num_classes),
            colour_map=ListedColormap(colours),
        )
        name = data.node_names[node] if data.node_names else str(node)
        axes.set_title(f"node {name}, evenness {100 * even[node]:.2f} %", fontsize=11)
    shown = np.unique(labels[labels >= 0])[: len(COLOURS)]
    figure.legend(
        handles=[
            Line2D(
                [], [], marker="o", ls="", color=colours[c], label=data.class_names[c]
            )
            for c in shown
        ],
        loc="outside lower center",
        ncols=min(4, len(shown)),
        frameon=False,
        title="% of the middle node's attention, mean over heads; colour: true class",
    )
    return figure


def sections(
    runs: Mapping[str, sg.Run], arms: Mapping[str, Arm], data: NodeData, path: Path
) -> list[Section]:
    """Table and drawing for the report; none without a network that attends."""
    attending = [name for name in runs if name in ("gat", "gatv2")]
    if not attending:
        return []
    measured = {name: measure(arms[name], runs[name]) for name in attending}
    svg = ""
    figure = plot_neighbourhoods(arms[attending[0]], runs[attending[0]], data)
    if figure is not None:
        svg = reporting.write_figure(path, figure, "attention")
    seed = runs[attending[0]].seeds[0]
    heading = f"Attention; drawn: least even, median, most even node, seed {seed}"
    return [Section(heading, attention_table(measured), svg)]
