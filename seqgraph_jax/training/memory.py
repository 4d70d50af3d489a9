"""What a compiled program needs of a device's memory, and what is free there.

A compiled program knows what it will take before it runs:

    needed = arguments + outputs + temporaries - outputs in the place of arguments

so what does not fit is refused at once, in a sentence, and not after minutes by the
system, which ends the process without one.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

UNKNOWN = sys.maxsize  # bytes, where nothing says how many are free
GIB = 2**30
_PROC, _GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
#: Limit and usage of a control group, in the second version and in the first.
_LIMITS = (
    ("memory.max", "memory.current"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes"),
)


class TooLargeError(MemoryError, ValueError):
    """A program that does not fit; the message is one sentence for the user."""


def needed(compiled: Any) -> int:
    """Bytes that a compiled program takes on each of its devices, arguments included.

    0 where the compiler does not say. What other libraries take while it runs, such as
    those of a GPU for convolutions, is not in it.

    >>> add = jax.jit(lambda x: x + 1).lower(jax.ShapeDtypeStruct((256,), "float32"))
    >>> needed(add.compile())
    2048
    """
    sizes = compiled.memory_analysis()
    if sizes is None:
        return 0
    return int(
        sizes.argument_size_in_bytes
        + sizes.output_size_in_bytes
        + sizes.temp_size_in_bytes
        - sizes.alias_size_in_bytes
    )


def available(device: jax.Device) -> int:
    """Bytes that are free now: of an accelerator its own, of a CPU the machine's.

    A control group's limit counts where it is lower. `UNKNOWN`, a very large number,
    where nothing says it.
    """
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        return int(stats.get("bytes_limit", UNKNOWN)) - int(
            stats.get("bytes_in_use", 0)
        )
    return free_in_machine()


def free_in_machine() -> int:
    """Bytes that this process can still take, as the system sees it."""
    return min([_in_machine("MemAvailable"), *map(_free_in_group, _folders())])


def capacity(device: jax.Device) -> int:
    """Bytes of the whole memory that `available` speaks of, however many are free."""
    if device.platform != "cpu":
        return int((device.memory_stats() or {}).get("bytes_limit", UNKNOWN))
    return min([_in_machine("MemTotal"), *map(_limit_of_group, _folders())])


def held(arguments: Any) -> int:
    """Bytes of arrays that lie on each of their devices already; shapes take none."""
    arrays = [
        leaf for leaf in jax.tree.leaves(arguments) if isinstance(leaf, jax.Array)
    ]
    return sum(leaf.addressable_shards[0].data.nbytes for leaf in arrays)


def check_fits(compiled: Any, devices: Sequence[jax.Device], there: int = 0) -> None:
    """Raise `TooLargeError`, a `ValueError`, if a program does not fit its devices.

    ``devices`` are those that work at once, and ``there`` the bytes of its arguments
    that each of them holds already. The cores of a CPU share the machine's memory.
    """
    each = needed(compiled)
    shared = devices[0].platform == "cpu"
    count = len(devices) if shared else 1
    takes, free = count * each, min(map(available, devices)) + count * there
    if takes <= free:
        return
    of_all = f" ({count} devices, {each / GIB:.2f} GiB each)" if count > 1 else ""
    fewer = ", or one core as device (JAX_NUM_CPU_DEVICES=1)" if count > 1 else ""
    raise TooLargeError(
        f"this needs {takes / GIB:.2f} GiB of memory{of_all}, and there are "
        f"{free / GIB:.2f} GiB: take smaller batches (batch_size), fewer examples to "
        "evaluate (eval_size), fewer seeds at once (seed_width), fewer features or "
        f"hidden units, or less data{fewer}"
    )


def _in_machine(name: str) -> int:
    try:
        lines = (_PROC / "meminfo").read_text().splitlines()
    except OSError:  # not Linux
        return UNKNOWN
    sizes = dict(line.split(":", 1) for line in lines)
    return 1024 * int(sizes[name].split()[0])


def _folders() -> Iterator[Path]:
    """Folders of the control groups in which this process is, and of those above."""
    try:
        lines = (_PROC / "self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root = _GROUPS / controllers
            folder = root / path.lstrip("/")
            yield from (f for f in (folder, *folder.parents) if f.is_relative_to(root))


def _limit_of_group(folder: Path) -> int:
    for limit, _ in _LIMITS:
        with contextlib.suppress(OSError, ValueError):  # none; "max" is no limit
            return int((folder / limit).read_text())
    return UNKNOWN


def _free_in_group(folder: Path) -> int:
    """Bytes that a control group leaves; pages of files, which can go, are free."""
    most = _limit_of_group(folder)
    for _, usage in _LIMITS:
        with contextlib.suppress(OSError, ValueError):
            used = int((folder / usage).read_text())
            lines = (folder / "memory.stat").read_text().splitlines()
            sizes = dict(line.split() for line in lines)
            files = sum(int(sizes.get(f"{k}active_file", 0)) for k in ("", "in"))
            return most - used + files
    return most
