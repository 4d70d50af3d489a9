"""What a node is described by, and on which scale."""

from typing import Any

import numpy as np
from scipy import sparse

from seqgraph_jax.data.checks import DataError
from seqgraph_jax.data.records import NodeData


def features_kind(data: NodeData, kind: str = "auto") -> str:
    """What ``auto`` and ``own`` are in a data set; every other kind is itself.

    ``auto`` is ``own`` where the data set brings features, else ``identity``. ``own``
    is ``rows`` for counts, such as those of words: more than one column of whole
    numbers from 0 on, at least half of them 0. Anything else is ``standard``. Raises
    `DataError` for features that the data set should bring and does not.
    """
    if kind in ("identity", "degree") or (kind == "auto" and data.features is None):
        return "identity" if kind == "auto" else kind
    if data.features is None:
        raise DataError(f"{data.name} has no features: choose identity or degree")
    if kind not in ("auto", "own"):
        return kind
    return "rows" if _are_counts(data.features) else "standard"


def _are_counts(features: Any) -> bool:
    values = features.data if sparse.issparse(features) else features
    whole = ((values >= 0) & (values == np.round(values))).all()
    most = 2 * np.count_nonzero(values) <= np.prod(features.shape)
    return bool(features.shape[1] > 1 and whole and most)


def node_features(data: NodeData, kind: str = "auto", train_mask: Any = None) -> Any:
    """Features of nodes ``[N, F]``: an array, or sparse where few are not 0.

    Those that the data set brings: ``"raw"`` as they stand; ``"rows"``, each row
    divided by the sum of its absolute values where that is not 0, as papers on Cora do;
    ``"standard"``, each column less its mean and divided by its standard deviation over
    the nodes in ``train_mask``, over all without one (by 1 where these are equal).
    ``"degree"`` is the number of edges that come in, one-hot, 100 and more alike, and
    ``"identity"`` one feature for each node. For ``"auto"`` and ``"own"`` see
    `features_kind`, which raises `DataError` for own ones that are not there.

    >>> from seqgraph_jax.data.records import from_arrays
    >>> data = from_arrays([0], [1], [[3.0], [5.0], [9.0]])
    >>> node_features(data, train_mask=np.array([True, True, False])).ravel().tolist()
    [-1.0, 1.0, 5.0]
    """
    kind = features_kind(data, kind)
    features: Any = data.features
    if kind == "degree":
        degrees = np.bincount(data.receivers, minlength=data.num_nodes)
        return np.eye(101)[degrees.clip(max=100)]
    if kind == "identity":
        return sparse.eye_array(data.num_nodes)
    if kind == "rows":
        rows = sparse.csr_array(features)
        sums = np.asarray(abs(rows).sum(axis=1)).ravel()
        scale = 1 / np.where(sums > 0, sums, 1)
        return sparse.csr_array(sparse.diags_array(scale) @ rows)
    if kind == "standard":
        dense = features.toarray() if sparse.issparse(features) else features
        dense = dense.astype(np.float64)
        of = dense if train_mask is None else dense[np.asarray(train_mask)]
        differ = of.max(0) > of.min(0)
        return (dense - of.mean(0)) / np.where(differ, of.std(0), 1)
    return features
