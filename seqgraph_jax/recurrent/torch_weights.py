"""PyTorch's ``nn.LSTM`` weights to this project's parameters and back, without PyTorch.

A state dictionary is a mapping from name to array, ``weight_ih_l0 [4H, F]``,
``weight_hh_l0 [4H, H]``, ``bias_ih_l0 [4H]``, ``bias_hh_l0 [4H]`` and so on for every
layer. PyTorch's gates lie in the same order as here: i, f, g, o.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def load_state_dict(path: Path | str, prefix: str = "") -> dict[str, np.ndarray]:
    """Arrays of an .npz or .safetensors file whose names start with ``prefix``.

    The prefix is taken off. Nothing in the file is executed: no pickle is read.
    Raises `ValueError` for another kind of file and for objects in an .npz.
    """
    path = Path(path)
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    elif path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        arrays = dict(load_file(path))
    else:
        raise ValueError(f"{path} is neither .npz nor .safetensors")
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def from_torch_lstm(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of the LSTM layers of a `CharLM`, under the names that it gives them.

    ``{**params, **from_torch_lstm(state_dict)}`` puts them into a model. The two biases
    of PyTorch are added up. Gates may lack biases. Raises `ValueError` for weights of
    both directions or with a projection, for some that are missing, and for shapes that
    do not fit.

    >>> rng = np.random.default_rng(0)
    >>> shapes = {"weight_ih_l0": (8, 3), "weight_hh_l0": (8, 2)}
    >>> weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    >>> params = from_torch_lstm(weights)
    >>> params["layer_0"]["input"]["kernel"].shape
    (3, 8)
    """
    num_layers = sum(name.startswith("weight_ih_l") for name in state_dict)
    known = {
        f"{kind}_l{layer}"
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        for layer in range(num_layers)
    }
    unknown = sorted(set(state_dict) - known)
    if unknown or not num_layers:
        what = f"it has {', '.join(unknown)}" if unknown else "it has no weight_ih_l0"
        raise ValueError(f"not the weights of an nn.LSTM of one direction: {what}")
    for layer in range(num_layers):
        for name in (f"weight_ih_l{layer}", f"weight_hh_l{layer}"):
            if np.ndim(state_dict.get(name, 0)) != 2:
                what = "is no matrix" if name in state_dict else "is missing"
                raise ValueError(f"not all weights of an nn.LSTM: {name} {what}")
    params = {}
    for layer in range(num_layers):
        kernel = np.asarray(state_dict[f"weight_ih_l{layer}"], np.float32).T
        recurrent = np.asarray(state_dict[f"weight_hh_l{layer}"], np.float32).T
        width = len(recurrent)
        zeros = np.zeros(4 * width, np.float32)
        biases = [
            np.asarray(state_dict.get(f"{name}_l{layer}", zeros), np.float32)
            for name in ("bias_ih", "bias_hh")
        ]
        for name, array, shape in (
            ("weight_ih", kernel, (kernel.shape[0], 4 * width)),
            ("weight_hh", recurrent, (width, 4 * width)),
            ("bias_ih", biases[0], (4 * width,)),
            ("bias_hh", biases[1], (4 * width,)),
        ):
            if np.shape(array) != shape:
                raise ValueError(
                    f"{name} of layer {layer} has shape {list(np.shape(array)[::-1])}, "
                    f"not {list(shape[::-1])}"
                )
        params[f"layer_{layer}"] = {
            "input": {"kernel": kernel, "bias": biases[0] + biases[1]},
            "recurrent_kernel": recurrent,
        }
    return params


def to_torch_lstm(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The state dictionary of an ``nn.LSTM`` with the LSTM layers' parameters.

    Other parameters are left out. The bias becomes ``bias_ih``, and ``bias_hh`` is
    zero. Inverse of `from_torch_lstm`. Raises `ValueError` without a layer, and for
    layers of another cell.
    """
    num_layers = sum(name.startswith("layer_") for name in params)
    if not num_layers:
        raise ValueError(f"there is no layer_0, only {', '.join(params) or 'nothing'}")
    state_dict: dict[str, np.ndarray] = {}
    for layer in range(num_layers):
        cell = params.get(f"layer_{layer}", {})
        shape = np.shape(cell.get("recurrent_kernel", 0))
        if shape[1:] != (4 * sum(shape[:1]),) or "peepholes" in cell:
            raise ValueError(f"layer_{layer} is not one of an LSTM of one direction")
        bias = np.asarray(cell["input"]["bias"])
        state_dict |= {
            f"weight_ih_l{layer}": np.asarray(cell["input"]["kernel"]).T,
            f"weight_hh_l{layer}": np.asarray(cell["recurrent_kernel"]).T,
            f"bias_ih_l{layer}": bias,
            f"bias_hh_l{layer}": np.zeros_like(bias),
        }
    return state_dict
