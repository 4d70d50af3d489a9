"""What comes next at the nodes of a graph, as a task: windows, targets, errors."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from seqgraph_jax.data.signals import SignalData
from seqgraph_jax.graph.adjacency import IndexedGraph, index_graph
from seqgraph_jax.tasks.classification import Batch
from seqgraph_jax.tasks.parts import PartedSignals
from seqgraph_jax.training.metrics import LOSS, Metric, Metrics


class SignalWindows(NamedTuple):
    """What networks read; all in standard deviations from the training mean."""

    signals: jax.Array  # [B, history, N, C], what is forecast in channel 0
    ahead: jax.Array | None  # [B, N, horizon], the profile of the steps to come
    graph: IndexedGraph


class SignalTargets(NamedTuple):
    """Standardised, NaN where missing, ``[B, horizon, N]``; and their unit ``sd``."""

    values: Any
    sd: Any


def judge_forecasts(
    outputs: jax.Array, targets: SignalTargets, squared: bool = False
) -> dict[str, jax.Array]:
    """Mean absolute error and root of the mean square over all values that exist.

    The loss is the mean absolute, or ``squared``, error in standard deviations. Shapes:
    ``outputs [B, horizon, N]``; raises `ValueError` for any other.

    >>> values = jnp.array([[[1.0, jnp.nan]], [[2.0, 3.0]]])  # two windows, two nodes
    >>> found = judge_forecasts(jnp.zeros((2, 1, 2)), SignalTargets(values, 10.0))
    >>> float(found["loss"]), float(found["mae"])
    (2.0, 20.0)
    """
    values, sd = targets
    if outputs.shape != values.shape:
        raise ValueError(
            f"forecasts have shape {list(outputs.shape)} and targets "
            f"{list(values.shape)}: both are [B, horizon, N]"
        )
    known = jnp.isfinite(values)
    errors = jnp.where(known, outputs - jnp.where(known, values, 0.0), 0.0)
    number = known.sum().clip(1)
    mae, mse = jnp.abs(errors).sum() / number, (errors**2).sum() / number
    loss = mse if squared else mae
    return {"loss": loss, "mae": sd * mae, "rmse": sd * jnp.sqrt(mse)}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SignalTask:
    """What comes next at every node? Windows of the training part, drawn at random.

    Evaluated on ``size`` windows of the validation part, evenly spread, or all. Seeds
    are judged by the error that is trained on.
    """

    series: Any  # [T, N, C]
    profile: Any  # [T, N], or None
    values: Any  # [T, N], standardised, NaN where missing
    graph: IndexedGraph
    train: Any  # [W], origins
    val: Any
    mean: Any
    sd: Any
    history: int = field(metadata={"static": True})
    horizon: int = field(metadata={"static": True})
    squared: bool = field(metadata={"static": True})
    unit: str = field(metadata={"static": True})

    @property
    def metrics(self) -> Metrics:
        metric = partial(Metric, unit=self.unit, better="lower")
        mae = metric("mae", "validation MAE")
        rmse = metric("rmse", "validation RMSE")
        records = (rmse, mae, LOSS) if self.squared else (mae, rmse, LOSS)
        return Metrics(partial(judge_forecasts, squared=self.squared), records)

    def windows(self, origins: Any) -> SignalWindows:
        """What is known at these origins ``[B]``."""
        past = origins[:, None] + jnp.arange(1 - self.history, 1)[None]
        ahead = None
        if self.profile is not None:
            ahead = jnp.asarray(self.profile)[self.steps_ahead(origins)]
            ahead = jnp.swapaxes(ahead, 1, 2)
        return SignalWindows(jnp.asarray(self.series)[past], ahead, self.graph)

    def steps_ahead(self, origins: Any) -> jax.Array:
        return origins[:, None] + jnp.arange(1, 1 + self.horizon)[None]

    def batch(self, origins: Any) -> Batch:
        values = jnp.asarray(self.values)[self.steps_ahead(origins)]
        return Batch(self.windows(origins), SignalTargets(values, self.sd))

    def sample(self, key: jax.Array, batch_size: int) -> Batch:
        which = jax.random.randint(key, (batch_size,), 0, len(self.train))
        return self.batch(jnp.asarray(self.train)[which])

    def evaluation(self, key: jax.Array, size: int) -> Batch:
        number = len(self.val)
        which = np.arange(min(size, number)) * number // min(size, number)
        return self.batch(jnp.asarray(self.val)[which])

    def in_units(self, outputs: np.ndarray) -> np.ndarray:
        """Forecasts in the unit of the data."""
        return np.asarray(self.mean) + np.asarray(self.sd) * outputs


def signal_task(
    parted: PartedSignals,
    *,
    season: bool = False,
    squared: bool = False,
    graph_of: SignalData | None = None,
) -> SignalTask:
    """The task of parted series, on their graph or that of ``graph_of``.

    With ``season`` networks also read the time of the season, as sine and cosine, and
    the profile, of the past and of the steps ahead. Where values of the training part
    are missing, a channel says which. Raises `ValueError` for data without a season.

    >>> from seqgraph_jax.data.signals import draw_signals
    >>> from seqgraph_jax.tasks.parts import Protocol, part_signals
    >>> parted = part_signals(draw_signals(), Protocol(history=6, horizon=3))
    >>> batch = signal_task(parted, season=True).batch(np.array([30, 99]))
    >>> batch.inputs.signals.shape, batch.inputs.ahead.shape, batch.targets.values.shape
    ((2, 6, 12, 4), (2, 12, 3), (2, 3, 12))
    """
    data, mean, sd = parted.data, parted.mean, parted.sd
    channels = [(parted.filled - mean) / sd]
    shape = (*data.signal.shape[:2], 1)
    if np.isnan(data.signal[: parted.num_train, :, 0]).any():
        channels.append(np.isnan(data.signal[..., :1]))
    profile = None
    if season:
        if parted.profile is None:
            raise ValueError(
                f"{data.name} has no season that its training part holds more than "
                "once: leave --time-of-day out"
            )
        profile = ((parted.profile - mean[0]) / sd[0]).astype(np.float32)
        angle = 2 * np.pi * (data.start + np.arange(data.num_steps)) / data.season
        turns = [wave(angle)[:, None, None] for wave in (np.sin, np.cos)]
        channels += [profile[..., None], *(np.broadcast_to(w, shape) for w in turns)]
    return SignalTask(
        series=np.concatenate(channels, -1).astype(np.float32),
        profile=profile,
        values=((data.signal[..., 0] - mean[0]) / sd[0]).astype(np.float32),
        graph=index_graph((graph_of or data).graph()),
        train=parted.origins.train,
        val=parted.origins.val,
        mean=np.float32(mean[0]),
        sd=np.float32(sd[0]),
        history=parted.protocol.history,
        horizon=parted.protocol.horizon,
        squared=squared,
        unit=data.unit,
    )
