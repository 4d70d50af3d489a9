"""Message passing with shared weights, whose update is a recurrent cell."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict
from jax import lax

from seqgraph_jax.graph.adjacency import IndexedGraph
from seqgraph_jax.graph.paths import path_graphs, read_positions
from seqgraph_jax.graph.propagation import propagate
from seqgraph_jax.recurrent.networks import cell_named


def pass_rounds(
    step: Any, carry: Any, projected: jax.Array, graph: IndexedGraph, num_rounds: int
) -> Any:
    r"""Rounds in which every node's cell goes on from the states of its senders.

    .. math:: s_i^{(k)} = \mathrm{cell}\Big(x_i,\, \sum_{j \to i} a_{ji}
        s_j^{(k-1)}\Big), \qquad s_i^{(0)} = \text{carry}_i

    where a are the edge weights, 1 without any, and s the whole carry of the cell. A
    node without a sender starts from zeros in every round. On the path 1 -> 2 -> ...
    -> T round k gives node i the state of the recurrent network that starts at zeros
    and reads x from max(1, i - k + 1) to i: after T rounds that of the whole beginning,
    for T T steps of the cell in place of T.

    Shapes: ``projected [N, G]``, all that ``cell.prepare`` makes of the inputs; carry,
    given and returned, leaves ``[N, H]``.

    Source: Scarselli et al., The graph neural network model, 2009, equation 1, with a
    cell as transition function and a number of rounds in place of a fixed point.

    >>> import numpy as np
    >>> from seqgraph_jax.recurrent.cells import RNNCell
    >>> cell, x = RNNCell(features=3), jnp.ones((1, 4, 2))
    >>> params = cell.init(jax.random.key(0), cell.initial_carry(4), x[0])
    >>> step, projected = cell.apply(params, x[0], method="prepare")
    >>> path = path_graphs(x, jnp.array([4]))
    >>> pass_rounds(step, cell.initial_carry(4), projected, path, 4).hidden.shape
    (4, 3)
    """
    weights = graph.graph.edges
    if weights is None:
        weights = jnp.ones(len(graph.adjacency.senders))
    hear = partial(propagate, graph.adjacency, weights)

    def one_round(carry: Any, _: None) -> tuple[Any, None]:
        carry, _ = step(jax.tree.map(hear, carry), projected)
        return carry, None

    return lax.scan(one_round, carry, length=num_rounds)[0]


class RoundsReader(nn.Module):
    """A recurrent network as message passing on the path of each sequence.

    `pass_rounds` with T rounds, from each position to the next, and a linear layer on
    the state of the last position. With the parameters of a `PaddedReader`, which have
    the same names, it gives the same outputs, up to rounding, and takes T times as many
    steps of the cell.

    Shapes: ``(tokens [B, T], lengths [B])`` to ``[B, num_outputs]``.

    >>> model = RoundsReader("gru", features=4, num_symbols=3, num_outputs=2)
    >>> inputs = jnp.array([[1, 2, 1], [2, 1, 0]]), jnp.array([3, 2])
    >>> model.apply(model.init(jax.random.key(0), inputs), inputs).shape
    (2, 2)
    """

    cell: str
    features: int
    num_outputs: int
    num_symbols: int
    embedding_features: int = 16
    cell_options: Mapping[str, Any] = FrozenDict()

    @nn.compact
    def __call__(
        self, inputs: tuple[jax.Array, jax.Array], *, train: bool = False
    ) -> jax.Array:
        tokens, lengths = inputs
        shape = (self.num_symbols, self.embedding_features)
        embedding = self.param("embedding", nn.initializers.normal(1.0), shape)
        make, _ = cell_named(self.cell)
        cell: Any = make(features=self.features, name="layer_0", **self.cell_options)
        step, table = cell.prepare(embedding)  # [V, G]
        graph = path_graphs(table[tokens], lengths)
        carry = cell.initial_carry(tokens.size, table.dtype)
        last = pass_rounds(step, carry, graph.graph.nodes, graph, tokens.shape[1])
        states = last.hidden.reshape(*tokens.shape, self.features)
        read = read_positions(states, lengths, "last")
        return nn.Dense(self.num_outputs, name="head")(read)
