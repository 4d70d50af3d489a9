"""Graphs and texts by name, or by the path of yours.

`find` and `load` take what `data.origins` finds or downloads, and checks.
"""

import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from seqgraph_jax.data import molecules, planetoid, tu
from seqgraph_jax.data.archives import unpack
from seqgraph_jax.data.arrays import read_npz
from seqgraph_jax.data.checks import DataError
from seqgraph_jax.data.files import from_csv
from seqgraph_jax.data.origins import Origin, find_files, load_source, source
from seqgraph_jax.data.origins import cache_directory as cache_directory  # also here
from seqgraph_jax.data.records import GraphData, NodeData, both_ways, from_networkx
from seqgraph_jax.data.records import from_arrays as from_arrays  # also found here

_UVADLC = (
    "https://raw.githubusercontent.com/uvadlc/uvadlc_practicals_2020/"
    "2023a19bd45101086cb8fccb67e1095a296d1dc1/assignment_2/2_recurrentnns_gnns/code/"
)

#: Project Gutenberg edits its books now and then; the second address keeps the edition
#: that the known SHA-256 belongs to.
ORIGINS = {
    "grimm": Origin(
        "book_EN_grimms_fairy_tails.txt",
        "e6439bd511820742e842e21b75e89b394d3809eec82ca56b506c39ff39d4a7d6",
        (
            "https://www.gutenberg.org/cache/epub/2591/pg2591.txt",
            f"{_UVADLC}Part%202/assets/book_EN_grimms_fairy_tails.txt",
        ),
    ),
}

SOURCES = {
    "cora": source(
        "cora.npz",
        "b946ce134799f34d70ff8958867ef2809dba5bcaffa04640fbd45738214c3394",
        planetoid.CORA_FILES,
        planetoid.raw_arrays,
    ),
    "citeseer": source(
        "citeseer.npz", "", planetoid.CITESEER_FILES, planetoid.raw_arrays
    ),
    "lastfm_asia": source(
        "lastfm_asia.npz",
        "28b4cad32a2829effad3fd2152ba233b0265b871fa163c7677c6f118747d33ec",
        planetoid.LASTFM_FILES,
        planetoid.lastfm_arrays,
    ),
    "mutag": source(
        "mutag.npz",
        "bcaca9fa928043bc5d32723cc745b30180a689fa2301b025ef1497962a55583d",
        molecules.MUTAG_FILES,
        molecules.mutag_arrays,
    ),
    "esol": source(
        "esol_graphs.npz",
        "664843eccae2b6e51165f0cc8254f5f49364670ae7e92bc82ba37f762833a4e5",
        molecules.ESOL_FILES,
        molecules.esol_arrays,
    ),
}


def find(name: str) -> Path:
    """Path of a text's file; downloads it if it is not on this machine.

    Raises `DataError` for an unknown name, for a file with another content than the
    known one, and if it is nowhere and cannot be downloaded.
    """
    if name not in ORIGINS:
        raise DataError(f"data set {name!r} is unknown: choose {', '.join(ORIGINS)}")
    return find_files(name, [ORIGINS[name]])[0]


def load(name: str | Path, *, undirected: bool = False) -> NodeData | GraphData:
    """A data set by its name, or one of yours by its path.

    Names: karate, cora, citeseer, lastfm_asia are `NodeData`; mutag and esol are
    `GraphData`. Raw files become an ``.npz`` in the cache, once. Where mutag has to be
    downloaded it comes without labels of edges and folds, and esol needs rdkit.

    A path is a folder with ``edges.csv`` and perhaps ``nodes.csv`` (see `from_csv`), in
    the TU format or of Planetoid's files, a ``.zip`` or ``.tar.gz`` of such a folder,
    or an ``.npz`` as in the cache. ``undirected`` adds the reverse of each edge of a
    `NodeData` that is not there; edges of many graphs are taken as they stand.
    Raises `DataError` that says what is wrong and what to do.

    >>> data = load("karate")
    >>> data.num_nodes, data.num_edges, data.class_names
    (34, 156, ('Mr. Hi', 'Officer'))
    """
    data = _load(name)
    if undirected and isinstance(data, GraphData):
        raise DataError(f"{name} holds many graphs: undirected is for one alone")
    return both_ways(data) if undirected and isinstance(data, NodeData) else data


def _load(name: str | Path) -> NodeData | GraphData:
    if name == "karate":
        try:
            import networkx
        except ImportError as error:
            raise DataError("karate needs networkx: pip install networkx") from error
        graph = networkx.karate_club_graph()
        return from_networkx(graph, label="club", name="karate")
    if isinstance(name, str) and name in SOURCES:
        return load_source(name, SOURCES[name], _record)
    path = Path(name)
    if path.is_dir():
        return _load_folder(path)
    if path.is_file() and path.suffix == ".npz":
        name = path.stem.removesuffix("_graphs")
        return _record(read_npz(path), name, path)
    if path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path)):
        with tempfile.TemporaryDirectory() as folder:
            unpack(path, Path(folder))
            inside = [p for p in sorted(Path(folder).rglob("*")) if p.is_dir()]
            return _load_folder(Path(folder), inside, path)
    raise DataError(
        f"{str(name)!r} is neither one of karate, {', '.join(SOURCES)} nor the path of "
        "a folder, an archive or an .npz file"
    )


def load_nodes(name: str | Path, *, undirected: bool = False) -> NodeData:
    """`load` one graph with labelled nodes; raises `DataError` for anything else."""
    data = _load(name)
    if not isinstance(data, NodeData):
        raise DataError(f"{name} holds many graphs, not one with labelled nodes")
    if data.num_classes < 2:
        raise DataError(f"{name} has fewer than two classes of nodes")
    return both_ways(data) if undirected else data


def load_graphs(name: str | Path) -> GraphData:
    """`load` many graphs with a target each; raises `DataError` for anything else."""
    data = load(name)
    if not isinstance(data, GraphData):
        raise DataError(f"{name} holds one graph, not many")
    if data.class_names and data.num_classes < 2:
        raise DataError(f"{name} has fewer than two classes of graphs")
    return data


def _record(
    arrays: Mapping[str, np.ndarray], name: str, path: Path
) -> NodeData | GraphData:
    """The record that the arrays' names ask for."""
    try:
        if "atom_feat" in arrays:
            return molecules.esol(arrays, name)
        if "node_label" in arrays:
            return molecules.mutag(arrays, name)
        return planetoid.node_data(arrays, name)
    except KeyError as error:
        raise DataError(f"{path} has no array {error}") from error
    except (ArithmeticError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"the arrays of {path} do not fit: {error}") from error


def _load_folder(
    folder: Path,
    others: Sequence[Path] = (),
    archive: Path | None = None,
) -> NodeData | GraphData:
    """The data set in a folder, or in the first of some others."""
    shown = archive or folder
    for place in (folder, *others):
        if (place / "edges.csv").is_file():
            nodes = place / "nodes.csv"
            return from_csv(
                place / "edges.csv",
                nodes if nodes.is_file() else None,
                name=shown.resolve().name.partition(".")[0],
            )
        planetoids = [f.name[4:-2] for f in place.glob("ind.*.x")]
        names = tu.tu_names(place) + planetoids
        if len(names) > 1:
            raise DataError(f"{shown} has several data sets: {', '.join(names)}")
        if planetoids:
            parts = [place / f"ind.{names[0]}.{part}" for part in planetoid.PARTS]
            return _record(planetoid.raw_arrays(parts), names[0], place)
        if names:
            return tu.read_tu(place, names[0])
    raise DataError(
        f"{shown} has no data set: it needs edges.csv, NAME_A.txt (TU format) or "
        "ind.NAME.x (Planetoid)"
    )
