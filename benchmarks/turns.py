"""Times of arms that take turns in one process, so that only their ratios count."""

import argparse
import functools
import importlib
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from seqgraph_jax.training.setup import num_cores

Arm = Callable[[], float]


def seconds(function: Callable[[], object]) -> float:
    """Seconds until what a function gives is there."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


@functools.cache
def peer(module: str) -> Any:
    """A module of peers; None, which is said, where their package is not installed."""
    try:
        return importlib.import_module(f"benchmarks.{module}")
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed: its arms are left out")
        return None


def in_turn(arms: dict[str, Arm], rounds: int) -> dict[str, dict[str, Any]]:
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
    return told(times)


def told(times: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """`in_turn` of seconds that were measured, a value for each round."""
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


def options_for(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """The flags that all benchmarks have."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=rounds, help=f"default {rounds}")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    return parser


def write_tables(path: Path | None, tables: dict[str, Any]) -> None:
    """Tables of `in_turn` by title, and on what machine, as JSON; None: nowhere."""
    if path:
        record = {"machine": machine(), "tables": tables}
        path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """Where numbers come from."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.is_file() else []
    models = [
        line.partition(": ")[2] for line in lines if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": num_cores(),
        "device": jax.devices()[0].device_kind,
        "python": platform.python_version(),
        "jax": jax.__version__,
    }
