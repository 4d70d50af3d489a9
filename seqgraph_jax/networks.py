"""Networks made of the layers; every network maps ``(inputs, train)`` to outputs."""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import Any

import flax.linen as nn
import jax
from flax.core import FrozenDict

from seqgraph_jax.cells import CELLS
from seqgraph_jax.recurrent import Bidirectional, Recurrent, Stack, StackCarry


def cell_named(name: str) -> tuple[Callable[..., nn.Module], bool]:
    """Constructor of a cell, and whether its name asks for both directions.

    Names are those of `CELLS`, and each of them after ``bi``.

    >>> cell_named("bilstm")[0].__name__, cell_named("bilstm")[1]
    ('LSTMCell', True)

    Raises `ValueError` for an unknown name, with the names that exist.
    """
    if name in CELLS:
        return CELLS[name], False
    one_way = name.removeprefix("bi")
    if one_way != name and one_way in CELLS:
        return CELLS[one_way], True
    names = ", ".join(CELLS)
    raise ValueError(
        f"unknown cell {name!r}: choose from {names}, or put bi before one of them"
    )


def has_option(name: str, option: str) -> bool:
    """Whether the constructor of a named cell takes an option, such as forget_bias."""
    return option in signature(cell_named(name)[0]).parameters


class SequenceClassifier(nn.Module):
    """Embedding, recurrent layers, and a linear layer on the last hidden state.

    ``cell`` is a name that `cell_named` takes, ``cell_options`` go to its constructor,
    such as ``{"forget_bias": 0.0}``. The embedding is drawn from N(0, 1); networks
    that differ in their cell alone start with the same embedding and, where widths
    agree, with the same linear layer.

    Shapes: ``tokens [B, T]`` integers in 0..num_symbols-1, ``lengths [B]`` or None;
    logits ``[B, num_classes]``.

    >>> import jax.numpy as jnp
    >>> model = SequenceClassifier("gru", features=8, num_symbols=3, num_classes=2)
    >>> tokens = jnp.array([[0, 1, 2], [2, 2, 1]])
    >>> params = model.init(jax.random.key(0), tokens)
    >>> model.apply(params, tokens).shape
    (2, 2)
    """

    cell: str
    features: int
    num_symbols: int
    num_classes: int
    embedding_features: int = 32
    num_layers: int = 1
    dropout_rate: float = 0.0
    cell_options: Mapping[str, Any] = FrozenDict()

    @nn.compact
    def __call__(
        self,
        tokens: jax.Array,
        lengths: jax.Array | None = None,
        *,
        train: bool = False,
    ) -> jax.Array:
        embedding = self.param(
            "embedding",
            nn.initializers.normal(1.0),
            (self.num_symbols, self.embedding_features),
        )
        constructor, both_ways = cell_named(self.cell)
        make = partial(constructor, features=self.features, **self.cell_options)
        layers = [
            Bidirectional(make(), make()) if both_ways else Recurrent(make())
            for _ in range(self.num_layers)
        ]
        carry, _ = Stack(layers, self.dropout_rate, name="recurrent")(
            embedding, lengths, tokens=tokens, train=train
        )
        return nn.Dense(self.num_classes, name="head")(carry.hidden)


class SequenceReader(nn.Module):
    """A recurrent layer, and a linear layer on its outputs at the last positions.

    Integers ``[B, T]`` go through an embedding drawn from N(0, 1), of ``num_symbols``
    rows; numbers ``[B, T, F]`` go in as they are. ``cell`` and ``cell_options`` as in
    `SequenceClassifier`.

    Shapes: outputs ``[B, num_answers, num_outputs]``.

    >>> import jax.numpy as jnp
    >>> model = SequenceReader("rnn", features=8, num_outputs=5, num_answers=2)
    >>> inputs = jnp.ones((3, 7, 2))
    >>> model.apply(model.init(jax.random.key(0), inputs), inputs).shape
    (3, 2, 5)
    """

    cell: str
    features: int
    num_outputs: int
    num_answers: int = 1
    num_symbols: int = 0
    embedding_features: int = 16
    cell_options: Mapping[str, Any] = FrozenDict()

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        tokens = None
        if inputs.ndim == 2:
            shape = (self.num_symbols, self.embedding_features)
            tokens, inputs = (
                inputs,
                self.param("embedding", nn.initializers.normal(1.0), shape),
            )
        constructor, both_ways = cell_named(self.cell)
        make = partial(constructor, features=self.features, **self.cell_options)
        layer = Bidirectional(make(), make()) if both_ways else Recurrent(make())
        _, outputs = Stack([layer], name="recurrent")(inputs, tokens=tokens)
        return nn.Dense(self.num_outputs, name="head")(outputs[:, -self.num_answers :])


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
        layers = [Recurrent(self._make_cell()) for _ in range(self.num_layers)]
        carry, outputs = Stack(layers, self.dropout_rate, name="recurrent")(
            embedding, None, carry, tokens=tokens, train=train
        )
        if not self.tie_weights:
            return carry, nn.Dense(self.num_symbols, name="head")(outputs)
        bias = self.param("bias", nn.initializers.zeros, (self.num_symbols,))
        return carry, outputs @ embedding.T + bias[None, None]


def num_params(params: Any) -> int:
    """Number of scalars in a parameter tree.

    >>> import numpy as np
    >>> num_params({"kernel": np.zeros((3, 4)), "bias": np.zeros(4)})
    16
    """
    return sum(leaf.size for leaf in jax.tree.leaves(params))
