"""What training sets in JAX at its first call: all cores, and kept programs.

JAX takes a CPU for one device, however many cores it has, and forgets the programs that
it compiled when the process ends. Both are set at the first call that trains, unless
JAX's own settings say otherwise, or `set_up` was called before with other wishes.
"""

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

_called: list[bool] = []  # one entry once this process has been set up


def set_up(*, cores: bool = True, cache: bool | Path = True) -> None:
    """Serve every core of a CPU as a device, and keep compiled programs in a folder.

    Called by everything that trains; the first call of a process counts, so call it
    yourself, before anything else, to have it otherwise: ``set_up(cores=False)`` leaves
    JAX's one CPU device, ``set_up(cache=False)`` keeps no programs, and a path keeps
    them there. What JAX was told by its own settings (``JAX_NUM_CPU_DEVICES``,
    ``XLA_FLAGS``, ``JAX_COMPILATION_CACHE_DIR``) stays. Warns if it is too late for the
    cores because JAX has computed something already. Raises `ValueError` if
    ``JAX_PLATFORMS`` names a device that is not there.

    >>> set_up()
    """
    if _called:
        return
    forced = "device_count" in os.environ.get("XLA_FLAGS", "")
    if cores and not forced and _setting("jax_num_cpu_devices") < 1:
        try:
            jax.config.update("jax_num_cpu_devices", num_cores())
        except RuntimeError:
            if jax.default_backend() == "cpu" and num_cores() > 1:
                warnings.warn(
                    f"JAX had started, so training has one of {num_cores()} cores as "
                    "its device: call seqgraph_jax.set_up() before JAX computes "
                    "anything",
                    stacklevel=3,
                )
    if _setting("jax_platforms"):
        _check_platforms(_setting("jax_platforms"))
    _called.append(True)
    if cache and not _setting("jax_compilation_cache_dir"):
        with contextlib.suppress(RuntimeError):  # a user without a home directory
            folder = cache if isinstance(cache, Path) else _cache_folder()
            jax.config.update("jax_compilation_cache_dir", str(folder))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
            compilation_cache.reset_cache()


def _check_platforms(platforms: str) -> None:
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # of a missing plug-in the latter
        raise ValueError(
            f"JAX has no device of the kind that JAX_PLATFORMS names, {platforms!r}: "
            "name another one, such as cpu, or leave the variable out"
        ) from error


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cache_folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "seqgraph_jax/xla"


def _setting(name: str) -> Any:
    return getattr(jax.config, name)
