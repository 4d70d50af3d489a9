"""Tasks on graphs: which nodes are trained on, chosen by, and tested on.

A task on nodes has one batch, the whole graph; what differs is which nodes count. A
seed with a split of its own has a task of its own: `seeds.train_seeds` takes one task,
or one for each seed, and what they share is on the device once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jraph
import numpy as np
import scipy.sparse

from seqgraph_jax.data.splits import Split, check_split
from seqgraph_jax.graph.adjacency import IndexedGraph, index_graph
from seqgraph_jax.graph.features import SparseFeatures
from seqgraph_jax.tasks.classification import Batch, judge_classes
from seqgraph_jax.training.metrics import ACCURACY, CROSS_ENTROPY, Metrics


class NodeTargets(NamedTuple):
    """Classes ``[N]``, and which nodes count ``[N]``: in training, or val and test."""

    labels: jax.Array
    counted: jax.Array
    tested: jax.Array | None = None


def judge_nodes(logits: jax.Array, targets: NodeTargets) -> dict[str, jax.Array]:
    """Loss (nats) and accuracy of the nodes that count, in an evaluation of both sets.

    ``{"loss", "accuracy"}`` of a training batch; of an evaluation ``{"loss",
    "val_accuracy", "test_loss", "test_accuracy"}``, where the loss is of validation. A
    node without a label counts nowhere.
    """
    labels, counted, tested = targets
    labels, known = labels.clip(0), labels >= 0
    counted = counted & known
    metrics = judge_classes(logits, labels, counted)
    if tested is None:
        return metrics
    test = judge_classes(logits, labels, tested & known)
    return {
        "loss": metrics["loss"],
        "val_accuracy": metrics["accuracy"],
        "test_loss": test["loss"],
        "test_accuracy": test["accuracy"],
    }


VAL_ACCURACY = replace(ACCURACY, name="val_accuracy", label="validation accuracy")
TEST_ACCURACY = replace(ACCURACY, name="test_accuracy", label="test accuracy")
TEST_LOSS = replace(CROSS_ENTROPY, name="test_loss", label="test loss")

#: `judge_nodes`, with what its numbers are.
node_metrics = Metrics(
    judge_nodes, (VAL_ACCURACY, TEST_ACCURACY, CROSS_ENTROPY, TEST_LOSS, ACCURACY)
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NodeTask:
    """What is the class of a node? One graph, some of whose nodes have a known class.

    Every update sees the whole graph and counts the nodes of ``split.train_mask``; the
    evaluation counts those of ``split.val_mask``, and beside them ``split.test_mask``.
    Nodes without a label count nowhere. A set without any node that counts, and sets
    that overlap, are refused before training.
    """

    inputs: IndexedGraph
    labels: jax.Array  # [N], -1 for none
    split: Split

    metrics = node_metrics
    one_batch = True

    def check(self) -> None:
        check_split(self.split, self.labels)

    def sample(self, key: jax.Array, batch_size: int) -> Batch:
        return Batch(self.inputs, NodeTargets(self.labels, self.split.train_mask))

    def evaluation(self, key: jax.Array, size: int) -> Batch:
        targets = NodeTargets(self.labels, self.split.val_mask, self.split.test_mask)
        return Batch(self.inputs, targets)

    def with_splits(self, splits: Sequence[Split]) -> "list[NodeTask]":
        """A task for each split, with one graph among them."""
        return [replace(self, split=split) for split in splits]


def node_inputs(graph: jraph.GraphsTuple, features: Any) -> IndexedGraph:
    """A graph with features as networks take it: indexed, and sparse where they are.

    ``features [N, F]`` is an array or a SciPy sparse matrix, taken as it is
    (`seqgraph_jax.data.node_features` puts it on a scale); at most a tenth of its
    entries not zero make it `SparseFeatures`. Raises `ValueError` for another shape.
    """
    shape, num_nodes = np.shape(features), int(np.sum(graph.n_node))
    if len(shape) != 2 or shape[0] != num_nodes:
        raise ValueError(
            f"features must be [N, F], a row for each of {num_nodes} nodes, not of "
            f"shape {list(shape)}"
        )
    rows = scipy.sparse.csr_array(features, dtype=np.float32, copy=True)
    rows.eliminate_zeros()
    sparse = rows.nnz <= 0.1 * rows.shape[0] * rows.shape[1]
    nodes = SparseFeatures.of(rows) if sparse else rows.toarray().astype(np.float32)
    return index_graph(graph._replace(nodes=nodes))
