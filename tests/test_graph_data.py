"""Graphs from arrays, NetworkX and tables: one record, and errors that say where."""

import csv

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from seqgraph_jax.data import datasets
from seqgraph_jax.data.arrays import flat_graphs
from seqgraph_jax.data.checks import DataError
from seqgraph_jax.data.features import features_kind, node_features
from seqgraph_jax.data.records import GraphData, NodeData, from_arrays


def same(a, b):
    """Whether two records hold the same."""
    for key, left in vars(a).items():
        right = vars(b)[key]
        if sparse.issparse(left):
            left, right = left.toarray(), right.toarray()
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype, key
            np.testing.assert_array_equal(left, right, key)
        else:
            assert left == right, key
    return True


def random_graph(seed, nodes=12, share=0.2):
    """Directed edges with self-loops, in random order: senders, receivers, weights."""
    rng = np.random.default_rng(seed)
    senders, receivers = np.nonzero(rng.random((nodes, nodes)) < share)
    order = rng.permutation(len(senders))
    weights = rng.exponential(size=len(senders)).astype(np.float32)
    return senders[order], receivers[order], weights


def matrix(data):
    """Dense ``[receiver, sender]`` weights."""
    dense = np.zeros((data.num_nodes, data.num_nodes), np.float32)
    dense[data.receivers, data.senders] = data.weights
    return dense


@pytest.mark.parametrize("undirected", [False, True])
def test_edges_are_sorted_and_take_their_weights_along(undirected):
    senders, receivers, weights = random_graph(0)
    data = from_arrays(
        senders, receivers, weights=weights, num_nodes=12, undirected=undirected
    )
    expected = np.zeros((12, 12), np.float32)
    expected[receivers, senders] = weights
    if undirected:  # a reverse that is there keeps its own weight
        expected = np.where(expected == 0, expected.T, expected)
        assert (matrix(data) != matrix(data).T).any()
        np.testing.assert_array_equal(matrix(data) != 0, matrix(data).T != 0)
    np.testing.assert_array_equal(matrix(data), expected)
    pairs = list(zip(data.receivers.tolist(), data.senders.tolist(), strict=True))
    assert pairs == sorted(set(pairs))
    assert data.senders.dtype == data.receivers.dtype == np.int32


@given(st.integers(0, 10**6), st.integers(1, 9))
def test_undirected_twice_is_undirected_once(seed, nodes):
    senders, receivers, _ = random_graph(seed, nodes)
    once = from_arrays(senders, receivers, num_nodes=nodes, undirected=True)
    twice = from_arrays(once.senders, once.receivers, num_nodes=nodes, undirected=True)
    assert same(once, twice)
    assert once.num_edges == len(
        {*zip(senders, receivers, strict=True), *zip(receivers, senders, strict=True)}
    )


def test_number_of_nodes_comes_from_the_rows_or_the_edges():
    assert from_arrays([0, 5], [1, 2]).num_nodes == 6
    assert from_arrays([0], [1], num_nodes=4).num_nodes == 4
    assert from_arrays([], [], labels=[0, -1, 2]).num_classes == 3
    assert from_arrays([0], [1], np.zeros((7, 2))).labels.tolist() == [-1] * 7
    assert from_arrays([0], [0]).num_features == 0


def test_sparse_features_stay_sparse_and_belong_to_the_record():
    dense = np.random.default_rng(1).integers(0, 3, (5, 4))
    given_matrix = sparse.csr_matrix(dense.astype(np.float32))
    data = from_arrays([0], [1], given_matrix)
    given_matrix.data[:] = 9
    assert isinstance(data.features, sparse.csr_array)
    np.testing.assert_array_equal(data.graph().nodes, dense)
    assert data.features.dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1, 4], [1, 0, 0], [[0], [0], [0]]), "edge 2: sender 4 is not in 0 to 2"),
        (([0, 1], [1, -1]), "edge 1: receiver -1 is not in 0 to 1"),
        (([0, 1, 0, 1], [1, 0, 1, 0]), r"edge 2 \(0 to 1\) repeats edge 0"),
        (([0, 1], [1]), "1 receivers for 2 senders"),
        (([0.5], [1]), "senders must be 1-D whole numbers, not float64"),
        (([0], [[1]]), r"receivers must be 1-D .* of shape \(1, 1\)"),
        (([0], [1], [[0.0], [np.nan]]), "row 1 of features: nan is not a finite"),
        (([0], [1], [[0.0], [1e39]]), "row 1 of features: inf is not a finite"),
        (([0], [1], [[0.0], [1.0, 2.0]]), "features is not an array"),
        (([0], [1], [["a"], ["b"]]), "features must be 2-D numbers"),
        (([0], [1], [[1], [1]], [0, 1, 1]), "features has 2 rows for 3 nodes"),
        (([0], [1], None, [0, -2]), "node 1: label -2 is not in -1 to 0"),
        (([0], [1], None, [0.0, 1.0]), "labels must be 1-D whole numbers"),
        (([0], [1], None, None, [np.inf]), "row 0 of weights: inf"),
        (([0], [1], None, None, [1.0, 2.0]), "2 weights for 1 senders"),
        (([], []), "at least one node"),
    ],
)
def test_arrays_that_are_no_graph(arguments, message):
    with pytest.raises(DataError, match=message):
        from_arrays(*arguments)


def test_more_arrays_that_are_no_graph():
    bad = sparse.csr_array(np.array([[0, 0], [0, 0], [1, np.inf]]))
    for arguments, message in (
        ({"features": bad}, "row 2 of features: inf"),
        ({"train_mask": [True, False]}, "train_mask has 2 rows for 3"),
        ({"test_mask": [0, 1, 1]}, "test_mask must be 1-D booleans"),
        ({"class_names": ("a",)}, "node 1: label 1 is not in -1 to 0"),
        ({"node_names": ("a",)}, "node_names has 1 rows for 3"),
        ({"num_nodes": 5}, "labels has 3 rows for 5 nodes"),
        ({"train_mask": [True, False, True]}, "there is no val_mask: the three masks"),
        ({"weights": [-0.5]}, "edge 0: the weight -0.5 is below 0"),
    ):
        with pytest.raises(DataError, match=message):
            from_arrays([0], [1], labels=[0, 1, 0], **arguments)


@pytest.mark.parametrize("largest", [2500, 10**12])
def test_numbers_of_nodes_that_do_not_run_from_0(largest):
    # Memory for a node at every number up to the largest: terabytes.
    with pytest.raises(DataError, match=f"largest node in an edge is {largest}, and"):
        from_arrays([7, largest], [largest, 7])
    assert from_arrays([7, 2500], [2500, 7], num_nodes=2600).num_nodes == 2600
    assert from_arrays([0], [900]).num_nodes == 901


@pytest.mark.parametrize(
    ("labels", "names", "codes"),
    [
        ([2, np.nan, 1, np.float32("nan")], ("1", "2"), [1, -1, 0, -1]),
        (["nan", None, "b", float("nan")], ("b", "nan"), [1, -1, 0, -1]),
        (
            [True, np.datetime64("NaT", "D"), False, True],
            ("False", "True"),
            [1, -1, 0, 1],
        ),
    ],
)
def test_a_label_that_is_not_there_is_no_class(labels, names, codes):
    # As pandas leaves it; a word of the user's stays a class.
    graph = networkx.path_graph(4)
    networkx.set_node_attributes(graph, dict(enumerate(labels)), "kind")
    data = datasets.from_networkx(graph, "kind")
    assert (data.class_names, data.labels.tolist()) == (names, codes)


def test_features_are_put_on_the_scale_that_fits_them():
    # A column of ages divided by its sum: 1 for every node.
    rng = np.random.default_rng(7)
    words = rng.integers(1, 4, (6, 9)) * (rng.random((6, 9)) < 0.4)
    ages = rng.uniform(20, 70, (6, 3))
    ages[:, 1] = 7.3
    train = np.arange(6) < 4
    given = {"words": words, "sparse": sparse.csr_array(words), "ages": ages}
    data = {k: from_arrays([0], [5], features) for k, features in given.items()}
    kinds = {name: features_kind(one, "own") for name, one in data.items()}
    assert kinds == {"words": "rows", "sparse": "rows", "ages": "standard"}
    for counts in (words[:, :1], words + 1, words - 1, words / 2):
        assert features_kind(from_arrays([0], [5], counts)) == "standard"
    assert features_kind(from_arrays([0], [5])) == "identity"
    sums = np.maximum(words.sum(1, keepdims=True), 1)
    for name in ("words", "sparse"):
        found = node_features(data[name]).toarray()
        np.testing.assert_allclose(found, words / sums, atol=1e-6)
        found = node_features(data[name], "raw")
        assert (found != data[name].features).sum() == 0
    deviations = ages[:4].std(0)
    deviations[1] = 1
    np.testing.assert_allclose(
        node_features(data["ages"], "auto", train),
        (ages - ages[:4].mean(0)) / deviations,
        atol=1e-4,
    )
    found = node_features(data["sparse"], "standard")
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-6)
    with pytest.raises(DataError, match="has no features: choose identity or degree"):
        node_features(from_arrays([0], [5]), "rows")


def test_whether_edges_run_one_way():
    assert from_arrays([0, 1, 2, 2], [1, 2, 0, 2]).one_way  # a loop is no opposite
    assert not from_arrays([0, 1, 2], [1, 0, 1]).one_way
    assert not from_arrays([1], [1]).one_way
    assert flat_graphs("one way", **many() | {"edges": None}).one_way is False


def test_networkx_directed_with_names_weights_and_features():
    rng = np.random.default_rng(2)
    graph = networkx.gnp_random_graph(9, 0.3, seed=3, directed=True)
    names = {node: f"n{8 - node}" if node % 2 else (node, "x") for node in graph}
    graph = networkx.relabel_nodes(graph, names)
    for _, _, row in graph.edges.data():
        row["w"] = rng.exponential()
    for i, (_, row) in enumerate(graph.nodes.data()):
        row |= {"kind": ["b", "a"][i % 2], "x": i, "y": rng.random()}
    del graph.nodes["n1"]["kind"]
    data = datasets.from_networkx(graph, "kind", ["y", "x"], weight="w")
    dense = networkx.to_numpy_array(graph, weight="w").T.astype(np.float32)
    np.testing.assert_array_equal(matrix(data), dense)
    assert data.node_names == tuple(map(str, graph))
    assert data.class_names == ("a", "b")
    expected = [{"a": 0, "b": 1}.get(r.get("kind"), -1) for _, r in graph.nodes.data()]
    assert data.labels.tolist() == expected
    assert -1 in expected
    np.testing.assert_array_equal(data.features[:, 1], np.arange(9))


def test_networkx_errors_name_the_node():
    graph = networkx.path_graph(3)
    networkx.set_node_attributes(graph, {0: 1.0, 1: "x", 2: 2.0}, "f")
    convert = datasets.from_networkx
    with pytest.raises(DataError, match="node 1: 'f' must be a finite number, not 'x'"):
        convert(graph, None, ["f"])
    with pytest.raises(DataError, match="edge 0 to 1: 'w' must be a finite"):
        convert(graph, None, weight="w")
    with pytest.raises(DataError, match="no node has the attribute 'label'"):
        convert(graph)
    with pytest.raises(DataError, match="MultiGraph"):
        convert(networkx.MultiGraph(graph), None)


def write(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def test_tables_give_the_graph_that_was_written(tmp_path):
    rng = np.random.default_rng(4)
    senders, receivers, weights = random_graph(5)
    features = rng.normal(size=(12, 3)).astype(np.float32)
    labels = rng.integers(-1, 3, 12)
    split = rng.integers(0, 4, 12)
    names = [f'ü"{i}, x' if i % 3 else f"{i}" for i in range(12)]
    words, parts = ("9", "10", "z"), ("train", "val", "test", "")
    expected = from_arrays(
        senders,
        receivers,
        features,
        labels,
        weights,
        train_mask=split == 0,
        val_mask=split == 1,
        test_mask=split == 2,
        class_names=words,
        node_names=names,
        name="edges",
    )
    edges = write(
        tmp_path / "edges.csv",
        [["weight", "target", "source"]]
        + [
            [repr(float(w)), names[r], names[s]]
            for s, r, w in zip(senders, receivers, weights, strict=True)
        ],
    )
    nodes = write(
        tmp_path / "nodes.csv",
        [["f0", "id", "f1", "split", "label", "f2"]]
        + [
            [f[0], names[i], f[1], parts[split[i]], (*words, "")[labels[i]], f[2]]
            for i, f in enumerate(features.astype(float).tolist())
        ],
    )
    assert same(datasets.from_csv(edges, nodes), expected)
    loaded = datasets.load(tmp_path)
    assert loaded.name == tmp_path.name
    np.testing.assert_array_equal(matrix(loaded), matrix(expected))


def test_without_a_table_of_nodes_the_ids_are_sorted_as_numbers(tmp_path):
    rows = [["source", "target"], [10, 9], [9, 2], ["a", 10]]
    path = write(tmp_path / "e.csv", rows)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\r\n", b"\n\n"))
    data = datasets.from_csv(path, undirected=True)
    assert data.node_names == ("2", "9", "10", "a")
    pairs = set(zip(data.senders.tolist(), data.receivers.tolist(), strict=True))
    assert pairs == {(2, 1), (1, 0), (3, 2), (1, 2), (0, 1), (2, 3)}


@pytest.mark.parametrize(
    ("edges", "nodes", "message"),
    [
        ("", None, "edges.csv is empty: it needs a header with source, target"),
        ("source;target\n1;2\n", None, "line 1: column 'source' is missing"),
        ("source,target,w\n", None, "line 1: column 'w' is unknown"),
        ("source,target,target\n", None, "line 1: column 'target' is there twice"),
        ("source,target\na,b\na\n", None, "line 3: 1 cells instead of 2"),
        ("source,target\na,\n", None, "line 2: source or target is empty"),
        ("source,target\na,b\n\nb,a\na,b\n", None, "line 5: the edge stands in line 2"),
        ("source,target,weight\na,b,x\n", None, "line 2: weight must be .* not 'x'"),
        ("source,target,weight\na,b,nan\n", None, "line 2: weight .* not 'nan'"),
        ('source,target\n"a,b\n', None, "cannot be read as CSV"),
        ("source,target\na,b\n", "id\na\n", "line 2: the target 'b' is not an id"),
        ("source,target\n", "id\na\nb\na\n", "nodes.csv, line 4: the id 'a' stands"),
        ("source,target\n", "id,x\na,1\nb,two\n", "line 3: x must be .* not 'two'"),
        ("source,target\n", "id,x\na,1e60\n", "line 2: x must be .* not '1e60'"),
        ("source,target\n", "id,split\na,dev\n", "line 2: the split 'dev' is not"),
        ("source,target\n", "name\na\n", "line 1: column 'id' is missing"),
        ("source,target\n", "id\n", "at least one node"),
        (
            "source,target,weight\na,b,-1\n",
            None,
            "weight must be .* 0 or more, not '-1'",
        ),
        (",source,target\n0,a,b\n", None, "column '' has no name, as pandas"),
        ("source,target\n", ",id,x\n0,a,1\n", "nodes.csv, line 1: column '' has no"),
        ("source,target\n", "id,Unnamed: 0\na,1\n", "column 'Unnamed: 0' has no name"),
    ],
)
def test_tables_that_are_no_graph(tmp_path, edges, nodes, message):
    (tmp_path / "edges.csv").write_text(edges)
    if nodes is not None:
        (tmp_path / "nodes.csv").write_text(nodes)
    with pytest.raises(DataError, match=message) as caught:
        datasets.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_tables_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.csv").write_bytes("source,target\né,b".encode("latin-1"))
    for name in ("latin.csv", "nowhere.csv"):
        with pytest.raises(DataError, match=f"{name} cannot be read as CSV in UTF-8"):
            datasets.from_csv(tmp_path / name)


def many():
    """Three graphs of 3, 1 and 2 nodes, the middle one without edges."""
    return {
        "n_node": np.array([3, 1, 2]),
        "nodes": np.arange(12.0).reshape(6, 2),
        "senders": np.array([5, 0, 2, 4, 1]),
        "receivers": np.array([4, 1, 0, 5, 0]),
        "targets": np.array([0.5, 1.5, 2.5]),
        "edges": np.arange(5.0)[:, None],
    }


def test_each_graph_of_many_stands_alone():
    data = flat_graphs("three", **many())
    assert isinstance(data, GraphData)
    assert data.n_edge.tolist() == [3, 0, 2]
    first, second, third = (data.graph(i) for i in range(3))
    assert (first.senders.tolist(), first.receivers.tolist()) == ([1, 2, 0], [0, 0, 1])
    assert first.edges.ravel().tolist() == [4, 2, 1]
    assert second.nodes.tolist() == [[6, 7]]
    assert second.senders.shape == (0,)
    assert (third.senders.tolist(), third.receivers.tolist()) == ([1, 0], [0, 1])
    assert third.edges.ravel().tolist() == [0, 3]
    assert (third.n_node.tolist(), third.n_edge.tolist()) == ([2], [2])
    with pytest.raises(IndexError, match="graph -1"):
        data.graph(-1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"senders": np.array([5, 0, 3, 4, 1])}, "edge 2 joins two graphs"),
        ({"receivers": np.array([4, 1, 0, 6, 0])}, "edge 3: receiver 6"),
        ({"targets": np.array([1.0, np.nan, 0.0])}, "row 1 of targets"),
        ({"targets": np.zeros(2)}, "2 targets for 3 graphs"),
        ({"edges": np.zeros((4, 1))}, "differ in length"),
        ({"n_node": np.array([3, 1, 3])}, "6 rows of nodes"),
    ],
)
def test_flat_arrays_that_do_not_fit(change, message):
    with pytest.raises(DataError, match=message):
        flat_graphs("three", **(many() | change))


def test_one_graph_as_jraph_sees_it():
    data = from_arrays([2, 0], [1, 2], np.eye(3), weights=[3.0, 4.0])
    graph = data.graph()
    assert isinstance(data, NodeData)
    assert (graph.n_node.tolist(), graph.n_edge.tolist()) == ([3], [2])
    assert (graph.edges.tolist(), graph.senders.tolist()) == ([3, 4], [2, 0])
    assert graph.globals is None
    np.testing.assert_array_equal(graph.nodes, np.eye(3))
