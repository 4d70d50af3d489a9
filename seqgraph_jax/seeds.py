"""Many seeds as one compiled program.

Seeds lie along a leading axis S, split over the devices of a mesh. A device goes
through its seeds in groups of ``width``, vectorised within a group: width 1 is a loop,
width S a full `vmap`. At one width a seed's result has the same bits whichever seeds
run beside it, in whichever lane and on however many devices: the lanes are filled up
to a multiple of ``width`` times devices with copies of the first seed, so a group
never has another size.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from seqgraph_jax import training
from seqgraph_jax.networks import num_params
from seqgraph_jax.runs import Run
from seqgraph_jax.training import Task, TrainConfig, TrainState

Width = int | Literal["auto"]


def resolve_width(width: Width, num_seeds: int, num_devices: int) -> int:
    """Seeds per group: a given number, or a plain rule for ``"auto"``.

    On an accelerator all seeds of a device under one `vmap`; on a CPU one after
    another, which the caches there prefer.

    >>> resolve_width(4, num_seeds=16, num_devices=2)
    4
    """
    if width != "auto":
        if width < 1:
            raise ValueError(f"seed_width must be 1 or more, or auto, not {width}")
        return width
    return 1 if jax.default_backend() == "cpu" else -(-num_seeds // num_devices)


def seed_mesh(num_seeds: int) -> Mesh:
    """A mesh with one axis, ``seeds``, over as many devices as can have a seed."""
    devices = jax.devices()[: max(1, num_seeds)]
    return jax.make_mesh(
        (len(devices),), ("seeds",), devices=devices, axis_types=(AxisType.Auto,)
    )


def map_seeds(
    function: Callable[..., Any], mesh: Mesh, width: int, donate: bool = False
) -> Any:
    """Lift ``function(shared, seed)`` to seeds ``[lanes, ...]``, and jit it.

    ``shared`` goes to every device whole. Lanes must be a multiple of ``width`` times
    the mesh's devices (`fill_lanes`). With ``donate`` the buffers of ``seeds`` are
    reused for the result.
    """
    per_seed, everywhere = PartitionSpec("seeds"), PartitionSpec()

    def per_device(shared: Any, seeds: Any) -> Any:
        return lax.map(partial(function, shared), seeds, batch_size=width)

    mapped = jax.shard_map(
        per_device,
        mesh=mesh,
        in_specs=(everywhere, per_seed),
        out_specs=per_seed,
        check_vma=False,
    )
    return jax.jit(mapped, donate_argnums=(1,) if donate else ())


def fill_lanes(tree: Any, mesh: Mesh, width: int) -> Any:
    """Fill ``[S, ...]`` up with copies of the first row and lay it out on the mesh."""
    multiple = width * mesh.size
    sharding = NamedSharding(mesh, PartitionSpec("seeds"))

    def fill(leaf: Any) -> jax.Array:
        rows = np.arange(-(-len(leaf) // multiple) * multiple)
        rows[len(leaf) :] = 0
        return jax.device_put(leaf[rows], sharding)

    return jax.tree.map(fill, tree)


def first_lanes(tree: Any, num_seeds: int) -> Any:
    """Rows of the seeds alone, ``[S, ...]``, as host arrays."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:num_seeds], tree)


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
    ends with the same bits as one that was never interrupted. A yielded run's
    ``state`` is on the devices and valid until the next one is asked for; take
    `first_lanes` of it to keep it.
    """
    seeds = check_seeds(seeds)
    num_seeds = len(seeds)
    mesh = seed_mesh(num_seeds)
    width = resolve_width(width, num_seeds, mesh.size)

    start = time.perf_counter()
    key_of = jax.vmap(jax.random.key)
    keys = fill_lanes(key_of(np.asarray(seeds, np.uint32)), mesh, width)
    initialise = map_seeds(
        lambda shared, key: training.init(model, task, config, key), mesh, width
    )

    def advance_one(shared: Any, lane: Any) -> Any:
        (task, evaluation), (key, state) = shared, lane
        state, metrics = training.advance(model, task, config, key, evaluation, state)
        return (key, state), metrics

    shared = (task, _eval_batch(task, config))
    if resume is None:
        state, metrics = initialise(None, keys), {}
    else:
        state, metrics = fill_lanes(resume.state, mesh, width), resume.metrics
    advance = map_seeds(advance_one, mesh, width, donate=True)
    lanes: Any = (keys, state)
    advance = advance.lower(shared, lanes).compile()
    compile_s = time.perf_counter() - start

    run = resume or Run(
        seeds,
        config,
        state,
        metrics,
        num_params(state.params) // len(keys),
        width,
        mesh.size,
    )
    run = replace(run, compile_s=run.compile_s + compile_s)
    while not (run.metrics and run.finished):
        start = time.perf_counter()
        lanes, latest = advance(shared, lanes)
        columns = {
            name: column[:, None]
            for name, column in first_lanes(latest, num_seeds).items()
        }
        metrics = {
            name: np.concatenate([metrics[name], column], axis=1) if metrics else column
            for name, column in columns.items()
        }
        train_s = run.train_s + time.perf_counter() - start
        run = replace(run, state=lanes[1], metrics=metrics, train_s=train_s)
        yield run


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
    for run in iterate_seeds(model, task, config, seeds, width):  # noqa: B007
        pass
    return replace(run, state=first_lanes(run.state, len(run.seeds)))


def apply_seeds(
    model: nn.Module,
    params: Any,
    inputs: Any,
    width: Width = "auto",
    batch_size: int = 4096,
) -> np.ndarray:
    """Outputs of every seed's network on the same inputs, ``[S, N, ...]``.

    ``params`` has a leading axis S; the N inputs go through in groups of
    ``batch_size``.
    """
    num_seeds = len(jax.tree.leaves(params)[0])
    mesh = seed_mesh(num_seeds)
    width = resolve_width(width, num_seeds, mesh.size)

    def apply_one(inputs: Any, params: Any) -> jax.Array:
        def apply(one: Any) -> jax.Array:
            batch_of_one = jax.tree.map(lambda leaf: leaf[None], one)
            return model.apply({"params": params}, batch_of_one)[0]

        return lax.map(apply, inputs, batch_size=batch_size)

    outputs = map_seeds(apply_one, mesh, width)(inputs, fill_lanes(params, mesh, width))
    return np.asarray(outputs)[:num_seeds]
