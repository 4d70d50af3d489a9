"""The keys of many runs: what a seed draws, and what it shares with the first."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from seqgraph_jax.training.loop import Keys
from seqgraph_jax.training.runs import Parts


def run_keys(seeds: Sequence[int], parts: Parts | None = None) -> jax.Array:
    """The key of every seed, ``[S]``, or of every part of it, ``[S P]``.

    That of a part is the fold of the seed's key with the part's number: a seed and a
    part have the same key, however many others there are.
    """
    keys = jax.vmap(jax.random.key)(np.asarray(seeds, np.uint32))
    if parts is None:
        return keys
    numbers = np.arange(len(parts.values))
    fold = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None))
    return fold(keys, numbers).reshape(-1)


def varied_keys(
    keys: jax.Array, vary: Sequence[str], num_parts: int = 1
) -> jax.Array | Keys:
    """Keys ``[S P]`` that differ in what varies; the others are the first seed's."""
    if set(vary) == set(Keys._fields):
        return keys
    first = jnp.tile(keys[:num_parts], len(keys) // num_parts)
    return Keys(*(keys if name in vary else first for name in Keys._fields))


def crossed_keys(keys: jax.Array, vary: Sequence[str], cross: Sequence[str]) -> Keys:
    """Keys ``[S S]`` of every seed, in what varies, with every other in ``cross``."""
    n = len(keys)
    of = dict.fromkeys(Keys._fields, jnp.tile(keys[:1], n * n))
    of |= dict.fromkeys(vary, jnp.repeat(keys, n))
    of |= dict.fromkeys(cross, jnp.tile(keys, n))
    return Keys(**of)
