"""Tokens of a text that is larger than a device's memory, or than the machine's.

A first pass over the text finds its characters and its SHA-256, a second one writes its
tokens, one or two bytes each, to a file in the user's cache. The file is mapped into
memory, and windows are read from it on the host.
"""

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap

from seqgraph_jax.data.origins import cache_directory
from seqgraph_jax.text.corpus import Vocabulary, code_points
from seqgraph_jax.text.pieces import TextError, find_book
from seqgraph_jax.training.checkpoints import make_room
from seqgraph_jax.training.memory import capacity, free_in_machine

Place = Literal["auto", "device", "host"]
Pieces = Callable[[], Iterator[str]]
DAY = 86_400  # seconds
#: Windows of a call. On a CPU of several devices JAX waits for ever for a call's
#: arguments if these are larger than 100 kB, since all its threads are waiting.
AT_ONCE = 8192


class Scanned(NamedTuple):
    """What one pass over a text finds."""

    vocabulary: Vocabulary  # its characters
    length: int  # in characters
    sha256: str  # of the text in UTF-8
    book: slice  # between Project Gutenberg's marks

    @property
    def num_bytes(self) -> int:
        """Of its tokens."""
        return self.length * np.dtype(self.vocabulary.dtype).itemsize


def scan(pieces: Iterable[str]) -> Scanned:
    """Read a text once, with memory for one piece.

    >>> found = scan(["abra", "cadabra"])
    >>> found.vocabulary.characters, found.length, found.book
    ('abcdr', 11, slice(0, 11, None))
    """
    there, digest, length = np.zeros(0x110000, bool), hashlib.sha256(), 0

    def seen() -> Iterator[str]:
        nonlocal length
        for piece in pieces:
            there[code_points(piece)] = True
            digest.update(piece.encode())
            length += len(piece)
            yield piece

    book = find_book(seen())
    characters = "".join(map(chr, np.flatnonzero(there)))
    return Scanned(Vocabulary(characters), length, digest.hexdigest(), book)


@jax.tree_util.register_static
@dataclass(frozen=True)
class HostTokens:
    """Tokens of a text that stay on the host: all but those of ``without``.

    For JAX a plain value: no device gets them, and a text's SHA-256 says which they
    are.
    """

    sha256: str
    without: tuple[int, int]  # where the held-out text starts and ends
    tokens: np.memmap = field(repr=False, compare=False)

    def __len__(self) -> int:
        start, stop = self.without
        return len(self.tokens) - (stop - start)

    def windows(self, starts: jax.Array, length: int) -> jax.Array:
        """Tokens ``[..., length]`` from ``starts [...]`` on, around the end.

        Under `jax.jit`, and `jax.vmap`, calls of the host for `AT_ONCE` windows each;
        what they return depends on ``starts`` alone.
        """
        one = partial(self._take, length)

        @custom_vmap
        def taken(starts: jax.Array) -> jax.Array:
            rows = starts.reshape(-1)
            size = min(len(rows), AT_ONCE)
            calls = jnp.pad(rows, (0, -len(rows) % size)).reshape(-1, size)
            shape = jax.ShapeDtypeStruct((size, length), jnp.int32)
            found = lax.map(lambda rows: jax.pure_callback(one, shape, rows), calls)
            found = found.reshape(-1, length)[: len(rows)]
            return found.reshape(*starts.shape, length)

        @taken.def_vmap
        def _(axis_size: int, batched: Any, starts: jax.Array) -> tuple[Any, bool]:
            return taken(starts), True

        return jnp.asarray(taken(starts))

    def _take(self, length: int, starts: Any) -> np.ndarray:
        starts = np.asarray(starts, np.int64)
        first, (start, stop) = starts.reshape(-1) % len(self), self.without
        positions = (first[:, None] + np.arange(length)) % len(self)
        positions += (positions >= start) * (stop - start)
        in_one = positions[:, -1] - positions[:, 0] == length - 1
        windows = np.empty(positions.shape, self.tokens.dtype)
        windows[in_one] = self._read(positions[in_one])
        windows[~in_one] = self.tokens[positions[~in_one]]
        return windows.reshape(*starts.shape, length).astype(np.int32)

    def _read(self, positions: np.ndarray) -> np.ndarray:
        """Tokens at rows of positions that follow one another, read from the file.

        Through the mapping pages of it would come to lie in this process until all of
        the text is there, each at the price of several windows.
        """
        size, offset = self.tokens.itemsize, self.tokens.offset
        places = (offset + size * positions[:, 0]).tolist()
        try:
            with open(str(self.tokens.filename), "rb") as file:
                number, count = file.fileno(), size * positions.shape[1]
                read = b"".join([os.pread(number, count, at) for at in places])
        except (OSError, AttributeError):  # its name is gone; not a POSIX system
            return np.asarray(self.tokens[positions])
        return np.frombuffer(read, self.tokens.dtype).reshape(positions.shape)


def choose_place(place: Place, num_bytes: int) -> Literal["device", "host"]:
    """Where tokens lie: on the device while all its copies take less than a quarter.

    Each local device has a copy; those of a CPU share the machine's memory. Raises
    `TextError` if they lie on the host and JAX may not use it.
    """
    if place == "auto":
        devices = jax.local_devices()
        copies = len(devices) if devices[0].platform == "cpu" else 1
        place = "device" if 4 * copies * num_bytes < capacity(devices[0]) else "host"
    if place == "host":
        try:
            jax.local_devices(backend="cpu")
        except RuntimeError as error:
            raise TextError(
                "tokens on the host need JAX's CPU beside its accelerator: name it in "
                "JAX_PLATFORMS, too, as in cuda,cpu"
            ) from error
    return place


def tokens_in_memory(text: Scanned, pieces: Pieces) -> np.ndarray:
    """Tokens of a text, ``[N]``, of the smallest kind of integer that holds them."""
    tokens = np.empty(text.length, text.vocabulary.dtype)
    at = 0
    for part in _encoded(text, pieces):
        tokens[at : at + len(part)] = part
        at += len(part)
    return tokens


def tokens_on_disk(text: Scanned, pieces: Pieces, folder: Path | None) -> np.memmap:
    """The same, mapped from a file in ``folder``, without one in the user's cache.

    A file of that text that is there already is taken. It is written under another
    name, and has its own once it is whole. Raises `TextError` if there is no room.
    """
    folder = folder or cache_directory().with_name("tokens")
    path = folder / f"{text.sha256}.npy"
    shape, dtype = (text.length,), np.dtype(text.vocabulary.dtype)
    with contextlib.suppress(OSError, ValueError, EOFError):  # none, or no array
        tokens: np.memmap = np.load(path, mmap_mode="r", allow_pickle=False)
        if (tokens.shape, tokens.dtype) == (shape, dtype):
            _read_ahead(path)
            return tokens
    try:
        make_room(folder, text.num_bytes)
        _forget_unfinished(folder)
        with _finished(path) as file:
            header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for part in _encoded(text, pieces):
                file.write(part.data)
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        size = f"{text.num_bytes / 1e6:,.0f} MB"
        raise TextError(
            f"the tokens of the text, {size}, cannot be kept in {folder}: "
            f"{error.strerror}; XDG_CACHE_HOME names another place for caches"
        ) from error


def _read_ahead(path: Path) -> None:
    """Read a file once from end to end, so that the system has what fits of it.

    From a disk, windows anywhere in it take a hundred times as long.
    """
    if path.stat().st_size < free_in_machine():
        with path.open("rb", buffering=0) as file:
            while file.read(2**24):
                pass


def _encoded(text: Scanned, pieces: Pieces) -> Iterator[np.ndarray]:
    """Tokens piece by piece, as many as there were when the text was scanned."""
    length = 0
    for piece in pieces():
        length += len(piece)
        if length > text.length:
            break
        yield text.vocabulary.encode(piece, text.vocabulary.dtype)
    if length != text.length:
        raise TextError(
            "the text changed while it was read, or its file cannot be read twice"
        )


@contextlib.contextmanager
def _finished(path: Path) -> Iterator[BinaryIO]:
    """A file that has its name once it is whole, and is gone if it does not get so."""
    number, name = tempfile.mkstemp(".part", path.stem, path.parent)
    try:
        with open(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _forget_unfinished(folder: Path) -> None:
    """Delete what a process that was killed has left a day ago or earlier."""
    for path in folder.glob("*.part"):
        with contextlib.suppress(OSError):  # another process was faster
            if time.time() - path.stat().st_mtime > DAY:
                path.unlink()
