"""Make pyg_layers.npz: PyTorch Geometric's graph layers on a small irregular graph.

    pip install torch==2.13.0 torch_geometric
    python tests/golden/make_graph_golden.py

The graph is directed and has nodes without incoming edges, without any edge, and with a
self-loop. Weights are stored as PyTorch keeps them; the tests transpose. Run again only
if a case is added: the numbers are PyTorch Geometric's, not this project's.
"""

from pathlib import Path

import numpy as np
import torch
from torch_geometric import nn

N, F, H, A, D = 9, 5, 4, 3, 2
SENDERS = [1, 2, 4, 0, 2, 7, 3, 3, 5, 6, 0, 1]
RECEIVERS = [0, 0, 0, 1, 1, 1, 2, 3, 4, 4, 5, 7]


def main() -> None:
    torch.manual_seed(0)
    x = torch.randn(N, F)
    index = torch.tensor([SENDERS, RECEIVERS])
    weights = torch.rand(len(SENDERS)) + 0.1
    edges = torch.randn(len(SENDERS), D)
    arrays = {
        "nodes": x,
        "senders": index[0],
        "receivers": index[1],
        "weights": weights,
        "edges": edges,
    }
    layers = {
        "gcn": (nn.GCNConv(F, H), (x, index)),
        "gcn_weighted": (nn.GCNConv(F, H), (x, index, weights)),
        "gat": (nn.GATConv(F, H, A), (x, index)),
        "gat_mean": (nn.GATConv(F, H, A, concat=False), (x, index)),
        "gatv2": (nn.GATv2Conv(F, H, A, bias=False), (x, index)),
        "gin": (
            nn.GINConv(
                torch.nn.Sequential(
                    torch.nn.Linear(F, H), torch.nn.ReLU(), torch.nn.Linear(H, H)
                ),
                eps=0.3,
                train_eps=True,
            ),
            (x, index[:, index[0] != index[1]]),
        ),
        "gine": (
            nn.GINEConv(
                torch.nn.Sequential(
                    torch.nn.Linear(F, F), torch.nn.ReLU(), torch.nn.Linear(F, F)
                ),
                eps=0.3,
                train_eps=True,
                edge_dim=D,
            ),
            (x, index[:, index[0] != index[1]], edges[index[0] != index[1]]),
        ),
    }
    for name, (layer, arguments) in layers.items():
        with torch.no_grad():
            for key, value in layer.named_parameters():
                if key.endswith("bias") and value.dim() == 1:
                    value.normal_()
            if name == "gine":
                layer.lin.bias.zero_()
        arrays[f"{name}.outputs"] = layer(*arguments).detach()
        for key, value in layer.state_dict().items():
            arrays[f"{name}.{key}"] = value
    graphs = torch.tensor([0, 0, 1, 1, 1, 1, 3, 3, 3])
    arrays["owners"] = graphs
    for how in ("sum", "mean", "max"):
        pool = getattr(nn, f"global_{'add' if how == 'sum' else how}_pool")
        arrays[f"readout.{how}"] = pool(x, graphs, 4)
    path = Path(__file__).with_name("pyg_layers.npz")
    np.savez_compressed(path, **{k: v.numpy() for k, v in arrays.items()})


if __name__ == "__main__":
    main()
