"""A cell over time: `Recurrent`, `Bidirectional` and `Stack`.

All three are called in the same way and can stand in for one another:

``layer(inputs, lengths=None, initial_carry=None, *, tokens=None, train=False)
-> (carry, outputs)``

- ``inputs [B, T, F]``; or, with ``tokens [B, T]`` (integers), a table ``[V, F]`` whose
  row ``tokens[b, t]`` is the input at (b, t). The input projection is then taken of
  the table, V rows instead of B T: the fast way from an embedding into a recurrence.
- ``lengths [B]``, integers from 0 to T: sequence b ends before position
  ``lengths[b]``. Outputs past the end are zero and the carry is that of the end; with
  length 0 it is the initial one. Without ``lengths`` all positions count. What stands
  past the end is never looked at, NaN included.
- ``carry.hidden`` is the state after the last valid position, ``[B, H]``
  (``[B, 2H]`` for `Bidirectional`); ``outputs`` is ``[B, T, H]`` (``[B, T, 2H]``).

Time is the leading axis only inside this module.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from seqgraph_jax.recurrent.cells import Step, check_carry


def scan_steps(
    step: Step,
    carry: Any,
    inputs: Any,
    lengths: jax.Array | None = None,
    reverse: bool = False,
) -> tuple[Any, jax.Array]:
    """Scan a pure step over the leading axis of ``inputs [T, B, ...]``, or of a tree.

    Returns the last carry and outputs ``[T, B, H]``, of the dtype that the step gives,
    whatever that of the carry was. A reversed scan starts at the last valid position of
    each sequence: up to there the carry stays as it was.
    """
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), inputs)
    after, _ = jax.eval_shape(step, carry, one)
    carry = jax.tree.map(lambda leaf, new: leaf.astype(new.dtype), carry, after)
    if lengths is None:
        return lax.scan(step, carry, inputs, reverse=reverse)

    def masked_step(carry: Any, xs: Any) -> tuple[Any, jax.Array]:
        inputs_t, valid = xs  # [B, ...], [B, 1]
        new_carry, outputs = step(carry, inputs_t)
        carry = jax.tree.map(
            lambda new, old: jnp.where(valid, new, old), new_carry, carry
        )
        return carry, jnp.where(valid, outputs, 0)

    positions = jnp.arange(len(jax.tree.leaves(inputs)[0]))
    valid = positions[:, None, None] < lengths[None, :, None]  # [T, B, 1]
    return lax.scan(masked_step, carry, (inputs, valid), reverse=reverse)


def _check_tokens(tokens: Any, num_rows: int) -> None:
    """Raise `ValueError` for tokens without a row, where tokens are known."""
    if isinstance(tokens, jax.core.Tracer) or not np.size(tokens):
        return
    known = np.asarray(tokens)
    low, high = int(known.min()), int(known.max())
    if low < 0 or high >= num_rows:
        wrong = low if low < 0 else high
        raise ValueError(
            f"there is no symbol {wrong}: the table of {num_rows} symbols has 0 to "
            f"{num_rows - 1}, and num_symbols says how many there are"
        )


class Recurrent(nn.Module):
    """A cell from the first position to the last, or with ``reverse`` the other way.

    See the module's docstring for arguments and shapes. Outputs stay at their
    positions, also with ``reverse``.

    Raises `ValueError` for inputs of another rank, for a carry of another width, and
    for tokens without a row in the table where they are known, outside of `jax.jit`.

    >>> from seqgraph_jax.recurrent.cells import GRUCell
    >>> layer = Recurrent(GRUCell(features=3))
    >>> inputs, lengths = jnp.ones((2, 4, 5)), jnp.array([4, 1])
    >>> params = layer.init(jax.random.key(0), inputs)
    >>> carry, outputs = layer.apply(params, inputs, lengths)
    >>> carry.hidden.shape, outputs.shape, bool((outputs[1, 1:] == 0).all())
    ((2, 3), (2, 4, 3), True)
    """

    cell: nn.Module
    reverse: bool = False

    def __call__(
        self,
        inputs: jax.Array,
        lengths: jax.Array | None = None,
        initial_carry: Any = None,
        *,
        tokens: jax.Array | None = None,
        train: bool = False,
    ) -> tuple[Any, jax.Array]:
        if inputs.ndim != (3 if tokens is None else 2):
            expected = "[B, T, F]" if tokens is None else "[V, F] beside tokens [B, T]"
            raise ValueError(f"inputs must be {expected}, not {list(inputs.shape)}")
        if tokens is not None and lengths is None:
            _check_tokens(tokens, len(inputs))
        if tokens is None and lengths is not None:
            # What pads may be anything: NaN times a gradient of 0 would be NaN.
            valid = jnp.arange(inputs.shape[1])[None] < lengths[:, None]  # [B, T]
            inputs = jnp.where(valid[..., None], inputs, 0)
        step, projected = self.cell.prepare(inputs)  # [B, T, G] or [V, G]
        projected_dtype = projected.dtype
        if tokens is not None:
            # Rows are looked up within the scan: [B, G] at a time stays in the cache.
            prepared, table, projected = step, projected, tokens

            def step(carry: Any, tokens_t: jax.Array) -> tuple[Any, jax.Array]:
                return prepared(carry, table[tokens_t])

        if initial_carry is None:
            batch_size = projected.shape[0]
            initial_carry = self.cell.initial_carry(batch_size, projected_dtype)
        check_carry(self.cell, initial_carry)
        carry, outputs = scan_steps(
            step, initial_carry, jnp.swapaxes(projected, 0, 1), lengths, self.reverse
        )
        return carry, jnp.swapaxes(outputs, 0, 1)


class BidirectionalCarry(NamedTuple):
    """Carries of both directions of `Bidirectional`."""

    forward: Any
    backward: Any

    @property
    def hidden(self) -> jax.Array:
        """Last states of both directions side by side, ``[B, 2H]``."""
        return jnp.concatenate([self.forward.hidden, self.backward.hidden], axis=-1)


class Bidirectional(nn.Module):
    """One cell forward, another backward, outputs side by side.

    The backward direction of a sequence starts at its own last valid position. See
    the module's docstring for arguments and shapes.

    Source: Schuster and Paliwal, Bidirectional recurrent neural networks, 1997.

    >>> from seqgraph_jax.recurrent.cells import LSTMCell
    >>> layer = Bidirectional(LSTMCell(features=3), LSTMCell(features=3))
    >>> params = layer.init(jax.random.key(0), jnp.ones((2, 4, 5)))
    >>> carry, outputs = layer.apply(params, jnp.ones((2, 4, 5)))
    >>> carry.hidden.shape, outputs.shape
    ((2, 6), (2, 4, 6))
    """

    forward_cell: nn.Module
    backward_cell: nn.Module

    def setup(self) -> None:
        self.forward = Recurrent(self.forward_cell)
        self.backward = Recurrent(self.backward_cell, reverse=True)

    def __call__(
        self,
        inputs: jax.Array,
        lengths: jax.Array | None = None,
        initial_carry: Any = None,
        *,
        tokens: jax.Array | None = None,
        train: bool = False,
    ) -> tuple[BidirectionalCarry, jax.Array]:
        first = initial_carry or BidirectionalCarry(None, None)
        forward, outputs = self.forward(inputs, lengths, first.forward, tokens=tokens)
        backward, reversed_outputs = self.backward(
            inputs, lengths, first.backward, tokens=tokens
        )
        outputs = jnp.concatenate([outputs, reversed_outputs], axis=-1)
        return BidirectionalCarry(forward, backward), outputs


class StackCarry(NamedTuple):
    """Carries of the layers of a `Stack`, the lowest first."""

    layers: tuple[Any, ...]

    @property
    def hidden(self) -> jax.Array:
        """Last state of the top layer, ``[B, H]``."""
        return self.layers[-1].hidden


class Stack(nn.Module):
    """Layers one upon another, with dropout between them in training.

    ``dropout_rate`` is the share of outputs set to zero between layers, not after the
    last one (Zaremba, Sutskever, Vinyals, 2014); it needs the random stream
    ``dropout``. See the module's docstring for arguments and shapes.

    >>> from seqgraph_jax.recurrent.cells import LSTMCell, GRUCell
    >>> stack = Stack([Recurrent(LSTMCell(3)), Recurrent(GRUCell(2))])
    >>> params = stack.init(jax.random.key(0), jnp.ones((2, 4, 5)))
    >>> carry, outputs = stack.apply(params, jnp.ones((2, 4, 5)))
    >>> carry.hidden.shape, outputs.shape
    ((2, 2), (2, 4, 2))
    """

    layers: Sequence[nn.Module]
    dropout_rate: float = 0.0

    @nn.compact
    def __call__(
        self,
        inputs: jax.Array,
        lengths: jax.Array | None = None,
        initial_carry: StackCarry | None = None,
        *,
        tokens: jax.Array | None = None,
        train: bool = False,
    ) -> tuple[StackCarry, jax.Array]:
        first = initial_carry.layers if initial_carry else (None,) * len(self.layers)
        carries: list[Any] = []
        for layer, carry in zip(self.layers, first, strict=True):
            if carries:
                dropout = nn.Dropout(self.dropout_rate, deterministic=not train)
                inputs, tokens = dropout(inputs), None
            carry, inputs = layer(inputs, lengths, carry, tokens=tokens, train=train)
            carries.append(carry)
        return StackCarry(tuple(carries)), inputs
