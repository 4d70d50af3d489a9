"""Gates of an LSTM over time: their values at every step, and their saturation."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.nn import sigmoid

from seqgraph_jax.analysis.layers import cell_params
from seqgraph_jax.recurrent.cells import LSTMCell, check_carry
from seqgraph_jax.recurrent.steps import LSTMCarry

#: What the letters of `Gates` stand for.
NAMES = {"g": "candidate", "i": "input gate", "f": "forget gate", "o": "output gate"}

#: The gates in the order in which they are shown.
GATES = ("i", "f", "o", "g")

#: Values below the first are saturated to the left, above the second to the right.
BOUNDS = {"g": (-0.9, 0.9), "i": (0.1, 0.9), "f": (0.1, 0.9), "o": (0.1, 0.9)}


class Gates(NamedTuple):
    """Values within an LSTM at every step, ``[B, T, H]`` each."""

    g: jax.Array  # candidate, -1 to 1
    i: jax.Array  # input gate, 0 to 1
    f: jax.Array  # forget gate, 0 to 1
    o: jax.Array  # output gate, 0 to 1
    cell: jax.Array  # cell state after the step
    hidden: jax.Array  # hidden state after the step, -1 to 1


def lstm_gates(
    params: Any,
    inputs: jax.Array,
    initial_carry: LSTMCarry | None = None,
    *,
    tokens: jax.Array | None = None,
) -> Gates:
    r"""Gates, cell state and hidden state of `LSTMCell` at every position.

    .. math::
        i_t &= \sigma(W_i x_t + U_i h_{t-1} + b_i) &\quad
        f_t &= \sigma(W_f x_t + U_f h_{t-1} + b_f) \\
        g_t &= \tanh(W_g x_t + U_g h_{t-1} + b_g) &\quad
        o_t &= \sigma(W_o x_t + U_o h_{t-1} + b_o) \\
        c_t &= f_t \odot c_{t-1} + i_t \odot g_t &\quad h_t &= o_t \odot \tanh(c_t)

    where ``params`` are those of one cell as Flax stores them: ``input/kernel
    [F, 4H]``, ``input/bias [4H]``, ``recurrent_kernel [H, 4H]``, in the order i, f, g,
    o. Cell and hidden state are the outcome of the cell's own step. Values do not
    depend on positions that follow, so those up to a sequence's end are right whatever
    fills it up; what comes after is for the caller to leave out, as `saturation` does.

    Shapes: ``inputs [B, T, F]``, or with ``tokens [B, T]`` a table ``[V, F]``, as
    in `seqgraph_jax.recurrent.layers`; every field ``[B, T, H]``.

    Raises `ValueError` for parameters of another cell and a carry of another width.

    Source: Gers, Schmidhuber, Cummins, Learning to forget, 2000, section 3.

    >>> cell, inputs = LSTMCell(features=3), jnp.ones((2, 4, 5))
    >>> variables = cell.init(jax.random.key(0), cell.initial_carry(2), inputs[:, 0])
    >>> gates = lstm_gates(variables["params"], inputs)
    >>> gates.f.shape, bool((gates.hidden == gates.o * jnp.tanh(gates.cell)).all())
    ((2, 4, 3), True)
    """
    kernel = params["recurrent_kernel"]
    width = kernel.shape[0]
    if kernel.shape != (width, 4 * width) or "peepholes" in params:
        raise ValueError(
            "these are not the parameters of an LSTMCell: recurrent_kernel has shape "
            f"{list(kernel.shape)} beside {', '.join(sorted(params))}"
        )
    cell = LSTMCell(features=width)
    prepared: Any = cell.apply({"params": params}, inputs, method="prepare")
    step, projected = prepared
    if tokens is not None:
        projected = projected[tokens]  # [B, T, 4H]
    if initial_carry is None:
        initial_carry = cell.initial_carry(projected.shape[0], projected.dtype)
    check_carry(cell, initial_carry)

    def body(carry: LSTMCarry, projected_t: jax.Array) -> tuple[LSTMCarry, Gates]:
        i, f, g, o = jnp.split(projected_t + carry.hidden @ kernel, 4, axis=-1)
        carry, _ = step(carry, projected_t)
        return carry, Gates(jnp.tanh(g), sigmoid(i), sigmoid(f), sigmoid(o), *carry)

    _, gates = lax.scan(body, initial_carry, jnp.swapaxes(projected, 0, 1))
    return jax.tree.map(lambda values: jnp.swapaxes(values, 0, 1), gates)


@jax.jit
def layer_gates(params: Mapping[str, Any], tokens: jax.Array) -> list[Gates]:
    """Gates of every LSTM layer of a network on ``tokens [B, T]``, the lowest first.

    ``params`` are those of a network with an embedding whose layers read in one
    direction. Fields ``[B, T, H]``. Errors as for `lstm_gates`.

    >>> from seqgraph_jax.recurrent.networks import SequenceClassifier
    >>> model = SequenceClassifier("lstm", 8, 3, 2, num_layers=2)
    >>> tokens = jnp.array([[0, 1, 2]])
    >>> params = model.init(jax.random.key(0), tokens)["params"]
    >>> [gates.f.shape for gates in layer_gates(params, tokens)]
    [(1, 3, 8), (1, 3, 8)]
    """
    lowest, *others = cell_params(params)
    layers = [lstm_gates(lowest, params["embedding"], tokens=tokens)]
    for cell in others:
        layers.append(lstm_gates(cell, layers[-1].hidden))
    return layers


def course(params: Mapping[str, Any], tokens: Any) -> list[Gates]:
    """`layer_gates` along one input: ``tokens [T]``, fields NumPy arrays ``[T, H]``.

    >>> from seqgraph_jax.recurrent.networks import SequenceClassifier
    >>> model = SequenceClassifier("lstm", 8, num_symbols=3, num_classes=2)
    >>> params = model.init(jax.random.key(0), jnp.zeros((1, 3), int))["params"]
    >>> course(params, [0, 1, 2])[0].cell.shape
    (3, 8)
    """
    layers = layer_gates(params, jnp.asarray(tokens)[None])
    return [jax.tree.map(lambda values: np.asarray(values[0]), of) for of in layers]


@jax.jit
def answers(params: Mapping[str, Any], hidden: jax.Array) -> jax.Array:
    """Probabilities of the classes after hidden states of a network's top layer.

    Shapes: ``hidden [N, H]``; probabilities ``[N, C]``.

    >>> head = {"kernel": jnp.eye(2), "bias": jnp.zeros(2)}
    >>> answers({"head": head}, jnp.array([[1.0, 1.0]])).tolist()
    [[0.5, 0.5]]
    """
    head = params["head"]
    return jax.nn.softmax(hidden @ head["kernel"] + head["bias"][None])


def most_varied(gates: Gates, count: int) -> np.ndarray:
    """Units whose cell state ``[T, H]`` has the highest SD over T, in that order.

    >>> cell = np.array([[9.0, 0.0, -1.0], [9.0, 1.0, 5.0]])
    >>> most_varied(Gates(*[cell] * 6), 2).tolist()
    [2, 1]
    """
    return np.argsort(-np.std(gates.cell, axis=0), kind="stable")[:count]


class Saturation(NamedTuple):
    """Shares of a unit's values that are saturated, 0 to 1, ``[H]`` or ``[S, H]``."""

    left: jax.Array
    right: jax.Array


def saturation(
    values: jax.Array,
    counted: jax.Array | None = None,
    low: float = 0.1,
    high: float = 0.9,
) -> Saturation:
    r"""How often each unit is shut, and how often it is open.

    .. math::
        l_j = \frac{1}{n} \sum_{b, t} [v_{btj} < \mathrm{low}] \qquad
        r_j = \frac{1}{n} \sum_{b, t} [v_{btj} > \mathrm{high}]

    where the sums are over the n positions that count. The default bounds are those of
    a sigmoid gate; for the candidate g, a tanh, take ``*BOUNDS["g"]``, -0.9 and 0.9.
    These are the stricter ones: there tanh has 19 % of its steepest slope, the sigmoid
    at 0.1 and 0.9 has 36 %. A forget gate to the right of 0.9 keeps its cell state, one
    to the left of 0.1 deletes it.

    Shapes: ``values [..., H]``, ``counted [...]`` true where a position counts, such as
    the digits of a number beside its padding; both shares ``[H]``, NaN if none counts.

    Source: Karpathy, Johnson, Li, Visualizing and understanding recurrent networks,
    2015, section 4.2 and figure 2.

    >>> values = jnp.array([[[0.05, 0.95], [0.5, 0.92]], [[0.0, 0.3], [0.99, 0.1]]])
    >>> counted = jnp.array([[True, True], [True, False]])
    >>> shares = saturation(values, counted)
    >>> [round(share, 3) for share in (*shares.left.tolist(), *shares.right.tolist())]
    [0.667, 0.0, 0.0, 0.667]
    """
    axes = tuple(range(values.ndim - 1))
    if counted is None:
        counted = jnp.ones(values.shape[:-1], bool)
    every = counted[..., None]  # [..., 1]
    count = counted.sum()

    def share(found: jax.Array) -> jax.Array:
        return (found & every).sum(axes) / count

    return Saturation(share(values < low), share(values > high))


class Histogram(NamedTuple):
    """How values are distributed, for each of S seeds."""

    edges: np.ndarray  # [N + 1]
    shares: np.ndarray  # [S, N], which add up to 1 for each seed


class GateCounts(NamedTuple):
    """Distribution and saturation of a layer's gates, by their letters in `GATES`."""

    histograms: dict[str, Histogram]
    saturations: dict[str, Saturation]  # [S, H]


def count_gates(
    seeds: Iterable[Gates], counted: Any = None, num_bins: int = 40
) -> GateCounts:
    """Count the gates of a layer, with the bounds of `BOUNDS`, for each of S networks.

    Shapes: fields ``[B, T, H]``, ``counted [B, T]`` as in `saturation`.

    >>> values = jnp.array([[[0.05, 0.95], [0.5, 0.92]]])  # [1, 2, 2]
    >>> found = count_gates([Gates(*[values] * 6)], num_bins=4)
    >>> found.histograms["f"].shares.tolist(), found.saturations["f"].right.tolist()
    ([[0.25, 0.0, 0.25, 0.5]], [[0.0, 1.0]])
    """
    edges = {g: np.linspace(-1 if g == "g" else 0, 1, num_bins + 1) for g in GATES}
    shares: dict[str, list[Any]] = {gate: [] for gate in GATES}
    saturated: dict[str, list[Any]] = {gate: [] for gate in GATES}
    for of_seed in seeds:
        for gate in GATES:
            values = getattr(of_seed, gate)
            saturated[gate].append(_saturation(values, counted, *BOUNDS[gate]))
            values = np.asarray(values)
            values = values if counted is None else values[np.asarray(counted)]
            found = np.histogram(values, edges[gate])[0] / values.size
            shares[gate].append(found)
    return GateCounts(
        {gate: Histogram(edges[gate], np.array(shares[gate])) for gate in GATES},
        {
            gate: Saturation(*np.swapaxes(np.array(saturated[gate]), 0, 1))
            for gate in GATES
        },
    )


_saturation = jax.jit(saturation)
