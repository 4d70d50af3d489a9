"""Real data: found on this machine or downloaded, and always checked.

`find` looks in ``$SEQGRAPH_DATA/NAME/``, then in the user's cache, then downloads from
the public origin; a file counts only if its SHA-256 is the known one.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path


class DataError(ValueError):
    """Data that cannot be had; the message is one sentence for the user."""


@dataclass(frozen=True)
class Origin:
    """A file, its SHA-256, and where it can be downloaded, the first choice first."""

    filename: str
    sha256: str
    urls: tuple[str, ...]


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


def cache_directory() -> Path:
    """Where downloads are kept: ``$XDG_CACHE_HOME`` or ``~/.cache``, and below."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "seqgraph_jax" / "data"


def find(name: str) -> Path:
    """Path of a data set's file; downloads it if it is not on this machine.

    Raises `DataError` for an unknown name, for a file with another content than the
    known one, and if it is nowhere and cannot be downloaded.
    """
    if name not in ORIGINS:
        raise DataError(f"data set {name!r} is unknown: choose {', '.join(ORIGINS)}")
    origin = ORIGINS[name]
    places = [cache_directory() / name / origin.filename]
    if os.environ.get("SEQGRAPH_DATA"):
        places.insert(0, Path(os.environ["SEQGRAPH_DATA"]) / name / origin.filename)
    for path in places:
        if path.is_file():
            if hashlib.sha256(path.read_bytes()).hexdigest() != origin.sha256:
                raise DataError(
                    f"{path} is not the known file (its SHA-256 differs): remove it, "
                    "and it is downloaded again"
                )
            return path
    return _download(name, origin, places[-1])


def _download(name: str, origin: Origin, path: Path) -> Path:
    import pooch

    pooch.get_logger().setLevel("ERROR")
    for url in origin.urls:
        try:
            pooch.retrieve(url, f"sha256:{origin.sha256}", path.name, path.parent)
        except (ValueError, OSError):  # another content, or no network (requests)
            continue
        return path
    raise DataError(
        f"{name} is not on this machine and cannot be downloaded from "
        f"{' or '.join(origin.urls)}: put it at {path}, or set SEQGRAPH_DATA to the "
        f"folder that holds {name}/{path.name}"
    )
