"""Networks of the same data in two forms, in a row and as a graph, by name.

A name has words: a graph layer, with the number of layers where there are paths
(``gcn-8``); a cell, with the number of a walk's nodes (``gru-3``) or with what it reads
before it (``dfs-gru``); ``mean-3`` and ``mlp`` are neither.
"""

from collections.abc import Collection, Iterable
from typing import Any

import flax.linen as nn

from seqgraph_jax.graph.networks import LAYERS, GraphClassifier, NodeClassifier
from seqgraph_jax.graph.paths import PathClassifier, receptive_field
from seqgraph_jax.joined.rounds import RoundsReader
from seqgraph_jax.joined.walks import WalkClassifier
from seqgraph_jax.recurrent.cells import CELLS
from seqgraph_jax.recurrent.networks import PaddedReader


def kind_of(name: str) -> str:
    """Whether a network is ``"graph"`` or ``"recurrent"``, or ``""`` for neither.

    >>> [kind_of(name) for name in ("gin-8", "bilstm", "dfs-gru", "mean-3", "mlp")]
    ['graph', 'recurrent', 'recurrent', '', '']
    """
    words = name.split("-")
    if words[0] in LAYERS:
        return "" if words[0] == "mlp" else "graph"
    return "recurrent" if {word.removeprefix("bi") for word in words} & {*CELLS} else ""


def number_of(name: str) -> int:
    """The number at the end of a name, 0 if it has none.

    >>> number_of("gcn-8"), number_of("gcn")
    (8, 0)
    """
    number = name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def order_pairs(names: Collection[str], graph: str) -> list[tuple[str, str]]:
    """Each that reads walks in order, and a graph network, with the mean of the walks.

    >>> order_pairs(["gcn", "gru-3", "gru-8", "mean-3"], "gcn")
    [('gcn', 'mean-3'), ('gru-3', 'mean-3')]
    """
    means = [name for name in names if name.startswith("mean-")]
    readers = [name for name in names if number_of(name) and name not in means]
    ordered = [(k, f"mean-{number_of(k)}") for k in readers]
    return [(graph, k) for k in means] + [pair for pair in ordered if pair[1] in means]


def symbols_heard(names: Iterable[str], both_ways: bool) -> dict[str, int]:
    """Of how many symbols of a string a node of each graph network hears.

    >>> symbols_heard(["gru", "gcn-2"], both_ways=True)
    {'gcn-2': 5}
    """
    graphs = [name for name in names if kind_of(name) == "graph"]
    return {name: receptive_field(number_of(name), both_ways) for name in graphs}


def string_network(
    name: str, features: int, both_ways: bool, readout: str
) -> nn.Module:
    """A network of strings of two symbols and padding, for two classes.

    ``recurrent-gnn`` is `RoundsReader`, the GRU as message passing. Raises `ValueError`
    for an unknown cell, as for any other name.

    >>> string_network("gin-2", 8, both_ways=True, readout="max").num_layers
    2
    """
    layer, layers = name.partition("-")[0], number_of(name)
    if name == "recurrent-gnn":
        return RoundsReader("gru", features, 2, 3)
    if layer in LAYERS and layers:
        return PathClassifier(layer, features, 3, 2, layers, both_ways, readout)
    return PaddedReader(name, features, 2, 3)


def node_network(
    name: str, features: int, num_classes: int, dropout_rate: float
) -> nn.Module:
    """A network of a node's neighbourhood, or of walks that end at it."""
    network: Any = WalkClassifier if number_of(name) else NodeClassifier
    kind = name.partition("-")[0]
    return network(kind, features, num_classes, dropout_rate=dropout_rate)


def molecule_network(
    name: str,
    features: int,
    num_outputs: int,
    num_symbols: int,
    dropout_rate: float,
    num_layers: int,
    readout: str,
) -> nn.Module:
    """A network of graphs, with residual and normalised layers, or of sequences."""
    cell = name.partition("-")[2]
    if cell:
        sizes = (features, num_outputs, num_symbols)
        return PaddedReader(cell, *sizes, dropout_rate=dropout_rate)
    return GraphClassifier(
        name,
        features,
        num_outputs,
        num_layers=num_layers,
        dropout_rate=dropout_rate,
        readout=readout,
        residual=True,
        normalize=True,
    )
