"""What a layer of a graph makes of the signals of many steps and windows.

A layer is one of three: `GraphTaps`, which are linear and have no parameters; a graph
layer with parameters, such as `GraphConvolution`, `GraphAttention` or `GraphLayers`; or
None, every node for itself. Within this wing values of one step are ``[N, B, F]``: the
windows of a batch are columns of one product with the graph, which is there once.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from seqgraph_jax.graph.adjacency import IndexedGraph
from seqgraph_jax.graph.networks import GraphLayers
from seqgraph_jax.graph.taps import GraphTaps
from seqgraph_jax.joined.graphs import changes_in_time

Layer = GraphTaps | nn.Module | None


class Mixer(NamedTuple):
    """A layer as a pure function of one step, and what it needs of the graph."""

    mix: Callable[[Any, jax.Array], jax.Array]  # operators, [N, B, F] -> [N, B, M]
    operators: Any  # of a graph that changes in time with a leading T

    def width(self, changes: bool, x: jax.Array | jax.ShapeDtypeStruct) -> int:
        """M for values ``x [N, B, F]``."""
        operators = self.operators
        if changes:
            operators = jax.tree.map(lambda leaf: leaf[0], operators)
        return jax.eval_shape(self.mix, operators, x).shape[-1]


def mixer(layer: Layer, graph: IndexedGraph, num_features: int) -> Mixer:
    """The layer for values ``[N, B, num_features]``; its parameters exist afterwards.

    Raises `ValueError` for a layer with dropout.
    """
    plain = graph.graph._replace(nodes=None, globals=None)
    graph = IndexedGraph(plain, graph.adjacency)
    changes = changes_in_time(graph)
    if layer is None:
        return Mixer(lambda _, x: x, ())
    if isinstance(layer, GraphTaps):
        operators = jax.vmap(layer.operators) if changes else layer.operators
        return Mixer(layer.mix, operators(graph))
    if getattr(layer, "dropout_rate", 0):
        raise ValueError(
            f"{type(layer).__name__}(dropout_rate={layer.dropout_rate}) cannot be a "
            "layer over time: put flax.linen.Dropout before or behind it"
        )

    def arguments(graph: IndexedGraph, nodes: jax.Array) -> tuple[Any, ...]:
        inputs = IndexedGraph(graph.graph._replace(nodes=nodes), graph.adjacency)
        return (inputs,) if isinstance(layer, GraphLayers) else inputs

    if layer.is_initializing():
        first = jax.tree.map(lambda leaf: leaf[0], graph) if changes else graph
        layer(*arguments(first, jnp.zeros((graph.adjacency.num_senders, num_features))))
    unbound, variables = layer.unbind()

    def mix(graph: IndexedGraph, x: jax.Array) -> jax.Array:
        def one(nodes: jax.Array) -> jax.Array:
            outputs: Any = unbound.apply(variables, *arguments(graph, nodes))
            return outputs.nodes

        return jax.vmap(one, in_axes=1, out_axes=1)(x)

    return Mixer(mix, graph)


def mix_steps(layer: Layer, graph: IndexedGraph, x: jax.Array) -> jax.Array:
    """The layer at all steps at once: ``[T, N, B, F]`` to ``[T, N, B, M]``."""
    mix, operators = mixer(layer, graph, x.shape[-1])
    axis = 0 if changes_in_time(graph) else None
    return jax.vmap(mix, in_axes=(axis, 0))(operators, x)


def check_signals(signals: jax.Array, graph: IndexedGraph) -> None:
    """Raise `ValueError` if signals ``[B, T, N, F]`` and graph do not go together."""
    num_nodes = graph.adjacency.num_receivers
    if signals.ndim != 4 or signals.shape[2] != num_nodes:
        raise ValueError(
            f"signals on this graph are [B, T, {num_nodes}, F], not "
            f"{list(signals.shape)}"
        )
    if changes_in_time(graph) and len(graph.adjacency.senders) != signals.shape[1]:
        raise ValueError(
            f"there are {signals.shape[1]} steps of signals and graphs of "
            f"{len(graph.adjacency.senders)} steps"
        )


class SignalLayer(nn.Module):
    """A graph layer at every step of every window.

    ``layer`` is `GraphTaps` or a graph layer. Behind a recurrent layer it makes a
    network that is first of time, then of the graph (Gao and Ribeiro, 2022).

    Shapes: signals ``[B, T, N, F]`` to ``[B, T, N, M]``; ``graph`` as in
    `GraphRecurrent`.

    Raises `ValueError` as `GraphRecurrent` does.

    >>> import jraph, numpy as np
    >>> from seqgraph_jax.graph.adjacency import index_graph
    >>> from seqgraph_jax.graph.layers import GraphConvolution
    >>> from seqgraph_jax.joined.layers import GraphRecurrent
    >>> from seqgraph_jax.recurrent.cells import GRUCell
    >>> class TimeThenGraph(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, signals, graph):
    ...         carry, _ = GraphRecurrent(GRUCell(3))(signals, graph)
    ...         last = carry.hidden[:, None]  # [B, 1, N, 3]
    ...         return SignalLayer(GraphConvolution(4))(last, graph)[:, 0]
    >>> graph = index_graph(jraph.GraphsTuple(
    ...     nodes=None, edges=None, globals=None, senders=np.array([0, 1]),
    ...     receivers=np.array([1, 2]), n_node=np.array([3]), n_edge=np.array([2])))
    >>> signals = jnp.ones((2, 5, 3, 1))
    >>> outputs, _ = TimeThenGraph().init_with_output(
    ...     jax.random.key(0), signals, graph)
    >>> outputs.shape
    (2, 3, 4)
    """

    layer: Any

    def __call__(self, signals: jax.Array, graph: IndexedGraph) -> jax.Array:
        check_signals(signals, graph)
        x = mix_steps(self.layer, graph, jnp.transpose(signals, (1, 2, 0, 3)))
        return jnp.transpose(x, (2, 0, 1, 3))
