"""Strict settings for every test, and the names that docstring examples may use."""

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 2)  # before JAX computes anything
jax.config.update("jax_numpy_rank_promotion", "raise")

collect_ignore = ["golden"]  # needs PyTorch


@pytest.fixture
def key():
    """A fixed key; fold something in for a second one."""
    return jax.random.key(20261123)
