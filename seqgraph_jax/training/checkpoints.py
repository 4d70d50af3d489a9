"""Save and restore arrays with Orbax, so that a killed run loses minutes, not itself.

``directory/STEP/`` is one Orbax checkpoint: a flat mapping from dotted path
(``state.params.head.kernel``) to array, the configuration, and a SHA-256 of all of it.
Orbax writes aside and renames, so a checkpoint is there whole or not at all, and the
older ones go only after the newer one is there.

Connected processes write one checkpoint: each its rows of what lies under ``state``,
filled up to shares of one size, and their SHA-256 is taken row by row.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqgraph_jax.training import hosts, orbax_files
from seqgraph_jax.training.shares import Share, as_bytes

_ROWS = "rows"  # the name under which digests of rows are digested
_TEMPORARY = "*.orbax-checkpoint-tmp*"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Checkpoint:
    """What `load` found: arrays by dotted path and the configuration beside them."""

    path: Path
    step: int
    arrays: dict[str, np.ndarray]
    config: dict[str, Any]

    def under(self, prefix: str) -> dict[str, np.ndarray]:
        """Arrays whose path starts with ``prefix.``, by the rest of their path."""
        start = prefix + "."
        return {
            name.removeprefix(start): array
            for name, array in self.arrays.items()
            if name.startswith(start)
        }

    def restore(self, prefix: str, like: Any, any_precision: bool = False) -> Any:
        """The tree saved under ``prefix``, in the structure of ``like``.

        ``like`` holds arrays or `jax.ShapeDtypeStruct`. With ``any_precision`` numbers
        that were saved in another precision are given in that of ``like``. Raises
        `CheckpointError` if a path, a shape or a dtype is not the same: a checkpoint of
        another model.
        """
        found, expected = self.under(prefix), flatten(like)
        if any_precision:
            for name in found.keys() & expected.keys():
                dtypes = found[name].dtype, expected[name].dtype
                if all(jnp.issubdtype(dtype, jnp.floating) for dtype in dtypes):
                    found[name] = found[name].astype(dtypes[1])
        for name in [*expected, *found]:
            here, there = (
                f"{tree[name].dtype}{list(tree[name].shape)}"
                if name in tree
                else "none"
                for tree in (expected, found)
            )
            if here != there:
                raise CheckpointError(
                    f"{self.path} is a checkpoint of another model: {name} is {there} "
                    f"there and {here} here"
                )
        return jax.tree.unflatten(
            jax.tree.structure(like), [found[name] for name in expected]
        )


def flatten(tree: Any) -> dict[str, Any]:
    """Leaves by dotted path, in the order of `jax.tree.leaves`.

    >>> list(flatten({"params": {"kernel": 1.0}, "step": 2}))
    ['params.kernel', 'step']
    """
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def steps(directory: Path | str) -> list[int]:
    """Steps of the checkpoints in a directory, in rising order."""
    directory = Path(directory)
    if not directory.is_dir():
        return []
    names = [path.name for path in directory.iterdir()]
    return sorted(int(name) for name in names if re.fullmatch("0|[1-9][0-9]*", name))


def save(
    directory: Path | str,
    step: int,
    tree: Any,
    config: Mapping[str, Any],
    keep: int = 2,
    keep_steps: Collection[int] = (),
    share: Share | None = None,
) -> Path:
    """Write ``directory/step``; keep it, the newest ``keep`` and ``keep_steps``.

    ``config`` holds JSON values. A step that is there already is left as it is. With
    the ``share`` of one of several processes, which all must call this, leaves under
    ``state`` are its rows.
    Raises `ValueError` for ``keep`` below 1, and `OSError` if the disk is full or
    cannot be written; the older checkpoints are then untouched.
    """
    if keep < 1:
        raise ValueError(f"keep must be 1 or more, not {keep}")
    directory = Path(directory).absolute()
    path = directory / str(step)
    together = share is not None and len(share.counts) > 1
    if path.is_dir() if not together else hosts.largest(path.is_dir())[0]:
        return path
    arrays: dict[str, Any] = {
        name: np.asarray(leaf) for name, leaf in flatten(tree).items()
    }
    metadata: dict[str, Any] = {"config": dict(config)}
    make_room(directory, sum(array.nbytes for array in arrays.values()))
    if share is not None and together:
        rows = {name: array for name, array in arrays.items() if _by_rows(name)}
        metadata["rows"] = share.num_rows
        digests = share.gather(_digests_of_rows(rows))
        others = {k: a for k, a in arrays.items() if k not in rows}
        others[_ROWS] = digests  # in place of the rows
        metadata["sha256"] = _digest(others, config)
        arrays |= {name: share.spread(array) for name, array in rows.items()}
    else:
        metadata["sha256"] = _digest(arrays, config)
    try:
        orbax_files.write(path, arrays, metadata)
    except jax.errors.JaxRuntimeError as error:
        if together:
            hosts.end_lost()
        raise _unwritten(path, error) from error
    except Exception as error:  # Orbax and TensorStore raise many kinds
        raise _unwritten(path, error) from error
    finally:
        for leftover in directory.glob(_TEMPORARY) if not hosts.process() else ():
            shutil.rmtree(leftover, ignore_errors=True)
    for old in steps(directory)[:-keep] if not hosts.process() else ():
        if old not in (step, *keep_steps):
            shutil.rmtree(directory / str(old))
    return path


def _unwritten(path: Path, error: Exception) -> OSError:
    shutil.rmtree(path, ignore_errors=True)
    why = orbax_files.first_line(error)
    return OSError(f"checkpoint {path} cannot be written: {why}")


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other processes that ask for the same out of a directory, which is made.

    Raises `CheckpointError` if another one is in it. The lock goes with its process,
    however that ends; a system that has no such locks keeps nobody out.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if os.name != "posix":
        yield
        return
    import fcntl

    file = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise CheckpointError(
            f"another process trains in {directory}: wait until it has ended, or take "
            "another directory"
        ) from error
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(file)


def make_room(directory: Path, num_bytes: int) -> None:
    """Make a directory that can be written and takes so many bytes, or `OSError`."""
    directory.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=directory).close()
    if shutil.disk_usage(directory).free < num_bytes + 2**20:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory))


def load(directory: Path | str, step: int | None = None) -> Checkpoint:
    """Read a checkpoint, the newest one without ``step``, and check that it is whole.

    Raises `CheckpointError` if there is none or if its content is not what was saved.
    """
    directory = Path(directory).absolute()
    found = steps(directory)
    if (step is None and not found) or (step is not None and step not in found):
        wanted = "checkpoint" if step is None else f"checkpoint of step {step}"
        there = f"there are steps {', '.join(map(str, found))}" if found else "none"
        raise CheckpointError(f"{directory} holds no {wanted} ({there})")
    step = found[-1] if step is None else step
    path = directory / str(step)
    try:
        arrays, metadata = orbax_files.read(path)
        whole = arrays
        if "rows" in metadata:
            rows = {k: a[: metadata["rows"]] for k, a in arrays.items() if _by_rows(k)}
            arrays |= rows
            whole = {k: a for k, a in arrays.items() if k not in rows}
            whole[_ROWS] = _digests_of_rows(rows)
        intact = _digest(whole, metadata["config"]) == metadata["sha256"]
    except Exception as error:  # Orbax and TensorStore raise many kinds
        why = orbax_files.first_line(error)
        raise CheckpointError(f"checkpoint {path} is damaged: {why}") from error
    if not intact:
        raise CheckpointError(
            f"checkpoint {path} is damaged: its content does not match its SHA-256"
        )
    return Checkpoint(path, step, arrays, metadata["config"])


def _by_rows(name: str) -> bool:
    return name.startswith("state.")


def _digests_of_rows(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """A SHA-256 for each row of all arrays, ``[S, 32]``."""
    names = sorted(arrays)
    kinds = [f"{n} {arrays[n].dtype} {arrays[n].shape[1:]}" for n in names]
    start = hashlib.sha256(" ".join(kinds).encode())
    found = []
    for row in zip(*(as_bytes(arrays[name]) for name in names), strict=True):
        digest = start.copy()
        for part in row:
            digest.update(part)
        found.append(np.frombuffer(digest.digest(), np.uint8))
    return np.array(found)


def _digest(arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
