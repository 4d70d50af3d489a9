"""Signals at the nodes of a graph: series that others of their kind are near to.

An edge runs from a sender to a receiver; none runs from a node to itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from seqgraph_jax.data.checks import (
    LARGEST,
    DataError,
    as_array,
    check_range,
    edge_order,
)

if TYPE_CHECKING:
    import jraph


@dataclass(frozen=True, eq=False)
class SignalData:
    """Series at the nodes of a graph: NumPy arrays on the host.

    The first of the F features is what is forecast, in ``unit``. A step lasts
    ``step_minutes``; after ``season`` steps, a day for traffic, it is the same time
    again (0: never), and the first step is number ``start`` of its season.
    """

    name: str
    signal: np.ndarray  # [T, N, F] float32, NaN where there is no value
    senders: np.ndarray  # [E] int32
    receivers: np.ndarray  # [E] int32
    weights: np.ndarray  # [E] float32, 0 or more
    node_names: tuple[str, ...]  # N
    step_minutes: float = 5.0
    season: int = 0
    season_name: str = ""
    start: int = 0
    unit: str = ""

    num_steps = property(lambda self: len(self.signal))
    num_nodes = property(lambda self: len(self.node_names))
    num_edges = property(lambda self: len(self.senders))
    num_missing = property(lambda self: int(np.isnan(self.signal).sum()))

    def graph(self) -> "jraph.GraphsTuple":
        """As jraph's record, without values at the nodes."""
        import jraph

        return jraph.GraphsTuple(
            nodes=None,
            edges=self.weights,
            senders=self.senders,
            receivers=self.receivers,
            globals=None,
            n_node=np.array([self.num_nodes]),
            n_edge=np.array([self.num_edges]),
        )

    def mean_of_senders(self) -> sparse.csr_array:
        """Matrix ``[N, N]``: every node's weighted mean of those that it hears."""
        matrix = sparse.csr_array(
            (self.weights.astype(float), (self.receivers, self.senders)),
            shape=(self.num_nodes, self.num_nodes),
        )
        total = np.asarray(matrix.sum(1)).ravel()
        scale = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
        return sparse.csr_array(sparse.diags_array(scale) @ matrix)

    def with_edges(self, senders: Any, receivers: Any, weights: Any) -> "SignalData":
        """The same series on another graph of the same nodes."""
        return replace(self, **_edges(senders, receivers, weights, self.num_nodes))

    def without_edges(self) -> "SignalData":
        """The same series, no node of which hears another: all weights are 0."""
        return replace(self, weights=np.zeros_like(self.weights))

    def on_random_graph(self, seed: int) -> "SignalData":
        """The same series on a random graph: every node has as many edges as before.

        Two edges change their receivers, again and again, unless one would lead from a
        node to itself or stand twice (Maslov and Sneppen, 2002). A weight stays with
        its sender.
        """
        rng = np.random.default_rng(seed)
        senders, receivers = self.senders.copy(), self.receivers.copy()
        there = set(zip(senders.tolist(), receivers.tolist(), strict=True))
        pairs = rng.integers(0, max(1, self.num_edges), (20 * self.num_edges, 2))
        for a, b in pairs.tolist():
            ends = [(int(senders[e]), int(receivers[e])) for e in (a, b)]
            (s, r), (other_s, other_r) = ends
            new = {(s, other_r), (other_s, r)}
            if there & new or s == other_r or other_s == r:
                continue
            there.difference_update(ends)
            there |= new
            receivers[a], receivers[b] = receivers[b], receivers[a]
        return self.with_edges(senders, receivers, self.weights)


def from_signal(
    signal: Any,
    senders: Any,
    receivers: Any,
    weights: Any = None,
    *,
    node_names: Sequence[str] = (),
    missing: float | None = None,
    name: str = "signals",
    **others: Any,
) -> SignalData:
    """Checked series ``[T, N]`` or ``[T, N, F]`` on a graph.

    NaN, and the value named as ``missing``, is a value that is not there. Edges from a
    node to itself are left out: a layer knows its own node. ``others`` are fields of
    the record. Raises `DataError`.

    >>> data = from_signal([[1.0, 2.0], [0.0, 4.0]], [0], [1], missing=0.0)
    >>> data.signal[..., 0].tolist(), data.weights.tolist()
    ([[1.0, 2.0], [nan, 4.0]], [1.0])
    """
    ndim = np.ndim(signal)
    values = as_array("the signal", signal, "fiu", 3 if ndim == 3 else 2)
    values = values.reshape(*values.shape[:2], -1).astype(np.float32)
    if missing is not None:
        values[values == np.float32(missing)] = np.nan
    bad = np.argwhere(np.isinf(values) | (np.abs(values) > LARGEST))
    if len(bad):
        step, node, _ = bad[0]
        raise DataError(f"{name}: step {step} of node {node} is not a finite number")
    names = tuple(map(str, node_names or range(values.shape[1])))
    if len(names) != values.shape[1] or len(set(names)) < len(names):
        raise DataError(
            f"{name}: {len(set(names))} different names for {values.shape[1]} nodes"
        )
    silent = np.flatnonzero(np.isnan(values[..., 0]).all(0))
    if silent.size:
        raise DataError(f"{name}: node {names[silent[0]]!r} has no value at any step")
    edges = _edges(senders, receivers, weights, len(names))
    return SignalData(name, values, node_names=names, **edges, **others)


def _edges(
    senders: Any, receivers: Any, weights: Any, num_nodes: int
) -> dict[str, Any]:
    """Checked edges, sorted by receiver, without loops."""
    ends = [
        as_array(what, nodes, "iu").astype(np.int32)
        for what, nodes in (("senders", senders), ("receivers", receivers))
    ]
    values = np.ones(len(ends[0])) if weights is None else weights
    values = as_array("weights", values, "fiu").astype(np.float32)
    if not len(ends[0]) == len(ends[1]) == len(values):
        raise DataError("senders, receivers and weights differ in length")
    for what, nodes in zip(("sender", "receiver"), ends, strict=True):
        check_range("edge", what, nodes, 0, num_nodes)
    bad = np.flatnonzero(~((values >= 0) & (values <= LARGEST)))
    if bad.size:
        raise DataError(f"edge {bad[0]}: weight {values[bad[0]]} is not 0 or more")
    others = ends[0] != ends[1]
    s, r, w = ends[0][others], ends[1][others], values[others]
    order = edge_order(s, r)
    return {"senders": s[order], "receivers": r[order], "weights": w[order]}


def draw_signals(num_nodes: int = 12, num_steps: int = 480) -> SignalData:
    r"""Values that run along a directed ring through all nodes, in a random order.

    .. math:: x_t = 50 + y_t + 3 \sin(2 \pi t / 24),\quad
        y_{t+1} = 0.1\, y_t + 0.8\, P y_t + e_t,\quad e_t \sim N(0, 1)

    where P y is the value of the one node that each node hears. What a node does next
    stands for the most part there, and neither in its own past nor in what all nodes
    have in common. The draw is always the same.

    >>> data = draw_signals()
    >>> data.signal.shape, data.num_edges, data.season
    ((480, 12, 1), 12, 24)
    """
    rng = np.random.default_rng(0)
    ring = rng.permutation(num_nodes)
    senders, receivers = ring, np.roll(ring, -1)
    y = np.zeros((num_steps, num_nodes))
    for t in range(1, num_steps):
        y[t] = 0.1 * y[t - 1] + rng.normal(size=num_nodes)
        y[t, receivers] += 0.8 * y[t - 1, senders]
    wave = 3 * np.sin(2 * np.pi * np.arange(num_steps) / 24)[:, None]
    return from_signal(
        50 + y + wave,
        senders,
        receivers,
        name="synthetic signals",
        step_minutes=60.0,
        season=24,
        season_name="day",
    )
