"""Recurrent networks in PyTorch, beside which ours are timed."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.recurrent import CLASSES, EMBEDDING, RATE, SYMBOLS, T
from seqgraph_jax.training.setup import num_cores

CORES = num_cores()


def layer_outputs(
    features: int, inputs: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Weights of an LSTM and its outputs for ``[B, T, F]``."""
    layer = torch.nn.LSTM(inputs.shape[-1], features)
    outputs = layer(torch.from_numpy(inputs.swapaxes(0, 1)))[0].detach().numpy()
    weights = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    return weights, outputs.swapaxes(0, 1)


def wait(device: str) -> None:
    """Until the GPU has done what it was told."""
    if device == "cuda":
        torch.cuda.synchronize()


def per_update(update: Callable[[], None], updates: int, device: str) -> float:
    """Seconds of one of so many updates."""
    start = time.perf_counter()
    for _ in range(updates):
        update()
    wait(device)
    return (time.perf_counter() - start) / updates


def named(device: str) -> str:
    """PyTorch's name of a device; on a CPU all cores, beside a GPU one."""
    torch.set_num_threads(CORES if device == "cpu" else 1)
    return "cuda" if device == "gpu" else "cpu"


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


def _update(cell: str, features: int, device: str) -> Callable[[], None]:
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


def arm(cell: str, features: int, updates: int, device: str) -> Callable[[], float]:
    """Seconds per update of one network on all threads, or on the GPU."""
    device = named(device)
    update = _update(cell, features, device)
    return lambda: per_update(update, updates, device)


def _worker(cell: str, features: int, updates: int, pipe: Any) -> None:
    """A process of its own on one thread: trains whenever it is told to."""
    torch.set_num_threads(1)
    update = _update(cell, features, "cpu")
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
