"""Baum-Sweet numbers as strings of binary digits, each as long as it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from seqgraph_jax.tasks.binary import baum_sweet_ones, binary_symbols
from seqgraph_jax.tasks.classification import Batch
from seqgraph_jax.tasks.nodes import NodeTargets, node_metrics
from seqgraph_jax.tasks.toy import BaumSweet

ZERO, ONE = 1, 2  # symbols; 0 is padding


class Padded(NamedTuple):
    """Sequences from position 0 on: values ``[B, T]`` or ``[B, T, F]``, lengths."""

    values: jax.Array
    lengths: jax.Array  # [B], from 1 to T


def to_strings(numbers: jax.Array, length: int) -> Padded:
    """Binary digits of positive numbers, the first one at position 0.

    >>> to_strings(jnp.array([5, 2]), length=4)
    Padded(values=Array([[2, 1, 2, 0],
           [2, 1, 0, 0]], dtype=int32), lengths=Array([3, 2], dtype=int32))
    """
    symbols = binary_symbols(numbers, length)  # padded on the left
    lengths = (symbols > 0).sum(1)
    places = (jnp.arange(length)[None] - lengths[:, None]) % length
    return Padded(jnp.take_along_axis(symbols, places, axis=1), lengths)


def run_parity(strings: Padded) -> jax.Array:
    """The Baum-Sweet symbol of every string, by a counter of two bits: ``[B]``.

    One bit is the parity of the zeros since the last one, the other whether a block of
    odd length has ended.

    >>> run_parity(to_strings(jnp.arange(1, 10), length=4)).tolist()
    [1, 0, 1, 1, 0, 0, 1, 0, 1]
    """
    symbols, lengths = strings
    odd = broken = jnp.zeros(len(symbols), bool)
    for t in range(symbols.shape[1]):
        inside = t < lengths
        zero = symbols[:, t] == ZERO
        broken = jnp.where(inside & ~zero, broken | odd, broken)
        odd = jnp.where(inside, zero & ~odd, odd)
    return (~(broken | odd)).astype(jnp.int32)


def longest_zeros(strings: Padded) -> np.ndarray:
    """Length of each string's longest run of zeros, ``[B]``; on the host.

    >>> longest_zeros(to_strings(jnp.array([1, 5, 36]), length=6))
    array([0, 1, 2])
    """
    zeros = np.asarray(strings.values) == ZERO
    run = longest = np.zeros(len(zeros), int)
    for column in zeros.T:
        run = np.where(column, run + 1, 0)
        longest = np.maximum(longest, run)
    return longest


def _all_counted(strings: Padded, labels: jax.Array) -> Batch:
    return Batch(strings, NodeTargets(labels, jnp.ones(len(labels), bool)))


@jax.tree_util.register_static
@dataclass(frozen=True)
class BaumSweetStrings:
    """`BaumSweet` with strings that begin at position 0 and end where they end.

    Numbers and labels are those of `BaumSweet`, for the same key, too. What reads the
    strings must not look at the padding behind them. An evaluation has two sets, one to
    choose the best by and one to test, of the size that is asked for.

    Shapes: inputs `Padded` ``[B, T]`` of 1 for zero and 2 for one, with T digits of
    ``10**max_digits``; targets ``[B]``.

    >>> task = BaumSweetStrings(max_digits=6)
    >>> batch = task.sample(jax.random.key(0), batch_size=5)
    >>> batch.inputs.values.shape, task.length
    ((5, 20), 20)
    """

    max_digits: int = 6

    metrics = node_metrics
    divisible = True
    num_symbols = 3
    num_classes = 2

    @property
    def numbers(self) -> BaumSweet:
        """The task on the same numbers, padded on the left."""
        return BaumSweet(self.max_digits)

    @property
    def length(self) -> int:
        """Positions of an input."""
        return self.numbers.high.bit_length()

    def sample(self, key: jax.Array, batch_size: int) -> Batch:
        symbols, targets = self.numbers.sample(key, batch_size)
        digits = symbols[:, -self.length :]
        places = jnp.arange(self.length - 1, -1, -1)
        numbers = ((digits == ONE) << places[None]).sum(1)
        return _all_counted(to_strings(numbers, self.length), targets)

    def evaluation(self, key: jax.Array, size: int) -> Batch:
        strings, (labels, *_) = self.sample(key, 2 * size)
        first = jnp.arange(2 * size) < size
        return Batch(strings, NodeTargets(labels, first, ~first))

    def by_length(self, per_length: int) -> Batch:
        """Test strings: of each label and length at most so many, drawn once and fixed.

        From 5 digits on, in the order of the numbers.
        """
        rng, numbers = np.random.default_rng(0), []
        all_ones = baum_sweet_ones(self.numbers.LOW, self.numbers.high)
        for digits in range(5, self.length + 1):
            low, high = 2 ** (digits - 1), min(2**digits - 1, self.numbers.high)
            ones = all_ones[(all_ones >= low) & (all_ones <= high)]
            numbers.append(rng.permutation(ones)[:per_length])
            drawn = np.unique(rng.integers(low, high + 1, 8 * per_length))
            zeros = np.setdiff1d(drawn, ones)
            numbers.append(rng.permutation(zeros)[:per_length])
        return self._labelled(np.concatenate(numbers))

    def zero_pairs(self, per_run: int) -> tuple[Batch, np.ndarray]:
        """Test strings in pairs: one of label 1, and one of label 0 with one zero more.

        The second has its longest run of zeros, the first of them if several are as
        long, lengthened by one. So half of the strings have label 1 at any longest run,
        and who cannot tell that run's parity has chance. At most so many pairs for each
        even length of the run, drawn once and fixed; rows 2 i and 2 i + 1 are a pair.
        Returns the run's length in the first of both, too, ``[N]``.
        """
        rng, pairs = np.random.default_rng(1), []
        ones = baum_sweet_ones(self.numbers.LOW, self.numbers.high)
        longer = np.array([_with_a_zero(int(n)) for n in ones])
        inside = longer <= self.numbers.high
        ones, longer = ones[inside], longer[inside]
        runs = longest_zeros(to_strings(jnp.asarray(ones), self.length))
        for run in np.unique(runs[runs > 0]):
            chosen = np.sort(rng.permutation(np.flatnonzero(runs == run))[:per_run])
            pairs.append(np.stack([ones[chosen], longer[chosen], runs[chosen]], axis=1))
        *both, run_of = np.concatenate(pairs).T
        numbers = np.stack(both, axis=1).ravel()
        return self._labelled(numbers), np.repeat(run_of, 2)

    def _labelled(self, numbers: np.ndarray) -> Batch:
        numbers = numbers.astype(np.int32)
        ones = baum_sweet_ones(self.numbers.LOW, self.numbers.high)
        strings = to_strings(jnp.asarray(numbers), self.length)
        return Batch(strings, jnp.asarray(np.isin(numbers, ones).astype(np.int32)))


def _with_a_zero(number: int) -> int:
    """The number with its first longest run of zeros one longer."""
    digits = f"{number:b}"
    run = max(digits.split("1"), key=len)
    return int(digits.replace(run, f"{run}0", 1), 2) if run else number


def shares_by_size(
    right: np.ndarray, labels: Any, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Share of right answers at each size, where both labels weigh the same.

    Shapes: ``right [S, N]`` bool, ``labels [N]`` 0 or 1, ``sizes [N]``; returns the X
    sizes at which there are both labels, and ``[S, X]``.

    >>> right = np.array([[True, True, False, True]])
    >>> shares_by_size(right, np.array([0, 0, 1, 1]), np.array([5, 5, 5, 6]))
    (array([5]), array([[0.5]]))
    """
    found, shares = [], []
    labels = np.asarray(labels)
    for size in np.unique(sizes):
        groups = [(sizes == size) & (labels == label) for label in (0, 1)]
        if all(group.any() for group in groups):
            found.append(size)
            shares.append(np.mean([right[:, g].mean(1) for g in groups], axis=0))
    return np.array(found), np.stack(shares, axis=1)


class Shares(NamedTuple):
    """Shares of right answers by arm, ``[S, X]``, at X sizes; of all pairs ``[S]``."""

    lengths: np.ndarray
    by_length: dict[str, np.ndarray]
    runs: np.ndarray
    by_run: dict[str, np.ndarray]
    on_pairs: dict[str, np.ndarray]

    @property
    def panels(self) -> dict[str, tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Sizes and shares, by what the size is of."""
        return {
            "length of the string": (self.lengths, self.by_length),
            "longest run of zeros, in pairs": (self.runs, self.by_run),
        }


def answer_by_size(
    task: BaumSweetStrings, runs: Mapping[str, Any], size: int
) -> Shares:
    """What trained networks say of the test strings, by length and by longest run.

    ``runs`` are anything with the ``predict`` of a `Run`. At most ``size`` strings are
    of one length and label, and as many pairs of one longest run.
    """
    strings, (pairs, longest) = task.by_length(size), task.zero_pairs(size)
    found = Shares(np.empty(0), {}, np.empty(0), {}, {})
    lengths = np.asarray(strings.inputs.lengths)
    for name, run in runs.items():
        right = [
            run.predict(batch.inputs, batch_size=None).argmax(-1)
            == np.asarray(batch.targets)
            for batch in (strings, pairs)
        ]
        at, found.by_length[name] = shares_by_size(right[0], strings.targets, lengths)
        of, found.by_run[name] = shares_by_size(right[1], pairs.targets, longest)
        found.on_pairs[name] = right[1].mean(1)
        found = found._replace(lengths=at, runs=of)
    return found


@jax.tree_util.register_static
@dataclass(frozen=True)
class UniformStrings:
    """The Baum-Sweet symbol of strings of one length, a one and then uniform digits.

    For times at any length: long strings nearly all have label 0.

    >>> batch = UniformStrings(length=64).sample(jax.random.key(0), batch_size=3)
    >>> batch.inputs.values.shape
    (3, 64)
    """

    length: int

    metrics = node_metrics
    divisible = True
    num_symbols = 3
    num_classes = 2

    def sample(self, key: jax.Array, batch_size: int) -> Batch:
        shape = (batch_size, self.length)
        digits = jax.random.randint(key, shape, ZERO, ONE + 1).at[:, 0].set(ONE)
        strings = Padded(digits, jnp.full(batch_size, self.length))
        return _all_counted(strings, run_parity(strings))
