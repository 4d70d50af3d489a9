"""What experiments.message_passing says and draws of what it measured."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from experiments.cli import START
from experiments.directory import Directory
from experiments.message_passing_measures import (
    DIFFERENT,
    IDENTICAL,
    RANDOM,
    SIX,
    SIX_EDGES,
    SOURCE,
    TARGET,
    Measured,
    Smoothing,
    graph_of,
)
from experiments.message_passing_tables import (
    FROM,
    ROUNDING,
    TO,
    decay,
    figures,
    matrix_table,
    paths,
    signal_table,
    smoothing_table,
    twin_table,
)
from experiments.publishing import publish, writing_to
from seqgraph_jax.analysis import receptive_fields as fields
from seqgraph_jax.reports import pages as reporting
from seqgraph_jax.reports import results, statistics
from seqgraph_jax.reports.pages import Section


def signal_verdicts(measured: Measured, first: int | None) -> list[str]:
    """When a signal arrives, by which walks, and whether all pairs agree."""
    signal = measured.signal
    seeds, depth = len(signal), signal.shape[1] - 1
    if first is None:
        return [f"{depth} updates bring nothing from {SOURCE} to {TARGET}."]
    counts = (signal[:, :, TO, FROM] != 0).sum(0)
    late = f"not 0 for {first} to {depth}" if depth > first else "not 0 then"
    always = "in all" if (counts[first:] == seeds).all() else "not in all"
    sentence = (
        f"Information from {SOURCE} reaches {TARGET} after {first} updates: the "
        f"derivative is exactly 0 for 0 to {first - 1} updates in all {seeds} seeds, "
        f"and {late} {always} {seeds}."
    )
    table = paths(fields.convolution_matrix(graph_of(SIX, SIX_EDGES).graph), first)
    walked = [f"{name} ({share})" for name, _, share in table.rows]
    from scipy.sparse import csgraph

    loops = fields.with_loops(graph_of(SIX, SIX_EDGES).graph)
    distances = csgraph.shortest_path(loops, unweighted=True).T
    expected = np.where(distances <= depth, distances, -1)
    agree = sum((fields.receptive_field(s) == expected).all() for s in signal)
    return [
        f"{sentence} The walks: {' and '.join(walked)}.",
        f"For every pair of the six nodes, the first depth at which one depends on the "
        f"other is the number of edges between them, in {agree} of {seeds} seeds.",
    ]


def twin_verdicts(measured: Measured) -> list[str]:
    """What tells twins apart, and what cannot."""
    different = measured.separations[DIFFERENT]
    depth = next(iter(different.values())).shape[1]
    seeds, plain = len(measured.divided), "gcn, self-weight 1"
    six = graph_of(SIX, SIX_EDGES).graph
    closed = [f"{SIX[u]} and {SIX[v]}" for u, v in fields.twins(six)]
    pairs = measured.smoothing["six nodes"].open_twins
    opened = [
        f"{SIX[u]} and {SIX[v]} have the same neighbours, but not each other, and one "
        f"gcn layer gives them different outputs in {(s > ROUNDING).sum()} of {seeds} "
        "seeds, by their self-loops"
        for (u, v), s in pairs.items()
    ]
    none = f"closed twins in it: {', '.join(closed)}" if closed else "no closed twins"
    verdicts = [f"The six nodes have {none}; {'; '.join(opened)}."]
    verdicts.append(
        "The second graph's u and v are each other's neighbour and share all others. "
        f"With different features, {plain} gives them the same output: the largest "
        f"difference over {seeds} seeds and {depth} depths is "
        f"{different[plain].max():.1g} of their norm, which is rounding. Told apart "
        f"with one layer, and with {depth}: {_counts(different, (0, depth - 1))}."
    )
    agree = ((different["gat"][:, 0] > ROUNDING) == measured.divided).all()
    verdicts.append(
        f"gat's logits of u and v differ by a constant before the LeakyReLU. In "
        f"{measured.divided.sum()} of {seeds} seeds they lie on both sides of its "
        f"kink, and one layer tells u and v apart in "
        f"{'exactly these' if agree else 'other seeds than these'}. Once equal, twins "
        f"stay equal: with {depth} layers gat tells them apart in "
        f"{(different['gat'][:, -1] > ROUNDING).sum()} seeds, and gatv2, whose "
        "LeakyReLUs have a kink for every feature, in "
        f"{(different['gatv2'][:, -1] > ROUNDING).sum()}."
    )
    largest = max(values.max() for values in measured.separations[IDENTICAL].values())
    helped = largest > ROUNDING
    verdicts.append(
        "With identical features of u and v "
        + ("something tells" if helped else "nothing tells")
        + " them apart, neither a self-weight nor attention nor gin: the largest "
        f"difference over all layers, depths and seeds is {largest:.1g}. Random "
        "features beside them help where different ones did: "
        f"{_counts(measured.separations[RANDOM], (0,))} with one layer."
    )
    return verdicts


def _counts(separations: Mapping[str, np.ndarray], layers: Sequence[int]) -> str:
    """Seeds told apart by every arm, after each of the layers."""
    return ", ".join(
        f"{arm} in {' and '.join(str((v[:, k] > ROUNDING).sum()) for k in layers)}"
        for arm, v in separations.items()
    )


def smoothing_verdicts(
    name: str, found: Smoothing, pairs: Sequence[statistics.Comparison]
) -> list[str]:
    """How fast gcn smooths against the bound's rate, and the other arms against gcn."""
    factors, start = decay(found.distances["gcn"])
    s = statistics.summarize(factors)
    low, high = s.ci95
    interval = f" (95 % interval {low:.3f} to {high:.3f}, {s.n} seeds)"
    closest = np.nanmax(found.bound_shares)
    last = found.distances["gcn"].shape[1] - 1
    sentence = (
        f"On the {name}, the features of gcn come closer to smooth by a factor of "
        f"{s.mean:.3f} a layer from {start} to {last} layers"
        f"{interval if s.n > 1 else ''}; the second largest modulus "
        f"of an eigenvalue is {found.rate:.3f}. The bound of Oono and Suzuki "
        f"{'holds' if closest <= 1 else 'is broken'}: no distance is above "
        f"{closest:.2g} times it."
    )
    return [sentence, *(f"On the {name}: {p.verdict}" for p in pairs if p.a == "gcn")]


def compare(name: str, found: Smoothing) -> list[statistics.Comparison]:
    """Paired comparisons of all arms at the deepest, in powers of ten."""
    with np.errstate(divide="ignore"):
        logs = {arm: np.log10(d[:, -1]) for arm, d in found.distances.items()}
    depth = next(iter(found.distances.values())).shape[1] - 1
    return statistics.compare(
        logs,
        f"log10 of the distance to smooth at depth {depth}, {name}",
        words=("is smoother than", "is less smooth than"),
        unit="powers of ten",
    )


def arms_of(measured: Measured) -> dict[str, Any]:
    """Every arm's numbers per seed, for results.json."""
    norms = measured.signal[:, :, TO, FROM]
    values = {
        "signal, gcn": {
            f"influence_of_{SOURCE}_on_{TARGET}_depth_{k}": norms[:, k]
            for k in range(norms.shape[1])
        }
    }
    for features, arms in measured.separations.items():
        for arm, v in arms.items():
            depths = {f"separation_depth_{k + 1}": v[:, k] for k in range(v.shape[1])}
            values[f"twins, {features}, {arm}"] = depths
    for name, found in measured.smoothing.items():
        for arm, d in found.distances.items():
            depths = {f"distance_depth_{k}": d[:, k] for k in _depths(d)}
            values[f"{name}, {arm}"] = {**depths, "decay_per_layer": decay(d)[0]}
    return {
        arm: {"metrics": {m: asdict(statistics.summarize(v)) for m, v in of.items()}}
        for arm, of in values.items()
    }


def _depths(distances: np.ndarray) -> list[int]:
    """0, 1, 2, 4, ... and the deepest."""
    last = distances.shape[1] - 1
    powers = [2**k for k in range(last.bit_length()) if 2**k < last]
    return [0, *powers, last]


def first_arrival(measured: Measured) -> int | None:
    """Fewest updates after which the target depends on the source in some seed."""
    arrived = (measured.signal[:, :, TO, FROM] != 0).any(0)
    return int(arrived.argmax()) if arrived.any() else None


def finish(
    measured: Measured,
    place: Directory,
    *,
    seeds: Sequence[int],
    question: str,
    command: str,
    setup_s: float,
) -> None:
    """Write the report, print its matrices, its sentences and where it is."""
    six, first = graph_of(SIX, SIX_EDGES).graph, first_arrival(measured)
    compared = {name: compare(name, s) for name, s in measured.smoothing.items()}
    verdicts = [*signal_verdicts(measured, first), *twin_verdicts(measured)]
    for name, found in measured.smoothing.items():
        verdicts += smoothing_verdicts(name, found, compared[name])
    normalised = fields.convolution_matrix(six)
    matrices = (
        matrix_table(fields.with_loops(six), "A + I: a row per receiver."),
        matrix_table(normalised, "D^-1/2 (A + I) D^-1/2, D the row sums of A + I."),
    )
    depth = measured.signal.shape[1] - 1
    pairs = [pair for found in compared.values() for pair in found]
    record = {
        "schema": 1,
        "experiment": "message_passing",
        "config": place.settings,
        "seeds": list(seeds),
        "environment": results.environment(1, len(seeds)),
        "arms": arms_of(measured),
        "comparisons": [asdict(pair) for pair in pairs],
        "timing": {"setup_s": setup_s, "total_s": time.perf_counter() - START},
    }
    with writing_to(place):
        svgs = {
            name: reporting.write_figure(place.path, figure, name)
            for name, figure in figures(measured).items()
        }
    groups = [results.Comparisons(p[0].metric, {}, p) for p in compared.values()]
    sections = [
        Section("Six nodes with self-loops", matrices[0]),
        Section("The same, normalised", matrices[1]),
        Section(f"How a signal from {SOURCE} travels", svg=svgs["signal"]),
        Section(f"When it reaches {TARGET}", signal_table(measured.signal)),
        Section("Its walks", paths(normalised, depth if first is None else first)),
        Section("Twins: every seed", svg=svgs["twins"]),
        Section("Twins: numbers", twin_table(measured.separations)),
        Section("Layers on layers", svg=svgs["smoothing"]),
        Section("Layers on layers: numbers", smoothing_table(measured.smoothing)),
        Section("Comparisons", reporting.comparison_table(groups)),
    ]
    publish(
        place,
        record,
        matrices,
        verdicts,
        title="How messages travel, and what they blur",
        question=question,
        sections=sections,
        command=command,
    )
