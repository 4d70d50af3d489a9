"""Where data come from: found on this machine or downloaded, and always checked.

Files are looked for in ``$SEQGRAPH_DATA/NAME/``, then in the user's cache, then
downloaded from the public origin; one counts only if its SHA-256 is the known one.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from seqgraph_jax.data.arrays import read_npz, write_npz
from seqgraph_jax.data.checks import DataError

Arrays = Mapping[str, np.ndarray]
Record = TypeVar("Record")


@dataclass(frozen=True)
class Origin:
    """A file, its SHA-256, and where it can be downloaded, the first choice first."""

    filename: str
    sha256: str
    urls: tuple[str, ...] = ()


Convert = Callable[[list[Path]], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Source:
    """A data set: the ``.npz`` kept of it, and the files it is made from."""

    npz: Origin  # its SHA-256 is that in $SEQGRAPH_DATA
    raw: tuple[Origin, ...]
    arrays: Convert


def source(npz: str, sha256: str, files: Mapping[str, str], arrays: Convert) -> Source:
    raw = (
        Origin(url.rpartition("/")[2], known, (url,)) for url, known in files.items()
    )
    return Source(Origin(npz, sha256), tuple(raw), arrays)


def cache_directory() -> Path:
    """Where downloads are kept: ``$XDG_CACHE_HOME`` or ``~/.cache``, and below.

    A user without a home directory has them among the temporary files.
    """
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        cache = Path(tempfile.gettempdir())
    return cache / "seqgraph_jax" / "data"


def load_source(
    name: str, source: Source, record: Callable[[Arrays, str, Path], Record]
) -> Record:
    """The record of a data set's arrays, of its ``.npz`` or else of its raw files.

    Raw files become an ``.npz`` in the cache, once.
    """
    if path := _located(name, source.npz, os.environ.get("SEQGRAPH_DATA")):
        return record(read_npz(path), name, path)
    cached = cache_directory() / name / source.npz.filename
    if cached.is_file():
        with contextlib.suppress(DataError):  # damaged: it is converted again
            return record(read_npz(cached), name, cached)
    arrays = source.arrays(find_files(name, source.raw))
    with contextlib.suppress(OSError):  # a cache that cannot be written
        write_npz(cached, arrays)
    return record(arrays, name, cached)


def _located(name: str, origin: Origin, *folders: str | Path | None) -> Path | None:
    """The file in the first of the folders that has it, its SHA-256 checked."""
    for folder in folders:
        path = Path(folder or "") / name / origin.filename
        if folder and origin.sha256 and path.is_file():
            if hashlib.sha256(path.read_bytes()).hexdigest() != origin.sha256:
                raise DataError(
                    f"{path} is not the known file (its SHA-256 differs): remove it, "
                    "and it is downloaded again"
                )
            return path
    return None


def find_files(name: str, origins: Sequence[Origin]) -> list[Path]:
    """The files of a data set, found or downloaded into the cache."""
    import pooch

    pooch.get_logger().setLevel("ERROR")
    places = (os.environ.get("SEQGRAPH_DATA"), cache_directory())
    found = {origin.filename: _located(name, origin, *places) for origin in origins}
    folder = cache_directory() / name
    for origin in origins:
        if found[origin.filename]:
            continue
        for url in origin.urls:
            # another content, or no network (requests)
            with contextlib.suppress(ValueError, OSError):
                pooch.retrieve(url, f"sha256:{origin.sha256}", origin.filename, folder)
                found[origin.filename] = folder / origin.filename
                break
        else:
            missing = [file for file, path in found.items() if path is None]
            raise DataError(
                f"{name} is not on this machine and cannot be downloaded from "
                f"{' or '.join(origin.urls)}: put {', '.join(missing)} into "
                f"{folder}, or set SEQGRAPH_DATA to the folder that holds {name}/"
            )
    return [path for path in found.values() if path]
