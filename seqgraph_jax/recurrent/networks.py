"""Networks made of the layers; they map inputs to outputs, ``train`` is a keyword."""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import Any

import flax.linen as nn
import jax
from flax.core import FrozenDict

from seqgraph_jax.recurrent.cells import CELLS
from seqgraph_jax.recurrent.layers import Bidirectional, Recurrent, Stack, StackCarry


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


def named_layers(
    cell: str, features: int, num_layers: int, options: Mapping[str, Any]
) -> list[nn.Module]:
    """Layers of a named cell; its parameters are called ``layer_0``, ``layer_1``, ...

    Of a cell of both directions ``layer_0_forward``, ``layer_0_backward``, ... Made
    within a network, whose parameters they become. Raises `ValueError` for an unknown
    cell.
    """
    constructor, both_ways = cell_named(cell)
    make = partial(constructor, features=features, **options)
    names = [f"layer_{n}" for n in range(num_layers)]
    if not both_ways:
        return [Recurrent(make(name=name)) for name in names]
    return [
        Bidirectional(make(name=f"{name}_forward"), make(name=f"{name}_backward"))
        for name in names
    ]


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

    @property
    def causal(self) -> bool:
        """Whether what comes later changes nothing in what was read before."""
        return not cell_named(self.cell)[1]

    def setup(self) -> None:
        shape = (self.num_symbols, self.embedding_features)
        self.embedding = self.param("embedding", nn.initializers.normal(1.0), shape)
        self.recurrent = Stack(
            named_layers(self.cell, self.features, self.num_layers, self.cell_options),
            self.dropout_rate,
        )
        self.head = nn.Dense(self.num_classes)

    def __call__(
        self,
        tokens: jax.Array,
        lengths: jax.Array | None = None,
        *,
        train: bool = False,
    ) -> jax.Array:
        return self.answer(self.read(tokens, lengths=lengths, train=train))

    def read(
        self,
        tokens: jax.Array,
        carry: StackCarry | None = None,
        lengths: jax.Array | None = None,
        *,
        train: bool = False,
    ) -> StackCarry:
        """The state after the tokens, which were read from ``carry`` on."""
        carry, _ = self.recurrent(
            self.embedding, lengths, carry, tokens=tokens, train=train
        )
        return carry

    def answer(self, carry: StackCarry) -> jax.Array:
        """Logits ``[B, num_classes]`` of a state."""
        return self.head(carry.hidden)


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
        layers = named_layers(self.cell, self.features, 1, self.cell_options)
        _, outputs = Stack(layers, name="recurrent")(inputs, tokens=tokens)
        return nn.Dense(self.num_outputs, name="head")(outputs[:, -self.num_answers :])


class PaddedReader(nn.Module):
    """A recurrent network of sequences of different lengths: outputs of the last state.

    Integers ``[B, T]`` go through an embedding drawn from N(0, 1), of ``num_symbols``
    rows; numbers ``[B, T, F]`` go in as they are. Padding changes nothing. ``cell`` and
    ``cell_options`` as in `SequenceClassifier`; a share ``dropout_rate`` of the last
    state is dropped in training.

    Shapes: ``(values, lengths [B])`` to ``[B, num_outputs]``.

    >>> import jax.numpy as jnp
    >>> model = PaddedReader("gru", features=8, num_outputs=5)
    >>> inputs = jnp.ones((3, 7, 2)), jnp.array([7, 1, 4])
    >>> model.apply(model.init(jax.random.key(0), inputs), inputs).shape
    (3, 5)
    """

    cell: str
    features: int
    num_outputs: int
    num_symbols: int = 0
    embedding_features: int = 16
    dropout_rate: float = 0.0
    cell_options: Mapping[str, Any] = FrozenDict()

    @nn.compact
    def __call__(
        self, inputs: tuple[jax.Array, jax.Array], *, train: bool = False
    ) -> jax.Array:
        (values, lengths), tokens = inputs, None
        if values.ndim == 2:
            shape = (self.num_symbols, self.embedding_features)
            tokens = values
            values = self.param("embedding", nn.initializers.normal(1.0), shape)
        layers = named_layers(self.cell, self.features, 1, self.cell_options)
        carry, _ = Stack(layers, name="recurrent")(values, lengths, tokens=tokens)
        drop = nn.Dropout(self.dropout_rate, deterministic=not train)
        return nn.Dense(self.num_outputs, name="head")(drop(carry.hidden))
