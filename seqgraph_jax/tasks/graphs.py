"""Tasks on many graphs: the class, or the value, of each; batches are of one shape."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jraph
import numpy as np

from seqgraph_jax.data.records import GraphData
from seqgraph_jax.data.splits import Split, check_split
from seqgraph_jax.graph.adjacency import IndexedGraph, index_graph
from seqgraph_jax.tasks.batches import (
    Slots,
    batch_slots,
    draw_sorted,
    gather_graphs,
    room_for,
)
from seqgraph_jax.tasks.classification import Batch, judge_classes
from seqgraph_jax.tasks.nodes import TEST_ACCURACY, VAL_ACCURACY
from seqgraph_jax.training.metrics import (
    ACCURACY,
    CROSS_ENTROPY,
    FROM_ZERO,
    Metric,
    Metrics,
)


class GraphTargets(NamedTuple):
    """Classes or values ``[B]``, and which count ``[B]``: all, or val and test."""

    values: jax.Array
    counted: jax.Array | None = None
    tested: jax.Array | None = None


_RMSE = Metric("rmse", "RMSE", better="lower", digits=3, bounds=FROM_ZERO)
_SQUARED = replace(CROSS_ENTROPY, unit="squared standard deviations")


def _records(judged: Sequence[Metric], loss: Metric, plain: Metric) -> Any:
    """Those of an evaluation, whose ``loss`` is of validation, and of training."""
    return (
        *judged,
        replace(loss, label="validation loss"),
        replace(loss, name="test_loss", label="test loss"),
        loss.of_training(),
        plain,
    )


#: What the numbers of a `GraphTask` are: of classes, and of values.
CLASSES = _records((VAL_ACCURACY, TEST_ACCURACY), CROSS_ENTROPY, ACCURACY)
VALUES = _records(
    (
        replace(_RMSE, name="val_rmse", label="validation RMSE"),
        replace(_RMSE, name="test_rmse", label="test RMSE"),
    ),
    _SQUARED,
    _RMSE,
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GraphTask:
    """What is the class, or the value, of a graph? With one split of the graphs.

    Values are learned with the mean 0 and the standard deviation 1 of the training
    graphs; ``rmse``, the root of the mean squared error, is in the values' own unit.
    The evaluation holds the graphs of ``val_mask`` and ``test_mask``: its ``loss`` is
    that of ``val_mask``, in nats or, of values, in squared deviations. Tasks of
    several splits have the same shapes (`make_tasks`), and ``inputs`` and ``targets``
    in common.

    Raises `ValueError` for a larger batch than there is room for.
    """

    inputs: IndexedGraph  # all graphs, [G]
    targets: Any  # [G]
    train: Any  # training graphs by size, and zeros at the end
    num_train: Any  # [], how many there are
    held: Any  # [H], graphs of the evaluation
    val_mask: Any  # [H] bool
    test_mask: Any  # [H] bool
    mean: Any  # [], of the training values
    deviation: Any  # []
    num_classes: int = field(metadata={"static": True})  # 0 for values
    unit: str = field(metadata={"static": True})  # of values
    batch_size: int = field(metadata={"static": True})  # the largest
    slots: Slots = field(metadata={"static": True})  # of a batch
    held_slots: Slots = field(metadata={"static": True})  # of the evaluation

    def draw(self, key: jax.Array, batch_size: int) -> jax.Array:
        """Numbers of the training graphs of a batch, ``[B]``."""
        if batch_size > self.batch_size:
            raise ValueError(
                f"a batch of {batch_size} graphs is larger than the {self.batch_size} "
                "that the task has room for"
            )
        drawn = draw_sorted(key, self.num_train, batch_size)
        return jnp.asarray(self.train)[drawn]

    def sample(self, key: jax.Array, batch_size: int) -> Batch:
        chosen = self.draw(key, batch_size)
        graphs = gather_graphs(self.inputs, chosen, self.slots)
        return Batch(graphs, GraphTargets(jnp.asarray(self.targets)[chosen]))

    def evaluation(self, key: jax.Array, size: int) -> Batch:
        graphs = gather_graphs(self.inputs, self.held, self.held_slots)
        targets = GraphTargets(self.targets[self.held], self.val_mask, self.test_mask)
        return Batch(graphs, targets)

    @property
    def metrics(self) -> Metrics:
        """`judge`, with what its numbers are."""
        if self.num_classes:
            return Metrics(self.judge, CLASSES)
        own = (
            record if record.unit else replace(record, unit=self.unit)
            for record in VALUES
        )
        return Metrics(self.judge, tuple(own))

    def judge(self, outputs: jax.Array, targets: GraphTargets) -> dict[str, jax.Array]:
        """Of outputs ``[B + 1, C]``, or ``[B + 1, 1]`` for values; the last is padding.

        ``{"loss", "accuracy" or "rmse"}``, and of an evaluation, for example,
        ``{"loss", "val_rmse", "test_loss", "test_rmse"}``.
        """
        values, counted, tested = targets
        measure = self._of_classes if self.num_classes else self._of_values
        outputs = outputs[: len(values)]
        found = measure(outputs, values, counted)
        if tested is None:
            return found
        test = measure(outputs, values, tested)
        name = "accuracy" if self.num_classes else "rmse"
        return {
            "loss": found["loss"],
            f"val_{name}": found[name],
            "test_loss": test["loss"],
            f"test_{name}": test[name],
        }

    _of_classes = staticmethod(judge_classes)

    def _of_values(
        self, outputs: jax.Array, values: jax.Array, counted: jax.Array | None
    ) -> dict[str, jax.Array]:
        errors = outputs[:, 0] - (values - self.mean) / self.deviation
        loss = (errors**2).mean(where=counted)
        return {"loss": loss, "rmse": self.deviation * jnp.sqrt(loss)}


def unit_of(target_name: str) -> str:
    """The unit of values: it stands in brackets behind their name, or is the name.

    >>> unit_of("log solubility (log10 mol/L)"), unit_of("charge")
    ('log10 mol/L', 'charge')
    """
    name, _, unit = target_name.partition("(")
    return unit.rstrip(")") or name


def answers(tasks: Sequence[GraphTask], outputs: np.ndarray) -> np.ndarray:
    """What the outputs of R runs say of N graphs, for a task of each or one for all.

    Shapes: ``outputs [R, N, C]``; returns scores of classes as they are, or values
    ``[R, N]``, which are learned standardised, in their own unit.

    >>> from seqgraph_jax.data.splits import shuffled_split
    >>> from seqgraph_jax.data.synthetic import draw_molecules
    >>> data = draw_molecules(classes=False)
    >>> [task] = make_tasks(data, [shuffled_split(40, seed=0)])
    >>> bool((answers([task], np.zeros((2, 40, 1))) == task.mean).all())
    True
    """
    if tasks[0].num_classes:
        return outputs
    means, deviations = (
        np.array([[getattr(task, name)] for task in tasks])
        for name in ("mean", "deviation")
    )
    return means + deviations * outputs[..., 0]


def filled(tasks: Sequence[GraphTask]) -> tuple[float, float]:
    """Shares of a full batch's nodes and of its edges that are no padding, mean.

    >>> from seqgraph_jax.data.splits import shuffled_split
    >>> from seqgraph_jax.data.synthetic import draw_molecules
    >>> data = draw_molecules(classes=True)
    >>> tasks = make_tasks(data, [shuffled_split(40, seed=0)], batch_size=8)
    >>> all(0.5 < share < 1 for share in filled(tasks))
    True
    """
    graph, slots, batch_size = (
        tasks[0].inputs.graph,
        tasks[0].slots,
        tasks[0].batch_size,
    )
    nodes, edges = (
        batch_size
        * np.mean([n[task.train[: task.num_train]].mean() for task in tasks])
        / room
        for n, room in ((graph.n_node, slots.nodes), (graph.n_edge, slots.edges))
    )
    return float(nodes), float(edges)


def make_tasks(
    data: GraphData,
    splits: Sequence[Split],
    batch_size: int = 32,
    use_edges: bool = True,
) -> list[GraphTask]:
    """A task for each split, of one shape; without ``use_edges`` no edge features.

    Raises `DataError` for a split with an empty set, or with sets that overlap.
    """
    for split in splits:
        check_split(split, what="graph")
    graph = jraph.GraphsTuple(
        nodes=data.nodes,
        edges=data.edges if use_edges else None,
        senders=data.senders,
        receivers=data.receivers,
        globals=None,
        n_node=data.n_node,
        n_edge=data.n_edge,
    )
    inputs, targets = index_graph(graph), data.targets
    by_size = np.lexsort((data.n_edge, data.n_node)).astype(np.int32)
    trains = [by_size[split.train_mask[by_size]] for split in splits]
    helds = [np.flatnonzero(split.val_mask | split.test_mask) for split in splits]
    longest, most = max(map(len, trains)), max(map(len, helds))
    helds = [np.pad(held, (0, most - len(held))).astype(np.int32) for held in helds]

    def most_of(slots: list[Slots]) -> Slots:
        return Slots(*(max(column) for column in zip(*slots, strict=True)))

    n_node, n_edge = data.n_node, data.n_edge
    slots = most_of([batch_slots(n_node[t], n_edge[t], batch_size) for t in trains])
    held_slots = most_of([room_for(n_node[h].sum(), n_edge[h].sum()) for h in helds])
    tasks = []
    for split, train, held in zip(splits, trains, helds, strict=True):
        exists = np.arange(most) < (split.val_mask | split.test_mask).sum()
        values = targets[train].astype(np.float32)
        task = GraphTask(
            inputs=inputs,
            targets=targets,
            train=np.pad(train, (0, longest - len(train))),
            num_train=np.int32(len(train)),
            held=held,
            val_mask=split.val_mask[held] & exists,
            test_mask=split.test_mask[held] & exists,
            mean=values.mean(),
            deviation=values.std() or np.float32(1),
            num_classes=data.num_classes,
            unit=unit_of(data.target_name),
            batch_size=batch_size,
            slots=slots,
            held_slots=held_slots,
        )
        tasks.append(task)
    return tasks
