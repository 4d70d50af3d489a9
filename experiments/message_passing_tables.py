"""Tables and pictures of what experiments.message_passing measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from experiments.message_passing_measures import (
    DIFFERENT,
    IDENTICAL,
    RANDOM,
    SIX,
    SIX_EDGES,
    SIX_PLACES,
    SOURCE,
    TARGET,
    TWIN_EDGES,
    TWIN_PLACES,
    TWINS,
    Measured,
    Smoothing,
    graph_of,
)
from seqgraph_jax.analysis import receptive_fields as fields
from seqgraph_jax.reports import statistics
from seqgraph_jax.reports.pages import Table, number
from seqgraph_jax.reports.plots import graphs as graph_plots
from seqgraph_jax.reports.plots.curves import COLOURS

#: Smaller separations are rounding: 2**-53 is 1e-16.
ROUNDING = 1e-12
FROM, TO = SIX.index(SOURCE), SIX.index(TARGET)


def matrix_table(matrix: np.ndarray, caption: str) -> Table:
    """A matrix with the six nodes' names, a row per receiver."""
    rows = [
        [name, *(f"{value:.4g}" for value in row)]
        for name, row in zip(SIX, matrix, strict=True)
    ]
    return Table(["", *SIX], rows, caption)


def signal_table(signal: np.ndarray) -> Table:
    """How strongly the target depends on the source; ``signal [S, K + 1, N, N]``."""
    norms = signal[:, :, TO, FROM]
    rows = [
        [str(k), f"{(v != 0).sum()} of {len(v)}", *map(number, (v.mean(), *_range(v)))]
        for k, v in enumerate(norms.T)
    ]
    header = ["updates", f"seeds in which {TARGET} depends on {SOURCE}"]
    caption = (
        f"Frobenius norm of the derivative of {TARGET}'s output with respect to "
        f"{SOURCE}'s input, in graph convolutions with ELUs between them."
    )
    return Table([*header, "norm, mean", "lowest", "highest"], rows, caption)


def _range(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def paths(matrix: np.ndarray, length: int) -> Table:
    """Walks from the source to the target, with their shares of the matrix's power."""
    found = fields.walks(matrix, FROM, TO, length)
    total = sum(walk.weight for walk in found)
    rows = [
        [_path(walk), number(walk.weight), f"{walk.weight / total:.1%}"]
        for walk in found
    ]
    caption = (
        f"Product of the normalised weights along each walk of {length} steps; their "
        f"sum, {number(total)}, is the entry of {TARGET} and {SOURCE} in the power "
        f"{length} of the normalised matrix."
    )
    return Table(["walk", "product", "share"], rows, caption)


def _path(walk: fields.Walk) -> str:
    return "-".join(SIX[node] for node in walk.nodes)


def twin_table(separations: Mapping[str, Mapping[str, np.ndarray]]) -> Table:
    """Seeds told apart and median separation at the first and the last depth."""
    depth = next(iter(separations[DIFFERENT].values())).shape[1]
    header, rows = ["features of u and v", "layer"], []
    for k in dict.fromkeys((1, 2, depth)):
        header += [f"told apart, depth {k}", f"median separation, depth {k}"]
    for features, arms in separations.items():
        for arm, v in arms.items():
            row = [features, arm]
            for k in dict.fromkeys((1, 2, depth)):
                value = float(np.median(v[:, k - 1]))
                row += [f"{(v[:, k - 1] > ROUNDING).sum()} of {len(v)}"]
                row += [number(value, 3) if value > ROUNDING else "0"]
            rows.append(row)
    caption = (
        "Separation: norm of the difference of both outputs, over the mean of both "
        f"norms. Below {ROUNDING:g} it is rounding, and counted as 0. By one linear "
        "layer of gcn with self-weight w, d being w and the number of neighbours, "
        "h_u' - h_v' = (w - 1) / d (x_u - x_v) W."
    )
    return Table(header, rows, caption)


def decay(distances: np.ndarray) -> tuple[np.ndarray, int]:
    """Factor per layer of each seed over the last three quarters; where they start."""
    last = distances.shape[1] - 1
    start = max(1, last // 4)
    with np.errstate(invalid="ignore", divide="ignore"):
        factors = (distances[:, last] / distances[:, start]) ** (1 / (last - start))
    return factors, start


def smoothing_table(smoothing: Mapping[str, Smoothing]) -> Table:
    """Distance and factor per layer of every arm."""
    header = ["graph", "network", "distance at depth 1", "half way", "at the end"]
    header += ["factor per layer, mean", "95 % interval"]
    rows = []
    for name, found in smoothing.items():
        for arm, d in found.distances.items():
            s = statistics.summarize(decay(d)[0])
            interval = f"{s.ci95[0]:.3f} to {s.ci95[1]:.3f}" if s.n > 1 else "none"
            ends = (1, (d.shape[1] - 1) // 2, -1)
            means = [number(_geometric_mean(d[:, k]), 3) for k in ends]
            rows.append([name, arm, *means, f"{s.mean:.3f}", interval])
    caption = (
        "Distance from features that are multiples of one vector over the nodes, as a "
        "share of their norm, geometric mean over seeds. The vector is the one that "
        "averaging leaves as it is: for gcn the roots of the degrees, for attention, "
        "and for mlp to compare, ones (Li, Han and Wu, 2018). This distance is that of "
        "the bound of Oono and Suzuki (2020); angles between features would not do, "
        "since ReLUs alone make them small. The factor is that of the last three "
        "quarters of the layers."
    )
    return Table(header, rows, caption)


def _geometric_mean(values: np.ndarray) -> float:
    return float(np.exp(np.mean(np.log(values[values > 0]))))


def figures(measured: Measured) -> dict[str, Any]:
    """The three pictures by file name."""
    six = graph_of(SIX, SIX_EDGES).graph
    influence = measured.signal[:, :6, :, FROM]  # [S, 6 at most, N]
    shares = (influence / influence.sum(-1, keepdims=True)).mean(0)
    places = np.array([SIX_PLACES[name] for name in SIX])
    rates = {name: found.rate for name, found in measured.smoothing.items()}
    curves = {name: found.distances for name, found in measured.smoothing.items()}
    return {
        "signal": graph_plots.plot_signal(six, places, SIX, shares, FROM),
        "twins": _twin_figure(measured),
        "smoothing": graph_plots.plot_smoothing(curves, rates),
    }


def _twin_figure(measured: Measured) -> Figure:
    """The graph with the twins, and every seed's separation for the same features."""
    figure = Figure(figsize=(13, 12.5), layout="constrained")
    drawing, *panels = figure.subplots(3, 2).ravel()
    graph = graph_of(TWINS, TWIN_EDGES).graph
    graph_plots.draw_graph(
        drawing,
        graph.senders,
        graph.receivers,
        np.array([TWIN_PLACES[name] for name in TWINS]),
        TWINS,
        [1.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        colour_map=ListedColormap(["white", COLOURS[5]]),
    )
    drawing.set_title("u and v: neighbours of each other, and of p and q")
    deep = next(iter(measured.separations[DIFFERENT].values())).shape[1]
    shown = [(IDENTICAL, 1)]
    shown += [(features, k) for features in (DIFFERENT, RANDOM) for k in (1, deep)]
    for axes, (features, k) in zip(panels, shown, strict=True):
        graph_plots.plot_separation(
            axes,
            {arm: v[:, k - 1] for arm, v in measured.separations[features].items()},
            "|h_u - h_v| over the mean of both norms",
            ROUNDING,
            bounds=(1e-3, 1.0),
        )
        axes.set_title(f"{features}, {k} layer{'s' if k > 1 else ''}")
    return figure
