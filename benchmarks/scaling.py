"""What a run costs as it grows: seeds, their groups, length, units, processes.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --parts state processes

An LSTM of 32 units, batches of 32 strings of 24 symbols, Adam, unless a line says
otherwise; a turn is one call of the compiled program of all seeds, which is 20 updates
and one evaluation of each, and what is counted are seconds of processor time, of all
cores together. Arms take turns in one process; the last one is divided by.
``state`` counts bytes, and ``processes`` times the message that two processes on this
machine exchange after an evaluation.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax

import seqgraph_jax as sg
from benchmarks.turns import in_turn, options_for, write_tables
from seqgraph_jax.training.iterate import abstract_state, prepare

PARTS = ("state", "seeds", "length", "hidden", "processes")
UPDATES = 20
EXCHANGE = """
import sys, time
import jax, numpy as np
import seqgraph_jax as sg
from seqgraph_jax.training import hosts
sg.connect(sys.argv[1], 2, int(sys.argv[2]))
sg.set_up()
for size in (128, 2**20):
    values = np.zeros(size, np.uint8)
    hosts.exchange(values)
    start = time.perf_counter()
    for _ in range(50):
        hosts.exchange(values)
    print(size, 1e3 * (time.perf_counter() - start) / 50)
"""


@jax.tree_util.register_static
@dataclass(frozen=True)
class FirstSymbol:
    """Which of four symbols came first?"""

    length: int
    metrics = sg.tasks.classification_metrics

    def sample(self, key: jax.Array, batch_size: int) -> sg.tasks.Batch:
        tokens = jax.random.randint(key, (batch_size, self.length), 0, 4)
        return sg.tasks.Batch(inputs=tokens, targets=tokens[:, 0])


def arm_of(hidden: int = 32, length: int = 24) -> sg.Arm:
    config = sg.TrainConfig(
        updates=10**6, eval_every=UPDATES, batch_size=32, eval_size=32
    )
    model = sg.SequenceClassifier("lstm", hidden, num_symbols=4, num_classes=4)
    return sg.Arm(model, FirstSymbol(length), config)


def turn(arm: sg.Arm, num_seeds: int, width: int) -> Callable[[], float]:
    """A call of the program of all seeds, which takes so much processor time."""
    _, lanes, advance = prepare(arm, range(num_seeds), width)

    def once() -> float:
        nonlocal lanes
        start = time.process_time()
        lanes, metrics = advance(lanes)
        jax.block_until_ready(metrics)
        return time.process_time() - start

    return once


def state_bytes(arm: sg.Arm) -> int:
    """Bytes of one seed: parameters twice, the optimiser's, the best evaluation's."""
    leaves = jax.tree.leaves(abstract_state(arm, 1))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)


def states() -> dict[str, dict[str, int]]:
    """Parameters and bytes of a seed, for networks of the experiments."""
    vocabulary = sg.text.Vocabulary("".join(map(chr, range(32, 119))))
    text = sg.text.text_task(vocabulary, vocabulary.characters * 20, 30)
    config = sg.TrainConfig(batch_size=64)
    arms = {
        "LSTM, 32 units": arm_of(),
        "LSTM, 256 units": arm_of(256),
        "character model, 2 x 256": sg.Arm(
            sg.CharLM("lstm", 256, 87, num_layers=2), text, config
        ),
    }
    found = {}
    for name, arm in arms.items():
        params = abstract_state(arm, 1).params
        found[name] = {"params": sg.num_params(params), "bytes": state_bytes(arm)}
        print(f"  {name:<46} {found[name]}")
    return found


def processes() -> dict[str, dict[str, float]]:
    """Milliseconds of an exchange between two processes on this machine, by bytes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-c", EXCHANGE, where]
    first, other = (
        subprocess.Popen([*command, str(i)], stdout=subprocess.PIPE, text=True)
        for i in range(2)
    )
    lines = first.communicate()[0].splitlines()
    other.communicate()
    found = {f"{size} bytes": {"ms": float(ms)} for size, ms in map(str.split, lines)}
    print(f"  {json.dumps(found)}")
    return found


def main() -> None:
    parser = options_for(__doc__, 5)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    jax.config.update("jax_platforms", {"gpu": "cuda"}.get(options.device, "cpu"))
    sg.set_up()
    counts, last = (1, 4, 16, 64, 2), 2
    arms = {
        "seeds": lambda: {
            f"{n} seeds, groups of {w}": turn(arm_of(), n, w)
            for n in counts
            for w in ((1, n) if n > last else (1,))
        },
        "length": lambda: {
            f"{n} symbols": turn(arm_of(length=n), 2, 1) for n in (12, 48, 96, 24)
        },
        "hidden": lambda: {
            f"{n} units": turn(arm_of(n), 2, 1) for n in (16, 64, 128, 256, 32)
        },
    }
    tables = {}
    for part in options.parts:
        print(f"{part}:", flush=True)
        if part in arms:
            tables[part] = in_turn(arms[part](), options.rounds)
        else:
            tables[part] = states() if part == "state" else processes()
    write_tables(options.json, tables)


if __name__ == "__main__":
    main()
