"""What flags choose: seeds, their width, and settings to sweep on other seeds."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, get_type_hints

import seqgraph_jax as sg
from experiments.harness.cli import RunOptions, TrainOptions
from experiments.harness.command import UsageError, print_line
from experiments.harness.study import Study
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


def choose_layout(
    options: TrainOptions,
    study: Study,
    seeds: Sequence[int],
    smoke: bool,
    saved: Mapping[str, Any],
) -> "sg.training.Choice":
    """What ``--seed-width`` and ``--mesh`` stand for on this machine.

    ``saved`` are the settings of the run that is gone on with: what was measured for it
    stays. Raises `UsageError` for what is no width or mesh.
    """
    width = read_width(options.seed_width) or saved.get("seed_width")
    mesh = read_mesh(options.mesh)
    if mesh is None and saved:
        mesh = sg.MeshShape(batch=saved.get("batch_parts", 1))
    num_runs = runs_of(study, seeds)
    if smoke and width is None:
        width = num_runs  # one group on one device: most of a smoke run is compilation
    if not study.arms:
        return sg.training.Choice(sg.training.Way(width or 1))
    try:
        choice = sg.training.measure_layout(
            list(study.arms.values()), seeds, study.parts, width=width, mesh=mesh
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    if choice.words:
        print_line(f"An evaluation period takes {choice.words}: the least is taken.")
    return choice


def runs_of(study: Study, seeds: Sequence[int]) -> int:
    """Runs of an arm: of all seeds, their parts, and what they are crossed with."""
    arm = next(iter(study.arms.values()), None)
    num_runs = len(seeds) * (len(study.parts.values) if study.parts else 1)
    return num_runs * (len(seeds) if arm is not None and arm.cross else 1)


def read_width(text: str) -> int | None:
    """Seeds at a time that ``--seed-width`` names; None for auto."""
    if text == "auto":
        return None
    if not re.fullmatch(r"[1-9]\d*", text):
        raise UsageError(f"--seed-width must be auto or 1 or more, not {text}")
    return int(text)


def read_mesh(text: str) -> "sg.MeshShape | None":
    """The mesh that ``--mesh`` names; None for auto.

    >>> read_mesh("seeds=1,batch=2"), read_mesh("batch=2")
    (MeshShape(seeds=1, batch=2), MeshShape(seeds=None, batch=2))
    """
    if text == "auto":
        return None
    found: dict[str, int] = {}
    for word in text.split(","):
        match = re.fullmatch(r"(seeds|batch)=([1-9]\d*)", word.strip())
        if not match or match[1] in found:
            raise UsageError(
                f"--mesh must be auto or such as seeds=1,batch=2, not {text!r}"
            )
        found[match[1]] = int(match[2])
    return sg.MeshShape(**found)


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
