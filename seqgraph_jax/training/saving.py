"""Save a run on the way and go on with it: to the same bits, whatever stopped it."""

import contextlib
import hashlib
import json
import re
import signal
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from seqgraph_jax.training import checkpoints, hosts
from seqgraph_jax.training.arms import Arm
from seqgraph_jax.training.checkpoints import CheckpointError
from seqgraph_jax.training.iterate import (
    Prepared,
    advance_seeds,
    fresh_run,
    prepare,
)
from seqgraph_jax.training.lanes import ONE_PART, MeshShape, Program, Width
from seqgraph_jax.training.loop import Keys, TrainState
from seqgraph_jax.training.runs import Parts, Run


class Interrupted(KeyboardInterrupt):
    """Stopped by a signal, after the state was saved in ``directory``."""

    def __init__(self, signal_number: int, directory: Path) -> None:
        super().__init__(f"stopped by signal {signal_number}; saved in {directory}")
        self.signal_number = signal_number
        self.directory = directory


def save_run(
    directory: Path,
    run: Run,
    settings: Mapping[str, Any],
    keep_steps: Collection[int] = (),
) -> None:
    """Checkpoint a run: its states, metrics so far and times, beside the settings.

    Raises `OSError` if it cannot be written; what was saved before is then untouched.
    """
    share = run.share if run.layout is not None else None
    seconds = {"compile": np.array(run.compile_s), "train": np.array(run.train_s)}
    tree = {"state": run.own_state, "metrics": run.metrics, "seconds": seconds}
    step = int(run.updates[-1])
    checkpoints.save(
        directory, step, tree, settings, keep_steps=keep_steps, share=share
    )


def load_run(
    directory: Path, fresh: Run, like: TrainState, settings: Mapping[str, Any]
) -> Run | None:
    """The run that was saved newest, None if there is none.

    ``fresh`` and ``like`` are those of `fresh_run`. Raises `CheckpointError` if the
    checkpoint is damaged, of another model, or of other settings.
    """
    if not checkpoints.steps(directory):
        return None
    checkpoint = checkpoints.load(directory)
    state = checkpoint.restore("state", like)
    for name in dict.fromkeys([*checkpoint.config, *settings]):
        there, here = checkpoint.config.get(name), settings.get(name)
        if there != here:
            raise CheckpointError(
                f"{directory} was made with {name} = {there!s:.200}, not "
                f"{here!s:.200}: go on with the same settings, or start anew in "
                "another directory"
            )
    seconds = checkpoint.under("seconds")
    return replace(
        fresh,
        lanes=state,
        metrics=checkpoint.under("metrics"),
        last_update=state.step,
        best_update=state.best.step,
        compile_s=seconds["compile"].item(),
        train_s=seconds["train"].item(),
    )


def prepare_saved(
    arm: Arm,
    seeds: Sequence[int],
    width: Width = "auto",
    *,
    directory: Path,
    settings: Mapping[str, Any] | None = None,
    parts: Parts | None = None,
    mesh: MeshShape = ONE_PART,
    program: Program | None = None,
) -> tuple[Prepared, Mapping[str, Any]]:
    """`prepare`, from where the run in ``directory`` stopped, if there is one.

    ``settings``, JSON values, are kept beside the arrays, without them those of the
    arguments; a run is gone on with if they are the same. Returns them, too.

    Raises `OSError`, before anything is trained, if the state cannot be saved there.
    """
    if width == "auto" and checkpoints.steps(directory):
        width = checkpoints.load(directory).config.get("seed_width", width)
    fresh, like = fresh_run(arm, seeds, width, parts, mesh)
    if settings is None:
        settings = settings_of(fresh, arm)
    settings = json.loads(json.dumps(settings, default=str))
    hosts.check_alike(json.dumps(settings, sort_keys=True))
    shapes = jax.tree.leaves(like)
    num_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in shapes)
    checkpoints.make_room(directory, num_bytes)
    hosts.check_shared(directory)
    resume = load_run(directory, fresh, like, settings)
    step = int(resume.updates[-1]) if resume else 0
    hosts.check_alike(
        str(step), f"the hosts do not see the same checkpoints in {directory}"
    )
    prepared = prepare(
        arm,
        seeds,
        fresh.width,
        parts=parts,
        mesh=mesh,
        resume=resume,
        program=program,
    )
    return prepared, settings


def iterate_saved(
    prepared: Prepared,
    directory: Path,
    settings: Mapping[str, Any],
    checkpoint_every: float = 60.0,
    keep_steps: Collection[int] = (),
) -> Iterator[Run]:
    """`advance_seeds`, saved on the way; what was saved before is yielded first.

    Raises `Interrupted` after a SIGINT or SIGTERM, of several processes to any, once
    the state is saved.
    """
    if prepared.run.metrics:
        yield prepared.run
    saved_at = time.monotonic()
    with deferred_signals() as received:
        for run in advance_seeds(prepared):
            late = time.monotonic() - saved_at >= checkpoint_every
            due, number = hosts.largest(late, *received[:1] or [0])
            asked = run.finished or int(run.updates[-1]) in keep_steps
            if due or number or asked:
                save_run(directory, run, settings, keep_steps)
                saved_at = time.monotonic()
            yield run
            [number] = hosts.largest(*received[:1] or [0])
            if number:
                save_run(directory, run, settings, keep_steps)
                hosts.part()
                raise Interrupted(int(number), directory)


def settings_of(fresh: Run, arm: Arm) -> dict[str, Any]:
    """What a run was asked for, as JSON values; of the task's arrays their SHA-256."""
    digest = hashlib.sha256(
        _without_addresses(repr(jax.tree.structure(arm.task))).encode()
    )
    for leaf in jax.tree.leaves(arm.task):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    settings = {
        **({"numbers": dict(arm.numbers)} if arm.numbers else {}),
        **({} if {*arm.vary} == {*Keys._fields} else {"vary": sorted(arm.vary)}),
        **({"cross": sorted(arm.cross)} if arm.cross else {}),
        "model": _without_addresses(repr(fresh.model)),
        "task": digest.hexdigest(),
        **asdict(fresh.config),
        "seeds": fresh.seeds,
        "seed_width": fresh.width,
        **({"batch_parts": fresh.mesh.batch} if fresh.mesh.batch > 1 else {}),
        "parts": fresh.parts,
    }
    return settings


def _without_addresses(text: str) -> str:
    """Text in which no function tells where in memory it lies."""
    return re.sub(r" at 0x[0-9a-f]+", "", text)


@contextlib.contextmanager
def deferred_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list; a second SIGINT interrupts at once.

    Outside of the main thread, where Python takes no signals, the list stays empty.
    """
    received: list[int] = []

    def handle(number: int, frame: Any) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
