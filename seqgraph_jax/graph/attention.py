"""Attention over neighbours; the conventions are those of `graph.layers`."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import jraph
import numpy as np

from seqgraph_jax.graph.adjacency import Adjacency
from seqgraph_jax.graph.features import Linear, glorot
from seqgraph_jax.graph.layers import edges_of, split_edges
from seqgraph_jax.graph.propagation import (
    at_receivers,
    at_senders,
    propagate,
    sum_at_receivers,
)


def edge_softmax(
    adjacency: Adjacency, weights: jax.Array, logits: jax.Array, own_logits: jax.Array
) -> tuple[jax.Array, jax.Array]:
    r"""Softmax over the edges that reach a node and its own loop.

    .. math:: \alpha_{ji} = \frac{w_{ji} e^{l_{ji}}}
        {e^{l_{ii}} + \sum_{k \to i} w_{ki} e^{l_{ki}}}

    An edge of weight 0 takes no part, whatever its logit.

    Shapes: ``weights [E]``, 0 or more, ``logits [E, A]``, ``own_logits [N, A]``;
    returns the attention to the edges ``[E, A]`` and of the nodes to themselves
    ``[N, A]``.
    """
    logits = jnp.where(weights[:, None] > 0, logits, -jnp.inf)
    highest = jax.ops.segment_max(logits, adjacency.receivers, len(own_logits))
    highest = jax.lax.stop_gradient(jnp.maximum(highest, own_logits))
    edges = weights[:, None] * jnp.exp(logits - at_receivers(adjacency, highest))
    own = jnp.exp(own_logits - highest)
    total = own + sum_at_receivers(adjacency, edges)
    return edges / at_receivers(adjacency, total), own / total


class GraphAttention(nn.Module):
    r"""Graph attention: a sum over neighbours with learned weights, for A heads.

    .. math::
        h_i' &= \sum_{j \in N(i) \cup i} \alpha_{ij} W h_j, \qquad
        \alpha_{ij} = \mathrm{softmax}_j(l_{ij}) \\
        l_{ij} &= \mathrm{LeakyReLU}(a^T [W h_i \,\|\, W h_j]) && \text{version 1} \\
        l_{ij} &= a^T \mathrm{LeakyReLU}(V h_i + W h_j) && \text{version 2}

    In version 1 the neighbours of every node are ranked alike, in version 2 the rank
    depends on who asks. Heads are concatenated, or averaged without ``concat``.
    Attention is dropped with ``dropout_rate``. Edge weights count as that many edges;
    edge features e add ``W_e e`` inside the LeakyReLU. The attention is sown as
    ``intermediates/attention``: to the edges ``[E, A]`` and to oneself ``[N, A]``.

    Shapes: nodes ``[N, F]`` to ``[N, A features]``, or ``[N, features]``. Parameters,
    without edge features, for G = A features: version 1: F G + 2 G and the bias;
    version 2: 2 F G + G and the bias.

    Raises `ValueError` for another version, and for weights below 0 where they are
    known, outside of `jax.jit`.

    Source: Velickovic et al., Graph attention networks, 2018, equations 1 to 6;
    version 2: Brody, Alon, Yahav, How attentive are graph attention networks?, 2022,
    equation 7.

    >>> graph = jraph.GraphsTuple(
    ...     nodes=jnp.ones((3, 2)), edges=None, globals=None,
    ...     senders=jnp.array([0, 1]), receivers=jnp.array([1, 2]),
    ...     n_node=jnp.array([3]), n_edge=jnp.array([2]))
    >>> layer = GraphAttention(features=4, num_heads=2)
    >>> layer.apply(layer.init(jax.random.key(0), graph), graph).nodes.shape
    (3, 8)
    """

    features: int
    num_heads: int = 1
    concat: bool = True
    version: int = 1
    dropout_rate: float = 0.0
    negative_slope: float = 0.2
    use_bias: bool = True

    @nn.compact
    def __call__(
        self,
        graph: jraph.GraphsTuple,
        adjacency: Adjacency | None = None,
        *,
        train: bool = False,
    ) -> jraph.GraphsTuple:
        if self.version not in (1, 2):
            raise ValueError(f"graph attention has version 1 or 2, not {self.version}")
        adjacency = edges_of(graph, adjacency)
        weights, edges, _ = split_edges(graph, adjacency)
        if edges is None and not isinstance(graph.edges, jax.core.Tracer | None):
            lowest = np.asarray(graph.edges).min(initial=0)
            if lowest < 0:
                raise ValueError(
                    "attention counts an edge as often as its weight says: weights "
                    f"must be 0 or more, not {lowest}"
                )
        h = self.heads("linear", graph.nodes)  # [N, A, features]
        messages = None if edges is None else self.heads("edge", edges)
        if self.version == 1:
            logits, own_logits = self.scores(adjacency, h, messages)
        else:
            query = self.heads("query", graph.nodes)
            logits, own_logits = self.dynamic_scores(adjacency, h, query, messages)
        attention = edge_softmax(adjacency, weights, logits, own_logits)
        self.sow("intermediates", "attention", attention)
        drop = partial(nn.Dropout, self.dropout_rate, deterministic=not train)
        to_edges, to_oneself = drop()(attention[0]), drop()(attention[1])
        y = propagate(adjacency, to_edges, h) + to_oneself[..., None] * h
        y = y.reshape(len(y), -1) if self.concat else y.mean(1)
        if self.use_bias:
            y += self.param("bias", nn.initializers.zeros, (y.shape[-1],))[None]
        return graph._replace(nodes=y)

    def heads(self, name: str, x: Any) -> jax.Array:
        """A linear map of each row, for every head: ``[..., A, features]``."""
        width = self.num_heads * self.features
        y = Linear(width, use_bias=False, name=name)(x)
        return y.reshape(-1, self.num_heads, self.features)

    def attend(self, name: str, h: jax.Array) -> jax.Array:
        """A head's product with its vector: ``[..., A, features]`` to ``[..., A]``.

        One product with a block-diagonal matrix, a fifth of the time of A small ones.
        """
        vector = self.param(name, glorot, (self.num_heads, self.features))
        blocks = vector[:, :, None] * jnp.eye(self.num_heads)[:, None, :]
        width = self.num_heads * self.features
        return h.reshape(-1, width) @ blocks.reshape(width, self.num_heads)

    def scores(
        self, adjacency: Adjacency, h: jax.Array, messages: Any
    ) -> tuple[jax.Array, jax.Array]:
        """Version 1: logits of the edges ``[E, A]`` and of the loops ``[N, A]``."""
        leaky = partial(nn.leaky_relu, negative_slope=self.negative_slope)
        of_sender, of_receiver = self.attend("sender", h), self.attend("receiver", h)
        logits = at_senders(adjacency, of_sender) + at_receivers(adjacency, of_receiver)
        if messages is not None:
            logits += self.attend("edge_attention", messages)
        return leaky(logits), leaky(of_sender + of_receiver)

    def dynamic_scores(
        self, adjacency: Adjacency, h: jax.Array, query: jax.Array, messages: Any
    ) -> tuple[jax.Array, jax.Array]:
        """Version 2, as `scores`; ``query [N, A, features]`` is V h of who asks."""
        leaky = partial(nn.leaky_relu, negative_slope=self.negative_slope)
        pairs = at_senders(adjacency, h) + at_receivers(adjacency, query)
        if messages is not None:
            pairs += messages
        logits = self.attend("attention", leaky(jnp.concatenate([pairs, h + query])))
        return logits[: len(pairs)], logits[len(pairs) :]
