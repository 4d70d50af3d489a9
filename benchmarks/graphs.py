"""Graph networks on Cora and sums over neighbours, against PyTorch and its Geometric.

    pip install torch==2.13.0 torch_geometric && python -m benchmarks.graphs
    python -m benchmarks.graphs --device gpu --parts gcn gat runs

All on the same cores or GPU, in turn, in one process; a ratio is the peer's time
divided by ours, the median over rounds. Networks, dropout, weight decay and optimiser
are those of PyTorch Geometric's own examples (gcn.py with its cached normalisation,
gat.py). Cora is looked for as the experiments do. Nothing is trained to an end: values
do not matter.
"""

import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import seqgraph_jax as sg
from benchmarks.turns import Arm, in_turn, options_for, peer, seconds, write_tables
from experiments import gcn_vs_gat
from seqgraph_jax.graph.adjacency import index_edges
from seqgraph_jax.training import loop as training

EPOCHS = 20  # of a round
RUN_EPOCHS = 200  # of a whole run
SEEDS = 100


def our_arm(name: str, data: Any) -> Any:
    """Network, task and settings of the experiment."""
    config = gcn_vs_gat.Config()
    task = gcn_vs_gat.build_task(config, data, ())
    return gcn_vs_gat.build_arm(config, name, task, data.num_classes)


def epoch_arms(name: str, data: Any, device: str) -> dict[str, Callable[[], float]]:
    """Seconds of one training epoch, without evaluation, on one device."""
    model, task, config, *_ = our_arm(name, data)
    key = jax.random.key(0)
    task = jax.device_put(task)
    state = jax.jit(lambda task, key: training.init(model, task, config, key))(
        task, key
    )

    @jax.jit
    def epochs(task: Any, state: Any) -> Any:
        def one(state: Any, _: None) -> tuple[Any, None]:
            return training.update(model, task, config, key, state)[0], None

        return jax.lax.scan(one, state, length=EPOCHS)[0]

    theirs = peer("geometric")
    arms = theirs.epoch_arms(name, data, device, EPOCHS) if theirs else {}
    return {**arms, "ours": lambda: seconds(lambda: epochs(task, state)) / EPOCHS}


def run_arms(data: Any, peer_runs: int, device: str) -> dict[str, Callable[[], float]]:
    """Seconds of 100 runs of the GCN with an evaluation after every epoch.

    The peer's are those of ``peer_runs`` runs, multiplied. Ours include compilation.
    """
    model, task, config, *_ = our_arm("gcn", data)

    def ours() -> float:
        jax.clear_caches()
        return seconds(
            lambda: sg.train_seeds(model, task, config, range(SEEDS)) and None
        )

    arms = {}
    if theirs := peer("geometric"):
        once, times = (
            theirs.run_arm(data, peer_runs, RUN_EPOCHS, device),
            SEEDS / peer_runs,
        )
        arms[f"PyTorch Geometric, {peer_runs} runs x {times:g}"] = lambda: (
            times * once()
        )
    return {**arms, "ours": ours}


def sum_arms(
    num_edges: int, backward: bool, reach: int | None = None
) -> dict[str, Callable[[], float]]:
    """Seconds of a neighbour sum of 64 features, ten edges a node.

    Neighbours are any nodes, or those at most ``reach`` rows away.
    """
    rng = np.random.default_rng(0)
    num_nodes, features = num_edges // 10, 64
    senders = rng.integers(0, num_nodes, num_edges)
    receivers = np.sort(rng.integers(0, num_nodes, num_edges))
    if reach is not None:
        near = receivers + rng.integers(-reach, reach + 1, num_edges)
        senders = np.clip(near, 0, num_nodes - 1)
    x = rng.normal(size=(num_nodes, features)).astype(np.float32)
    edges = jax.device_put(index_edges(senders, receivers, num_nodes, num_nodes))
    weights = jnp.ones(num_edges)

    def forward(edges: Any, weights: jax.Array, x: jax.Array) -> jax.Array:
        return sg.propagate(edges, weights, x)

    def loss(edges: Any, weights: jax.Array, x: jax.Array) -> jax.Array:
        return sg.propagate(edges, weights, x).sum()

    ours = jax.jit(jax.grad(loss, argnums=2) if backward else forward)
    on_device = jnp.asarray(x)

    theirs = peer("torch_sums")
    arms = theirs.sum_arms(senders, receivers, x, backward) if theirs else {}
    return {**arms, "ours": lambda: seconds(lambda: ours(edges, weights, on_device))}


def scaling(rounds: int, picture: str | None) -> None:
    """Print, and draw, seconds of our sum forward and backward against the edges."""
    sizes = [10**4, 10**5, 10**6, 10**7]
    kinds = {"any neighbours": None, "neighbours at most 1,000 rows away": 1000}
    medians: dict[str, list[float]] = {}
    for kind, reach in kinds.items():
        print(f"  {kind}")
        medians[kind] = []
        for size in sizes:
            ours = sum_arms(size, True, reach)["ours"]
            ours()
            medians[kind].append(statistics.median(ours() for _ in range(rounds)))
            print(
                f"  {size:>10,} edges {1e3 * medians[kind][-1]:10.3f} ms   "
                f"{1e9 * medians[kind][-1] / size:7.1f} ns an edge",
                flush=True,
            )
        slope = np.polyfit(np.log(sizes), np.log(medians[kind]), 1)[0]
        print(f"  exponent, fitted to all four: {slope:.3f}")
    if picture:
        draw_scaling(sizes, medians, picture)


def draw_scaling(sizes: list[int], medians: dict[str, list[float]], path: str) -> None:
    """Seconds against edges, and a line in proportion to them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axes = figure.subplots()
    styles = (("#d55e00", "s"), ("#0072b2", "o"))
    for (kind, times), (colour, marker) in zip(medians.items(), styles, strict=True):
        axes.loglog(sizes, times, marker=marker, color=colour, label=kind)
    line = times[0] * np.array(sizes) / sizes[0]
    axes.loglog(sizes, line, "--", color="#444444", label="in proportion")
    axes.set_xlabel("edges (10 a node, 64 features)")
    axes.set_ylabel("neighbour sum, forward and backward (s)")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=160)


def main() -> None:
    parser = options_for(__doc__, rounds=9)
    parser.add_argument("--peer-runs", type=int, default=2)
    parser.add_argument("--picture", help="where to draw the scaling, a .png")
    parts = ["gcn", "gat", "runs", "sums", "scaling"]
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts)
    options = parser.parse_args()
    sg.set_up()
    found: dict[str, Any] = {}

    def measure(title: str, arms: dict[str, Arm], rounds: int) -> None:
        print(title)
        found[title] = in_turn(arms, rounds)
        write_tables(options.json, found)

    data, rounds = sg.datasets.load_nodes("cora"), options.rounds
    for name in ("gcn", "gat"):
        if name in options.parts:
            title = f"{name}: one training epoch on Cora"
            measure(title, epoch_arms(name, data, options.device), rounds)
    if "sums" in options.parts:
        for words in ("forward", "forward and backward"):
            title = (
                f"neighbour sum, 1,000,000 edges, 100,000 nodes, 64 features, {words}"
            )
            measure(title, sum_arms(10**6, "backward" in words), rounds)
    if "scaling" in options.parts:
        print("sum over neighbours, ours, forward and backward")
        scaling(rounds, options.picture)
    if "runs" in options.parts:
        title = f"{SEEDS} runs of the GCN, {RUN_EPOCHS} epochs, evaluated after each"
        arms = run_arms(data, options.peer_runs, options.device)
        measure(title, arms, max(2, rounds // 4))


if __name__ == "__main__":
    main()
