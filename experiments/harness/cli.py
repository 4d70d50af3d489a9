"""Flags of every experiment.

A configuration is a frozen dataclass; tyro makes the flags. Nested records' flags
stand beside the others'.
"""

import contextlib
import io
import itertools
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass, replace
from pathlib import Path
from typing import (
    Annotated,
    Any,
    cast,
    get_origin,
    get_type_hints,
)

import tyro

from experiments.harness.command import UsageError
from seqgraph_jax.training.ranges import (
    AtLeast,
    Count,
    FromZero,
    NotNegative,
    bounds_of,
    check_ranges,
)

#: A flag that may be given again.
Again = Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
VARY = ("init", "data", "dropout", "split")
#: What differs between seeds; ``A*B`` is each seed's A with each seed's B.
Varied = Annotated[str, tyro.conf.arg(metavar="{init,data,dropout,split,A*B}")]
START = time.perf_counter()  # seconds; close to the process's start
HELP = ("-h", "--help")


@dataclass(frozen=True)
class RunOptions:
    """Flags of every experiment."""

    seeds: tuple[int, ...] = ()  # seeds to take (default: those of the preset)
    num_seeds: Count | None = None  # take so many seeds: 0, 500, 1000, ...
    out: Path | None = None  # run directory (default: a new one in checkpoints/)
    smoke: bool = False  # tiny sizes: seconds on a CPU, to see that it works
    compilation_cache: bool = True  # keep compiled programs in the user's cache


@dataclass(frozen=True)
class TrainOptions:
    """Flags of an experiment that trains."""

    seed_width: str = "auto"  # seeds vectorised together on a device: auto or a number
    mesh: str = "batch=1"  # devices for seeds and for parts of a batch: seeds=1,batch=2
    resume: bool = False  # go on with the run in --out, or the newest unfinished one
    checkpoint_every: NotNegative = 10.0  # seconds between checkpoints
    sweep: Again = ()  # a setting and its values, NAME=1,2,3; may be given again
    vary: tuple[Varied, ...] = VARY  # what seeds differ in; A*B crosses two of these
    tune_seeds: tuple[int, ...] = ()  # seeds to choose settings on (default: 8 others)
    coordinator: str | None = None  # HOST:PORT of process 0, of several that train
    num_processes: Count | None = None  # that train together (Slurm, Cloud TPU: found)
    process_id: FromZero | None = None  # which of them this is, from 0


def parse(
    default: Any,
    argv: Sequence[str],
    prog: str,
    description: str,
    choose: Callable[[Any], Any] | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """Configuration of the type of ``default``, changed by the flags in ``argv``.

    The flags named in ``choices``, of the record or of its ``run``, are read first:
    ``choose`` takes a record of these and gives the default of all others. Raises
    `UsageError` for flags and values that are not possible.
    """
    if choose is not None:
        kinds = get_type_hints(type(default), include_extras=True)
        flags = []
        for name in choices:
            owner = default if name in kinds else default.run
            kind = get_type_hints(type(owner), include_extras=True)[name]
            flags.append((name, kind, field(default=getattr(owner, name))))
        words = [word for word in argv if word not in HELP]
        first = make_dataclass("Choices", flags, frozen=True)()
        first, _ = _tyro(first, words, prog, return_unknown_args=True)
        default = choose(first)
    config = _tyro(default, argv, prog, description=description)
    try:
        check_ranges(config, flags=True)
        for value in vars(config).values():
            if is_dataclass(value):
                check_ranges(value, flags=True)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return config


def _tyro(default: Any, argv: Sequence[str], prog: str, **options: Any) -> Any:
    kind = _shown(type(default))
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):
            found = tyro.cli(
                kind,
                args=list(argv),
                default=_as(kind, default),
                prog=prog,
                config=(tyro.conf.OmitArgPrefixes,),
                **options,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UsageError(_sentence(stderr.getvalue())) from None
    if options.get("return_unknown_args"):
        return found
    return _as(type(default), found)


def _shown(kind: type) -> Any:
    """The dataclass as the help shows it: with ranges, and a line of its docstring."""
    shown: dict[str, Any] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        bounds = [b for b in bounds_of(hint) if isinstance(b, AtLeast)]
        if is_dataclass(hint):
            hint = _shown(cast(type, hint))
        elif bounds and get_origin(hint) is not tuple:
            word = "INT" if "int" in str(hint) else "FLOAT"
            metavar = f"{word}, {bounds[0]}"
            hint = Annotated[hint, tyro.conf.arg(metavar=metavar)]
        shown[name] = hint
    line = (kind.__doc__ or "").partition("\n")[0]
    members = {"__annotations__": shown, "__doc__": line}
    members["__module__"] = kind.__module__  # where tyro finds the comments
    return dataclass(frozen=True, kw_only=True)(type(kind.__name__, (kind,), members))


def _as(kind: Any, record: Any) -> Any:
    """A record, and those nested in it, as records of an equal type."""
    hints = get_type_hints(kind)
    values = vars(record).items()
    return kind(**{k: _as(hints[k], v) if is_dataclass(v) else v for k, v in values})


def _sentence(framed: str) -> str:
    """The message in tyro's framed output, with the flags that may have been meant."""
    lines = [line.strip("│ ") for line in framed.splitlines() if line[:1] not in "╭╰"]
    if "╭" not in framed:
        lines = lines[2:]  # a plain terminal gets no frame but a title and a rule
    message = " ".join(itertools.takewhile(lambda line: set(line) - set("─-"), lines))
    message = re.sub(r"\s+([.,])", r"\1", message).removesuffix(".")
    message = re.sub(r"^Error parsing \w+: ", "", message)
    message = re.sub(r"^\w+(?= must be)", lambda m: flag_of(m[0]), message)
    meant = re.findall(r"--[a-z][\w-]*", framed.partition("Perhaps you meant")[2])
    meant = [flag for flag in dict.fromkeys(meant) if flag != "--help"]
    if meant:
        message += f"; did you mean {' or '.join(meant[:3])}?"
    return message[:1].lower() + message[1:]


def flag_of(name: str) -> str:
    """A field's name as its flag.

    >>> flag_of("num_seeds")
    '--num-seeds'
    """
    return f"--{name.replace('_', '-')}"


def with_values(config: Any, values: Mapping[str, Any]) -> Any:
    """The record with other values, by name, or by dotted name within a nested one.

    >>> from seqgraph_jax.training.config import TrainConfig
    >>> with_values(TrainConfig(), {"updates": 20}).updates
    20
    """
    direct: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        outer, _, inner = name.partition(".")
        if inner:
            nested.setdefault(outer, {})[inner] = value
        else:
            direct[name] = value
    direct |= {k: with_values(getattr(config, k), v) for k, v in nested.items()}
    return replace(config, **direct)


def nested(config: Any, kind: type) -> Any:
    """The record of a type that a configuration holds, or that type's default."""
    found = (getattr(config, f.name) for f in fields(config))
    return next((value for value in found if isinstance(value, kind)), kind())
