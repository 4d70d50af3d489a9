"""How a command ends: for what a user can cause, in a sentence and exit code 2.

And what it prints: on streams that lack characters or room, on terminals that obey.
"""

import contextlib
import io
import os
import shlex
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

if TYPE_CHECKING:
    import seqgraph_jax as sg


OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"  # in messages of JAX
MAKE_SMALLER = (
    "take smaller batches (--batch-size), fewer examples to evaluate (--eval-size), "
    "fewer seeds at once (--seed-width), or a smaller network"
)


#: Flags that say which of several processes this is.
PROCESSES = ("--coordinator", "--num-processes", "--process-id")


class UsageError(ValueError):
    """Something that the user can put right; the message is one sentence."""


def command_line(module: str, argv: Sequence[str]) -> str:
    """The command that was given, ready to paste."""
    here = os.path.relpath(sys.executable)
    python = "python" if here.startswith("..") else here
    return shlex.join([python, "-m", module, *argv])


def without_place(argv: Sequence[str], *more: str) -> list[str]:
    """The flags without --resume, --out, and more that take a value.

    >>> without_place(["--size", "3", "--out", "here", "--resume"])
    ['--size', '3']
    >>> without_place(["--process-id=1", "--size", "3"], *PROCESSES)
    ['--size', '3']
    """
    words, skip = [], False
    for word in argv:
        flag, equals, _ = word.partition("=")
        left_out = flag.replace("_", "-") in ("--out", *more)
        if not (skip or left_out or word == "--resume"):
            words.append(word)
        skip = left_out and not equals and not skip
    return words


def run_directory(state: Path) -> Path:
    """The run directory in which a state is saved."""
    return next(path for path in state.parents if (path / "config.json").is_file())


def resume_command(module: str, argv: Sequence[str], directory: Path) -> str:
    """The command that goes on with a run: the one given, with --resume and --out."""
    words = [*without_place(argv), "--out", str(directory), "--resume"]
    return command_line(module, words)


def command(
    module: str, main: Callable[[Sequence[str]], int | None]
) -> Callable[[Sequence[str] | None], int]:
    """``main(argv)`` as a command: its exit code, errors as a sentence on stderr.

    Without an error the code is what ``main`` returns, 0 for None.
    """

    def run(argv: Sequence[str] | None = None) -> int:
        argv = sys.argv[1:] if argv is None else list(argv)
        code = run_to_the_end(argv)
        if code and "seqgraph_jax.training.hosts" in sys.modules:
            from seqgraph_jax.training.hosts import end_at_once

            end_at_once(code)
        return code

    def run_to_the_end(argv: list[str]) -> int:
        try:
            with every_character(sys.stdout):
                code = main(argv)
                sys.stdout.flush()
            return code or 0
        except UsageError as error:
            return _fail(str(error), error)
        except BrokenPipeError:  # who reads, such as head, has seen enough
            let_go_of_output()
        except OSError as error:
            let_go_of_output()
            what = error.filename or "the output"
            reason = error.strerror or str(error)
            return _fail(f"{what} cannot be read or written: {reason}", error)
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and OUT_OF_MEMORY not in str(error):
                raise
            if isinstance(error, ValueError):  # it was seen before, and says how much
                return _fail(str(error), error)
            return _fail(f"there is not enough memory: {MAKE_SMALLER}", error)
        except KeyboardInterrupt as stop:
            from seqgraph_jax.training.saving import Interrupted

            if not isinstance(stop, Interrupted):
                print(
                    "\ninterrupted; a run that had started is kept: --resume goes on "
                    "with it",
                    file=sys.stderr,
                )
                return 130
            of_run = run_directory(stop.directory)
            again = resume_command(module, argv, of_run)
            print(
                f"\ninterrupted; the state is saved. To go on: {again}", file=sys.stderr
            )
            return 128 + stop.signal_number
        return 0

    return run


def set_up(cache: bool, *processes: Any) -> None:
    """`seqgraph_jax.connect` and `seqgraph_jax.set_up`.

    Raises `UsageError` for processes that cannot be, and if JAX has no device.
    """
    from seqgraph_jax.training import hosts, setup

    if None in processes and {*processes} != {None}:
        raise UsageError("--coordinator, --num-processes and --process-id go together")
    try:
        if processes:
            hosts.connect(*processes)
        setup.set_up(cache=cache)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _fail(message: str, error: BaseException) -> int:
    """Print one sentence, and what was noted on the error; the exit code."""
    notes = getattr(error, "__notes__", [])
    print(f"error: {printable('; '.join([message, *notes]))}", file=sys.stderr)
    return 2


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
