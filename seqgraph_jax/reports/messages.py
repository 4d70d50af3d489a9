"""Tables of messages on graphs: what travels, what is told apart, what fades.

The pictures are in `reports.plots.messages`, the measures in `analysis`:
`receptive_fields`, `twins` and `smoothing`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seqgraph_jax.reports import statistics
from seqgraph_jax.reports.tables import Table
from seqgraph_jax.training.metrics import FROM_ZERO, number

SEPARATION = (
    "Separation: norm of the difference of both outputs, over the mean of both norms. "
    "Below {lowest:g} it is rounding, and counted as 0. By one linear layer of gcn "
    "with self-weight w, d being w and the number of neighbours, h_u' - h_v' = "
    "(w - 1) / d (x_u - x_v) W."
)
DISTANCE = (
    "Distance from features that are multiples of one vector over the nodes, as a "
    "share of their norm, geometric mean over seeds. The vector is the one that "
    "averaging leaves as it is: for gcn the roots of the degrees, for attention, and "
    "for mlp to compare, ones (Li, Han and Wu, 2018). This distance is that of the "
    "bound of Oono and Suzuki (2020); angles between features would not do, since "
    "ReLUs alone make them small. The factor is that of the last three quarters of the "
    "layers."
)


def matrix_table(matrix: np.ndarray, names: Sequence[str], caption: str) -> Table:
    """A matrix ``[N, N]`` of named nodes, a row per receiver.

    >>> matrix_table(np.array([[1.0, 0.25], [0.0, 1.0]]), "AB", "").rows
    [['A', '1', '0.25'], ['B', '0', '1']]
    """
    rows = [
        [name, *(f"{value:.4g}" for value in row)]
        for name, row in zip(names, matrix, strict=True)
    ]
    return Table(["", *names], rows, caption)


def influence_table(influences: np.ndarray, source: str, target: str) -> Table:
    """How strongly a node depends on another one, by depth: ``[S, K + 1]``.

    >>> influence_table(np.array([[0.0, 0.5], [0.0, 1.0]]), "C", "E").rows
    [['0', '0 of 2', '0', '0', '0'], ['1', '2 of 2', '0.75', '0.5', '1']]
    """
    rows = [
        [str(k), f"{(v != 0).sum()} of {len(v)}", *map(number, (v.mean(), *_range(v)))]
        for k, v in enumerate(influences.T)
    ]
    header = ["updates", f"seeds in which {target} depends on {source}"]
    caption = (
        f"Frobenius norm of the derivative of {target}'s output with respect to "
        f"{source}'s input, in graph convolutions with ELUs between them."
    )
    return Table([*header, "norm, mean", "lowest", "highest"], rows, caption)


def _range(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def walk_table(walks: Sequence[Any], names: Sequence[str]) -> Table:
    """Walks of one length between two named nodes, with their shares of the sum.

    They are those of `receptive_fields.walks`.

    >>> from seqgraph_jax.analysis.receptive_fields import walks
    >>> walk_table(walks(np.array([[1, 1], [1, 0]]), 0, 1, 3), "AB").rows
    [['A-A-A-B', '1', '50.0%'], ['A-B-A-B', '1', '50.0%']]
    """
    header = ["walk", "product", "share"]
    if not walks:
        return Table(header, [], "There is no walk.")
    total = sum(walk.weight for walk in walks)
    rows = [
        [
            "-".join(names[node] for node in walk.nodes),
            number(walk.weight),
            f"{walk.weight / total:.1%}",
        ]
        for walk in walks
    ]
    source, *steps = (names[node] for node in walks[0].nodes)
    caption = (
        f"Product of the normalised weights along each walk of {len(steps)} steps; "
        f"their sum, {number(total)}, is the entry of {steps[-1]} and {source} in the "
        f"power {len(steps)} of the normalised matrix."
    )
    return Table(header, rows, caption)


def separation_table(
    separations: Mapping[str, Mapping[str, np.ndarray]], lowest: float
) -> Table:
    """Seeds told apart and median separation, by features and layer, ``[S, K]``.

    At the first two depths and the last; values below ``lowest`` are rounding.

    >>> found = np.array([[0.5, 0.25], [0.25, 1e-16]])
    >>> separation_table({"equal": {"gin": found}}, lowest=1e-12).rows
    [['equal', 'gin', '2 of 2', '0.375', '1 of 2', '0.125']]
    """
    first = next(iter(next(iter(separations.values())).values()))
    depths = tuple(dict.fromkeys((1, 2, first.shape[1])))
    header, rows = ["features of u and v", "layer"], []
    for k in depths:
        header += [f"told apart, depth {k}", f"median separation, depth {k}"]
    for features, arms in separations.items():
        for arm, values in arms.items():
            row = [features, arm]
            for v in (values[:, k - 1] for k in depths):
                middle = float(np.median(v))
                row += [f"{(v > lowest).sum()} of {len(v)}"]
                row += [number(middle, 3) if middle > lowest else "0"]
            rows.append(row)
    return Table(header, rows, SEPARATION.format(lowest=lowest))


def smoothing_table(smoothing: Mapping[str, Any]) -> Table:
    """Distance and factor per layer of every arm on each graph.

    ``smoothing`` holds by graph what `analysis.smoothing.measure_smoothing` found.
    """
    header = ["graph", "network", "distance at depth 1", "half way", "at the end"]
    rows = []
    for graph, found in smoothing.items():
        for arm, d in found.distances.items():
            ends = (1, (d.shape[1] - 1) // 2, -1)
            means = [number(_geometric_mean(d[:, k]), 3) for k in ends]
            factor = statistics.mean_interval(found.decays[arm], bounds=FROM_ZERO)
            rows.append([graph, arm, *means, factor])
    return Table([*header, "factor per layer, 95 % interval"], rows, DISTANCE)


def _geometric_mean(values: np.ndarray) -> float:
    return float(np.exp(np.mean(np.log(values[values > 0]))))
