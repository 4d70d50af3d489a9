"""Times of arms that take turns in one process, so that only their ratios count."""

import statistics
import time
from collections.abc import Callable

import jax


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def in_turn(arms: dict[str, Callable[[], float]], rounds: int) -> None:
    """Print medians, and of each arm's ratios to the last one, which is ours."""
    for arm in arms.values():
        arm()  # compiles, allocates
    times: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, arm in arms.items():
            times[name].append(arm())
    *_, ours = times.values()
    for name, values in times.items():
        ratios = [a / b for a, b in zip(values, ours, strict=True)]
        print(
            f"  {name:<46} {1e3 * statistics.median(values):10.2f} ms   "
            f"divided by ours {statistics.median(ratios):6.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )
