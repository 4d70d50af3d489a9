"""How wrong forecasts at the nodes of a graph are, and how wide around them the truth.

Sums and counts over all that is known, never means of means.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from seqgraph_jax.data.signals import SignalData
from seqgraph_jax.training.metrics import Metric


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


def interval_widths(outputs: np.ndarray, truth: np.ndarray, share: float) -> np.ndarray:
    """Half-widths ``[horizon]`` of intervals around forecasts, from their errors.

    The smallest of the n absolute errors that at least ``share (n + 1)`` of them are
    not above, for each step ahead on its own; infinite, if n is too small. On forecasts
    of other times that are like these, the interval then holds at least this share of
    the true values; times that follow one another need not be alike.

    Shapes: ``[W, horizon, N]``. Source: Lei et al., Distribution-free predictive
    inference for regression, 2018, section 2.2 (split conformal).

    >>> errors = np.arange(1.0, 10.0).reshape(9, 1, 1)
    >>> interval_widths(errors, np.zeros_like(errors), 0.8).tolist()
    [8.0]
    """
    widths = []
    for k in range(truth.shape[1]):
        known = np.isfinite(truth[:, k])
        errors = np.sort(np.abs(outputs[:, k][known] - truth[:, k][known]))
        rank = int(np.ceil(share * (len(errors) + 1)))
        widths.append(errors[rank - 1] if rank <= len(errors) else np.inf)
    return np.array(widths)


def coverage(outputs: np.ndarray, truth: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Share of true values within ``widths [horizon]`` of the forecasts, ``[horizon]``.

    >>> coverage(np.zeros((1, 1, 2)), np.array([[[1.0, 3.0]]]), np.array([2.0]))
    array([0.5])
    """
    known = np.isfinite(truth)
    inside = np.abs(outputs - np.where(known, truth, 0.0)) <= widths[:, None]
    return _ratio((inside & known).sum((0, 2)).astype(float), known.sum((0, 2)))


def leads(data: SignalData, horizon: int) -> dict[int | None, str]:
    """Steps ahead that are shown, with their words; None is all of them together.

    >>> from seqgraph_jax.data.signals import draw_signals
    >>> leads(draw_signals(4, 10), 6)
    {3: '180 min', 6: '360 min', None: 'all steps'}
    """
    minutes, unit = data.step_minutes, "min"
    if minutes >= 1440:
        minutes, unit = minutes / 1440, "days"
    shown: dict[int | None, str] = {
        k: f"{k * minutes:g} {unit}" for k in (3, 6, 12) if k <= horizon
    }
    shown[None] = "all steps" if horizon > 1 else "next step"
    return shown


def measures(data: SignalData, by_node: Errors) -> dict[Metric, np.ndarray]:
    """Errors ``[S]`` on the test part, by number of steps ahead and over all of them.

    ``by_node`` are sums ``[S, N, horizon]``. Percentages are there for values of one
    sign alone.
    """
    errors = Errors(*(sums.sum(-2) for sums in by_node))
    names = ["mae", "rmse"]
    if np.nanmin(data.signal[..., 0]) >= 0:
        names.append("mape")
    found: dict[Metric, np.ndarray] = {}
    for k, words in leads(data, errors.number.shape[-1]).items():
        for name in names:
            label = f"test {name.upper()}" + f", {words}" * (k is not None)
            metric = Metric(f"test_{name}_{k or 'all'}", label, data.unit, 1.0, "lower")
            if name == "mape":
                metric = replace(metric, unit="%", scale=100.0)
            found[metric] = getattr(errors.at(k), name)
    return found
