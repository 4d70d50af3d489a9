"""Tasks on the graphs of a `GraphTask` that are read as sequences."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from seqgraph_jax.data.sequences import Sequences
from seqgraph_jax.tasks.classification import Batch
from seqgraph_jax.tasks.graphs import GraphTargets, GraphTask
from seqgraph_jax.tasks.strings import Padded
from seqgraph_jax.training.metrics import Metrics


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SequenceTask:
    """The class, or the value, of a graph, of which there are R sequences.

    Batches, sets and scale are those of ``graphs``, for the same key the same graphs.
    An update draws one of a graph's sequences, an evaluation takes the first.

    >>> import seqgraph_jax as sg
    >>> from seqgraph_jax.data.sequences import depth_first
    >>> data = sg.data.draw_molecules(classes=True)
    >>> [graphs] = sg.make_tasks(data, [sg.data.shuffled_split(40, seed=0)])
    >>> task = sequence_task(graphs, depth_first(data, num_orders=2))
    >>> task.sample(jax.random.key(0), 4).inputs.values.shape
    (4, 8, 9)
    """

    graphs: GraphTask
    values: Any  # [G, R, T] symbols, or [G, R, T, F]
    lengths: Any  # [G]

    @property
    def metrics(self) -> Metrics:
        """Those of the graphs."""
        return self.graphs.metrics

    def sample(self, key: jax.Array, batch_size: int) -> Batch:
        chosen = self.graphs.draw(key, batch_size)
        order_key = jax.random.fold_in(key, 1)
        orders = jax.random.randint(order_key, (batch_size,), 0, self.values.shape[1])
        targets = GraphTargets(jnp.asarray(self.graphs.targets)[chosen])
        return Batch(self.read(chosen, orders), targets)

    def evaluation(self, key: jax.Array, size: int) -> Batch:
        of = self.graphs
        held = jnp.asarray(of.held)
        values = jnp.asarray(of.targets)[held]
        targets = GraphTargets(values, of.val_mask, of.test_mask)
        return Batch(self.read(held, jnp.zeros_like(held)), targets)

    def read(self, chosen: jax.Array, orders: jax.Array) -> Padded:
        """Sequences of the chosen graphs, ``[B]``."""
        values, lengths = jnp.asarray(self.values), jnp.asarray(self.lengths)
        return Padded(values[chosen, orders], lengths[chosen])


def sequence_task(graphs: GraphTask, sequences: Sequences) -> SequenceTask:
    """The graphs of a task as sequences.

    Raises `ValueError` for another number of sequences than of graphs.
    """
    if len(sequences.lengths) != len(graphs.targets):
        raise ValueError(
            f"there are {len(sequences.lengths)} sequences for {len(graphs.targets)} "
            "graphs"
        )
    return SequenceTask(graphs, sequences.values, sequences.lengths)
