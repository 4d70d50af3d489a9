"""Sums over neighbours in PyTorch: as its Geometric has them, and sparse products."""

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.torch_recurrent import named
from benchmarks.turns import seconds


def sum_arms(
    senders: np.ndarray, receivers: np.ndarray, x: np.ndarray, backward: bool
) -> dict[str, Callable[[], float]]:
    """Seconds of two ways; receivers are sorted, x is ``[N, F]``."""
    named("cpu")
    num_nodes, num_edges = len(x), len(senders)
    ts, tr = torch.from_numpy(senders), torch.from_numpy(receivers)
    crow = torch.from_numpy(np.searchsorted(receivers, np.arange(num_nodes + 1)))
    matrix = torch.sparse_csr_tensor(
        crow, ts, torch.ones(num_edges), (num_nodes, num_nodes), check_invariants=False
    )
    tx = torch.from_numpy(x).requires_grad_(backward)

    def by_csr() -> None:
        y = matrix @ tx
        if backward:
            y.sum().backward()
            tx.grad = None

    def by_index_add() -> None:
        y = torch.zeros_like(tx).index_add(0, tr, tx.index_select(0, ts))
        if backward:
            y.sum().backward()
            tx.grad = None

    return {
        "PyTorch index_add (Geometric's default)": lambda: seconds(by_index_add),
        "PyTorch CSR product": lambda: seconds(by_csr),
    }
