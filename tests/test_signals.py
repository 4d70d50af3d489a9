"""Series at the nodes of a graph: records, user's files, what is refused."""

import os

import numpy as np
import pytest

from seqgraph_jax.data import DataError, draw_signals, from_signal, load_signals
from seqgraph_jax.data.signal_sets import SIGNALS, chickenpox_arrays, los_loop_arrays

needs_data = pytest.mark.skipif(
    not os.environ.get("SEQGRAPH_DATA"), reason="SEQGRAPH_DATA is not set"
)
SIGNAL = "time,a,b\n2024-01-01 23:00,1,2\n2024-01-02 00:00,3,\n2024-01-02 01:00,-1,6\n"
EDGES = "source,target,weight\na,b,0.5\nb,b,1\n"


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def folder(path, signal=SIGNAL, edges=EDGES):
    write(path / "signal.csv", signal)
    write(path / "edges.csv", edges)
    return path


def test_a_folder_is_read_with_what_is_missing(tmp_path):
    # A loop kept, a missing value taken as 0, the wrong column, hours from 0.
    data = load_signals(folder(tmp_path), missing=-1.0)
    np.testing.assert_array_equal(
        data.signal[..., 0], [[1, 2], [3, np.nan], [np.nan, 6]]
    )
    assert (data.senders, data.receivers, data.weights) == ([0], [1], [0.5])
    assert (data.season, data.season_name, data.start) == (24, "day", 23)
    assert (data.step_minutes, data.node_names, data.num_missing) == (60, ("a", "b"), 2)


def test_arrays_in_a_file_are_the_same_series(tmp_path):
    data = load_signals(folder(tmp_path / "csv"))
    write(tmp_path / "npz" / "edges.csv", EDGES)
    times = np.array(["2024-01-01T23", "2024-01-02T00", "2024-01-02T01"], "datetime64")
    file = tmp_path / "npz" / "signal.npz"
    np.savez(file, signal=data.signal, times=times, node_names=["a", "b"])
    again = load_signals(file.parent)
    np.testing.assert_array_equal(again.signal, data.signal)
    assert (again.season, again.start, again.node_names) == (24, 23, ("a", "b"))


def test_a_table_of_pandas_is_the_same_series(tmp_path):
    h5py = pytest.importorskip("h5py")
    data = load_signals(folder(tmp_path / "csv"))
    write(tmp_path / "h5" / "edges.csv", EDGES)
    with h5py.File(tmp_path / "h5" / "signal.h5", "w") as file:
        group = file.create_group("df")
        group["axis0"] = np.array([b"a", b"b"])
        first = np.datetime64("2024-01-01T23", "ns").astype(np.int64)
        group["axis1"] = first + np.arange(3) * 3600 * 10**9
        group["block0_values"] = data.signal[..., 0].astype(float)
    again = load_signals(tmp_path / "h5")
    np.testing.assert_array_equal(again.signal, data.signal)
    assert (again.season, again.start) == (24, 23)


def line(number, text):
    lines = SIGNAL.splitlines()
    lines[number - 1] = text
    return "\n".join(lines)


BAD = [
    (line(4, "2024-01-02 02:00,5,6"), EDGES, "signal.csv, line 4: 2024-01-02 02:00:00"),
    (line(4, "2024-01-02 00:00,5,6"), EDGES, "line 4: 2024-01-02 00:00:00 comes 0:00"),
    (line(3, "noon,5,6"), EDGES, "signal.csv, line 3: the time 'noon' is not written"),
    (line(3, "2024-01-02 00:00,x,6"), EDGES, "line 3: a must be a finite number, not"),
    (line(3, "2024-01-02 00:00,5"), EDGES, "line 3: 2 cells instead of 3"),
    ("time,a,b\n2024-01-01 23:00,1,2\n", EDGES, "signal.csv has fewer than two steps"),
    (SIGNAL.replace("6", ""), EDGES.replace("b", "c"), "edges.csv, line 2: the target"),
    (SIGNAL.replace(",2", ",").replace("6", ""), EDGES, "node 'b' has no value at any"),
    (SIGNAL, "source,target\na,b\nb,a\na,b\n", "line 4: the edge stands in line 2 alr"),
    (SIGNAL, "source,target,weight\na,b,-1\n", "weight must be a finite number, 0 or"),
    (SIGNAL, "from,to\na,b\n", "edges.csv, line 1: column 'source' is missing"),
]


@pytest.mark.parametrize(
    ("signal", "edges", "message"), BAD, ids=[row[-1] for row in BAD]
)
def test_bad_files_are_one_sentence(tmp_path, signal, edges, message):
    with pytest.raises(DataError) as found:
        load_signals(folder(tmp_path, signal, edges))
    assert message in str(found.value)
    assert "\n" not in str(found.value)


def test_bad_arrays_and_folders_are_one_sentence(tmp_path, monkeypatch):
    write(tmp_path / "edges.csv", EDGES)
    with pytest.raises(DataError, match="must hold one of signal"):
        load_signals(tmp_path)
    with pytest.raises(DataError, match="neither one of los_loop, chickenpox"):
        load_signals("metr_la")
    np.savez(tmp_path / "signal.npz", signal=np.ones((3, 2)), times=np.arange(3))
    with pytest.raises(DataError, match="times must be datetime64 of 3 steps"):
        load_signals(tmp_path)
    with pytest.raises(DataError, match="step 1 of node 0 is not a finite number"):
        from_signal([[1.0], [np.inf]], [], [])
    (tmp_path / "signal.npz").rename(tmp_path / "signal.h5")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(DataError, match="needs h5py: pip install h5py"):
        load_signals(tmp_path)


def test_a_random_graph_keeps_degrees_and_nothing_else():
    # Equal edges would make no control; loops or doubled edges would change degrees.
    data = draw_signals(num_nodes=40)
    other = data.on_random_graph(0)
    for ends in ("senders", "receivers"):
        degrees = [np.bincount(getattr(d, ends), minlength=40) for d in (data, other)]
        np.testing.assert_array_equal(*degrees)
    pairs = [set(zip(d.senders, d.receivers, strict=True)) for d in (data, other)]
    assert len(pairs[1]) == data.num_edges
    assert len(pairs[0] & pairs[1]) < 0.3 * data.num_edges
    assert not any(sender == receiver for sender, receiver in pairs[1])
    assert not data.without_edges().mean_of_senders().toarray().any()


def test_the_mean_of_senders_weighs_them():
    data = from_signal(np.ones((2, 3)), [0, 1, 2], [2, 2, 2], [1.0, 3.0, 9.0])
    mean = [[0, 0, 0], [0, 0, 0], [0.25, 0.75, 0]]
    np.testing.assert_array_equal(data.mean_of_senders().toarray(), mean)


@needs_data
def test_known_series():
    speeds, cases = load_signals("los_loop"), load_signals("chickenpox")
    assert speeds.signal.shape == (2016, 207, 1)
    assert (speeds.num_edges, speeds.num_missing) == (2626, 0)  # loops are left out
    assert speeds.signal.max() == 70
    assert cases.signal.shape == (521, 20, 1)
    assert cases.num_edges == 82
    assert cases.node_names[:2] == ("BACS", "BARANYA")


def test_raw_files_become_the_same_arrays(tmp_path):
    # Rows for columns, the header taken as values, nodes in the order of their names.
    write(tmp_path / "speed.csv", "7,3\n60.5,50\n61,51\n62,52\n")
    write(tmp_path / "adj.csv", "1,0.5\n0,1\n")
    arrays = los_loop_arrays([tmp_path / "speed.csv", tmp_path / "adj.csv"])
    data = SIGNALS["los_loop"][1](arrays, "los_loop", tmp_path)
    assert data.signal[..., 0].tolist() == [[60.5, 50], [61, 51], [62, 52]]
    assert (data.node_names, data.senders, data.receivers) == (("7", "3"), [0], [1])
    path = tmp_path / "c.json"
    write(path, '{"edges":[[0,1],[1,1]],"node_ids":{"B":0,"A":1},"FX":[[1,2],[3,4]]}')
    data = SIGNALS["chickenpox"][1](chickenpox_arrays([path]), "chickenpox", path)
    assert data.node_names == ("B", "A")
    assert (data.senders, data.receivers) == ([0], [1])
    assert data.signal[1, :, 0].tolist() == [3, 4]
