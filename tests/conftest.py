"""Strict settings for every test, and the names that docstring examples may use."""

import os
from pathlib import Path

# Most tests compile programs for longer than they run them. They, and the processes
# that they start, do without most of the compiler's optimizations; where XLA still has
# its older code generator, which compiles faster, they use that. To test what users
# run: JAX_DISABLE_MOST_OPTIMIZATIONS=0 XLA_FLAGS= python -m pytest
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax
import pytest

if jax.__version_info__ < (0, 11):
    quick = "--xla_cpu_use_fusion_emitters=false"
    quick += " --xla_cpu_parallel_codegen_split_count=1"
    os.environ.setdefault("XLA_FLAGS", quick)

jax.config.update("jax_num_cpu_devices", 4)  # before JAX computes anything
jax.config.update("jax_numpy_rank_promotion", "raise")
# A program that several tests use is compiled once; each worker has its own folder,
# since one that is reading must not meet a file that another is writing.
_worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
_cache = Path(__file__).parents[1] / ".pytest_cache" / f"xla-{_worker}"
jax.config.update("jax_compilation_cache_dir", str(_cache))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)

collect_ignore = ["golden"]  # needs PyTorch


@pytest.fixture
def optimized():
    """All optimizations, for tests of the bits that a compiled program gives."""
    name = "jax_disable_most_optimizations"
    before = os.environ[name.upper()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name.upper(), "0")
        jax.config.update(name, False)
        yield
        jax.config.update(name, before not in ("0", "false"))


@pytest.fixture
def key():
    """A fixed key; fold something in for a second one."""
    return jax.random.key(20261123)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Empty folders for SEQGRAPH_DATA and the cache; no address answers."""
    monkeypatch.setenv("SEQGRAPH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data", tmp_path / "cache" / "seqgraph_jax" / "data"
