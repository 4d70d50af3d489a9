"""Many seeds as one compiled program.

Seeds lie along a leading axis S, split over the devices. A device goes through its
seeds in groups of ``width``, vectorised within a group: width 1 is a loop, width S a
full `vmap`. At one width a seed's result has the same bits whichever seeds run beside
it, in whichever lane and on however many devices:

- the last group is filled up with copies of the first seed, so no group is smaller;
- every device runs a program of its own, and all run at once. One program partitioned
  over the devices goes through other passes of the compiler, and its results then
  differ in the last bits with the number of devices and of seeds.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from seqgraph_jax import training
from seqgraph_jax.networks import num_params
from seqgraph_jax.runs import Run, join_lanes
from seqgraph_jax.training import Task, TrainConfig, TrainState

Width = int | Literal["auto"]


def resolve_width(width: Width, num_seeds: int) -> int:
    """Seeds per group: a given number, or a plain rule for ``"auto"``.

    On an accelerator all seeds of a device under one `vmap`; on a CPU one after
    another, which the caches there prefer.

    >>> resolve_width(4, num_seeds=16)
    4
    """
    if width != "auto":
        if width < 1:
            raise ValueError(f"seed_width must be 1 or more, or auto, not {width}")
        return width
    if jax.default_backend() == "cpu":
        return 1
    return -(-num_seeds // jax.local_device_count())


def seed_devices(num_seeds: int, width: int) -> list[jax.Device]:
    """Local devices, as many as can have a group of seeds."""
    return jax.local_devices()[: -(-num_seeds // width)]


def split_lanes(tree: Any, devices: Sequence[jax.Device], width: int) -> list[Any]:
    """Split ``[S, ...]`` over the devices, in groups of ``width``, in order.

    The last group is filled up with copies of the first row.
    """
    num_seeds = len(jax.tree.leaves(tree)[0])
    rows = np.arange(-(-num_seeds // width) * width)
    rows[num_seeds:] = 0
    groups = np.array_split(rows.reshape(-1, width), len(devices))
    return [
        jax.tree.map(
            lambda leaf, mine=mine, device=device: jax.device_put(
                leaf[mine.reshape(-1)], device
            ),
            tree,
        )
        for mine, device in zip(groups, devices, strict=True)
    ]


def _map_groups(
    function: Callable[[Any, Any], Any],
    width: int,
    num_groups: jax.Array,
    shared: Any,
    lanes: Any,
) -> Any:
    """``function(shared, seed)`` for ``lanes [num_groups * width, ...]``, in groups.

    `lax.map` for any number of groups that the compiler takes for many: it would take
    a loop of one apart, fuse its body in another way, and change the last bits. So the
    number is an argument, and a single group is stored with an idle one behind it.
    """
    groups = jax.tree.map(lambda leaf: leaf.reshape(-1, width, *leaf.shape[1:]), lanes)
    stored = len(jax.tree.leaves(groups)[0])
    if stored == 1:
        groups = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), groups)

    def apply(group: Any) -> Any:
        if width > 1:
            return jax.vmap(partial(function, shared))(group)
        outputs = function(shared, jax.tree.map(lambda leaf: leaf[0], group))
        return jax.tree.map(lambda leaf: leaf[None], outputs)

    def body(i: jax.Array, outputs: Any) -> Any:
        new = apply(jax.tree.map(lambda leaf: leaf[i], groups))
        return jax.tree.map(lambda old, leaf: old.at[i].set(leaf), outputs, new)

    like = jax.eval_shape(lambda: jax.vmap(apply)(groups))
    empty = jax.tree.map(lambda leaf: lax.empty(leaf.shape, leaf.dtype), like)
    outputs = lax.fori_loop(0, num_groups, body, empty)
    return jax.tree.map(
        lambda leaf: leaf[:stored].reshape(-1, *leaf.shape[2:]), outputs
    )


def map_seeds(
    function: Callable[[Any, Any], Any],
    shared: Any,
    lanes: Sequence[Any],
    devices: Sequence[jax.Device],
    width: int,
    donate: bool = False,
) -> Callable[[Sequence[Any]], list[Any]]:
    """Compile ``function(shared, seed)`` for the lanes of every device.

    The result takes lanes like the given ones (`split_lanes`) and runs all devices at
    once; it returns their outputs, ``[lanes, ...]`` each, before they are computed.
    ``shared`` is copied to every device. With ``donate`` the buffers of the lanes are
    reused for the outputs.
    """

    on_device = partial(_map_groups, function, width)
    jitted = jax.jit(on_device, donate_argnums=(2,) if donate else ())
    counts = [len(jax.tree.leaves(lane)[0]) // width for lane in lanes]
    fixed = [
        (jax.device_put(np.int32(count), device), jax.device_put(shared, device))
        for count, device in zip(counts, devices, strict=True)
    ]
    lowered = [jitted.lower(*f, lane) for f, lane in zip(fixed, lanes, strict=True)]
    with ThreadPoolExecutor(len(devices)) as pool:
        programs = list(pool.map(lambda program: program.compile(), lowered))

    def run(lanes: Sequence[Any]) -> list[Any]:
        return [
            program(*f, lane)
            for program, f, lane in zip(programs, fixed, lanes, strict=True)
        ]

    return run


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


def abstract_state(
    model: nn.Module, task: Task, config: TrainConfig, num_seeds: int
) -> TrainState:
    """Shapes and dtypes of the state of ``num_seeds`` seeds; nothing is computed."""
    init = partial(training.init, model, task, config)
    return jax.eval_shape(
        lambda: jax.vmap(init)(jax.random.split(jax.random.key(0), num_seeds))
    )


def iterate_seeds(
    model: nn.Module,
    task: Task,
    config: TrainConfig,
    seeds: Sequence[int],
    width: Width = "auto",
    resume: Run | None = None,
) -> Iterator[Run]:
    """Train and yield the `Run` so far after every evaluation, the last one finished.

    ``resume`` is an earlier run of the same arguments: training goes on after it and
    ends with the same bits as one that was never interrupted. The ``state`` of a
    yielded run can be read until the next run is asked for.
    """
    seeds = check_seeds(seeds)
    width = resolve_width(width, len(seeds))
    if resume is not None and resume.finished:
        return

    start = time.perf_counter()
    devices = seed_devices(len(seeds), width)
    keys = jax.vmap(jax.random.key)(np.asarray(seeds, np.uint32))
    key_lanes = split_lanes(keys, devices, width)
    if resume is None:
        # On one device: compiling it for each would take longer than running it.
        everyone = split_lanes(keys, devices[:1], width)
        init = map_seeds(
            lambda _, key: training.init(model, task, config, key),
            *(None, everyone, devices[:1], width),
        )
        initial = join_lanes(init(everyone), len(seeds))
    else:
        initial = resume.state
    states = split_lanes(initial, devices, width)

    def advance_one(shared: Any, lane: Any) -> Any:
        (task, evaluation), (key, state) = shared, lane
        state, metrics = training.advance(model, task, config, key, evaluation, state)
        return (key, state), metrics

    lanes = list(zip(key_lanes, states, strict=True))
    advance = map_seeds(
        *(advance_one, (task, _eval_batch(task, config)), lanes, devices, width),
        donate=True,
    )
    run = resume or Run(
        seeds=seeds,
        config=config,
        lanes=tuple(states),
        metrics={},
        num_params=num_params(states[0].params) // len(key_lanes[0]),
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
    task: Task,
    config: TrainConfig,
    seeds: Sequence[int],
    width: Width = "auto",
) -> Run:
    """Train one network for many seeds and return the finished `Run`.

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
    batch_size: int = 1024,
) -> np.ndarray:
    """Outputs of every seed's network on the same inputs, ``[S, N, ...]``.

    ``params`` has a leading axis S; the N inputs go through in groups of
    ``batch_size``.
    """
    num_seeds = len(jax.tree.leaves(params)[0])
    width = resolve_width(width, num_seeds)
    devices = seed_devices(num_seeds, width)
    lanes = split_lanes(params, devices, width)

    def apply_one(inputs: Any, params: Any) -> jax.Array:
        def apply(one: Any) -> jax.Array:
            batch_of_one = jax.tree.map(lambda leaf: leaf[None], one)
            return model.apply({"params": params}, batch_of_one)[0]

        return lax.map(apply, inputs, batch_size=batch_size)

    outputs = map_seeds(apply_one, inputs, lanes, devices, width)(lanes)
    return join_lanes(outputs, num_seeds)
