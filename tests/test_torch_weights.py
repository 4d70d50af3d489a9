"""PyTorch's weights here and back, against outputs that PyTorch gave."""

from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqgraph_jax.recurrent import torch_weights
from seqgraph_jax.recurrent.cells import LSTMCell
from seqgraph_jax.recurrent.layers import scan_steps
from seqgraph_jax.text.networks import CharLM

GOLDEN = Path(__file__).parent / "golden" / "torch_cells.npz"


def test_two_layers_give_what_torch_gave():
    golden = np.load(GOLDEN)
    params = torch_weights.from_torch_lstm(
        {
            name: array
            for name, array in torch_weights.load_state_dict(GOLDEN, "stack.").items()
            if name.startswith(("weight", "bias"))
        }
    )
    assert list(params) == ["layer_0", "layer_1"]
    lengths = golden["lengths"]
    outputs = jnp.asarray(golden["inputs"])
    for layer in params.values():
        cell = LSTMCell(features=len(layer["recurrent_kernel"])).bind({"params": layer})
        step, projected = cell.prepare(outputs)
        carry = cell.initial_carry(len(outputs))
        _, outputs = scan_steps(step, carry, projected.swapaxes(0, 1), lengths)
        outputs = outputs.swapaxes(0, 1)
    np.testing.assert_allclose(outputs, golden["stack.outputs"], atol=1e-6)


def test_there_and_back_inside_a_model(key, tmp_path):
    model = CharLM("lstm", features=6, num_symbols=5, embedding_features=4)
    tokens = jax.random.randint(key, (2, 7), 0, 5)
    params = model.init(key, tokens)["params"]
    state_dict = torch_weights.to_torch_lstm(params)
    assert state_dict["weight_ih_l1"].shape == (24, 6)
    from safetensors.numpy import save_file

    np.savez(tmp_path / "lstm.npz", **{f"rnn.{n}": a for n, a in state_dict.items()})
    save_file(
        {f"rnn.{n}": np.ascontiguousarray(a) for n, a in state_dict.items()},
        tmp_path / "lstm.safetensors",
    )
    for name in ("lstm.npz", "lstm.safetensors"):
        read = torch_weights.load_state_dict(tmp_path / name, "rnn.")
        back = {**params, **torch_weights.from_torch_lstm(read)}
        chex.assert_trees_all_equal(back, params)
    # A bias that PyTorch splits in two counts once as their sum.
    state_dict["bias_hh_l0"] = state_dict["bias_hh_l0"] + 1
    shifted = torch_weights.from_torch_lstm(state_dict)["layer_0"]["input"]["bias"]
    np.testing.assert_allclose(shifted, params["layer_0"]["input"]["bias"] + 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight_ih_l0_reverse": np.zeros((8, 3))}, "weight_ih_l0_reverse"),
        ({"weight_ih_l0": np.zeros((6, 3))}, "weight_ih of layer 0 has shape"),
        ({"bias_ih_l0": np.zeros(3)}, "bias"),
    ],
)
def test_other_weights_are_refused(change, message):
    weights = {
        "weight_ih_l0": np.zeros((8, 3)),
        "weight_hh_l0": np.zeros((8, 2)),
        "bias_ih_l0": np.zeros(8),
    }
    with pytest.raises(ValueError, match=message):
        torch_weights.from_torch_lstm({**weights, **change})
    with pytest.raises(ValueError, match="no weight_ih_l0"):
        torch_weights.from_torch_lstm({})


@pytest.mark.parametrize(
    "gone", ["weight_hh_l0", "weight_hh_l1", "weight_ih_l0", "weight_ih_l1"]
)
def test_weights_that_are_missing_are_named(gone):
    shapes = {"weight_ih_l0": (8, 3), "weight_hh_l0": (8, 2)}
    shapes |= {"weight_ih_l1": (8, 2), "weight_hh_l1": (8, 2), "bias_ih_l1": (8,)}
    weights = {name: np.zeros(shape) for name, shape in shapes.items()}
    with pytest.raises(ValueError, match=f"LSTM: {gone} is no matrix"):
        torch_weights.from_torch_lstm(weights | {gone: np.zeros(8)})
    del weights[gone]
    with pytest.raises(ValueError, match=r"(weight_.h_l[01] is missing|it has .*_l1)"):
        torch_weights.from_torch_lstm(weights)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"head": {}}, "there is no layer_0, only head"),
        ({"layer_0_forward": {}, "layer_0_backward": {}}, "layer_0 is not one of an"),
        ({"layer_0": {"recurrent_kernel": np.zeros((2, 6))}}, "layer_0 is not one of"),
    ],
)
def test_layers_that_torch_has_not_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        torch_weights.to_torch_lstm(params)


def test_objects_and_other_files_are_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path(tmp_path / "ran").touch, ())

    np.savez(tmp_path / "trap.npz", weight_ih_l0=np.array([Trap()], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        torch_weights.load_state_dict(tmp_path / "trap.npz")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(ValueError, match="neither"):
        torch_weights.load_state_dict(tmp_path / "model.pt")
