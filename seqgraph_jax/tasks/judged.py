"""What an arm forecast for validation and test, beside what came."""

from typing import NamedTuple

import numpy as np

from seqgraph_jax.tasks.errors import Errors, coverage, interval_widths, sum_errors
from seqgraph_jax.tasks.parts import PartedSignals


class Forecasts(NamedTuple):
    """Forecasts of S seeds, in units, and the truth, NaN where it is missing."""

    val: np.ndarray  # [S, W, horizon, N]
    test: np.ndarray
    true_val: np.ndarray  # [W, horizon, N]
    true_test: np.ndarray
    by_node: Errors  # of the test part, [S, N, horizon]

    @property
    def errors(self) -> Errors:
        """Of the test part, ``[S, horizon]``."""
        return Errors(*(sums.sum(1) for sums in self.by_node))

    def val_error(self, squared: bool = False) -> np.ndarray:
        """Validation MAE, or RMSE, of every seed ``[S]``."""
        errors = [sum_errors(one, self.true_val).at() for one in self.val]
        return np.array([one.rmse if squared else one.mae for one in errors])

    def by_window(self) -> np.ndarray:
        """Test MAE of every window that has a value, mean over seeds: ``[W]``."""
        known = np.isfinite(self.true_test).any((1, 2))
        sizes = np.zeros(int(known.sum()))
        for one in self.test:
            sizes += np.nanmean(np.abs(one - self.true_test)[known], (1, 2))
        return sizes / len(self.test)

    def intervals(self, share: float) -> tuple[np.ndarray, np.ndarray]:
        """Half-widths that validation gives, and the share of test values within.

        Both ``[S, horizon]``; see `interval_widths`.
        """
        widths = [interval_widths(one, self.true_val, share) for one in self.val]
        held = [
            coverage(one, self.true_test, width)
            for one, width in zip(self.test, widths, strict=True)
        ]
        return np.array(widths), np.array(held)


def judge(parted: PartedSignals, val: np.ndarray, test: np.ndarray) -> Forecasts:
    """Forecasts ``[S, W, horizon, N]`` of validation and test, and what came."""
    true_val, true_test = (parted.truth(part) for part in parted.origins[1:])
    by_node = [sum_errors(one, true_test, by_node=True) for one in test]
    sums = Errors(*(np.stack(parts) for parts in zip(*by_node, strict=True)))
    return Forecasts(val, test, true_val, true_test, sums)
