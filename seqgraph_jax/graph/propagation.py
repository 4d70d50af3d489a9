r"""Sums over neighbours: one pattern of edges, by receiver and by sender.

Everything a graph layer does with edges is one of four linear maps, and each has
another one as its transpose, so that none needs a scatter, and gradients have gradients
again:

========================= ========================= ==========================
function                  value                     transpose
========================= ========================= ==========================
`at_senders`              x of each edge's sender   sum over outgoing edges
`at_receivers`            x of each edge's receiver `sum_at_receivers`
`sum_at_receivers`        sum over incoming edges   `at_receivers`
`propagate`               weighted sum of senders   the same with edges turned
========================= ========================= ==========================

On a CPU a sum is a product with a matrix in compressed rows, for which JAX brings a
kernel; a scatter there goes edge by edge. Other devices take `jax.ops.segment_sum`,
and so does a pattern without row starts, which is the plain way and the one to compare
with. A seed axis does not become a loop: where only ``x`` has it, it is folded into the
features; where weights have it, the patterns of all seeds are one block-diagonal one.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jax.experimental import sparse

from seqgraph_jax.graph.adjacency import Adjacency


@custom_vmap
def _sum_rows(
    starts: jax.Array,
    rows: jax.Array,
    columns: jax.Array,
    weights: jax.Array,
    x: jax.Array,
) -> jax.Array:
    """``out[i] = sum of weights[e] x[columns[e]]`` over e of row i: ``[N, F]``.

    Edges of row i are ``starts[i]`` to ``starts[i + 1]``, and ``rows[e]`` is i.
    """
    num_rows = len(starts) - 1

    def kernel(*arrays: jax.Array) -> jax.Array:
        starts, _, columns, weights, x = arrays
        pattern = (weights, columns, starts)
        return sparse.BCSR(pattern, shape=(num_rows, len(x))) @ x

    def scatter(*arrays: jax.Array) -> jax.Array:
        _, rows, columns, weights, x = arrays
        return jax.ops.segment_sum(
            weights[:, None] * x[columns], rows, num_rows, indices_are_sorted=True
        )

    arrays = (starts, rows, columns, weights, x)
    return lax.platform_dependent(*arrays, cpu=kernel, default=scatter)


@_sum_rows.def_vmap
def _sum_rows_of_many(
    axis_size: int, in_batched: list[bool], *arrays: jax.Array
) -> tuple[jax.Array, bool]:
    """Many at once: wider features, or one block-diagonal pattern."""
    starts, rows, columns, weights, x = arrays
    if in_batched[-1] and not any(in_batched[:-1]):
        width = x.shape[-1]
        folded = jnp.moveaxis(x, 0, 1).reshape(x.shape[1], axis_size * width)
        sums = _sum_rows(starts, rows, columns, weights, folded)
        return jnp.moveaxis(sums.reshape(-1, axis_size, width), 1, 0), True
    starts, rows, columns, weights, x = (
        array if batched else jnp.broadcast_to(array, (axis_size, *array.shape))
        for array, batched in zip(arrays, in_batched, strict=True)
    )
    num_rows, block = starts.shape[1] - 1, jnp.arange(axis_size, dtype=jnp.int32)
    num_edges = columns.shape[1]
    ends = starts[:, 1:] + num_edges * block[:, None]
    sums = _sum_rows(
        jnp.concatenate([starts[:1, 0], ends.reshape(-1)]),
        (rows + num_rows * block[:, None]).reshape(-1),
        (columns + x.shape[1] * block[:, None]).reshape(-1),
        weights.reshape(-1),
        x.reshape(-1, x.shape[-1]),
    )
    return sums.reshape(axis_size, num_rows, x.shape[-1]), True


def _ones(adjacency: Adjacency, like: jax.Array) -> jax.Array:
    return jnp.ones(len(adjacency.senders), like.dtype)


def _as_columns(x: jax.Array) -> jax.Array:
    return x.reshape(len(x), math.prod(x.shape[1:]))


@jax.custom_vjp
def at_senders(adjacency: Adjacency, x: jax.Array) -> jax.Array:
    """``x[senders]``: ``[num_senders, ...]`` to ``[E, ...]``."""
    return x[adjacency.senders]


@jax.custom_vjp
def _sum_at_senders(adjacency: Adjacency, values: jax.Array) -> jax.Array:
    """Sum of each node's outgoing edges: ``[E, ...]`` to ``[num_senders, ...]``."""
    shape = (adjacency.num_senders, *values.shape[1:])
    if adjacency.sender_indptr is None:
        return jnp.zeros(shape, values.dtype).at[adjacency.senders].add(values)
    senders = adjacency.senders[adjacency.by_sender]
    sums = _sum_rows(
        adjacency.sender_indptr,
        senders,
        adjacency.by_sender,
        _ones(adjacency, values),
        _as_columns(values),
    )
    return sums.reshape(shape)


at_senders.defvjp(
    lambda a, x: (at_senders(a, x), a),
    lambda a, grads: (None, _sum_at_senders(a, grads)),
)
_sum_at_senders.defvjp(
    lambda a, values: (_sum_at_senders(a, values), a),
    lambda a, grads: (None, at_senders(a, grads)),
)


@jax.custom_vjp
def at_receivers(adjacency: Adjacency, x: jax.Array) -> jax.Array:
    """``x[receivers]``: ``[num_receivers, ...]`` to ``[E, ...]``."""
    return x[adjacency.receivers]


@jax.custom_vjp
def sum_at_receivers(adjacency: Adjacency, values: jax.Array) -> jax.Array:
    """Sum of each node's incoming edges: ``[E, ...]`` to ``[num_receivers, ...]``."""
    num_nodes = adjacency.num_receivers
    if adjacency.indptr is None:
        return jax.ops.segment_sum(values, adjacency.receivers, num_nodes)
    edges = jnp.arange(len(values), dtype=jnp.int32)
    ones, columns = _ones(adjacency, values), _as_columns(values)
    sums = _sum_rows(adjacency.indptr, adjacency.receivers, edges, ones, columns)
    return sums.reshape(num_nodes, *values.shape[1:])


at_receivers.defvjp(
    lambda a, x: (at_receivers(a, x), a),
    lambda a, grads: (None, sum_at_receivers(a, grads)),
)
sum_at_receivers.defvjp(
    lambda a, values: (sum_at_receivers(a, values), a),
    lambda a, grads: (None, at_receivers(a, grads)),
)


@jax.custom_vjp
def propagate(adjacency: Adjacency, weights: jax.Array, x: jax.Array) -> jax.Array:
    r"""Weighted sum of each node's senders.

    .. math:: y_i = \sum_{e: j \to i} w_e x_j \qquad Y = A X

    Shapes: ``weights [E]`` and ``x [num_senders, F]``, or with heads ``[E, A]`` and
    ``[num_senders, A, F]``; the sum has the shape of ``x``, with num_receivers rows.

    >>> import numpy as np
    >>> from seqgraph_jax.graph.adjacency import index_edges
    >>> edges = index_edges(np.array([1, 2, 0]), np.array([0, 0, 2]), 3, 3)
    >>> propagate(edges, jnp.ones(3), jnp.array([[1.0], [2.0], [3.0]])).ravel()
    Array([5., 0., 1.], dtype=float32)
    """
    if adjacency.indptr is None:
        return sum_at_receivers(adjacency, weights[..., None] * x[adjacency.senders])
    return _weighted(
        adjacency.indptr, adjacency.receivers, adjacency.senders, weights, x
    )


def _weighted(*arrays: jax.Array) -> jax.Array:
    """`_sum_rows`, over heads where there are any."""
    if arrays[-1].ndim == 2:
        return _sum_rows(*arrays)
    return jax.vmap(_sum_rows, in_axes=(None, None, None, 1, 1), out_axes=1)(*arrays)


def _propagate_backward(
    saved: tuple[Adjacency, jax.Array, jax.Array], grads: jax.Array
) -> tuple[None, jax.Array, jax.Array]:
    a, weights, x = saved
    weight_grads = (grads[a.receivers] * x[a.senders]).sum(-1).astype(weights.dtype)
    turned, order = turn(a)
    x_grads = propagate(turned, weights[order], grads).astype(x.dtype)
    return None, weight_grads, x_grads


def turn(a: Adjacency) -> tuple[Adjacency, Any]:
    """The edges from receivers to senders, indexed if they were, and their order."""
    if a.sender_indptr is None:
        turned = Adjacency(a.receivers, a.senders, a.num_receivers, a.num_senders)
        return turned, slice(None)
    a = jax.tree.map(jnp.asarray, a)  # a part of it may be traced
    order = a.by_sender
    back = (
        jnp.zeros_like(order).at[order].set(jnp.arange(len(order), dtype=order.dtype))
    )
    turned = Adjacency(
        a.turned,
        a.senders[order],
        a.num_receivers,
        a.num_senders,
        a.sender_indptr,
        back,
        a.senders,
        a.indptr,
    )
    return turned, order


propagate.defvjp(
    lambda a, weights, x: (propagate(a, weights, x), (a, weights, x)),
    _propagate_backward,
)
