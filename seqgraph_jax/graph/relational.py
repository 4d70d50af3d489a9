"""A graph layer for edges of several kinds."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from seqgraph_jax.graph.adjacency import Adjacency
from seqgraph_jax.graph.layers import inverse_degree
from seqgraph_jax.graph.propagation import propagate, sum_at_receivers


class RelationalConvolution(nn.Module):
    r"""The mean over the neighbours of each relation, each with a kernel of its own.

    .. math::
        x_i' = W_0 x_i + b + \sum_r \frac{1}{\max(1, |N_r(i)|)}
               \sum_{j \in N_r(i)} W_r x_j

    where N_r(i) are the senders of the edges of relation r into node i.

    Shapes: x ``[N, F]`` to ``[N, features]``; ``relations`` are R `Adjacency` between
    the same N nodes. Parameters: ``self`` with kernel ``[F, features]`` and bias,
    ``relations [R, F, features]``.

    Source: Schlichtkrull et al., Modeling relational data with graph convolutional
    networks, 2018, equation 2, with c_{i,r} = |N_r(i)|.

    >>> import numpy as np
    >>> from seqgraph_jax.graph.adjacency import index_edges
    >>> one = index_edges(np.array([0, 1]), np.array([2, 2]), 3, 3)
    >>> other = index_edges(np.array([2]), np.array([0]), 3, 3)
    >>> layer = RelationalConvolution(features=4)
    >>> outputs, params = layer.init_with_output(
    ...     jax.random.key(0), jnp.ones((3, 2)), (one, other))
    >>> outputs.shape, params["params"]["relations"].shape
    ((3, 4), (2, 2, 4))
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, relations: Sequence[Adjacency]) -> jax.Array:
        shape = (len(relations), x.shape[-1], self.features)
        draw = nn.initializers.lecun_normal(batch_axis=0)
        kernels = self.param("relations", draw, shape).astype(x.dtype)
        outputs: jax.Array = nn.Dense(self.features, name="self")(x)
        for kernel, adjacency in zip(kernels, relations, strict=True):
            outputs += mean_of_neighbours(adjacency, x @ kernel)
        return outputs


def mean_of_neighbours(adjacency: Adjacency, x: jax.Array) -> jax.Array:
    """Mean over each node's senders, 0 of a node without any: ``[N, F]``."""
    ones = jnp.ones(adjacency.senders.shape, x.dtype)
    degree = sum_at_receivers(adjacency, ones)
    return propagate(adjacency, inverse_degree(degree)[adjacency.receivers], x)
