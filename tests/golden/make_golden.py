"""Make torch_cells.npz: PyTorch's recurrent layers on small random input.

    pip install torch==2.13.0 && python tests/golden/make_golden.py

Kernels are stored as PyTorch keeps them; the tests transpose. Run again only if a case
is added: the numbers are PyTorch's, not this project's.
"""

from pathlib import Path

import numpy as np
import torch

B, T, F, H = 3, 5, 4, 6
LENGTHS = [5, 2, 4]


def main() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(B, T, F)
    arrays = {"inputs": inputs.numpy(), "lengths": np.array(LENGTHS)}
    layers = {
        "rnn": torch.nn.RNN(F, H, batch_first=True),
        "lstm": torch.nn.LSTM(F, H, batch_first=True),
        "gru": torch.nn.GRU(F, H, batch_first=True),
        "bilstm": torch.nn.LSTM(F, H, batch_first=True, bidirectional=True),
        "stack": torch.nn.LSTM(F, H, batch_first=True, num_layers=2),
    }
    for name, layer in layers.items():
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            inputs, LENGTHS, batch_first=True, enforce_sorted=False
        )
        outputs, last = layer(packed)
        outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)
        hidden = last[0] if isinstance(last, tuple) else last
        arrays[f"{name}.outputs"] = outputs.detach().numpy()
        arrays[f"{name}.hidden"] = hidden.detach().numpy()
        for key, value in layer.state_dict().items():
            arrays[f"{name}.{key}"] = value.numpy()
    np.savez_compressed(Path(__file__).with_name("torch_cells.npz"), **arrays)


if __name__ == "__main__":
    main()
