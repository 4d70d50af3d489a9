r"""Backpropagation through time, written out, and how gradients flow through any cell.

The vanilla RNN reads a sequence and answers at its end:

.. math::
    h_t &= \tanh(W_x^T x_t + W_h^T h_{t-1} + b) \qquad h_0 = 0 \\
    p &= W_p^T h_T + b_p \qquad \hat y = \mathrm{softmax}(p) \qquad
    L = -\log \hat y_y

where kernels are stored as Flax stores them, ``[from, to]``. Its gradients are sums
over the steps k of products of the Jacobians

.. math:: J_t = \frac{\partial h_t}{\partial h_{t-1}} =
    \mathrm{diag}(1 - h_t^2) \, W_h^T

One Jacobian after another, the product from k to T shrinks or grows like a power of
T - k: gradients vanish or explode.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.flatten_util import ravel_pytree


class RNNWeights(NamedTuple):
    """Weights of the vanilla RNN, or their gradients."""

    input: jax.Array  # W_x [F, H]
    recurrent: jax.Array  # W_h [H, H]
    bias: jax.Array  # b [H]
    output: jax.Array  # W_p [H, C]
    output_bias: jax.Array  # b_p [C]


def rnn_states(weights: RNNWeights, inputs: jax.Array) -> jax.Array:
    """Hidden states h_0 to h_T of one sequence: ``[T, F]`` to ``[T + 1, H]``."""

    def step(h: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = jnp.tanh(x @ weights.input + h @ weights.recurrent + weights.bias)
        return h, h

    first = jnp.zeros(len(weights.bias), inputs.dtype)
    return jnp.concatenate([first[None], lax.scan(step, first, inputs)[1]])


def rnn_loss(weights: RNNWeights, inputs: jax.Array, target: jax.Array) -> jax.Array:
    """Cross entropy (nats) of the answer after ``inputs [T, F]`` to a class."""
    logits = rnn_states(weights, inputs)[-1] @ weights.output + weights.output_bias
    return optax.softmax_cross_entropy_with_integer_labels(logits, target)


def rnn_gradients(
    weights: RNNWeights, inputs: jax.Array, target: jax.Array
) -> tuple[RNNWeights, jax.Array]:
    r"""Gradients of `rnn_loss` as sums of products, and each step's part of dL/dW_h.

    .. math::
        \frac{\partial L}{\partial p} &= \hat y - y \qquad
        \frac{\partial L}{\partial W_p} = h_T (\hat y - y)^T \qquad
        \frac{\partial L}{\partial b_p} = \hat y - y \\
        \delta_k &= \frac{\partial L}{\partial h_k} =
            \Big(\prod_{j=T}^{k+1} J_j\Big)^T W_p (\hat y - y) \\
        \frac{\partial L}{\partial W_h} &= \sum_{k=1}^T
            h_{k-1} \big((1 - h_k^2) \odot \delta_k\big)^T \qquad
        \frac{\partial L}{\partial W_x} = \sum_{k=1}^T
            x_k \big((1 - h_k^2) \odot \delta_k\big)^T \\
        \frac{\partial L}{\partial b} &= \sum_{k=1}^T (1 - h_k^2) \odot \delta_k

    where y is the target as one-hot. Only the sums are recursive: dL/dW_p has no past.

    Shapes: ``inputs [T, F]``, ``target`` a class; gradients as the weights, parts
    ``[T, H, H]``, whose sum is dL/dW_h.

    Source: Werbos, Backpropagation through time, 1990, section IV.

    >>> keys = jax.random.split(jax.random.key(0), 5)
    >>> shapes = [(3, 4), (4, 4), (4,), (4, 2), (2,)]
    >>> weights = RNNWeights(*map(jax.random.normal, keys, shapes))
    >>> gradients, parts = rnn_gradients(weights, jnp.ones((6, 3)), 1)
    >>> gradients.recurrent.shape, parts.shape
    ((4, 4), (6, 4, 4))
    """
    h = rnn_states(weights, inputs)  # [T + 1, H]
    num_steps = len(inputs)
    logits = h[-1] @ weights.output + weights.output_bias
    error = jax.nn.softmax(logits) - jax.nn.one_hot(target, len(logits))  # y^ - y
    slopes = 1 - h**2  # tanh' at every step
    jacobians = slopes[:, :, None] * weights.recurrent.T[None]  # J_t at [t]
    at_end = weights.output @ error  # dL/dh_T
    deltas = []
    for k in range(1, num_steps + 1):
        product = jnp.eye(len(at_end))
        for j in range(num_steps, k, -1):
            product = product @ jacobians[j]  # J_T ... J_{k+1}
        deltas.append(product.T @ at_end)
    inner = slopes[1:] * jnp.stack(deltas)  # [T, H]
    parts = h[:-1, :, None] * inner[:, None, :]  # [T, H, H]
    gradients = RNNWeights(
        input=jnp.einsum("tf,th->fh", inputs, inner),
        recurrent=parts.sum(0),
        bias=inner.sum(0),
        output=jnp.outer(h[-1], error),
        output_bias=error,
    )
    return gradients, parts


def carry_jacobians(cell: nn.Module, params: Any, inputs: jax.Array) -> jax.Array:
    """Jacobians of a cell's carry with respect to the one before, along one sequence.

    Shapes: ``inputs [T, F]``; ``[T, D, D]``, where D counts the numbers in the carry in
    the order of its fields: H, or 2H for cell and hidden state.
    """
    prepared: Any = cell.apply({"params": params}, inputs[:, None], method="prepare")
    step, projected = prepared
    flat, restore = ravel_pytree(cell.initial_carry(1, projected.dtype))

    def flat_step(flat: jax.Array, projected_t: jax.Array) -> jax.Array:
        return ravel_pytree(step(restore(flat), projected_t)[0])[0]

    def body(flat: jax.Array, projected_t: jax.Array) -> tuple[jax.Array, jax.Array]:
        return flat_step(flat, projected_t), jax.jacrev(flat_step)(flat, projected_t)

    return lax.scan(body, flat, projected)[1]


def gradient_flow(jacobians: jax.Array, num_hidden: int) -> jax.Array:
    r"""Spectral norms of dh_T / d carry_k for k = T - 1 down to 0: ``[T]``.

    .. math:: \Big\| P \prod_{j=T}^{k+1} J_j \Big\|_2

    where P keeps the rows of the hidden state, the last ``num_hidden`` of the carry.
    """
    last = jnp.eye(jacobians.shape[1])[-num_hidden:]

    def body(product: jax.Array, jacobian: jax.Array) -> tuple[jax.Array, jax.Array]:
        product = product @ jacobian
        return product, jnp.linalg.norm(product, 2)

    return lax.scan(body, last, jacobians[::-1])[1]


def step_contributions(
    cell: nn.Module,
    params: Any,
    inputs: jax.Array,
    loss: Callable[[jax.Array], jax.Array],
) -> jax.Array:
    """Each step's part of the gradient of a cell's recurrent kernel: ``[T, H, G]``.

    The kernel of step k is a variable of its own, so its gradient is what that step
    adds to the whole. ``loss`` takes the hidden states ``[B, T, H]`` of ``inputs
    [B, T, F]`` and gives a scalar.
    """
    kernel = params["recurrent_kernel"]
    num_steps = inputs.shape[1]

    def total(kernels: jax.Array) -> jax.Array:
        def body(carry: Any, xs: Any) -> Any:
            kernel_t, inputs_t = xs
            mine = {**params, "recurrent_kernel": kernel_t}
            return cell.apply({"params": mine}, carry, inputs_t)

        dtype = jnp.result_type(inputs, kernel)
        first = cell.initial_carry(inputs.shape[0], dtype)
        steps = (kernels, jnp.swapaxes(inputs, 0, 1))
        return loss(jnp.swapaxes(lax.scan(body, first, steps)[1], 0, 1))

    return jax.grad(total)(jnp.broadcast_to(kernel, (num_steps, *kernel.shape)))
