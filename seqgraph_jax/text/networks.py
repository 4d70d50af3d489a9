"""The network of a character model."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
from flax.core import FrozenDict

from seqgraph_jax.recurrent.layers import Recurrent, Stack, StackCarry
from seqgraph_jax.recurrent.networks import cell_named


class CharLM(nn.Module):
    r"""Embedding, recurrent layers, and at every position scores of what comes next.

    .. math:: P(x_{t+1} | x_1 .. x_t) = \mathrm{softmax}(W h_t + b)

    where h is the top layer's output. With ``tie_weights`` W is the transposed
    embedding (Press and Wolf, 2017), of ``features`` columns; ``dropout_rate`` is the
    share dropped between layers. ``cell`` and ``cell_options`` as in
    `SequenceClassifier`; a cell that reads in both directions would see what it
    predicts and is refused.

    Shapes: ``tokens [B, T]`` integers in 0..num_symbols-1; logits
    ``[B, T, num_symbols]``. The carry goes into the next call for text that follows.

    Raises `ValueError` for an unknown cell and one of both directions, and if tied
    weights have another width than the embedding.

    >>> import jax.numpy as jnp
    >>> model = CharLM("lstm", features=8, num_symbols=5, embedding_features=4)
    >>> tokens = jnp.array([[0, 1, 2], [4, 2, 1]])
    >>> params = model.init(jax.random.key(0), tokens)
    >>> carry, logits = model.apply(params, tokens)
    >>> logits.shape, carry.hidden.shape
    ((2, 3, 5), (2, 8))
    """

    cell: str
    features: int
    num_symbols: int
    embedding_features: int = 64
    num_layers: int = 2
    dropout_rate: float = 0.0
    tie_weights: bool = False
    cell_options: Mapping[str, Any] = FrozenDict()

    def _make_cell(self, **options: Any) -> nn.Module:
        constructor, both_ways = cell_named(self.cell)
        if both_ways:
            raise ValueError(
                f"{self.cell} reads in both directions: it would see the characters "
                "that it has to predict"
            )
        return constructor(features=self.features, **self.cell_options, **options)

    def initial_carry(self, batch_size: int) -> StackCarry:
        """Zeros for ``batch_size`` texts."""
        cell = self._make_cell(parent=None)
        return StackCarry((cell.initial_carry(batch_size),) * self.num_layers)

    @nn.compact
    def __call__(
        self, tokens: jax.Array, carry: Any = None, *, train: bool = False
    ) -> tuple[StackCarry, jax.Array]:
        if self.tie_weights and self.features != self.embedding_features:
            raise ValueError(
                f"tied weights need an embedding as wide as the hidden state, "
                f"{self.features}, not {self.embedding_features}"
            )
        embedding = self.param(
            "embedding",
            nn.initializers.normal(1.0),
            (self.num_symbols, self.embedding_features),
        )
        names = [f"layer_{n}" for n in range(self.num_layers)]
        layers = [Recurrent(self._make_cell(name=name)) for name in names]
        carry, outputs = Stack(layers, self.dropout_rate, name="recurrent")(
            embedding, None, carry, tokens=tokens, train=train
        )
        if not self.tie_weights:
            return carry, nn.Dense(self.num_symbols, name="head")(outputs)
        bias = self.param("bias", nn.initializers.zeros, (self.num_symbols,))
        return carry, outputs @ embedding.T + bias[None, None]
