"""Tasks on many small graphs, such as molecules, in batches of one shape.

A batch is one graph made of the chosen ones and of a padding graph, which fills it up
to a fixed number of nodes and edges. Training graphs are sorted by size and a batch
takes one from each of B parts of that order, so that all batches are nearly equally
large: one shape holds any of them, with little padding, and a network is compiled once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jraph
import numpy as np

from seqgraph_jax.data.records import GraphData
from seqgraph_jax.data.splits import Split
from seqgraph_jax.graph.adjacency import Adjacency, IndexedGraph, index_graph
from seqgraph_jax.tasks.classification import Batch, judge_classes
from seqgraph_jax.tasks.nodes import TEST_ACCURACY, TEST_LOSS, VAL_ACCURACY
from seqgraph_jax.training.metrics import ACCURACY, CROSS_ENTROPY, Metric, Metrics


class Slots(NamedTuple):
    """Room of a batch: its nodes and edges, those of the padding graph included."""

    nodes: int
    edges: int


def batch_slots(n_node: np.ndarray, n_edge: np.ndarray, batch_size: int) -> Slots:
    """Room for any batch that `draw_sorted` takes of these graphs, in this order.

    The sum, over the B parts of the order, of the largest size up to the part's end;
    one node more, which padding edges join to itself; rounded up to multiples of 8.

    >>> batch_slots(np.array([1, 2, 3, 9]), np.array([0, 2, 4, 20]), batch_size=2)
    Slots(nodes=16, edges=24)
    """
    ends = (np.arange(1, batch_size + 1) * len(n_node) - 1) // batch_size
    return _room(*(np.maximum.accumulate(n)[ends].sum() for n in (n_node, n_edge)))


def _room(num_nodes: int, num_edges: int) -> Slots:
    """With a node more, rounded up to multiples of 8."""
    return Slots(8 * -(-(int(num_nodes) + 1) // 8), 8 * -(-int(num_edges) // 8))


def draw_sorted(key: jax.Array, num_graphs: Any, batch_size: int) -> jax.Array:
    r"""Places ``[B]`` in a list, one from each of B equally long parts of it.

    .. math:: i_k = \lfloor (k n + v_k) / B \rfloor, \qquad
        v_k \text{ uniform in } 0, \dots, n - 1

    Of all the numbers k n + v, each there once, exactly B give the place i: so every
    place is expected B / n times in a batch.
    """
    within = jax.random.randint(key, (batch_size,), 0, num_graphs)
    return (jnp.arange(batch_size) * num_graphs + within) // batch_size


def _placed(
    counts: jax.Array, chosen: jax.Array, num_slots: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Where rows of the chosen graphs, behind one another, come from.

    ``counts [G]`` are the rows of each graph. Returns the batch's counts ``[B + 1]``;
    what is added to a row's number, ``[B + 1]``; and whose each slot is,
    ``[num_slots]``, where B is the padding.
    """
    own = counts[chosen]
    ends = jnp.cumsum(own)
    before = (jnp.cumsum(counts) - counts)[chosen]
    shifts = jnp.append(ends - own - before, 0)
    owners = jnp.searchsorted(ends, jnp.arange(num_slots), side="right")
    return jnp.append(own, num_slots - ends[-1]), shifts, owners


@partial(jax.jit, static_argnames="slots")
def gather_graphs(whole: IndexedGraph, chosen: jax.Array, slots: Slots) -> IndexedGraph:
    """The chosen of many graphs, ``[B]``, and a padding graph as the last, indexed.

    ``slots`` must have room for them and for one node more. Padding edges join the last
    node to itself. A graph may be chosen more than once.
    """
    graph, adjacency = whole
    num_chosen, last = len(chosen), slots.nodes - 1
    n_node, node_shifts, node_owners = _placed(graph.n_node, chosen, slots.nodes)
    n_edge, edge_shifts, edge_owners = _placed(graph.n_edge, chosen, slots.edges)
    real_node, real_edge = node_owners < num_chosen, edge_owners < num_chosen
    node, edge = jnp.arange(slots.nodes), jnp.arange(slots.edges)
    node_rows = jnp.where(real_node, node - node_shifts[node_owners], 0)
    edge_rows = jnp.where(real_edge, edge - edge_shifts[edge_owners], 0)

    def ends(nodes: jax.Array) -> jax.Array:
        return jnp.where(real_edge, nodes[edge_rows] + node_shifts[edge_owners], last)

    def starts(of_nodes: jax.Array) -> jax.Array:
        moved = of_nodes[node_rows] + edge_shifts[node_owners]
        padding = slots.edges - n_edge[-1]
        return jnp.append(jnp.where(real_node, moved, padding), slots.edges)

    order = adjacency.by_sender[edge_rows] + edge_shifts[edge_owners]
    by_sender = jnp.where(real_edge, order, edge)
    senders, receivers = ends(adjacency.senders), ends(adjacency.receivers)
    batch = jraph.GraphsTuple(
        nodes=jnp.where(real_node[:, None], graph.nodes[node_rows], 0),
        edges=None
        if graph.edges is None
        else jnp.where(real_edge[:, None], graph.edges[edge_rows], 0),
        senders=senders,
        receivers=receivers,
        globals=None,
        n_node=n_node,
        n_edge=n_edge,
    )
    indexed = Adjacency(
        senders,
        receivers,
        slots.nodes,
        slots.nodes,
        starts(adjacency.starts),
        by_sender,
        receivers[by_sender],
        starts(adjacency.sender_starts),
    )
    return IndexedGraph(batch, indexed)


class GraphTargets(NamedTuple):
    """Classes or values ``[B]``, and which count ``[B]``: all, or val and test."""

    values: jax.Array
    counted: jax.Array | None = None
    tested: jax.Array | None = None


#: What the numbers of a `GraphTask` are: of classes, and of values.
CLASSES = (VAL_ACCURACY, TEST_ACCURACY, CROSS_ENTROPY, TEST_LOSS, ACCURACY)
_SQUARED = "squared standard deviations"
VALUES = (
    Metric("val_rmse", "validation RMSE", better="lower", digits=3),
    Metric("test_rmse", "test RMSE", better="lower", digits=3),
    Metric("loss", "loss", unit=_SQUARED, better="lower"),
    Metric("test_loss", "test loss", unit=_SQUARED, better="lower"),
    Metric("rmse", "RMSE", better="lower", digits=3),
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GraphTask:
    """What is the class, or the value, of a graph? With one split of the graphs.

    Values are learned with the mean 0 and the standard deviation 1 of the training
    graphs; ``rmse``, the root of the mean squared error, is in the values' own unit.
    The evaluation holds the graphs of ``val`` and ``test``: its ``loss`` is that of
    ``val``, in nats or, of values, in squared deviations. Tasks of several splits have
    the same shapes (`make_tasks`), and ``inputs`` and ``targets`` in common.

    Raises `ValueError` for a larger batch than there is room for.
    """

    inputs: IndexedGraph  # all graphs, [G]
    targets: Any  # [G]
    train: Any  # training graphs by size, and zeros at the end
    num_train: Any  # [], how many there are
    held: Any  # [H], graphs of the evaluation
    val: Any  # [H] bool
    test: Any  # [H] bool
    mean: Any  # [], of the training values
    deviation: Any  # []
    num_classes: int = field(metadata={"static": True})  # 0 for values
    batch_size: int = field(metadata={"static": True})  # the largest
    slots: Slots = field(metadata={"static": True})  # of a batch
    held_slots: Slots = field(metadata={"static": True})  # of the evaluation

    def sample(self, key: jax.Array, batch_size: int) -> Batch:
        if batch_size > self.batch_size:
            raise ValueError(
                f"a batch of {batch_size} graphs is larger than the {self.batch_size} "
                "that the task has room for"
            )
        drawn = draw_sorted(key, self.num_train, batch_size)
        chosen = jnp.asarray(self.train)[drawn]
        graphs = gather_graphs(self.inputs, chosen, self.slots)
        return Batch(graphs, GraphTargets(jnp.asarray(self.targets)[chosen]))

    def evaluation(self, key: jax.Array, size: int) -> Batch:
        graphs = gather_graphs(self.inputs, self.held, self.held_slots)
        targets = GraphTargets(self.targets[self.held], self.val, self.test)
        return Batch(graphs, targets)

    @property
    def metrics(self) -> Metrics:
        """`judge`, with what its numbers are."""
        return Metrics(self.judge, CLASSES if self.num_classes else VALUES)

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


def make_tasks(
    data: GraphData,
    splits: Sequence[Split],
    batch_size: int = 32,
    use_edges: bool = True,
) -> list[GraphTask]:
    """A task for each split, of one shape; without ``use_edges`` no edge features."""
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
    trains = [by_size[split.train[by_size]] for split in splits]
    helds = [np.flatnonzero(split.val | split.test) for split in splits]
    longest, most = max(map(len, trains)), max(map(len, helds))
    helds = [np.pad(held, (0, most - len(held))).astype(np.int32) for held in helds]

    def most_of(slots: list[Slots]) -> Slots:
        return Slots(*(max(column) for column in zip(*slots, strict=True)))

    n_node, n_edge = data.n_node, data.n_edge
    slots = most_of([batch_slots(n_node[t], n_edge[t], batch_size) for t in trains])
    held_slots = most_of([_room(n_node[h].sum(), n_edge[h].sum()) for h in helds])
    tasks = []
    for split, train, held in zip(splits, trains, helds, strict=True):
        exists = np.arange(most) < (split.val | split.test).sum()
        values = targets[train].astype(np.float32)
        task = GraphTask(
            inputs=inputs,
            targets=targets,
            train=np.pad(train, (0, longest - len(train))),
            num_train=np.int32(len(train)),
            held=held,
            val=split.val[held] & exists,
            test=split.test[held] & exists,
            mean=values.mean(),
            deviation=values.std() or np.float32(1),
            num_classes=data.num_classes,
            batch_size=batch_size,
            slots=slots,
            held_slots=held_slots,
        )
        tasks.append(task)
    return tasks
