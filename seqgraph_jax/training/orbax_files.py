"""Arrays by name, written and read with Orbax's v1 interface, which is used here alone.

Orbax takes 0.3 s to import.
"""

import contextlib
import io
import logging
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from seqgraph_jax.training.hosts import connected
from seqgraph_jax.training.setup import set_up


def write(path: Path, arrays: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    """Write arrays and JSON values into a new directory, whole or not at all.

    Connected processes write it together: each its rows of a `jax.Array` that lies on
    all, the first one the arrays of NumPy.
    """
    from orbax.checkpoint import v1 as ocp

    with _quiet(), _plain_name(path.parent) as plain, _processes(ocp, connected()):
        ocp.save(plain / path.name, dict(arrays), custom_metadata=dict(metadata))


def read(path: Path) -> tuple[dict[str, np.ndarray], Any]:
    """Arrays and JSON values, whatever devices wrote them; each process by itself."""
    from orbax.checkpoint import v1 as ocp

    with _quiet(), _plain_name(path.parent) as plain, _processes(ocp, False):
        found = ocp.metadata(plain / path.name)
        like = {k: np.empty(a.shape, a.dtype) for k, a in found.metadata.items()}
        arrays = ocp.load(plain / path.name, like)
    return {k: np.asarray(array) for k, array in arrays.items()}, found.custom_metadata


@contextlib.contextmanager
def _processes(ocp: Any, together: bool) -> Iterator[None]:
    """Whether Orbax waits for the other processes, if JAX knows of any."""
    set_up()  # before Orbax starts JAX
    if together or jax.process_count() == 1:
        yield
        return
    context, this = ocp.Context(), jax.process_index()
    context.multiprocessing.primary_host = this
    context.multiprocessing.active_processes = {this}
    with context:
        yield


@contextlib.contextmanager
def _plain_name(directory: Path) -> Iterator[Path]:
    """The directory under a name that Orbax takes as it is: its own, or a link's.

    Orbax reads brackets, stars and backslashes in a path as a pattern, and loses what
    it does not find by it; TensorStore wants names that are UTF-8.
    """
    if re.fullmatch(r"[^][*?\\\ud800-\udfff]*", directory.as_posix()):
        yield directory
        return
    if connected():
        raise OSError("several processes cannot write to a path with any of []*?\\")
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "checkpoints"
        link.symlink_to(directory, target_is_directory=True)
        yield link


def first_line(error: Exception) -> str:
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
