"""What the measured layout of seeds costs, and what it gains.

    python -m benchmarks.layouts

Seconds of a whole run of 16 seeds, from the start of a process with nothing compiled to
its end, for small LSTMs: one seed after another on each device, all seeds of a device
at a time, and as `training.measure_layout` finds, its trials included. The last is
asked to be no slower than the better of the others by more than its trials take. Runs
are long enough for a trial to be worth it. No peer takes part.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from typing import Any

import jax

import seqgraph_jax as sg
from benchmarks.recurrent import network
from benchmarks.turns import options_for, told, write_tables
from seqgraph_jax.training.iterate import advance_seeds, prepare

SEEDS, BATCH, EVERY = 16, 32, 200
#: Updates that take a minute or so, by units.
UPDATES = {8: 30_000, 32: 6_000}


def run(arm: str, features: int) -> None:
    """Train one arm; print what was chosen, and seconds that the choice took."""
    sg.set_up()
    task = sg.tasks.BaumSweet(6)
    config = sg.TrainConfig(
        updates=UPDATES[features],
        eval_every=EVERY,
        batch_size=BATCH,
        eval_size=64,
        early_stop=False,
    )
    trained = sg.Arm(network("lstm", features), task, config)
    start, programs = time.perf_counter(), (None,)
    width: Any = 1
    if arm == "all":
        width = -(-SEEDS // jax.local_device_count())
    elif arm == "auto":
        choice = sg.training.measure_layout([trained], range(SEEDS))
        width, programs = choice.way.width, choice.programs
    took = time.perf_counter() - start
    prepared = prepare(trained, range(SEEDS), width, program=programs[0])
    for _ in advance_seeds(prepared):
        pass
    print(json.dumps([width, took]))


def timed(arm: str, features: int) -> float:
    """Seconds of a process that trains one arm, with a cache of its own."""
    with tempfile.TemporaryDirectory() as cache:
        env = {**os.environ, "XDG_CACHE_HOME": cache}
        command = [sys.executable, "-m", "benchmarks.layouts", "--child", arm]
        start = time.perf_counter()
        done = subprocess.run(
            [*command, str(features)],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        took = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    if arm == "auto":
        width, seconds = json.loads(done.stdout.splitlines()[-1])
        print(f"  chose {width} at a time in {seconds:.1f} s, compilation included")
    return took


def main() -> None:
    parser = options_for(__doc__, rounds=1)
    parser.add_argument("--child", nargs=2, help="for this program's own use")
    options = parser.parse_args()
    if options.child:
        return run(options.child[0], int(options.child[1]))
    found: dict[str, Any] = {}
    for features, updates in UPDATES.items():
        title = f"{SEEDS} seeds of an LSTM of {features} units, {updates:,} updates"
        print(title)
        arms = {
            "one seed at a time": partial(timed, "one", features),
            "all seeds of a device at a time": partial(timed, "all", features),
            "as measured, trials included": partial(timed, "auto", features),
        }
        times: dict[str, list[float]] = {name: [] for name in arms}
        for _ in range(options.rounds):
            for name, arm in arms.items():
                times[name].append(arm())
        found[title] = told(times)
        write_tables(options.json, found)
    return None


if __name__ == "__main__":
    main()
