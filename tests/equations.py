"""The cells' equations as plain NumPy, gate by gate; written from the papers."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gates(kernel, names, width):
    """Split a kernel or bias of gates side by side into one array per gate."""
    return {
        name: kernel[..., k * width : (k + 1) * width] for k, name in enumerate(names)
    }


def unpack(params):
    params = {
        k: np.asarray(v, np.float64) for k, v in params.items() if k != "input"
    } | {f"input_{k}": np.asarray(v, np.float64) for k, v in params["input"].items()}
    return params, params["recurrent_kernel"].shape[0]


def rnn(params, x, h, c):
    p, _ = unpack(params)
    h = np.tanh(x @ p["input_kernel"] + h @ p["recurrent_kernel"] + p["input_bias"])
    return h, None


def lstm(params, x, h, c):
    p, width = unpack(params)
    W, U, b = (
        gates(p[k], "ifgo", width)
        for k in ("input_kernel", "recurrent_kernel", "input_bias")
    )
    i = sigmoid(x @ W["i"] + h @ U["i"] + b["i"])
    f = sigmoid(x @ W["f"] + h @ U["f"] + b["f"])
    g = np.tanh(x @ W["g"] + h @ U["g"] + b["g"])
    o = sigmoid(x @ W["o"] + h @ U["o"] + b["o"])
    c = f * c + i * g
    return o * np.tanh(c), c


def _gru(params, x, h, reset_after):
    p, width = unpack(params)
    W, U, b = (
        gates(p[k], "rzn", width)
        for k in ("input_kernel", "recurrent_kernel", "input_bias")
    )
    r = sigmoid(x @ W["r"] + h @ U["r"] + b["r"])
    z = sigmoid(x @ W["z"] + h @ U["z"] + b["z"])
    if reset_after:
        n = np.tanh(x @ W["n"] + b["n"] + r * (h @ U["n"] + p["recurrent_bias"]))
    else:
        n = np.tanh(x @ W["n"] + b["n"] + (r * h) @ U["n"])
    return (1 - z) * h + z * n, None


def gru(params, x, h, c):
    return _gru(params, x, h, reset_after=False)


def gru_reset_after(params, x, h, c):
    return _gru(params, x, h, reset_after=True)


def peephole(params, x, h, c):
    p, width = unpack(params)
    W, b = (gates(p[k], "ifgo", width) for k in ("input_kernel", "input_bias"))
    U = gates(p["recurrent_kernel"], "ifo", width)
    i = sigmoid(x @ W["i"] + c @ U["i"] + b["i"])
    f = sigmoid(x @ W["f"] + c @ U["f"] + b["f"])
    o = sigmoid(x @ W["o"] + c @ U["o"] + b["o"])
    g = sigmoid(x @ W["g"] + b["g"])
    c = g * i + c * f
    return np.tanh(c) * o, c


def peephole_diagonal(params, x, h, c):
    p, width = unpack(params)
    W, U, b = (
        gates(p[k], "ifgo", width)
        for k in ("input_kernel", "recurrent_kernel", "input_bias")
    )
    p_i, p_f, p_o = p["peepholes"]
    i = sigmoid(x @ W["i"] + h @ U["i"] + p_i * c + b["i"])
    f = sigmoid(x @ W["f"] + h @ U["f"] + p_f * c + b["f"])
    g = np.tanh(x @ W["g"] + h @ U["g"] + b["g"])
    c = f * c + i * g
    o = sigmoid(x @ W["o"] + h @ U["o"] + p_o * c + b["o"])
    return o * np.tanh(c), c


EQUATIONS = {
    "rnn": rnn,
    "lstm": lstm,
    "gru": gru,
    "gru-reset-after": gru_reset_after,
    "peephole": peephole,
    "peephole-diagonal": peephole_diagonal,
}

#: Number of parameters for F inputs and H features.
NUM_PARAMS = {
    "rnn": lambda F, H: H * (F + H + 1),
    "lstm": lambda F, H: 4 * (F * H + H * H + H),
    "gru": lambda F, H: 3 * (F * H + H * H + H),
    "gru-reset-after": lambda F, H: 3 * (F * H + H * H + H) + H,
    "peephole": lambda F, H: 4 * (F * H + H) + 3 * H * H,
    "peephole-diagonal": lambda F, H: 4 * (F * H + H * H + H) + 3 * H,
}
