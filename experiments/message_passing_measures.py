"""What experiments.message_passing measures, with random weights and features.

Arrays have a row per seed, S of them. Networks are as deep as D, and as NEAR for the
first K layers; N nodes have F features, which is the width of every layer too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.message_passing import Config
from seqgraph_jax import LAYERS
from seqgraph_jax.analysis import receptive_fields as fields
from seqgraph_jax.data.records import from_arrays, from_networkx
from seqgraph_jax.graph.adjacency import index_graph

#: Updates of the signal and layers on twins, at most.
NEAR = 6
SIX = ("A", "B", "C", "D", "E", "F")
SIX_EDGES = ("AB", "AE", "AF", "BD", "CD", "DF")
SIX_PLACES = {"C": (0, 0), "D": (1, 0), "B": (2, 0.6), "F": (2, -0.6)}
SIX_PLACES |= {"A": (3, 0), "E": (4, 0)}
SOURCE, TARGET = "C", "E"

TWINS = ("u", "v", "p", "q", "r", "s")
TWIN_EDGES = ("uv", "up", "uq", "vp", "vq", "pr", "rs")
TWIN_PLACES = {"u": (1, 0.7), "v": (1, -0.7), "q": (0, 0), "p": (2, 0)}
TWIN_PLACES |= {"r": (3, 0), "s": (4, 0)}

DIFFERENT = "different features"
IDENTICAL = "identical features"
RANDOM = "identical features beside random ones"


@dataclass(frozen=True)
class Smoothing:
    """What layers on layers do to a graph's features, S seeds and depth 0 to D."""

    distances: dict[str, np.ndarray]  # arm: [S, D + 1], shares of the norm
    bound_shares: np.ndarray  # [S, D], the distance in gcn over its bound
    rate: float  # second largest modulus of an eigenvalue of gcn's matrix
    open_twins: dict[tuple[int, int], np.ndarray]  # separations [S] by one gcn layer


@dataclass(frozen=True)
class Measured:
    """What was measured, for S seeds and the first K layers, NEAR or fewer."""

    signal: np.ndarray  # [S, K + 1, N, N], influences on the six nodes
    separations: dict[str, dict[str, np.ndarray]]  # features, arm: [S, K]
    divided: np.ndarray  # [S] bool: GAT's kink lies between logits of the twins
    smoothing: dict[str, Smoothing]  # by graph


def graph_of(names: Sequence[str], pairs: Sequence[str]) -> Any:
    """An undirected graph, indexed; a pair is two names of one letter."""
    ends = np.array([[names.index(end) for end in pair] for pair in pairs])
    data = from_arrays(*ends.T, undirected=True, num_nodes=len(names))
    return index_graph(data.graph())


def karate_club() -> Any:
    """Zachary's karate club without its weights, indexed."""
    import networkx

    club = from_networkx(networkx.karate_club_graph(), label="club")
    return index_graph(club.graph())


def for_seeds(function: Callable[..., Any], *arrays: Any) -> Any:
    """``function`` of every seed's ``arrays`` as one compiled program: ``[S, ...]``."""
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(function))(*arrays))


def draw_for_seeds(function: Callable[[Any], Any], keys: Any) -> Any:
    """``function(key)`` of every key, as a loop: see `init_layers`."""
    return jax.tree.map(np.asarray, jax.jit(partial(lax.map, function))(keys))


def draw_weights(config: Config, keys: Any) -> dict[str, Any]:
    """Parameters ``[S, D, ...]`` by layer, the same for every graph."""
    shape = (len(SIX), config.features)
    inputs = with_nodes(graph_of(SIX, SIX_EDGES), np.zeros(shape))
    weights = {}
    for name in ("gcn", "gin", "gat", "gatv2", "mlp"):
        init = partial(fields.init_layers, LAYERS[name](config.features))
        init = partial(init, inputs=inputs, depth=config.max_depth)
        weights[name] = draw_for_seeds(init, keys)
    return weights


def draw_nodes(config: Config, keys: Any, graph: Any) -> np.ndarray:
    """Normal features of the graph's nodes: ``[S, N, F]``."""
    shape = (graph.adjacency.num_senders, config.features)
    return draw_for_seeds(partial(jax.random.normal, shape=shape), keys)


def with_nodes(graph: Any, nodes: Any) -> Any:
    """The indexed graph with other nodes."""
    return graph._replace(graph=graph.graph._replace(nodes=nodes))


def measure_signal(config: Config, nodes: np.ndarray, weights: Any) -> np.ndarray:
    """Influences on the six nodes in convolutions with ELUs: ``[S, K + 1, N, N]``."""
    six, layer = graph_of(SIX, SIX_EDGES), LAYERS["gcn"](config.features)
    return for_seeds(
        lambda x, params: fields.influences(layer, params, with_nodes(six, x)),
        nodes,
        first_layers(weights["gcn"]),
    )


def first_layers(params: Any) -> Any:
    """Parameters ``[S, D, ...]`` of the first NEAR layers."""
    return jax.tree.map(lambda leaf: leaf[:, :NEAR], params)


def twin_arms(config: Config) -> dict[str, tuple[str, dict[str, float], float | None]]:
    """Layers to tell twins apart with: a name, options, GIN's epsilon."""
    arms: dict[str, tuple[str, dict[str, float], float | None]]
    arms = {"gcn, self-weight 1": ("gcn", {}, None)}
    for w in config.self_weights:
        arms[f"gcn, self-weight {w:g}"] = ("gcn", {"self_weight": w}, None)
    arms |= {"gin, epsilon 0": ("gin", {}, 0.0), "gin, epsilon 1": ("gin", {}, 1.0)}
    return arms | {"gat": ("gat", {}, None), "gatv2": ("gatv2", {}, None)}


def measure_twins(
    config: Config, nodes: np.ndarray, weights: Any
) -> dict[str, dict[str, np.ndarray]]:
    """Separations ``[S, K]`` of the first two nodes, by features and arm."""
    graph, half = graph_of(TWINS, TWIN_EDGES), config.features // 2
    alike = nodes.copy()
    alike[:, 1] = nodes[:, 0]
    partly = np.concatenate([alike[..., :half], nodes[..., half:]], axis=-1)
    variants = np.stack([nodes, alike, partly], axis=1)  # [S, 3, N, F]
    separations: dict[str, dict[str, np.ndarray]] = {
        name: {} for name in (DIFFERENT, IDENTICAL, RANDOM)
    }
    for arm, (name, options, epsilon) in twin_arms(config).items():
        layer, params = LAYERS[name](config.features, **options), weights[name]
        if epsilon is not None:
            params = {**params, "epsilon": np.full_like(params["epsilon"], epsilon)}
        outputs = partial(_outputs, layer, graph, False)
        outputs = jax.vmap(outputs, in_axes=(0, None))
        h = for_seeds(outputs, variants, first_layers(params))  # [S, 3, K + 1, N, F]
        for v, features in enumerate(separations):
            separations[features][arm] = separation(h[:, v, 1:], 0, 1)
    return separations


def _outputs(layer: Any, graph: Any, residual: bool, nodes: Any, params: Any) -> Any:
    inputs = with_nodes(graph, nodes)
    return fields.layer_outputs(layer, params, inputs, residual=residual)


def separation(outputs: np.ndarray, u: int, v: int) -> np.ndarray:
    """``|h_u - h_v|`` over the mean of both norms: ``[..., N, F]`` to ``[...]``."""
    norms = np.linalg.norm(outputs[..., [u, v], :], axis=-1)
    apart = np.linalg.norm(outputs[..., u, :] - outputs[..., v, :], axis=-1)
    mean = norms.mean(-1)
    return np.divide(apart, mean, out=np.zeros_like(apart), where=mean > 0)


def kink_divides(nodes: np.ndarray, params: Any) -> np.ndarray:
    """Do both signs occur among the twins' logits in a first layer of GAT? ``[S]``."""
    h = nodes @ params["linear"]["kernel"][:, 0]  # [S, N, F]
    of_sender, of_receiver = (
        np.einsum("snf,sf->sn", h, params[name][:, 0, 0])
        for name in ("sender", "receiver")
    )
    around = [TWINS.index(name) for name in "uvpq"]
    logits = of_sender[:, around, None] + of_receiver[:, None, :2]
    return (logits > 0).any((1, 2)) & (logits < 0).any((1, 2))


def smoothing_arms(config: Config) -> dict[str, tuple[str, dict[str, float], bool]]:
    """Networks to put layers on layers with: a name, options, residual."""
    w = max(config.self_weights)
    return {
        "gcn": ("gcn", {}, False),
        f"gcn, self-weight {w:g}": ("gcn", {"self_weight": w}, False),
        "gcn, residual": ("gcn", {}, True),
        "gat": ("gat", {}, False),
        "mlp": ("mlp", {}, False),
    }


def measure_smoothing(
    config: Config, graph: Any, nodes: np.ndarray, weights: Any
) -> Smoothing:
    """How far from smooth every arm's features are on a graph, at all depths."""
    distances = {}
    for arm, (name, options, residual) in smoothing_arms(config).items():
        layer = LAYERS[name](config.features, **options)
        h = for_seeds(partial(_outputs, layer, graph, residual), nodes, weights[name])
        loops = fields.with_loops(graph.graph, options.get("self_weight", 1.0))
        fixed = np.sqrt(loops.sum(1)) if name == "gcn" else np.ones(len(loops))
        distance = fields.distance_to_smooth(h, fixed)
        size = np.linalg.norm(h, axis=(-2, -1))
        missing = np.full_like(size, np.nan)  # of networks that give zeros
        distances[arm] = np.divide(distance, size, out=missing, where=size > 0)
        if arm == "gcn":
            first = h[:, 1]
            rate = fields.second_eigenvalue(fields.convolution_matrix(graph.graph))
            largest = np.linalg.norm(
                weights[name]["linear"]["kernel"], 2, axis=(-2, -1)
            )
            bound = distance[:, :1] * np.cumprod(rate * largest, axis=1)
            shares = distance[:, 1:] / bound
    open_twins = {
        (u, v): separation(first, u, v)
        for u, v in fields.twins(graph.graph, closed=False)
    }
    return Smoothing(distances, shares, rate, open_twins)


def measure(config: Config, seeds: Sequence[int]) -> Measured:
    """Everything, in double precision."""
    with jax.enable_x64(True):
        keys = jnp.stack([jax.random.key(seed) for seed in seeds])
        nodes_keys, init_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        weights = draw_weights(config, init_keys)
        six = graph_of(SIX, SIX_EDGES)
        nodes = draw_nodes(config, nodes_keys, six)  # the twins' too: six nodes
        club = karate_club()
        members = draw_nodes(config, nodes_keys, club)
        return Measured(
            measure_signal(config, nodes, weights),
            measure_twins(config, nodes, weights),
            kink_divides(nodes, weights["gat"]),
            {
                "six nodes": measure_smoothing(config, six, nodes, weights),
                "karate club": measure_smoothing(config, club, members, weights),
            },
        )
