"""How far does a message travel in a graph network, and what can it not tell apart?

Time: under a minute on 2 CPU cores; nothing is trained and no data are needed.

    python -m experiments.message_passing
    python -m experiments.message_passing --num-seeds 256 --max-depth 64

Networks with random weights and features, many of them. On a graph of six nodes: after
how many updates does a node depend on another one's input, and by which walks? On a
graph with twins, two nodes with the same neighbours: which layers can tell them apart?
On the six nodes and on Zachary's karate club: how fast do all nodes become alike when
layers are put on layers? Everything is computed in double precision, so that rounding
is far from what is measured.
"""

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import numpy as np

import seqgraph_jax as sg
from experiments.cli import RunOptions
from experiments.study import Report, Study, Trained, experiment
from seqgraph_jax.training.metrics import Metric, number
from seqgraph_jax.training.ranges import AtLeast, Positive

SEEDS = tuple(range(0, 500 * 64, 500))
#: Updates of the signal and layers on twins, at most.
NEAR = 6
#: Smaller separations are rounding: 2**-53 is 1e-16.
ROUNDING = 1e-12

SIX, SIX_EDGES = "ABCDEF", ("AB", "AE", "AF", "BD", "CD", "DF")
SIX_PLACES = ((3, 0), (2, 0.6), (0, 0), (1, 0), (4, 0), (2, -0.6))
SOURCE, TARGET = "C", "E"
FROM, TO = SIX.index(SOURCE), SIX.index(TARGET)
TWINS, TWIN_EDGES = "uvpqrs", ("uv", "up", "uq", "vp", "vq", "pr", "rs")
TWIN_PLACES = ((1, 0.7), (1, -0.7), (2, 0), (0, 0), (3, 0), (4, 0))

TWIN_CAPTION = (
    "Separation: norm of the difference of both outputs, over the mean of both norms. "
    f"Below {ROUNDING:g} it is rounding, and counted as 0. By one linear layer of gcn "
    "with self-weight w, d being w and the number of neighbours, h_u' - h_v' = "
    "(w - 1) / d (x_u - x_v) W."
)
SMOOTHING_CAPTION = (
    "Distance from features that are multiples of one vector over the nodes, as a share "
    "of their norm, geometric mean over seeds. The vector is the one that averaging "
    "leaves as it is: for gcn the roots of the degrees, for attention, and for mlp to "
    "compare, ones (Li, Han and Wu, 2018). This distance is that of the bound of Oono "
    "and Suzuki (2020); angles between features would not do, since ReLUs alone make "
    "them small. The factor is that of the last three quarters of the layers."
)

Values = Mapping[str, np.ndarray]  # by arm, a row per seed


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    features: Annotated[int, AtLeast(2)] = 16  # of every node, and of every layer
    max_depth: Annotated[int, AtLeast(2)] = 32  # layers of the deepest network
    self_weights: tuple[Positive, ...] = (2.0, 4.0)  # self-loops' weights beside 1
    run: RunOptions = field(default_factory=RunOptions)


@dataclass(frozen=True)
class Found:
    """What was measured, for S seeds and the first K layers, NEAR or fewer."""

    signal: np.ndarray  # [S, K + 1, N, N], influences on the six nodes
    separations: Mapping[str, Values]  # by features, [S, K]
    divided: np.ndarray  # [S] bool: GAT's kink lies between logits of the twins
    open_twins: Values  # separations [S] by one gcn layer, by names of the six nodes
    smoothing: Mapping[str, Any]  # by graph


def graph_of(names: str, pairs: Sequence[str]) -> Any:
    """An undirected graph, indexed; a pair is two names of one letter."""
    ends = np.array([[names.index(end) for end in pair] for pair in pairs])
    return sg.index_graph(sg.data.from_arrays(*ends.T, undirected=True).graph())


def measure(config: Config, seeds: Sequence[int]) -> Found:
    """Everything; a layer has the same weights in all networks and on all graphs."""
    draw, twins = sg.analysis.untrained, sg.analysis.twins
    six, with_twins = graph_of(SIX, SIX_EDGES), graph_of(TWINS, TWIN_EDGES)
    club = sg.index_graph(sg.datasets.load("karate").graph())
    nodes, members = (draw.draw_nodes(g, config.features, seeds) for g in (six, club))
    deep = {
        name: draw.draw_networks(make(config.features), six, seeds, config.max_depth)
        for name, make in sg.LAYERS.items()
    }
    weighted = {
        f"gcn, self-weight {w:g}": deep["gcn"]._replace(
            layer=sg.GraphConvolution(config.features, self_weight=w)
        )
        for w in (1.0, *config.self_weights)
    }
    gin = {f"gin, epsilon {e}": with_epsilon(deep["gin"], e) for e in (0, 1)}
    attention = {name: deep[name] for name in ("gat", "gatv2")}
    near = {k: of.first(NEAR) for k, of in (weighted | gin | attention).items()}
    heaviest = f"gcn, self-weight {max(config.self_weights):g}"
    far = {
        "gcn": deep["gcn"],
        heaviest: weighted[heaviest],
        "gcn, residual": deep["gcn"]._replace(residual=True),
        "gat": deep["gat"],
        "mlp": deep["mlp"],
    }
    gcn = deep["gcn"].first(NEAR)
    outputs, pairs = gcn.outputs(six, nodes), twins.find_twins(six.graph, closed=False)
    smoothing = sg.analysis.smoothing.measure_smoothing
    return Found(
        gcn.influences(six, nodes),
        twins.separations(near, with_twins, nodes, 0, 1),  # six nodes it has, too
        twins.kink_divides(nodes, deep["gat"].of_layer(0), with_twins.graph, 0, 1),
        {said(*pair): twins.separation(outputs[:, 1], *pair) for pair in pairs},
        {
            "six nodes": smoothing(far, six, nodes),
            "karate club": smoothing(far, club, members),
        },
    )


def with_epsilon(gin: Any, epsilon: float) -> Any:
    """The networks of GIN layers with another epsilon."""
    values = np.full_like(gin.params["epsilon"], epsilon)
    return gin._replace(params={**gin.params, "epsilon": values})


def said(u: int, v: int) -> str:
    """Two of the six nodes by name."""
    return f"{SIX[u]} and {SIX[v]}"


def signal_verdicts(found: Found, first: int | None) -> list[str]:
    """When a signal arrives, by which walks, and whether all pairs agree."""
    signal, fields = found.signal, sg.analysis.receptive_fields
    seeds, depth = len(signal), signal.shape[1] - 1
    if first is None:
        return [f"{depth} updates bring nothing from {SOURCE} to {TARGET}."]
    counts = (signal[:, :, TO, FROM] != 0).sum(0)
    late = f"not 0 for {first} to {depth}" if depth > first else "not 0 then"
    always = "in all" if (counts[first:] == seeds).all() else "not in all"
    walked = [f"{name} ({share})" for name, _, share in walk_table(first).rows]
    graph = graph_of(SIX, SIX_EDGES).graph
    steps = fields.distances(graph)
    expected = np.where(steps <= depth, steps, -1)
    agree = sum((fields.receptive_field(s) == expected).all() for s in signal)
    return [
        f"Information from {SOURCE} reaches {TARGET} after {first} updates: the "
        f"derivative is exactly 0 for 0 to {first - 1} updates in all {seeds} seeds, "
        f"and {late} {always} {seeds}. The walks: {' and '.join(walked)}.",
        "For every pair of the six nodes, the first depth at which one depends on the "
        f"other is the number of edges between them, in {agree} of {seeds} seeds.",
    ]


def twin_verdicts(found: Found) -> list[str]:
    """What tells twins apart, and what cannot."""
    twins = sg.analysis.twins
    different = found.separations[twins.DIFFERENT]
    seeds, plain = len(found.divided), different["gcn, self-weight 1"]
    depth = plain.shape[1]
    pairs = twins.find_twins(graph_of(SIX, SIX_EDGES).graph)
    closed = ", ".join(said(*pair) for pair in pairs)
    opened = [
        f"{names} have the same neighbours, but not each other, and one gcn layer gives "
        f"them different outputs in {apart(s)} of {seeds} seeds, by their self-loops"
        for names, s in found.open_twins.items()
    ]
    agree = ((different["gat"][:, 0] > ROUNDING) == found.divided).all()
    largest = max(values.max() for values in found.separations[twins.IDENTICAL].values())
    return [
        f"The six nodes have {f'closed twins in it: {closed}' if closed else 'no closed '
        'twins'}; {'; '.join(opened)}.",
        "The second graph's u and v are each other's neighbour and share all others. "
        "With different features, gcn, self-weight 1 gives them the same output: the "
        f"largest difference over {seeds} seeds and {depth} depths is {plain.max():.1g} "
        "of their norm, which is rounding. Told apart with one layer, and with "
        f"{depth}: {counts(different, (0, -1))}.",
        "gat's logits of u and v differ by a constant before the LeakyReLU. In "
        f"{found.divided.sum()} of {seeds} seeds they lie on both sides of its kink, "
        "and one layer tells u and v apart in "
        f"{'exactly these' if agree else 'other seeds than these'}. Once equal, twins "
        f"stay equal: with {depth} layers gat tells them apart in "
        f"{apart(different['gat'][:, -1])} seeds, and gatv2, whose LeakyReLUs have a "
        f"kink for every feature, in {apart(different['gatv2'][:, -1])}.",
        f"With identical features of u and v {'something' if largest > ROUNDING else ''
        'nothing'} tells them apart, neither a self-weight nor attention nor gin: the "
        f"largest difference over all layers, depths and seeds is {largest:.1g}. Random "
        "features beside them help where different ones did: "
        f"{counts(found.separations[twins.RANDOM], (0,))} with one layer.",
    ]


def apart(separations: np.ndarray) -> int:
    """Seeds ``[S]`` in which twins are told apart."""
    return int((separations > ROUNDING).sum())


def counts(separations: Values, layers: Sequence[int]) -> str:
    """Seeds told apart by every arm, after each of the layers."""
    return ", ".join(
        f"{arm} in {' and '.join(str(apart(v[:, k])) for k in layers)}"
        for arm, v in separations.items()
    )
