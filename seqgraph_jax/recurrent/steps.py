"""One step of each recurrent cell as a pure function of weights, carry and input.

``step(weights..., carry, projected) -> (carry, outputs)``, where ``projected [B, G]``
is the input projection with its bias. Every recurrent product is added to a slice of
``projected``: hence the projection of a whole sequence can be taken before the scan.
The equations stand in the docstrings of `seqgraph_jax.recurrent.cells`.

With ``mix``, a function ``[B, H]`` to ``[B, M]``, the recurrent product ``h @ kernel``
is ``mix(h) @ kernel`` and the kernel has M rows: so rows may hear one another.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import sigmoid

Mix = Callable[[jax.Array], jax.Array]


def unmixed(h: jax.Array) -> jax.Array:
    """Every row for itself: ``h``."""
    return h


class HiddenCarry(NamedTuple):
    """Carry of `RNNCell` and `GRUCell`."""

    hidden: jax.Array  # [B, H]


class LSTMCarry(NamedTuple):
    """Carry of `LSTMCell` and `PeepholeLSTMCell`."""

    cell: jax.Array  # [B, H]
    hidden: jax.Array  # [B, H]


def rnn_step(
    kernel: jax.Array, carry: HiddenCarry, projected: jax.Array, mix: Mix = unmixed
) -> tuple[HiddenCarry, jax.Array]:
    """``kernel [H, H]``, ``projected [B, H]``; see `RNNCell`."""
    hidden = jnp.tanh(projected + mix(carry.hidden) @ kernel)  # [B, H]
    return HiddenCarry(hidden), hidden


def lstm_step(
    kernel: jax.Array, carry: LSTMCarry, projected: jax.Array, mix: Mix = unmixed
) -> tuple[LSTMCarry, jax.Array]:
    """``kernel [H, 4H]``, ``projected [B, 4H]``, both i, f, g, o; see `LSTMCell`."""
    gates = projected + mix(carry.hidden) @ kernel  # [B, 4H]
    cell, hidden = gate_cell(gates, carry.cell)
    return LSTMCarry(cell, hidden), hidden


@jax.custom_jvp
def gate_cell(gates: jax.Array, cell: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cell state and hidden state, ``[B, H]``, of gates ``[B, 4H]`` i, f, g, o.

    The derivative is written out: of a step a backward pass then keeps six arrays
    ``[B, H]``, and not the eleven that one factor of it after another would keep.
    """
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    cell = sigmoid(f) * cell + sigmoid(i) * jnp.tanh(g)
    return cell, sigmoid(o) * jnp.tanh(cell)


@gate_cell.defjvp
def _gate_cell_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    (gates, before), (d_gates, d_before) = primals, tangents
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    i, f, g, o = sigmoid(i), sigmoid(f), jnp.tanh(g), sigmoid(o)
    cell = f * before + i * g
    t = jnp.tanh(cell)
    d_i, d_f, d_g, d_o = jnp.split(d_gates, 4, axis=-1)
    by_i, by_f, by_g = g * i * (1 - i), before * f * (1 - f), i * (1 - g * g)
    d_cell = f * d_before + by_i * d_i + by_f * d_f + by_g * d_g
    d_hidden = t * o * (1 - o) * d_o + o * (1 - t * t) * d_cell
    return (cell, o * t), (d_cell, d_hidden)


def gru_step(
    kernel: jax.Array, carry: HiddenCarry, projected: jax.Array, mix: Mix = unmixed
) -> tuple[HiddenCarry, jax.Array]:
    """``kernel [H, 3H]``, ``projected [B, 3H]``, both r, z, n; see `GRUCell`."""
    h = carry.hidden
    width = h.shape[-1]
    gates = sigmoid(projected[:, : 2 * width] + mix(h) @ kernel[:, : 2 * width])
    r, z = jnp.split(gates, 2, axis=-1)
    n = jnp.tanh(projected[:, 2 * width :] + mix(r * h) @ kernel[:, 2 * width :])
    hidden = (1 - z) * h + z * n
    return HiddenCarry(hidden), hidden


def gru_reset_after_step(
    kernel: jax.Array,
    bias: jax.Array,
    carry: HiddenCarry,
    projected: jax.Array,
    mix: Mix = unmixed,
) -> tuple[HiddenCarry, jax.Array]:
    """As `gru_step`, with ``bias [H]`` inside the reset product; see `GRUCell`."""
    h = carry.hidden
    width = h.shape[-1]
    recurrent = mix(h) @ kernel  # [B, 3H]
    gates = sigmoid(projected[:, : 2 * width] + recurrent[:, : 2 * width])
    r, z = jnp.split(gates, 2, axis=-1)
    n = jnp.tanh(
        projected[:, 2 * width :] + r * (recurrent[:, 2 * width :] + bias[None])
    )
    hidden = (1 - z) * h + z * n
    return HiddenCarry(hidden), hidden


def peephole_step(
    kernel: jax.Array, carry: LSTMCarry, projected: jax.Array, mix: Mix = unmixed
) -> tuple[LSTMCarry, jax.Array]:
    """``kernel [H, 3H]`` i, f, o; ``projected [B, 4H]`` i, f, g, o.

    See `PeepholeLSTMCell`.
    """
    i, f, g, o = jnp.split(projected, 4, axis=-1)
    from_i, from_f, from_o = jnp.split(mix(carry.cell) @ kernel, 3, axis=-1)
    cell = sigmoid(f + from_f) * carry.cell + sigmoid(i + from_i) * sigmoid(g)
    hidden = sigmoid(o + from_o) * jnp.tanh(cell)
    return LSTMCarry(cell, hidden), hidden


def diagonal_peephole_step(
    kernel: jax.Array,
    peepholes: jax.Array,
    carry: LSTMCarry,
    projected: jax.Array,
    mix: Mix = unmixed,
) -> tuple[LSTMCarry, jax.Array]:
    """``kernel [H, 4H]`` i, f, g, o; ``peepholes [3, H]`` i, f, o.

    See `PeepholeLSTMCell`.
    """
    gates = projected + mix(carry.hidden) @ kernel  # [B, 4H]
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    p_i, p_f, p_o = jnp.split(peepholes, 3)  # [1, H] each
    cell = sigmoid(f + p_f * carry.cell) * carry.cell + sigmoid(
        i + p_i * carry.cell
    ) * jnp.tanh(g)
    hidden = sigmoid(o + p_o * cell) * jnp.tanh(cell)
    return LSTMCarry(cell, hidden), hidden
