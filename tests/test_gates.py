"""Gates against the layer, a NumPy loop and counts by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqgraph_jax as sg
from seqgraph_jax.analysis.gates import BOUNDS, lstm_gates, saturation
from seqgraph_jax.recurrent.steps import LSTMCarry

from .equations import gates as split
from .equations import sigmoid, unpack
from .test_cells import random_params

B, T, F, H = 3, 6, 4, 5
LENGTHS = jnp.array([6, 1, 4])


@pytest.fixture
def params(key):
    # test_cells has the same F and H; no weight and no bias is zero.
    return random_params(sg.LSTMCell(features=H), key)


@pytest.fixture
def inputs(key):
    return 2 * jax.random.normal(jax.random.fold_in(key, 1), (B, T, F))


def numpy_gates(params, x, c, h):
    """Every gate at every step of ``x [B, T, F]``, from the equations."""
    p, width = unpack(params)
    W, U, b = (
        split(p[k], "ifgo", width)
        for k in ("input_kernel", "recurrent_kernel", "input_bias")
    )
    found = {name: [] for name in ("g", "i", "f", "o", "cell", "hidden")}
    for t in range(x.shape[1]):
        a = {k: x[:, t] @ W[k] + h @ U[k] + b[k] for k in "ifgo"}
        values = {k: np.tanh(a[k]) if k == "g" else sigmoid(a[k]) for k in "gifo"}
        c = values["f"] * c + values["i"] * values["g"]
        h = values["o"] * np.tanh(c)
        for name, value in (values | {"cell": c, "hidden": h}).items():
            found[name].append(value)
    return {name: np.stack(values, axis=1) for name, values in found.items()}


@pytest.mark.smoke
def test_gates_equal_a_numpy_loop(params, inputs, key):
    # g and o exchanged, gates of the step before, a candidate through a sigmoid.
    carry = LSTMCarry(*jax.random.normal(jax.random.fold_in(key, 2), (2, B, H)))
    found = lstm_gates(params, inputs, carry)
    expected = numpy_gates(params, np.asarray(inputs), *map(np.asarray, carry))
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(found, name), value, atol=3e-6, err_msg=name)


def test_hidden_states_are_those_of_the_layer(params, inputs):
    # Another recurrence than the network's; values that depend on what follows.
    layer = sg.Recurrent(sg.LSTMCell(features=H))
    carry, outputs = layer.apply({"params": {"cell": params}}, inputs, LENGTHS)
    found = lstm_gates(params, inputs)
    valid = np.arange(T)[None] < np.asarray(LENGTHS)[:, None]
    np.testing.assert_allclose(found.hidden[valid], outputs[valid], atol=1e-6)
    last = found.cell[np.arange(B), LENGTHS - 1]
    np.testing.assert_allclose(last, carry.cell, atol=1e-6)


def test_gates_fit_together_and_keep_their_ranges(params, inputs):
    # A gate before its nonlinearity, or a cell state shifted by one step.
    found = lstm_gates(params, 5 * inputs)
    for name in ("i", "f", "o"):
        values = getattr(found, name)
        assert 0 <= values.min() < 0.1
        assert 0.9 < values.max() <= 1
    assert -1 <= found.g.min() < -0.9
    assert 0.9 < found.g.max() <= 1
    before = jnp.concatenate([jnp.zeros((B, 1, H)), found.cell[:, :-1]], axis=1)
    np.testing.assert_allclose(
        found.cell, found.f * before + found.i * found.g, atol=1e-6
    )
    np.testing.assert_allclose(found.hidden, found.o * jnp.tanh(found.cell), atol=1e-6)


def test_tokens_are_rows_of_the_table(params, key):
    # The table taken for a sequence, or rows looked up along the wrong axis.
    table = jax.random.normal(key, (7, F))
    tokens = jax.random.randint(key, (B, T), 0, 7)
    by_token = lstm_gates(params, table, tokens=tokens)
    np.testing.assert_allclose(by_token.f, lstm_gates(params, table[tokens]).f, 1e-5)


def test_seeds_along_a_leading_axis(inputs, key):
    # Something in the function that does not map: all seeds with one's parameters.
    cell = sg.LSTMCell(features=H)
    params = jax.vmap(lambda k: random_params(cell, k))(jax.random.split(key, 2))
    together = jax.vmap(lstm_gates, (0, None))(params, inputs)
    for s in range(2):
        alone = lstm_gates(jax.tree.map(lambda leaf, s=s: leaf[s], params), inputs)
        for one, of_all in zip(alone, together, strict=True):
            np.testing.assert_allclose(of_all[s], one, atol=1e-6)


@pytest.mark.parametrize("name", ["gru", "peephole", "peephole-diagonal"])
def test_parameters_of_another_cell_raise(name, key):
    # A diagonal peephole has kernels of the same shape and would give other gates.
    params = random_params(sg.CELLS[name](features=H), key)
    with pytest.raises(ValueError, match="not the parameters of an LSTMCell"):
        lstm_gates(params, jnp.zeros((2, T, F)))


def test_a_carry_of_another_width_raises(params, inputs):
    # A carry that broadcasts.
    wrong = LSTMCarry(jnp.zeros((B, 1)), jnp.zeros((B, 1)))
    with pytest.raises(ValueError, match=r"\[B, 5\].*\[3, 1\]"):
        lstm_gates(params, inputs, wrong)


@pytest.mark.smoke
def test_saturation_counts_by_hand():
    # Left and right exchanged, padding counted, a bound that counts itself, and
    # a share of all units instead of one for each.
    values = np.full((2, 3, 2), 0.5, np.float32)
    values[0, :, 0] = 0.05, 0.1, 0.95
    values[0, :, 1] = 0.9, 0.99, 0.91
    values[1, 0] = 0.01, 0.02
    values[1, 1:] = 0.0, 1.0  # padding
    counted = np.arange(3)[None] < np.array([[3], [1]])
    left, right = saturation(jnp.asarray(values), jnp.asarray(counted))
    np.testing.assert_allclose(left, [2 / 4, 1 / 4])
    np.testing.assert_allclose(right, [1 / 4, 2 / 4])
    left, right = saturation(jnp.asarray(values))
    np.testing.assert_allclose(left, [4 / 6, 1 / 6])


def test_saturation_of_the_candidate_has_signed_bounds():
    # A tanh judged by the bounds of a sigmoid: every negative value is saturated.
    g = jnp.array([[[-0.95, -0.5, 0.95]], [[0.95, 0.0, 0.85]]])
    left, right = saturation(g, None, *BOUNDS["g"])
    np.testing.assert_allclose(left, [0.5, 0, 0])
    np.testing.assert_allclose(right, [0.5, 0, 0.5])


def test_saturation_without_positions_is_no_number():
    # Nothing counted looks like nothing saturated.
    left, right = saturation(jnp.ones((2, 3, 4)), jnp.zeros((2, 3), bool))
    assert np.isnan(left).all()
    assert np.isnan(right).all()
