"""What is printed: on streams that lack characters or room, on terminals that obey."""

import contextlib
import io
import os
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any


def printable(text: str) -> str:
    r"""Text with its control characters shown, so that no terminal obeys them.

    >>> print(printable("\x1b[2J red\n"))
    \x1b[2J red\n
    """
    return "".join(
        repr(c)[1:-1] if unicodedata.category(c) == "Cc" else c for c in text
    )


@contextlib.contextmanager
def every_character(stream: Any) -> Iterator[None]:
    """Write what the stream's encoding lacks as escapes, instead of failing."""
    if not isinstance(stream, io.TextIOWrapper):  # that of a notebook takes all
        yield
        return
    errors = stream.errors
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # who wrote has been told
            stream.reconfigure(errors=errors)


def let_go_of_output() -> None:
    """Where nothing more can be written, write nothing more, at exit neither."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
