"""Networks made of the layers; every network maps ``(inputs, train)`` to outputs."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
from flax.core import FrozenDict

from seqgraph_jax.cells import CELLS
from seqgraph_jax.recurrent import Bidirectional, Recurrent, Stack


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


def num_params(params: Any) -> int:
    """Number of scalars in a parameter tree.

    >>> import numpy as np
    >>> num_params({"kernel": np.zeros((3, 4)), "bias": np.zeros(4)})
    16
    """
    return sum(leaf.size for leaf in jax.tree.leaves(params))
