"""Large inputs: a graph of a million nodes, and a text of a gigabyte.

    pip install torch==2.13.0 torch_geometric && python -m benchmarks.large
    python -m benchmarks.large --nodes 100000 --megabytes 50

The graph has ten edges a node at random and 64 features; a GCN with 64 hidden features
and 8 classes is trained for a few epochs on one device, beside the same one of PyTorch
Geometric. The text is a short one written over and over, read from its file in pieces;
a network of 64 units is trained on it, with the tokens on the host and on the device,
and on the short text, in turn. Every arm has a process of its own: seconds of an epoch
or an update, and the most memory that it ever held, pages of a mapped file included.
"""

import functools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jraph
import numpy as np

import seqgraph_jax as sg
from benchmarks.turns import options_for, peer, seconds, told, write_tables
from seqgraph_jax.tasks.nodes import NodeTask, node_inputs
from seqgraph_jax.training import loop

FEATURES, HIDDEN, CLASSES, EPOCHS = 64, 64, 8, 3
UPDATES = 40  # of a round, on texts


def random_graph(num_nodes: int) -> dict[str, np.ndarray]:
    """Ten edges a node, features, labels, and a tenth of the nodes to train on."""
    rng = np.random.default_rng(0)
    senders, receivers = rng.integers(0, num_nodes, (2, 10 * num_nodes), np.int32)
    x = rng.normal(size=(num_nodes, FEATURES)).astype(np.float32)
    labels = rng.integers(0, CLASSES, num_nodes, np.int32)
    mask = np.arange(num_nodes) % 10 == 0
    return {"senders": senders, "receivers": receivers, "x": x, "y": labels, "m": mask}


def our_epoch(num_nodes: int) -> float:
    """Median seconds of an epoch, without evaluation, on one device."""
    of = random_graph(num_nodes)
    graph = jraph.GraphsTuple(
        nodes=None,
        edges=None,
        senders=of["senders"],
        receivers=of["receivers"],
        globals=None,
        n_node=np.array([num_nodes]),
        n_edge=np.array([len(of["senders"])]),
    )
    inputs = node_inputs(graph, of["x"])
    split = sg.data.Split(of["m"], ~of["m"], np.zeros(num_nodes, bool))
    task = jax.device_put(NodeTask(inputs, of["y"], split))
    model, config = sg.NodeClassifier("gcn", HIDDEN, CLASSES), sg.TrainConfig()
    del of, graph, inputs
    key = jax.random.key(0)
    state = loop.init(model, task, config, key)

    @jax.jit
    def update(task: NodeTask, state: Any) -> Any:
        return loop.update(model, task, config, key, state)[0]

    times = []
    for _ in range(EPOCHS + 1):
        start = time.perf_counter()
        state = jax.block_until_ready(update(task, state))
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])  # the first one compiles


def text_update(path: Path, place: Any, rounds: int) -> float:
    """Median seconds per update, of a text that is read from its file."""
    pieces = functools.partial(sg.text.file_pieces, path)
    found = sg.text.scan(pieces())
    task = sg.text.corpus_task(
        found, pieces, holdout=0.0, place=place, folder=path.parent
    )
    model = sg.CharLM("lstm", 64, len(found.vocabulary), 32, 1)
    config = sg.TrainConfig(
        updates=10_000 * UPDATES, eval_every=UPDATES, batch_size=64, eval_size=64
    )
    runs = sg.iterate_seeds(model, task, config, [0])
    next(runs)
    return statistics.median(
        seconds(lambda: next(runs) and None) for _ in range(rounds)
    )


def measured(arm: str, *arguments: str) -> tuple[float, float]:
    """Seconds, and GiB of the most memory held, of an arm in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.large", "--child", arm, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def child(arm: str, arguments: list[str]) -> None:
    """One arm: print its seconds and its memory."""
    if arm == "text":
        sg.set_up()
        found = (
            text_update(Path(arguments[0]), arguments[1], int(arguments[2])) / UPDATES
        )
    elif arm == "ours":
        sg.set_up(cores=False)
        found = our_epoch(int(arguments[0]))
    else:
        found = peer("geometric").large_epoch(
            random_graph(int(arguments[0])), HIDDEN, CLASSES, EPOCHS
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps([found, peak]))


def compare(title: str, arms: dict[str, list[str]], rounds: int) -> dict[str, Any]:
    """Print times and memory of arms, the last one ours."""
    times: dict[str, list[float]] = {name: [] for name in arms}
    memory = dict.fromkeys(arms, 0.0)
    for _ in range(rounds):
        for name, command in arms.items():
            took, peak = measured(*command)
            times[name].append(took)
            memory[name] = max(memory[name], peak)
    print(title)
    found = told(times)
    for name, peak in memory.items():
        print(f"  {name:<46} {peak:10.2f} GiB at most")
        found[name]["gib"] = peak
    return found


def main() -> None:
    parser = options_for(__doc__, rounds=3)
    parser.add_argument("--nodes", type=int, default=10**6)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--parts", nargs="+", default=["graph", "text"])
    parser.add_argument("--child", nargs="+", help="for this program's own use")
    options = parser.parse_args()
    if options.child:
        return child(options.child[0], options.child[1:])
    found: dict[str, Any] = {}
    if "graph" in options.parts:
        size = str(options.nodes)
        arms = {"PyTorch Geometric": ["peer", size]} if peer("geometric") else {}
        title = f"GCN epoch, {options.nodes:,} nodes, {10 * options.nodes:,} edges"
        found[title] = compare(title, {**arms, "ours": ["ours", size]}, options.rounds)
        write_tables(options.json, found)
    if "text" in options.parts:
        title = f"an update on {options.megabytes:,} MB of text, and on 1 MB"
        with tempfile.TemporaryDirectory() as folder:
            short, long = Path(folder) / "short.txt", Path(folder) / "long.txt"
            letters = np.random.default_rng(0).integers(97, 123, 10**6, np.uint8)
            short.write_bytes(letters.tobytes())
            with long.open("wb") as file:
                for _ in range(options.megabytes):
                    file.write(letters.tobytes())
            arms = {
                "the long text, on the host": ["text", str(long), "host", "5"],
                "the long text, on the device": ["text", str(long), "device", "5"],
                "the short text": ["text", str(short), "device", "5"],
            }
            found[title] = compare(title, arms, options.rounds)
        write_tables(options.json, found)
    return None


if __name__ == "__main__":
    main()
