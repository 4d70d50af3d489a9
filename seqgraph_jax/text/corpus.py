"""Text as data: a vocabulary of characters, reading a file, and windows as a task."""

import codecs
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqgraph_jax.tasks.classification import Batch, judge_classes
from seqgraph_jax.training.metrics import ACCURACY, CROSS_ENTROPY, Metric, Metrics

BOM = "\ufeff"


class TextError(ValueError):
    """A text that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Vocabulary:
    """The characters of a text; a token is an index into them.

    >>> vocabulary = Vocabulary.of("abracadabra")
    >>> vocabulary.characters, vocabulary.encode("cab").tolist()
    ('abcdr', [2, 0, 1])
    >>> vocabulary.decode([3, 0, 1])
    'dab'
    """

    characters: str

    @classmethod
    def of(cls, text: str) -> "Vocabulary":
        """All characters of a text, by code point."""
        return cls("".join(sorted(set(text))))

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> np.ndarray:
        """Tokens ``[len(text)]``, int32.

        Raises `TextError` with the characters that are not in the vocabulary.
        """
        index = {character: token for token, character in enumerate(self.characters)}
        unknown = "".join(dict.fromkeys(c for c in text if c not in index))
        if unknown:
            raise TextError(
                f"{unknown!r} is not in the vocabulary of {len(self)} characters "
                f"({self.characters!r})"
            )
        return np.array([index[character] for character in text], np.int32)

    def decode(self, tokens: Any) -> str:
        """The text of tokens ``[T]``."""
        return "".join(self.characters[int(token)] for token in np.asarray(tokens))

    def save(self, path: Path) -> None:
        """Write the characters as JSON."""
        text = json.dumps({"characters": self.characters}, ensure_ascii=True)
        path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Read what `save` wrote; raises `TextError` if it is something else."""
        try:
            characters = json.loads(path.read_text(encoding="utf-8"))["characters"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TextError(f"{path} is not a vocabulary: {error!r}") from error
        if not isinstance(characters, str) or not characters:
            raise TextError(f"{path} is not a vocabulary: it holds no characters")
        if len(set(characters)) < len(characters):
            raise TextError(f"{path} is not a vocabulary: a character is there twice")
        return cls(characters)


def read_text(
    path: Path | str,
    encoding: str = "utf-8",
    strip_bom: bool = False,
    strip_gutenberg: bool = False,
) -> str:
    """The text of a file, with line ends as they are read by `open`.

    Decoded as plain ``utf-8`` a byte-order mark is a character of the text, U+FEFF;
    ``strip_bom`` takes it away. ``strip_gutenberg`` takes away what Project Gutenberg
    puts before and after a book.

    Raises `TextError` for a file that is missing, empty, binary, or encoded otherwise.
    """
    path = Path(path)
    try:
        codecs.lookup(encoding)
        text = path.read_text(encoding=encoding)
    except LookupError as error:
        raise TextError(f"encoding {encoding!r} is unknown") from error
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TextError(
            f"{path} is not {encoding} text (byte {error.start}): give its encoding, "
            "such as latin-1, or another file"
        ) from error
    if "\0" in text:
        raise TextError(f"{path} is a binary file, not text")
    if strip_bom:
        text = text.removeprefix(BOM)
    if strip_gutenberg:
        text = without_gutenberg(text)
    if not text:
        raise TextError(f"{path} is empty")
    return text


def without_gutenberg(text: str) -> str:
    """The text between Project Gutenberg's header and footer, if it has them.

    >>> without_gutenberg("x\\n*** START OF IT ***\\nA tale.\\n*** END OF IT ***\\n")
    'A tale.\\n'
    """
    start = re.search(r"^\*\*\* ?START OF.*$\n?", text, re.M)
    if start:
        text = text[start.end() :]
    end = re.search(r"^(\*\*\* ?END OF|End of (the )?Project Gutenberg)", text, re.M)
    return text[: end.start()] if end else text


def judge_text(outputs: tuple[Any, jax.Array], targets: jax.Array) -> dict[str, Any]:
    """Mean loss in nats and in bits per character, and accuracy from 0 to 1.

    Shapes: ``outputs`` a carry and logits ``[B, T, V]``; targets ``[B, T]``, where a
    negative one is not counted.
    """
    _, logits = outputs
    counted = targets >= 0
    metrics = judge_classes(logits, jnp.where(counted, targets, 0), counted)
    return {**metrics, "bits_per_char": metrics["loss"] / jnp.log(2.0)}


BITS_PER_CHAR = Metric("bits_per_char", "bits per character", better="lower")

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
    network is evaluated on. The windows are random; those of `FollowingText` are not.

    Shapes: inputs ``[B, window]`` and targets ``[B, window]``, the inputs one further.

    >>> task = text_task(Vocabulary.of("abcd"), "abcd" * 20, window=5, holdout=0.25)
    >>> task.tokens.shape, task.held_out.shape
    ((60,), (20,))
    >>> batch = task.sample(jax.random.key(0), batch_size=2)
    >>> bool(((batch.inputs + 1) % 4 == batch.targets).all()), batch.inputs.shape
    (True, (2, 5))
    """

    tokens: jax.Array
    held_out: jax.Array
    num_symbols: int = field(default=0)
    window: int = 30

    metrics = text_metrics

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
        inputs = jnp.pad(self.held_out[:-1], fill)
        targets = jnp.pad(self.held_out[1:], fill, constant_values=-1)
        return Batch(inputs.reshape(size, length), targets.reshape(size, length))

    def windows(self, starts: jax.Array) -> Batch:
        """Windows that start at these characters; the text goes on at its beginning."""
        positions = starts[:, None] + jnp.arange(self.window + 1)[None]
        windows = self.tokens[positions % len(self.tokens)]
        return Batch(windows[:, :-1], windows[:, 1:])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FollowingText:
    """A `TextTask` whose windows follow one another, the hidden state going with them.

    Raises as `text_task` does.
    """

    text: TextTask

    metrics = text_metrics

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


def text_task(
    vocabulary: Vocabulary,
    text: str,
    window: int = 30,
    holdout: float = 0.05,
    stateful: bool = False,
) -> TextTask | FollowingText:
    """The task of a text, of which the last share ``holdout`` is not trained on.

    With ``stateful`` its windows follow one another.

    Raises `TextError` for a text or a held-out part shorter than a window and a
    character.
    """
    if not 0 <= holdout < 1:
        raise TextError(f"holdout must be a share from 0 to below 1, not {holdout}")
    if window < 1:
        raise TextError(f"window must be 1 or more characters, not {window}")
    tokens = vocabulary.encode(text)
    num_held_out = round(holdout * len(tokens))
    split = len(tokens) - num_held_out
    parts: Sequence[tuple[str, int]] = (("trained on", split),)
    if holdout:
        parts = (*parts, ("held out", num_held_out))
    for name, length in parts:
        if length <= window:
            raise TextError(
                f"a window of {window} needs more than {window} characters, but the "
                f"text that is {name} has {length}: take a longer text or a shorter "
                "window"
            )
    task = TextTask(
        tokens=jnp.asarray(tokens[:split]),
        held_out=jnp.asarray(tokens[split:]),
        num_symbols=len(vocabulary),
        window=window,
    )
    return FollowingText(task) if stateful else task
