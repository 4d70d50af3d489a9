"""Training and sampling of the reference's character model, against PyTorch.

    pip install torch==2.13.0 && python -m benchmarks.text
    python -m benchmarks.text --device gpu --seeds 1 16

Both on the same cores or GPU, in turn, in one process; a ratio is PyTorch's time
divided by ours, the median over rounds. Networks, batches, clipping and optimiser are
the same: embedding 64, two LSTM layers of 256, linear layer on 87 characters; batch 64,
windows of 30, Adam, global-norm clip 10. Nothing is trained to an end: values do not
matter.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.nn import functional

import seqgraph_jax as sg
from benchmarks.turns import in_turn, per_update, seconds, wait
from seqgraph_jax import text
from seqgraph_jax.text import sampling
from seqgraph_jax.training import loop as training
from seqgraph_jax.training.setup import num_cores

V, E, H, LAYERS, B, T = 87, 64, 256, 2, 64, 30
LENGTH = 200  # characters to sample


class TorchLM(torch.nn.Module):
    """The same network with `torch.nn.LSTM`."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(V, E)
        self.lstm = torch.nn.LSTM(E, H, LAYERS)
        self.head = torch.nn.Linear(H, V)

    def forward(self, tokens, carry=None):  # [T, B]
        outputs, carry = self.lstm(self.embedding(tokens), carry)
        return self.head(outputs), carry


def torch_update(tokens: torch.Tensor) -> Callable[[], None]:
    """One update on random windows, on the device of the tokens."""
    device = tokens.device
    model = TorchLM().to(device)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)

    def update() -> None:
        starts = torch.randint(0, len(tokens) - T, (B,), device=device)
        steps = torch.arange(T + 1, device=device)
        windows = tokens[starts[None] + steps[:, None]]  # [T + 1, B]
        optimizer.zero_grad()
        logits, _ = model(windows[:-1])
        loss = functional.cross_entropy(logits.reshape(-1, V), windows[1:].reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()

    return update


@torch.no_grad()
def torch_sample(model: TorchLM, batch_size: int, keep_state: bool) -> torch.Tensor:
    """LENGTH characters, with the state kept or the prefix fed again."""
    device = model.head.weight.device
    tokens, carry = torch.randint(0, V, (1, batch_size), device=device), None
    for _ in range(LENGTH - 1):
        if keep_state:
            logits, carry = model(tokens[-1:], carry)
        else:
            logits, _ = model(tokens)
        drawn = torch.multinomial(torch.softmax(2.0 * logits[-1], -1), 1).T
        tokens = torch.cat([tokens, drawn])
    return tokens


def train_arms(
    tokens: np.ndarray, device: str, seeds: list[int], updates: int
) -> dict[str, Callable[[], float]]:
    """Seconds per update and seed."""
    task = text.TextTask(jnp.asarray(tokens), jnp.zeros(0, jnp.int32), V, T)
    model = sg.CharLM("lstm", H, V, E, LAYERS)
    config = sg.TrainConfig(
        updates=10_000 * updates, eval_every=updates, batch_size=B, eval_size=1
    )

    def ours(num_seeds: int) -> Callable[[], float]:
        runs = sg.iterate_seeds(model, task, config, range(num_seeds))
        next(runs)

        def round_() -> float:
            start = time.perf_counter()
            next(runs)
            return (time.perf_counter() - start) / updates / num_seeds

        return round_

    update = torch_update(torch.from_numpy(tokens).long().to(device))

    arms = {"PyTorch": lambda: per_update(update, updates, device)}
    for num_seeds in sorted(seeds, reverse=True):
        arms[f"ours, {num_seeds} seed{'s' * (num_seeds > 1)}"] = ours(num_seeds)
    return arms


def sample_arms(batch_size: int, device: str) -> dict[str, Callable[[], float]]:
    """Seconds for LENGTH characters of every text of the batch."""
    model = sg.CharLM("lstm", H, V, E, LAYERS)
    key = jax.random.key(0)
    config = sg.TrainConfig(batch_size=B)
    task = text.TextTask(jnp.arange(V), jnp.zeros(0, jnp.int32), V, T)
    params = training.init(model, task, config, key).params
    nothing = jnp.zeros((batch_size, 0), jnp.int32)
    peer = TorchLM().eval().to(device)

    def ours() -> jax.Array:
        return sampling.generate(model, params, key, nothing, LENGTH, V, 2.0)

    return {
        "PyTorch, state kept": lambda: seconds(
            lambda: wait(torch_sample(peer, batch_size, True).device.type)
        ),
        "PyTorch, prefix fed again": lambda: seconds(
            lambda: wait(torch_sample(peer, batch_size, False).device.type)
        ),
        "ours": lambda: seconds(ours),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--parts", nargs="+", default=["train", "1", "64"])
    parser.add_argument("--updates", type=int, default=20, help="of a round")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, num_cores()])
    options = parser.parse_args()
    device = "cuda" if options.device == "gpu" else "cpu"
    sg.set_up()
    torch.set_num_threads(num_cores() if device == "cpu" else 1)
    tokens = np.random.default_rng(0).integers(0, V, 500_000).astype(np.int32)
    if "train" in options.parts:
        print(f"training, per update and seed (batch {B}, window {T})")
        in_turn(
            train_arms(tokens, device, options.seeds, options.updates), options.rounds
        )
    for part in options.parts:
        if part.isdigit():
            print(f"sampling {LENGTH} characters, batch {part}")
            in_turn(sample_arms(int(part), device), max(3, options.rounds // 3))


if __name__ == "__main__":
    main()
