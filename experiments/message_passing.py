"""How far does a message travel in a graph network, and what can it not tell apart?

Time: under a minute on 2 CPU cores; nothing is trained and no data are needed.

    python -m experiments.message_passing
    python -m experiments.message_passing --num-seeds 256 --max-depth 64

Networks with random weights and features, many of them. On a graph of six nodes: after
how many updates does a node depend on another one's input, and by which walks? On a
graph with twins, two nodes with the same neighbours: which layers can tell them apart?
On the six nodes and on Zachary's karate club: how fast do all nodes become alike when
layers are put on layers? All in double precision: rounding is far from what counts.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import numpy as np

import seqgraph_jax as sg
from experiments.harness import Report, Study, Trained, experiment
from experiments.harness.cli import RunOptions
from seqgraph_jax.training.metrics import Metric
from seqgraph_jax.training.ranges import AtLeast, Positive

NEAR = 6  # updates of the signal, and layers on twins, at most
ROUNDING = 1e-12  # smaller separations are rounding: 2**-53 is 1e-16

SIX, SIX_EDGES = "ABCDEF", ("AB", "AE", "AF", "BD", "CD", "DF")
SIX_PLACES = np.array([(3, 0), (2, 0.6), (0, 0), (1, 0), (4, 0), (2, -0.6)])
SOURCE, TARGET = "C", "E"
TO_FROM = SIX.index(TARGET), SIX.index(SOURCE)
TWINS, TWIN_EDGES = "uvpqrs", ("uv", "up", "uq", "vp", "vq", "pr", "rs")
TWIN_PLACES = np.array([(1, 0.7), (1, -0.7), (2, 0), (0, 0), (3, 0), (4, 0)])

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
    open_twins: Mapping[tuple[int, int], np.ndarray]  # separations [S] by a gcn layer
    smoothing: Mapping[str, Any]  # by graph


def graph_of(names: str, pairs: Sequence[str]) -> Any:
    """An undirected graph, indexed; a pair is two names of one letter."""
    ends = np.array([[names.index(end) for end in pair] for pair in pairs])
    return sg.index_graph(sg.data.from_arrays(*ends.T, undirected=True).graph())


def measure(config: Config, seeds: Sequence[int]) -> Found:
    """Everything; a layer has the same weights in all networks and on all graphs."""
    draw, twins, width = sg.analysis.untrained, sg.analysis.twins, config.features
    six, with_twins = graph_of(SIX, SIX_EDGES), graph_of(TWINS, TWIN_EDGES)
    club = sg.index_graph(sg.datasets.load("karate").graph())
    nodes, members = (draw.draw_nodes(graph, width, seeds) for graph in (six, club))
    gcn, gat, gatv2, gin, mlp = (
        draw.draw_networks(sg.LAYERS[name](width), six, seeds, config.max_depth)
        for name in ("gcn", "gat", "gatv2", "gin", "mlp")
    )
    weighted = {
        w: gcn._replace(layer=sg.GraphConvolution(width, self_weight=w))
        for w in (1.0, *config.self_weights)
    }
    near = {f"gcn, self-weight {w:g}": networks for w, networks in weighted.items()}
    near |= {f"gin, epsilon {e}": gin.with_constant("epsilon", e) for e in (0, 1)}
    near |= {"gat": gat, "gatv2": gatv2}
    w = max(config.self_weights)
    far = {"gcn": gcn, f"gcn, self-weight {w:g}": weighted[w]}
    far |= {"gcn, residual": gcn._replace(residual=True), "gat": gat, "mlp": mlp}
    near = {arm: networks.first(NEAR) for arm, networks in near.items()}
    one_layer = gcn.first(1).outputs(six, nodes)[:, 1]
    pairs = twins.find_twins(six.graph, closed=False)
    smoothing = partial(sg.analysis.smoothing.measure_smoothing, far)
    return Found(
        gcn.first(NEAR).influences(six, nodes),
        twins.separations(near, with_twins, nodes, 0, 1),  # it has six nodes, too
        twins.kink_divides(nodes, gat.of_layer(0), with_twins.graph, 0, 1),
        {(u, v): twins.separation(one_layer, u, v) for u, v in pairs},
        {"six nodes": smoothing(six, nodes), "karate club": smoothing(club, members)},
    )


def signal_verdicts(signal: np.ndarray, first: int, walks: "sg.Table") -> list[str]:
    """When a signal arrives, by which walks, and whether all pairs agree."""
    fields, (seeds, depth) = sg.analysis.receptive_fields, signal.shape[:2]
    depth -= 1
    if first < 0:
        return [f"{depth} updates bring nothing from {SOURCE} to {TARGET}."]
    arrived = signal[:, first:, *TO_FROM] != 0
    late = f"not 0 for {first} to {depth}" if depth > first else "not 0 then"
    walked = [f"{name} ({share})" for name, _, share in walks.rows]
    steps = fields.hops(graph_of(SIX, SIX_EDGES).graph)
    expected = np.where(steps <= depth, steps, -1)
    agree = sum((fields.receptive_field(s) == expected).all() for s in signal)
    return [
        f"Information from {SOURCE} reaches {TARGET} after {first} updates: the "
        f"derivative is exactly 0 for 0 to {first - 1} updates in all {seeds} seeds, "
        f"and {late} {'in all' if arrived.all() else 'not in all'} {seeds}. The walks: "
        f"{' and '.join(walked)}.",
        "For every pair of the six nodes, the first depth at which one depends on the "
        f"other is the number of edges between them, in {agree} of {seeds} seeds.",
    ]


def twin_verdicts(found: Found) -> list[str]:
    """What tells twins apart, and what cannot."""
    twins, seeds = sg.analysis.twins, len(found.divided)
    different, identical, random = found.separations.values()
    plain, depth = "gcn, self-weight 1", different["gat"].shape[1]
    pairs = twins.find_twins(graph_of(SIX, SIX_EDGES).graph)
    closed = ", ".join(f"{SIX[u]} and {SIX[v]}" for u, v in pairs)
    none = f"closed twins in it: {closed}" if closed else "no closed twins"
    opened = [
        f"{SIX[u]} and {SIX[v]} have the same neighbours, but not each other, and one "
        f"gcn layer gives them different outputs in {apart(s)} of {seeds} seeds, by "
        "their self-loops"
        for (u, v), s in found.open_twins.items()
    ]
    agree = ((different["gat"][:, 0] > ROUNDING) == found.divided).all()
    largest = max(values.max() for values in identical.values())
    return [
        f"The six nodes have {none}; {'; '.join(opened)}.",
        "The second graph's u and v are each other's neighbour and share all others. "
        f"With different features, {plain} gives them the same output: the largest "
        f"difference over {seeds} seeds and {depth} depths is "
        f"{different[plain].max():.1g} of their norm, which is rounding. Told apart "
        f"with one layer, and with {depth}: {counts(different, (0, -1))}.",
        f"gat's logits of u and v differ by a constant before the LeakyReLU. In "
        f"{found.divided.sum()} of {seeds} seeds they lie on both sides of its kink, "
        "and one layer tells u and v apart in "
        f"{'exactly these' if agree else 'other seeds than these'}. Once equal, twins "
        f"stay equal: with {depth} layers gat tells them apart in "
        f"{apart(different['gat'][:, -1])} seeds, and gatv2, whose LeakyReLUs have a "
        f"kink for every feature, in {apart(different['gatv2'][:, -1])}.",
        "With identical features of u and v "
        f"{'something' if largest > ROUNDING else 'nothing'} tells them apart, neither "
        "a self-weight nor attention nor gin: the largest difference over all layers, "
        f"depths and seeds is {largest:.1g}. Random features beside them help where "
        f"different ones did: {counts(random, (0,))} with one layer.",
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


def smoothing_verdicts(name: str, found: Any, compared: Any) -> list[str]:
    """How fast gcn smooths against the bound's rate, and the other arms against gcn."""
    s, last = (
        sg.statistics.summarize(found.decays["gcn"], (0, math.inf)),
        found.bound_shares.shape[1],
    )
    closest = np.nanmax(found.bound_shares)
    words = sg.statistics.interval_words(s, "{:.3f}".format)
    ends = f" (95 % interval {words}, {s.n} seeds)"
    return [
        f"On the {name}, the features of gcn come closer to smooth by a factor of "
        f"{s.mean:.3f} a layer from {found.start} to {last} layers"
        f"{ends if s.n > 1 else ''}; the second largest modulus of an eigenvalue is "
        f"{found.rate:.3f}. The bound of Oono and Suzuki "
        f"{'holds' if closest <= 1 else 'is broken'}: no distance is above "
        f"{closest:.2g} times it.",
        *(f"On the {name}: {p.verdict}" for p in compared.pairs if p.a == "gcn"),
    ]


def compare(name: str, distances: Values) -> Any:
    """Paired comparisons of all arms at the deepest, in powers of ten."""
    depth = distances["gcn"].shape[1] - 1
    words = ("is smoother than", "is less smooth than")
    label = f"log10 of the distance to smooth at depth {depth}, {name}"
    metric = Metric(label, unit="powers of ten", words=words)
    with np.errstate(divide="ignore"):
        logs = {arm: np.log10(d[:, -1]) for arm, d in distances.items()}
    return sg.compare({arm: sg.Measured({metric: v}) for arm, v in logs.items()})


def arms_of(found: Found) -> "dict[str, sg.Measured]":
    """Every arm's numbers per seed; distances at depth 0, 1, 2, 4, ... and the last."""
    influences = found.signal[:, :, *TO_FROM]
    name = f"influence_of_{SOURCE}_on_{TARGET}"
    arms = {"signal, gcn": by_depth(name, influences, range(influences.shape[1]))}
    for features, separations in found.separations.items():
        for arm, v in separations.items():
            depths = range(1, v.shape[1] + 1)
            arms[f"twins, {features}, {arm}"] = by_depth("separation", v, depths)
    for name, smoothing in found.smoothing.items():
        for arm, d in smoothing.distances.items():
            last = d.shape[1] - 1
            depths = [0, *(2**k for k in range(last.bit_length()) if 2**k < last), last]
            decay = {Metric("decay_per_layer"): smoothing.decays[arm]}
            arms[f"{name}, {arm}"] = by_depth("distance", d[:, depths], depths) | decay
    return {arm: sg.Measured(values) for arm, values in arms.items()}


def by_depth(name: str, values: np.ndarray, depths: Sequence[int]) -> dict[Metric, Any]:
    """Values ``[S, K]`` of depths, each as a metric."""
    columns = zip(depths, values.T, strict=True)
    return {Metric(f"{name}_depth_{k}"): column for k, column in columns}


def build(config: Config, seeds: tuple[int, ...]) -> Study:
    weights = config.self_weights
    if not weights or len(set(weights)) < len(weights) or {1, math.inf} & set(weights):
        raise ValueError("--self-weights takes different numbers other than 1 and inf")
    return Study("How messages travel, and what they blur", partial(report, config))


def report(config: Config, trained: Trained) -> Report:
    found, fields = measure(config, trained.seeds), sg.analysis.receptive_fields
    six, with_twins = graph_of(SIX, SIX_EDGES).graph, graph_of(TWINS, TWIN_EDGES).graph
    normalised, (to, source) = fields.convolution_matrix(six), TO_FROM
    first = int(fields.receptive_field((found.signal != 0).any(0))[TO_FROM])
    tables, plots = sg.reports.messages, sg.reports.plots.messages
    walks = tables.walk_table(fields.walks(normalised, source, to, max(0, first)), SIX)
    verdicts = [*signal_verdicts(found.signal, first, walks), *twin_verdicts(found)]
    compared = {k: compare(k, of.distances) for k, of in found.smoothing.items()}
    for graph, smoothing in found.smoothing.items():
        verdicts += smoothing_verdicts(graph, smoothing, compared[graph])
    different, identical, random = found.separations
    last = found.separations[different]["gat"].shape[1]
    panels = [
        (identical, 1),
        *((of, k) for of in (different, random) for k in (1, last)),
    ]
    signal = plots.plot_signal(
        six, SIX_PLACES, SIX, found.signal[:, :6, :, source], source
    )
    twins = plots.plot_twins(
        with_twins, TWIN_PLACES, TWINS, (0, 1), found.separations, panels, ROUNDING
    )
    smoothing = plots.plot_smoothing(found.smoothing)
    loops, matrix = fields.with_loops(six), tables.matrix_table
    added, scaled = (
        "A + I: a row per receiver.",
        "D^-1/2 (A + I) D^-1/2, D the row sums of A + I.",
    )
    influences = tables.influence_table(found.signal[:, :, to, source], SOURCE, TARGET)
    separations = tables.separation_table(found.separations, ROUNDING)
    sections = [
        sg.Section(
            "Six nodes with self-loops", matrix(loops, SIX, added), printed=True
        ),
        sg.Section(
            "The same, normalised", matrix(normalised, SIX, scaled), printed=True
        ),
        sg.Section(f"How a signal from {SOURCE} travels", None, signal, "signal"),
        sg.Section(f"When it reaches {TARGET}", influences),
        sg.Section("Its walks", walks),
        sg.Section("Twins: every seed", None, twins, "twins"),
        sg.Section("Twins: numbers", separations),
        sg.Section("Layers on layers", None, smoothing, "smoothing"),
        sg.Section(
            "Layers on layers: numbers", tables.smoothing_table(found.smoothing)
        ),
        sg.Section("Comparisons", sg.reports.comparison_table(list(compared.values()))),
    ]
    return Report(arms_of(found), verdicts, sections, list(compared.values()))


main = experiment(
    "message_passing",
    Config(),
    build,
    doc=__doc__,
    seeds=lambda config: range(0, 500 * 64, 500),
    smoke={"features": 4, "max_depth": 8},
)

if __name__ == "__main__":
    sys.exit(main())
