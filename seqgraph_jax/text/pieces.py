"""A text piece by piece: what is read of a file, and where the book stands in it.

What one piece holds is all that is ever in memory; the pieces joined are the text.
"""

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

BOM = "\ufeff"
PIECE = 2**20  # bytes of a file, or characters of a text, that are read at once
_START = re.compile(r"\n\*\*\* ?START OF")
_END = re.compile(r"\n(\*\*\* ?END OF|End of (the )?Project Gutenberg)")
_LONGEST_MARK = 40  # characters and more than either has, with a line's end before it


class TextError(ValueError):
    """A text that cannot be used; the message is one sentence for the user."""


def pieces_of(text: str) -> Iterator[str]:
    """A text that is in memory, in pieces of equal length."""
    return (text[start : start + PIECE] for start in range(0, len(text), PIECE))


def file_pieces(
    path: Path | str,
    encoding: str = "utf-8",
    strip_bom: bool = False,
    strip_gutenberg: bool = False,
) -> Iterator[str]:
    """The text of a file in pieces; arguments and errors as for `read_text`."""
    path = Path(path)
    pieces = _decoded(path, encoding)
    if strip_bom:
        pieces = _without_bom(pieces)
    if strip_gutenberg:  # reads the file twice
        book = find_book(file_pieces(path, encoding, strip_bom))
        pieces = _cut(pieces, book)
    length = 0
    for piece in pieces:
        if "\0" in piece:
            raise TextError(f"{path} is a binary file, not text")
        length += len(piece)
        yield piece
    if not length:
        raise TextError(f"{path} is empty")


def _decoded(path: Path, encoding: str) -> Iterator[str]:
    """The characters of a file, with line ends as they are read by `open`."""
    before = position = 0  # in the file: bytes that are decoded now start at `before`
    try:
        with path.open(encoding=encoding) as file:  # refuses what is for no text
            decoder = codecs.getincrementaldecoder(encoding)()
            lines = io.IncrementalNewlineDecoder(decoder, translate=True)
            block: bytes = b"something"
            while block:
                before = position - len(decoder.getstate()[0])  # and what waited
                block = bytes(file.buffer.read(PIECE))
                position += len(block)
                yield lines.decode(block, final=not block)
    except LookupError as error:
        raise TextError(f"encoding {encoding!r} is unknown") from error
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeError as error:  # of UTF-16 without its mark it has no position
        start = getattr(error, "start", None)
        where = str(error) if start is None else f"byte {before + start}"
        raise TextError(
            f"{path} is not {encoding} text ({where}): give its encoding, such as "
            "latin-1 or utf-16-le, or another file"
        ) from error


def _without_bom(pieces: Iterable[str]) -> Iterator[str]:
    begun = False
    for piece in pieces:
        yield piece if begun else piece.removeprefix(BOM)
        begun = begun or bool(piece)


def _cut(pieces: Iterable[str], part: slice) -> Iterator[str]:
    """The characters of a part alone."""
    at = 0
    for piece in pieces:
        yield piece[max(part.start - at, 0) : max(part.stop - at, 0)]
        at += len(piece)


def find_book(pieces: Iterable[str]) -> slice:
    """Where the book stands between Project Gutenberg's marks; all without such marks.

    >>> find_book(["x\\n*** STA", "RT OF IT ***\\nA tale.", "\\n*** END OF IT ***\\n"])
    slice(22, 30, None)
    >>> find_book(["A ", "tale."])
    slice(0, 7, None)
    """
    begin, end = 0, None  # of the book; without a start the first end counts
    in_mark = started = False
    tail, length = "\n", 0  # a line starts where the text does
    for piece in pieces:
        text, offset = tail + piece, length - len(tail)
        at = len(tail)  # where to look on
        if not started and (mark := _START.search(text)):
            started = in_mark = True
            at, end = mark.end(), None
        if in_mark:  # up to the end of its line
            stop = text.find("\n", at)
            begin = offset + (stop + 1 if stop >= 0 else len(text))
            in_mark = stop < 0
        if end is None and not in_mark:
            found = _END.search(text, max(begin - 1 - offset, 0))
            end = offset + found.start() + 1 if found else None
        tail, length = text[-_LONGEST_MARK:], length + len(piece)
    return slice(begin, length if end is None else end)
