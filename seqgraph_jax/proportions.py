"""Intervals of shares, such as that of the seeds that solve a task."""


def share_interval(count: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of which ``count`` of ``n`` were seen.

    Source: Wilson, Probable inference, the law of succession, and statistical
    inference, 1927; `scipy.stats.binomtest`.

    >>> low, high = share_interval(8, 8)
    >>> round(low, 2), round(high, 2)
    (0.68, 1.0)
    """
    from scipy import stats  # a second to import

    interval = stats.binomtest(count, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
