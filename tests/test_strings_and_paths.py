"""Strings as sequences and as paths: labels, padding, direction, and the RNN identity.

One network of each kind, of few widths: programs are compiled once.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqgraph_jax as sg
from seqgraph_jax.graph.paths import path_graphs, receptive_field
from seqgraph_jax.joined.forms import string_network
from seqgraph_jax.joined.rounds import pass_rounds
from seqgraph_jax.recurrent.steps import LSTMCarry
from seqgraph_jax.tasks.strings import (
    ONE,
    ZERO,
    BaumSweetStrings,
    Padded,
    answer_by_size,
    longest_zeros,
    run_parity,
    to_strings,
)

pytestmark = pytest.mark.xdist_group("strings")
TASK = BaumSweetStrings(max_digits=3)
LENGTHS = np.array([6, 3, 1, 5])
#: Past the ends stand symbols that must not be read.
TOKENS = np.random.default_rng(0).integers(1, 3, (4, 6))


def as_text(values, length):
    return "".join("?01"[symbol] for symbol in np.asarray(values)[:length])


def test_strings_are_the_numbers_of_the_padded_task_with_their_labels():
    # Digits in another order, a length off by one, labels of another batch.
    key = jax.random.key(3)
    (strings, lengths), targets = TASK.sample(key, 50)
    before, labels = TASK.numbers.sample(key, 50)
    np.testing.assert_array_equal(targets.labels, labels)
    for row, length, digits in zip(strings, lengths, before, strict=True):
        text = as_text(row, length)
        assert text == as_text(digits[-int(length) :], length)
        assert text[0] == "1"
        assert not np.asarray(row)[length:].any()
        assert sg.tasks.baum_sweet(int(text, 2)) == run_parity(
            Padded(row[None], length[None])
        )


def test_an_evaluation_has_two_sets_apart():
    batch = TASK.evaluation(jax.random.key(0), 7)
    assert len(batch.inputs.lengths) == 14
    assert (batch.targets.counted != batch.targets.tested).all()
    assert batch.targets.counted.sum() == 7


def test_the_counter_of_runs_knows_all_numbers():
    # The parity of a run that the end cuts off, of the padding, of runs of ones.
    numbers = np.arange(1, 600)
    found = run_parity(to_strings(jnp.asarray(numbers), 10))
    np.testing.assert_array_equal(found, [*map(sg.tasks.baum_sweet, numbers.tolist())])


def test_pairs_differ_by_one_zero_in_their_longest_run():
    batch, runs = TASK.zero_pairs(4)
    strings, labels = batch.inputs, batch.targets
    np.testing.assert_array_equal(labels, [1, 0] * (len(labels) // 2))
    np.testing.assert_array_equal(np.diff(strings.lengths)[::2], 1)
    longest = longest_zeros(strings)
    np.testing.assert_array_equal(longest[::2], runs[::2])
    np.testing.assert_array_equal(longest[1::2], runs[::2] + 1)
    assert set(runs) == {2, 4, 6, 8}
    assert (np.unique_counts(runs).counts <= 8).all()
    texts = [as_text(*row) for row in zip(*strings, strict=True)]
    for one, other in zip(texts[::2], texts[1::2], strict=True):
        cut = {other[:k] + other[k + 1 :] for k, c in enumerate(other) if c == "0"}
        assert one in cut
        assert int(other, 2) <= TASK.numbers.high


def test_test_strings_of_a_length_have_both_labels_and_are_numbers_of_the_task():
    batch = TASK.by_length(5)
    lengths, labels = np.asarray(batch.inputs.lengths), np.asarray(batch.targets)
    for length in range(5, 11):
        counts = np.bincount(labels[lengths == length], minlength=2)
        assert (counts > 0).all()
        assert (counts <= 5).all()
    numbers = [int(as_text(*row), 2) for row in zip(*batch.inputs, strict=True)]
    assert [sg.tasks.baum_sweet(n) for n in numbers] == labels.tolist()
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) <= TASK.numbers.high


def test_shares_by_size_weigh_both_labels_alike():
    class Rule:
        """Right on every string but those of label 1 with nine digits."""

        def predict(self, inputs, batch_size):
            assert batch_size is None
            said = np.asarray(run_parity(inputs))
            said = np.where(np.asarray(inputs.lengths) == 9, 0, said)
            return np.eye(2)[said][None]

    found = answer_by_size(TASK, {"rule": Rule()}, 5)
    assert found.lengths.tolist() == [5, 6, 7, 8, 9, 10]
    assert found.by_length["rule"][0].tolist() == [1, 1, 1, 1, 0.5, 1]
    assert found.runs.tolist() == [2, 4, 6, 8]
    assert 0.5 < found.on_pairs["rule"][0] < 1


@cache
def network(name, both_ways=True, readout="max"):
    """A network, parameters without a zero, and its outputs as a function."""
    model = string_network(name, 4, both_ways, readout)
    inputs = (jnp.asarray(TOKENS), jnp.asarray(LENGTHS))
    shapes = jax.eval_shape(model.init, jax.random.key(0), inputs)
    rng = np.random.default_rng(1)
    params = jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape, scale=0.7).astype(np.float32), shapes
    )
    return model, params, jax.jit(model.apply)


@pytest.mark.parametrize("name", ["gru", "recurrent-gnn", "gin-2", "gcn-2"])
def test_padding_changes_nothing(name):
    # What stands behind the end, a longer row, or the strings beside it.
    _, params, apply = network(name)
    found = apply(params, (TOKENS, LENGTHS))
    assert len(np.unique(found)) == 8
    past = np.arange(6)[None] >= LENGTHS[:, None]
    others = np.where(past, ZERO + ONE - TOKENS, TOKENS)
    np.testing.assert_allclose(apply(params, (others, LENGTHS)), found, atol=1e-6)
    alone = (TOKENS[1:2, :3], LENGTHS[1:2])
    model = network(name)[0]
    np.testing.assert_allclose(model.apply(params, alone)[0], found[1], atol=1e-6)


def test_rounds_on_the_path_are_the_recurrent_network():
    # The identity: the same parameters, by name, and the same outputs and gradients.
    model, params, apply = network("gru")
    rounds, of_rounds, apply_rounds = network("recurrent-gnn")
    assert jax.tree.structure(params) == jax.tree.structure(of_rounds)
    inputs = (TOKENS, LENGTHS)
    np.testing.assert_allclose(
        apply_rounds(params, inputs), apply(params, inputs), rtol=2e-5, atol=1e-6
    )

    def slopes(model):
        return jax.grad(lambda p: (model.apply(p, inputs) ** 3).sum())(params)

    for a, b in zip(
        *(jax.tree.leaves(slopes(m)) for m in (model, rounds)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_a_round_hears_one_step_further_along_the_edges():
    # After k rounds a node has read the last k symbols, from zeros, and no others.
    cell = sg.LSTMCell(features=3)
    x = jax.random.normal(jax.random.key(0), (1, 5, 2))
    params = cell.init(jax.random.key(1), cell.initial_carry(5), x[0])
    step, projected = cell.apply(params, x[0], method="prepare")
    carry = pass_rounds(
        step, cell.initial_carry(5), projected, path_graphs(x, jnp.array([5])), 3
    )
    expected = LSTMCarry(*jnp.zeros((2, 1, 3)))
    for t in (2, 3, 4):
        expected, _ = cell.apply(params, expected, x[:, t])
    for found, right in zip(carry, expected, strict=True):
        np.testing.assert_allclose(found[4], right[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("both_ways", [False, True])
def test_a_node_hears_of_as_many_symbols_as_is_said(both_ways):
    # Layers that hear further, edges the wrong way round, loops that are counted.
    layers = sg.graph.networks.GraphLayers("gcn", (3, 3), drop_inputs=False)
    x = np.random.default_rng(0).normal(size=(8, 7, 2)).astype(np.float32)
    x[1:] = x[:1]
    x[np.arange(1, 8), np.arange(7)] += 1  # row t + 1 has another symbol at t
    paths = path_graphs(jnp.asarray(x), jnp.full(8, 7), both_ways)
    params = layers.init(jax.random.key(1), paths)
    nodes = jax.jit(layers.apply)(params, paths).nodes.reshape(8, 7, 3)
    moved = (nodes[1:, 3] != nodes[:1, 3]).any(-1)  # of the node in the middle
    assert moved.sum() == receptive_field(2, both_ways)
    assert moved[1:4].all()
    assert moved[4] == both_ways
