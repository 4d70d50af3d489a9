"""Series at the nodes of a graph, parted in time; what is fitted on the first part.

Times are parted into training, validation and test, in this order. A window's origin is
its last known step t: it reads the ``history`` steps up to t, and the ``horizon`` steps
from t + 1 on are forecast. Everything that is fitted, the scale and the means of the
season among it, is fitted on the training part.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from seqgraph_jax.data.signals import SignalData


class Protocol(NamedTuple):
    """How long windows are, and how times are parted.

    ``train`` and ``val`` are shares of all steps. With ``inside`` a window lies in one
    part as a whole; without, its targets do, and it may read what was before, and the
    shares are of windows. ``drop_last`` leaves the last test window out.
    """

    train: float = 0.7
    val: float = 0.1
    history: int = 12
    horizon: int = 12
    inside: bool = True
    drop_last: bool = False


#: Of DCRNN (Li et al., 2018) the shares and the steps; of T-GCN's program (Zhao et al.,
#: 2020), with the last tenth of its training part for validation, which it has not; and
#: of PyTorch Geometric Temporal's examples, with a fifth of theirs for it.
PROTOCOLS = {
    "dcrnn": Protocol(),
    "tgcn": Protocol(0.72, 0.08, horizon=3, drop_last=True),
    "pygt": Protocol(0.16, 0.04, history=4, horizon=1, inside=False),
}


class Origins(NamedTuple):
    """Origins of the windows of each part, ``[W]``."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def part_windows(num_steps: int, protocol: Protocol) -> Origins:
    """The windows of each part; `ValueError` if one has none.

    >>> origins = part_windows(20, Protocol(0.5, 0.25, history=2, horizon=2))
    >>> [part.tolist() for part in origins]  # of steps 0 to 9, 10 to 14, 15 to 19
    [[1, 2, 3, 4, 5, 6, 7], [11, 12], [16, 17]]
    """
    history, horizon = protocol.history, protocol.horizon
    begin, whole = 0, num_steps
    if not protocol.inside:
        begin, whole = history, num_steps - history - horizon + 1
    shares = (0, protocol.train, protocol.train + protocol.val)
    bounds = [begin + int(share * whole + 1e-9) for share in shares] + [num_steps]
    parts = []
    for name, (low, high) in zip(Origins._fields, pairwise(bounds), strict=True):
        first = low + history if protocol.inside else low  # the first target
        last = high - horizon - (protocol.drop_last and name == "test")
        if last < first:
            raise ValueError(
                f"the {name} part has {high - low} steps, and a window takes {history} "
                f"+ {horizon}: take fewer of --history and --horizon, or longer series"
            )
        parts.append(np.arange(first - 1, last))
    return Origins(*parts)


@dataclass(frozen=True, eq=False)
class PartedSignals:
    """Series parted by a protocol, and what their training part says of them.

    ``filled`` is the signal with the last value known before in place of one that is
    missing (the training mean, before any). ``profile`` is the mean over the training
    part at the same time of the season.
    """

    data: SignalData
    protocol: Protocol
    origins: Origins
    mean: np.ndarray  # [F], of the training part
    sd: np.ndarray  # [F]
    filled: np.ndarray  # [T, N, F]
    profile: np.ndarray | None  # [T, N]

    @property
    def num_train(self) -> int:
        """Steps of the training part."""
        return int(self.origins.train[-1]) + self.protocol.horizon + 1

    def truth(self, origins: np.ndarray) -> np.ndarray:
        """What follows the windows, ``[W, horizon, N]``, NaN where it is missing."""
        ahead = origins[:, None] + 1 + np.arange(self.protocol.horizon)
        return self.data.signal[ahead, :, 0]


def part_signals(data: SignalData, protocol: Protocol) -> PartedSignals:
    """Part series and take scale and profile from their training part.

    Raises `ValueError` for parts without a window, and without a value at a horizon.

    >>> from seqgraph_jax.data.signals import from_signal
    >>> data = from_signal(np.arange(16.0).reshape(8, 2), [0], [1])
    >>> parted = part_signals(data, Protocol(0.5, 0.25, history=1, horizon=1))
    >>> float(parted.mean[0]), parted.truth(parted.origins.test).tolist()
    (3.5, [[[14.0, 15.0]]])
    """
    origins = part_windows(data.num_steps, protocol)
    end = origins.train[-1] + protocol.horizon + 1
    train = data.signal[:end].astype(float)
    mean, sd = np.nanmean(train, (0, 1)), np.nanstd(train, (0, 1))
    sd = np.where(sd > 0, sd, 1.0)
    known = np.isfinite(data.signal)
    latest = np.where(known, np.arange(data.num_steps)[:, None, None], -1)
    latest = np.maximum.accumulate(latest, axis=0)
    filled = np.take_along_axis(data.signal, latest.clip(0), axis=0)
    filled = np.where(latest >= 0, filled, mean.astype(np.float32))
    profile = None
    if 0 < data.season < end:
        profile = _profile(data, train[..., 0]).astype(np.float32)
    parted = PartedSignals(data, protocol, origins, mean, sd, filled, profile)
    for name, part in zip(Origins._fields, origins, strict=True):
        empty = np.isnan(parted.truth(part)).all((0, 2))
        if empty.any():
            raise ValueError(
                f"the {name} part of {data.name} has no value {empty.argmax() + 1} "
                "steps ahead: all are missing"
            )
    return parted


def _profile(data: SignalData, train: np.ndarray) -> np.ndarray:
    """Means ``[T, N]`` at the same time of the season, of ``train [T', N]``.

    A time without a value has the mean of its node, or of all.
    """
    phase = (data.start + np.arange(data.num_steps)) % data.season
    known = np.isfinite(train)
    values = np.where(known, train, 0.0)
    sums, counts = np.zeros((2, data.season, data.num_nodes))
    np.add.at(sums, phase[: len(train)], values)
    np.add.at(counts, phase[: len(train)], known)
    own = values.sum(0) / known.sum(0).clip(1)
    usual = np.where(known.any(0), own, train[known].mean())
    return np.where(counts > 0, sums / counts.clip(1), usual)[phase]
