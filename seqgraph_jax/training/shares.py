"""The rows of a run, shared out over the processes that train it."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from seqgraph_jax.training.hosts import exchange, num_processes, process


class Share(NamedTuple):
    """How many of S rows each process has, in order, and which process this is."""

    counts: tuple[int, ...]
    process: int = 0

    @property
    def rows(self) -> np.ndarray:
        """Numbers of this process's rows; one without any takes the first, to drop."""
        start = self.process * self.counts[0]
        return np.arange(start, start + self.own) if self.own else np.zeros(1, int)

    @property
    def own(self) -> int:
        """How many rows this process has."""
        return self.counts[self.process]

    @property
    def num_rows(self) -> int:
        """How many rows all processes have."""
        return sum(self.counts)

    def take(self, tree: Any) -> Any:
        """This process's rows of a tree of all."""
        if len(self.counts) == 1:
            return tree
        return jax.tree.map(lambda leaf: leaf[self.rows], tree)

    def gather(self, tree: Any) -> Any:
        """Rows of all processes, ``[S, ...]``, from those that each has in `rows`."""
        if len(self.counts) == 1:
            return tree
        leaves, structure = jax.tree.flatten(tree)
        leaves = [np.asarray(leaf) for leaf in leaves]
        message = np.concatenate([as_bytes(leaf) for leaf in leaves], axis=1)
        filled = np.zeros((self.counts[0], message.shape[1]), np.uint8)
        filled[: self.own] = message[: self.own]
        rows = exchange(filled).reshape(-1, message.shape[1])[: self.num_rows]
        found, start = [], 0
        for leaf in leaves:
            size = leaf[0].nbytes
            column = rows[:, start : start + size].tobytes()
            shape = (self.num_rows, *leaf.shape[1:])
            found.append(np.frombuffer(column, leaf.dtype).reshape(shape))
            start += size
        return jax.tree.unflatten(structure, found)

    def spread(self, leaf: np.ndarray) -> jax.Array:
        """One array of the rows of all processes, filled up with zeros at its end."""
        own = np.zeros((self.counts[0], *leaf.shape[1:]), leaf.dtype)
        own[: self.own] = leaf[: self.own]
        first = [jax.local_devices(p)[0] for p in range(len(self.counts))]
        mesh = Mesh(np.array(first), ("rows",))
        sharding = NamedSharding(mesh, PartitionSpec("rows"))
        shape = (len(own) * len(first), *leaf.shape[1:])
        return jax.make_array_from_process_local_data(sharding, own, shape)


def share_out(num_rows: int, width: int) -> Share:
    """Share rows out over the processes, in whole groups of ``width``.

    >>> share_out(5, width=2)
    Share(counts=(5,), process=0)
    """
    each = width * -(-num_rows // (width * num_processes()))
    starts = each * np.arange(num_processes())
    counts = np.clip(num_rows - starts, 0, each)
    return Share(tuple(counts.tolist()), process())


def as_bytes(leaf: np.ndarray) -> np.ndarray:
    """Bytes of each row, ``[S, bytes]``."""
    return np.frombuffer(leaf.tobytes(), np.uint8).reshape(len(leaf), -1)
