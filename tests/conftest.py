"""Strict settings for every test, and the names that docstring examples may use."""

import os
from pathlib import Path

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 4)  # before JAX computes anything
jax.config.update("jax_numpy_rank_promotion", "raise")
# A program that several tests use is compiled once; each worker has its own folder,
# since one that is reading must not meet a file that another is writing.
_worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
_cache = Path(__file__).parents[1] / ".pytest_cache" / f"xla-{_worker}"
jax.config.update("jax_compilation_cache_dir", str(_cache))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)

collect_ignore = ["golden"]  # needs PyTorch


@pytest.fixture(scope="module")
def quick_compilation():
    """Most of the compiler's optimizations off, here and in processes started here.

    For tests whose programs compile for longer than they run, such as experiments at
    smoke size. Those of cells, seeds, training and propagation keep all optimizations.
    """
    name = "jax_disable_most_optimizations"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name.upper(), "1")
        jax.config.update(name, True)
        yield
        jax.config.update(name, False)


@pytest.fixture
def key():
    """A fixed key; fold something in for a second one."""
    return jax.random.key(20261123)
