"""Toy problems as pure functions of a key.

A toy problem is a task (`training.task.Task`) of plain values. Beside ``sample`` and
``metrics`` it has ``test_sets``, what a trained network is finally judged on;
``num_symbols``, ``num_classes`` and ``length`` (positions T); and
``baseline_accuracy``, that of always giving the most frequent label.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqgraph_jax.tasks.binary import baum_sweet_ones, binary_symbols
from seqgraph_jax.tasks.classification import Batch, classification_metrics

#: Examples in each test set that is drawn and not enumerated.
TEST_SIZE = 100_000


@jax.tree_util.register_static
@dataclass(frozen=True)
class BaumSweet:
    """Is n in the Baum-Sweet sequence? Numbers from 10 to 10**max_digits.

    n is drawn uniformly and kept if its label is 1, else with probability
    ``keep_zero``, else drawn again. Given its label n is thus uniform, and the label
    is 1 with probability ``ones / (ones + keep_zero * zeros)``: both are drawn
    directly. The r-th number with label 0 is ``10 + r + #{j: ones[j] - 10 - j <= r}``.

    Shapes: inputs ``[B, 4 max_digits]`` of `binary_symbols`, targets ``[B]``.

    Raises `ValueError` for max_digits outside 2..9 (numbers are 32-bit).

    Source: deep learning assignment 2, University of Amsterdam, 2020.

    >>> task = BaumSweet(max_digits=6)
    >>> task.num_ones, round(task.baseline_accuracy, 3)
    (16718, 0.504)
    >>> batch = task.sample(jax.random.key(0), batch_size=5)
    >>> batch.inputs.shape, batch.targets.shape
    ((5, 24), (5,))
    """

    max_digits: int = 6
    keep_zero: float = 0.016724

    metrics = classification_metrics
    divisible = True
    num_symbols = 3
    num_classes = 2
    LOW = 10

    def __post_init__(self) -> None:
        if not 2 <= self.max_digits <= 9:
            raise ValueError(
                f"a Baum-Sweet length of {self.max_digits} decimal digits is not "
                "possible: choose 2 to 9"
            )

    @property
    def high(self) -> int:
        """Largest number."""
        return 10**self.max_digits

    @property
    def length(self) -> int:
        """Positions of an input."""
        return 4 * self.max_digits

    @property
    def num_ones(self) -> int:
        """Numbers of the range with label 1."""
        return len(baum_sweet_ones(self.LOW, self.high))

    @property
    def num_zeros(self) -> int:
        """Numbers of the range with label 0."""
        return self.high - self.LOW + 1 - self.num_ones

    @property
    def probability_of_one(self) -> float:
        """Share of examples with label 1."""
        return self.num_ones / (self.num_ones + self.keep_zero * self.num_zeros)

    @property
    def baseline_accuracy(self) -> float:
        """Accuracy of always giving the more frequent label."""
        return max(self.probability_of_one, 1 - self.probability_of_one)

    def zeros(self, ranks: jax.Array) -> jax.Array:
        """Numbers with label 0 of the given ranks, 0..num_zeros-1, in their order."""
        ones = baum_sweet_ones(self.LOW, self.high)
        before = ones - self.LOW - np.arange(len(ones), dtype=np.int32)
        return self.LOW + ranks + jnp.searchsorted(before, ranks, side="right")

    def sample(self, key: jax.Array, batch_size: int) -> Batch:
        label_key, one_key, zero_key = jax.random.split(key, 3)
        shape = (batch_size,)
        targets = jax.random.bernoulli(label_key, self.probability_of_one, shape)
        ones = jnp.asarray(baum_sweet_ones(self.LOW, self.high))
        one = ones[jax.random.randint(one_key, shape, 0, self.num_ones)]
        zero = self.zeros(jax.random.randint(zero_key, shape, 0, self.num_zeros))
        numbers = jnp.where(targets, one, zero)
        return Batch(binary_symbols(numbers, self.length), targets.astype(jnp.int32))

    def test_sets(self) -> dict[str, Batch]:
        """``ones``: every number with label 1; ``zeros``: 100,000 with label 0.

        The zeros are distinct, drawn with a fixed generator; all, if there are fewer.
        """
        rng = np.random.default_rng(0)
        if self.num_zeros > 100 * TEST_SIZE:  # too many to be laid out in memory
            ranks = rng.choice(self.num_zeros, TEST_SIZE, replace=False)
        else:
            ranks = rng.permutation(self.num_zeros)[:TEST_SIZE]
        ones = jnp.asarray(baum_sweet_ones(self.LOW, self.high))
        zeros = self.zeros(jnp.asarray(np.sort(ranks), jnp.int32))
        return {
            "ones": Batch(
                binary_symbols(ones, self.length), jnp.ones(len(ones), jnp.int32)
            ),
            "zeros": Batch(
                binary_symbols(zeros, self.length), jnp.zeros(len(zeros), jnp.int32)
            ),
        }


def _drawn_test_set(task: Any) -> dict[str, Batch]:
    """100,000 fresh examples, the same in every run."""
    return {"fresh": task.sample(jax.random.key(0x7E57), TEST_SIZE)}


@jax.tree_util.register_static
@dataclass(frozen=True)
class RandomCombinations:
    """Which number is missing? A random permutation of 0..size-1 without its last.

    Shapes: inputs ``[B, size - 1]``, targets ``[B]``, both integers in 0..size-1.

    Raises `ValueError` for a size below 2.

    Source: deep learning assignment 2, University of Amsterdam, 2020.

    >>> batch = RandomCombinations(size=5).sample(jax.random.key(0), batch_size=3)
    >>> sorted([*batch.inputs[1].tolist(), batch.targets[1].item()])
    [0, 1, 2, 3, 4]
    """

    size: int = 5

    metrics = classification_metrics
    divisible = True
    test_sets = _drawn_test_set

    def __post_init__(self) -> None:
        if self.size < 2:
            raise ValueError(
                f"a random combination of {self.size} numbers is not possible: "
                "choose 2 or more"
            )

    @property
    def num_symbols(self) -> int:
        return self.size

    @property
    def num_classes(self) -> int:
        return self.size

    @property
    def length(self) -> int:
        """Positions of an input."""
        return self.size - 1

    @property
    def baseline_accuracy(self) -> float:
        """Accuracy of guessing."""
        return 1 / self.size

    def sample(self, key: jax.Array, batch_size: int) -> Batch:
        numbers = jnp.broadcast_to(
            jnp.arange(self.size, dtype=jnp.int32), (batch_size, self.size)
        )
        permutations = jax.random.permutation(key, numbers, axis=1, independent=True)
        return Batch(permutations[:, :-1], permutations[:, -1])


@jax.tree_util.register_static
@dataclass(frozen=True)
class BinaryPalindrome:
    """Complete a palindrome of binary digits.

    Half of ``digits`` (rounded up) decimal digits are drawn uniformly, each is written
    in binary without leading zeros, and the string is followed by its mirror image.
    Its last digit is the target; the rest, left-padded, is the input. The target thus
    repeats the first digit after the padding: 0 for the decimal digit 0, else 1.

    Shapes: inputs ``[B, 8 ceil(digits / 2) - 1]`` with 0 = padding, 1 = digit zero,
    2 = digit one; targets ``[B]``, 0 or 1.

    Raises `ValueError` for fewer than 1 digit.

    Source: deep learning assignment 2, University of Amsterdam, 2020.

    >>> batch = BinaryPalindrome(digits=2).sample(jax.random.key(1), batch_size=2)
    >>> batch.inputs.tolist(), batch.targets.tolist()  # 110|011 and 111|111
    ([[0, 0, 2, 2, 1, 1, 2], [0, 0, 2, 2, 2, 2, 2]], [1, 1])
    """

    digits: int = 10

    metrics = classification_metrics
    divisible = True
    test_sets = _drawn_test_set
    num_symbols = 3
    num_classes = 2
    baseline_accuracy = 0.9

    def __post_init__(self) -> None:
        if self.digits < 1:
            raise ValueError(
                f"a palindrome of {self.digits} decimal digits is not possible: "
                "choose 1 or more"
            )

    @property
    def half(self) -> int:
        """Decimal digits that are drawn."""
        return (self.digits + 1) // 2

    @property
    def length(self) -> int:
        """Positions of an input."""
        return 8 * self.half - 1

    def sample(self, key: jax.Array, batch_size: int) -> Batch:
        digits = jax.random.randint(key, (batch_size, self.half), 0, 10)
        symbols = binary_symbols(digits, 4)  # [B, half, 4], the digit 0 all padding
        symbols = symbols.at[..., -1].max(1).reshape(batch_size, -1)  # now "0"
        symbols = jnp.concatenate([symbols, symbols[:, ::-1]], axis=1)
        order = jnp.argsort(symbols > 0, axis=1, stable=True)  # padding to the left
        symbols = jnp.take_along_axis(symbols, order, axis=1)
        return Batch(symbols[:, :-1], symbols[:, -1] - 1)


#: Names for the command line; a value takes the task's length, as the sources count it.
TASKS = {
    "baum-sweet": BaumSweet,
    "random-combinations": RandomCombinations,
    "palindrome": BinaryPalindrome,
}
