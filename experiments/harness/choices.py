"""What flags choose: seeds, their width, and settings to sweep on other seeds."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import is_dataclass
from typing import Any, get_type_hints

from experiments.harness.cli import RunOptions, TrainOptions
from experiments.harness.command import UsageError
from seqgraph_jax.training.ranges import kind_of, value_of

#: The question and what is measured, which no setting is chosen for.
FIXED = {"preset", "task", "metric", "threshold", "hold_for", "early_stop"}
FIXED |= {"eval_every", "eval_size", "eval_seed"}


def choose_seeds(options: RunOptions, default: Sequence[int]) -> tuple[int, ...]:
    """Seeds of a run: ``--seeds``, or ``--num-seeds`` with the reference's spacing."""
    from seqgraph_jax.training.iterate import check_seeds

    if options.seeds and options.num_seeds is not None:
        raise UsageError("--seeds and --num-seeds cannot be given together")
    if options.num_seeds is not None:
        return tuple(range(0, 500 * options.num_seeds, 500))
    try:
        return check_seeds(options.seeds or default)
    except ValueError as error:
        raise UsageError(str(error)) from error


def choose_width(options: TrainOptions, smoke: bool, num_runs: int) -> int:
    """Seeds per group that ``--seed-width`` stands for on this machine."""
    from seqgraph_jax.training.hosts import num_processes
    from seqgraph_jax.training.lanes import resolve_width

    width = options.seed_width
    if width == "auto" and smoke:
        return num_runs  # one group on one device: most of a smoke run is compilation
    if width != "auto" and not re.fullmatch(r"[1-9]\d*", width):
        raise UsageError(f"--seed-width must be auto or 1 or more, not {width}")
    each = -(-num_runs // num_processes())
    return resolve_width("auto" if width == "auto" else int(width), each)


def settings_of(config: Any) -> dict[str, tuple[str, Any]]:
    """Settings that can be swept: of each name its dotted name and its type.

    They are numbers and choices, of the record and of the training within it.
    """
    found = {}
    for name, hint in get_type_hints(type(config), include_extras=True).items():
        value = getattr(config, name)
        if is_dataclass(value):
            if type(value).__name__ == "TrainConfig":
                inner = settings_of(value).items()
                found |= {k: (f"{name}.{path}", kind) for k, (path, kind) in inner}
        elif name not in FIXED and (kind := kind_of(hint)) is not None:
            found[name] = (name, kind)
    return found


def grid_of(words: Sequence[str], config: Any) -> dict[str, tuple[Any, ...]]:
    """The values of each ``NAME=VALUE,VALUE``, by the setting's name.

    Raises `UsageError` for a name that is no setting, and for what is no value of it.

    >>> from experiments.lstm_vs_gru import Config
    >>> grid_of(["learning-rate=1e-3,0.01", "hidden=8,16"], Config())
    {'learning_rate': (0.001, 0.01), 'hidden': (8, 16)}
    """
    known, grid = settings_of(config), {}
    for word in words:
        given, equals, values = word.partition("=")
        name = given.strip().replace("-", "_")
        if not equals:
            raise UsageError(f"--sweep takes NAME=VALUE,VALUE, not {word!r}")
        if name not in known:
            raise UsageError(
                f"--sweep: there is no setting {given!r}, only "
                f"{', '.join(known) or 'those that a preset fixes'}"
            )
        if name in grid:
            raise UsageError(f"--sweep {name} is given twice")
        try:
            kind = known[name][1]
            grid[name] = tuple(value_of(kind, v.strip()) for v in values.split(","))
        except ValueError as error:
            raise UsageError(f"--sweep {name}: {error}") from error
    return grid


def choose_tune_seeds(
    options: TrainOptions, judged: Sequence[int], smoke: bool
) -> tuple[int, ...]:
    """Seeds to choose settings on, none of which is judged as well."""
    from seqgraph_jax.training.iterate import check_seeds

    if not options.tune_seeds:
        others = (seed for seed in range(250, 2**32, 500) if seed not in judged)
        return tuple(itertools.islice(others, 2 if smoke else 8))
    try:
        chosen = check_seeds(options.tune_seeds)
    except ValueError as error:
        raise UsageError(f"--tune-seeds: {error}") from error
    both = [seed for seed in chosen if seed in judged]
    if both:
        raise UsageError(
            f"--tune-seeds {both[0]} is among the seeds that are judged: settings are "
            "chosen on others"
        )
    return chosen
