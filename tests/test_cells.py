"""One step of every cell: by hand, the equations in NumPy, Flax, and its parameters."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqgraph_jax as sg
from seqgraph_jax.recurrent.steps import HiddenCarry, LSTMCarry, gate_cell

from .equations import EQUATIONS, NUM_PARAMS

B, F, H = 3, 4, 5


def random_carry(cell, key):
    """A carry with a different random value in every place."""
    leaves, structure = jax.tree.flatten(cell.initial_carry(B))
    keys = jax.random.split(key, len(leaves))
    return structure.unflatten(
        [jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    )


def random_params(cell, key):
    """Parameters without a zero: biases and peepholes are random, too."""
    params = cell.init(key, cell.initial_carry(B), jnp.zeros((B, F)))["params"]
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.fold_in(key, 1), len(leaves))
    return structure.unflatten(
        [
            0.7 * jax.random.normal(k, leaf.shape)
            for k, leaf in zip(keys, leaves, strict=True)
        ]
    )


@pytest.fixture(params=sg.CELLS)
def name(request):
    return request.param


def test_every_cell_has_equations():
    assert set(sg.CELLS) == set(EQUATIONS) == set(NUM_PARAMS)


@pytest.mark.smoke
def test_step_equals_its_equations(name, key):
    # A wrong gate order, sign or carry shows: all weights and states are random.
    cell = sg.CELLS[name](features=H)
    params = random_params(cell, key)
    carry = random_carry(cell, jax.random.fold_in(key, 2))
    inputs = jax.random.normal(jax.random.fold_in(key, 3), (B, F))
    new_carry, outputs = cell.apply({"params": params}, carry, inputs)

    before = jax.tree.map(np.asarray, carry)
    h, c = EQUATIONS[name](
        params, np.asarray(inputs), before.hidden, getattr(before, "cell", None)
    )
    chex.assert_trees_all_close(outputs, h.astype(np.float32), atol=2e-6)
    chex.assert_trees_all_equal(new_carry.hidden, outputs)
    if c is not None:
        chex.assert_trees_all_close(new_carry.cell, c.astype(np.float32), atol=2e-6)


def test_zero_weights_by_hand(name):
    # All gates are 1/2 then, so a step is a number that one can write down.
    cell = sg.CELLS[name](features=1)
    params = cell.init(jax.random.key(0), cell.initial_carry(2), jnp.zeros((2, F)))
    params = jax.tree.map(jnp.zeros_like, params)
    c = jnp.array([[0.8], [-2.0]])
    h = jnp.array([[0.6], [-0.4]])
    carry = (
        LSTMCarry(c, h) if "cell" in cell.initial_carry(2)._fields else HiddenCarry(h)
    )
    outputs = cell.apply(params, carry, jnp.ones((2, F)))[1]
    expected = {
        "rnn": 0 * h,
        "lstm": 0.5 * np.tanh(0.5 * c),
        "gru": 0.5 * h,
        "gru-reset-after": 0.5 * h,
        "peephole": 0.5 * np.tanh(0.5 * 0.5 + 0.5 * c),
        "peephole-diagonal": 0.5 * np.tanh(0.5 * c),
    }[name]
    chex.assert_trees_all_close(outputs, expected, atol=1e-6)


@pytest.mark.parametrize(("num_inputs", "features"), [(1, 1), (4, 7), (64, 32)])
def test_num_params_is_the_closed_formula(name, num_inputs, features):
    cell = sg.CELLS[name](features=features)
    params = cell.init(
        jax.random.key(0), cell.initial_carry(2), jnp.zeros((2, num_inputs))
    )
    assert sg.num_params(params) == NUM_PARAMS[name](num_inputs, features)


def test_gradients_are_finite_and_reach_every_parameter(name, key):
    cell = sg.CELLS[name](features=H)
    params = random_params(cell, key)
    carry = random_carry(cell, jax.random.fold_in(key, 2))

    def loss(params):
        _, outputs = cell.apply({"params": params}, carry, jnp.ones((B, F)))
        return (outputs**2).sum()

    grads = jax.grad(loss)(params)
    chex.assert_tree_all_finite(grads)
    for grad in jax.tree.leaves(grads):
        assert jnp.all(grad != 0)


def test_a_carry_of_another_width_raises_with_both_numbers(name):
    cell = sg.CELLS[name](features=H)
    wrong = sg.CELLS[name](features=7).initial_carry(2)
    with pytest.raises(ValueError, match=r"\[B, 5\].*\[2, 7\]"):
        cell.init(jax.random.key(0), wrong, jnp.zeros((2, F)))


@pytest.mark.parametrize("make", [sg.LSTMCell, sg.PeepholeLSTMCell])
def test_forget_bias_is_in_the_forget_gate_alone(make):
    cell = make(features=2, forget_bias=1.5)
    params = cell.init(jax.random.key(0), cell.initial_carry(2), jnp.zeros((2, F)))
    bias = params["params"]["input"]["bias"]
    assert bias.tolist() == [0, 0, 1.5, 1.5, 0, 0, 0, 0]  # i, f, g, o


def test_kernels_are_kaiming_normal():
    # Variance 2 / fan_in, and not truncated: about 4.6 % lie beyond two deviations.
    cell = sg.LSTMCell(features=256)
    params = cell.init(jax.random.key(0), cell.initial_carry(2), jnp.zeros((2, 128)))
    for kernel, fan_in in (
        (params["params"]["input"]["kernel"], 128),
        (params["params"]["recurrent_kernel"], 256),
    ):
        scaled = np.asarray(kernel) / np.sqrt(2 / fan_in)
        assert abs(scaled.std() - 1) < 0.01
        assert abs((np.abs(scaled) > 2).mean() - 0.0455) < 0.003


def flax_gate(kernel, bias=None):
    return {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias}


def test_lstm_equals_flax(key):
    cell = sg.LSTMCell(features=H)
    params = random_params(cell, key)
    carry = random_carry(cell, jax.random.fold_in(key, 2))
    inputs = jax.random.normal(jax.random.fold_in(key, 3), (B, F))
    theirs = {}
    for k, gate in enumerate("ifgo"):
        part = slice(k * H, (k + 1) * H)
        theirs[f"i{gate}"] = flax_gate(params["input"]["kernel"][:, part])
        theirs[f"h{gate}"] = flax_gate(
            params["recurrent_kernel"][:, part], params["input"]["bias"][part]
        )
    (c, h), _ = nn.LSTMCell(features=H).apply(
        {"params": theirs}, (carry.cell, carry.hidden), inputs
    )
    ours, _ = cell.apply({"params": params}, carry, inputs)
    chex.assert_trees_all_close(ours, LSTMCarry(c, h), atol=1e-6)


def test_gru_reset_after_equals_flax(key):
    # Flax's z keeps the old state, ours takes the new one: sigma(-x) = 1 - sigma(x).
    cell = sg.GRUCell(features=H, reset_after=True)
    params = random_params(cell, key)
    carry = random_carry(cell, jax.random.fold_in(key, 2))
    inputs = jax.random.normal(jax.random.fold_in(key, 3), (B, F))
    theirs = {}
    for k, (gate, sign) in enumerate((("r", 1), ("z", -1), ("n", 1))):
        part = slice(k * H, (k + 1) * H)
        theirs[f"i{gate}"] = flax_gate(
            sign * params["input"]["kernel"][:, part],
            sign * params["input"]["bias"][part],
        )
        theirs[f"h{gate}"] = flax_gate(sign * params["recurrent_kernel"][:, part])
    theirs["hn"]["bias"] = params["recurrent_bias"]
    h, _ = nn.GRUCell(features=H).apply({"params": theirs}, carry.hidden, inputs)
    ours, _ = cell.apply({"params": params}, carry, inputs)
    chex.assert_trees_all_close(ours.hidden, h, atol=1e-6)


@pytest.mark.parametrize("order", [1, 2])
def test_the_derivative_of_a_gated_cell_is_that_of_its_equations(order, key):
    # A factor forgotten in the derivative that is written out; a second derivative of
    # what is kept; a wrong axis under vmap.
    def both(function, dtype):
        gates, cell = (
            jax.random.normal(jax.random.fold_in(key, n), (2, 3, 5 * n), dtype)
            for n in (4, 1)
        )

        def value(gates, cell):
            cell, hidden = function(gates, cell)
            return (cell**2).sum() + (hidden * jnp.cos(hidden)).sum()

        one = jax.grad(value, (0, 1))
        if order == 2:
            first = one

            def one(gates, cell):
                # of a gradient, forward over reverse, in its own direction
                return jax.jvp(first, (gates, cell), (gates, cell))[1]

        return jax.jit(jax.vmap(one))(gates, cell)

    plain = gate_cell.fun  # differentiated by JAX
    chex.assert_trees_all_close(
        both(gate_cell, jnp.float32), both(plain, jnp.float32), atol=1e-5
    )
    with jax.enable_x64(True):
        exact = both(gate_cell, jnp.float64)
        chex.assert_trees_all_close(exact, both(plain, jnp.float64), atol=1e-10)
        assert exact[0].dtype == jnp.float64
