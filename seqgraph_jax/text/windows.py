"""Text as a task: predict every next character in windows of it."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from seqgraph_jax.tasks.classification import Batch, judge_classes
from seqgraph_jax.text.corpus import Vocabulary, book_of
from seqgraph_jax.text.pieces import TextError
from seqgraph_jax.text.tokens import (
    HostTokens,
    Pieces,
    Place,
    Scanned,
    choose_place,
    tokens_in_memory,
    tokens_on_disk,
)
from seqgraph_jax.training.metrics import (
    ACCURACY,
    CROSS_ENTROPY,
    FROM_ZERO,
    Metric,
    Metrics,
)


def judge_text(outputs: tuple[Any, jax.Array], targets: jax.Array) -> dict[str, Any]:
    """Mean loss in nats and in bits per character, and accuracy from 0 to 1.

    Shapes: ``outputs`` a carry and logits ``[B, T, V]``; targets ``[B, T]``, where a
    negative one is not counted.
    """
    _, logits = outputs
    counted = targets >= 0
    metrics = judge_classes(logits, jnp.where(counted, targets, 0), counted)
    return {**metrics, "bits_per_char": metrics["loss"] / jnp.log(2.0)}


BITS_PER_CHAR = Metric(
    "bits_per_char", "bits per character", better="lower", bounds=FROM_ZERO
)

#: `judge_text`, with what its numbers are.
text_metrics = Metrics(judge_text, (ACCURACY, BITS_PER_CHAR, CROSS_ENTROPY))


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["tokens", "held_out"],
    meta_fields=["num_symbols", "window"],
)
@dataclass(frozen=True)
class TextTask:
    """Predict every next character in windows of a text.

    ``tokens [N]`` are trained on; ``held_out [M]``, which may be empty, is what a
    network is evaluated on. They are integers of any kind, a byte each where there are
    256 symbols or fewer; `HostTokens` are on no device, and give the same batches.
    Windows are random; those of `FollowingText` are not.

    Shapes: inputs ``[B, window]`` and targets ``[B, window]``, the inputs one further.

    >>> task = text_task(Vocabulary.of("abcd"), "abcd" * 20, window=5, holdout=0.25)
    >>> task.tokens.shape, task.held_out.shape
    ((60,), (20,))
    >>> batch = task.sample(jax.random.key(0), batch_size=2)
    >>> bool(((batch.inputs + 1) % 4 == batch.targets).all()), batch.inputs.shape
    (True, (2, 5))
    """

    tokens: jax.Array | HostTokens
    held_out: jax.Array
    num_symbols: int = field(default=0)
    window: int = 30

    metrics = text_metrics
    divisible = True

    @property
    def ahead(self) -> bool:
        """Windows of an evaluation period are drawn at once if the host has them."""
        return isinstance(self.tokens, HostTokens)

    def sample(self, key: jax.Array, batch_size: int) -> Batch:
        """Windows that start anywhere in the text, uniformly."""
        last = len(self.tokens) - self.window
        return self.windows(jax.random.randint(key, (batch_size,), 0, last))

    def evaluation(self, key: jax.Array, size: int) -> Batch:
        """The held-out text in ``size`` rows of equal length, all of it, in order.

        The last row is filled up; what fills it is not counted (target -1). Without
        held-out text: ``size`` random windows of what is trained on.
        """
        if not len(self.held_out):
            return self.sample(key, size)
        num_targets = len(self.held_out) - 1
        size = min(size, num_targets)
        length = -(-num_targets // size)
        fill = (0, size * length - num_targets)
        held_out = self.held_out.astype(jnp.int32)
        inputs = jnp.pad(held_out[:-1], fill)
        targets = jnp.pad(held_out[1:], fill, constant_values=-1)
        return Batch(inputs.reshape(size, length), targets.reshape(size, length))

    def windows(self, starts: jax.Array) -> Batch:
        """Windows that start at these characters; the text goes on at its beginning."""
        if isinstance(self.tokens, HostTokens):
            windows = self.tokens.windows(starts, self.window + 1)
        else:
            positions = starts[:, None] + jnp.arange(self.window + 1)[None]
            windows = self.tokens[positions % len(self.tokens)].astype(jnp.int32)
        return Batch(windows[:, :-1], windows[:, 1:])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FollowingText:
    """A `TextTask` whose windows follow one another, the hidden state going with them.

    Raises as `text_task` does.
    """

    text: TextTask

    metrics = text_metrics

    @property
    def ahead(self) -> bool:
        return self.text.ahead

    def sample(self, key: jax.Array, batch_size: int) -> Batch:
        return self.text.sample(key, batch_size)

    def evaluation(self, key: jax.Array, size: int) -> Batch:
        return self.text.evaluation(key, size)

    def follow(self, step: jax.Array, batch_size: int) -> Batch:
        """Windows number ``step`` of ``batch_size`` streams through the text.

        Streams start at equal distances; a stream that reaches the start of the next
        one goes on there, and at the end of the text at its beginning.
        """
        text = self.text
        streams = jnp.arange(batch_size) * (len(text.tokens) // batch_size)
        return text.windows(streams + step * text.window)


#: Characters that are held out at most: what is evaluated goes through at once.
MOST_HELD_OUT = 2**17
HoldoutOf = Literal["book", "file"]


def text_task(
    vocabulary: Vocabulary,
    text: str,
    window: int = 30,
    holdout: float = 0.05,
    stateful: bool = False,
    holdout_of: HoldoutOf = "book",
) -> TextTask | FollowingText:
    """The task of a text, of which the last share ``holdout`` is not trained on.

    Of a text with Project Gutenberg's marks it is the last share of the book between
    them: header and licence are trained on, as if they followed one another. With
    ``holdout_of="file"`` it is the end of all there is. It is 2^17 characters
    (131,072) at most. With ``stateful`` windows follow one another.

    Raises `TextError` for a text or a held-out part shorter than a window and a
    character.
    """
    book = book_of(text) if holdout_of == "book" else slice(0, len(text))
    part = _held_out(len(text), book, window, holdout)
    tokens = vocabulary.encode(text, vocabulary.dtype)
    return _on_device(tokens, part, len(vocabulary), window, stateful)


def corpus_task(
    text: Scanned,
    pieces: Pieces,
    window: int = 30,
    holdout: float = 0.05,
    stateful: bool = False,
    holdout_of: HoldoutOf = "book",
    place: Place = "auto",
    folder: Path | None = None,
) -> TextTask | FollowingText:
    """`text_task` of a text that is read in pieces, after `scan` has read it once.

    ``pieces()`` reads it again. Its tokens lie on every device, or on the host in a
    file in ``folder``, by default the user's cache; ``"auto"`` takes the host where the
    devices' copies would fill a quarter of the memory. Batches are the same.

    Raises `TextError` as `text_task` does, and if there is no room for the file.

    >>> from seqgraph_jax.text import pieces_of, scan
    >>> pieces = partial(pieces_of, "abcd" * 20)
    >>> task = corpus_task(scan(pieces()), pieces, window=5, holdout=0.25)
    >>> task.tokens.shape, task.held_out.shape
    ((60,), (20,))
    """
    book = text.book if holdout_of == "book" else slice(0, text.length)
    part = _held_out(text.length, book, window, holdout)
    num_symbols = len(text.vocabulary)
    if choose_place(place, text.num_bytes) == "device":
        tokens = tokens_in_memory(text, pieces)
        return _on_device(tokens, part, num_symbols, window, stateful)
    tokens = tokens_on_disk(text, pieces, folder)
    hosted = HostTokens(text.sha256, (part.start, part.stop), tokens)
    task = TextTask(hosted, jnp.asarray(tokens[part]), num_symbols, window)
    return FollowingText(task) if stateful else task


def _held_out(length: int, book: slice, window: int, holdout: float) -> slice:
    """Where the held-out text stands; `TextError` for what is too short."""
    if not 0 <= holdout < 1:
        raise TextError(f"holdout must be a share from 0 to below 1, not {holdout}")
    if window < 1:
        raise TextError(f"window must be 1 or more characters, not {window}")
    num = min(round(holdout * (book.stop - book.start)), MOST_HELD_OUT)
    parts = {"trained on": length - num}
    if holdout:
        parts["held out"] = num
    for name, found in parts.items():
        if found <= window:
            raise TextError(
                f"a window of {window} needs more than {window} characters, but the "
                f"text that is {name} has {found}: take a longer text or a shorter "
                "window"
            )
    if length > np.iinfo(np.int32).max:
        raise TextError(f"a text has 2,147,483,647 characters at most, not {length:,}")
    return slice(book.stop - num, book.stop)


def _on_device(
    tokens: np.ndarray, part: slice, num_symbols: int, window: int, stateful: bool
) -> TextTask | FollowingText:
    """The task of new tokens, in whose place those that are trained on come to lie."""
    held_out = jnp.asarray(tokens[part].copy())
    num_trained = len(tokens) - len(held_out)
    tokens[part.start : num_trained] = tokens[part.stop :]
    task = TextTask(
        tokens=jnp.asarray(tokens[:num_trained]),
        held_out=held_out,
        num_symbols=num_symbols,
        window=window,
    )
    return FollowingText(task) if stateful else task
