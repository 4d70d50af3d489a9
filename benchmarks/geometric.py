"""Networks of PyTorch Geometric's own examples, gcn.py and gat.py, and their runs."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch_geometric.nn import GATConv, GCNConv

from benchmarks.torch_recurrent import named, wait
from benchmarks.turns import seconds


class TorchGCN(torch.nn.Module):
    """Two convolutions, as in the example."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.first = GCNConv(features, 16, cached=True)
        self.second = GCNConv(16, classes, cached=True)

    def forward(self, x, index):
        x = functional.dropout(x, 0.5, self.training)
        x = functional.relu(self.first(x, index))
        return self.second(functional.dropout(x, 0.5, self.training), index)


class TorchGAT(torch.nn.Module):
    """Eight heads of eight, then one, as in the example."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.first = GATConv(features, 8, 8, dropout=0.6)
        self.second = GATConv(64, classes, heads=1, concat=False, dropout=0.6)

    def forward(self, x, index):
        x = functional.dropout(x, 0.6, self.training)
        x = functional.elu(self.first(x, index))
        return self.second(functional.dropout(x, 0.6, self.training), index)


class TorchRun:
    """A network of the peer with its optimiser, to be trained and tested."""

    def __init__(self, network: type, data: Any, device: str = "cpu") -> None:
        def there(array: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(array).to(device)

        self.x = there(_row_normalized(data.features.toarray()))
        self.index = there(np.stack([data.senders, data.receivers])).long()
        self.y = there(data.labels).long()
        self.train_mask = there(data.train_mask)
        self.masks = [
            there(mask) for mask in (data.train_mask, data.val_mask, data.test_mask)
        ]
        self.model = network(data.num_features, data.num_classes).to(device)
        first, second = self.model.first.parameters(), self.model.second.parameters()
        decays = 0.0 if network is TorchGCN else 5e-4
        self.optimizer = torch.optim.Adam(
            [
                {"params": list(first), "weight_decay": 5e-4},
                {"params": list(second), "weight_decay": decays},
            ],
            lr=0.01 if network is TorchGCN else 0.005,
        )

    def train(self) -> None:
        self.model.train()
        self.optimizer.zero_grad()
        out = self.model(self.x, self.index)
        loss = functional.cross_entropy(out[self.train_mask], self.y[self.train_mask])
        loss.backward()
        self.optimizer.step()

    @torch.no_grad()
    def test(self) -> list[float]:
        self.model.eval()
        right = self.model(self.x, self.index).argmax(-1) == self.y
        return [float(right[mask].float().mean()) for mask in self.masks]


def _row_normalized(x: np.ndarray) -> np.ndarray:
    return (x / np.maximum(x.sum(1, keepdims=True), 1)).astype(np.float32)


def epoch_arms(
    name: str, data: Any, device: str, epochs: int
) -> dict[str, Callable[[], float]]:
    """Seconds of one training epoch."""
    device = named(device)
    run = TorchRun(TorchGCN if name == "gcn" else TorchGAT, data, device)

    def train() -> None:
        for _ in range(epochs):
            run.train()
        wait(device)

    return {"PyTorch Geometric": lambda: seconds(train) / epochs}


def run_arm(data: Any, runs: int, epochs: int, device: str) -> Callable[[], float]:
    """Seconds of whole runs, with an evaluation after every epoch."""
    device = named(device)

    def train() -> None:
        for _ in range(runs):
            run = TorchRun(TorchGCN, data, device)
            for _ in range(epochs):
                run.train()
                run.test()
        wait(device)

    return lambda: seconds(train)


def large_epoch(
    of: dict[str, np.ndarray], hidden: int, classes: int, epochs: int
) -> float:
    """Median seconds of an epoch of a GCN on one large graph, on all threads."""
    named("cpu")

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = GCNConv(of["x"].shape[1], hidden, cached=True)
            self.second = GCNConv(hidden, classes, cached=True)

        def forward(self, x, index):
            return self.second(functional.relu(self.first(x, index)), index)

    x, y, mask = (torch.from_numpy(of[name]) for name in ("x", "y", "m"))
    index = torch.from_numpy(np.stack([of["senders"], of["receivers"]])).long()
    model, times = Network(), []
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(epochs + 1):
        start = time.perf_counter()
        optimizer.zero_grad()
        functional.cross_entropy(model(x, index)[mask], y[mask].long()).backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])  # the first one normalises
