"""What forecasts at the nodes of a graph are judged by, and compared with.

The baselines know no network: what was last, what is usual at that time of the season,
what was a season ago, and linear models in closed form.
"""

from typing import NamedTuple

import numpy as np

from seqgraph_jax.tasks.parts import PartedSignals


class Errors(NamedTuple):
    """Sums over forecasts and their number, by step ahead, ``[..., horizon]``."""

    absolute: np.ndarray
    squared: np.ndarray
    relative: np.ndarray  # of the values that are not 0
    number: np.ndarray
    number_relative: np.ndarray

    def at(self, steps: int | None = None) -> "Errors":
        """Of a number of steps ahead alone, or of all together: ``[...]``."""
        if steps is None:
            return Errors(*(sums.sum(-1) for sums in self))
        return Errors(*(sums[..., steps - 1] for sums in self))

    @property
    def mae(self) -> np.ndarray:
        """Mean absolute error."""
        return _ratio(self.absolute, self.number)

    @property
    def rmse(self) -> np.ndarray:
        """Root of the mean squared error."""
        return np.sqrt(_ratio(self.squared, self.number))

    @property
    def mape(self) -> np.ndarray:
        """Mean of the absolute error over the absolute value, where that is not 0."""
        return _ratio(self.relative, self.number_relative)


def _ratio(sums: np.ndarray, number: np.ndarray) -> np.ndarray:
    nothing = np.full(np.shape(sums), np.nan)
    return np.divide(sums, number, out=nothing, where=number > 0)


def sum_errors(outputs: np.ndarray, truth: np.ndarray, by_node: bool = False) -> Errors:
    """Errors of forecasts ``[..., W, horizon, N]``, summed over windows and nodes.

    A true value that is NaN counts nowhere. ``by_node``: ``[..., N, horizon]``.

    >>> truth = np.array([[[1.0, np.nan]], [[0.0, 4.0]]])  # two windows, two nodes
    >>> errors = sum_errors(np.array([[[2.0, 9.0]], [[2.0, 1.0]]]), truth)
    >>> errors.mae.tolist(), errors.mape.tolist()  # (1 + 2 + 3) / 3, (1 + 3 / 4) / 2
    ([2.0], [0.875])
    """
    known = np.isfinite(truth)
    value = np.where(known, truth, 0.0)
    error = np.where(known, np.abs(outputs - value), 0.0)
    share = np.divide(
        error, np.abs(value), out=np.zeros_like(error), where=np.abs(value) > 0
    )
    terms = (error, error**2, share, known, known & (value != 0))
    axes = (-3,) if by_node else (-3, -1)
    sums = [np.asarray(term, float).sum(axes) for term in terms]
    if by_node:
        sums = [np.swapaxes(term, -1, -2) for term in sums]
    return Errors(*sums)


def persistence(parted: PartedSignals, origins: np.ndarray) -> np.ndarray:
    """The last known value, for all steps: ``[W, horizon, N]``."""
    last = parted.filled[origins, None, :, 0]
    return np.repeat(last, parted.protocol.horizon, axis=1)


def usual_value(parted: PartedSignals, origins: np.ndarray) -> np.ndarray:
    """The training mean at that time of the season: ``[W, horizon, N]``."""
    assert parted.profile is not None
    return parted.profile[_ahead(parted, origins)]


def season_ago(parted: PartedSignals, origins: np.ndarray) -> np.ndarray:
    """The value a season before: ``[W, horizon, N]``; the first one, before any."""
    before = _ahead(parted, origins) - parted.data.season
    return parted.filled[before.clip(0), :, 0]


def _ahead(parted: PartedSignals, origins: np.ndarray) -> np.ndarray:
    return origins[:, None] + 1 + np.arange(parted.protocol.horizon)


class Linear(NamedTuple):
    """Which terms a linear model has; each node is forecast from

    its own values at ``lags`` (0 is the last one), with ``neighbours`` also the means
    of those that it hears, with ``usual`` also the training mean at the time that is
    forecast, and a constant. ``per_node``: coefficients of its own for every node, else
    one set for all.
    """

    lags: tuple[int, ...]
    neighbours: bool = False
    usual: bool = False
    per_node: bool = False

    def num_params(self, parted: PartedSignals) -> int:
        terms = len(self.lags) * (1 + self.neighbours) + self.usual + 1
        nodes = parted.data.num_nodes if self.per_node else 1
        return terms * parted.protocol.horizon * nodes


def linear_forecast(
    parted: PartedSignals, model: Linear, origins: np.ndarray, penalty: float = 1e-3
) -> np.ndarray:
    r"""Forecasts ``[W, horizon, N]`` of a linear model, fitted on the training part.

    .. math:: \min_{w, b} \sum_i (w x_i + b - y_i)^2 + \lambda |w|^2

    for every step ahead on its own, over the windows (and nodes) of the training part,
    in standard deviations. A true value that is missing is left out, and so are windows
    that begin before the longest lag. Raises `ValueError` if none is left.
    """
    longest = max(model.lags)
    train = parted.origins.train
    train = train[train >= longest]
    if not len(train) or origins.min() < longest:
        raise ValueError(
            f"a linear model of {longest + 1} steps needs a longer training part"
        )
    mean, sd = parted.mean[0], parted.sd[0]
    values = (parted.filled[..., 0].astype(float) - mean) / sd
    heard = np.asarray((parted.data.mean_of_senders() @ values.T).T)
    profile = None
    if model.usual and parted.profile is not None:
        profile = (parted.profile.astype(float) - mean) / sd
    truth = (parted.truth(train).astype(float) - mean) / sd
    terms = len(model.lags) * (1 + model.neighbours) + (profile is not None) + 1
    horizon, num_nodes = parted.protocol.horizon, parted.data.num_nodes

    def inputs(origins: np.ndarray, node: int, steps: int) -> np.ndarray:  # [W, terms]
        past = origins[:, None] - np.array(model.lags)
        columns = [values[past, node]]
        if model.neighbours:
            columns.append(heard[past, node])
        if profile is not None:
            columns.append(profile[origins + steps, node, None])
        return np.concatenate([*columns, np.ones((len(origins), 1))], axis=1)

    products = np.zeros((horizon, num_nodes, terms, terms + 1))
    for node in range(num_nodes):
        for k in range(horizon):
            if k == 0 or profile is not None:
                x = inputs(train, node, k + 1)
            known = np.isfinite(truth[:, k, node])
            row, y = x[known], truth[known, k, node]
            products[k, node] = row.T @ np.column_stack([row, y])
    if not model.per_node:
        products = products.sum(1, keepdims=True)
    ridge = penalty * np.eye(terms)
    ridge[-1, -1] = 1e-9  # the constant; a node may have no value at all
    weights = np.linalg.solve(products[..., :-1] + ridge, products[..., -1:])[..., 0]
    outputs = np.zeros((len(origins), horizon, num_nodes))
    for node in range(num_nodes):
        own = weights[:, node if model.per_node else 0]
        for k in range(horizon):
            if k == 0 or profile is not None:
                x = inputs(origins, node, k + 1)
            outputs[:, k, node] = x @ own[k]
    return mean + sd * outputs
