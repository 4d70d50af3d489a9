"""Measures of many seeds in double precision.

Gradients that vanish soon pass the smallest number of single precision, 1e-45.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax


def seed_keys(seeds: Sequence[int]) -> jax.Array:
    """The key of every seed, ``[S]``.

    >>> seed_keys([0, 500]).shape
    (2,)
    """
    return jax.vmap(jax.random.key)(np.asarray(seeds, np.uint32))


def map_seeds(one: Callable[[jax.Array], Any], seeds: Sequence[int]) -> Any:
    """``one(key)`` of every seed, one after another in one program: ``[S, ...]``.

    In the precision of the caller: so draw what is to be that of training.

    >>> map_seeds(jax.random.normal, [0, 500]).shape
    (2,)
    """
    return jax.jit(lambda keys: lax.map(one, keys))(seed_keys(seeds))


@jax.enable_x64(True)
def map_in_double(one: Callable[..., Any], *rows: Any) -> Any:
    """``one(*row)`` of every row, one after another, in double precision.

    Shapes: ``rows`` are trees of leaves ``[S, ...]``, of which those in single
    precision are made double; returns NumPy arrays ``[S, ...]``.

    >>> found = map_in_double(lambda x: x**2, np.float32([1e-30, 2e-30]))
    >>> found.dtype, bool((found > 0).all())
    (dtype('float64'), True)
    """

    def double(leaf: Any) -> Any:
        return np.asarray(leaf, np.float64) if leaf.dtype == np.float32 else leaf

    mapped = jax.jit(lambda rows: lax.map(lambda row: one(*row), rows))
    return jax.tree.map(np.asarray, mapped(jax.tree.map(double, rows)))
