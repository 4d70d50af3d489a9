"""Random walks on a graph that end at given nodes."""

import jax
import jax.numpy as jnp

from seqgraph_jax.graph.adjacency import Adjacency


def draw_walks(
    key: jax.Array, edges: Adjacency, ends: jax.Array, num_walks: int, length: int
) -> jax.Array:
    r"""Walks along edges to each of the given nodes.

    .. math:: v_L = \text{end}, \qquad v_{t-1} \text{ uniform among the senders of } v_t

    where an edge that is there twice counts twice, and weights count nothing. At a node
    without a sender the walk stays.

    Shapes: ``ends [B]``; returns ``[B, num_walks, length]``, of which the last is the
    end. ``edges`` must be indexed.

    Source: Perozzi, Al-Rfou, Skiena, DeepWalk, 2014, section 4.2.1, turned round.

    >>> import numpy as np
    >>> from seqgraph_jax.graph.adjacency import index_edges
    >>> path = index_edges(np.array([0, 1]), np.array([1, 2]), 3, 3)
    >>> draw_walks(jax.random.key(0), path, jnp.array([2, 0]), 1, 3)[:, 0].tolist()
    [[0, 1, 2], [0, 0, 0]]
    """
    indptr, senders = jnp.asarray(edges.indptr), jnp.asarray(edges.senders)
    node = jnp.broadcast_to(jnp.asarray(ends)[:, None], (len(ends), num_walks))
    walk = [node]
    for step_key in jax.random.split(key, length - 1):
        first, end = indptr[node], indptr[node + 1]
        chosen = jax.random.randint(step_key, node.shape, first, jnp.maximum(end, 1))
        node = jnp.where(end > first, senders[jnp.minimum(chosen, end - 1)], node)
        walk.append(node)
    return jnp.stack(walk[::-1], axis=-1)
