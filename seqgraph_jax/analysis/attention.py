"""Where attention goes: how even it is, and whether it prefers a node's own class."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from seqgraph_jax.graph.adjacency import Adjacency, IndexedGraph
from seqgraph_jax.graph.propagation import sum_at_receivers


def attention_of(
    model: nn.Module, params: Any, inputs: IndexedGraph, layer: str = "layer_0"
) -> tuple[jax.Array, jax.Array]:
    """Attention in a `NodeClassifier`: to edges ``[E, A]``, to oneself ``[N, A]``.

    The attention that a node pays sums to 1 over its incoming edges and itself.
    """
    _, state = model.apply({"params": params}, inputs, mutable=["intermediates"])
    return state["intermediates"]["layers"][layer]["attention"][0]


def evenness(adjacency: Adjacency, to_edges: jax.Array, own: jax.Array) -> jax.Array:
    r"""Entropy of attention as a share of that of equal weights: ``[N, A]``, 0 to 1.

    .. math:: -\frac{1}{\log (d_i + 1)} \sum_j \alpha_{ij} \log \alpha_{ij}

    where the sum is over the d_i neighbours that node i hears and itself. At 1
    attention is an average. NaN for a node that hears nobody but itself.

    Shapes: ``to_edges [E, A]``, ``own [N, A]``, as `attention_of` gives them.

    >>> from seqgraph_jax.graph.adjacency import plain_edges
    >>> pair = plain_edges(np.array([0]), np.array([1]), num_nodes=2)
    >>> evenness(pair, jnp.array([[0.5]]), jnp.array([[1.0], [0.5]])).tolist()
    [[nan], [1.0]]
    """

    def surprise(p: jax.Array) -> jax.Array:
        return -p * jnp.log(jnp.where(p > 0, p, 1))

    edges = sum_at_receivers(adjacency, surprise(to_edges))
    heard = sum_at_receivers(adjacency, (to_edges > 0).astype(float))
    entropy = edges + surprise(own)
    return jnp.where(heard > 0, entropy / jnp.log1p(jnp.maximum(heard, 1)), jnp.nan)


def homophily(
    adjacency: Adjacency, labels: jax.Array, to_edges: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Share of neighbours of a node's own class, and of its attention ``[E]`` to them.

    Both are means over the nodes that have a label, not -1, and neighbours with one.
    """
    known = (labels[adjacency.senders] >= 0) & (labels[adjacency.receivers] >= 0)
    counts = known & (adjacency.senders != adjacency.receivers)
    same = labels[adjacency.senders] == labels[adjacency.receivers]

    def share(weights: jax.Array) -> jax.Array:
        total = sum_at_receivers(adjacency, weights * counts)
        kin = sum_at_receivers(adjacency, weights * counts * same)
        return (kin / jnp.where(total > 0, total, 1)).mean(where=total > 0)

    return share(jnp.ones_like(to_edges)), share(to_edges)


def measure_attention(
    model: nn.Module, params: Any, inputs: IndexedGraph, labels: Any
) -> dict[str, np.ndarray]:
    """Of the first layers of S networks, ``params [S, ...]``: ``[S]`` by name.

    ``evenness``, the mean over nodes and heads, ``homophily``, the share of neighbours
    of the own class, and ``attended``, that of the attention to them, from 0 to 1.
    """
    labels = jnp.asarray(labels)

    def one(params: Any) -> dict[str, jax.Array]:
        to_edges, own = attention_of(model, params, inputs)
        plain, attended = homophily(inputs.adjacency, labels, to_edges.mean(1))
        even = jnp.nanmean(evenness(inputs.adjacency, to_edges, own))
        return {"evenness": even, "homophily": plain, "attended": attended}

    measured = jax.jit(lambda params: jax.lax.map(one, params))(params)
    return {name: np.asarray(values) for name, values in measured.items()}
