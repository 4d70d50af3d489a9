"""Command line of every experiment: parsing, devices, exit codes.

A configuration is a frozen dataclass; tyro makes the flags. Nested records' flags
stand beside the others'. What a user can cause ends with one sentence on stderr and
exit code 2.
"""

import contextlib
import io
import itertools
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START = time.perf_counter()  # seconds; close to the process's start


class UsageError(ValueError):
    """Something that the user can put right; the message is one sentence."""


class Interrupted(Exception):
    """Stopped by a signal after the state was saved; ``exit_code`` says by which."""

    def __init__(self, signal_number: int, directory: Path) -> None:
        super().__init__(signal_number, directory)
        self.exit_code = 128 + signal_number
        self.directory = directory


@dataclass(frozen=True)
class RunOptions:
    """Flags that every experiment has."""

    seeds: tuple[int, ...] = ()  # seeds to train (default: those of the preset)
    num_seeds: int | None = None  # train this many seeds: 0, 500, 1000, ...
    seed_width: str = "auto"  # seeds vectorised together on a device: auto or a number
    out: Path | None = None  # run directory (default: a new one in checkpoints/)
    resume: bool = False  # go on with the run in --out, or the newest unfinished one
    smoke: bool = False  # tiny sizes: seconds on a CPU, to see that it works
    checkpoint_every: float = 10.0  # seconds between checkpoints
    compilation_cache: bool = True  # keep compiled programs in the user's cache


def preset_of(argv: Sequence[str], flag: str, default: str) -> str:
    """Value of a flag that other flags' defaults depend on, before they are parsed."""
    for i, word in enumerate(argv):
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
        if word == flag and i + 1 < len(argv):
            return argv[i + 1]
    return default


def parse(default: Any, argv: Sequence[str], prog: str, description: str) -> Any:
    """Configuration of the type of ``default``, changed by the flags in ``argv``.

    Raises `UsageError` for flags and values that are not possible.
    """
    import tyro

    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):
            return tyro.cli(
                type(default),
                args=list(argv),
                default=default,
                prog=prog,
                description=description,
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UsageError(_sentence(stderr.getvalue())) from None


def _sentence(framed: str) -> str:
    """The message in tyro's framed output, with the flags that may have been meant."""
    lines = [line.strip("│ ") for line in framed.splitlines() if line[:1] not in "╭╰"]
    if "╭" not in framed:
        lines = lines[2:]  # a plain terminal gets no frame but a title and a rule
    message = " ".join(itertools.takewhile(lambda line: set(line) - set("─-"), lines))
    message = re.sub(r"\s+([.,])", r"\1", message).removesuffix(".")
    message = message.removeprefix("Error parsing train: ")
    meant = re.findall(r"--[\w-]+", framed.partition("Perhaps you meant")[2])
    meant = [flag for flag in dict.fromkeys(meant) if flag != "--help"]
    if meant:
        message += f"; did you mean {' or '.join(meant[:3])}?"
    return message[:1].lower() + message[1:]


def choose_seeds(options: RunOptions, preset_seeds: Sequence[int]) -> tuple[int, ...]:
    """Seeds of a run: ``--seeds``, or ``--num-seeds`` with the reference's spacing."""
    from seqgraph_jax.training.seeds import check_seeds

    if options.seeds and options.num_seeds is not None:
        raise UsageError("--seeds and --num-seeds cannot be given together")
    if options.num_seeds is not None:
        if options.num_seeds < 1:
            raise UsageError(f"--num-seeds must be 1 or more, not {options.num_seeds}")
        return tuple(range(0, 500 * options.num_seeds, 500))
    try:
        return check_seeds(options.seeds or preset_seeds)
    except ValueError as error:
        raise UsageError(str(error)) from error


def choose_width(options: RunOptions, num_seeds: int) -> int:
    """Seeds per group that ``--seed-width`` stands for on this machine."""
    from seqgraph_jax.training.lanes import resolve_width

    width = options.seed_width
    if width == "auto" and options.smoke:
        return num_seeds  # one group on one device: most of a smoke run is compilation
    if width != "auto" and not re.fullmatch(r"[1-9]\d*", width):
        raise UsageError(f"--seed-width must be auto or 1 or more, not {width}")
    return resolve_width("auto" if width == "auto" else int(width), num_seeds)


def set_up_jax(compilation_cache: bool) -> None:
    """Cores of a CPU as devices, and the compilation cache; before JAX computes."""
    import jax

    forced = "device_count" in os.environ.get("XLA_FLAGS", "")
    if jax.config.jax_num_cpu_devices < 1 and not forced:
        # Raises if a program that called `main` has computed with JAX already.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", _num_cores())
    if compilation_cache and not jax.config.jax_compilation_cache_dir:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(cache / "seqgraph_jax/xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def command_line(module: str, argv: Sequence[str]) -> str:
    """The command that was given, ready to paste."""
    here = os.path.relpath(sys.executable)
    python = "python" if here.startswith("..") else here
    return shlex.join([python, "-m", module, *argv])


def resume_command(module: str, argv: Sequence[str], directory: Path) -> str:
    """The command that goes on with a run: the one given, with --resume and --out."""
    words, skip = [], False
    for word in argv:
        if not skip and word != "--resume" and not word.startswith("--out="):
            skip = word == "--out"
            if not skip:
                words.append(word)
        else:
            skip = False
    return command_line(module, [*words, "--out", str(directory), "--resume"])


def run_main(
    main: Callable[[Sequence[str]], None], module: str, argv: Sequence[str] | None
) -> int:
    """Call an experiment and return the exit code; errors are a sentence on stderr."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        main(argv)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        command = resume_command(module, argv, stop.directory)
        print(
            f"\ninterrupted; the state is saved. To go on: {command}", file=sys.stderr
        )
        return stop.exit_code
    except BrokenPipeError:  # who reads, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print(
            "\ninterrupted; a run that had started is kept: --resume goes on with it",
            file=sys.stderr,
        )
        return 130
    return 0
