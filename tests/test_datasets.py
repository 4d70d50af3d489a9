"""Data sets: the formats they come in, the cache, and what is refused."""

import contextlib
import functools
import hashlib
import http.server
import importlib.util
import io
import os
import pickle
import shutil
import sys
import tarfile
import threading
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from seqgraph_jax.data import archives, datasets, origins, planetoid
from seqgraph_jax.data import molecules as molecule_data
from seqgraph_jax.data.checks import DataError
from seqgraph_jax.data.records import from_arrays
from tests.test_graph_data import same, write

DATA = os.environ.get("SEQGRAPH_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="SEQGRAPH_DATA is not set")
needs_rdkit = pytest.mark.skipif(
    not importlib.util.find_spec("rdkit"), reason="rdkit is not installed"
)


def test_a_user_without_a_home_finds_what_is_there(monkeypatch, tmp_path):
    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(datasets.Path, "home", home)
    monkeypatch.setattr(datasets.tempfile, "gettempdir", lambda: str(tmp_path))
    assert datasets.cache_directory() == tmp_path / "seqgraph_jax" / "data"


# Planetoid


def save_bytes(pickler, value):
    """As Python 2 wrote them."""
    pickler.write(pickle.BINSTRING + len(value).to_bytes(4, "little") + value)


class Pickler(pickle._Pickler):
    dispatch = {**pickle._Pickler.dispatch, bytes: save_bytes}  # noqa: RUF012


def pickled(value):
    file = io.BytesIO()
    Pickler(file, protocol=2).dump(value)
    return file.getvalue()


class Matrix:
    """Pickles itself under the name that old files have."""

    def __init__(self, dense):
        matrix = sparse.csr_array(np.asarray(dense, np.float32))
        self.state = {"_shape": matrix.shape, "data": matrix.data}
        self.state |= {"indices": matrix.indices, "indptr": matrix.indptr}


def save_matrix(pickler, value):
    pickler.write(b"cscipy.sparse.csr\ncsr_matrix\n)" + pickle.NEWOBJ)
    pickler.save(value.state)
    pickler.write(pickle.BUILD)


Pickler.dispatch[Matrix] = save_matrix


def planetoid_files(folder, **changes):
    """7 nodes: 0 to 2 in allx, then test rows for 6 and 4, so 3 and 5 are a gap."""
    rng = np.random.default_rng(0)
    features = rng.integers(0, 2, (5, 4)) * rng.integers(1, 3, (5, 4))
    labels = np.eye(3, dtype=np.int32)[[2, 0, 1, 1, 2]]
    graph = defaultdict(list, {i: [] for i in range(7)})
    for a, b in ((0, 4), (4, 0), (4, 6), (6, 1), (1, 6), (1, 6), (2, 2)):
        graph[a].append(b)
    content = {
        "x": Matrix(features[:1]),
        "y": labels[:1],
        "allx": Matrix(features[:3]),
        "ally": np.asfortranarray(labels[:3]),
        "tx": Matrix(features[3:]),
        "ty": labels[3:].astype(">i4"),
        "graph": graph,
    } | changes
    folder.mkdir(exist_ok=True)
    for part, value in content.items():
        (folder / f"ind.small.{part}").write_bytes(pickled(value))
    (folder / "ind.small.test.index").write_text("6\n4\n")
    return features, folder


def test_planetoid_with_a_gap(tmp_path):
    """Catches test rows in the order of the file, and a gap that shifts them."""
    features, folder = planetoid_files(tmp_path / "p")
    data = datasets.load(folder)
    expected = np.zeros((7, 4))
    expected[[0, 1, 2, 6, 4]] = features
    np.testing.assert_array_equal(data.features.toarray(), expected)
    assert 2 in data.features.data
    assert data.labels.tolist() == [2, 0, 1, -1, 2, -1, 1]
    assert np.flatnonzero(data.train_mask).tolist() == [0]
    assert np.flatnonzero(data.val_mask).tolist() == [1, 2]
    assert np.flatnonzero(data.test_mask).tolist() == [4, 6]
    pairs = list(zip(data.senders.tolist(), data.receivers.tolist(), strict=True))
    assert pairs == [(4, 0), (6, 1), (0, 4), (6, 4), (1, 6), (4, 6)]
    assert (data.name, data.class_names) == ("small", ("0", "1", "2"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ty": np.eye(3)[[0]]}, "different numbers of rows"),
        ({"tx": Matrix(np.zeros((2, 3)))}, "do not fit"),
        ({"graph": {0: [1], 1: [9]}}, "not 0 to N - 1"),
        ({"graph": {i: [0] for i in range(5)}}, "a test node is not one"),
        ({"graph": [1, 2]}, "do not fit"),
        ({"x": "text"}, "do not fit"),
    ],
)
def test_planetoid_files_that_do_not_fit(tmp_path, changes, message):
    _, folder = planetoid_files(tmp_path / "p", **changes)
    with pytest.raises(DataError, match=message):
        datasets.load(folder)


class Call:
    """An object whose pickle calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_a_pickle_runs_nothing(tmp_path):
    """Each of these would leave a file behind if it was called."""
    mark = tmp_path / "mark"
    touch = f"open({str(mark)!r}, 'w')"
    crafted = [
        pickle.dumps(Call(os.system, f"touch {mark}"), 2),
        pickle.dumps(Call(eval, touch), 2),
        pickle.dumps(Call(open, str(mark), "w"), 2),
        pickle.dumps(Call(Path.touch, mark), 4),  # a name with a dot
        b"cnumpy.f2py.diagnose\nrun_command\n(V%b\ntR." % touch.encode(),
        b"cnumpy.testing._private.utils\nrunstring\n(V%b\n}tR." % touch.encode(),
        b"cnumpy\nmemmap\n(V%b\nVu1\nVw+\nI0\n(I1\nttR." % str(mark).encode(),
        b"cnumpy\nload\n.",
        b"cnumpy.core.multiarray\nfromfile\n.",
        b"c__builtin__\ngetattr\n.",
    ]
    for content in crafted:
        path = tmp_path / "ind.small.x"
        path.write_bytes(content)
        with pytest.raises(DataError, match="which is not data"):
            planetoid.read_pickle(path)
    assert not mark.exists()


def test_damaged_pickles(tmp_path):
    path = tmp_path / "ind.small.x"
    good = pickled(Matrix(np.eye(3)))
    outside = Matrix(np.eye(3))
    outside.state["indices"] = np.array([0, 1, 7], np.int32)
    objects = pickled(np.array([1.0])).replace(b"f8", b"O8")
    for content in (b"", b"text", good[:-9], pickled(outside), objects):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is not a file of Planetoid"):
            planetoid.read_pickle(path)
    path.write_bytes(good)
    np.testing.assert_array_equal(planetoid.read_pickle(path).toarray(), np.eye(3))


def test_arrays_survive_the_pickle(tmp_path):
    rng = np.random.default_rng(1)
    for dtype in ("<f8", ">f4", "<i4", ">i8", "|b1", "|u1", "<i2"):
        for order in "CF":
            array = np.asarray(rng.integers(0, 2, (3, 4)), dtype, order=order)
            (tmp_path / "a").write_bytes(pickled(array))
            back = planetoid.read_pickle(tmp_path / "a")
            np.testing.assert_array_equal(back, array)


@needs_data
def test_raw_cora_becomes_the_known_arrays():
    files = [Path(DATA) / "cora" / f"ind.cora.{part}" for part in planetoid.PARTS]
    converted = planetoid.raw_arrays(files)
    known = np.load(Path(DATA) / "cora" / "cora.npz")
    assert set(converted) == set(known)
    for key in known:
        np.testing.assert_array_equal(converted[key], known[key], key)


# Texts


def tu_files(folder, **changes):
    """Graphs of 2, 3 and 1 nodes, their nodes mixed."""
    content = {
        "A": "3, 6\n6, 3\n1, 2\n2, 4\n4, 1\n",
        "graph_indicator": "2\n2\n1\n2\n3\n1\n",
        "graph_labels": "1\n-1\n1\n",
        "node_labels": "0\n7\n7\n12\n0\n0\n",
        "node_attributes": "0.5, 1\n1.5, 2\n2.5, 3\n3.5, 4\n4.5, 5\n5.5, 6\n",
        "edge_labels": "3\n3\n0\n0\n3\n",
    } | changes
    folder.mkdir(exist_ok=True)
    for part, text in content.items():
        if text is not None:
            (folder / f"SET_{part}.txt").write_text(text)
    return folder


def test_a_folder_in_the_tu_format(tmp_path):
    data = datasets.load(tu_files(tmp_path / "tu"))
    assert (data.n_node.tolist(), data.n_edge.tolist()) == ([2, 3, 1], [2, 3, 0])
    assert data.feature_names == (
        *("label 0", "label 7", "label 12"),
        *("attribute 1", "attribute 2"),
    )
    second = data.graph(1)
    labels = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    np.testing.assert_array_equal(second.nodes[:, :3], labels)
    np.testing.assert_array_equal(second.nodes[:, 3], [0.5, 1.5, 3.5])
    pairs = list(zip(second.senders.tolist(), second.receivers.tolist(), strict=True))
    assert pairs == [(2, 0), (0, 1), (1, 2)]
    assert second.edges.tolist() == [[0, 1], [1, 0], [1, 0]]
    assert (data.targets.tolist(), data.class_names) == ([1, 0, 1], ("-1", "1"))


def test_tu_regression_without_labels(tmp_path):
    nothing = dict.fromkeys(("graph_labels", "node_labels", "edge_labels"))
    folder = tu_files(
        tmp_path / "tu",
        **nothing,
        node_attributes=None,
        graph_attributes="0.5\n-2\n7\n",
    )
    data = datasets.load(folder)
    assert data.targets.tolist() == [0.5, -2, 7]
    assert (data.num_classes, data.edges) == (0, None)
    assert data.nodes.tolist() == [[1.0]] * 6
    assert data.feature_names == ("constant",)


@pytest.mark.parametrize("empty", ["", "\n"])
def test_a_tu_folder_without_any_edge(tmp_path, empty):
    data = datasets.load(tu_files(tmp_path / "tu", A=empty, edge_labels=None))
    assert data.n_edge.tolist() == [0, 0, 0]
    assert (data.senders.dtype, data.one_way) == (np.int32, False)


def test_undirected_adds_the_opposites_to_any_one_graph(tmp_path):
    write(tmp_path / "edges.csv", [["source", "target"], ["a", "b"], ["c", "a"]])
    assert datasets.load(tmp_path).one_way
    data = datasets.load(tmp_path, undirected=True)
    pairs = list(zip(data.senders.tolist(), data.receivers.tolist(), strict=True))
    assert pairs == [(1, 0), (2, 0), (0, 1), (0, 2)]
    assert same(datasets.load("karate", undirected=True), datasets.load("karate"))
    tu_files(tmp_path / "tu")
    with pytest.raises(DataError, match="many graphs: undirected is for one alone"):
        datasets.load(tmp_path / "tu", undirected=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"A": "1, 3\n3, 9\n"}, "SET_A.txt, line 2: node 9 is not in 1 to 6"),
        ({"A": "1, 3\n0, 3\n"}, "SET_A.txt, line 2: node 0"),
        (
            {"A": "1, 2\n\n1, 3\n"},
            "SET_A.txt, line 3: the edge 1, 3 joins the graphs 2 and 1",
        ),
        (
            {"A": "1, 2\n2, 1\n\n1, 2\n"},
            "line 4: the edge 1, 2 stands in line 1 already",
        ),
        ({"A": "1, 2\n\n1, 7\n"}, "SET_A.txt, line 3: node 7 is not in 1 to 6"),
        ({"A": "1, 3\n\n3, x\n"}, "SET_A.txt, line 3: '3, x'"),
        ({"A": "1, 3\n3\n"}, "SET_A.txt, line 2: '3' has not 2 columns"),
        ({"A": "1, 3, 1\n"}, "SET_A.txt has 3 columns instead of 2"),
        ({"graph_indicator": "1\n2\n1\n4\n2\n3\n"}, "line 4: graph 4 is not in 1 to 3"),
        ({"node_labels": "1\n2\n"}, "2 lines of node_labels for 6 nodes"),
        ({"graph_labels": None}, "SET_graph_labels.txt is missing"),
        ({"graph_indicator": None}, "SET_graph_indicator.txt is missing"),
        (
            {"node_attributes": "1\n\n2\nnan\n4\n5\n6\n"},
            "SET_node_attributes.txt, line 4: nan",
        ),
        (
            {"edge_attributes": "1, inf\n" * 5},
            "SET_edge_attributes.txt, line 1: inf is",
        ),
    ],
)
def test_tu_folders_that_do_not_fit(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        datasets.load(tu_files(tmp_path / "tu", **changes))


def test_a_folder_with_two_sets_or_none(tmp_path):
    with pytest.raises(DataError, match="has no data set: it needs edges"):
        datasets.load(tmp_path)
    for name in "BC":
        (tmp_path / f"{name}_A.txt").write_text("1, 2\n")
    with pytest.raises(DataError, match="has several data sets: B, C"):
        datasets.load(tmp_path)


# Archives


def archive(path, members):
    """A .zip or .tar.gz of names and contents."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as file:
            for name, content in members.items():
                file.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as file:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["set.zip", "set.tar.gz"])
def test_an_archive_of_a_set(tmp_path, name):
    folder = tu_files(tmp_path / "tu")
    members = {f"SET/{f.name}": f.read_bytes() for f in folder.iterdir()}
    members |= {"SET/README.txt": b"", "__MACOSX/SET/._SET_A.txt": b"x"}
    loaded = datasets.load(archive(tmp_path / name, members))
    assert same(loaded, datasets.load(folder))


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
@pytest.mark.parametrize(
    "name",
    ["../out.txt", "a/../../out.txt", "/tmp/out.txt", "..\\out.txt", "C:out.txt"],
)
def test_archives_stay_in_their_folder(tmp_path, suffix, name):
    path = archive(tmp_path / f"a.{suffix}", {"good.txt": b"1", name: b"2"})
    folder = tmp_path / "in" / "side"
    folder.mkdir(parents=True)
    with pytest.raises(DataError, match="outside of its folder"):
        archives.unpack(path, folder)
    assert [p.name for p in tmp_path.rglob("*.txt")] == []


def test_archives_with_links_are_refused(tmp_path):
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
        with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as file:
            member = tarfile.TarInfo("link")
            member.type, member.linkname = kind, "/etc/passwd"
            file.addfile(member)
        with pytest.raises(DataError, match="'link' is a link or a device"):
            archives.unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        member = zipfile.ZipInfo("link")
        member.external_attr = 0o120777 << 16
        file.writestr(member, "/etc/passwd")
    with pytest.raises(DataError, match="'link' is a link or a device"):
        archives.unpack(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_archives_that_are_too_large_or_damaged(tmp_path, suffix, monkeypatch):
    path = archive(tmp_path / f"a.{suffix}", {"x": b"1" * 60, "y": b"2" * 60})
    monkeypatch.setattr(archives, "MAX_UNPACKED", 119)
    with pytest.raises(DataError, match="more than 119 bytes"):
        archives.unpack(path, tmp_path / "out")
    monkeypatch.setattr(archives, "MAX_UNPACKED", 120)
    archives.unpack(path, tmp_path / "out")
    assert (tmp_path / "out" / "y").read_bytes() == b"2" * 60
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match="cannot be unpacked"):
        archives.unpack(path, tmp_path / "again")


# Names, the cache, downloads


def test_karate():
    data = datasets.load("karate")
    assert (data.num_nodes, data.num_edges, data.num_classes) == (34, 156, 2)
    assert (data.features, data.weights) == (None, None)
    assert np.bincount(data.labels).tolist() == [17, 17]


def test_unknown_names_and_paths(tmp_path):
    for name in ("coar", tmp_path / "nowhere"):
        with pytest.raises(DataError, match=r"karate, cora, citeseer.*nor the path of"):
            datasets.load(name)
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(DataError, match=r"an archive or an \.npz file"):
        datasets.load(tmp_path / "text.txt")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY"])
def test_damaged_npz(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"x.npz cannot be read as .npz"):
        datasets.load(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.arange(3)}, "has no array 'labels'"),
        ({"senders": np.array([{}], object)}, "cannot be read as .npz"),
        ({"labels": np.array([0, 1]), "senders": [0], "receivers": [5]}, "receiver 5"),
        (
            {"labels": np.zeros(2, int), "senders": [0], "receivers": [1]}
            | {"num_nodes": 2, "num_features": 3, "feat_indptr": [0, 1, 2]}
            | {"feat_indices": [0, 3]},
            "do not fit: .*indices|do not fit: .*column",
        ),
    ],
)
def test_npz_with_other_arrays(tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=message):
        datasets.load(tmp_path / "x.npz")


def source_of(files, arrays, urls=("http://127.0.0.1:9/",)):
    """A source with files of these contents."""
    raw = [
        origins.Origin(n, hashlib.sha256(c).hexdigest(), tuple(u + n for u in urls))
        for n, c in files.items()
    ]
    return origins.Source(origins.Origin("small.npz", ""), tuple(raw), arrays)


def small_source(tmp_path, **options):
    """Two CSV files, in the format of LastFM; 1 - 0 - 2."""
    files = {
        "e.csv": write(tmp_path / "e", [["node_1", "node_2"], [1, 0], [0, 2]]),
        "t.csv": write(tmp_path / "t", [["id", "target"], [2, 1], [0, 0], [1, 1]]),
    }
    contents = {name: path.read_bytes() for name, path in files.items()}
    return contents, source_of(contents, planetoid.lastfm_arrays, **options)


def test_raw_files_are_converted_once(tmp_path, places, monkeypatch):
    data, cache = places
    contents, source = small_source(tmp_path)
    monkeypatch.setattr(datasets, "SOURCES", {"small": source})
    with pytest.raises(DataError, match=r"put e\.csv, t\.csv into .*cache.*small") as e:
        datasets.load("small")
    assert "cannot be downloaded from http://127.0.0.1:9/e.csv" in str(e.value)
    for folder, name in ((data / "small", "e.csv"), (cache / "small", "t.csv")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(contents[name])
    expected = from_arrays(
        [1, 0], [0, 2], labels=[0, 1, 1], undirected=True, name="small"
    )
    assert same(datasets.load("small"), expected)
    npz = cache / "small" / "small.npz"
    assert sorted(p.name for p in npz.parent.iterdir()) == ["small.npz", "t.csv"]
    npz.write_bytes(npz.read_bytes()[:-30])  # damaged: made again
    assert same(datasets.load("small"), expected)
    shutil.rmtree(data)
    (npz.parent / "t.csv").unlink()
    assert same(datasets.load("small"), expected)


def test_another_raw_file_is_refused(tmp_path, places, monkeypatch):
    contents, source = small_source(tmp_path)
    monkeypatch.setattr(datasets, "SOURCES", {"small": source})
    folder = places[0] / "small"
    folder.mkdir()
    (folder / "e.csv").write_bytes(contents["e.csv"] + b"1,2\n")
    with pytest.raises(DataError, match=r"e.csv is not the known file"):
        datasets.load("small")


def test_another_npz_under_a_known_name_is_refused(places):
    folder = places[0] / "cora"
    folder.mkdir()
    np.savez(folder / "cora.npz", labels=[0], senders=[0], receivers=[0])
    with pytest.raises(DataError, match=r"cora.npz is not the known file"):
        datasets.load("cora")


@contextlib.contextmanager
def served(folder):
    """The address of a server of the files in a folder."""
    serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serve.func, "log_message", lambda *_: None)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}/"
            server.shutdown()


def test_raw_files_are_downloaded(tmp_path, places, monkeypatch):
    contents, _ = small_source(tmp_path)
    folder = tmp_path / "served"
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    with served(folder) as address:
        _, source = small_source(tmp_path, urls=(address + "gone/", address))
        monkeypatch.setattr(datasets, "SOURCES", {"small": source})
        first = datasets.load("small")
    assert first.num_edges == 4
    assert same(datasets.load("small"), first)


# The known data


@needs_data
@pytest.mark.parametrize("name", ["cora", "lastfm_asia"])
def test_known_graphs(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    data = datasets.load(name)
    nodes, edges, features, classes, homophily = {
        "cora": (2708, 10556, 1433, 7, 0.8100),
        "lastfm_asia": (7624, 55612, 0, 18, 0.874),
    }[name]
    assert (data.num_nodes, data.num_edges) == (nodes, edges)
    assert (data.num_features, data.num_classes) == (features, classes)
    equal = data.labels[data.senders] == data.labels[data.receivers]
    assert equal.mean() == pytest.approx(homophily, abs=5e-4)
    assert same(data, datasets.load(Path(DATA) / name / f"{name}.npz"))
    if name == "cora":
        splits = [
            split.sum() for split in (data.train_mask, data.val_mask, data.test_mask)
        ]
        assert splits == [140, 500, 1000]
        assert np.bincount(data.labels[data.train_mask]).tolist() == [20] * 7
        sizes = dict(zip(data.class_names, np.bincount(data.labels), strict=True))
        assert (sizes["rule learning"], sizes["neural networks"]) == (180, 818)


@needs_data
def test_cora_from_its_raw_files_alone(places):
    (places[0] / "cora").mkdir()
    for file in (Path(DATA) / "cora").glob("ind.*"):
        shutil.copy(file, places[0] / "cora")
    expected = datasets.load(Path(DATA) / "cora" / "cora.npz")
    assert same(datasets.load("cora"), expected)
    assert (places[1] / "cora" / "cora.npz").is_file()
    assert same(datasets.load("cora"), expected)


@needs_data
def test_mutag():
    data = datasets.load("mutag")
    assert (data.num_graphs, np.bincount(data.targets).tolist()) == (188, [63, 125])
    assert data.n_node.mean() == pytest.approx(17.93, abs=0.005)
    assert data.n_edge.mean() / 2 == pytest.approx(19.79, abs=0.005)
    counts = dict(zip(data.feature_names, data.nodes.sum(axis=0), strict=True))
    assert counts["C"] == 2395
    assert (counts["Cl"], counts["O"], counts["I"]) == (23, 593, 1)
    assert data.edges.shape == (7442, 11)
    assert (data.edges.sum(axis=1) == 1).all()
    assert np.bincount(data.folds + 1).tolist() == [8] + [18] * 10
    loaded = datasets.load(Path(DATA) / "mutag" / "mutag.npz")
    assert same(loaded, data)


@needs_data
def test_mutag_as_dgcnn_writes_it(tmp_path):
    """Written from the known arrays: only labels of edges and folds are lost."""
    data = datasets.load("mutag")
    lines = [str(data.num_graphs)]
    for i in range(data.num_graphs):
        graph = data.graph(i)
        lines.append(f"{len(graph.nodes)} {2 * data.targets[i]}")
        for node, row in enumerate(graph.nodes):
            beside = graph.receivers[graph.senders == node].tolist()
            lines.append(" ".join(map(str, [row.argmax(), len(beside), *beside])))
    path = tmp_path / "MUTAG.txt"
    path.write_text("\n".join(lines) + "\n")
    again = molecule_data.mutag(molecule_data.mutag_arrays([path]))
    assert (again.edges, again.folds) == (None, None)
    for key in ("n_node", "n_edge", "nodes", "senders", "receivers", "targets"):
        np.testing.assert_array_equal(vars(again)[key], vars(data)[key], key)
    path.write_text("\n".join(lines[:-1]))
    with pytest.raises(DataError, match="ends in the middle of a graph"):
        molecule_data.mutag_arrays([path])
    path.write_text("1\n1 x\n")
    with pytest.raises(DataError, match="is not a text of whole numbers"):
        molecule_data.mutag_arrays([path])


@needs_data
def test_esol():
    data = datasets.load("esol")
    assert (data.num_graphs, data.num_classes) == (1128, 0)
    assert data.targets.dtype == np.float32
    assert data.targets.mean() == pytest.approx(-3.050, abs=0.001)
    assert data.targets.std() == pytest.approx(2.0955, abs=1e-4)
    assert len(set(data.scaffolds.tolist())) == 269
    alone = np.flatnonzero(data.n_node == 1)
    assert data.n_edge[alone].tolist() == [0]
    methane = dict(zip(data.feature_names, data.graph(alone[0]).nodes[0], strict=True))
    assert {key for key, value in methane.items() if value} == {"C", "sp3", "hydrogens"}
    assert methane["hydrogens"] == 4
    degree = data.nodes[:, data.feature_names.index("degree")]
    np.testing.assert_array_equal(
        np.bincount(data.receivers, minlength=len(degree)), degree
    )
    assert (data.edges[:, :4].sum(axis=1) == 1).all()
    assert same(data, datasets.load(Path(DATA) / "esol" / "esol_graphs.npz"))


@needs_data
@needs_rdkit
def test_esol_from_smiles():
    table = Path(DATA) / "esol" / "delaney-processed.csv"
    made = molecule_data.esol(molecule_data.esol_arrays([table]))
    assert same(made, datasets.load("esol"))


def test_esol_without_rdkit_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(DataError, match="need rdkit: pip install rdkit, or put esol_"):
        molecule_data.esol_arrays([tmp_path / "x.csv"])
