"""From a command to its verdict: the LSTM against the GRU, 20 seeds of both.

    pip install torch==2.13.0 && python -m benchmarks.time_to_verdict

Seconds from the start of a process to its end, each in processes of its own and in
turn: ``python -m experiments.lstm_vs_gru`` with an empty and with a filled compilation
cache, and the same study as one would write it with PyTorch (`torch_verdict`), in one
process on all threads and in a process of one thread on every core. Both train with the
same settings, evaluate every ten updates, and test every network on 116,718 numbers.
PyTorch's seeds stop one by one as they converge; ours go on until the last one has.
"""

import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.turns import options_for, peer, told, write_tables
from seqgraph_jax.training.setup import num_cores

TITLE = "lstm_vs_gru, 20 seeds of two cells, from its start to its verdict"


def timed(command: list[str], cache: Path) -> float:
    """Seconds of a process, whose caches are in a folder."""
    env = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    start = time.perf_counter()
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return time.perf_counter() - start


def ours(seeds: int, cache: Path) -> float:
    """Seconds of the experiment."""
    with tempfile.TemporaryDirectory() as out:
        flags = ["--num-seeds", str(seeds), "--out", str(Path(out) / "run")]
        return timed([sys.executable, "-m", "experiments.lstm_vs_gru", *flags], cache)


def theirs(seeds: int, processes: int, cache: Path) -> float:
    """Seconds of the same in PyTorch."""
    flags = ["--seeds", str(seeds), "--processes", str(processes)]
    return timed([sys.executable, "-m", "benchmarks.torch_verdict", *flags], cache)


def main() -> None:
    parser = options_for(__doc__, rounds=3)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for k in range(options.rounds):
            cache = Path(folder) / str(k)
            arms: dict[str, Any] = {}
            if peer("torch_verdict"):
                arms["PyTorch, one process"] = partial(theirs, options.seeds, 1)
                name = f"PyTorch, {num_cores()} processes of one thread"
                arms[name] = partial(theirs, options.seeds, num_cores())
            arms["this package, nothing compiled yet"] = partial(ours, options.seeds)
            arms["this package, again"] = partial(ours, options.seeds)
            for name, arm in arms.items():
                times.setdefault(name, []).append(arm(cache))
    print(TITLE)
    write_tables(options.json, {TITLE: told(times)})


if __name__ == "__main__":
    main()
