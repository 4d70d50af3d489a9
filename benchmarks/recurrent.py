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

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.core import FrozenDict

import seqgraph_jax as sg
from benchmarks.turns import in_turn, options_for, peer, seconds, write_tables
from seqgraph_jax.recurrent.torch_weights import from_torch_lstm
from seqgraph_jax.training.metrics import counted
from seqgraph_jax.training.setup import num_cores

T, EMBEDDING, SYMBOLS, CLASSES = 24, 16, 4, 2
RATE = 1e-3


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
    cell: str, features: int, updates: int, num_seeds: int, parts: int = 1
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
    model, mesh = network(cell, features), sg.MeshShape(batch=parts)
    runs = sg.iterate_seeds(model, task, config, range(num_seeds), mesh=mesh)
    return lambda: seconds(lambda: next(runs) and None) / updates / num_seeds


def check_equal(cell: str, features: int, theirs: Any) -> None:
    """The peer's layer and ours give the same outputs for the same weights."""
    if cell != "lstm":
        return
    inputs = np.random.default_rng(0).normal(size=(2, T, EMBEDDING)).astype(np.float32)
    weights, expected = theirs.layer_outputs(features, inputs)
    layer = sg.Recurrent(sg.recurrent.CELLS["lstm"](features))
    params = {"cell": from_torch_lstm(weights)["layer_0"]}
    ours = layer.apply({"params": params}, jnp.asarray(inputs))
    np.testing.assert_allclose(jax.tree.leaves(ours)[-1], expected, atol=1e-4)


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
    """Milliseconds of all arms, and the limit, of one size."""
    updates = 100 if device == "gpu" else max(4, 40 * 32 // features)
    theirs = peer("torch_recurrent")
    arms = {}
    with ExitStack() as stack:
        if theirs:
            check_equal(cell, features, theirs)
            arms["PyTorch, one seed"] = theirs.arm(cell, features, updates, device)
        arms["Flax nn.RNN, one seed"] = flax_arm(cell, features, updates)
        if theirs and device == "cpu":
            cores = f"PyTorch, {num_cores()} processes of one thread"
            arms[cores] = stack.enter_context(
                theirs.process_per_core(cell, features, updates)
            )
        for num_seeds in seeds:
            name = f"this package, {counted(num_seeds, 'seed')}"
            arms[name] = our_arm(cell, features, updates, num_seeds)
            if num_seeds == 1 and (parts := jax.local_device_count()) > 1:
                name += f", batches in {parts} parts"
                arms[name] = our_arm(cell, features, updates, 1, parts)
        found = in_turn(arms, rounds)
    limit = 1e3 * floor(cell, features)
    print(f"  products alone, at the rate of a large one {limit:14.3f} ms", flush=True)
    return {**found, "limit": {"ms": limit}}


def main() -> None:
    parser = options_for(__doc__, rounds=7)
    parser.add_argument("--cells", nargs="+", default=["lstm"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[32, 64, 128, 256])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 8])
    options = parser.parse_args()
    sg.set_up()
    found = {}
    for cell in options.cells:
        for features in options.sizes:
            title = f"{cell}, T = {T}, B = H = {features}: per update and seed"
            print(title)
            found[title] = measure(
                cell, features, options.seeds, options.device, options.rounds
            )
            write_tables(options.json, found)


if __name__ == "__main__":
    main()
