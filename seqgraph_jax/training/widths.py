"""How seeds and batches are laid out on this machine: as the clock says, within reason.

Each way is tried with the program that would train, on one group of seeds a device: a
period of training takes as many times longer as there are groups. Compiling is what a
trial costs, so a way is tried only if that is a small share of what training will take,
and what was found is kept, by program and machine, beside the compiled programs.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from seqgraph_jax.training import hosts
from seqgraph_jax.training.arms import Arm
from seqgraph_jax.training.iterate import fresh_run, prepare
from seqgraph_jax.training.lanes import ONE_PART, MeshShape, Program, resolve_width
from seqgraph_jax.training.memory import TooLargeError
from seqgraph_jax.training.metrics import counted
from seqgraph_jax.training.runs import Parts, Run
from seqgraph_jax.training.saving import settings_of
from seqgraph_jax.training.setup import set_up
from seqgraph_jax.training.task import check_parts

SHARE = 0.1  # of the time of training that trials may take
SOME = 4  # a width between 1 and all
CACHE = "layouts.json"


class Way(NamedTuple):
    """Seeds in a group, devices that share out the groups, and parts of a batch."""

    width: int
    mesh: MeshShape = ONE_PART


class Choice(NamedTuple):
    """What was chosen.

    ``seconds`` are those of an evaluation period of all that were tried; none where the
    choice was kept from before. ``programs`` are the arms', compiled, if they were.
    """

    way: Way
    seconds: Mapping[Way, float] = MappingProxyType({})
    programs: tuple[Program | None, ...] = ()

    @property
    def words(self) -> str:
        """What was measured, in words; empty if nothing was compared."""
        if len(self.seconds) < 2:
            return ""
        parted = max(way.mesh.batch for way in self.seconds) > 1
        return ", ".join(
            f"{took:.3g} s with {counted(way.width, 'seed')} at a time"
            + f" and batches in {counted(way.mesh.batch, 'part')}" * parted
            for way, took in self.seconds.items()
        )


def measure_layout(
    arms: Sequence[Arm],
    seeds: Sequence[int],
    parts: Parts | None = None,
    *,
    width: int | None = None,
    mesh: MeshShape | None = ONE_PART,
    share: float = SHARE,
) -> Choice:
    """The fastest way to lay out arms that share seeds, of a few that are timed.

    Groups of 1, 4 and all seeds of a device are compared, unless ``width`` is given,
    and, where ``mesh`` is None and fewer seeds than devices are trained, whole batches
    and batches parted over the devices that are left. The plain rule's way
    (`resolve_width`) is tried first, the others as long as trials take at most
    ``share`` of the time that training would take: where it may stop early, that of a
    quarter of its updates. What does not fit into memory is left out. A choice is kept
    in the folder of compiled programs, and nothing is timed again. Of several processes
    all take the plain rule's way.

    Raises `ValueError` as `train_seeds` does, and if nothing fits into memory.

    >>> from seqgraph_jax import SequenceClassifier, TrainConfig, tasks
    >>> model, task = SequenceClassifier("rnn", 4, 4, 4), tasks.RandomCombinations(4)
    >>> arm = Arm(model, task, TrainConfig(updates=20, eval_every=10, batch_size=8))
    >>> measure_layout([arm], range(8), share=0).way.mesh.batch
    1
    """
    set_up()
    none = (None,) * len(arms)
    fresh = [fresh_run(arm, seeds, 1, parts, mesh or ONE_PART)[0] for arm in arms]
    each = -(-len(fresh[0].last_update) // hosts.num_processes())
    ways = _ways(arms, each, width, mesh)
    if len(ways) == 1 or hosts.num_processes() > 1:
        return Choice(ways[0], programs=none)
    name = _name(arms, fresh, ways)
    if (kept := _kept(name)) in ways:
        return Choice(kept, programs=none)
    found: dict[Way, float] = {}
    programs: dict[Way, tuple[Program, ...]] = {}
    error, spent, cost, expected = None, 0.0, 0.0, np.inf
    for way in ways:
        if spent + cost > share * expected:
            break
        start = time.perf_counter()
        try:
            pairs = [_period(arm, seeds, parts, way) for arm in arms]
            found[way] = sum(seconds for seconds, _ in pairs)
            programs[way] = tuple(program for _, program in pairs)
        except TooLargeError as too_large:
            error = error or too_large
            continue
        spent, cost = spent + cost, time.perf_counter() - start
        expected = found[way] * max(_periods(arm) for arm in arms)
    if not found:
        assert error is not None
        raise error
    best = min(found, key=lambda way: found[way])
    if len(found) > 1:
        _keep(name, best)
    return Choice(best, found, programs[best])


def _ways(
    arms: Sequence[Arm], num_runs: int, width: int | None, mesh: MeshShape | None
) -> list[Way]:
    """What may be compared, the plain rule's first."""
    devices = jax.local_device_count()
    meshes = [mesh or ONE_PART]
    if mesh is None:
        left = devices // min(devices, num_runs)
        parts = next(b for b in range(left, 0, -1) if _can_part(arms, b))
        meshes = list(dict.fromkeys([MeshShape(batch=parts), ONE_PART]))
    if width is not None:
        return [Way(width, mesh) for mesh in meshes]
    across = meshes[0].seeds or max(1, devices // meshes[0].batch)
    widest = -(-num_runs // across)
    rule = min(resolve_width("auto", num_runs), widest)
    widths = dict.fromkeys([rule, 1, min(SOME, widest), widest])
    return [Way(width, mesh) for width in widths for mesh in meshes]


def _can_part(arms: Sequence[Arm], num_parts: int) -> bool:
    with contextlib.suppress(ValueError):
        for arm in arms:
            check_parts(arm.first_task, arm.config.batch_size, num_parts)
        return True
    return False


def _periods(arm: Arm) -> float:
    """Evaluation periods that training may have."""
    config = arm.config
    early = config.patience or (config.early_stop and config.threshold is not None)
    return config.num_evaluations * (0.25 if early else 1.0)


def _period(
    arm: Arm, seeds: Sequence[int], parts: Parts | None, way: Way
) -> tuple[float, Program]:
    """Seconds of an evaluation period of all runs, from that of a group a device."""
    width, mesh = way
    run, like = fresh_run(arm, seeds, width, parts, mesh)
    # Time does not hang on the values: these need no compilation.
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
    blank = replace(run, lanes=zeros, layout=None)
    prepared = prepare(arm, seeds, width, parts=parts, mesh=mesh, resume=blank)
    layout, program, lanes = prepared.run.layout, prepared.advance, prepared.lanes
    assert layout is not None
    assert program is not None
    counts, shared = program.args
    once = jax.device_put(
        np.minimum(layout.counts, 1).astype(np.int32), counts.sharding
    )
    least = np.inf
    for _ in range(2):
        start = time.perf_counter()
        lanes, _ = jax.block_until_ready(program.func(once, shared, lanes))
        least = min(least, time.perf_counter() - start)
        if least > 0.5:
            break  # what is allocated once is a small part of it
    return least * max(layout.counts), program


def _name(arms: Sequence[Arm], runs: Sequence[Run], ways: Sequence[Way]) -> str:
    """Of programs, machine and what is compared."""
    kinds = [device.device_kind for device in jax.local_devices()]
    said: list[Any] = [jax.__version__, kinds, ways]
    for arm, run in zip(arms, runs, strict=True):
        settings = settings_of(run, arm)
        said.append({**settings, "seeds": len(run.last_update), "seed_width": None})
    return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()


def _file() -> Path | None:
    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    return Path(folder) / CACHE if folder and "://" not in folder else None


def _read() -> dict[str, Any]:
    file = _file()
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(file.read_text(encoding="utf-8")) if file else {}
        return found if isinstance(found, dict) else {}
    return {}


def _kept(name: str) -> Way | None:
    match _read().get(name):
        case [int(width), [int() | None as across, int(batch)]]:
            return Way(width, MeshShape(across, batch))
    return None


def _keep(name: str, way: Way) -> None:
    file = _file()
    if file is None:
        return
    with contextlib.suppress(OSError):  # it is measured again
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(f".{os.getpid()}")
        aside.write_text(json.dumps({**_read(), name: way}), encoding="utf-8")
        aside.replace(file)
