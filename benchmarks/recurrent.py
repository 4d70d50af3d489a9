"""Training recurrent networks for one seed and for many, against PyTorch and Flax.

    pip install torch==2.13.0 && python -m benchmarks.recurrent
    python -m benchmarks.recurrent --device gpu --sizes 32 256 --seeds 1 16 256

Milliseconds per update and seed: a last-state classifier of sequences of 24 symbols,
embedding 16, one layer of H units, batch H, Adam. Arms take turns in one process, and
none runs while another does; a ratio is an arm's time divided by that of the same seeds
with this package, the median over rounds. On a CPU there are two peers for many seeds:
PyTorch's runs one after another on all threads, and a process of PyTorch with one
thread on every core. On a GPU PyTorch uses cuDNN. Equal weights are checked to give
equal outputs before anything is timed. Nothing is trained to an end.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from flax.core import FrozenDict
from torch.nn import functional

import seqgraph_jax as sg
from benchmarks.turns import in_turn, per_update, seconds
from seqgraph_jax.recurrent.torch_weights import from_torch_lstm
from seqgraph_jax.training.setup import num_cores

T, EMBEDDING, SYMBOLS, CLASSES = 24, 16, 4, 2
RATE = 1e-3
CORES = num_cores()


class TorchClassifier(torch.nn.Module):
    """The same network with PyTorch's layer."""

    def __init__(self, cell: str, features: int) -> None:
        super().__init__()
        layer = torch.nn.LSTM if cell == "lstm" else torch.nn.GRU
        self.embedding = torch.nn.Embedding(SYMBOLS, EMBEDDING)
        self.layer = layer(EMBEDDING, features)
        self.head = torch.nn.Linear(features, CLASSES)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:  # [T, B] to [B, C]
        return self.head(self.layer(self.embedding(tokens))[0][-1])


def torch_update(cell: str, features: int, device: str) -> Callable[[], None]:
    """One update of one network on a batch that stays."""
    model = TorchClassifier(cell, features).to(device)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    tokens = torch.randint(0, SYMBOLS, (T, features), device=device)
    labels = torch.randint(0, CLASSES, (features,), device=device)

    def update() -> None:
        optimizer.zero_grad()
        functional.cross_entropy(model(tokens), labels).backward()
        optimizer.step()

    return update


def torch_arm(
    cell: str, features: int, updates: int, device: str
) -> Callable[[], float]:
    update = torch_update(cell, features, device)
    return lambda: per_update(update, updates, device)


def _worker(cell: str, features: int, updates: int, pipe: Any) -> None:
    """A process of its own on one thread: trains whenever it is told to."""
    torch.set_num_threads(1)
    update = torch_update(cell, features, "cpu")
    update()
    pipe.send(None)
    while pipe.recv():
        for _ in range(updates):
            update()
        pipe.send(None)


@contextmanager
def process_per_core(
    cell: str, features: int, updates: int
) -> Iterator[Callable[[], float]]:
    """Seconds per update and seed while every core trains a network of PyTorch's."""
    context = multiprocessing.get_context("spawn")
    pipes, workers = [], []
    for _ in range(CORES):
        ours, theirs = context.Pipe()
        worker = context.Process(
            target=_worker, args=(cell, features, updates, theirs), daemon=True
        )
        worker.start()
        pipes.append(ours)
        workers.append(worker)
    for pipe in pipes:
        pipe.recv()

    def arm() -> float:
        start = time.perf_counter()
        for pipe in pipes:
            pipe.send(True)
        for pipe in pipes:
            pipe.recv()
        return (time.perf_counter() - start) / updates / CORES

    yield arm
    for pipe, worker in zip(pipes, workers, strict=True):
        pipe.send(False)
        worker.join()


class FlaxClassifier(nn.Module):
    """The same network with Flax's own layer."""

    cell: str
    features: int

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:  # [B, T] to [B, C]
        cell = nn.OptimizedLSTMCell if self.cell == "lstm" else nn.GRUCell
        embedded = nn.Embed(SYMBOLS, EMBEDDING)(tokens)
        outputs = nn.RNN(cell(self.features))(embedded)
        return nn.Dense(CLASSES)(outputs[:, -1])


def flax_arm(cell: str, features: int, updates: int) -> Callable[[], float]:
    """Updates of one network of Flax's as one compiled scan."""
    model, tx = FlaxClassifier(cell, features), optax.adam(RATE)
    key = jax.random.key(0)
    tokens = jax.random.randint(key, (features, T), 0, SYMBOLS)
    labels = jax.random.randint(key, (features,), 0, CLASSES)
    params = model.init(key, tokens)

    @jax.jit
    def train(params: Any, state: Any) -> Any:
        def loss(params: Any) -> jax.Array:
            logits = model.apply(params, tokens)
            found = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return found.mean()

        def one(carry: Any, _: None) -> tuple[Any, None]:
            params, state = carry
            change, state = tx.update(jax.grad(loss)(params), state)
            return (optax.apply_updates(params, change), state), None

        return jax.lax.scan(one, (params, state), length=updates)[0]

    state = tx.init(params)
    return lambda: seconds(lambda: train(params, state)) / updates


def network(cell: str, features: int) -> sg.SequenceClassifier:
    return sg.SequenceClassifier(
        cell=cell,
        features=features,
        num_symbols=SYMBOLS,
        num_classes=CLASSES,
        embedding_features=EMBEDDING,
        cell_options=FrozenDict(),
    )


def our_arm(
    cell: str, features: int, updates: int, num_seeds: int
) -> Callable[[], float]:
    """Updates of all seeds, data drawn anew for each, an evaluation of one example."""
    task = sg.tasks.BaumSweet(7)  # numbers of up to 24 binary digits
    config = sg.TrainConfig(
        updates=1_000_000 * updates,
        eval_every=updates,
        batch_size=features,
        eval_size=1,
        learning_rate=RATE,
        early_stop=False,
    )
    runs = sg.iterate_seeds(network(cell, features), task, config, range(num_seeds))
    return lambda: seconds(lambda: next(runs) and None) / updates / num_seeds


def check_equal(cell: str, features: int) -> None:
    """PyTorch's layer and ours give the same outputs for the same weights."""
    if cell != "lstm":
        return
    peer = torch.nn.LSTM(EMBEDDING, features)
    weights = {name: value.detach().numpy() for name, value in peer.named_parameters()}
    layer = sg.Recurrent(sg.recurrent.CELLS["lstm"](features))
    params = {"cell": from_torch_lstm(weights)["layer_0"]}
    inputs = np.random.default_rng(0).normal(size=(2, T, EMBEDDING)).astype(np.float32)
    ours = layer.apply({"params": params}, jnp.asarray(inputs))
    theirs = peer(torch.from_numpy(inputs.swapaxes(0, 1)))[0].detach().numpy()
    outputs = np.asarray(jax.tree.leaves(ours)[-1])
    np.testing.assert_allclose(outputs, theirs.swapaxes(0, 1), atol=1e-4)


def floor(cell: str, features: int) -> float:
    """Seconds of an update's recurrent products alone, at the rate of one large one.

    Forward, backward and weight gradient: three products ``[B, H] @ [H, G H]`` a step.
    """
    size = 4096 if jax.default_backend() == "gpu" else 2048
    a = jnp.ones((size, size))
    product = jax.jit(lambda a: a @ a)
    seconds(lambda: product(a))
    rate = 2 * size**3 / min(seconds(lambda: product(a)) for _ in range(5))
    gates = 4 if cell == "lstm" else 3
    return 3 * T * 2 * features * features * gates * features / rate


def measure(
    cell: str, features: int, seeds: list[int], device: str, rounds: int
) -> dict[str, Any]:
    updates = 100 if device == "gpu" else max(4, 40 * 32 // features)
    check_equal(cell, features)
    with ExitStack() as stack:
        arms = {
            "PyTorch, one seed": torch_arm(
                cell, features, updates, "cuda" if device == "gpu" else "cpu"
            ),
            "Flax nn.RNN, one seed": flax_arm(cell, features, updates),
        }
        if device == "cpu":
            arms[f"PyTorch, {CORES} processes of one thread"] = stack.enter_context(
                process_per_core(cell, features, updates)
            )
        for num_seeds in seeds:
            name = f"this package, {num_seeds} seed{'s' * (num_seeds > 1)}"
            arms[name] = our_arm(cell, features, updates, num_seeds)
        found = in_turn(arms, rounds)
    limit = 1e3 * floor(cell, features)
    print(f"  products alone, at the rate of a large one {limit:14.3f} ms", flush=True)
    return {"cell": cell, "H": features, "limit_ms": limit, "arms": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--cells", nargs="+", default=["lstm"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[32, 64, 128, 256])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    sg.set_up()
    torch.set_num_threads(CORES if options.device == "cpu" else 1)
    where = jax.devices()[0].device_kind
    print(f"{where}, {CORES} cores, JAX {jax.__version__}, PyTorch {torch.__version__}")
    found = []
    for cell in options.cells:
        for features in options.sizes:
            print(f"{cell}, T = {T}, B = H = {features}: per update and seed")
            found.append(
                measure(cell, features, options.seeds, options.device, options.rounds)
            )
            if options.json:
                record = {"device": where, "rows": found}
                options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
