"""A network that reads random walks to a node."""

from typing import Any

import flax.linen as nn
import jax

from seqgraph_jax.graph.features import Linear, NodeDropout
from seqgraph_jax.recurrent.layers import Recurrent
from seqgraph_jax.recurrent.networks import cell_named


class WalkClassifier(nn.Module):
    r"""Scores of a node's class from the walks that end at it.

    .. math::
        h_v &= \mathrm{ReLU}(W x_v + b) \\
        s_w &= \mathrm{cell}(h_{v_1}, \ldots, h_{v_L}) \quad \text{or} \quad
            \tfrac{1}{L} \sum_t h_{v_t} \\
        y &= V \, \tfrac{1}{|w|} \sum_w s_w + c

    where w are the walks to a node and v their nodes. ``reader`` is a cell's name, or
    ``"mean"``, which does not know the order of a walk. A share ``dropout_rate`` of the
    features x and of the hidden h is dropped in training, of a node in all its walks.

    Shapes: ``(features [N, F], walks [B, W, L])`` to ``[B, num_classes]``.

    Raises `ValueError` for an unknown reader.

    >>> import jax.numpy as jnp
    >>> walks = jnp.array([[[0, 1, 2]], [[1, 1, 0]]])
    >>> model = WalkClassifier("gru", features=4, num_classes=5)
    >>> inputs = jnp.ones((3, 2)), walks
    >>> model.apply(model.init(jax.random.key(0), inputs), inputs).shape
    (2, 5)
    """

    reader: str
    features: int
    num_classes: int
    dropout_rate: float = 0.0

    @nn.compact
    def __call__(
        self, inputs: tuple[Any, jax.Array], *, train: bool = False
    ) -> jax.Array:
        x, walks = inputs
        x = NodeDropout(self.dropout_rate)(x, train=train)
        h = nn.relu(Linear(self.features, name="project")(x))
        h = NodeDropout(self.dropout_rate)(h, train=train)[walks]  # [B, W, L, H]
        B, W, L, H = h.shape
        if self.reader == "mean":
            states = h.mean(2)
        else:
            make, _ = cell_named(self.reader)
            layer = Recurrent(make(features=self.features, name="cell"))
            carry, _ = layer(h.reshape(B * W, L, H))
            states = carry.hidden.reshape(B, W, H)
        return nn.Dense(self.num_classes, name="head")(states.mean(1))
