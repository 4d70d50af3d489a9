"""Training and sampling of the reference's character model, against PyTorch.

    pip install torch==2.13.0 && python -m benchmarks.text
    python -m benchmarks.text --device gpu --seeds 1 16

Both on the same cores or GPU, in turn, in one process; a ratio is PyTorch's time
divided by ours, the median over rounds. Networks, batches, clipping and optimiser are
the same: embedding 64, two LSTM layers of 256, linear layer on 87 characters; batch 64,
windows of 30, Adam, global-norm clip 10. Nothing is trained to an end: values do not
matter.
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import seqgraph_jax as sg
from benchmarks.turns import in_turn, options_for, peer, seconds, write_tables
from seqgraph_jax import text
from seqgraph_jax.recurrent.torch_weights import from_torch_lstm
from seqgraph_jax.text import sampling
from seqgraph_jax.training import loop as training
from seqgraph_jax.training.metrics import counted
from seqgraph_jax.training.setup import num_cores

V, E, H, LAYERS, B, T = 87, 64, 256, 2, 64, 30
LENGTH = 200  # characters to sample


def train_arms(
    tokens: np.ndarray, device: str, seeds: list[int], updates: int
) -> dict[str, Callable[[], float]]:
    """Seconds per update and seed."""
    task = text.TextTask(jnp.asarray(tokens), jnp.zeros(0, jnp.int32), V, T)
    model = sg.CharLM("lstm", H, V, E, LAYERS)
    config = sg.TrainConfig(
        updates=10_000 * updates, eval_every=updates, batch_size=B, eval_size=1
    )

    def ours(num_seeds: int, parts: int = 1) -> Callable[[], float]:
        mesh = sg.MeshShape(batch=parts)
        runs = sg.iterate_seeds(model, task, config, range(num_seeds), mesh=mesh)
        next(runs)

        def round_() -> float:
            start = time.perf_counter()
            next(runs)
            return (time.perf_counter() - start) / updates / num_seeds

        return round_

    theirs = peer("torch_text")
    arms = {"PyTorch": theirs.train_arm(tokens, updates, device)} if theirs else {}
    for num_seeds in sorted(seeds, reverse=True):
        arms[f"ours, {counted(num_seeds, 'seed')}"] = ours(num_seeds)
        if num_seeds == 1 and (parts := jax.local_device_count()) > 1:
            arms[f"ours, 1 seed, batches in {parts} parts"] = ours(1, parts)
    return arms


def sample_arms(batch_size: int, device: str) -> dict[str, Callable[[], float]]:
    """Seconds for LENGTH characters of every text of the batch."""
    model = sg.CharLM("lstm", H, V, E, LAYERS)
    key = jax.random.key(0)
    config = sg.TrainConfig(batch_size=B)
    task = text.TextTask(jnp.arange(V), jnp.zeros(0, jnp.int32), V, T)
    params = training.init(model, task, config, key).params
    nothing = jnp.zeros((batch_size, 0), jnp.int32)
    theirs = peer("torch_text")

    def ours() -> jax.Array:
        return sampling.generate(model, params, key, nothing, LENGTH, V, 2.0)

    arms = theirs.sample_arms(batch_size, device) if theirs else {}
    return {**arms, "ours": lambda: seconds(ours)}


def check_equal() -> None:
    """The peer's network and ours give the same scores for the same weights."""
    if theirs := peer("torch_text"):
        tokens = np.random.default_rng(0).integers(0, V, (2, T))
        weights, expected = theirs.scores(tokens)
        lstm = from_torch_lstm(weights.pop("lstm"))
        model = sg.CharLM("lstm", H, V, E, LAYERS)
        _, logits = model.apply({"params": {**weights, **lstm}}, jnp.asarray(tokens))
        np.testing.assert_allclose(logits, expected, atol=1e-4)


def main() -> None:
    parser = options_for(__doc__, rounds=9)
    parser.add_argument("--parts", nargs="+", default=["train", "1", "64"])
    parser.add_argument("--updates", type=int, default=20, help="of a round")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, num_cores()])
    options = parser.parse_args()
    sg.set_up()
    check_equal()
    tokens = np.random.default_rng(0).integers(0, V, 500_000).astype(np.int32)
    found = {}
    for part in options.parts:
        if part == "train":
            title = f"training, per update and seed (batch {B}, window {T})"
            arms = train_arms(tokens, options.device, options.seeds, options.updates)
            rounds = options.rounds
        else:
            title = f"sampling {LENGTH} characters, batch {part}"
            arms = sample_arms(int(part), options.device)
            rounds = max(3, options.rounds // 3)
        print(title)
        found[title] = in_turn(arms, rounds)
        write_tables(options.json, found)


if __name__ == "__main__":
    main()
