"""Sampling: every temperature, filters against NumPy, fake models, beam search."""

import itertools
from dataclasses import dataclass
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from seqgraph_jax.text import sampling, writing
from seqgraph_jax.text.networks import CharLM

from .test_text import small_text_model

V = 5
NAN = float("nan")


@dataclass(frozen=True)
class Counter:
    """Says that the next token is the last one plus 1, plus the calls so far."""

    def initial_carry(self, batch_size):
        return jnp.zeros(batch_size, jnp.int32)

    def apply(self, variables, tokens, carry):
        assert tokens.shape == (len(carry), 1), "the prefix is never fed again"
        logits = 3.0 * jax.nn.one_hot((tokens + 1 + carry[:, None]) % V, V)
        return carry + 1, logits


@dataclass(frozen=True)
class Fixed:
    """Gives the same scores everywhere."""

    scores: tuple

    def initial_carry(self, batch_size):
        return jnp.zeros((batch_size, 0))

    def apply(self, variables, tokens, carry):
        shape = (*tokens.shape, len(self.scores))
        return carry, jnp.broadcast_to(jnp.array(self.scores)[None, None], shape)


@pytest.mark.smoke
@pytest.mark.parametrize("tau", [np.inf, 1e38, 1e6])
def test_greedy_text_of_a_fake_model_is_known(key, tau):
    prompt = jnp.array([[0, 3], [4, 4], [1, 2]])
    texts = sampling.generate(Counter(), {}, key, prompt, 6, V, tau)
    expected = np.array(prompt).tolist()
    for row in expected:
        for calls in range(1, 5):
            row.append((row[-1] + 1 + calls) % V)
    np.testing.assert_array_equal(texts, expected)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 2.0, 1e38, np.inf])
def test_tempered_scores_give_the_distribution(tau):
    logits = np.array([[1.0, -2.0, 0.5, 3.0], [0.0, 2.0, -70.0, 1.0]], np.float32)
    probabilities = jax.nn.softmax(sampling.tempered(logits, jnp.float32(tau)))
    assert np.isfinite(probabilities).all()
    if tau <= 2:
        powers = np.exp(tau * logits.astype(np.float64))
        expected = powers / powers.sum(-1, keepdims=True)
    else:
        expected = np.eye(4)[logits.argmax(-1)]
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 2.0])
def test_many_draws_have_the_tempered_distribution(tau):
    """Catches a temperature that divides, a key used twice, rows that are alike."""
    scores = (0.3, 1.2, -0.8, 0.0, 0.9)
    first = jnp.zeros((4, 1), jnp.int32)
    texts = sampling.generate(
        Fixed(scores), {}, jax.random.key(7), first, 5001, len(scores), tau
    )
    draws = np.asarray(texts[:, 1:])
    powers = np.exp(tau * np.array(scores))
    expected = draws.size * powers / powers.sum()
    found = np.bincount(draws.ravel(), minlength=len(scores))
    assert scipy.stats.chisquare(found, expected).pvalue > 0.01
    # Positions and rows are independent: pairs of neighbours, and of rows.
    for left, right in ((draws[:, :-1], draws[:, 1:]), (draws[:-1], draws[1:])):
        table = np.zeros((len(scores), len(scores)))
        np.add.at(table, (left.ravel(), right.ravel()), 1)
        assert scipy.stats.chi2_contingency(table).pvalue > 0.01


def test_first_character_is_uniform_whatever_the_filters(key):
    nothing = jnp.zeros((4000, 0), jnp.int32)
    texts = sampling.generate(
        Fixed((0.0, 9.0, 0.0)), {}, key, nothing, 1, 3, 5.0, 1, 0.1
    )
    assert scipy.stats.chisquare(np.bincount(texts[:, 0], minlength=3)).pvalue > 0.01


@pytest.mark.parametrize("tau", [-0.5, NAN, -np.inf])
def test_a_tau_that_no_scores_have_is_refused(key, tau):
    with pytest.raises(ValueError, match="tau must be 0 or more, up to infinity, not"):
        sampling.generate(Counter(), {}, key, jnp.array([[0, 3]]), 6, V, tau)
    with pytest.raises(ValueError, match="tau must be 0 or more"):
        sampling.tempered(jnp.arange(3.0), tau)
    with pytest.raises(ValueError, match="tau must be 0 or more"):
        next(writing.write(None, None, 3, 1, 0, tau))


@pytest.mark.parametrize("tau", [0.0, 0.5, np.inf])
def test_what_is_ruled_out_stays_so_at_every_tau(tau):
    # The product of 0 and minus infinity.
    scores = sampling.tempered(np.float32([-np.inf, 1, 3, -np.inf]), tau)
    expected = {0.0: [0, 0], 0.5: [-1, 0], np.inf: [-np.inf, 0]}[tau]
    np.testing.assert_array_equal(scores, [-np.inf, *expected, -np.inf])


def test_top_p_of_1_keeps_everything(key):
    # Probabilities that pass 1 before their end, by rounding.
    scores = 3 * jax.random.normal(key, (40, 300))
    np.testing.assert_array_equal(sampling.keep_top_p(scores, 1.0), scores)


def test_a_beam_gives_no_text_twice():
    text_model = small_text_model()
    prompt = np.array([1], np.int32)
    [row] = writing.texts(text_model, prompt, 1, 6, 0, 1.0, beam=6)
    assert sorted(row) == ["ba", "bb", "bc"]


@pytest.mark.parametrize("k", [1, 2, 4, 9])
def test_top_k_against_numpy(key, k):
    scores = np.asarray(jax.random.normal(key, (6, 7)))
    kept = np.asarray(sampling.keep_top_k(scores, k))
    for row, result in zip(scores, kept, strict=True):
        best = np.argsort(-row)[:k]
        expected = np.full(7, -np.inf)
        expected[best] = row[best]
        np.testing.assert_array_equal(result, expected.astype(np.float32))


@pytest.mark.parametrize("p", [1e-6, 0.3, 0.8, 0.999, 1.0])
def test_top_p_against_numpy(key, p):
    scores = np.asarray(2 * jax.random.normal(key, (6, 7)))
    kept = np.asarray(sampling.keep_top_p(scores, p))
    for row, result in zip(scores, kept, strict=True):
        probabilities = np.exp(row) / np.exp(row).sum()
        expected, total = np.full(7, -np.inf), 0.0
        for index in np.argsort(-probabilities):
            if total >= p and total > 0:
                break
            expected[index] = row[index]
            total += probabilities[index]
        np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_filtered_draws_stay_inside(key):
    scores = (2.0, 1.0, 0.0, -1.0)
    first = jnp.zeros((3, 1), jnp.int32)
    generate = partial(sampling.generate, Fixed(scores), {}, key, first, 200, 4)
    assert set(np.unique(generate(1.0, top_k=2))) == {0, 1}
    assert set(np.unique(generate(1.0, top_p=0.6))) == {0}
    assert set(np.unique(generate(0.0, top_k=3))) == {0, 1, 2, 3}  # all are equal


def _model(key):
    model = CharLM("lstm", features=6, num_symbols=V, embedding_features=4)
    params = model.init(key, jnp.zeros((1, 1), jnp.int32))["params"]
    return model, jax.tree.map(lambda leaf: 2 * leaf, params)


def test_kept_state_equals_feeding_the_prefix_again(key):
    model, params = _model(key)
    prompt = jnp.array([[1, 4, 2], [0, 0, 3]])
    texts = sampling.generate(model, params, key, prompt, 12, V, jnp.inf)
    prefix = prompt
    for _ in range(9):
        logits = model.apply({"params": params}, prefix)[1][:, -1]
        prefix = jnp.concatenate([prefix, logits.argmax(-1)[:, None]], axis=1)
    np.testing.assert_array_equal(texts, prefix)


def test_pieces_equal_the_whole_and_texts_do_not_depend_on_their_number(key):
    model, params = _model(key)
    blank = jnp.full((3, 12), -1)
    state = sampling.start(model, key, 3, V)
    state, first = sampling.extend(model, params, state, blank[:, :5])
    _, second = sampling.extend(model, params, state, blank[:, :7])
    nothing = jnp.zeros((3, 0), jnp.int32)
    whole = sampling.generate(model, params, key, nothing, 12, V)
    np.testing.assert_array_equal(jnp.concatenate([first, second], axis=1), whole)
    fewer = sampling.generate(model, params, key, nothing[:2], 12, V)
    np.testing.assert_array_equal(fewer, whole[:2])
    assert len({tuple(row) for row in np.asarray(whole).tolist()}) == 3


def test_beam_search_against_all_texts(key):
    model, params = _model(key)
    prompt, length = jnp.array([2, 1]), 5
    endings = np.array(list(itertools.product(range(V), repeat=3)))  # [125, 3]
    texts = np.concatenate([np.tile(prompt, (len(endings), 1)), endings], axis=1)
    log_p = jax.nn.log_softmax(model.apply({"params": params}, texts[:, :-1])[1])
    chosen = np.take_along_axis(np.asarray(log_p), texts[:, 1:, None], axis=-1)[..., 0]
    totals = chosen[:, 1:].sum(-1)
    best = np.argsort(-totals)[:25]
    found, log_probabilities = sampling.beam_search(model, params, prompt, length, 25)
    np.testing.assert_array_equal(found, texts[best])
    np.testing.assert_allclose(log_probabilities, totals[best], rtol=1e-5)
    greedy = sampling.generate(model, params, key, prompt[None], length, V, jnp.inf)
    narrow, _ = sampling.beam_search(model, params, prompt, length, 1)
    np.testing.assert_array_equal(narrow, greedy)


def test_beams_without_a_text_have_no_probability(key):
    model, params = _model(key)
    texts, log_probabilities = sampling.beam_search(model, params, jnp.array([0]), 2, 8)
    chex.assert_shape(texts, (8, 2))
    assert np.isfinite(log_probabilities).sum() == V
