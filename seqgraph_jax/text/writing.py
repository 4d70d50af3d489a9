"""Let the networks of a text model write, piece by piece."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqgraph_jax.text import sampling
from seqgraph_jax.text.models import TextModel


def write(
    loaded: TextModel,
    prompt: np.ndarray,
    length: int,
    num: int,
    seed: int,
    tau: float,
    top_k: int | None = None,
    top_p: float | None = None,
    beam: int | None = None,
    chunk: int = 32,
) -> Iterator[list[list[str]]]:
    """Yield the next characters of ``num`` texts of every seed's network, ``[S, num]``.

    The prompt, tokens ``[P]`` or ``[num, P]``, comes first; ``length`` more characters
    follow. One program is compiled, for ``chunk`` characters, and the carry goes from
    call to call. A ``beam`` gives fewer texts where there are fewer different ones.

    Raises `ValueError` for a negative ``tau``, and one that is NaN.
    """
    sampling.check_tau(tau)
    model, params, vocabulary = loaded.model, loaded.params, loaded.vocabulary
    key = jax.random.key(seed)
    if beam is not None:
        if not len(prompt):
            drawn = jax.random.randint(key, (1,), 0, len(vocabulary))
            prompt = np.asarray(drawn, np.int32)
            length -= 1
        search = partial(sampling.beam_search, model)
        total = len(prompt) + length
        found = []
        for one in _each(params, len(loaded.seeds)):
            texts, log_p = search(one, jnp.asarray(prompt), total, beam)
            there = np.asarray(texts)[np.asarray(log_p) > -np.inf]
            found.append([vocabulary.decode(text) for text in there[:num]])
        yield found
        return

    def extend(params: Any, state: Any, given: jax.Array, tau: jax.Array) -> Any:
        return sampling.extend(model, params, state, given, tau, top_k, top_p)

    extend_all = jax.jit(jax.vmap(extend, in_axes=(0, 0, None, None)))
    num_seeds, given_length = len(loaded.seeds), prompt.shape[-1]
    total = given_length + length

    @jax.jit  # one small program, where each operation alone would be one
    def begin(key: jax.Array) -> Any:
        state = sampling.start(model, key, num, len(vocabulary))
        return jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf[None], (num_seeds, *leaf.shape)), state
        )

    state = begin(key)
    given = np.full((num, -(-total // chunk) * chunk), -1, np.int32)
    given[:, :given_length] = prompt
    for first in range(0, total, chunk):
        piece = given[:, first : first + chunk]
        state, tokens = extend_all(params, state, piece, np.float32(tau))
        rows = np.asarray(tokens)[..., : total - first]  # [S, num, <= chunk]
        yield [[vocabulary.decode(text) for text in row] for row in rows]


def texts(*args: Any, **options: Any) -> list[list[str]]:
    """All that `write` yields, joined: ``[S][num]`` texts."""
    return joined(list(write(*args, **options)))


def write_line(
    model: Any, params: Any, vocabulary: Any, length: int, tau: float
) -> str:
    """What one network, ``params`` of a seed, writes from a random first character."""
    nothing, key = jnp.zeros((1, 0), jnp.int32), jax.random.key(0)
    tokens = sampling.generate(
        model, params, key, nothing, length, len(vocabulary), tau
    )
    return vocabulary.decode(tokens[0])


def joined(pieces: list[list[list[str]]]) -> list[list[str]]:
    """Pieces of texts, as `write` yields them, put together: ``[S][num]`` texts."""
    return [
        ["".join(parts) for parts in zip(*rows, strict=True)]
        for rows in zip(*pieces, strict=True)
    ]


def _each(params: Any, num_seeds: int) -> list[Any]:
    return [jax.tree.map(lambda leaf, s=s: leaf[s], params) for s in range(num_seeds)]
