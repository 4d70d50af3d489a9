"""Networks that forecast the signals at the nodes of a graph."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from seqgraph_jax.graph.networks import GraphLayers
from seqgraph_jax.joined.cells import GRAPH_CELLS
from seqgraph_jax.joined.mixing import SignalLayer


class Forecaster(nn.Module):
    r"""The steps to come at every node, from a window of the past.

    .. math::
        s &= [h_T, \mathrm{relu}(g(h_T)), a] \\
        \hat y_{T+k} &= x_T + W_k s + b_k, \qquad k = 1, \dots, K

    where h is the state of ``encoder`` (a `GraphRecurrent`; without one the window
    itself, its steps as features), g is ``graph_layer``, a layer of the graph behind it
    (without one there is no such term), a is what is known of the steps ahead, if
    anything, and :math:`x_T` the last value, with ``residual`` alone. W and b start at
    zero: the untrained network says that all stays as it is. With ``embedding`` every
    node has so many features of its own, learned, at every step.

    ``inputs`` has ``signals [B, T, N, C]``, of which channel 0 is forecast, ``ahead``
    (``[B, N, K]`` or None) and ``graph``, as `GraphRecurrent` takes it. More than
    ``chunk`` windows go through in groups of so many. Outputs: ``[B, K, N]``.

    >>> import jraph, numpy as np
    >>> from types import SimpleNamespace
    >>> from seqgraph_jax.graph.adjacency import index_graph
    >>> graph = index_graph(jraph.GraphsTuple(
    ...     nodes=None, edges=None, globals=None, senders=np.array([0, 1]),
    ...     receivers=np.array([1, 2]), n_node=np.array([3]), n_edge=np.array([2])))
    >>> signals = jnp.arange(30.0).reshape(2, 5, 3, 1)
    >>> inputs = SimpleNamespace(signals=signals, ahead=None, graph=graph)
    >>> model = FORECASTERS["dcrnn"](features=4, horizon=2)
    >>> outputs, _ = model.init_with_output(jax.random.key(0), inputs)
    >>> outputs.shape, outputs[0, :, 0].tolist()  # untrained: the last value
    ((2, 2, 3), [12.0, 12.0])
    """

    horizon: int
    encoder: Any = None
    graph_layer: Any = None
    residual: bool = True
    embedding: int = 0
    chunk: int = 64

    def __call__(self, inputs: Any, *, train: bool = False) -> jax.Array:
        signals, ahead, graph = inputs.signals, inputs.ahead, inputs.graph
        number = len(signals)
        if number <= self.chunk or self.is_initializing():
            return self.forecast(signals, ahead, graph)
        unbound, variables = self.unbind()
        groups = -(-number // self.chunk)
        rows = np.arange(groups * self.chunk).clip(max=number - 1)

        def grouped(leaf: jax.Array) -> jax.Array:
            return jnp.asarray(leaf[rows].reshape(groups, self.chunk, *leaf.shape[1:]))

        def one(part: Any) -> Any:
            return unbound.apply(variables, *part, graph, method="forecast")

        parts = jax.tree.map(grouped, (signals, ahead))
        outputs = jax.lax.map(one, parts)
        return outputs.reshape(-1, *outputs.shape[2:])[:number]

    @nn.compact
    def forecast(
        self, signals: jax.Array, ahead: jax.Array | None, graph: Any
    ) -> jax.Array:
        """All windows at once; arguments as the fields of ``inputs``."""
        B, T, N, _ = signals.shape
        last = signals[:, -1, :, 0]
        if self.embedding:
            shape = (N, self.embedding)
            own = self.param("embedding", nn.initializers.normal(1.0), shape)
            own = jnp.broadcast_to(own, (B, T, *shape))
            signals = jnp.concatenate([signals, own], axis=-1)
        if self.encoder is None:
            state = jnp.swapaxes(signals, 1, 2).reshape(B, N, -1)
            known = []
        else:
            state = self.encoder(signals, graph)[0].hidden  # [B, N, H]
            known = [state]
        if self.graph_layer is not None:
            heard = SignalLayer(self.graph_layer)(state[:, None], graph)[:, 0]
            known.append(nn.relu(heard))
        if ahead is not None:
            known.append(ahead)
        zeros = nn.initializers.zeros
        head = nn.Dense(self.horizon, kernel_init=zeros, name="head")
        outputs = jnp.swapaxes(head(jnp.concatenate(known, axis=-1)), 1, 2)
        return outputs + last[:, None] if self.residual else outputs


def _of_cell(name: str, features: int, horizon: int, **options: Any) -> Forecaster:
    return Forecaster(horizon, GRAPH_CELLS[name](features), **options)


def _window(features: int, horizon: int, **options: Any) -> Forecaster:
    layers = GraphLayers("gcn", (features, features), drop_inputs=False)
    return Forecaster(horizon, None, layers, **options)


def _time_then_graph(features: int, horizon: int, **options: Any) -> Forecaster:
    layers = GraphLayers("gcn", (features,), drop_inputs=False)
    return Forecaster(horizon, GRAPH_CELLS["gru"](features), layers, **options)


#: Names for the command line; a value takes ``features``, ``horizon`` and the options
#: of a `Forecaster`. ``gcn`` are two convolutions of the window, ``gru-then-graph`` one
#: of the last states of a GRU (Gao and Ribeiro, 2022); the others are `GRAPH_CELLS`.
FORECASTERS: dict[str, Callable[..., Forecaster]] = {
    **{name: partial(_of_cell, name) for name in GRAPH_CELLS},
    "gcn": _window,
    "gru-then-graph": _time_then_graph,
}
