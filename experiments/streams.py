"""What is printed: on streams that lack characters or room, on terminals that obey."""

import contextlib
import io
import os
import sys
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

if TYPE_CHECKING:
    import seqgraph_jax as sg


def printable(text: str) -> str:
    r"""Text with its control characters shown, so that no terminal obeys them.

    >>> print(printable("\x1b[2J red\n"))
    \x1b[2J red\n
    """
    return "".join(
        repr(c)[1:-1] if unicodedata.category(c) == "Cc" else c for c in text
    )


def print_line(text: str) -> None:
    """A line, whatever its length, with nothing in it taken for markup."""
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(printable(text), soft_wrap=True)


def print_table(table: "sg.Table") -> None:
    """A table as a terminal shows it."""
    shown = RichTable(box=box.SIMPLE, caption=table.caption, caption_justify="left")
    for i, name in enumerate(table.header):
        shown.add_column(printable(name), justify="left" if i == 0 else "right")
    for row in table.rows:
        shown.add_row(*map(printable, row))
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(shown, soft_wrap=True)


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
