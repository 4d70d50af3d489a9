"""How a command ends: for what a user can cause, in a sentence and exit code 2."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.streams import every_character, let_go_of_output, printable

OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"  # in messages of JAX
MAKE_SMALLER = (
    "take smaller batches (--batch-size), fewer examples to evaluate (--eval-size), "
    "fewer seeds at once (--seed-width), or a smaller network"
)


class UsageError(ValueError):
    """Something that the user can put right; the message is one sentence."""


def command_line(module: str, argv: Sequence[str]) -> str:
    """The command that was given, ready to paste."""
    here = os.path.relpath(sys.executable)
    python = "python" if here.startswith("..") else here
    return shlex.join([python, "-m", module, *argv])


def without_place(argv: Sequence[str]) -> list[str]:
    """The flags without --resume and --out.

    >>> without_place(["--size", "3", "--out", "here", "--resume"])
    ['--size', '3']
    """
    words, skip = [], False
    for word in argv:
        if not skip and word != "--resume" and not word.startswith("--out="):
            skip = word == "--out"
            if not skip:
                words.append(word)
        else:
            skip = False
    return words


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
            again = resume_command(module, argv, stop.directory.parents[1])
            print(
                f"\ninterrupted; the state is saved. To go on: {again}", file=sys.stderr
            )
            return 128 + stop.signal_number
        return 0

    return run


def set_up(cache: bool) -> None:
    """`seqgraph_jax.set_up`; raises `UsageError` if JAX has no device."""
    from seqgraph_jax.training import setup

    try:
        setup.set_up(cache=cache)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _fail(message: str, error: BaseException) -> int:
    """Print one sentence, and what was noted on the error; the exit code."""
    notes = getattr(error, "__notes__", [])
    print(f"error: {printable('; '.join([message, *notes]))}", file=sys.stderr)
    return 2
