"""Text from a character model: greedy, with a temperature, top-k, top-p, beam search.

A model is anything with ``initial_carry(batch_size)`` and
``apply({"params": params}, tokens [B, T], carry) -> (carry, logits [B, T, V])``, such
as `seqgraph_jax.text.networks.CharLM`. The carry is kept between characters.

Temperatures come in two conventions. Here ``tau`` (tau) multiplies the scores,
softmax(tau x): 0 draws uniformly, 1 draws from the model, infinity is greedy. Most
software divides by T = 1 / tau.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


class Generation(NamedTuple):
    """What goes from one character to the next, for B texts."""

    keys: jax.Array  # [B], one for each text, the same at every position
    position: jax.Array  # [], characters so far
    carry: Any
    logits: jax.Array  # [B, V], scores of the character at ``position``


def tempered(logits: jax.Array, tau: jax.Array | float) -> jax.Array:
    r"""Scores times tau, up to a constant; the highest is 0.

    .. math:: s_v = \tau (x_v - \max_w x_w)

    Defined for every tau from 0 to infinity: where x is the highest, s is 0 and never
    the product of infinity and zero, and where x is minus infinity, so is s. Shapes:
    ``logits [..., V]``; scores the same. Raises `ValueError` for another tau.

    >>> tempered(jnp.array([1.0, 3.0, 2.0]), jnp.inf).tolist()
    [-inf, 0.0, -inf]
    >>> jax.nn.softmax(tempered(jnp.array([1.0, 3.0]), 0.0)).tolist()
    [0.5, 0.5]
    """
    check_tau(tau)
    below = jnp.asarray(logits) - logits.max(-1, keepdims=True)
    scores = jnp.where(below == 0, 0.0, tau * below)
    return jnp.where(below == -jnp.inf, -jnp.inf, scores)


def check_tau(tau: jax.Array | float) -> None:
    """Raise `ValueError` unless tau is 0 or more, as far as its value is known."""
    if not isinstance(tau, jax.core.Tracer) and not np.all(np.asarray(tau) >= 0):
        raise ValueError(f"tau must be 0 or more, up to infinity, not {tau}")


def keep_top_k(scores: jax.Array, k: int) -> jax.Array:
    """The ``k`` highest scores, and those equal to the last of them; others -inf.

    >>> keep_top_k(jnp.array([0.0, 2.0, 1.0]), 2).tolist()
    [-inf, 2.0, 1.0]
    """
    lowest = lax.top_k(scores, min(k, scores.shape[-1]))[0][..., -1:]
    return jnp.where(scores < lowest, -jnp.inf, scores)


def keep_top_p(scores: jax.Array, p: float) -> jax.Array:
    """The fewest most probable scores whose probabilities add up to ``p`` or more.

    The most probable one is always kept; the others become -inf.

    Source: Holtzman et al., The curious case of neural text degeneration, 2020,
    section 3.1.

    >>> kept = keep_top_p(jnp.log(jnp.array([0.2, 0.5, 0.3])), 0.6)
    >>> (kept > -jnp.inf).tolist()
    [False, True, True]
    """
    order = jnp.argsort(-scores, axis=-1)
    sorted_scores = jnp.take_along_axis(scores, order, axis=-1)
    probabilities = jax.nn.softmax(sorted_scores)
    before = jnp.cumsum(probabilities, axis=-1) - probabilities
    kept = (before < p).at[..., 0].set(True) | (p >= 1)  # a sum may pass 1 early
    cut = jnp.where(kept, sorted_scores, -jnp.inf)
    return jnp.take_along_axis(cut, jnp.argsort(order, axis=-1), axis=-1)


def start(model: Any, key: jax.Array, batch_size: int, num_symbols: int) -> Generation:
    """Before the first character of ``batch_size`` texts, each with a key of its own.

    Text b depends on ``key`` and b, not on how many texts there are.
    """
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(batch_size))
    return Generation(
        keys,
        jnp.zeros((), jnp.int32),
        model.initial_carry(batch_size),
        jnp.zeros((batch_size, num_symbols)),
    )


def extend(
    model: Any,
    params: Any,
    state: Generation,
    given: jax.Array,
    tau: jax.Array | float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> tuple[Generation, jax.Array]:
    """Go on by L characters: one scan, one step of the model for each.

    ``given [B, L]`` holds the tokens of a prompt, and -1 where one is to be drawn.
    The first character of a text, if not given, is drawn uniformly. Filters apply in
    the order temperature, top-k, top-p. Going on by L twice equals going on by 2 L.

    Returns the state and tokens ``[B, L]``.
    """

    def draw(key: jax.Array, scores: jax.Array, position: jax.Array) -> jax.Array:
        return jax.random.categorical(jax.random.fold_in(key, position), scores)

    def step(state: Generation, given: jax.Array) -> tuple[Generation, jax.Array]:
        scores = tempered(state.logits, tau)
        if top_k is not None:
            scores = keep_top_k(scores, top_k)
        if top_p is not None:
            scores = keep_top_p(scores, top_p)
        scores = jnp.where(state.position == 0, 0.0, scores)
        drawn = jax.vmap(draw, (0, 0, None))(state.keys, scores, state.position)
        tokens = jnp.where(given < 0, drawn, given)  # [B]
        carry, logits = model.apply({"params": params}, tokens[:, None], state.carry)
        state = Generation(state.keys, state.position + 1, carry, logits[:, 0])
        return state, tokens

    state, tokens = lax.scan(step, state, given.T)
    return state, tokens.T


def generate(
    model: Any,
    params: Any,
    key: jax.Array,
    prompt: jax.Array,
    length: int,
    num_symbols: int,
    tau: jax.Array | float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> jax.Array:
    """Texts of ``length`` characters, prompt included.

    Shapes: ``prompt [B, P]`` tokens, P from 0 to ``length``; texts ``[B, length]``.
    With P = 0 the first character is drawn uniformly. Raises `ValueError` for a tau
    that `tempered` is not defined for.

    >>> from seqgraph_jax.text.networks import CharLM
    >>> model = CharLM("gru", features=4, num_symbols=3, num_layers=1)
    >>> prompt = jnp.array([[0, 1], [2, 2]])
    >>> params = model.init(jax.random.key(0), prompt)["params"]
    >>> texts = generate(model, params, jax.random.key(0), prompt, 6, 3, jnp.inf)
    >>> texts.shape, texts[:, :2].tolist()
    ((2, 6), [[0, 1], [2, 2]])
    """
    check_tau(tau)
    return _generate(model, params, key, prompt, length, num_symbols, tau, top_k, top_p)


@partial(jax.jit, static_argnames=("model", "length", "num_symbols", "top_k", "top_p"))
def _generate(
    model: Any,
    params: Any,
    key: jax.Array,
    prompt: jax.Array,
    length: int,
    num_symbols: int,
    tau: jax.Array | float,
    top_k: int | None,
    top_p: float | None,
) -> jax.Array:
    batch_size, given = prompt.shape
    blanks = jnp.full((batch_size, length - given), -1, jnp.int32)
    state = start(model, key, batch_size, num_symbols)
    forced = jnp.concatenate([prompt, blanks], axis=1)
    return extend(model, params, state, forced, tau, top_k, top_p)[1]


@partial(jax.jit, static_argnames=("model", "length", "num_beams"))
def beam_search(
    model: Any, params: Any, prompt: jax.Array, length: int, num_beams: int
) -> tuple[jax.Array, jax.Array]:
    """The most probable continuations that a beam of ``num_beams`` finds.

    Shapes: ``prompt [P]``, P >= 1; texts ``[num_beams, length]``, prompt included, and
    their log-probabilities given the prompt in nats, ``[num_beams]``, the highest
    first; -inf where there are fewer different texts than beams.

    >>> from seqgraph_jax.text.networks import CharLM
    >>> model = CharLM("gru", features=4, num_symbols=3, num_layers=1)
    >>> prompt = jnp.array([1])
    >>> params = model.init(jax.random.key(0), prompt[None])["params"]
    >>> texts, log_probabilities = beam_search(model, params, prompt, 4, num_beams=2)
    >>> texts.shape, bool(log_probabilities[0] >= log_probabilities[1])
    ((2, 4), True)
    """
    prompts = jnp.broadcast_to(prompt[None], (num_beams, len(prompt)))
    carry = model.initial_carry(num_beams)
    carry, logits = model.apply({"params": params}, prompts, carry)
    texts = (
        jnp.full((num_beams, length), -1, jnp.int32).at[:, : len(prompt)].set(prompts)
    )
    totals = jnp.where(jnp.arange(num_beams) == 0, 0.0, -jnp.inf)  # one text so far

    def step(state: Any, position: jax.Array) -> tuple[Any, None]:
        texts, totals, carry, logits = state
        candidates = totals[:, None] + jax.nn.log_softmax(logits)  # [beams, V]
        totals, chosen = lax.top_k(candidates.reshape(-1), num_beams)
        parents, tokens = jnp.divmod(chosen, logits.shape[-1])
        texts = texts[parents].at[:, position].set(tokens.astype(jnp.int32))
        carry = jax.tree.map(lambda leaf: leaf[parents], carry)
        carry, logits = model.apply({"params": params}, tokens[:, None], carry)
        return (texts, totals, carry, logits[:, 0]), None

    state = (texts, totals, carry, logits[:, -1])
    state, _ = lax.scan(step, state, jnp.arange(len(prompt), length))
    return state[0], state[1]
