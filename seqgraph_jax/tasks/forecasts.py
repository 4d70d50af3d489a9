"""Forecasts at the nodes of a graph without a network.

What was last, what is usual at that time of the season, what was a season ago, and
linear models in closed form.
"""

from typing import NamedTuple

import numpy as np

from seqgraph_jax.tasks.parts import PartedSignals


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
    outputs = np.zeros((len(origins), horizon, num_nodes), np.float32)
    for node in range(num_nodes):
        own = weights[:, node if model.per_node else 0]
        for k in range(horizon):
            if k == 0 or profile is not None:
                x = inputs(origins, node, k + 1)
            outputs[:, k, node] = mean + sd * (x @ own[k])
    return outputs


class Baseline(NamedTuple):
    """A forecast without a network: for validation and test, and its coefficients."""

    val: np.ndarray  # [W, horizon, N]
    test: np.ndarray
    num_params: int


def fit_baselines(parted: PartedSignals, usual: bool = False) -> dict[str, Baseline]:
    """All baselines; linear models with the mean of the season if ``usual``.

    They have the lags of the networks' windows, and where one step is forecast, and
    times allow, another model has a season's first lag, too.

    >>> from seqgraph_jax.data.signals import draw_signals
    >>> from seqgraph_jax.tasks.errors import sum_errors
    >>> from seqgraph_jax.tasks.parts import Protocol, part_signals
    >>> data = draw_signals(6, 200)
    >>> parted = part_signals(data, Protocol(history=2, horizon=2))
    >>> truth = parted.truth(parted.origins.test)
    >>> for name, found in fit_baselines(parted).items():
    ...     print(f"{sum_errors(found.test, truth).at().rmse:.2f} {name}")
    2.06 persistence
    2.10 mean of the day
    3.04 a day ago
    1.89 AR(2)
    1.90 AR(2) per node
    1.48 AR(2) + neighbours
    1.51 AR(2) + neighbours per node
    """
    data, history = parted.data, parted.protocol.history
    forecasts = {"persistence": (persistence, 0)}
    if parted.profile is not None:
        name = data.season_name or "season"
        forecasts[f"mean of the {name}"] = usual_value, data.season * data.num_nodes
        if data.season >= parted.protocol.horizon:
            forecasts[f"a {name} ago"] = season_ago, 0
    _, val, test = parted.origins
    found = {
        name: Baseline(function(parted, val), function(parted, test), size)
        for name, (function, size) in forecasts.items()
    }
    lags = tuple(range(history))
    for neighbours in (False, True):
        for per_node in (False, True):
            words = f"AR({history})" + " + neighbours" * neighbours
            words += f" + mean of the {data.season_name}" * usual
            model = Linear(lags, neighbours, usual, per_node)
            found[words + " per node" * per_node] = _fitted(parted, model)
    seasonal = (*lags, data.season - 1)
    if parted.protocol.horizon == 1 and max(lags) < seasonal[-1] < parted.num_train - 1:
        name = f"AR({history}) + a {data.season_name} ago"
        found[name] = _fitted(parted, Linear(seasonal))
    return found


def _fitted(parted: PartedSignals, model: Linear) -> Baseline:
    _, *parts = parted.origins
    val, test = (linear_forecast(parted, model, origins) for origins in parts)
    return Baseline(val, test, model.num_params(parted))
