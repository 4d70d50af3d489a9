"""Train many seeds of one network: in one call, watched, saved on the way."""

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import optax

from seqgraph_jax.training.arms import Arm
from seqgraph_jax.training.checkpoints import locked
from seqgraph_jax.training.config import TrainConfig
from seqgraph_jax.training.hosts import from_first
from seqgraph_jax.training.iterate import advance_seeds, prepare
from seqgraph_jax.training.lanes import ONE_PART, MeshShape, Width
from seqgraph_jax.training.loop import Keys
from seqgraph_jax.training.progress import show_progress
from seqgraph_jax.training.runs import Parts, Run
from seqgraph_jax.training.saving import iterate_saved, prepare_saved
from seqgraph_jax.training.task import Task


def train_seeds(
    model: nn.Module,
    task: Task | Sequence[Task],
    config: TrainConfig,
    seeds: Sequence[int],
    width: Width = "auto",
    *,
    parts: Parts | None = None,
    tx: optax.GradientTransformation | None = None,
    vary: Sequence[str] = Keys._fields,
    cross: Sequence[str] = (),
    mesh: MeshShape = ONE_PART,
    directory: Path | str | None = None,
    checkpoint_every: float = 60.0,
    keep_steps: Collection[int] = (),
    progress: bool | None = None,
) -> Run:
    """Train one network for many seeds and return the finished `Run`.

    ``task`` is one for all seeds, or a sequence with one for each, such as the same
    data in another split: what these have in common, as the same arrays, is on a
    device once. With ``parts`` every seed is trained once for each of them, such as its
    folds, and a sequence of tasks has one for each part of each seed, seed after seed.
    ``tx`` is any optax transformation, instead of the optimiser of ``config``. ``vary``
    is what seeds differ in, by default all of ``"init"`` (initial values), ``"data"``
    (batches) and ``"dropout"``; in all else they are as the first one. With
    ``vary=["init"], cross=["data"]`` each of the S seeds' initial values is trained
    with each seed's batches: S S runs, a seed's parts being the seeds of the batches
    (`Run.diagonal` has those of equal seeds, `sg.reports.variance` takes them apart).
    With ``mesh=MeshShape(batch=2)`` two devices take half of every batch each, and
    average their gradients, which is of use where there are fewer seeds than devices.

    With ``directory`` the run is saved there every ``checkpoint_every`` seconds, at the
    updates ``keep_steps``, which stay, and when it is interrupted; called again with
    the same arguments it goes on from there and ends with the same bits as a run that
    was never stopped. ``progress`` shows updates, metric and time left; None shows them
    in a terminal and in a notebook.

    Raises `ValueError` for seeds that repeat or are out of range, or that would not
    differ, for a width below 1, for a mesh that the devices or the batch do not allow,
    for an unknown metric, for a directory that holds
    another run or in which another process trains; `OSError`, before training, for one
    that cannot be written; `Interrupted`, a `KeyboardInterrupt`, once the state is
    saved after Ctrl-C or SIGTERM.

    >>> from seqgraph_jax import SequenceClassifier, tasks
    >>> task = tasks.RandomCombinations(size=4)
    >>> model = SequenceClassifier("rnn", features=8, num_symbols=4, num_classes=4)
    >>> config = TrainConfig(updates=20, eval_every=10, batch_size=8, eval_size=16)
    >>> run = train_seeds(model, task, config, seeds=[0, 1, 2])
    >>> run.metrics["loss"].shape, run.updates.tolist()
    ((3, 2), [10, 20])
    """
    arm = Arm(model, task, config, tx, vary=tuple(vary), cross=tuple(cross))
    name = type(model).__name__
    with show_progress({name: config.updates}, progress) as show:
        return train_arm(
            arm,
            seeds,
            width,
            parts=parts,
            mesh=mesh,
            directory=None if directory is None else Path(directory),
            checkpoint_every=checkpoint_every,
            keep_steps=keep_steps,
            show=partial(show, name),
        )


def train_arm(
    arm: Arm,
    seeds: Sequence[int],
    width: Width = "auto",
    *,
    parts: Parts | None = None,
    mesh: MeshShape = ONE_PART,
    directory: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    checkpoint_every: float = 60.0,
    keep_steps: Collection[int] = (),
    show: Callable[[Run], None] = lambda run: None,
) -> Run:
    """`train_seeds` of an arm; ``show`` sees the run after every evaluation.

    ``settings``, JSON values, are kept in ``directory``, without them those of the
    arguments. With numbers in the arm the run has a row for each point of each seed,
    point after point.
    """
    with contextlib.ExitStack() as stack:
        if directory is None:
            runs = advance_seeds(prepare(arm, seeds, width, parts=parts, mesh=mesh))
        else:

            def lock(folder: Path = directory) -> str:
                stack.enter_context(locked(folder))
                return ""

            from_first(lock)
            prepared, settings = prepare_saved(
                arm,
                seeds,
                width,
                directory=directory,
                settings=settings,
                parts=parts,
                mesh=mesh,
            )
            runs = iterate_saved(
                prepared, directory, settings, checkpoint_every, keep_steps
            )
        for run in runs:
            show(run)
    return run.on_host()
