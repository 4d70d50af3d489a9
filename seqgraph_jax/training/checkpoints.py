"""Save and restore arrays with Orbax, so that a killed run loses minutes, not itself.

``directory/STEP/`` is one Orbax checkpoint: a flat mapping from dotted path
(``state.params.head.kernel``) to array, the configuration, and a SHA-256 of all of it.
Orbax writes aside and renames, so a checkpoint is there whole or not at all, and the
older ones go only after the newer one is there.

Orbax's v1 interface is used in this module alone; it takes 0.3 s to import.
"""

import contextlib
import errno
import hashlib
import io
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

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
) -> Path:
    """Write ``directory/step``; keep it, the newest ``keep`` and ``keep_steps``.

    ``config`` holds JSON values. A step that is there already is left as it is.
    Raises `ValueError` for ``keep`` below 1, and `OSError` if the disk is full or
    cannot be written; the older checkpoints are then untouched.
    """
    from orbax.checkpoint import v1 as ocp

    if keep < 1:
        raise ValueError(f"keep must be 1 or more, not {keep}")
    directory = Path(directory).absolute()
    path = directory / str(step)
    if path.is_dir():
        return path
    arrays = {name: np.asarray(leaf) for name, leaf in flatten(tree).items()}
    metadata = {"config": dict(config), "sha256": _digest(arrays, config)}
    make_room(directory, sum(array.nbytes for array in arrays.values()))
    try:
        with _quiet(), _plain_name(directory) as plain:
            ocp.save(plain / path.name, arrays, custom_metadata=metadata)
    except Exception as error:  # Orbax and TensorStore raise many kinds
        shutil.rmtree(path, ignore_errors=True)
        what = f"checkpoint {path} cannot be written: {_first_line(error)}"
        raise OSError(what) from error
    finally:
        for leftover in directory.glob(_TEMPORARY):
            shutil.rmtree(leftover, ignore_errors=True)
    for old in steps(directory)[:-keep]:
        if old not in (step, *keep_steps):
            shutil.rmtree(directory / str(old))
    return path


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
    from orbax.checkpoint import v1 as ocp

    directory = Path(directory).absolute()
    found = steps(directory)
    if (step is None and not found) or (step is not None and step not in found):
        wanted = "checkpoint" if step is None else f"checkpoint of step {step}"
        there = f"there are steps {', '.join(map(str, found))}" if found else "none"
        raise CheckpointError(f"{directory} holds no {wanted} ({there})")
    step = found[-1] if step is None else step
    path = directory / str(step)
    with _quiet(), _plain_name(directory) as plain:
        try:
            arrays = ocp.load(plain / path.name)
            metadata = ocp.metadata(plain / path.name).custom_metadata
            arrays = {name: np.asarray(array) for name, array in arrays.items()}
            intact = _digest(arrays, metadata["config"]) == metadata["sha256"]
        except Exception as error:  # Orbax and TensorStore raise many kinds
            raise CheckpointError(
                f"checkpoint {path} is damaged: {_first_line(error)}"
            ) from error
    if not intact:
        raise CheckpointError(
            f"checkpoint {path} is damaged: its content does not match its SHA-256"
        )
    return Checkpoint(path, step, arrays, metadata["config"])


def _digest(arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _plain_name(directory: Path) -> Iterator[Path]:
    """The directory under a name that Orbax takes as it is: its own, or a link's.

    Orbax reads brackets, stars and backslashes in a path as a pattern, and loses what
    it does not find by it; TensorStore wants names that are UTF-8.
    """
    if re.fullmatch(r"[^][*?\\\ud800-\udfff]*", directory.as_posix()):
        yield directory
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "checkpoints"
        link.symlink_to(directory, target_is_directory=True)
        yield link


def _first_line(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text.splitlines()[0][:160]


def _not_of_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in record.getMessage()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Orbax prints about an error that it raises anyway off the terminal.

    It logs, and its threads print tracebacks for a moment after it has raised. Tasks
    that failed beside say so when they are collected, which may be later still.
    """
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            yield
        except Exception:
            time.sleep(0.5)
            logging.getLogger("asyncio").addFilter(_not_of_orbax)
            raise
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
