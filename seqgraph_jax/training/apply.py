"""The outputs of many seeds' networks on the same inputs."""

from functools import partial
from typing import Any, Protocol, cast, runtime_checkable

import flax.linen as nn
import jax
import numpy as np
from jax import lax

from seqgraph_jax.training.lanes import (
    Width,
    collect,
    lay_out,
    map_seeds,
    resolve_width,
    spread,
)
from seqgraph_jax.training.setup import set_up


@runtime_checkable
class Reader(Protocol):
    """A network of sequences: ``answer(read(tokens))`` are its outputs.

    Where it is ``causal``, reading on from the state after the first tokens is the same
    as reading all of them.
    """

    @property
    def causal(self) -> bool: ...

    def read(self, tokens: Any, carry: Any = None) -> Any:
        """The state after ``tokens [B, T]``, read from ``carry`` on."""

    def answer(self, carry: Any) -> Any:
        """The outputs of a state."""


def apply_seeds(
    model: nn.Module,
    params: Any,
    inputs: Any,
    width: Width = "auto",
    batch_size: int | None = 1024,
) -> np.ndarray:
    """Outputs of every seed's network on the same inputs, ``[S, N, ...]``.

    ``params`` has a leading axis S; the N inputs go through in groups of
    ``batch_size``. With None they go through as they are, such as a graph. A causal
    network reads a beginning that many sequences have in common once.
    """
    set_up()
    num_seeds = len(jax.tree.leaves(params)[0])
    layout = lay_out(num_seeds, resolve_width(width, num_seeds))
    lanes = spread(params, layout)
    one = partial(_apply_one, model, batch_size)
    if batch_size and isinstance(model, Reader) and model.causal:
        length, first, which = common_beginnings(inputs)
        if length:
            inputs = inputs[first, :length], which, inputs[:, length:]
            one = partial(_read_one, model, batch_size)
    return collect(map_seeds(one, inputs, lanes, layout)(lanes), layout)


def common_beginnings(tokens: Any) -> tuple[int, np.ndarray, np.ndarray]:
    """How many first tokens to read once for all sequences that begin with them.

    It is the number ``length`` that leaves the fewest tokens to read, 0 if these are
    not less than half of all, or if ``tokens`` are not integers ``[N, T]``. Returns it
    with ``first [U]``, a sequence for each of the U beginnings of that length, and
    ``which [N]``, the number of each sequence's beginning.

    >>> tokens = np.array([[5, 1, 7, 2, 9, a, b] for a in (0, 1) for b in (0, 1)])
    >>> common_beginnings(tokens)  # 1 * 5 + 4 * 2 tokens to read instead of 28
    (5, array([0]), array([0, 0, 0, 0]))
    """
    best = 0, np.zeros(0, int), np.zeros(0, int)
    if not (isinstance(tokens, np.ndarray) and tokens.ndim == 2):
        return best
    if not (tokens.size and np.issubdtype(tokens.dtype, np.integer)):
        return best
    num, length = tokens.shape
    fewest, which = num * length / 2, np.zeros(num, np.int64)
    for t, column in enumerate(tokens.T, start=1):
        pairs = which * (int(tokens.max()) + 1) + column
        _, first, which = np.unique(pairs, return_index=True, return_inverse=True)
        to_read = len(first) * t + num * (length - t)
        if to_read < fewest:
            fewest, best = to_read, (t, first, which)
    return best


def _apply_one(
    model: nn.Module, batch_size: int | None, inputs: Any, params: Any
) -> jax.Array:
    if batch_size is None:
        return cast(jax.Array, model.apply({"params": params}, inputs))

    def apply(one: Any) -> jax.Array:
        batch_of_one = jax.tree.map(lambda leaf: leaf[None], one)
        return model.apply({"params": params}, batch_of_one)[0]

    return lax.map(apply, inputs, batch_size=batch_size)


def _read_one(
    model: Any, batch_size: int, inputs: tuple[Any, Any, Any], params: Any
) -> jax.Array:
    """As `_apply_one`; of sequence i the beginning is row ``which[i]`` of ``heads``."""
    heads, which, tails = inputs
    network = partial(model.apply, {"params": params})

    def read(head: jax.Array) -> Any:
        carry = network(head[None], method="read")
        return jax.tree.map(lambda leaf: leaf[0], carry)

    states = lax.map(read, heads, batch_size=batch_size)

    def go_on(one: tuple[jax.Array, jax.Array]) -> jax.Array:
        row, tail = one
        carry = jax.tree.map(lambda leaf: leaf[row][None], states)
        carry = network(tail[None], carry, method="read")
        return network(carry, method="answer")[0]

    return lax.map(go_on, (which, tails), batch_size=batch_size)
