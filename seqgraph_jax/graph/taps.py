"""Linear taps of a graph: a node's own value and sums over its neighbourhoods.

The graph stays raw, as for `graph.layers`: an edge leads from sender to receiver, and
``graph.edges`` is None or weights ``[E]``. What depends on the graph alone, degrees and
normalised weights, is computed once by `GraphTaps.operators`; `GraphTaps.mix` then
takes any number of signals. Edges of weight 0 change nothing.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jraph

from seqgraph_jax.graph.adjacency import Adjacency, IndexedGraph
from seqgraph_jax.graph.layers import inverse_degree, normalized, split_edges
from seqgraph_jax.graph.propagation import (
    at_receivers,
    at_senders,
    propagate,
    sum_at_receivers,
    turn,
)


class Operator(NamedTuple):
    """A linear map of node values: ``y = A x``, or ``A x + own * x``."""

    adjacency: Adjacency
    weights: jax.Array  # [E]
    own: jax.Array | None = None  # [N]

    def __call__(self, x: jax.Array) -> jax.Array:
        """``[N, ...]`` to the same; everything behind N is columns of one product."""
        floating = jnp.issubdtype(x.dtype, jnp.floating)
        dtype = x.dtype if floating else self.weights.dtype
        columns = x.reshape(len(x), -1).astype(dtype)
        y = propagate(self.adjacency, self.weights.astype(dtype), columns)
        if self.own is not None:
            y += self.own.astype(dtype)[:, None] * columns
        return y.reshape(x.shape)


def _convolution(graph: jraph.GraphsTuple, edges: Adjacency) -> tuple[Operator, ...]:
    weights, own, _ = normalized(graph, edges)
    return (Operator(edges, weights, own),)


def _chebyshev(graph: jraph.GraphsTuple, edges: Adjacency) -> tuple[Operator, ...]:
    weights, _, _ = split_edges(graph, edges)  # without self-loops
    root = jnp.sqrt(inverse_degree(sum_at_receivers(edges, weights)))
    both = at_senders(edges, root) * at_receivers(edges, root)
    return (Operator(edges, -weights * both),)


def _diffusion(graph: jraph.GraphsTuple, edges: Adjacency) -> tuple[Operator, ...]:
    weights = jnp.ones(len(edges.senders)) if graph.edges is None else graph.edges
    turned, order = turn(edges)

    def mean(edges: Adjacency, weights: jax.Array) -> Operator:
        inverse = inverse_degree(sum_at_receivers(edges, weights))
        return Operator(edges, weights * at_receivers(edges, inverse))

    return mean(edges, weights), mean(turned, weights[order])


def _powers(operator: Operator, x: jax.Array, number: int) -> list[jax.Array]:
    """``A x, A^2 x, ...``"""
    powers: list[jax.Array] = []
    for _ in range(number):
        powers.append(operator(powers[-1] if powers else x))
    return powers


_KINDS = {
    "convolution": _convolution,
    "chebyshev": _chebyshev,
    "diffusion": _diffusion,
}


@dataclass(frozen=True)
class GraphTaps:
    r"""Linear taps of a graph side by side: ``[P_1 x, P_2 x, ...]``.

    .. math::
        \text{convolution} &: \hat A x, \hat A^2 x, \ldots, \hat A^K x, \qquad
            \hat A = \hat D^{-1/2} (A + I) \hat D^{-1/2} \\
        \text{chebyshev} &: T_0 x, \ldots, T_{K-1} x, \quad T_0 = I, \quad
            T_1 = -D^{-1/2} A D^{-1/2}, \quad T_k = 2 T_1 T_{k-1} - T_{k-2} \\
        \text{diffusion} &: x, P x, \ldots, P^{K-1} x, Q x, \ldots, Q^{K-1} x, \qquad
            P = D^{-1} A, \quad Q = D_{out}^{-1} A^T

    where K is ``order``, A has a row per receiver and a column per sender, and D are
    in-degrees. Convolution is that of `GraphConvolution`, with its self-loops.
    Chebyshev leaves loops out; T_1 is the scaled Laplacian ``2 L / 2 - I``, 2 being the
    bound of the eigenvalues of L. Diffusion averages over the senders (P) and over the
    receivers (Q) of a node and keeps loops as they are; the identity is there once.
    Chebyshev and diffusion of order 1 are the identity: no neighbour is heard.

    Shapes: `mix`: ``[N, ..., F]`` to ``[N, ..., num_taps F]``. No parameters.

    Raises `ValueError` for an unknown kind, an order below 1, and edge features.

    Source: Kipf and Welling, 2017, equation 2; Defferrard, Bresson, Vandergheynst,
    Convolutional neural networks on graphs with fast localized spectral filtering,
    2016, section 2.1; Li et al., Diffusion convolutional recurrent neural network,
    2018, equation 2.

    >>> import numpy as np
    >>> from seqgraph_jax.graph.adjacency import index_graph
    >>> graph = index_graph(jraph.GraphsTuple(
    ...     nodes=None, edges=np.array([1.0, 3.0]), globals=None,
    ...     senders=np.array([0, 1]), receivers=np.array([2, 2]),
    ...     n_node=np.array([3]), n_edge=np.array([2])))
    >>> taps = GraphTaps("diffusion", order=2)
    >>> taps.mix(taps.operators(graph), jnp.array([[4.0], [8.0], [0.0]]))
    Array([[4., 0., 0.],
           [8., 0., 0.],
           [0., 7., 0.]], dtype=float32)
    """

    kind: str
    order: int = 2

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            names = ", ".join(_KINDS)
            raise ValueError(f"taps {self.kind!r} are unknown: choose from {names}")
        if self.order < 1:
            raise ValueError(f"the order of taps is 1 or more, not {self.order}")

    @property
    def num_taps(self) -> int:
        """Number of values that `mix` gives for one."""
        return 2 * self.order - 1 if self.kind == "diffusion" else self.order

    def operators(self, graph: IndexedGraph) -> tuple[Operator, ...]:
        """Normalised weights: what `mix` needs of a graph."""
        if graph.graph.edges is not None and graph.graph.edges.ndim != 1:
            raise ValueError(
                "taps take a graph without edge features: edges are None or weights "
                f"[E], not {list(graph.graph.edges.shape)}"
            )
        return _KINDS[self.kind](*jax.tree.map(jnp.asarray, graph))

    def mix(self, operators: tuple[Operator, ...], x: jax.Array) -> jax.Array:
        """All taps of every value, tap by tap along the last axis."""
        if self.kind == "chebyshev":
            taps = [x]
            for k in range(1, self.order):
                y = operators[0](taps[-1])
                taps.append(y if k == 1 else 2 * y - taps[-2])
        elif self.kind == "diffusion":
            taps = [x, *(y for a in operators for y in _powers(a, x, self.order - 1))]
        else:
            taps = _powers(operators[0], x, self.order)
        return jnp.concatenate(taps, axis=-1)
