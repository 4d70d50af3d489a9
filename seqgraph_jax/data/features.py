"""What a node is described by."""

from typing import Any

import numpy as np
from scipy import sparse

from seqgraph_jax.data.records import DataError, NodeData


def node_features(data: NodeData, kind: str = "auto") -> Any:
    """Features of nodes ``[N, F]``: an array, or sparse where few are not 0.

    ``"own"`` are those that the data set brings, ``"degree"`` is the number of edges
    that come in, one-hot, 100 and more alike, and ``"identity"`` one feature for each
    node; ``"auto"`` are its own where it has any, else identity. Raises `DataError` for
    own ones that are not there.
    """
    if kind == "own" and data.features is None:
        raise DataError(f"{data.name} has no features: choose identity or degree")
    if kind == "degree":
        degrees = np.bincount(data.receivers, minlength=data.num_nodes)
        return np.eye(101)[degrees.clip(max=100)]
    if kind == "identity" or data.features is None:
        return sparse.eye_array(data.num_nodes)
    return data.features
