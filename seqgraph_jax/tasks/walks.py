"""Classes of nodes, read from random walks that end at them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from seqgraph_jax.graph.adjacency import IndexedGraph
from seqgraph_jax.graph.walks import draw_walks
from seqgraph_jax.tasks.classification import Batch
from seqgraph_jax.tasks.nodes import NodeTargets, NodeTask, node_metrics


class Walks(NamedTuple):
    """Features of all nodes, ``[N, F]`` or sparse, and walks ``[B, W, L]`` of nodes."""

    features: Any
    nodes: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WalkTask:
    """What is the class of a node? Read from walks of ``length`` nodes that end there.

    Every update draws ``num_walks`` new ones for each node that is trained on; an
    evaluation has ``eval_walks`` for each node of validation and test, the same in all
    evaluations. Classes and sets are those of a `NodeTask`.
    """

    graph: IndexedGraph
    labels: Any  # [N]
    train: Any  # nodes that are trained on
    held: Any  # nodes of validation and test
    val_mask: Any  # of the held, bool
    length: int = field(metadata={"static": True})
    num_walks: int = field(metadata={"static": True})
    eval_walks: int = field(metadata={"static": True})

    metrics = node_metrics

    def sample(self, key: jax.Array, batch_size: int) -> Batch:
        walks = self.walks(key, self.train, self.num_walks)
        labels = jnp.asarray(self.labels)[self.train]
        return Batch(walks, NodeTargets(labels, jnp.ones(len(labels), bool)))

    def evaluation(self, key: jax.Array, size: int) -> Batch:
        walks = self.walks(key, self.held, self.eval_walks)
        labels = jnp.asarray(self.labels)[self.held]
        val = jnp.asarray(self.val_mask)
        return Batch(walks, NodeTargets(labels, val, ~val))

    def walks(self, key: jax.Array, nodes: Any, num_walks: int) -> Walks:
        """New walks to the given nodes."""
        ends = jnp.asarray(nodes)
        drawn = draw_walks(key, self.graph.adjacency, ends, num_walks, self.length)
        return Walks(self.graph.graph.nodes, drawn)

    def test_accuracies(self, run: Any, redraws: int) -> np.ndarray:
        """Test accuracy of a run's networks with walks drawn again, ``[S, redraws]``.

        ``run`` is anything with the ``predict`` of a `Run`.
        """
        nodes = np.asarray(self.held)[~np.asarray(self.val_mask)]
        labels = np.asarray(self.labels)[nodes]
        columns = []
        for key in jax.random.split(jax.random.key(0x7E57), redraws):
            walks = self.walks(key, nodes, self.eval_walks)
            said = run.predict(walks, batch_size=None).argmax(-1)
            columns.append((said == labels).mean(1))
        return np.stack(columns, axis=1)


def walk_task(
    task: NodeTask, length: int, num_walks: int = 4, eval_walks: int = 16
) -> WalkTask:
    """The nodes of a task by walks.

    >>> import seqgraph_jax as sg
    >>> data = sg.datasets.load("karate")
    >>> inputs = sg.node_inputs(data.graph(), np.eye(34))
    >>> split = sg.random_split(data.labels, seed=0, per_class=5)
    >>> walks = walk_task(sg.NodeTask(inputs, data.labels, split), length=3)
    >>> walks.sample(jax.random.key(0), 1).inputs.nodes.shape
    (10, 4, 3)
    """
    task.check()
    known = np.asarray(task.labels) >= 0
    train, val, test = (np.asarray(mask) & known for mask in task.split)
    held = np.flatnonzero(val | test).astype(np.int32)
    return WalkTask(
        graph=task.inputs,
        labels=task.labels,
        train=np.flatnonzero(train).astype(np.int32),
        held=held,
        val_mask=val[held],
        length=length,
        num_walks=num_walks,
        eval_walks=eval_walks,
    )


def walk_tasks(
    task: NodeTask, lengths: Mapping[str, int], num_walks: int, eval_walks: int
) -> dict[str, NodeTask | WalkTask]:
    """By name, the nodes of a task by walks of so many nodes; of 0 the task itself."""
    return {
        name: walk_task(task, length, num_walks, eval_walks) if length else task
        for name, length in lengths.items()
    }
