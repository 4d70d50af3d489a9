"""What an update costs: arms that take turns, so that their ratios hold."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax

from seqgraph_jax.training import loop
from seqgraph_jax.training.arms import Arm
from seqgraph_jax.training.setup import set_up


def time_updates(
    arms: Mapping[str, Arm], rounds: int = 9, updates: int = 10
) -> dict[str, np.ndarray]:
    """Seconds of one update of each arm, ``[rounds]``, without compilation.

    In every round each arm's compiled program does so many updates of one network, one
    arm after another: a machine that slows down slows all, and what counts are ratios
    within a round. Evaluations are not among them, and batches are drawn as in
    training. Of seeds with tasks of their own the first is taken.

    >>> from seqgraph_jax import SequenceClassifier, TrainConfig, tasks
    >>> task, config = tasks.RandomCombinations(size=4), TrainConfig(batch_size=8)
    >>> arm = Arm(SequenceClassifier("rnn", 8, 4, 4), task, config)
    >>> seconds = time_updates({"rnn": arm}, rounds=3, updates=2)
    >>> seconds["rnn"].shape, bool((seconds["rnn"] > 0).all())
    ((3,), True)
    """
    set_up()
    programs = {name: _program(arm, updates) for name, arm in arms.items()}
    for run in programs.values():
        run()  # what is allocated once is not counted
    found: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, run in programs.items():
            start = time.perf_counter()
            run()
            found[name].append((time.perf_counter() - start) / updates)
    return {name: np.array(seconds) for name, seconds in found.items()}


def times_by_size(
    arms: Mapping[str, Arm], tasks: Mapping[int, Any], rounds: int, updates: int
) -> dict[str, np.ndarray]:
    """Median seconds of an update of each arm on each of X tasks, ``[X]``.

    All arms are measured in turn (`time_updates`) on one task after another.
    """
    rows = [
        time_updates(
            {k: arm._replace(task=task) for k, arm in arms.items()}, rounds, updates
        )
        for task in tasks.values()
    ]
    return {name: np.array([np.median(row[name]) for row in rows]) for name in arms}


def _program(arm: Arm, updates: int) -> Callable[[], Any]:
    """So many updates of one network, compiled."""
    key, task = jax.random.key(0), jax.device_put(arm.first_task)
    rng = np.random.default_rng(0)
    init = partial(loop.init, arm.model, config=arm.config, key=key, tx=arm.tx)
    shapes = jax.eval_shape(init, task)
    # Time does not hang on the values: these need no compilation.
    state = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    params = jax.tree.map(
        lambda leaf: rng.normal(scale=0.1, size=leaf.shape).astype(leaf.dtype),
        shapes.params,
    )
    state = jax.device_put(state._replace(params=params))

    def run(task: Any, state: Any) -> Any:
        def one(state: Any, nothing: None) -> tuple[Any, None]:
            new, _ = loop.update(arm.model, task, arm.config, key, state, arm.tx)
            return new, None

        return lax.scan(one, state, length=updates)[0]

    compiled = jax.jit(run).lower(task, state).compile()
    return lambda: jax.block_until_ready(compiled(task, state))
