"""A recurrent cell at every node of a graph, whose states hear one another."""

from inspect import signature
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from seqgraph_jax.graph.adjacency import IndexedGraph
from seqgraph_jax.joined.graphs import changes_in_time
from seqgraph_jax.joined.mixing import check_signals, mix_steps, mixer
from seqgraph_jax.recurrent.layers import scan_steps


class GraphRecurrent(nn.Module):
    r"""A cell over time at every node of a graph, the same one for all nodes.

    Of the cell's equations every input ``W x`` becomes ``W p(x)``, and every recurrent
    product ``U h`` becomes ``U m(h)``; of the GRU, say,

    .. math::
        r, z &= \sigma(W_{r,z}\, p(x_t) + U_{r,z}\, m(h_{t-1}) + b_{r,z}) \\
        n &= \tanh(W_n\, p(x_t) + U_n\, m(r \odot h_{t-1}) + b_n) \\
        h_t &= (1 - z) \odot h_{t-1} + z \odot n

    where the rows of x and h are nodes, p is ``input_layer`` and m ``recurrent_layer``:
    each is `GraphTaps` (``m(h) = [P_1 h, ..., P_K h]``), a graph layer such as
    `GraphAttention`, whose attention all gates share, or None, the identity. With both
    None the nodes do not know of one another. `GRAPH_CELLS` has the cells with a name.

    ``graph`` is an `IndexedGraph` (`index_graph`), its nodes are not looked at; or
    `graphs_in_time`, the graph of step t for the signals of step t. Windows that have
    graphs of their own go through `jax.vmap`, with a batch of one each.

    ``p(x_t)``, its product with W, and what depends on the graph alone are computed
    for all steps before the scan. A step's values are ``[N, B, H]``, so the taps of all
    windows are one product with the graph of B H columns. In memory: ``[T, N B, G]``
    for G projected features, and for gradients the K taps of every step.

    Shapes: signals ``[B, T, N, F]``; outputs ``[B, T, N, H]``; of the carry, given and
    returned, every leaf ``[B, N, H]``. The recurrent kernel is ``[K H, G]``, tap by tap
    (``[M, G]`` for a layer that gives M features). Parameters: those of the cell with
    these widths, and of the layers.

    Raises `ValueError` for signals, graph and carry that do not go together, a layer
    with dropout, and a cell that cannot mix.

    Source: Seo et al., Structured sequence modeling with graph convolutional recurrent
    networks, 2018, equations 7 to 9.

    >>> import jraph, numpy as np
    >>> from seqgraph_jax.graph.adjacency import index_graph
    >>> from seqgraph_jax.graph.taps import GraphTaps
    >>> from seqgraph_jax.recurrent.cells import GRUCell
    >>> graph = index_graph(jraph.GraphsTuple(
    ...     nodes=None, edges=np.array([0.5, 2.0]), globals=None,
    ...     senders=np.array([0, 1]), receivers=np.array([1, 2]),
    ...     n_node=np.array([3]), n_edge=np.array([2])))
    >>> taps = GraphTaps("diffusion", order=2)
    >>> layer = GraphRecurrent(GRUCell(features=4), taps, taps)
    >>> signals = jnp.ones((2, 5, 3, 1))
    >>> params = layer.init(jax.random.key(0), signals, graph)
    >>> carry, outputs = layer.apply(params, signals, graph)
    >>> carry.hidden.shape, outputs.shape
    ((2, 3, 4), (2, 5, 3, 4))
    >>> carry, outputs = layer.apply(params, signals, graph, carry)  # goes on
    """

    cell: nn.Module
    input_layer: Any = None
    recurrent_layer: Any = None

    def __call__(
        self, signals: jax.Array, graph: IndexedGraph, initial_carry: Any = None
    ) -> tuple[Any, jax.Array]:
        check_signals(signals, graph)
        B, T, N, _ = signals.shape
        x = jnp.transpose(signals, (1, 2, 0, 3))  # [T, N, B, F]
        x = mix_steps(self.input_layer, graph, x)  # [T, N, B, M]
        x = x.reshape(T, N * B, -1)
        if self.recurrent_layer is None:
            step, projected = self.cell.prepare(x)  # [T, N B, G]
            inputs = projected
        else:
            step, projected, inputs = self.mixed(x, graph, N)
        if initial_carry is None:
            carry = self.cell.initial_carry(N * B, projected.dtype)
        else:
            carry = self.to_rows(initial_carry, (B, N, self.cell.features))
        carry, outputs = scan_steps(step, carry, inputs)  # [T, N B, H]
        carry = jax.tree.map(lambda h: jnp.swapaxes(h.reshape(N, B, -1), 0, 1), carry)
        return carry, jnp.transpose(outputs.reshape(T, N, B, -1), (2, 0, 1, 3))

    def mixed(self, x: jax.Array, graph: IndexedGraph, N: int) -> tuple[Any, ...]:
        """Step, projection and inputs of the scan, where states hear one another."""
        if "mixed_features" not in signature(self.cell.prepare).parameters:
            raise ValueError(
                f"{type(self.cell).__name__} cannot have a recurrent layer: its "
                "prepare takes no mixed_features"
            )
        changes, rows = changes_in_time(graph), x.shape[1]
        width = self.cell.features
        mixing = mixer(self.recurrent_layer, graph, width)
        values = jax.ShapeDtypeStruct((N, rows // N, width), x.dtype)
        prepared, projected = self.cell.prepare(x, mixing.width(changes, values))

        def step(carry: Any, inputs: Any) -> tuple[Any, jax.Array]:
            projected_t, operators_t = inputs
            operators = operators_t if changes else mixing.operators

            def mix(h: jax.Array) -> jax.Array:  # [N B, H] to [N B, M]
                y = mixing.mix(operators, h.reshape(N, rows // N, width))
                return y.reshape(rows, -1)

            return prepared(carry, projected_t, mix=mix)

        return step, projected, (projected, mixing.operators if changes else None)

    def to_rows(self, carry: Any, shape: tuple[int, int, int]) -> Any:
        """Every leaf ``[B, N, H]`` as rows ``[N B, H]``."""
        for name, leaf in zip(carry._fields, carry, strict=True):
            if leaf.shape != shape:
                raise ValueError(
                    f"these signals need a carry of shape {list(shape)}, but "
                    f"carry.{name} has shape {list(leaf.shape)}"
                )
        return jax.tree.map(
            lambda h: jnp.swapaxes(h, 0, 1).reshape(-1, shape[2]), carry
        )
