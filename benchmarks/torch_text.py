"""The reference's character model in PyTorch, beside which ours is timed."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.text import LAYERS, LENGTH, B, E, H, T, V
from benchmarks.torch_recurrent import named, per_update, wait
from benchmarks.turns import seconds


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


def _update(tokens: torch.Tensor) -> Callable[[], None]:
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
def _sample(model: TorchLM, batch_size: int, keep_state: bool) -> torch.Tensor:
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


def scores(tokens: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """Weights of a network by layer, and its scores for tokens ``[B, T]``."""
    model = TorchLM().eval()
    with torch.no_grad():
        logits, _ = model(torch.from_numpy(tokens.T))
    lstm = {k: v.detach().numpy() for k, v in model.lstm.named_parameters()}
    weight, bias = (v.detach().numpy() for v in model.head.parameters())
    embedding = model.embedding.weight.detach().numpy()
    head = {"kernel": weight.T, "bias": bias}
    weights = {"lstm": lstm, "embedding": embedding, "head": head}
    return weights, logits.numpy().swapaxes(0, 1)


def train_arm(tokens: np.ndarray, updates: int, device: str) -> Callable[[], float]:
    """Seconds per update."""
    device = named(device)
    update = _update(torch.from_numpy(tokens).long().to(device))
    return lambda: per_update(update, updates, device)


def sample_arms(batch_size: int, device: str) -> dict[str, Callable[[], float]]:
    """Seconds for all characters of the texts, in two ways."""
    device = named(device)
    model = TorchLM().eval().to(device)

    def one(keep_state: bool) -> None:
        _sample(model, batch_size, keep_state)
        wait(device)

    return {
        "PyTorch, state kept": lambda: seconds(partial(one, True)),
        "PyTorch, prefix fed again": lambda: seconds(partial(one, False)),
    }
