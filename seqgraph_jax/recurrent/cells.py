"""Recurrent cells: one step each, written as its equations.

A cell is a Flax module with three members, and anything that has them is a cell:

``prepare(inputs, mixed_features=None) -> (step, projected)``
    what does not depend on the carry, for all positions at once: the input
    projection, ``[..., F] -> [..., G]``, and the pure function
    ``step(carry, projected_t) -> (carry, outputs_t)`` that `jax.lax.scan` takes.
    With ``mixed_features`` the recurrent kernel has so many rows in place of H, and
    the step takes ``mix`` (see `steps`); a cell without it is one of single sequences.
``initial_carry(batch_size, dtype) -> carry``
    zeros; every carry has a field ``hidden`` of shape ``[B, H]``.
``__call__(carry, inputs) -> (carry, outputs)``
    one step, for ``inputs [B, F]``.

Every recurrent product is added to a slice of ``projected``, so the projection can
be taken out of the scan whole, bias included. Kernels of gates lie side by side, in
the order that each docstring states.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from seqgraph_jax.recurrent import steps
from seqgraph_jax.recurrent.steps import HiddenCarry, LSTMCarry

Step = Callable[..., tuple[Any, jax.Array]]

#: Kaiming-normal for layers of any kind: variance ``2 / fan_in``, not truncated.
kaiming_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


def _hidden_carry(self: Any, batch_size: int, dtype: Any = float) -> HiddenCarry:
    return HiddenCarry(jnp.zeros((batch_size, self.features), dtype))


def _lstm_carry(self: Any, batch_size: int, dtype: Any = float) -> LSTMCarry:
    zeros = jnp.zeros((batch_size, self.features), dtype)
    return LSTMCarry(cell=zeros, hidden=zeros)


def _one_step(self: Any, carry: Any, inputs: jax.Array) -> tuple[Any, jax.Array]:
    check_carry(self, carry)
    step, projected = self.prepare(inputs)
    return step(carry, projected)


def _forget_bias(value: float, features: int) -> nn.initializers.Initializer:
    """Zeros for the gates i, f, g, o, with ``value`` for f."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return jnp.zeros(shape, dtype).at[features : 2 * features].set(value)

    return init


def check_carry(cell: Any, carry: Any) -> None:
    """Raise `ValueError` if a carry has another width than the cell's features."""
    for name, leaf in zip(carry._fields, carry, strict=True):
        if leaf.ndim != 2 or leaf.shape[-1] != cell.features:
            raise ValueError(
                f"{type(cell).__name__}(features={cell.features}) needs a carry of "
                f"shape [B, {cell.features}], but carry.{name} has shape "
                f"{list(leaf.shape)}"
            )


class RNNCell(nn.Module):
    r"""Elman's recurrent cell.

    .. math:: h_t = \tanh(W_x x_t + W_h h_{t-1} + b)

    where x is the input and h the hidden state.

    Shapes: carry ``HiddenCarry([B, H])``, inputs ``[B, F]``, outputs ``[B, H]``;
    H = ``features``. Parameters: H (F + H + 1).

    Raises `ValueError` for a carry of another width.

    Source: Elman, Finding structure in time, 1990, p. 183.

    >>> cell = RNNCell(features=3)
    >>> carry, inputs = cell.initial_carry(2), jnp.ones((2, 5))
    >>> params = cell.init(jax.random.key(0), carry, inputs)
    >>> carry, outputs = cell.apply(params, carry, inputs)
    >>> outputs.shape
    (2, 3)
    """

    features: int
    kernel_init: nn.initializers.Initializer = kaiming_normal

    @nn.compact
    def prepare(
        self, inputs: jax.Array, mixed_features: int | None = None
    ) -> tuple[Step, jax.Array]:
        width = self.features
        rows = mixed_features or width
        projected = nn.Dense(width, kernel_init=self.kernel_init, name="input")(inputs)
        kernel = self.param("recurrent_kernel", self.kernel_init, (rows, width))
        return partial(steps.rnn_step, kernel), projected

    initial_carry = _hidden_carry
    __call__ = _one_step


class LSTMCell(nn.Module):
    r"""Long short-term memory with a forget gate.

    .. math::
        i &= \sigma(W_i x + U_i h + b_i) &\quad f &= \sigma(W_f x + U_f h + b_f) \\
        g &= \tanh(W_g x + U_g h + b_g) &\quad o &= \sigma(W_o x + U_o h + b_o) \\
        c' &= f \odot c + i \odot g &\quad h' &= o \odot \tanh(c')

    where c is the cell state, h the hidden state, and b_f starts at ``forget_bias``
    (Jozefowicz et al., 2015, section 4.2, recommend 1), the other biases at 0.

    Shapes: carry ``LSTMCarry(cell [B, H], hidden [B, H])``, inputs ``[B, F]``,
    outputs ``[B, H]``. Kernels: ``[F, 4H]`` and ``[H, 4H]``, gates in the order
    i, f, g, o. Parameters: 4 H (F + H + 1).

    Raises `ValueError` for a carry of another width.

    Source: Gers, Schmidhuber, Cummins, Learning to forget, 2000, section 3.

    >>> cell = LSTMCell(features=3)
    >>> carry, inputs = cell.initial_carry(2), jnp.ones((2, 5))
    >>> params = cell.init(jax.random.key(0), carry, inputs)
    >>> carry, outputs = cell.apply(params, carry, inputs)
    >>> bool((carry.hidden == outputs).all()), carry.cell.shape
    (True, (2, 3))
    """

    features: int
    forget_bias: float = 1.0
    kernel_init: nn.initializers.Initializer = kaiming_normal

    @nn.compact
    def prepare(
        self, inputs: jax.Array, mixed_features: int | None = None
    ) -> tuple[Step, jax.Array]:
        width = self.features
        rows = mixed_features or width
        projected = nn.Dense(
            4 * width,
            kernel_init=self.kernel_init,
            bias_init=_forget_bias(self.forget_bias, width),
            name="input",
        )(inputs)
        kernel = self.param("recurrent_kernel", self.kernel_init, (rows, 4 * width))
        return partial(steps.lstm_step, kernel), projected

    initial_carry = _lstm_carry
    __call__ = _one_step


class GRUCell(nn.Module):
    r"""Gated recurrent unit, with the reset before or after the product.

    .. math::
        r &= \sigma(W_r x + U_r h + b_r) \qquad z = \sigma(W_z x + U_z h + b_z) \\
        n &= \tanh(W_n x + b_n + U_n (r \odot h))
             && \text{reset before, the default} \\
        n &= \tanh(W_n x + b_n + r \odot (U_n h + b_{hn}))
             && \text{reset\_after} \\
        h' &= (1 - z) \odot h + z \odot n

    where r is the reset gate, z the update gate and n the candidate. PyTorch, Flax
    and cuDNN reset after the product, and their z is 1 - z here.

    Shapes: carry ``HiddenCarry([B, H])``, inputs ``[B, F]``, outputs ``[B, H]``.
    Kernels: ``[F, 3H]`` and ``[H, 3H]``, in the order r, z, n. Parameters:
    3 H (F + H + 1), and H more with ``reset_after``.

    Raises `ValueError` for a carry of another width.

    Source: Cho et al., Learning phrase representations using RNN encoder-decoder,
    2014, section 2.3; reset after the product: cuDNN's GRU.

    >>> cell = GRUCell(features=3, reset_after=True)
    >>> carry, inputs = cell.initial_carry(2), jnp.ones((2, 5))
    >>> params = cell.init(jax.random.key(0), carry, inputs)
    >>> carry, outputs = cell.apply(params, carry, inputs)
    >>> outputs.shape
    (2, 3)
    """

    features: int
    reset_after: bool = False
    kernel_init: nn.initializers.Initializer = kaiming_normal

    @nn.compact
    def prepare(
        self, inputs: jax.Array, mixed_features: int | None = None
    ) -> tuple[Step, jax.Array]:
        width = self.features
        rows = mixed_features or width
        projected = nn.Dense(3 * width, kernel_init=self.kernel_init, name="input")(
            inputs
        )
        kernel = self.param("recurrent_kernel", self.kernel_init, (rows, 3 * width))
        if not self.reset_after:
            return partial(steps.gru_step, kernel), projected
        bias = self.param("recurrent_bias", nn.initializers.zeros, (width,))
        return partial(steps.gru_reset_after_step, kernel, bias), projected

    initial_carry = _hidden_carry
    __call__ = _one_step


class PeepholeLSTMCell(nn.Module):
    r"""LSTM whose gates look at the cell state, in two forms.

    The default form replaces h by c in the gates, through full matrices, and has no
    recurrence in the candidate, which is a sigmoid:

    .. math::
        i, f, o &= \sigma(W_{i,f,o} x + U_{i,f,o} c + b_{i,f,o}) \qquad
        g = \sigma(W_g x + b_g) \\
        c' &= f \odot c + i \odot g \qquad h' = o \odot \tanh(c')

    With ``diagonal`` the LSTM keeps its h recurrence and adds one weight per unit:

    .. math::
        i, f &= \sigma(W_{i,f} x + U_{i,f} h + p_{i,f} \odot c + b_{i,f}) \qquad
        g = \tanh(W_g x + U_g h + b_g) \\
        c' &= f \odot c + i \odot g \qquad
        o = \sigma(W_o x + U_o h + p_o \odot c' + b_o) \qquad
        h' = o \odot \tanh(c')

    where c is the cell state before the step and c' after it.

    Shapes: carry ``LSTMCarry(cell [B, H], hidden [B, H])``, inputs ``[B, F]``,
    outputs ``[B, H]``. Kernels: ``[F, 4H]`` (i, f, g, o) and ``[H, 3H]`` (i, f, o),
    or ``[H, 4H]`` and peepholes ``[3, H]`` (i, f, o) with ``diagonal``. Parameters:
    4 H (F + 1) + 3 H², or 4 H (F + H + 1) + 3 H.

    Raises `ValueError` for a carry of another width.

    Source: ``diagonal``: Gers, Schraudolph, Schmidhuber, Learning precise timing
    with LSTM recurrent networks, 2002, section 2.2; default: the course form, deep
    learning assignment 2, University of Amsterdam, 2020.

    >>> cell = PeepholeLSTMCell(features=3, diagonal=True)
    >>> carry, inputs = cell.initial_carry(2), jnp.ones((2, 5))
    >>> params = cell.init(jax.random.key(0), carry, inputs)
    >>> carry, outputs = cell.apply(params, carry, inputs)
    >>> outputs.shape
    (2, 3)
    """

    features: int
    diagonal: bool = False
    forget_bias: float = 1.0
    kernel_init: nn.initializers.Initializer = kaiming_normal

    @nn.compact
    def prepare(
        self, inputs: jax.Array, mixed_features: int | None = None
    ) -> tuple[Step, jax.Array]:
        width = self.features
        rows = mixed_features or width
        gates = 4 if self.diagonal else 3
        projected = nn.Dense(
            4 * width,
            kernel_init=self.kernel_init,
            bias_init=_forget_bias(self.forget_bias, width),
            name="input",
        )(inputs)
        kernel = self.param("recurrent_kernel", self.kernel_init, (rows, gates * width))
        if not self.diagonal:
            return partial(steps.peephole_step, kernel), projected
        peepholes = self.param("peepholes", nn.initializers.zeros, (3, width))
        return partial(steps.diagonal_peephole_step, kernel, peepholes), projected

    initial_carry = _lstm_carry
    __call__ = _one_step


#: Names for the command line; a value takes ``features`` and gives a cell.
CELLS: dict[str, Callable[..., nn.Module]] = {
    "rnn": RNNCell,
    "lstm": LSTMCell,
    "gru": GRUCell,
    "gru-reset-after": partial(GRUCell, reset_after=True),
    "peephole": PeepholeLSTMCell,
    "peephole-diagonal": partial(PeepholeLSTMCell, diagonal=True),
}
