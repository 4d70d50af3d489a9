"""Binary numbers: the Baum-Sweet sequence and digits as symbols."""

import functools

import jax
import jax.numpy as jnp
import numpy as np


def baum_sweet(n: int) -> int:
    """1 if no block of consecutive zeros in n's binary form has odd length, else 0.

    >>> [baum_sweet(n) for n in range(10)], baum_sweet(124), baum_sweet(3234)
    ([1, 1, 0, 1, 1, 0, 0, 1, 0, 1], 1, 0)

    By convention ``baum_sweet(0)`` is 1. Raises `ValueError` for negative n.

    Source: OEIS A086747; Baum and Sweet, Continued fractions of algebraic power
    series in characteristic 2, 1976.
    """
    if n < 0:
        raise ValueError(f"the Baum-Sweet sequence starts at 0, not at {n}")
    if n == 0:
        return 1
    return int(all(len(zeros) % 2 == 0 for zeros in f"{n:b}".split("1")))


@functools.cache
def baum_sweet_ones(low: int, high: int) -> np.ndarray:
    """All n in [low, high] with ``baum_sweet(n) == 1``, sorted, low at least 1.

    Their binary forms are 1 followed by any string over "1" and "00", so they are
    what n -> 2n + 1 and n -> 4n reach from 1, each once.
    """
    level, found = np.array([1], np.int64), []
    while level.size:
        found.append(level)
        level = np.concatenate([2 * level + 1, 4 * level])
        level = level[level <= high]
    ones = np.sort(np.concatenate(found))
    return ones[ones >= low].astype(np.int32)


def binary_symbols(numbers: jax.Array, length: int) -> jax.Array:
    """Binary digits, left-padded: 0 = padding, 1 = digit zero, 2 = digit one.

    Shapes: ``numbers [...]`` integers from 0 to 2**31 - 1 (0 gives padding alone);
    returns ``[..., length]``.

    >>> binary_symbols(jnp.array([5, 2]), length=4).tolist()
    [[0, 2, 1, 2], [0, 0, 2, 1]]
    """
    places = jnp.arange(length - 1, -1, -1).reshape((1,) * numbers.ndim + (-1,))
    shifted = numbers[..., None] >> jnp.minimum(places, 31)
    return jnp.where(shifted > 0, (shifted & 1) + 1, 0).astype(jnp.int32)
