"""What networks on many graphs are compared with: no network, and no random draw.

``constant`` says the most frequent class, or the mean, of the training graphs.
``linear`` is a linear model of the sum of a graph's node features and of its numbers of
nodes and edges, with an L2 penalty: ridge regression, or logistic regression.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize
import scipy.special

from seqgraph_jax.data.records import GraphData
from seqgraph_jax.data.splits import Split

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


class Baseline(NamedTuple):
    """What a baseline says of every graph after each split, and its size."""

    outputs: np.ndarray  # [R, G] values, or [R, G, C] scores
    num_params: int

    def reached(
        self, data: GraphData, splits: Sequence[Split], part: str
    ) -> np.ndarray:
        """`measure` on a part of each split, such as ``"test"``: ``[R]``."""
        return np.array(
            [
                measure(data, outputs, getattr(split, f"{part}_mask"))
                for outputs, split in zip(self.outputs, splits, strict=True)
            ]
        )


def bag_features(data: GraphData) -> np.ndarray:
    """Sums of node features, numbers of nodes and edges: ``[G, F + 2]``.

    >>> from seqgraph_jax.data.synthetic import draw_molecules
    >>> bag_features(draw_molecules(classes=True))[1]  # a ring of four
    array([0., 1., 3., 4., 8.])
    """
    sums = np.zeros((data.num_graphs, data.nodes.shape[1]))
    np.add.at(sums, np.repeat(np.arange(data.num_graphs), data.n_node), data.nodes)
    return np.column_stack([sums, data.n_node, data.n_edge])


def fit_ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    r"""Weights ``[F + 1]``, the last without penalty, of least squares.

    .. math:: \min_{w, b} \frac{1}{n} \sum_i (w x_i + b - y_i)^2 + \lambda |w|^2

    Shapes: ``x [n, F]``, ``y [n]``.

    >>> fit_ridge(np.array([[0.0], [1.0]]), np.array([1.0, 3.0]), 0.0)
    array([2., 1.])
    """
    centred, mean = x - x.mean(0), x.mean(0)
    matrix = centred.T @ centred / len(x) + penalty * np.eye(x.shape[1])
    weights = np.linalg.solve(matrix, centred.T @ (y - y.mean()) / len(x))
    return np.append(weights, y.mean() - mean @ weights)


def fit_logistic(
    x: np.ndarray, labels: np.ndarray, num_classes: int, penalty: float
) -> np.ndarray:
    r"""Weights ``[F + 1, C]``, the last row without penalty, of logistic regression.

    .. math:: \min_W -\frac{1}{n} \sum_i \log \mathrm{softmax}(W x_i)_{y_i}
        + \lambda |W|^2

    Shapes: ``x [n, F]``, ``labels [n]``.

    >>> weights = fit_logistic(np.array([[0.0], [1.0]]), np.array([0, 1]), 2, 0.01)
    >>> bool(weights[0, 1] > 0 > weights[0, 0])
    True
    """
    x, hot = np.column_stack([x, np.ones(len(x))]), np.eye(num_classes)[labels]
    shape = (x.shape[1], num_classes)
    penalties = np.full((shape[0], 1), penalty)
    penalties[-1] = 0

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(shape)
        logs = scipy.special.log_softmax(x @ weights, axis=1)
        value = -(hot * logs).sum() / len(x) + (penalties * weights**2).sum()
        slope = x.T @ (np.exp(logs) - hot) / len(x) + 2 * penalties * weights
        return value, slope.ravel()

    start = np.zeros(shape[0] * num_classes)
    return scipy.optimize.minimize(loss, start, jac=True).x.reshape(shape)


def _linear(data: GraphData, split: Split, x: np.ndarray) -> np.ndarray:
    """Outputs of the linear model with the penalty that is best for ``val_mask``."""
    deviation = x[split.train_mask].std(0)
    x = (x - x[split.train_mask].mean(0)) / np.where(deviation > 0, deviation, 1)
    train, targets = x[split.train_mask], data.targets[split.train_mask]
    tried: list[tuple[float, int, np.ndarray]] = []
    for penalty in PENALTIES:
        if data.num_classes:
            weights = fit_logistic(train, targets, data.num_classes, penalty)
        else:
            weights = fit_ridge(train, targets, penalty)
        outputs = x @ weights[:-1] + weights[-1:]
        tried.append((loss_of(data, outputs, split.val_mask), len(tried), outputs))
    return min(tried)[-1]


def _constant(data: GraphData, split: Split) -> np.ndarray:
    targets = data.targets[split.train_mask]
    if data.num_classes:
        counts = np.bincount(targets, minlength=data.num_classes)
        return np.tile(counts / counts.sum(), (data.num_graphs, 1))
    return np.full(data.num_graphs, targets.mean())


def loss_of(data: GraphData, outputs: np.ndarray, members: Any) -> float:
    """Mean cross entropy (nats) or squared error of the members' outputs.

    >>> from seqgraph_jax.data.synthetic import draw_molecules
    >>> data = draw_molecules(classes=False)
    >>> loss_of(data, data.targets + 2.0, slice(None))
    4.0
    """
    outputs, targets = outputs[members], data.targets[members]
    if data.num_classes:
        logs = scipy.special.log_softmax(outputs, axis=1)
        return float(-logs[np.arange(len(targets)), targets].mean())
    return float(np.mean((outputs - targets) ** 2))


def measure(data: GraphData, outputs: np.ndarray, members: Any) -> float:
    """Accuracy, or root of the mean squared error, of the members' outputs.

    >>> from seqgraph_jax.data.synthetic import draw_molecules
    >>> data = draw_molecules(classes=False)
    >>> measure(data, data.targets + 2.0, slice(None))
    2.0
    """
    if data.num_classes:
        said = outputs[members].argmax(-1)
        return float(np.mean(said == data.targets[members]))
    return float(np.sqrt(loss_of(data, outputs, members)))


def fit_baselines(data: GraphData, splits: Sequence[Split]) -> dict[str, Baseline]:
    """Both baselines, fitted anew on every split.

    >>> from seqgraph_jax.data.splits import shuffled_split
    >>> from seqgraph_jax.data.synthetic import draw_molecules
    >>> data, splits = draw_molecules(classes=False), [shuffled_split(40, seed=0)]
    >>> found = fit_baselines(data, splits)
    >>> {name: one.reached(data, splits, "test") < 0.1 for name, one in found.items()}
    {'linear': array([ True]), 'constant': array([False])}
    """
    x, num_outputs = bag_features(data), max(1, data.num_classes)
    constant = np.stack([_constant(data, split) for split in splits])
    linear = np.stack([_linear(data, split, x) for split in splits])
    return {
        "linear": Baseline(linear, (x.shape[1] + 1) * num_outputs),
        "constant": Baseline(constant, num_outputs),
    }
