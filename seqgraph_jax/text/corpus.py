"""Text as data: reading a file or a corpus by name, and a vocabulary of characters."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqgraph_jax.text.pieces import (
    PIECE,
    TextError,
    file_pieces,
    find_book,
    pieces_of,
)

LONGEST = 100  # characters that a message lists


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

    @property
    def dtype(self) -> type[np.integer]:
        """The smallest kind of integer that holds every token: one byte up to 256."""
        kinds = ((2**8, np.uint8), (2**16, np.uint16))
        return next((kind for most, kind in kinds if len(self) <= most), np.int32)

    def encode(self, text: str, dtype: type[np.integer] = np.int32) -> np.ndarray:
        """Tokens ``[len(text)]``; a long text is read in pieces.

        Raises `TextError` with the first characters that are not in the vocabulary.
        """
        points = code_points(self.characters)
        token_of = np.full(int(points.max(initial=0)) + 2, -1, np.int32)
        token_of[points] = np.arange(len(self))
        tokens = np.empty(len(text), dtype)
        for start in range(0, len(text), PIECE):
            points = code_points(text[start : start + PIECE])
            found = token_of[np.minimum(points, len(token_of) - 1)]
            if (found < 0).any():
                raise TextError(self._unknown(text))
            tokens[start : start + PIECE] = found
        return tokens

    def _unknown(self, text: str) -> str:
        known = set(self.characters)
        unknown = "".join(dict.fromkeys(c for c in text if c not in known))
        shown, all_known = (
            f"{text[:LONGEST]!r}" + ", ..." * (len(text) > LONGEST)
            for text in (unknown, self.characters)
        )
        return (
            f"{shown} is not in the vocabulary of {len(self)} characters ({all_known})"
        )

    def decode(self, tokens: Any) -> str:
        """The text of tokens ``[T]``."""
        return "".join(self.characters[int(token)] for token in np.asarray(tokens))

    @property
    def sha256(self) -> str:
        """Of the characters in their order: a model of another is another model."""
        return hashlib.sha256(self.characters.encode("utf-8", "replace")).hexdigest()

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


def sha256_of(text: str) -> str:
    """SHA-256 of a text in UTF-8, read in pieces."""
    digest = hashlib.sha256()
    for start in range(0, len(text), PIECE):
        digest.update(text[start : start + PIECE].encode())
    return digest.hexdigest()


def code_points(text: str) -> np.ndarray:
    """Code points of the characters, ``[len(text)]``."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def read_text(
    path: Path | str,
    encoding: str = "utf-8",
    strip_bom: bool = False,
    strip_gutenberg: bool = False,
) -> str:
    """The text of a file, with line ends as they are read by `open`.

    Decoded as plain ``utf-8`` a byte-order mark is a character of the text, U+FEFF;
    ``strip_bom`` takes it away. ``strip_gutenberg`` takes away what Project Gutenberg
    puts before and after a book. `file_pieces` gives the same in pieces.

    Raises `TextError` for a file that is missing, empty, binary, or encoded otherwise.
    """
    return "".join(file_pieces(path, encoding, strip_bom, strip_gutenberg))


def read_corpus(
    name: str,
    encoding: str = "utf-8",
    strip_bom: bool = False,
    strip_gutenberg: bool = False,
) -> str:
    """A text by name, or that of a file: other arguments as for `read_text`.

    ``"grimm"`` are Grimms' Fairy Tales, found or downloaded, unless there is a file of
    that name; ``"pydoc"`` is the English text that Python brings.

    Raises `TextError`, and `DataError` if the book cannot be had.
    """
    return "".join(corpus_pieces(name, encoding, strip_bom, strip_gutenberg))


def corpus_pieces(
    name: str,
    encoding: str = "utf-8",
    strip_bom: bool = False,
    strip_gutenberg: bool = False,
) -> Iterator[str]:
    """`read_corpus` piece by piece: memory for one piece, however long the text is."""
    if name == "pydoc":
        from pydoc_data.topics import topics

        return pieces_of("\n\n".join(topics[topic] for topic in sorted(topics)))
    path = Path(name)
    if name == "grimm" and not path.exists():
        from seqgraph_jax.data import datasets  # 0.2 s, which sampling does without

        try:
            path = datasets.find("grimm")
        except datasets.DataError as error:
            raise datasets.DataError(
                f"{error}; or take the corpus pydoc, which needs no network, or a text "
                "file"
            ) from error
    return file_pieces(path, encoding, strip_bom, strip_gutenberg)


def book_of(text: str) -> slice:
    """Where the book stands between Project Gutenberg's marks; all without such marks.

    >>> text = "x\\n*** START OF IT ***\\nA tale.\\n*** END OF IT ***\\nLicence"
    >>> text[book_of(text)], book_of("A tale.")
    ('A tale.\\n', slice(0, 7, None))
    """
    return find_book(pieces_of(text))
