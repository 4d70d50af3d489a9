"""Train many seeds as one compiled program; how they lie is in `training.lanes`."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import flax.linen as nn
import jax
import numpy as np
from jax import lax

from seqgraph_jax.training import loop as training
from seqgraph_jax.training.lanes import (
    Width,
    join_lanes,
    map_seeds,
    resolve_width,
    seed_devices,
    split_lanes,
)
from seqgraph_jax.training.loop import Task, TrainConfig, TrainState, num_params
from seqgraph_jax.training.runs import Run


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


_eval_batch = jax.jit(training.eval_batch, static_argnames="config")


def task_of_each(task: Task | Sequence[Task], num_seeds: int) -> Sequence[Task]:
    """A task for every seed; raises `ValueError` if there are more or fewer."""
    if not isinstance(task, Sequence):
        return [task] * num_seeds
    if len(task) != num_seeds:
        raise ValueError(f"{len(task)} tasks do not fit {num_seeds} seeds")
    return task


def _shared_and_own(trees: Sequence[Any]) -> tuple[list[Any], list[Any], Any]:
    """Leaves that are one array in all trees, the others stacked, and how they join.

    Returns ``shared``, ``own [S, ...]``, and ``join(shared, own of a seed) -> tree``.
    """
    leaves = [jax.tree.leaves(tree) for tree in trees]
    columns = list(zip(*leaves, strict=True))
    is_shared = [all(leaf is column[0] for leaf in column) for column in columns]
    structure = jax.tree.structure(trees[0])
    shared = [c[0] for c, same in zip(columns, is_shared, strict=True) if same]
    own = [
        np.stack([np.asarray(leaf) for leaf in column])
        for column, same in zip(columns, is_shared, strict=True)
        if not same
    ]

    def join(shared: Sequence[Any], own: Sequence[Any]) -> Any:
        sources = {True: iter(shared), False: iter(own)}
        return jax.tree.unflatten(structure, [next(sources[s]) for s in is_shared])

    return shared, own, join


def abstract_state(
    model: nn.Module,
    task: Task | Sequence[Task],
    config: TrainConfig,
    num_seeds: int,
) -> TrainState:
    """Shapes and dtypes of the state of ``num_seeds`` seeds; nothing is computed."""
    init = partial(training.init, model, task_of_each(task, num_seeds)[0], config)
    return jax.eval_shape(
        lambda: jax.vmap(init)(jax.random.split(jax.random.key(0), num_seeds))
    )


def iterate_seeds(
    model: nn.Module,
    task: Task | Sequence[Task],
    config: TrainConfig,
    seeds: Sequence[int],
    width: Width = "auto",
    resume: Run | None = None,
) -> Iterator[Run]:
    """Train and yield the `Run` so far after every evaluation, the last one finished.

    ``task`` is one for all seeds, or a sequence with one for each, such as the same
    data in another split: what these have in common, as the same arrays, is on a
    device once.

    ``resume`` is an earlier run of the same arguments: training goes on after it and
    ends with the same bits as one that was never interrupted. The ``state`` of a
    yielded run can be read until the next run is asked for.
    """
    seeds = check_seeds(seeds)
    tasks = task_of_each(task, len(seeds))
    width = resolve_width(width, len(seeds))
    if resume is not None and resume.finished:
        return

    start = time.perf_counter()
    devices = seed_devices(len(seeds), width)
    keys = jax.vmap(jax.random.key)(np.asarray(seeds, np.uint32))
    if isinstance(task, Sequence):
        data = [(one, training.eval_batch(one, config)) for one in tasks]
    else:
        data = [(task, _eval_batch(task, config))] * len(seeds)
    shared, own, join = _shared_and_own(data)
    fixed_lanes = split_lanes((keys, own), devices, width)
    if resume is None:
        # On one device: compiling it for each would take longer than running it.
        first = devices[:1]
        everyone = split_lanes((keys, own), first, width)

        def init_one(shared: Any, lane: Any) -> TrainState:
            key, own = lane
            return training.init(model, join(shared, own)[0], config, key)

        init = map_seeds(
            init_one,
            shared,
            everyone,
            first,
            width,
        )
        initial = join_lanes(init(everyone), len(seeds))
    else:
        initial = resume.state
    states = split_lanes(initial, devices, width)

    def advance_one(shared: Any, lane: Any) -> Any:
        (key, own), state = lane
        task, evaluation = join(shared, own)
        state, metrics = training.advance(model, task, config, key, evaluation, state)
        return ((key, own), state), metrics

    lanes = list(zip(fixed_lanes, states, strict=True))
    advance = map_seeds(advance_one, shared, lanes, devices, width, donate=True)
    run = resume or Run(
        seeds=seeds,
        config=config,
        lanes=tuple(states),
        metrics={},
        num_params=num_params(states[0].params) // len(fixed_lanes[0][0]),
        width=width,
        num_devices=len(devices),
    )
    run = replace(run, compile_s=run.compile_s + time.perf_counter() - start)

    while not (run.metrics and run.finished):
        start = time.perf_counter()
        outputs = advance(lanes)
        lanes = [lane for lane, _ in outputs]
        latest = join_lanes([metrics for _, metrics in outputs], len(seeds))
        run = replace(
            run,
            lanes=tuple(state for _, state in lanes),
            metrics=_with_column(run.metrics, latest),
            train_s=run.train_s + time.perf_counter() - start,
        )
        yield run


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


def train_seeds(
    model: nn.Module,
    task: Task | Sequence[Task],
    config: TrainConfig,
    seeds: Sequence[int],
    width: Width = "auto",
) -> Run:
    """Train one network for many seeds and return the finished `Run`.

    ``task`` is one for all seeds, or a sequence with one for each.

    Raises `ValueError` for seeds that repeat or are out of range, and for a width
    below 1.

    >>> from seqgraph_jax import SequenceClassifier, TrainConfig, tasks
    >>> task = tasks.RandomCombinations(size=4)
    >>> model = SequenceClassifier("rnn", features=8, num_symbols=4, num_classes=4)
    >>> config = TrainConfig(updates=20, eval_every=10, batch_size=8, eval_size=16)
    >>> run = train_seeds(model, task, config, seeds=[0, 1, 2])
    >>> run.metrics["loss"].shape, run.updates.tolist()
    ((3, 2), [10, 20])
    """
    *_, run = iterate_seeds(model, task, config, seeds, width)
    return run.on_host()


def apply_seeds(
    model: nn.Module,
    params: Any,
    inputs: Any,
    width: Width = "auto",
    batch_size: int | None = 1024,
) -> np.ndarray:
    """Outputs of every seed's network on the same inputs, ``[S, N, ...]``.

    ``params`` has a leading axis S; the N inputs go through in groups of
    ``batch_size``. With None they go through as they are, such as a graph.
    """
    num_seeds = len(jax.tree.leaves(params)[0])
    width = resolve_width(width, num_seeds)
    devices = seed_devices(num_seeds, width)
    lanes = split_lanes(params, devices, width)

    def apply_one(inputs: Any, params: Any) -> jax.Array:
        if batch_size is None:
            return cast(jax.Array, model.apply({"params": params}, inputs))

        def apply(one: Any) -> jax.Array:
            batch_of_one = jax.tree.map(lambda leaf: leaf[None], one)
            return model.apply({"params": params}, batch_of_one)[0]

        return lax.map(apply, inputs, batch_size=batch_size)

    outputs = map_seeds(apply_one, inputs, lanes, devices, width)(lanes)
    return join_lanes(outputs, num_seeds)
