"""The networks of experiments.gradients: what they learn, and how far they got."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

import seqgraph_jax as sg
from experiments import gradient_measures as measures
from experiments.runner import Arm
from seqgraph_jax.tasks.delays import DELAY_TASKS, Delayed

SOLVED = 0.99  # share of right answers
EVAL_SIZE = 128  # fixed sequences
PATIENCE = 2  # evaluations with it


def build_arms(config: Any, num_seeds: int) -> dict[str, Arm]:
    """A cell each, whose runs are the delays of the seeds; raises `ValueError`."""
    longest = DELAY_TASKS[config.task](max(config.delays))
    tasks = [Delayed(longest, np.int32(delay)) for delay in config.delays]
    train = sg.TrainConfig(
        updates=config.updates,
        eval_every=20,
        batch_size=config.batch_size,
        eval_size=EVAL_SIZE,
        learning_rate=config.learning_rate,
        max_norm=config.max_norm,
        threshold=SOLVED,
        patience=PATIENCE,
        early_stop=False,
    )
    return {
        cell: Arm(
            measures.reader(cell, config.features, longest), tasks * num_seeds, train
        )
        for cell in config.cells
    }


def judge(run: sg.Run, delays: Sequence[int], seeds: tuple[int, ...]) -> sg.Run:
    """The run with a row for each seed: means over delays, and what it reached.

    ``accuracy_at_D`` is the last one and ``solved_at_D`` 0 or 1; ``longest_delay`` is
    the longest one solved together with all shorter ones, 0 if the first was not.
    """
    by_seed = {
        name: values.reshape(len(seeds), len(delays), -1)
        for name, values in run.metrics.items()
    }
    solved = np.isfinite(run.updates_to_converge).reshape(len(seeds), len(delays))
    in_a_row = np.cumprod(solved, axis=1).sum(1)
    final = {"longest_delay": np.array([0, *delays], float)[in_a_row]}
    for d, delay in enumerate(delays):
        final[f"accuracy_at_{delay}"] = by_seed["accuracy"][:, d, -1]
        final[f"solved_at_{delay}"] = solved[:, d].astype(float)
    return replace(
        run,
        seeds=seeds,
        config=replace(run.config, threshold=-np.inf),  # a mean converges nowhere
        metrics={name: values.mean(1) for name, values in by_seed.items()},
        final=final,
    )


class Flow(NamedTuple):
    """Gradients of a cell: of untrained networks ``[S, T]``, and of trained ones."""

    initial: dict[str, np.ndarray]
    trained: dict[str, np.ndarray]


class Measured(NamedTuple):
    """Everything that is not trained here, or was before."""

    exactness: dict[str, np.ndarray]
    flows: Mapping[str, Flow]
    sweep: dict[str, np.ndarray]
    forget: Mapping[float, np.ndarray]  # flow of LSTMs by forget bias, [S, T]
    clipping: dict[str, np.ndarray]


def measure(config: Any, runs: Mapping[str, sg.Run], seeds: tuple[int, ...]) -> Any:
    """All measures; ``runs`` have trained the networks of each seed and delay."""
    initial = tuple(range(0, 500 * config.num_initial, 500))
    task = DELAY_TASKS[config.task](config.flow_delay)
    place = config.delays.index(config.flow_delay)
    reader = partial(measures.reader, features=config.features, task=task)
    biases = {"lstm": config.forget_biases}
    models = {
        cell: [
            reader(cell),
            *(reader(cell, forget_bias=b) for b in biases.get(cell, ())),
        ]
        for cell in runs
    }
    all_starts = measures.initial_params(models, task, initial)
    flows, forget = {}, {}
    for cell, run in runs.items():
        model, starts = models[cell][0], all_starts[cell]
        trained = jax.tree.map(
            lambda leaf: leaf[place :: len(config.delays)], run.state.params
        )
        # One program measures all of a cell's networks.
        together = jax.tree.map(lambda *a: np.concatenate(a), *starts, trained)
        rows = initial * len(starts) + seeds
        found = measures.flow(model, task, together, rows)
        first, last = len(initial), len(rows) - len(seeds)
        flows[cell] = Flow(
            {name: values[:first] for name, values in found.items()},
            {name: values[last:] for name, values in found.items()},
        )
        if cell == "lstm":
            ways = found["flow"][first:last].reshape(len(starts) - 1, first, -1)
            forget = dict(zip(config.forget_biases, ways, strict=True))
    return Measured(
        measures.exactness(initial, min(config.length, 12)),
        flows,
        measures.sweep(config.radii, initial, config.length),
        forget,
        measures.clipping(config.radii, initial, config.length, config.max_norm),
    )


def growth(flow: np.ndarray) -> np.ndarray:
    """Factor per step of curves ``[..., T]`` against T - k, their geometric mean.

    .. math:: (f_T / f_1)^{1 / (T - 1)}
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return (flow[..., -1] / flow[..., 0]) ** (1 / (flow.shape[-1] - 1))


def border(radii: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Radius at which each seed's factor ``[S, R]`` first passes 1; NaN if nowhere.

    Between two radii the logarithm of the factor is taken as linear.
    """
    logs = np.log(factors)
    crossings = np.full(len(logs), np.nan)
    for s, row in enumerate(logs):
        above = np.flatnonzero((row[:-1] < 0) & (row[1:] >= 0))
        if len(above):
            r = above[0]
            share = -row[r] / (row[r + 1] - row[r])
            crossings[s] = radii[r] + share * (radii[r + 1] - radii[r])
    return crossings
