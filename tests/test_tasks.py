"""The toy problems against their definitions, brute force and chi-square tests."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from seqgraph_jax.tasks import toy as tasks
from seqgraph_jax.tasks.binary import baum_sweet, baum_sweet_ones, binary_symbols

# OEIS A086747, a(0) to a(48).
A086747 = "1101100101001001100100000100100101001001000000001"

TASKS = {
    "baum-sweet": tasks.BaumSweet(4),
    "random-combinations": tasks.RandomCombinations(5),
    "palindrome": tasks.BinaryPalindrome(3),
}


def numbers_of(inputs):
    """The numbers that `binary_symbols` wrote, as Python integers."""
    strings = ["".join(map(str, row)) for row in np.asarray(inputs).tolist()]
    return [int(s.lstrip("0").translate({49: "0", 50: "1"}) or "0", 2) for s in strings]


@pytest.mark.smoke
def test_baum_sweet_is_the_oeis_sequence():
    assert "".join(str(baum_sweet(n)) for n in range(49)) == A086747


def test_baum_sweet_obeys_its_recurrence():
    # b(4n) = b(n), b(4n + 2) = 0, b(2n + 1) = b(n), for n > 0.
    for n in range(1, 3000):
        assert baum_sweet(4 * n) == baum_sweet(n)
        assert baum_sweet(4 * n + 2) == 0
        assert baum_sweet(2 * n + 1) == baum_sweet(n)


def test_test_sets_of_the_longest_numbers_are_not_drawn_from_a_list_of_all(monkeypatch):
    # A permutation of a thousand million numbers: 8 GB.
    monkeypatch.setattr(tasks, "TEST_SIZE", 1000)
    task = tasks.BaumSweet(9)
    rng = np.random.default_rng

    def without_long_lists(seed):
        class Generator:
            choice = rng(seed).choice

            def permutation(self, num):
                assert num <= 100_000
                return rng(seed).permutation(num)

        return Generator()

    monkeypatch.setattr(np.random, "default_rng", without_long_lists)
    numbers = numbers_of(task.test_sets()["zeros"].inputs)
    assert len(set(numbers)) == 1000
    assert not any(baum_sweet(n) for n in numbers)
    assert 10 <= min(numbers) < 10**7 < 9 * 10**8 < max(numbers) <= 10**9


def test_baum_sweet_of_a_negative_number_raises():
    with pytest.raises(ValueError, match="not at -1"):
        baum_sweet(-1)


def test_ones_and_zeros_are_all_numbers_of_the_range():
    task = tasks.BaumSweet(max_digits=4)
    ones = baum_sweet_ones(10, 10**4).tolist()
    zeros = np.asarray(task.zeros(jnp.arange(task.num_zeros))).tolist()
    labels = {n: baum_sweet(n) for n in range(10, 10**4 + 1)}
    assert ones == [n for n, label in labels.items() if label]
    assert zeros == [n for n, label in labels.items() if not label]


@pytest.mark.parametrize(
    ("digits", "num_ones", "share"),
    [(4, 719, 0.823), (5, 3298, 0.671), (6, 16718, 0.504)],
)
def test_baum_sweet_shares_are_those_of_the_reference(digits, num_ones, share):
    task = tasks.BaumSweet(digits)
    assert task.num_ones == num_ones
    assert round(task.probability_of_one, 3) == share
    drawn = task.sample(jax.random.key(1), 20_000).targets.mean().item()
    assert abs(drawn - share) < 4 * np.sqrt(share * (1 - share) / 20_000)


def test_baum_sweet_numbers_follow_the_reference_generator():
    # The reference draws n uniformly, keeps label 1 always and label 0 sometimes.
    task = tasks.BaumSweet(max_digits=2, keep_zero=0.3)
    batch = task.sample(jax.random.key(2), 40_000)
    counts = np.bincount(numbers_of(batch.inputs), minlength=101)
    assert counts[:10].sum() == 0
    assert len(counts) == 101
    weights = np.array([1 if baum_sweet(n) else 0.3 for n in range(10, 101)])
    expected = weights / weights.sum() * 40_000
    assert stats.chisquare(counts[10:], expected).pvalue > 1e-3


def test_baum_sweet_targets_are_the_labels_of_the_inputs():
    for digits in (2, 6, 9):
        batch = tasks.BaumSweet(digits).sample(jax.random.key(3), 500)
        chex.assert_shape(batch.inputs, (500, 4 * digits))
        numbers = numbers_of(batch.inputs)
        assert [baum_sweet(n) for n in numbers] == batch.targets.tolist()
        assert min(numbers) >= 10
        assert max(numbers) <= 10**digits
        assert len(set(batch.targets.tolist())) == 2


def test_baum_sweet_test_sets_are_exhaustive():
    sets = tasks.BaumSweet(6).test_sets()
    ones, zeros = (set(numbers_of(sets[name].inputs)) for name in ("ones", "zeros"))
    assert ones == set(baum_sweet_ones(10, 10**6).tolist())
    assert len(zeros) == len(sets["zeros"].inputs) == 100_000
    assert not zeros & ones
    assert sets["ones"].targets.min() == 1
    assert sets["zeros"].targets.max() == 0
    small = tasks.BaumSweet(4)
    assert len(small.test_sets()["zeros"].targets) == small.num_zeros


def test_symbols_of_numbers_by_hand():
    symbols = binary_symbols(jnp.array([12, 1, 0, 2**31 - 1]), 36)
    assert symbols[0].tolist() == [0] * 32 + [2, 2, 1, 1]
    assert symbols[1].tolist() == [0] * 35 + [2]
    assert symbols[2].tolist() == [0] * 36
    assert symbols[3].tolist() == [0] * 5 + [2] * 31


def test_random_combinations_lack_their_target_and_are_uniform():
    batch = tasks.RandomCombinations(4).sample(jax.random.key(4), 24_000)
    rows = np.concatenate([batch.inputs, batch.targets[:, None]], axis=1)
    assert (np.sort(rows, axis=1) == np.arange(4)).all()
    _, counts = np.unique(rows, axis=0, return_counts=True)
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("digits", [1, 3, 10])
def test_palindromes_read_the_same_backward(digits):
    task = tasks.BinaryPalindrome(digits)
    batch = task.sample(jax.random.key(5), 5_000)
    chex.assert_shape(batch.inputs, (5_000, task.length))
    halves = set()
    for row, target in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        written = [symbol for symbol in row if symbol] + [target + 1]
        assert row == [0] * (task.length + 1 - len(written)) + written[:-1]
        assert written == written[::-1]
        halves.add("".join(str(s - 1) for s in written[: len(written) // 2]))
    if digits == 1:
        assert halves == {f"{n:b}" for n in range(10)}


def test_palindrome_digits_are_uniform():
    batch = tasks.BinaryPalindrome(1).sample(jax.random.key(6), 20_000)
    full = np.concatenate([batch.inputs, batch.targets[:, None] + 1], axis=1)
    lengths = (full > 0).sum(1) // 2
    counts = np.bincount(lengths)[1:]  # one decimal digit takes 1 to 4 binary ones
    assert stats.chisquare(counts, 20_000 * np.array([2, 2, 4, 2]) / 10).pvalue > 1e-3


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_a_pure_function_of_its_key(name):
    task = TASKS[name]
    same = [task.sample(jax.random.key(7), 50) for _ in range(2)]
    chex.assert_trees_all_equal(*same)
    jitted = jax.jit(lambda task, key: task.sample(key, 50))(task, jax.random.key(7))
    chex.assert_trees_all_equal(jitted, same[0])
    other = task.sample(jax.random.key(8), 50)
    assert not jnp.array_equal(other.inputs, same[0].inputs)


@pytest.mark.parametrize("name", TASKS)
def test_symbols_classes_and_baseline_are_what_is_drawn(name):
    task = TASKS[name]
    batch = task.sample(jax.random.key(9), 20_000)
    chex.assert_shape(batch.inputs, (20_000, task.length))
    assert set(np.unique(batch.inputs)) == set(range(task.num_symbols))
    assert set(np.unique(batch.targets)) == set(range(task.num_classes))
    most_frequent = np.bincount(batch.targets).max() / 20_000
    assert abs(most_frequent - task.baseline_accuracy) < 0.012


def test_drawn_test_sets_are_always_the_same():
    first, second = (tasks.RandomCombinations(4).test_sets()["fresh"] for _ in range(2))
    chex.assert_trees_all_equal(first, second)
    assert len(first.targets) == 100_000


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (tasks.BaumSweet, 1),
        (tasks.BaumSweet, 10),
        (tasks.RandomCombinations, 1),
        (tasks.BinaryPalindrome, 0),
    ],
)
def test_an_impossible_size_raises_and_names_it(make, size):
    with pytest.raises(ValueError, match=rf"of {size} .*not possible"):
        make(size)


def test_classification_metrics_by_hand():
    logits = jnp.log(jnp.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]))
    metrics = tasks.classification_metrics(logits, jnp.array([0, 1]))
    chex.assert_trees_all_close(
        metrics, {"loss": -(np.log(0.7) + np.log(0.3)) / 2, "accuracy": 0.5}, atol=1e-6
    )


def test_accuracy_is_1_if_and_only_if_every_answer_is_right():
    metrics = jax.jit(tasks.classification_metrics)
    for size in (3, 7, 41, 1000, 1025, 2999, 16_718, 100_000):
        targets = jnp.arange(size) % 2
        logits = jax.nn.one_hot(targets, 2)
        assert metrics(logits, targets)["accuracy"] == 1
        assert metrics(logits, targets.at[-1].set(1 - targets[-1]))["accuracy"] < 1


def test_accuracy_of_a_broken_network_is_nan():
    metrics = tasks.classification_metrics(jnp.full((2, 3), jnp.nan), jnp.array([0, 0]))
    assert jnp.isnan(metrics["accuracy"])
