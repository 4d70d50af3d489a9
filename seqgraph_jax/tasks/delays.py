"""Tasks whose answer lies a chosen number of steps back: copy and adding.

Records like those of `seqgraph_jax.tasks`; ``delay`` counts the steps between what has
to be remembered and the answer, and ``baseline_loss`` is what the best predictor gets
that remembers nothing.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp

from seqgraph_jax.tasks.classification import Batch, classification_metrics
from seqgraph_jax.training.metrics import ACCURACY, CROSS_ENTROPY, Metrics


@jax.tree_util.register_static
@dataclass(frozen=True)
class Copy:
    """Which symbols came first? ``num_copied`` symbols, then ``delay`` blanks.

    The answers are asked for in the order of the symbols, one at each of ``num_copied``
    cues at the end. Symbols are 1 to ``num_kinds``, 0 is blank, ``num_kinds + 1`` the
    cue. The best predictor that remembers nothing guesses.

    Shapes: inputs ``[B, 2 num_copied + delay]``; targets ``[B, num_copied]``, integers
    in 0..num_kinds-1, the answers at the last ``num_copied`` positions.

    Raises `ValueError` for a delay below 0 and for fewer than 2 kinds or 1 symbol.

    Source: Hochreiter and Schmidhuber, Long short-term memory, 1997, section 5; in this
    form Arjovsky, Shah, Bengio, Unitary evolution recurrent neural networks, 2016,
    section 5.1.

    >>> batch = Copy(delay=3, num_copied=2).sample(jax.random.key(0), batch_size=4)
    >>> batch.inputs.shape, batch.targets.shape
    ((4, 7), (4, 2))
    """

    delay: int = 10
    num_copied: int = 1
    num_kinds: int = 8

    metrics = classification_metrics
    divisible = True

    def __post_init__(self) -> None:
        if self.delay < 0:
            raise ValueError(
                f"a delay of {self.delay} steps is not possible: 0 or more"
            )
        if self.num_copied < 1 or self.num_kinds < 2:
            raise ValueError(
                f"{self.num_copied} symbols of {self.num_kinds} kinds are too few: "
                "choose 1 or more of 2 or more"
            )

    @property
    def num_symbols(self) -> int:
        """Symbols of an input: the kinds, blank and cue."""
        return self.num_kinds + 2

    @property
    def num_classes(self) -> int:
        return self.num_kinds

    @property
    def length(self) -> int:
        """Positions of an input."""
        return 2 * self.num_copied + self.delay

    @property
    def baseline_accuracy(self) -> float:
        """Accuracy of guessing."""
        return 1 / self.num_kinds

    @property
    def baseline_loss(self) -> float:
        """Cross entropy (nats) of guessing."""
        return math.log(self.num_kinds)

    def sample(self, key: jax.Array, batch_size: int) -> Batch:
        return self.sample_at(key, batch_size, self.delay)

    def sample_at(self, key: jax.Array, batch_size: int, delay: Any) -> Batch:
        """With a delay up to this one's, as many blanks more in front."""
        shape = (batch_size, self.num_copied)
        targets = jax.random.randint(key, shape, 0, self.num_kinds)
        blanks = jnp.zeros((batch_size, self.delay), targets.dtype)
        cues = jnp.full(shape, self.num_kinds + 1, targets.dtype)
        story = jnp.concatenate([targets + 1, blanks], axis=1)
        story = jnp.roll(story, self.delay - delay, axis=1)
        return Batch(jnp.concatenate([story, cues], axis=1), targets)


#: Largest error of an answer that counts as right, for the sum of two numbers.
TOLERANCE = 0.16


def judge_sums(outputs: jax.Array, targets: jax.Array) -> dict[str, jax.Array]:
    """Mean squared error, and the share of answers nearer than 0.16 to the sum.

    Shapes: ``outputs [B, ...]`` of one number each, ``targets [B]``. Hochreiter and
    Schmidhuber 1997, section 5.4, count errors below 0.04 of a quarter of the sum.
    """
    errors = outputs.reshape(targets.shape) - targets
    loss = (errors**2).mean()
    accuracy = 1 - (jnp.abs(errors) >= TOLERANCE).mean()
    return {"loss": loss, "accuracy": jnp.where(jnp.isfinite(loss), accuracy, jnp.nan)}


#: `judge_sums`, with what its numbers are.
adding_metrics = Metrics(
    judge_sums,
    (ACCURACY, replace(CROSS_ENTROPY, label="mean squared error", unit="")),
)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Adding:
    """What is the sum of the two marked numbers among ``delay``?

    Numbers are uniform in [0, 1). One of the first half is marked and one of the second
    half. The best predictor that remembers nothing says 1, whose mean squared error is
    the variance of the sum, 1/6.

    Shapes: inputs ``[B, delay, 2]``, numbers and marks (0 or 1); targets ``[B]``.

    Raises `ValueError` for a delay below 2.

    Source: Hochreiter and Schmidhuber, Long short-term memory, 1997, section 5.4; with
    one mark in each half Le, Jaitly, Hinton, A simple way to initialize recurrent
    networks of rectified linear units, 2015, section 4.1.

    >>> batch = Adding(delay=6).sample(jax.random.key(0), batch_size=3)
    >>> batch.inputs.shape, batch.inputs[..., 1].sum(1).tolist()
    ((3, 6, 2), [2.0, 2.0, 2.0])
    """

    delay: int = 10

    metrics = adding_metrics
    divisible = True
    baseline_loss = 1 / 6
    baseline_accuracy = 1 - (1 - TOLERANCE) ** 2

    def __post_init__(self) -> None:
        if self.delay < 2:
            raise ValueError(
                f"a delay of {self.delay} steps is not possible: 2 or more"
            )

    @property
    def length(self) -> int:
        """Positions of an input."""
        return self.delay

    def sample(self, key: jax.Array, batch_size: int) -> Batch:
        return self.sample_at(key, batch_size, self.delay)

    def sample_at(self, key: jax.Array, batch_size: int, delay: Any) -> Batch:
        """With ``delay`` numbers up to this one's, as many zeros more in front."""
        number_key, first_key, second_key = jax.random.split(key, 3)
        numbers = jax.random.uniform(number_key, (batch_size, self.delay))
        start, half, shape = self.delay - delay, delay // 2, (batch_size,)
        first = start + jax.random.randint(first_key, shape, 0, half)
        second = start + jax.random.randint(second_key, shape, half, delay)
        positions = jnp.arange(self.delay)[None]
        numbers = jnp.where(positions >= start, numbers, 0)
        marks = (positions == first[:, None]) | (positions == second[:, None])
        marks = marks.astype(numbers.dtype)
        targets = (numbers * marks).sum(1)
        return Batch(jnp.stack([numbers, marks], axis=-1), targets)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Delayed:
    """A `Copy` or `Adding` whose delay is an array, padded in front to the task's.

    Tasks of many delays then have one shape: their networks are one program.

    >>> batch = Delayed(Copy(delay=5), jnp.array(2)).sample(jax.random.key(0), 3)
    >>> (batch.inputs[:, :3] == 0).all(), batch.inputs.shape
    (Array(True, dtype=bool), (3, 7))
    """

    task: Copy | Adding = field(metadata={"static": True})
    delay: Any  # [], at most the task's

    divisible = True

    @property
    def metrics(self) -> Metrics:
        return self.task.metrics

    def sample(self, key: jax.Array, batch_size: int) -> Batch:
        return self.task.sample_at(key, batch_size, self.delay)


#: Names for the command line; a value takes the delay.
DELAY_TASKS = {"copy": Copy, "adding": Adding}
