"""What is kept of an arm's forecasts: errors and intervals, beside what came."""

from typing import NamedTuple

import numpy as np

from seqgraph_jax.tasks.errors import Errors, coverage, interval_widths, sum_errors
from seqgraph_jax.tasks.parts import PartedSignals


class Judged(NamedTuple):
    """How S seeds forecast validation and test part; small but for ``first``."""

    val: Errors  # all together, [S]
    by_node: Errors  # of the test part, [S, N, horizon]
    by_window: np.ndarray  # [W], test MAE of a window, mean over seeds; NaN: no value
    widths: np.ndarray  # [S, horizon], half an interval that validation gives
    held: np.ndarray  # [S, horizon], the share of test values in it
    first: np.ndarray  # [W, horizon, N], what the first seed said of the test part

    @property
    def errors(self) -> Errors:
        """Of the test part, ``[S, horizon]``."""
        return Errors(*(sums.sum(1) for sums in self.by_node))


def judge(
    parted: PartedSignals, val: np.ndarray, test: np.ndarray, share: float
) -> Judged:
    """Forecasts ``[S, W, horizon, N]`` of validation and test beside what came.

    ``share`` of the values are what an interval around a forecast is to hold, see
    `interval_widths`.

    >>> from seqgraph_jax.data.signals import draw_signals
    >>> from seqgraph_jax.tasks.forecasts import persistence
    >>> from seqgraph_jax.tasks.parts import Protocol, part_signals
    >>> parted = part_signals(draw_signals(), Protocol(history=6, horizon=3))
    >>> said = (persistence(parted, part)[None] for part in parted.origins[1:])
    >>> found = judge(parted, *said, share=0.9)
    >>> found.errors.mae.round(2).tolist(), found.held.round(2).tolist()
    ([[1.86, 2.23, 2.51]], [[0.89, 0.89, 0.88]])
    """
    true_val, true_test = (parted.truth(part) for part in parted.origins[1:])
    known = np.isfinite(true_test)
    count = known.sum((1, 2))
    by_window = np.zeros(len(count))
    for one in test:
        sizes = np.where(known, np.abs(one - np.where(known, true_test, 0.0)), 0.0)
        by_window += sizes.sum((1, 2)) / np.maximum(count, 1) / len(test)
    widths = [interval_widths(one, true_val, share) for one in val]
    pairs = zip(test, widths, strict=True)
    return Judged(
        val=_stacked([sum_errors(one, true_val).at() for one in val]),
        by_node=_stacked([sum_errors(one, true_test, by_node=True) for one in test]),
        by_window=np.where(count > 0, by_window, np.nan),
        widths=np.array(widths),
        held=np.array([coverage(one, true_test, width) for one, width in pairs]),
        first=test[0],
    )


def _stacked(errors: list[Errors]) -> Errors:
    return Errors(*(np.stack(sums) for sums in zip(*errors, strict=True)))
