"""Graphs that are drawn, small enough to try out what learns from real ones."""

import numpy as np

from seqgraph_jax.data.arrays import flat_graphs
from seqgraph_jax.data.records import GraphData


def draw_molecules(classes: bool, num_graphs: int = 40) -> GraphData:
    """Chains of random atoms, some closed to a ring: the class, or a value with it.

    The value is the number of atoms, less two in a ring. Atoms are of three kinds,
    bonds of two, each one-hot. The draw is always the same.

    >>> data = draw_molecules(classes=True)
    >>> data.num_graphs, data.class_names, data.nodes.shape[1], data.edges.shape[1]
    (40, ('chain', 'ring'), 3, 2)
    """
    rng = np.random.default_rng(0)
    n_node = rng.integers(1, 9, num_graphs)
    closed = (rng.random(num_graphs) < 0.5) & (n_node > 2)
    closed[:2], n_node[:2] = (False, True), 4  # both classes are there
    pairs = [
        (first + i, first + (i + 1) % n)
        for first, n, ring in zip(n_node.cumsum() - n_node, n_node, closed, strict=True)
        for i in range(n - 1 + ring)
    ]
    ends = np.array(pairs + [pair[::-1] for pair in pairs])
    kinds = np.tile(np.eye(2)[rng.integers(0, 2, len(pairs))], (2, 1))
    atoms = np.eye(3)[rng.integers(0, 3, n_node.sum())]
    return flat_graphs(
        "synthetic molecules",
        n_node,
        atoms,
        ends[:, 0],
        ends[:, 1],
        closed.astype(np.int32) if classes else (n_node - 2.0 * closed),
        edges=kinds,
        class_names=("chain", "ring") if classes else (),
        target_name="class" if classes else "size (atoms)",
        scaffolds=np.where(closed, n_node, 0),
    )
