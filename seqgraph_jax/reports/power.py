"""How many pairs a difference needs to be found: simulated, with the test itself."""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from seqgraph_jax.reports.intervals import (
    ALPHA,
    only_finite,
    subset_means,
    two_sided_p,
)

SIZES = (6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64, 80, 100, 128, 160, 200)
PATTERN_BITS = 10  # pairs up to which all sign patterns are counted
NUM_EXPERIMENTS = 1_000  # simulated for each number of pairs
NUM_PILOTS = 40  # pilots that could have been, each with a tenth of the experiments


@dataclass(frozen=True)
class Plan:
    """Share of simulated experiments that find a difference, by number of pairs.

    ``shares [K]`` are those of ``sizes [K]``, ``low`` and ``high [K]`` the 95 % range
    over pilots that could have been in place of the one there was.
    """

    difference: float
    sizes: tuple[int, ...]
    shares: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def needed(self, power: float) -> tuple[int | None, int | None, int | None]:
        """Fewest pairs that find it so often, and the range of that; None: too few."""
        first: list[int | None] = []
        for shares in (self.shares, self.high, self.low):
            enough = np.flatnonzero(shares >= power)
            first.append(self.sizes[enough[0]] if len(enough) else None)
        return first[0], first[1], first[2]


def found_shares(
    residuals: np.ndarray,
    difference: float,
    sizes: Sequence[int],
    num_experiments: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Share of experiments with p < 0.05, for each number of pairs ``[K]``.

    An experiment draws its differences from the residuals, with replacement, and adds
    ``difference``; its test is the paired sign-flip test of the package, above 10 pairs
    over a group of 2^10 sign patterns: as exact, and quick.
    """
    shares = []
    for size in sizes:
        drawn = difference + rng.choice(residuals, (num_experiments, size))
        p = two_sided_p(subset_means(drawn, PATTERN_BITS))
        shares.append(float((p < ALPHA).mean()))
    return np.array(shares)


def pairs_needed(differences: np.ndarray, power: float = 0.8) -> float:
    """Fewest pairs of `SIZES` that find a true mean as large as that of these.

    Found with p < 0.05 in a share ``power`` of simulated experiments; infinite if the
    largest size finds it less often, or the differences do not vary.

    >>> differences = np.random.default_rng(0).normal(8, 10, 16)
    >>> int(pairs_needed(differences)) in SIZES
    True
    """
    residuals, mean = _residuals(differences), float(np.mean(differences))
    if not mean or not residuals.any():
        return math.inf

    def enough(size: int) -> bool:
        rng = np.random.default_rng(0)
        [share] = found_shares(residuals, abs(mean), [size], NUM_EXPERIMENTS, rng)
        return bool(share >= power)

    first = bisect.bisect_left(SIZES, True, key=enough)
    return SIZES[first] if first < len(SIZES) else math.inf


def _residuals(values: np.ndarray) -> np.ndarray:
    """What n values vary by, spread as they do when their mean is not known."""
    return np.sqrt(len(values) / (len(values) - 1)) * (values - values.mean())


def plan(
    differences: ArrayLike, difference: float, sizes: Sequence[int] = SIZES
) -> Plan:
    """How often experiments of each size would find a true mean ``difference``.

    ``differences`` are those of a pilot, one for each pair; what they vary by around
    their mean is what new ones are taken to vary by, spread as n values do when their
    mean is not known, by sqrt(n / (n - 1)). All draws come from a fixed generator.

    Raises `ValueError` for fewer than 3 differences, and for a difference of 0.

    >>> pilot = np.random.default_rng(1).normal(0, 10, 16)
    >>> plan(pilot, difference=10).needed(0.8)[0] in range(8, 17)
    True
    """
    pilot = only_finite(differences)
    if len(pilot) < 3:
        raise ValueError(f"a plan needs a pilot of 3 pairs or more, not {len(pilot)}")
    if not difference:
        raise ValueError("a plan needs a difference other than 0 to look for")
    rng = np.random.default_rng(0)

    def shares_of(values: np.ndarray, num_experiments: int) -> np.ndarray:
        residuals = _residuals(values)
        return found_shares(residuals, abs(difference), sizes, num_experiments, rng)

    shares = shares_of(pilot, NUM_EXPERIMENTS)
    others = [
        shares_of(rng.choice(pilot, len(pilot)), NUM_EXPERIMENTS // 10)
        for _ in range(NUM_PILOTS)
    ]
    low, high = np.quantile(others, [ALPHA / 2, 1 - ALPHA / 2], axis=0)
    return Plan(difference, tuple(sizes), shares, low, high)
