"""Times of arms that take turns in one process, so that only their ratios count."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import torch


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def wait(device: str) -> None:
    """Until PyTorch's GPU has done what it was told."""
    if device == "cuda":
        torch.cuda.synchronize()


def per_update(update: Callable[[], None], updates: int, device: str) -> float:
    """Seconds of one of so many updates of PyTorch's."""
    start = time.perf_counter()
    for _ in range(updates):
        update()
    wait(device)
    return (time.perf_counter() - start) / updates


def in_turn(
    arms: dict[str, Callable[[], float]], rounds: int
) -> dict[str, dict[str, Any]]:
    """Print, and give, medians and each arm's ratios to the last one, which is ours.

    ``ms`` is the median over rounds, ``ratio`` that of an arm's time divided by ours in
    the same round, ``ratios`` the smallest and the largest of them.
    """
    for arm in arms.values():
        arm()  # compiles, allocates
    times: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, arm in arms.items():
            times[name].append(arm())
    *_, ours = times.values()
    found = {}
    for name, values in times.items():
        ratios = [a / b for a, b in zip(values, ours, strict=True)]
        milliseconds, ratio = 1e3 * statistics.median(values), statistics.median(ratios)
        print(
            f"  {name:<46} {milliseconds:10.3f} ms   divided by ours {ratio:6.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )
        found[name] = {
            "ms": milliseconds,
            "ratio": ratio,
            "ratios": [min(ratios), max(ratios)],
        }
    return found
