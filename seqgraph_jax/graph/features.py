"""Features of nodes, dense or sparse, and the layers that take both.

Bags of words are about 1 % ones: kept sparse, the first product of a network costs what
its entries cost. Dropout acts on the entries, which is the same as on the whole matrix.
"""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import scipy.sparse

from seqgraph_jax.graph.adjacency import Adjacency, index_edges
from seqgraph_jax.graph.propagation import propagate

glorot = nn.initializers.glorot_uniform()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SparseFeatures:
    """A matrix ``[N, F]`` that is mostly zero: its entries, as edges from F to N."""

    entries: Adjacency
    values: jax.Array  # [number of entries]

    @classmethod
    def of(cls, matrix: Any) -> "SparseFeatures":
        """From a SciPy sparse matrix or an array; explicit zeros stay entries."""
        rows = scipy.sparse.csr_array(matrix, copy=True)
        rows.sort_indices()
        receivers = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        entries = index_edges(rows.indices, receivers, rows.shape[1], rows.shape[0])
        return cls(entries, rows.data.astype(np.float32))

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, F)``."""
        return self.entries.num_receivers, self.entries.num_senders


class Linear(nn.Module):
    """``x W + b`` for dense or sparse ``x [N, F]``; W is Glorot-uniform.

    The product of `SparseFeatures` is a sum over neighbours: of each node's features.
    Raises `ValueError` for ``x`` of another rank.
    """

    features: int
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array | SparseFeatures) -> jax.Array:
        if len(np.shape(x)) != 2:
            raise ValueError(
                f"features of nodes and of edges are [N, F], not {list(np.shape(x))}: "
                "one feature each is x[:, None]"
            )
        kernel = self.param("kernel", glorot, (x.shape[-1], self.features))
        if isinstance(x, SparseFeatures):
            y = propagate(x.entries, x.values, kernel)
        else:
            y = x @ kernel
        if self.use_bias:
            y += self.param("bias", nn.initializers.zeros, (self.features,))[None]
        return y


class NodeDropout(nn.Module):
    """Dropout of node features; of sparse ones, of the entries: the zeros stay zero."""

    rate: float

    @nn.compact
    def __call__(self, x: Any, *, train: bool) -> Any:
        drop = nn.Dropout(self.rate, deterministic=not train)
        if isinstance(x, SparseFeatures):
            return SparseFeatures(x.entries, drop(x.values))
        return drop(x)
