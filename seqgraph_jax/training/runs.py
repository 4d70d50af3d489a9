"""The record of a training run over many seeds, and what is read off it."""

import html
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from seqgraph_jax.training.apply import apply_seeds
from seqgraph_jax.training.config import TrainConfig
from seqgraph_jax.training.lanes import ONE_PART, Layout, MeshShape, collect
from seqgraph_jax.training.loop import TrainState
from seqgraph_jax.training.metrics import UPDATES_TO_CONVERGE, Metric, counted
from seqgraph_jax.training.shares import Share


class Parts(NamedTuple):
    """An axis beside the seeds: its name, such as ``"fold"``, and its values."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True, repr=False)
class Run:
    """Training of one network for S seeds, up to some evaluation.

    ``metrics[name]`` is ``[S, K]``, a row per seed of ``seeds``, a column per
    evaluation of ``updates [K]``; ``records[name]`` says what it is, and ``judged_by``
    names what seeds are judged by. With ``parts`` every seed was trained once for each
    of P parts, and all arrays have S P rows, seed after seed; `over_parts` gives their
    means. ``lanes`` holds the states where ``layout`` says, ``state`` those on the
    host; of several processes each has its ``share`` of the lanes, and asks for
    ``state`` together with the others. ``last_update`` and ``best_update``, ``[S]``,
    are each seed's last update and that of its best evaluation (0: none), as the device
    found it. ``final`` holds what was measured after training, ``[S]`` by name.
    ``width``, ``num_devices`` and ``mesh`` say how the seeds were laid out. Times are
    in seconds.
    """

    model: nn.Module
    config: TrainConfig
    seeds: tuple[int, ...]
    metrics: dict[str, np.ndarray]
    records: Mapping[str, Metric]
    judged_by: str
    last_update: np.ndarray
    best_update: np.ndarray
    lanes: TrainState | None = None
    layout: Layout | None = None  # None: the lanes are rows of the seeds, on the host
    share: Share | None = None  # of the lanes, where there is a layout
    num_params: int = 0
    width: int = 1
    num_devices: int = 1
    mesh: MeshShape = ONE_PART
    compile_s: float = 0.0
    train_s: float = 0.0
    final: dict[str, np.ndarray] = field(default_factory=dict)
    parts: Parts | None = None

    @property
    def state(self) -> TrainState:
        """State of all seeds on the host, leaves ``[S, ...]``."""
        return self._on_host(self.lanes)

    @property
    def own_state(self) -> Any:
        """State of this process's seeds on the host."""
        if self.layout is None:
            return self.lanes
        return collect(self.lanes, self.layout)

    def _on_host(self, lanes: Any) -> Any:
        assert lanes is not None
        if self.layout is None or self.share is None:
            return lanes
        return jax.tree.map(self.share.gather, collect(lanes, self.layout))

    def on_host(self) -> "Run":
        """The same run with its state on the host, where it stays readable."""
        return replace(self, lanes=self.state, layout=None)

    def params(self, seed: int | None = None, best: bool = True) -> Any:
        """Parameters of the best evaluation, or the last ones: all, or of one seed.

        Raises `ValueError` for a seed that the run, or this process, has not.
        """
        assert self.lanes is not None
        params = self.lanes.best.params if best else self.lanes.params
        if seed is None:
            return self._on_host(params)
        if seed not in self.seeds:
            known = ", ".join(map(str, self.seeds))
            raise ValueError(f"the run has no seed {seed}: there are {known}")
        row = self.seeds.index(seed)
        if self.layout is not None and self.share is not None:
            if row not in self.share.rows[: self.share.own]:
                raise ValueError(f"seed {seed} is in another process: see `on_host`")
            row = self.layout.places[row - self.share.rows[0]]
        return jax.tree.map(lambda leaf: np.asarray(leaf[row]), params)

    def predict(
        self,
        inputs: Any,
        *,
        seed: int | None = None,
        best: bool = True,
        batch_size: int | None = 1024,
    ) -> np.ndarray:
        """Outputs of the trained networks on N inputs: ``[S, N, ...]``, or of one seed.

        With ``best`` they are those of the best evaluation, else the last ones.
        ``batch_size`` as for `apply_seeds`: None for inputs that are one thing, such as
        a graph.
        """
        params = self.params(seed, best)
        if seed is not None:
            params = jax.tree.map(lambda leaf: leaf[None], params)
        outputs = apply_seeds(self.model, params, inputs, self.width, batch_size)
        return outputs if seed is None else outputs[0]

    @cached_property
    def updates(self) -> np.ndarray:
        """Updates done at each evaluation, ``[K]``."""
        num_evaluations = next(iter(self.metrics.values())).shape[1]
        return self.config.eval_every * np.arange(1, num_evaluations + 1)

    @cached_property
    def updates_to_converge(self) -> np.ndarray:
        """Updates at each seed's convergence, ``[S]``; NaN where there was none.

        The first evaluation from which the metric stays at its threshold or better for
        ``hold_for`` evaluations.
        """
        converged_at = np.full(len(self.last_update), np.nan)
        threshold, hold_for = self.config.threshold, self.config.hold_for
        if threshold is None or len(self.updates) < hold_for:
            return converged_at
        sign = self.records[self.judged_by].sign
        reached = sign * self.metrics[self.judged_by] >= sign * threshold
        windows = np.lib.stride_tricks.sliding_window_view(reached, hold_for, axis=1)
        holds = np.asarray(windows.all(axis=-1))
        first = holds.argmax(axis=1)
        return np.where(holds.any(axis=1), self.updates[first], converged_at)

    @property
    def best(self) -> np.ndarray:
        """Best evaluation, ``[S]``; -1 before any."""
        return self.best_update // self.config.eval_every - 1

    @property
    def last(self) -> np.ndarray:
        """Last evaluation of each seed, ``[S]``: where it stopped, else the run's."""
        return self.last_update // self.config.eval_every - 1

    @property
    def stopped(self) -> np.ndarray:
        """Seeds that have had no new best for ``patience`` evaluations, ``[S]``."""
        return np.asarray(self.last - self.best >= (self.config.patience or np.inf))

    def at(self, metric: str, evaluations: np.ndarray) -> np.ndarray:
        """A metric at one evaluation of each seed, ``[S]``; NaN where that is -1.

        Of use with `best` and `last`: ``run.at("test_accuracy", run.best)``.
        """
        values = self.metrics[metric][np.arange(len(evaluations)), evaluations]
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

    def adding(self, values: Mapping[Metric, np.ndarray]) -> "Run":
        """The run with what was measured after training, ``[S]`` by metric."""
        return replace(
            self,
            final=self.final | {metric.name: v for metric, v in values.items()},
            records={**self.records, **{metric.name: metric for metric in values}},
        )

    def by_seed(self, values: np.ndarray) -> np.ndarray:
        """Values of the runs of all parts, ``[S P, ...]``, as ``[S, P, ...]``."""
        return values.reshape(len(self.seeds), -1, *values.shape[1:])

    def diagonal(self) -> "Run":
        """Of S x S crossed runs those of equal seeds: a run of S seeds, on the host."""
        n = len(self.seeds)
        rows = (n + 1) * np.arange(n)
        return replace(
            self,
            metrics={name: values[rows] for name, values in self.metrics.items()},
            last_update=self.last_update[rows],
            best_update=self.best_update[rows],
            lanes=jax.tree.map(lambda leaf: leaf[rows], self.state),
            layout=None,
            parts=None,
        )

    def over_parts(self) -> "Run":
        """The run with a row for each seed: means over its parts, without a state."""
        rows = {name: self.by_seed(v).mean(1) for name, v in self.metrics.items()}
        last, best = (
            self.by_seed(updates).max(1)
            for updates in (self.last_update, self.best_update)
        )
        return replace(
            self,
            metrics=rows,
            last_update=last,
            best_update=best,
            lanes=None,
            parts=None,
            config=replace(self.config, threshold=None),  # a mean converges nowhere
        )

    def values(self, metric: str) -> np.ndarray:
        """One number per seed, ``[S]``; `value_names` lists what there is.

        A metric stands for its last value. Raises `KeyError` for an unknown one.
        """
        if metric == UPDATES_TO_CONVERGE.name and metric in self.value_names:
            return self.updates_to_converge
        if metric in self.final:
            return self.final[metric]
        if metric in self.metrics:
            return self.at(metric, self.last)
        raise KeyError(f"no metric {metric!r}; there are {', '.join(self.value_names)}")

    @property
    def value_names(self) -> tuple[str, ...]:
        """Names that `values` takes."""
        names = dict.fromkeys([*self.metrics, *self.final])
        asked = self.config.threshold is not None
        return (*names, *((UPDATES_TO_CONVERGE.name,) if asked else ()))

    def record(self, name: str) -> Metric:
        """What a number of the run is; an undescribed name stands for itself."""
        if name == UPDATES_TO_CONVERGE.name:
            return UPDATES_TO_CONVERGE
        return self.records.get(name, Metric(name))

    @property
    def _rows(self) -> list[tuple[str, str]]:
        """What `repr` shows: labels and values."""
        n = len(self.seeds)
        rows = [
            ("network", f"{type(self.model).__name__}, {self.num_params:,} parameters"),
            ("seeds", str(n) + (f" x {len(self.parts.values)}" if self.parts else "")),
            ("updates", f"{self.updates[-1]:,} of {self.config.updates:,}"),
        ]
        for name in self.value_names:
            values, record = self.values(name), self.record(name)
            if record.in_training or not np.isfinite(values).any():
                continue
            text = record.show(float(np.nanmean(values)))
            missing = int((~np.isfinite(values)).sum())
            text += f", of {len(values) - missing} of {len(values)}" if missing else ""
            rows.append((f"{record.words_for_it}, mean", text))
        return rows

    def __repr__(self) -> str:
        if not self.metrics:
            seeds = counted(len(self.seeds), "seed")
            return f"{type(self.model).__name__}, {seeds}, untrained"
        width = max(len(label) for label, _ in self._rows)
        return "\n".join(f"{label:<{width}}  {text}" for label, text in self._rows)

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(label)}</th>"
            f"<td>{html.escape(text)}</td></tr>"
            for label, text in self._rows
        )
        return f"<table>{cells}</table>"
