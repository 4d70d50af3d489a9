"""How fast layers on layers make all nodes of a graph alike, and the bound of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jraph
import numpy as np

from seqgraph_jax.analysis.receptive_fields import convolution_matrix, with_loops
from seqgraph_jax.analysis.untrained import Networks
from seqgraph_jax.graph.adjacency import IndexedGraph
from seqgraph_jax.graph.layers import GraphConvolution


@dataclass(frozen=True)
class Smoothing:
    """What layers on layers do to a graph's features, S seeds and depth 0 to K."""

    distances: Mapping[str, np.ndarray]  # arm: [S, K + 1], shares of the norm
    bound_shares: np.ndarray  # [S, K], the first arm's distance over its bound
    rate: float  # of `smoothing_rate`
    decays: Mapping[str, np.ndarray]  # arm: [S], factors of `decay_per_layer`
    start: int  # the layer that they start from


def measure_smoothing(
    arms: Mapping[str, Networks], graph: IndexedGraph, nodes: np.ndarray
) -> Smoothing:
    """How far from smooth features are in networks of all depths on a graph.

    The first arm are convolutions with a self-weight of 1, which have a bound. Nodes
    are ``[S, N, F]``.

    >>> import seqgraph_jax as sg
    >>> path = sg.data.from_arrays([0, 1], [1, 2], undirected=True).graph()
    >>> path, draw = sg.index_graph(path), sg.analysis.untrained
    >>> gcn = draw.draw_networks(sg.GraphConvolution(4), path, seeds=[0], depth=9)
    >>> found = measure_smoothing({"gcn": gcn}, path, draw.draw_nodes(path, 4, [0]))
    >>> found.distances["gcn"].shape, bool((found.bound_shares <= 1).all())
    ((1, 10), True)
    """
    plain = graph.graph
    outputs = {arm: of.outputs(graph, nodes) for arm, of in arms.items()}
    distances = {
        arm: relative_distance(outputs[arm], smooth_vector(of.layer, plain))
        for arm, of in arms.items()
    }
    first, networks = next(iter(arms.items()))
    kernels = networks.params["linear"]["kernel"]
    shares = bound_shares(outputs[first], kernels, plain)
    factors = {arm: decay_per_layer(d) for arm, d in distances.items()}
    decays = {arm: of_seeds for arm, (of_seeds, _) in factors.items()}
    start = factors[first][1]
    return Smoothing(distances, shares, smoothing_rate(plain), decays, start)


def distance_to_smooth(h: Any, vector: np.ndarray) -> np.ndarray:
    r"""Distance of features from those that follow one vector over the nodes.

    .. math:: d(H) = \lVert H - v v^T H \rVert_F, \qquad v = u / \lVert u \rVert

    where u is ``vector``, that of `smooth_vector`. At 0, nodes differ by u alone.

    Shapes: ``h [..., N, F]``, ``vector [N]``; returns ``[...]``.

    Source: Oono and Suzuki, Graph neural networks exponentially lose expressive power
    for node classification, 2020, section 3.

    >>> float(distance_to_smooth(np.array([[3.0], [1.0]]), np.ones(2)).round(3))
    1.414
    """
    h, v = np.asarray(h), vector / np.linalg.norm(vector)
    along = np.einsum("n,...nf->...f", v, h)
    return np.linalg.norm(h - v[:, None] * along[..., None, :], axis=(-2, -1))


def relative_distance(h: Any, vector: np.ndarray) -> np.ndarray:
    """`distance_to_smooth` as a share of the features' norm; NaN where that is 0.

    >>> relative_distance(np.array([[[0.0], [-2.0]], [[0.0], [0.0]]]), np.ones(2))
    array([0.70710678,        nan])
    """
    size = np.linalg.norm(h, axis=(-2, -1))
    missing = np.full_like(size, np.nan)
    return np.divide(distance_to_smooth(h, vector), size, out=missing, where=size > 0)


def smooth_vector(layer: Any, graph: jraph.GraphsTuple) -> np.ndarray:
    """What a layer's averaging leaves as it is, ``[N]``.

    The roots of the degrees with self-loop for the symmetric normalisation of a
    `GraphConvolution`; ones for attention, and for a mean.

    Source: Li, Han, Wu, Deeper insights into graph convolutional networks for
    semi-supervised learning, 2018, theorem 1.

    >>> from seqgraph_jax.data import from_arrays
    >>> path = from_arrays([0, 1], [1, 2], undirected=True).graph()
    >>> smooth_vector(GraphConvolution(2), path) ** 2
    array([2., 3., 2.])
    """
    if not isinstance(layer, GraphConvolution):
        return np.ones(int(np.sum(graph.n_node)))
    return np.sqrt(with_loops(graph, layer.self_weight).sum(1))


def second_eigenvalue(matrix: np.ndarray) -> float:
    """Second largest modulus of an eigenvalue of a symmetric matrix ``[N, N]``.

    >>> second_eigenvalue(np.diag([1.0, 0.5, -0.75]))
    0.75
    """
    return float(np.sort(np.abs(np.linalg.eigvalsh(matrix)))[-2])


@jax.enable_x64(True)
def smoothing_rate(graph: jraph.GraphsTuple) -> float:
    r"""The factor by which a convolution on an undirected graph smooths at least.

    :math:`\lambda`, the second largest modulus of an eigenvalue of :math:`\hat A`.

    >>> from seqgraph_jax.data import from_arrays
    >>> path = from_arrays([0, 1], [1, 2], undirected=True).graph()
    >>> round(smoothing_rate(path), 4)
    0.5
    """
    return second_eigenvalue(convolution_matrix(graph))


def bound_shares(outputs: Any, kernels: Any, graph: jraph.GraphsTuple) -> np.ndarray:
    r"""Distances to smooth in convolutions with ReLUs, as shares of their upper bound.

    .. math:: d(H_k) \le \lambda^k \, s_1 \cdots s_k \, d(H_0)

    with :math:`\lambda` of `smoothing_rate` and s the largest singular value of a
    layer's kernel.

    Shapes: ``outputs [S, K + 1, N, F]`` of `layer_outputs`, ``kernels [S, K, F, F]``;
    returns ``[S, K]``.

    Source: Oono and Suzuki, 2020, theorem 1.

    >>> from seqgraph_jax.data import from_arrays
    >>> path = from_arrays([0, 1], [1, 2], undirected=True).graph()
    >>> h = np.array([[[1.0], [0.0], [-1.0]]])
    >>> one_layer = convolution_matrix(path) @ h  # its slowest direction
    >>> bound_shares(np.stack([h, one_layer], 1), np.ones((1, 1, 1, 1)), path).round(4)
    array([[1.]])
    """
    vector = np.sqrt(with_loops(graph).sum(1))
    distance = distance_to_smooth(outputs, vector)  # [S, K + 1]
    largest = np.linalg.norm(kernels, 2, axis=(-2, -1))
    rates = np.cumprod(smoothing_rate(graph) * largest, axis=1)
    return distance[:, 1:] / (distance[:, :1] * rates)


def decay_per_layer(distances: np.ndarray) -> tuple[np.ndarray, int]:
    """Factor per layer over the last three quarters, and the layer where they start.

    Shapes: ``distances [S, K + 1]``; returns ``[S]``.

    >>> factors, start = decay_per_layer(0.5 ** np.arange(9.0)[None])
    >>> factors.item(), start
    (0.5, 2)
    """
    last = distances.shape[1] - 1
    start = max(1, last // 4)
    with np.errstate(invalid="ignore", divide="ignore"):
        factors = (distances[:, last] / distances[:, start]) ** (1 / (last - start))
    return factors, start
