"""Seeds on many hosts: processes that share them out and agree on what comes next.

JAX's distributed runtime connects the processes. Each of them trains the rows of its
share on its own devices, and nothing is sent while it does; after every evaluation the
processes give one another their metrics, so that all hold the same `Run` and take the
same decisions. Process 0 alone prints and writes, but for the checkpoints, of which
each writes its rows. With one process there is nothing to send, and nothing is.

A process that ends before its time ends the others, with a sentence: what JAX raises
then cannot be caught where it matters, since it aborts the process.
"""

import contextlib
import ctypes
import hashlib
import importlib.util
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from seqgraph_jax.training.setup import set_up

#: Seconds without a sign of life after which a process counts as lost.
HEARTBEAT = 30
LOST = (
    "another process of this run has ended or cannot be reached, so this one ends, "
    "too; what was saved is kept, and can be gone on with on any number of processes"
)
OTHER_SETTINGS = "the processes were not started with the same settings"
_DAY = 86_400  # seconds; a process that is alive is waited for
_TEXT = 4096  # bytes of a text that process 0 tells the others
_ending = threading.Lock()


class Refused(ValueError):
    """Processes that do not fit one another, or what process 0 refused, on the others.

    The message is one sentence.
    """


def connect(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Make this process one of several that train together; before JAX computes.

    ``coordinator`` is ``HOST:PORT`` of process 0, the same on all; without arguments
    the three are those of Slurm or of Cloud TPU, and elsewhere this process stays
    alone. Afterwards `train_seeds` shares the seeds out, and every process gets the
    `Run` of all of them, which must be asked for alike on each. Returns once all are
    there, and ends the process if they are not within five minutes. Raises `ValueError`
    for arguments that do not fit one another.

    >>> connect()
    """
    given = coordinator, num_processes, process_id
    if None in given and given != (None, None, None):
        raise ValueError("coordinator, number of processes and process go together")
    if num_processes is not None and process_id is not None:
        if not 0 <= process_id < num_processes:
            raise ValueError(
                f"processes are numbered from 0 to {num_processes - 1}, so there is no "
                f"process {process_id}"
            )
        if not (coordinator or "").rpartition(":")[2].isdigit():
            raise ValueError(f"a coordinator is HOST:PORT, not {coordinator!r}")
    if connected() or num_processes == 1 or not (coordinator or _in_cluster()):
        return
    jax.config.update("jax_enable_preemption_service", False)  # it takes SIGTERM
    at_abort(end_lost)
    sys.excepthook = _end_after
    try:
        jax.distributed.initialize(
            *given,
            cluster_detection_method="deactivate" if coordinator else None,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=_DAY,
        )
    except RuntimeError as error:
        raise ValueError(f"JAX cannot connect the processes: {error}") from error
    except ValueError:
        if coordinator:
            raise
        at_abort(None)  # there is no cluster after all
        sys.excepthook = sys.__excepthook__


def _in_cluster() -> bool:
    """Whether JAX can find the processes by itself: under Slurm, on Cloud TPU."""
    tasks = os.environ.get("SLURM_NTASKS", "1")
    in_step = "SLURM_STEP_NODELIST" in os.environ and int(tasks) > 1
    return in_step or importlib.util.find_spec("libtpu") is not None


def connected() -> bool:
    """Whether this process is one of several."""
    if not jax.distributed.is_initialized():
        return False
    set_up()  # before JAX starts, which it does to count
    return jax.process_count() > 1


def num_processes() -> int:
    """How many processes train together."""
    return jax.process_count() if connected() else 1


def process() -> int:
    """The number of this process among them; 0 prints and writes."""
    return jax.process_index() if connected() else 0


def part() -> None:
    """Wait for the other processes and go on, or end, without them.

    What follows is not told apart from what one process does, so process 0 can judge
    and report for as long as it takes.
    """
    if connected():
        jax.distributed.shutdown()
        at_abort(None)
        sys.excepthook = sys.__excepthook__


def exchange(values: np.ndarray) -> np.ndarray:
    """What every process gives, ``[P, ...]``; all must give as much, at equal times."""
    if not connected():
        return values[None]
    try:
        _meet()
        return np.asarray(multihost_utils.process_allgather(values))
    except jax.errors.JaxRuntimeError:
        end_lost()


@cache
def _meet() -> None:
    """Exchange something for the first time: Gloo prints then, on standard output."""
    each = [len(jax.local_devices(p)) for p in range(jax.process_count())]
    if len(set(each)) > 1:
        part()
        raise Refused(
            f"the processes have different numbers of devices, {each}: on CPUs set "
            "JAX_NUM_CPU_DEVICES to the same on all"
        )
    devices = np.array(jax.devices()).reshape(len(each), -1)
    mesh = Mesh(devices, ("processes", "local_devices"))
    rows, same = (NamedSharding(mesh, P(name)) for name in ("processes", None))
    zeros = jax.make_array_from_process_local_data(rows, np.zeros((1, 1), np.uint8))
    sys.stdout.flush()
    out = os.dup(1)
    os.dup2(2, 1)
    try:  # what `process_allgather` does, which does not wait for all devices
        jax.block_until_ready(jax.jit(lambda x: x, out_shardings=same)(zeros))
    finally:
        if os.name == "posix":
            ctypes.CDLL(None).fflush(None)
        os.dup2(out, 1)
        os.close(out)


def largest(*values: float) -> list[float]:
    """The largest of what any process gives, number by number."""
    return exchange(np.array(values, float)).max(axis=0).tolist()


def from_first(make: Callable[[], str]) -> str:
    """The text that ``make`` gives on process 0, on every process.

    What it raises there is raised as it is, on the others as `Refused`, and all part.
    """
    if not connected():
        return make()
    text, error = "", None
    if process() == 0:
        try:
            text = make()
        except Exception as raised:
            error = raised
    message = np.zeros(_TEXT, np.uint8)
    told = (f"-{error}" if error else f"+{text}").encode("utf-8", "surrogateescape")
    message[: len(told)] = np.frombuffer(told[:_TEXT], np.uint8)
    told = exchange(message)[0].tobytes().rstrip(b"\0")
    if told[:1] == b"+":
        return told[1:].decode("utf-8", "surrogateescape")
    part()
    raise error or Refused(told[1:].decode("utf-8", "replace"))


def check_alike(what: str, otherwise: str = OTHER_SETTINGS) -> None:
    """Raise `Refused`, on every process, unless all give the same text.

    Where in memory something lies does not count.
    """
    what = re.sub(r" at 0x[0-9a-f]+", "", what)
    digest = hashlib.sha256(what.encode()).digest()
    digests = exchange(np.frombuffer(digest, np.uint8))
    if (digests != digests[0]).any():
        part()
        raise Refused(otherwise)


def check_shared(directory: Path) -> None:
    """Raise `Refused`, on every process, unless a directory is the same on all."""
    with contextlib.ExitStack() as stack:

        def mark() -> str:
            return stack.enter_context(tempfile.NamedTemporaryFile(dir=directory)).name

        seen = os.path.exists(from_first(mark)) if connected() else True
        check_alike(
            str(seen),
            f"{directory} is not the same on all hosts: it must lie on a file system "
            "that they share",
        )


def at_abort(do: Callable[[], NoReturn] | None) -> None:
    """What is done where JAX, or a library under it, aborts this process.

    A lost coordinator, missing signs of life and a start without all processes end in
    ``abort``, in a thread of JAX. A handler of Python's own would come too late.
    """
    if os.name != "posix":
        return
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int)
    _handlers.append(kind(lambda number: do()) if do else kind(signal.SIG_DFL))
    ctypes.CDLL(None).signal(signal.SIGABRT, _handlers[-1])


_handlers: list[Any] = []  # which must outlive their use


def end_lost() -> NoReturn:
    """End this process at once with a sentence, since another one is gone."""
    with _ending:
        cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # a bar may have hidden it
        os.write(2, f"{cursor}\nerror: {LOST}\n".encode())
        os._exit(2)


def _end_after(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Show an error that nobody caught, and end without waiting for the others."""
    sys.__excepthook__(kind, error, trace)
    end_at_once(1)


def end_at_once(code: int) -> None:
    """End the process, if others would be waited for: they learn of it."""
    if connected():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
