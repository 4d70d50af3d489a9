"""Intervals of means and of shares, and the test that intervals of means turn round.

Numbers in, numbers out; only NumPy and SciPy. A test and an interval of the same values
come from the same means of subsets (`subset_means`), so they never disagree. Nothing is
drawn at random: the same numbers give the same report.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

ALPHA = 0.05
FEWEST = 6  # values from which means of subsets have a finite 95 % interval
ENUMERATED = 20  # pairs whose 2**n subsets are all taken
GROUP_BITS = 18  # above that a group of 2**18 of them
MEAN_BITS = 16  # the same two limits for the mean of one arm,
BAND_BITS = 12  # and for many means at once, as bands have them

SUBSETS, STUDENT, EQUAL, NONE = "means of subsets", "Student's t", "all equal", "none"


class Interval(NamedTuple):
    """A 95 % interval and how it was had; ends that do not exist are NaN.

    ``method`` is ``"means of subsets"``, ``"Student's t"``, ``"all equal"`` (no
    interval: of values that are equal nothing is known but the share that has them)
    or ``"none"``, of fewer than 2 values.
    """

    low: float
    high: float
    method: str


class SignFlips(NamedTuple):
    """The sign-flip test of mean 0, and the means that it does not reject."""

    p_value: float
    low: float
    high: float
    test: str


def only_finite(values: ArrayLike) -> np.ndarray:
    """The values as an array; raises `ValueError` if one of them does not exist."""
    values = np.asarray(values, float)
    missing = int((~np.isfinite(values)).sum())
    if missing:
        raise ValueError(
            f"{missing} of {values.size} values do not exist (NaN or infinite): count "
            "them and leave them out first"
        )
    return values


def rounding_of(*arrays: ArrayLike) -> float:
    """Largest relative difference that is rounding in the precision of the arrays."""
    dtypes = [np.result_type(np.asarray(values), np.float16) for values in arrays]
    return 8 * max(float(np.finfo(dtype).eps) for dtype in dtypes)


def subset_means(
    values: np.ndarray, limit: int = ENUMERATED, rounding: float = 0.0
) -> np.ndarray:
    """Means over nonempty subsets of the values, ``[..., n]`` to ``[..., 2^b - 1]``.

        p(mu) = 2 min(#{A: mean_A <= mu}, #{A: mean_A >= mu}) / 2^b, at most 1

    where A runs over 2^b subsets and the empty one counts on both sides. Flipping the
    signs of x_i - mu for i in A makes their sum no smaller if and only if mean_A <= mu:
    p(mu) is the two-sided sign-flip test of the mean mu, and the mu with p(mu) > 0.05
    are those from the k-th smallest to the k-th largest mean, k = floor(0.025 2^b).

    Up to ``limit`` values A is any subset, b = n. Above, the subsets are a group under
    symmetric difference that holds the complement of each of them: the first b values
    take all 2^b patterns, and value j is in A where the pattern has an odd number of
    the bits of mask_j, of which there is an odd number. Signs that are flipped by a
    group of patterns leave the law of values that are symmetric around mu as it is, so
    each place of the pattern that was seen is as likely as any other: p is exact for
    this one fixed group, P(p <= a) <= a, without a word on how well it was drawn.

    A sum that is 0 but for rounding is 0; ``rounding`` is that of a single value.

    Shapes: the last axis is that of the values; others stay.

    Source: Hartigan, Using subsample values as typical values, 1969; Fisher, The design
    of experiments, 1935, section 21; for groups Hemerik and Goeman, Exact testing with
    random permutations, 2018.

    >>> np.sort(subset_means(np.array([1.0, 2.0, 6.0]))).tolist()
    [1.0, 1.5, 2.0, 3.0, 3.5, 4.0, 6.0]
    """
    n = values.shape[-1]
    bits = n if n <= limit else min(limit, GROUP_BITS)
    masks, low_bits = _masks(n, bits), min(bits, 12)
    signed, sign_sums = np.zeros(1), np.zeros(1)
    for start in range(0, n, 256):  # in parts, to bound the memory
        part = slice(start, start + 256)
        low = _signs(masks[part] % 2**low_bits, low_bits)  # [2^l, n]
        high = _signs(masks[part] >> low_bits, bits - low_bits)  # [2^(b - l), n]
        signed = signed + (values[..., None, part] * high) @ low.T
        sign_sums = sign_sums + high @ low.T
    sums = (values.sum(-1)[..., None, None] - signed) / 2
    sums = sums.reshape(*values.shape[:-1], -1)[..., 1:]  # the first one is empty
    sizes = (n - sign_sums.ravel()[1:]) / 2
    tiny = 1e-12 * np.abs(values).sum(-1)[..., None] + rounding * sizes
    return np.where(np.abs(sums) <= tiny, 0.0, sums) / sizes


def _masks(n: int, bits: int) -> np.ndarray:
    """Of each value the bits whose parity says whether it is in a subset, ``[n]``."""
    units = 2 ** np.arange(min(n, bits))
    if n <= bits:
        return units
    masks = np.arange(2**bits)
    sizes = np.bitwise_count(masks)
    odd = masks[(sizes % 2 == 1) & (sizes > 1)]
    rng = np.random.default_rng(0)
    more = rng.choice(odd, n - bits, replace=n - bits > len(odd))
    return np.concatenate([units, more])


def _signs(masks: np.ndarray, bits: int) -> np.ndarray:
    """1 and, where a pattern flips a value, -1: ``[2^b, n]``."""
    patterns = np.arange(2**bits)[:, None] & masks
    return 1.0 - 2.0 * (np.bitwise_count(patterns) % 2)


def two_sided_p(means: np.ndarray) -> np.ndarray:
    """The p-value of mean 0, from `subset_means`: ``[..., 2^b - 1]`` to ``[...]``."""
    below, above = ((means <= 0).sum(-1), (means >= 0).sum(-1))
    tail = (1 + np.minimum(below, above)) / (means.shape[-1] + 1)
    return np.minimum(1.0, 2 * tail)


def typical_range(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The k-th smallest and k-th largest of `subset_means`; infinite where k = 0."""
    count = means.shape[-1]
    k = int(ALPHA / 2 * (count + 1))
    if not k:
        unbounded = np.full(means.shape[:-1], np.inf)
        return -unbounded, unbounded
    parts = np.partition(means, (k - 1, count - k), axis=-1)
    return parts[..., k - 1], parts[..., count - k]


def sign_flips(differences: ArrayLike, rounding: float = 0.0) -> SignFlips:
    """Two-sided paired sign-flip test of mean 0, and the interval that it leaves.

    Under the null hypothesis each difference is as likely as its negative. Up to 20
    pairs all sign patterns are counted, above a group of 2^18 (`subset_means`). 0 lies
    outside the interval if and only if p <= 0.05; below 6 pairs it has no ends.

    Raises `ValueError` for a difference that does not exist.

    >>> sign_flips([1.0, 2.0, 3.0])
    SignFlips(p_value=0.25, low=-inf, high=inf, test='exact paired sign-flip test')
    """
    differences = only_finite(differences)
    if not len(differences):
        return SignFlips(1.0, -math.inf, math.inf, "none")
    means = subset_means(differences, rounding=rounding)
    low, high = typical_range(means)
    name = "exact paired sign-flip test"
    if len(differences) > ENUMERATED:
        name += f" over a group of {means.size + 1:,} sign patterns"
    return SignFlips(float(two_sided_p(means)), float(low), float(high), name)


def equivalence_p(
    differences: ArrayLike, within: float, rounding: float = 0.0
) -> float:
    """The p-value of two one-sided sign-flip tests: is the mean within ``within`` of 0?

        p = max(#{A: mean_A >= within}, #{A: mean_A <= -within}) / 2^b

    over the subsets of `subset_means`, the empty one counted on both sides. Below 0.05
    it can be claimed that the mean is nearer to 0 than ``within``; 5 differences are
    the fewest that can show it.

    Source: Schuirmann, A comparison of the two one-sided tests procedure, 1987.

    >>> equivalence_p([0.0] * 6, within=1.0), equivalence_p([2.0, -3.0, 1.0], 1.0)
    (0.015625, 0.5)
    """
    means = subset_means(only_finite(differences), rounding=rounding)
    edge = within * (1 - 1e-12)
    most = max((means >= edge).sum(), (means <= -edge).sum())
    return float((1 + most) / (means.size + 1))


def mean_ends(
    values: np.ndarray, limit: int = MEAN_BITS
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of 95 % intervals of means of finite values, ``[..., n]`` to ``[...]``.

    From 6 values on those of `subset_means`, below Student's, which are for normal
    values. NaN of a single value, and of values that are equal but for rounding.
    """
    n = values.shape[-1]
    rounding = max(1e-13, rounding_of(values))
    alike = np.ptp(values, axis=-1) <= rounding * np.abs(values).max(-1)
    values = np.asarray(values, float)
    middle = values.mean(-1)
    if n < FEWEST:
        reach = np.full(middle.shape, np.nan)
        if n > 1:
            from scipy import special

            quantile = special.stdtrit(n - 1, 1 - ALPHA / 2)
            reach = quantile * values.std(-1, ddof=1) / math.sqrt(n)
        low, high = middle - reach, middle + reach
    else:
        around = (values - middle[..., None]).reshape(-1, n)
        parts = -(-len(around) // max(1, 2**22 >> min(n, limit)))
        found = [
            np.stack(typical_range(subset_means(part, limit)))
            for part in np.array_split(around, parts)
        ]
        low, high = np.concatenate(found, axis=1).reshape(2, *middle.shape) + middle
        # A mean of subsets that is the least or greatest value has its bits.
        tiny = 1e-12 * np.ptp(values, axis=-1)
        for edge in (values.min(-1), values.max(-1)):
            low, high = (
                np.where(np.abs(end - edge) <= tiny, edge, end) for end in (low, high)
            )
    return np.where(alike, np.nan, low), np.where(alike, np.nan, high)


def interval_of_mean(
    values: ArrayLike, bounds: tuple[float, float] | None = None
) -> Interval:
    """The 95 % interval of a mean, at most as wide as the ``bounds`` of the values.

    From 6 values on it is that of `subset_means`, below Student's; of equal values
    there is none. Raises `ValueError` for a value that does not exist.

    >>> interval_of_mean([1.0, 2.0, 3.0, 4.0, 5.0, 9.0])
    Interval(low=1.0, high=9.0, method='means of subsets')
    >>> interval_of_mean([0.9, 1.0, 1.0], bounds=(0.0, 1.0)).high
    1.0
    """
    only_finite(values)
    values = np.asarray(values)
    if len(values) < 2:
        return Interval(math.nan, math.nan, NONE)
    low, high = (float(end) for end in mean_ends(values))
    if math.isnan(low):
        return Interval(low, high, EQUAL)
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return Interval(low, high, STUDENT if len(values) < FEWEST else SUBSETS)


def share_interval(count: int, n: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a share, ``count`` of ``n`` seen.

    Its low end, of n of n, is the least share that has a value which all n have.

    Source: Clopper and Pearson, The use of confidence or fiducial limits illustrated in
    the case of the binomial, 1934.

    >>> low, high = share_interval(16, 16)
    >>> round(low, 3), high
    (0.794, 1.0)
    """
    from scipy import special

    low = special.betaincinv(count, n - count + 1, ALPHA / 2) if count else 0.0
    high = special.betaincinv(count + 1, n - count, 1 - ALPHA / 2) if count < n else 1.0
    return float(low), float(high)
