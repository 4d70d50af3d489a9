"""Many seeds go through one compiled program; how they lie is in `training.lanes`."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
import optax

from seqgraph_jax.training import hosts, loop
from seqgraph_jax.training.arms import Arm, check_vary
from seqgraph_jax.training.config import TrainConfig
from seqgraph_jax.training.keys import crossed_keys, run_keys, varied_keys
from seqgraph_jax.training.lanes import (
    BATCH,
    ONE_PART,
    MeshShape,
    Program,
    Width,
    collect,
    lay_out,
    map_seeds,
    resolve_width,
    spread,
    spread_shapes,
)
from seqgraph_jax.training.loop import TrainState, num_params
from seqgraph_jax.training.metrics import counted, judged_by, records_of
from seqgraph_jax.training.runs import Parts, Run
from seqgraph_jax.training.setup import set_up
from seqgraph_jax.training.shares import share_out
from seqgraph_jax.training.stacks import shared_and_own
from seqgraph_jax.training.task import (
    Task,
    check_batch,
    check_key,
    check_parts,
    check_task,
)


def check_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Raise `ValueError` unless seeds are distinct, 0 to 2**32 - 1, at least one."""
    seeds = tuple(int(seed) for seed in seeds)
    if not seeds:
        raise ValueError("seeds: at least one is needed")
    for seed in seeds:
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed {seed} is outside 0 to 2**32 - 1")
        if seeds.count(seed) > 1:
            raise ValueError(f"seed {seed} is given more than once")
    return seeds


_eval_batch = jax.jit(loop.eval_batch, static_argnames="config")


def tasks_of(task: Task | Sequence[Task], num_runs: int) -> Sequence[Task]:
    """A task for every run.

    Raises `ValueError` if there are more or fewer, if one is not registered with JAX,
    and if they differ in more than the values of their arrays: one program serves all.
    """
    tasks = task if isinstance(task, Sequence) else [task] * num_runs
    if len(tasks) != num_runs:
        raise ValueError(
            f"{counted(len(tasks), 'task')} do not fit {counted(num_runs, 'seed')}"
        )
    structure: Any = jax.tree.structure(tasks[0])
    for one in tasks if isinstance(task, Sequence) else tasks[:1]:
        check_task(one)
        if jax.tree.structure(one) != structure:
            raise ValueError(
                "the seeds' tasks differ in more than the values of their arrays: "
                f"{one!r:.80} and {tasks[0]!r:.80} are not one program"
            )
    return tasks


class Prepared(NamedTuple):
    """A run so far, its lanes, and the compiled program that advances them."""

    run: Run
    lanes: Any = None
    advance: Program | None = None  # None: the run is finished


def abstract_state(arm: Arm, num_runs: int) -> TrainState:
    """Shapes and dtypes of the state of ``num_runs`` runs; nothing is computed."""
    model, tx = arm.at(dict.fromkeys(arm.numbers, 1.0))
    init = partial(loop.init, model, arm.first_task, arm.config, tx=tx)
    return jax.eval_shape(
        lambda: jax.vmap(init)(jax.random.split(jax.random.key(0), num_runs))
    )


def fresh_run(
    arm: Arm,
    seeds: Sequence[int],
    width: Width = "auto",
    parts: Parts | None = None,
    mesh: MeshShape = ONE_PART,
) -> tuple[Run, TrainState]:
    """The run before it starts, without a state, and the shapes of its state.

    Raises `ValueError` for arguments that do not fit one another: nothing is compiled.
    """
    set_up()
    seeds = check_seeds(seeds)
    if arm.cross:
        if parts is not None or arm.numbers:
            raise ValueError("cross goes with neither parts nor a sweep")
        parts = Parts(" and ".join(arm.cross), seeds)
    num_runs = len(seeds) * (len(parts.values) if parts else 1)
    first = tasks_of(arm.task, num_runs)[0]
    num_runs *= arm.num_points
    check_key(first, arm.config.batch_size)
    if arm.cross or set(arm.vary) != set(loop.Keys._fields):
        check_vary(arm, len(seeds))
    metric = judged_by(first, arm.config.metric)
    records = records_of(first)
    trained = [record.of_training() for record in records.values()]
    check_parts(first, arm.config.batch_size, mesh.batch)
    width = resolve_width(width, -(-num_runs // hosts.num_processes()))
    share = share_out(num_runs, width)
    like = abstract_state(arm, num_runs)
    run = Run(
        model=arm.model,
        config=arm.config,
        seeds=seeds * arm.num_points,
        metrics={},
        records=records | {m.name: m for m in trained},
        judged_by=metric.name,
        last_update=np.zeros(num_runs, int),
        best_update=np.zeros(num_runs, int),
        num_params=num_params(like.params) // num_runs,
        width=width,
        num_devices=sum(
            len(lay_out(n, width, mesh=mesh).devices) for n in share.counts if n
        ),
        mesh=mesh,
        parts=parts,
        share=share,
    )
    return run, like


def prepare(
    arm: Arm,
    seeds: Sequence[int],
    width: Width = "auto",
    *,
    parts: Parts | None = None,
    mesh: MeshShape = ONE_PART,
    resume: Run | None = None,
    program: Program | None = None,
) -> Prepared:
    """Draw what a run starts from, or take it from ``resume``, and compile its program.

    Of several processes each does so for its own rows. ``program`` is one that was
    compiled for the same arguments (`measure_layout`). Arguments and errors as for
    `train_seeds`.
    """
    if resume is not None and resume.metrics and resume.finished:
        return Prepared(resume)
    start = time.perf_counter()
    run, like = fresh_run(arm, seeds, width, parts, mesh)
    hosts.check_alike(
        f"{arm.model!r} {arm.config} {run.seeds} {run.width} {parts} {mesh}"
    )
    share = run.share
    assert share is not None
    run = resume or run
    task, config = arm.task, arm.config
    layout = lay_out(len(share.rows), run.width, mesh=mesh)
    over = BATCH if mesh.batch > 1 else None
    each = share.num_rows // arm.num_points
    if isinstance(task, Sequence):
        which = [int(row) % each for row in share.rows]
        drawn = {k: (task[k], loop.eval_batch(task[k], config)) for k in {*which}}
        data = [drawn[k] for k in which]
    else:
        data = [(task, _eval_batch(task, config))] * len(share.rows)
    one = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), like.params
    )
    check_batch(arm.model, data[0][0], one, data[0][1])
    shared, own, join = shared_and_own(data)
    numbers = {
        k: np.repeat(np.array(v, np.float32), each) for k, v in arm.numbers.items()
    }

    def init_one(shared: Any, lane: Any) -> TrainState:
        key, own, numbers = lane
        model, tx = arm.at(numbers)
        return loop.init(model, join(shared, own)[0], config, key, tx)

    def advance_one(shared: Any, lane: Any) -> Any:
        fixed, state = lane
        key, own, numbers = fixed
        (model, tx), (task, evaluation) = arm.at(numbers), join(shared, own)
        state, metrics = loop.advance(
            model, task, config, key, evaluation, state, tx, over
        )
        return (fixed, state), metrics

    if arm.cross:
        keys: Any = crossed_keys(run_keys(run.seeds), arm.vary, arm.cross)
    else:
        num_parts = len(parts.values) if parts else 1
        keys = varied_keys(run_keys(run.seeds, parts), arm.vary, num_parts)
    keys, numbers = share.take((keys, numbers))
    fixed = spread((keys, own, numbers), layout)
    shapes = fixed, spread_shapes(like, layout)
    advance = program or map_seeds(advance_one, shared, shapes, layout, donate=True)
    if resume is None:
        states = map_seeds(init_one, shared, fixed, layout)(fixed)
    else:
        states = spread(share.take(resume.state), layout)
    compile_s = run.compile_s + time.perf_counter() - start
    run = replace(run, lanes=states, layout=layout, share=share, compile_s=compile_s)
    return Prepared(run, (fixed, states), advance)


def advance_seeds(prepared: Prepared) -> Iterator[Run]:
    """Train and yield the run so far after every evaluation, the last one finished.

    The ``state`` of a yielded run can be read until the next run is asked for. The
    lanes of ``prepared`` are used up.
    """
    run, lanes, advance = prepared
    if advance is None:
        return
    layout, share = run.layout, run.share
    assert layout is not None
    assert share is not None
    while not (run.metrics and run.finished):
        start = time.perf_counter()
        lanes, latest = advance(lanes)
        state = lanes[1]
        mine = collect((latest, state.step, state.best.step), layout)
        latest, last, best = share.gather(mine)
        run = replace(
            run,
            lanes=state,
            metrics=_with_column(run.metrics, latest),
            last_update=last,
            best_update=best,
            train_s=run.train_s + time.perf_counter() - start,
        )
        yield run


def iterate_seeds(
    model: nn.Module,
    task: Task | Sequence[Task],
    config: TrainConfig,
    seeds: Sequence[int],
    width: Width = "auto",
    *,
    parts: Parts | None = None,
    tx: optax.GradientTransformation | None = None,
    mesh: MeshShape = ONE_PART,
    resume: Run | None = None,
) -> Iterator[Run]:
    """Train and yield the run so far after every evaluation, the last one finished.

    Arguments as for `train_seeds`. ``resume`` is an earlier run of the same arguments:
    training goes on after it and ends with the same bits as one that was never
    interrupted.
    """
    arm = Arm(model, task, config, tx)
    prepared = prepare(arm, seeds, width, parts=parts, mesh=mesh, resume=resume)
    yield from advance_seeds(prepared)


def _with_column(
    metrics: dict[str, np.ndarray], latest: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Metrics ``[S, K]`` with those of one more evaluation, ``[S]``, as last column."""
    if not metrics:
        return {name: column[:, None] for name, column in latest.items()}
    return {
        name: np.column_stack([metrics[name], column])
        for name, column in latest.items()
    }
