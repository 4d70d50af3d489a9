"""Train many seeds at many settings: what can be traced as one compiled program."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import numpy as np
import optax

from seqgraph_jax.training.arms import Arm, programs_of, with_setting
from seqgraph_jax.training.config import TrainConfig
from seqgraph_jax.training.lanes import ONE_PART, MeshShape, Width
from seqgraph_jax.training.metrics import counted
from seqgraph_jax.training.progress import show_progress
from seqgraph_jax.training.runs import Parts, Run
from seqgraph_jax.training.seeds import train_arm
from seqgraph_jax.training.task import Task

Point = Mapping[str, Any]  # settings by name


@dataclass(frozen=True, repr=False)
class Sweep:
    """One network trained for S seeds at each of G points of a grid.

    ``points``, ``arms`` and ``runs`` go together: settings, what was trained with them,
    and its run, which has no state. ``num_programs`` were compiled to train them.
    """

    points: tuple[Point, ...]
    arms: tuple[Arm, ...]
    runs: tuple[Run, ...]
    num_programs: int

    @property
    def idle(self) -> tuple[str, ...]:
        """Names of settings that change nothing in any arm."""
        return idle_settings(self.points, self.arms)

    @property
    def distinct(self) -> tuple[int, ...]:
        """The points that differ in what was trained, each by its first number."""
        members = [m for program in programs_of(self.arms) for m in program.members]
        return tuple(sorted(same[0] for same in members))

    def __repr__(self) -> str:
        run = self.runs[0]
        return (
            f"{type(run.model).__name__}, {counted(len(self.points), 'setting')}, "
            f"{counted(len(run.seeds), 'seed')}, "
            f"{counted(self.num_programs, 'compiled program')}"
        )


def points_of(grid: Mapping[str, Sequence[Any]]) -> tuple[Point, ...]:
    """Every combination of values, the last setting's changing fastest.

    Raises `ValueError` for a setting without two different values.

    >>> points_of({"learning_rate": (0.1, 0.2), "max_norm": (1, 5)})[1]
    {'learning_rate': 0.1, 'max_norm': 5}
    """
    for name, values in grid.items():
        if len(values) < 2 or any(v in values[:k] for k, v in enumerate(values)):
            raise ValueError(f"{name} takes two or more different values to sweep over")
    return tuple(
        dict(zip(grid, values, strict=True))
        for values in itertools.product(*grid.values())
    )


def idle_settings(points: Sequence[Point], arms: Sequence[Arm]) -> tuple[str, ...]:
    """Names of settings whose values give equal arms, whatever the others are."""
    members = [m for program in programs_of(arms) for m in program.members]
    equal = {k: group for group, same in enumerate(members) for k in same}

    def changes(name: str) -> bool:
        found: dict[tuple[Any, ...], int] = {}
        for k, point in enumerate(points):
            others = tuple(value for n, value in point.items() if n != name)
            if found.setdefault(others, equal[k]) != equal[k]:
                return True
        return False

    return tuple(name for name in points[0] if not changes(name))


def sweep(
    model: nn.Module,
    task: Task | Sequence[Task],
    config: TrainConfig,
    seeds: Sequence[int],
    grid: Mapping[str, Sequence[Any]],
    width: Width = "auto",
    *,
    parts: Parts | None = None,
    tx: optax.GradientTransformation | None = None,
    directory: Path | str | None = None,
    checkpoint_every: float = 60.0,
    progress: bool | None = None,
) -> Sweep:
    """Train one network for many seeds at every point of a grid of settings.

    ``grid`` has the values of each setting by its name (`arms.with_setting`). Learning
    rate, weight decay, clipping norm and forget bias are an axis beside the seeds of
    one compiled program; of every other setting each value is a program of its own. A
    point's run is the one that `train_seeds` gives with its settings, seed by seed.
    Other arguments and errors as for `train_seeds`.

    >>> from seqgraph_jax import SequenceClassifier, tasks
    >>> task = tasks.RandomCombinations(size=4)
    >>> model = SequenceClassifier("gru", features=8, num_symbols=4, num_classes=4)
    >>> config = TrainConfig(updates=20, eval_every=10, batch_size=8, eval_size=16)
    >>> grid = {"learning_rate": (1e-3, 1e-2), "max_norm": (1.0, 10.0)}
    >>> sweep(model, task, config, [0, 1, 2], grid)
    SequenceClassifier, 4 settings, 3 seeds, 1 compiled program
    """
    points = points_of(grid)
    arms = []
    for point in points:
        arm = Arm(model, task, config, tx)
        for name, value in point.items():
            arm = with_setting(arm, name, value)
        arms.append(arm)
    return train_points(
        points,
        arms,
        seeds,
        width,
        parts=parts,
        directory=None if directory is None else Path(directory),
        checkpoint_every=checkpoint_every,
        progress=progress,
        name=type(model).__name__,
    )


def train_points(
    points: Sequence[Point],
    arms: Sequence[Arm],
    seeds: Sequence[int],
    width: Width = "auto",
    *,
    parts: Parts | None = None,
    mesh: MeshShape = ONE_PART,
    directory: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    checkpoint_every: float = 60.0,
    progress: bool | None = None,
    name: str = "sweep",
) -> Sweep:
    """Train arms that share seeds; those that differ in numbers alone in one program.

    ``points`` are their settings; equal arms are trained once. Program k is saved in
    ``directory/k``.
    """
    programs = programs_of(arms)
    bars = [f"{name}, program {k + 1} of {len(programs)}" for k in range(len(programs))]
    updates = {
        bar: program.arm.config.updates
        for bar, program in zip(bars, programs, strict=True)
    }
    runs: dict[int, Run] = {}
    with show_progress(updates, progress) as show:
        for k, program in enumerate(programs):
            run = train_arm(
                program.arm,
                seeds,
                width,
                parts=parts,
                mesh=mesh,
                directory=directory and directory / str(k),
                settings=settings,
                checkpoint_every=checkpoint_every,
                show=partial(show, bars[k]),
            )
            for g, members in enumerate(program.members):
                for member in members:
                    runs[member] = _of_point(run, arms[member], g, len(program.members))
    found = tuple(runs[k] for k in range(len(arms)))
    return Sweep(tuple(points), tuple(arms), found, len(programs))


def _of_point(run: Run, arm: Arm, g: int, num_points: int) -> Run:
    """Rows of point g of a run, up to where a run of that point alone had ended."""
    each = len(run.last_update) // num_points
    rows = slice(g * each, (g + 1) * each)
    alone = replace(
        run,
        model=arm.model,
        config=arm.config,
        seeds=run.seeds[: len(run.seeds) // num_points],
        metrics={name: values[rows] for name, values in run.metrics.items()},
        last_update=run.last_update[rows],
        best_update=run.best_update[rows],
        lanes=None,
    )
    for k in range(1, len(alone.updates)):
        if not alone.config.early_stop:
            break
        shorter = _up_to(alone, k)
        if shorter.finished:
            return shorter
    return alone


def _up_to(run: Run, k: int) -> Run:
    """The run as it was after k evaluations."""
    metrics = {name: values[:, :k] for name, values in run.metrics.items()}
    sign = run.records[run.judged_by].sign
    best = np.zeros(len(run.last_update), int)
    top = np.full((2, len(best)), -np.inf, np.float32)  # value, and minus the loss
    for j in range(k):
        value = sign * metrics[run.judged_by][:, j]
        loss = -metrics["loss"][:, j]
        loss = np.where(np.isnan(loss), -np.inf, loss)
        better = (value > top[0]) | ((value == top[0]) & (loss > top[1]))
        top = np.where(better, [value, loss], top)
        best = np.where(better, run.updates[j], best)
    last = np.minimum(run.last_update, run.updates[k - 1])
    return replace(run, metrics=metrics, last_update=last, best_update=best)
