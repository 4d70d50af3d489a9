"""Tasks with a delay: what is asked, where it stands, what guessing gets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqgraph_jax.tasks.delays import TOLERANCE, Adding, Copy, Delayed, adding_metrics


@pytest.mark.smoke
def test_copy_asks_for_what_came_first(key):
    # Answers in another order, a delay off by one.
    task = Copy(delay=5, num_copied=3, num_kinds=4)
    batch = task.sample(key, 50)
    inputs, targets = np.asarray(batch.inputs), np.asarray(batch.targets)
    assert inputs.shape == (50, task.length) == (50, 11)
    np.testing.assert_array_equal(inputs[:, :3], targets + 1)
    assert (inputs[:, 3:8] == 0).all()
    assert (inputs[:, 8:] == task.num_symbols - 1).all()
    assert set(np.unique(targets)) == {0, 1, 2, 3}
    assert len({tuple(row) for row in targets.tolist()}) > 10


@pytest.mark.smoke
@pytest.mark.parametrize("delay", [2, 7, 40])
def test_adding_marks_one_number_of_each_half(delay, key):
    # A mark that stays in one place, a sum of other numbers than the marked ones.
    batch = Adding(delay).sample(key, 400)
    numbers, marks = np.moveaxis(np.asarray(batch.inputs), -1, 0)
    half = delay // 2
    assert (marks[:, :half].sum(1) == 1).all()
    assert (marks[:, half:].sum(1) == 1).all()
    np.testing.assert_allclose((numbers * marks).sum(1), batch.targets, atol=1e-6)
    assert set(marks.argmax(1)) == set(range(half))


def test_baselines_are_those_of_predictors_that_remember_nothing(key):
    # Of many fresh examples: the constant 1, and a uniform guess.
    batch = Adding(12).sample(key, 100_000)
    metrics = adding_metrics(jnp.ones((100_000, 1)), batch.targets)
    np.testing.assert_allclose(metrics["loss"], Adding.baseline_loss, rtol=0.02)
    np.testing.assert_allclose(metrics["accuracy"], Adding.baseline_accuracy, rtol=0.02)
    task = Copy(3, num_kinds=5)
    batch = task.sample(key, 100_000)
    logits = jnp.zeros((100_000, 1, 5))
    metrics = task.metrics(logits, batch.targets)
    np.testing.assert_allclose(metrics["loss"], task.baseline_loss, rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"], task.baseline_accuracy, rtol=0.03)


def test_an_answer_counts_within_the_tolerance():
    outputs = jnp.array([[1.0], [1.0 + 0.9 * TOLERANCE], [1.0 - 1.1 * TOLERANCE]])
    metrics = adding_metrics(outputs, jnp.ones(3))
    np.testing.assert_allclose(metrics["accuracy"], 2 / 3, atol=1e-6)
    bad = adding_metrics(jnp.full((3, 1), jnp.nan), jnp.ones(3))
    assert jnp.isnan(bad["accuracy"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Copy(-1), "a delay of -1 steps"),
        (lambda: Copy(3, num_copied=0), "0 symbols of 8 kinds"),
        (lambda: Copy(3, num_kinds=1), "1 symbols of 1 kinds"),
        (lambda: Adding(1), "a delay of 1 steps"),
    ],
)
def test_what_is_not_possible_is_said(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_batches_differ_with_the_key():
    task = Adding(10)
    one, two = (task.sample(jax.random.key(k), 4).inputs for k in (0, 1))
    assert (one != two).any()


@pytest.mark.parametrize("delay", [2, 5, 9])
def test_a_shorter_delay_is_padded_in_front(delay, key):
    # Padding between symbol and cue, or a mark in the padding.
    batch = Delayed(Copy(9, num_copied=2), jnp.array(delay)).sample(key, 30)
    inputs = np.asarray(batch.inputs)
    start = 9 - delay
    assert inputs.shape == (30, 13)
    assert (inputs[:, :start] == 0).all()
    np.testing.assert_array_equal(inputs[:, start : start + 2], batch.targets + 1)
    assert (inputs[:, start + 2 : -2] == 0).all()
    batch = Delayed(Adding(9), jnp.array(delay)).sample(key, 30)
    inputs = np.asarray(batch.inputs)
    assert inputs.shape == (30, 9, 2)
    assert (inputs[:, :start] == 0).all()
    assert (inputs[:, start : start + delay // 2, 1].sum(1) == 1).all()
    np.testing.assert_allclose(inputs.prod(-1).sum(1), batch.targets, atol=1e-6)
