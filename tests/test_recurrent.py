"""Cells over time: loops, lengths, directions, tokens, stacks, and PyTorch's layers."""

from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqgraph_jax as sg

B, T, F, H = 4, 6, 3, 5
LENGTHS = jnp.array([6, 0, 1, 4])
GOLDEN = np.load(Path(__file__).parent / "golden/torch_cells.npz")


def layer_and_params(name, key, **options):
    layer = sg.Recurrent(sg.CELLS[name](features=H), **options)
    params = layer.init(key, jnp.zeros((B, T, F)))
    # Biases away from zero, so that padding does not look like nothing.
    noise = jax.random.normal(
        jax.random.fold_in(key, 9), (len(jax.tree.leaves(params)),)
    )
    leaves, structure = jax.tree.flatten(params)
    leaves = [leaf + 0.1 * n for leaf, n in zip(leaves, noise, strict=True)]
    return layer, structure.unflatten(leaves)


@pytest.fixture(params=sg.CELLS)
def name(request):
    return request.param


@pytest.fixture
def inputs(key):
    return jax.random.normal(jax.random.fold_in(key, 1), (B, T, F))


@pytest.mark.smoke
def test_scan_equals_a_loop_over_the_cell(name, inputs, key):
    layer, params = layer_and_params(name, key)
    cell = sg.CELLS[name](features=H)
    carry, expected = cell.initial_carry(B), []
    for t in range(T):
        weights = {"params": params["params"]["cell"]}
        carry, outputs = cell.apply(weights, carry, inputs[:, t])
        expected.append(outputs)
    last, outputs = layer.apply(params, inputs)
    chex.assert_trees_all_close(outputs, jnp.stack(expected, axis=1), atol=1e-6)
    chex.assert_trees_all_close(last, carry, atol=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
def test_lengths_are_as_if_each_sequence_were_alone(name, inputs, key, reverse):
    layer, params = layer_and_params(name, key, reverse=reverse)
    carry, outputs = layer.apply(params, inputs, LENGTHS)
    for b, length in enumerate(LENGTHS.tolist()):
        assert jnp.all(outputs[b, length:] == 0)
        if length == 0:
            continue
        alone, alone_outputs = layer.apply(params, inputs[b : b + 1, :length])
        chex.assert_trees_all_close(outputs[b, :length], alone_outputs[0], atol=1e-6)
        chex.assert_trees_all_close(
            jax.tree.map(lambda leaf, b=b: leaf[b], carry),
            jax.tree.map(lambda leaf: leaf[0], alone),
            atol=1e-6,
        )


def test_length_zero_gives_the_initial_carry(name, inputs, key):
    layer, params = layer_and_params(name, key)
    zeros = sg.CELLS[name](features=H).initial_carry(B)
    initial = jax.tree.map(lambda leaf: leaf + jnp.arange(1.0, H + 1)[None], zeros)
    carry, _ = layer.apply(params, inputs, LENGTHS, initial)
    row = jax.tree.map(lambda leaf: leaf[1], (carry, initial))
    chex.assert_trees_all_equal(*row)


@pytest.mark.parametrize("reverse", [False, True])
def test_what_stands_in_the_padding_changes_nothing(name, inputs, key, reverse):
    layer, params = layer_and_params(name, key, reverse=reverse)
    padding = jnp.arange(T)[None, :, None] >= LENGTHS[:, None, None]
    other = jnp.where(padding, 1e3, inputs)
    results = [layer.apply(params, x, LENGTHS) for x in (inputs, other)]
    chex.assert_trees_all_equal(*results)

    def loss(x):
        carry, outputs = layer.apply(params, x, LENGTHS)
        return (carry.hidden**2).sum() + (outputs**2).sum()

    grads = jax.grad(loss)(inputs)
    chex.assert_tree_all_finite(grads)
    assert jnp.all(jnp.where(padding, grads, 0) == 0)
    assert jnp.all(jnp.where(padding, 1, grads) != 0)


def test_full_lengths_equal_no_lengths(name, inputs, key):
    layer, params = layer_and_params(name, key)
    with_lengths = layer.apply(params, inputs, jnp.full(B, T))
    chex.assert_trees_all_close(with_lengths, layer.apply(params, inputs), atol=1e-6)


def test_reverse_is_forward_on_the_reversed_sequence(name, inputs, key):
    forward, params = layer_and_params(name, key)
    backward = sg.Recurrent(sg.CELLS[name](features=H), reverse=True)
    carry, outputs = backward.apply(params, inputs)
    flipped_carry, flipped = forward.apply(params, inputs[:, ::-1])
    chex.assert_trees_all_close(outputs, flipped[:, ::-1], atol=1e-6)
    chex.assert_trees_all_close(carry, flipped_carry, atol=1e-6)


def test_a_carry_continues_a_sequence(name, inputs, key):
    layer, params = layer_and_params(name, key)
    carry, _ = layer.apply(params, inputs[:, :2])
    continued, outputs = layer.apply(params, inputs[:, 2:], None, carry)
    whole, whole_outputs = layer.apply(params, inputs)
    chex.assert_trees_all_close(continued, whole, atol=1e-6)
    chex.assert_trees_all_close(outputs, whole_outputs[:, 2:], atol=1e-6)


def test_tokens_equal_embedding_then_projecting(name, key):
    # The fast path looks projected rows up; outputs and gradients must not know.
    layer, params = layer_and_params(name, key)
    table = jax.random.normal(jax.random.fold_in(key, 2), (7, F))
    tokens = jax.random.randint(jax.random.fold_in(key, 3), (B, T), 0, 7)

    def fast(params, table):
        return layer.apply(params, table, LENGTHS, tokens=tokens)

    def plain(params, table):
        return layer.apply(params, table[tokens], LENGTHS)

    def loss(run):
        return lambda *args: (run(*args)[1] ** 2).sum()

    chex.assert_trees_all_close(fast(params, table), plain(params, table), atol=1e-6)
    grads = [jax.grad(loss(run), (0, 1))(params, table) for run in (fast, plain)]
    chex.assert_trees_all_close(*grads, atol=2e-5)


def test_padding_that_is_nan_leaves_gradients_alone(inputs, key):
    # A gradient of 0 times an input of NaN.
    padded = jnp.arange(T)[None, :, None] >= LENGTHS[:, None, None]
    both = sg.Bidirectional(sg.RNNCell(H), sg.RNNCell(H))
    layer = sg.Stack([both, sg.Recurrent(sg.RNNCell(H))])
    params = layer.init(key, inputs)

    @jax.jit
    def grads(params, inputs):
        def loss(params):
            carry, outputs = layer.apply(params, inputs, LENGTHS)
            return (outputs**2).sum() + carry.hidden.sum()

        return jax.grad(loss)(params)

    expected = grads(params, jnp.where(padded, 0, inputs))
    for nothing in (jnp.nan, jnp.inf):
        found = grads(params, jnp.where(padded, nothing, inputs))
        chex.assert_trees_all_close(found, expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int32", "bool"])
def test_layers_take_numbers_of_any_kind(name, dtype, key):
    # A carry in the inputs' dtype, where the step gives that of the weights.
    inputs = jax.ShapeDtypeStruct((B, T, F), dtype)
    cell, other = sg.CELLS[name](H), sg.CELLS[name](H)

    def dtypes(tree):
        return {leaf.dtype for leaf in jax.tree.leaves(tree)}

    def like(tree, dtype):
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, dtype), tree)

    for layer in (sg.Recurrent(cell), sg.Bidirectional(cell, other)):
        params = jax.eval_shape(layer.init, key, like(inputs, "float32"))
        for lengths in (None, LENGTHS):
            found = jax.eval_shape(layer.apply, params, inputs, lengths)
            assert dtypes(found) == {jnp.dtype("float32")}
        # Weights of half precision; the widest number among them wins.
        half, first = like(params, "bfloat16"), like(found[0], "float32")
        found = jax.eval_shape(layer.apply, half, inputs, None, first)
        assert dtypes(found) == {jnp.dtype("float32")}


@pytest.mark.parametrize("symbol", [-1, F])
def test_tokens_without_a_row_are_refused(symbol, key):
    # JAX takes the nearest row, or one from the end.
    tokens = np.array([[0, 2], [symbol, 1]])
    layer, params = layer_and_params("rnn", key)
    with pytest.raises(
        ValueError, match=f"no symbol {symbol}: .* 3 symbols has 0 to 2"
    ):
        layer.apply(params, jnp.ones((F, F)), tokens=tokens)
    jax.eval_shape(lambda t: layer.apply(params, jnp.ones((F, F)), tokens=t), tokens)


@pytest.mark.parametrize("shape", [(B, F), (B, T, F, 1)])
def test_inputs_of_another_rank_raise(shape):
    with pytest.raises(ValueError, match=r"inputs must be \[B, T, F\]"):
        sg.Recurrent(sg.RNNCell(H)).init(jax.random.key(0), jnp.zeros(shape))


def test_bidirectional_is_both_directions(inputs, key):
    cells = [sg.LSTMCell(H), sg.GRUCell(H)]
    layer = sg.Bidirectional(*cells)
    params = layer.init(key, inputs)
    carry, outputs = layer.apply(params, inputs, LENGTHS)
    parts = []
    for k, (cell, side) in enumerate(zip(cells, ("forward", "backward"), strict=True)):
        one_way = sg.Recurrent(cell, reverse=k == 1)
        weights = {"params": {"cell": params["params"][f"{side}_cell"]}}
        parts.append(one_way.apply(weights, inputs, LENGTHS))
    chex.assert_trees_all_close(
        outputs, jnp.concatenate([part[1] for part in parts], axis=-1), atol=1e-6
    )
    hidden = jnp.concatenate([part[0].hidden for part in parts], axis=-1)
    chex.assert_trees_all_close(carry.hidden, hidden, atol=1e-6)
    continued, _ = layer.apply(params, inputs, jnp.zeros(B, int), carry)
    chex.assert_trees_all_equal(continued, carry)


def test_stack_feeds_each_layer_the_outputs_of_the_one_below(inputs, key):
    layers = [sg.Recurrent(sg.LSTMCell(H)), sg.Recurrent(sg.GRUCell(2))]
    stack = sg.Stack(layers)
    params = stack.init(key, inputs)
    carry, outputs = stack.apply(params, inputs, LENGTHS)
    middle = inputs
    for k, layer in enumerate(layers):
        weights = {"params": params["params"][f"layers_{k}"]}
        alone, middle = layer.apply(weights, middle, LENGTHS)
        chex.assert_trees_all_close(carry.layers[k], alone, atol=1e-6)
    chex.assert_trees_all_close(outputs, middle, atol=1e-6)
    chex.assert_trees_all_equal(carry.hidden, carry.layers[1].hidden)


def test_dropout_acts_between_layers_in_training_only(inputs, key):
    def outputs(num_layers, rate, train):
        layers = [sg.Recurrent(sg.LSTMCell(H)) for _ in range(num_layers)]
        stack = sg.Stack(layers, dropout_rate=rate)
        params = stack.init(key, inputs)
        rngs = {"dropout": jax.random.key(5)}
        return stack.apply(params, inputs, train=train, rngs=rngs)[1]

    chex.assert_trees_all_equal(outputs(2, 0.5, False), outputs(2, 0.0, True))
    assert not jnp.allclose(outputs(2, 0.5, True), outputs(2, 0.0, True))
    chex.assert_trees_all_equal(outputs(1, 0.5, True), outputs(1, 0.0, True))


def from_torch(prefix, suffix, gates, reset_after=False):
    """Our parameters from PyTorch's: transposed, biases added, z negated for a GRU."""

    def rows(kind):
        blocks = np.split(GOLDEN[f"{prefix}.{kind}_{suffix}"], gates)
        if reset_after:
            blocks[1] = -blocks[1]  # PyTorch's z is 1 - z here
        return blocks

    b_input, b_hidden = rows("bias_ih"), rows("bias_hh")
    bias = [i + h for i, h in zip(b_input, b_hidden, strict=True)]
    params = {
        "input": {"kernel": np.concatenate(rows("weight_ih")).T},
        "recurrent_kernel": np.concatenate(rows("weight_hh")).T,
    }
    if reset_after:
        bias[2], params["recurrent_bias"] = b_input[2], b_hidden[2]
    params["input"]["bias"] = np.concatenate(bias)
    return params


TORCH = {
    "rnn": (
        sg.Recurrent(sg.RNNCell(6)),
        lambda: {"cell": from_torch("rnn", "l0", 1)},
    ),
    "lstm": (
        sg.Recurrent(sg.LSTMCell(6)),
        lambda: {"cell": from_torch("lstm", "l0", 4)},
    ),
    "gru": (
        sg.Recurrent(sg.GRUCell(6, reset_after=True)),
        lambda: {"cell": from_torch("gru", "l0", 3, reset_after=True)},
    ),
    "bilstm": (
        sg.Bidirectional(sg.LSTMCell(6), sg.LSTMCell(6)),
        lambda: {
            "forward_cell": from_torch("bilstm", "l0", 4),
            "backward_cell": from_torch("bilstm", "l0_reverse", 4),
        },
    ),
    "stack": (
        sg.Stack([sg.Recurrent(sg.LSTMCell(6)), sg.Recurrent(sg.LSTMCell(6))]),
        lambda: {
            f"layers_{k}": {"cell": from_torch("stack", f"l{k}", 4)} for k in (0, 1)
        },
    ),
}


@pytest.mark.smoke
@pytest.mark.parametrize("case", TORCH)
def test_equals_pytorch_with_packed_lengths(case):
    layer, params = TORCH[case]
    carry, outputs = layer.apply(
        {"params": params()},
        jnp.asarray(GOLDEN["inputs"]),
        jnp.asarray(GOLDEN["lengths"]),
    )
    chex.assert_trees_all_close(outputs, GOLDEN[f"{case}.outputs"], atol=1e-6)
    hidden = GOLDEN[f"{case}.hidden"]
    expected = np.concatenate(hidden, axis=-1) if case == "bilstm" else hidden[-1]
    chex.assert_trees_all_close(carry.hidden, expected, atol=1e-6)
