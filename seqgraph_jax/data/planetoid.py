"""One graph with labels: raw files of Planetoid and LastFM, and the ``.npz`` kept.

Planetoid's files (Yang, Cohen and Salakhutdinov, ICML 2016) are pickles of Python 2. A
pickle can name any function to be called, so these are read by an unpickler that knows
a few names, and has its own classes for them that only keep what the file holds.
"""

import io
import pickle
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from seqgraph_jax.data.checks import DataError
from seqgraph_jax.data.files import read_rows
from seqgraph_jax.data.records import NodeData, from_arrays

PARTS = ("x", "y", "tx", "ty", "allx", "ally", "graph", "test.index")
_PLANETOID = (
    "https://raw.githubusercontent.com/kimiyoung/planetoid/"
    "af6abf468a772cc055bec88c52e4d6f51b7c37e3/data/ind."
)
_FEATHER = (
    "https://raw.githubusercontent.com/benedekrozemberczki/FEATHER/"
    "045db7963fb367eb9aed6439ceea96320e8ac7cc/new_node_level_dataset/"
)


def _addresses(name: str, hashes: str) -> dict[str, str]:
    urls = (f"{_PLANETOID}{name}.{part}" for part in PARTS)
    return dict(zip(urls, hashes.split(), strict=True))


#: SHA-256 of the file at each address.
CORA_FILES = _addresses(
    "cora",
    """
    23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab
    94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1
    b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a
    41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad
    9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543
    2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71
    58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d
    297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875
    """,
)
CITESEER_FILES = _addresses(
    "citeseer",
    """
    d20de19150741e555de0ed037195630fc194114ebc7fd72ced62810148aa22f6
    8ba87e515d8e3ee3cf52f6d2c5b86aa73f11ecad825a808455209ec26cd54924
    539a8906a2da97628d212f2fdd668c109a8b3f0d36574b59e5d3fd5b5303da21
    55e5bd1ba1e733a04598753ad1a8d57957f4b8f89e74519f41f4f4938767e4ce
    2ac30345d95c9ec933a817ee0bdd6a5f077f8c184a20e696910192d534414668
    f704b2d986dde6c2669934de1f3ae5696a6cf9455c0f6b2646a2d135ea0a1c95
    d79a4ef9d3e7169aee8946145f6b7306e35bc79bffad26346cfb94e10e9912a7
    2af990671580b6b2df5d158d1038f8292e30c9cd821b5453f399659b25b723d4
    """,
)
LASTFM_FILES = {
    f"{_FEATHER}edges/lastfm_asia_edges.csv": (
        "548eacff61bff564ab5007831fa4a7a30e1a3956075ffd24e43310ed33555842"
    ),
    f"{_FEATHER}target/lastfm_asia_target.csv": (
        "91f19215f6eca8321feec038bd32900cf13fd4f7e041a9976cf202807c72ac16"
    ),
}
_MISFITS = (ArithmeticError, AttributeError, IndexError, TypeError, ValueError)
NUM_VAL = 500  # nodes after the training nodes

CLASS_NAMES = {
    "cora": (
        *("theory", "reinforcement learning", "genetic algorithms", "neural networks"),
        *("probabilistic methods", "case-based", "rule learning"),
    ),
    "citeseer": (
        *("artificial intelligence", "machine learning", "information retrieval"),
        *("databases", "agents", "human-computer interaction"),
    ),
    "lastfm_asia": tuple(f"country {i}" for i in range(18)),
}


class _Dtype:
    """A plain number type, whatever the file says of its byte order."""

    def __init__(self, code: str, *_: Any) -> None:
        if not re.fullmatch(r"[<>=|]?[biuf][1248]", code):
            raise DataError(f"the number type {code!r} is not one of b, i, u, f")
        self.code, self.order = code[-2:], "<"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1] if state[1] in "<>" else "<"


class _Array:
    """An array's shape, type and bytes."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        values = np.frombuffer(data.encode("latin1"), dtype.order + dtype.code)
        self.values = values.reshape(shape, order="F" if fortran else "C")


class _Matrix:
    """The attributes of a sparse matrix."""

    def __setstate__(self, state: Any) -> None:
        self.state = dict(state)


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _scalar(dtype: _Dtype, data: str) -> Any:
    return np.frombuffer(data.encode("latin1"), dtype.order + dtype.code)[0].item()


_NAMES: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("scipy.sparse.csr", "csr_matrix"): _Matrix,
    ("scipy.sparse._csr", "csr_matrix"): _Matrix,
    ("collections", "defaultdict"): defaultdict,
    ("__builtin__", "list"): list,
    ("builtins", "list"): list,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NAMES:
            raise DataError(f"it asks for {module}.{name}, which is not data")
        return _NAMES[module, name]


def read_pickle(path: Path) -> Any:
    """An array, a sparse matrix or a dictionary of lists from a file of Planetoid.

    Raises `DataError` for a file that asks for anything else or is damaged.
    """
    try:
        content = _Unpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
        if isinstance(content, _Matrix):
            names = ("data", "indices", "indptr")
            data, indices, indptr = (content.state[name].values for name in names)
            return _matrix(data, indices, indptr, content.state["_shape"])
        return content.values if isinstance(content, _Array) else content
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(f"{path} is not a file of Planetoid: {error}") from error


def _matrix(data: Any, indices: Any, indptr: Any, shape: Any) -> sparse.csr_array:
    """A checked matrix: indices outside of it would read foreign memory."""
    ends = np.asarray(indices, np.int32), np.asarray(indptr, np.int32)
    matrix = sparse.csr_array((np.asarray(data, np.float32), *ends), tuple(shape))
    matrix.check_format(full_check=True)
    return matrix


def raw_arrays(files: Sequence[Path]) -> dict[str, np.ndarray]:
    """What the eight raw files hold, in the order of `PARTS`, as arrays to be kept.

    Node ``i`` is row ``i`` of allx, or the row of tx whose line in test.index is ``i``.
    A node with neither (15 in Citeseer) is not in the test set: its features are zero
    and it has no label. Edges stand in both directions, once; self-loops are left out.
    Training nodes are the rows of x, validation nodes the `NUM_VAL` after them. The
    features are not normalised.
    """
    x, y, tx, ty, allx, ally, graph = map(read_pickle, files[:7])
    try:
        test = np.array(files[7].read_text("ascii").split(), np.int64)
        senders, receivers, nodes = _links(graph)
        for matrix, labels in ((x, y), (tx, ty), (tx, test), (allx, ally)):
            if matrix.shape[0] != labels.shape[0]:
                raise ValueError("they have different numbers of rows")
        num_train, num_all = x.shape[0], allx.shape[0]
        if test.size and not num_all <= test.min() <= test.max() < nodes:
            raise ValueError("a test node is not one of those after allx")
        rows = np.full(nodes, -1)  # the empty row at the end
        rows[:num_all] = np.arange(num_all)
        rows[test] = num_all + np.arange(len(test))
        empty = sparse.csr_array((1, allx.shape[1]), dtype=np.float32)
        features = sparse.vstack([allx, tx, empty], format="csr")[rows]
        one_hot = np.concatenate([ally, ty, np.zeros_like(ally[:1])])[rows]
    except (*_MISFITS, OSError) as error:
        raise DataError(
            f"the files of {files[0].parent} do not fit: {error}"
        ) from error
    features.eliminate_zeros()
    features.sort_indices()
    number = np.arange(nodes)
    before = number < num_train + NUM_VAL
    arrays = {
        "num_nodes": np.array(nodes),
        "num_features": np.array(features.shape[1]),
        "num_classes": np.array(one_hot.shape[1]),
        "feat_indptr": features.indptr,
        "feat_indices": features.indices,
        "labels": np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), -1),
        "senders": senders,
        "receivers": receivers,
        "train_mask": number < num_train,
        "val_mask": (number >= num_train) & (number < num_all) & before,
        "test_mask": np.isin(number, test),
        "missing_test_nodes": np.setdiff1d(number[num_all:], test),
    }
    if not (features.data == 1).all():
        arrays["feat_values"] = features.data
    return arrays


def _links(graph: Mapping[int, Sequence[int]]) -> tuple[np.ndarray, np.ndarray, int]:
    """Senders and receivers, both directions, once; and the number of nodes."""
    source = np.repeat(list(graph), [len(row) for row in graph.values()])
    target = np.array([node for row in graph.values() for node in row])
    nodes = np.unique(np.concatenate([list(graph), target]))
    if nodes.dtype.kind not in "iu" or not np.array_equal(nodes, np.arange(len(nodes))):
        raise ValueError("the graph's nodes are not 0 to N - 1")
    between = source != target
    pairs = np.stack([source[between], target[between]])
    senders, receivers = np.unique(np.concatenate([pairs, pairs[::-1]], 1), axis=1)
    return senders, receivers, len(nodes)


def lastfm_arrays(files: Sequence[Path]) -> dict[str, np.ndarray]:
    """LastFM's tables of edges and of targets as arrays to be kept."""
    _, edges = read_rows(files[0], ("node_1", "node_2"), ())
    _, targets = read_rows(files[1], ("id", "target"), ())
    labels = {int(row["id"]): int(row["target"]) for _, row in targets}
    data = from_arrays(
        [int(row["node_1"]) for _, row in edges],
        [int(row["node_2"]) for _, row in edges],
        labels=[labels[node] for node in range(len(labels))],
        undirected=True,
    )
    arrays = {"senders": data.senders, "receivers": data.receivers}
    return arrays | {"num_nodes": np.array(data.num_nodes), "labels": data.labels}


def node_data(arrays: Mapping[str, np.ndarray], name: str) -> NodeData:
    """The graph that an ``.npz`` holds; values of features that it lacks are 1."""
    features = None
    if "feat_indptr" in arrays:
        indices = arrays["feat_indices"]
        values = arrays.get("feat_values", np.ones(len(indices), np.float32))
        shape = int(arrays["num_nodes"]), int(arrays["num_features"])
        features = _matrix(values, indices, arrays["feat_indptr"], shape)
    num_classes = int(arrays.get("num_classes", arrays["labels"].max() + 1))
    names = CLASS_NAMES.get(name, ())
    return from_arrays(
        arrays["senders"],
        arrays["receivers"],
        features,
        arrays["labels"],
        train_mask=arrays.get("train_mask"),
        val_mask=arrays.get("val_mask"),
        test_mask=arrays.get("test_mask"),
        class_names=names
        if len(names) == num_classes
        else tuple(map(str, range(num_classes))),
        name=name,
    )
