"""Make pygt_cells.npz: one step of PyTorch Geometric Temporal's cells.

    pip install torch==2.13.0 torch_geometric
    pip install --no-deps torch_geometric_temporal==0.56.2
    python tests/golden/make_graph_recurrent_golden.py

The graph is undirected, weighted and irregular, with a self-loop and a node without
edges; the state before the step is random. Each cell is imported from its own file, so
that the package's other dependencies are not needed. Not among them is DCRNN: its edge
weights reach no message. Run again only if a case is added: the numbers are PyTorch
Geometric Temporal's, not this project's.
"""

from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import torch

N, F, H, K = 7, 2, 3, 3
PAIRS = [(0, 1), (0, 2), (1, 2), (2, 3), (3, 4), (4, 5), (1, 4)]


def cell(module: str, name: str) -> type[torch.nn.Module]:
    package = Path(find_spec("torch_geometric_temporal").origin).parent
    spec = spec_from_file_location(module, package / f"nn/recurrent/{module}.py")
    loaded = module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return getattr(loaded, name)


def main() -> None:
    torch.manual_seed(0)
    values = torch.rand(len(PAIRS) + 1) + 0.3
    ends = torch.tensor(PAIRS).T
    index = torch.cat([ends, ends.flip(0), torch.tensor([[3], [3]])], 1)
    weights = torch.cat([values[:-1], values[:-1], values[-1:]])
    x, h, c = torch.randn(N, F), torch.randn(N, H), torch.randn(N, H)
    arrays = {
        "signals": x,
        "hidden": h,
        "cell": c,
        "senders": index[0],
        "receivers": index[1],
        "weights": weights,
    }
    cells = {
        "gconv-gru": (cell("gconv_gru", "GConvGRU")(F, H, K), (h,)),
        "gconv-lstm": (cell("gconv_lstm", "GConvLSTM")(F, H, K), (h, c)),
        "gc-lstm": (cell("gc_lstm", "GCLSTM")(F, H, K), (h, c)),
        "tgcn": (cell("temporalgcn", "TGCN")(F, H), (h,)),
    }
    for name, (module, state) in cells.items():
        with torch.no_grad():
            for value in module.parameters():
                value.normal_(std=0.7)
            outputs = module(x, index, weights, *state)
        new = outputs if isinstance(outputs, tuple) else (outputs,)
        for word, value in zip(("hidden", "cell"), new, strict=False):
            arrays[f"{name}:{word}"] = value
        for key, value in module.state_dict().items():
            arrays[f"{name}.{key}"] = value
    path = Path(__file__).with_name("pygt_cells.npz")
    np.savez_compressed(path, **{k: v.numpy() for k, v in arrays.items()})


if __name__ == "__main__":
    main()
