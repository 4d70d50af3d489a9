"""Backpropagation through time against autodiff, differences and closed forms."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqgraph_jax as sg
from seqgraph_jax.analysis.gradients import (
    RNNWeights,
    carry_jacobians,
    gradient_flow,
    rnn_gradients,
    rnn_loss,
    rnn_states,
    step_contributions,
)

from .test_cells import random_params

F, H, C, T = 3, 5, 4, 7


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def random_weights(seed):
    keys = jax.random.split(jax.random.key(seed), 6)
    shapes = [(F, H), (H, H), (H,), (H, C), (C,)]
    weights = RNNWeights(*map(jax.random.normal, keys[:5], shapes))
    return weights, jax.random.normal(keys[5], (T, F))


@pytest.mark.smoke
@pytest.mark.parametrize("seed", range(3))
def test_gradients_equal_automatic_ones(seed):
    # (y - y^) for (y^ - y), a product without its sum, a Jacobian not transposed.
    weights, inputs = random_weights(seed)
    found, parts = rnn_gradients(weights, inputs, seed)
    expected = jax.grad(rnn_loss)(weights, inputs, seed)
    chex.assert_trees_all_close(found, expected, atol=1e-10, rtol=1e-10)
    np.testing.assert_allclose(parts.sum(0), expected.recurrent, atol=1e-10)
    assert found.recurrent.dtype == np.float64


def test_gradients_equal_finite_differences():
    weights, inputs = random_weights(5)
    found, _ = rnn_gradients(weights, inputs, 2)
    flat, restore = jax.flatten_util.ravel_pytree(weights)
    step = 1e-6
    for i in range(0, len(flat), 7):
        change = jnp.zeros_like(flat).at[i].set(step)
        up, down = (rnn_loss(restore(flat + s * change), inputs, 2) for s in (1, -1))
        analytic = jax.flatten_util.ravel_pytree(found)[0][i]
        np.testing.assert_allclose((up - down) / (2 * step), analytic, atol=1e-7)


def test_a_part_is_what_its_step_adds():
    # Parts in another order, or shifted by one step.
    weights, inputs = random_weights(1)
    _, parts = rnn_gradients(weights, inputs, 3)

    def loss(kernels):
        h = jnp.zeros(H)
        for x, kernel in zip(inputs, kernels, strict=True):
            h = jnp.tanh(x @ weights.input + h @ kernel + weights.bias)
        logits = h @ weights.output + weights.output_bias
        return -jax.nn.log_softmax(logits)[3]

    expected = jax.grad(loss)(jnp.broadcast_to(weights.recurrent, (T, H, H)))
    np.testing.assert_allclose(parts, expected, atol=1e-12)
    np.testing.assert_array_equal(parts[0], 0)  # h_0 = 0


def test_the_plain_rnn_is_the_rnn_cell():
    weights, inputs = random_weights(2)
    cell = sg.RNNCell(features=H)
    kernel = {"kernel": weights.input, "bias": weights.bias}
    params = {"input": kernel, "recurrent_kernel": weights.recurrent}
    states = rnn_states(weights, inputs)
    _, h = cell.apply({"params": params}, cell.initial_carry(1), inputs[:1])
    np.testing.assert_allclose(h[0], states[1], atol=1e-12)
    jacobians = carry_jacobians(cell, params, inputs)
    slopes = 1 - states[1:, :, None] ** 2
    np.testing.assert_allclose(
        jacobians, slopes * weights.recurrent.T[None], atol=1e-12
    )


@pytest.mark.smoke
@pytest.mark.parametrize("radius", [0.8, 1.0, 1.2])
def test_flow_of_a_linear_rnn_is_a_power(radius, key):
    # h_t = r Q h_{t-1} with Q orthogonal: exactly r^(T - k).
    q, _ = jnp.linalg.qr(jax.random.normal(key, (H, H), jnp.float64))
    flow = gradient_flow(jnp.broadcast_to(radius * q, (T, H, H)), H)
    np.testing.assert_allclose(flow, radius ** np.arange(1, T + 1), rtol=1e-12)


@pytest.mark.parametrize("name", sg.CELLS)
def test_flow_equals_the_jacobian_of_the_whole_sequence(name, key):
    # Factors in the wrong order, rows of the cell state taken for the hidden state.
    cell = sg.CELLS[name](features=H)
    params = jax.tree.map(lambda p: p.astype(jnp.float64), random_params(cell, key))
    inputs = jax.random.normal(key, (T, 4), jnp.float64)
    flow = gradient_flow(carry_jacobians(cell, params, inputs), H)
    carry = cell.initial_carry(1, jnp.float64)
    for k in range(T):
        # carry is carry_k: the derivative of h_T, T - k steps later.
        flat, restore = jax.flatten_util.ravel_pytree(carry)

        def last_hidden(flat, restore=restore, k=k):
            carry = restore(flat)
            for x in inputs[k:]:
                carry, hidden = cell.apply({"params": params}, carry, x[None])
            return hidden[0]

        norm = jnp.linalg.norm(jax.jacrev(last_hidden)(flat), 2)
        np.testing.assert_allclose(flow[T - k - 1], norm, rtol=1e-9)
        carry, _ = cell.apply({"params": params}, carry, inputs[k][None])


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru-reset-after", "peephole"])
def test_contributions_add_up_to_the_gradient(name, key):
    # A step counted twice, or the batch's sequences mixed.
    cell = sg.CELLS[name](features=H)
    params = jax.tree.map(lambda p: p.astype(jnp.float64), random_params(cell, key))
    inputs = jax.random.normal(key, (2, T, 4), jnp.float64)

    def loss(hidden):
        return jnp.sin(hidden[:, -1]).sum()

    def whole(kernel):
        layer = sg.Recurrent(cell)
        mine = {"cell": {**params, "recurrent_kernel": kernel}}
        return loss(layer.apply({"params": mine}, inputs)[1])

    parts = step_contributions(cell, params, inputs, loss)
    expected = jax.grad(whole)(params["recurrent_kernel"])
    chex.assert_shape(parts, (T, *expected.shape))
    np.testing.assert_allclose(parts.sum(0), expected, atol=1e-10)
