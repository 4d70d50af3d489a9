"""The record of a training run over many seeds, and what is read off it."""

from dataclasses import dataclass, field, replace

import numpy as np

from seqgraph_jax.training.lanes import join_lanes
from seqgraph_jax.training.loop import TrainConfig, TrainState


@dataclass(frozen=True)
class Run:
    """Training of one network for S seeds, up to some evaluation.

    ``metrics[name]`` is ``[S, K]``, a row per seed of ``seeds``, a column per
    evaluation of ``updates [K]``. ``lanes`` holds the state of each device's seeds,
    ``state`` that of all. ``final`` holds what was measured after training, ``[S]`` by
    name. ``width`` and ``num_devices`` say how the seeds were laid out. Times are in
    seconds.
    """

    seeds: tuple[int, ...]
    config: TrainConfig
    lanes: tuple[TrainState, ...]
    metrics: dict[str, np.ndarray]
    num_params: int
    width: int
    num_devices: int
    compile_s: float = 0.0
    train_s: float = 0.0
    final: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def state(self) -> TrainState:
        """State of all seeds on the host, leaves ``[S, ...]``."""
        return join_lanes(self.lanes, len(self.seeds))

    def on_host(self) -> "Run":
        """The same run with its state on the host, where it stays readable."""
        return replace(self, lanes=(self.state,))

    @property
    def updates(self) -> np.ndarray:
        """Updates done at each evaluation, ``[K]``."""
        num_evaluations = next(iter(self.metrics.values())).shape[1]
        return self.config.eval_every * np.arange(1, num_evaluations + 1)

    @property
    def updates_to_converge(self) -> np.ndarray:
        """Updates at each seed's convergence, ``[S]``; NaN where there was none.

        The first evaluation from which the metric stays at its threshold or better for
        ``patience`` evaluations.
        """
        sign = -1 if self.config.metric == "loss" else 1
        above = self._judged >= sign * self.config.threshold
        patience = self.config.patience
        converged_at = np.full(len(self.seeds), np.nan)
        if above.shape[1] >= patience:
            windows = np.lib.stride_tricks.sliding_window_view(above, patience, axis=1)
            holds = np.asarray(windows.all(axis=-1))
            first = holds.argmax(axis=1)
            converged_at = np.where(holds.any(axis=1), self.updates[first], np.nan)
        return converged_at

    @property
    def _judged(self) -> np.ndarray:
        """The metric that seeds are judged by, ``[S, K]``, higher is better."""
        metric = self.metrics[self.config.metric]
        return -metric if self.config.metric == "loss" else metric

    @property
    def best(self) -> np.ndarray:
        """Best evaluation, ``[S]``, as `training.Best` has it; -1: none."""
        return self._best_so_far[:, -1]

    @property
    def _best_so_far(self) -> np.ndarray:
        """At each evaluation the number of the best one until then, ``[S, K]``."""
        values = np.where(np.isnan(self._judged), -np.inf, self._judged)
        loss = self.metrics["loss"]
        loss = np.where(np.isnan(loss), np.inf, loss)
        order = np.lexsort((-loss, values), axis=1)
        steps = np.zeros(order[:, 1:].shape, bool)
        for keys in (values, loss):
            ascending = np.take_along_axis(keys, order, axis=1)
            steps |= ascending[:, 1:] != ascending[:, :-1]
        ranks = np.zeros(values.shape, int)  # equal where metric and loss are
        np.put_along_axis(ranks, order[:, 1:], steps.cumsum(axis=1), 1)
        ranks = np.where(values > -np.inf, ranks, -1)
        highest = np.maximum.accumulate(ranks, axis=1)
        before = np.column_stack([np.full(len(ranks), -1), highest[:, :-1]])
        numbers = np.where(ranks > before, np.arange(values.shape[1]), -1)
        return np.maximum.accumulate(numbers, axis=1)

    @property
    def last(self) -> np.ndarray:
        """Last evaluation of each seed, ``[S]``: where it stopped, else the run's."""
        waited = np.arange(len(self.updates)) - self._best_so_far
        stops = waited >= (self.config.stop_after or np.inf)
        return np.where(stops.any(axis=1), stops.argmax(axis=1), stops.shape[1] - 1)

    @property
    def stopped(self) -> np.ndarray:
        """Seeds that have had no new best for ``stop_after`` evaluations, ``[S]``."""
        waited = self.last - self.best
        return np.asarray(waited >= (self.config.stop_after or np.inf))

    def at(self, metric: str, evaluations: np.ndarray) -> np.ndarray:
        """A metric at one evaluation of each seed, ``[S]``; NaN where that is -1.

        Of use with `best` and `last`: ``run.at("test_accuracy", run.best)``.
        """
        values = self.metrics[metric][np.arange(len(self.seeds)), evaluations]
        return np.where(evaluations >= 0, values, np.nan)

    @property
    def diverged(self) -> np.ndarray:
        """Seeds with a value that is not finite at the last evaluation, ``[S]``."""
        latest = np.array([self.at(name, self.last) for name in self.metrics])
        return np.array(~np.isfinite(latest).all(axis=0))

    @property
    def finished(self) -> bool:
        """Whether training is over: all updates done, or stopped early."""
        if len(self.updates) >= self.config.num_evaluations:
            return True
        settled = ~np.isnan(self.updates_to_converge) | self.diverged
        return bool((self.config.early_stop and settled.all()) or self.stopped.all())

    def values(self, metric: str) -> np.ndarray:
        """One number per seed, ``[S]``; `value_names` lists what there is.

        A metric stands for its last value. Raises `KeyError` for an unknown one.
        """
        if metric == "updates_to_converge":
            return self.updates_to_converge
        if metric in self.final:
            return self.final[metric]
        if metric in self.metrics:
            return self.at(metric, self.last)
        raise KeyError(f"no metric {metric!r}; there are {', '.join(self.value_names)}")

    @property
    def value_names(self) -> tuple[str, ...]:
        """Names that `values` takes; an infinite threshold asks for no convergence."""
        names = dict.fromkeys([*self.metrics, *self.final])
        asked = np.isfinite(self.config.threshold)
        return (*names, *(("updates_to_converge",) if asked else ()))
