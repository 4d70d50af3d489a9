"""Measures of a text model: on text that is given, and on text that it writes.

Values are ``[S]``, one for each seed's network, by `Metric`.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqgraph_jax.text import measures, writing
from seqgraph_jax.text.models import TextModel
from seqgraph_jax.text.sampling import tempered
from seqgraph_jax.training.metrics import FROM_ZERO, Metric

_PERCENT = (0.0, 100.0)
ENTROPY = Metric("entropy (bits per character)", digits=3, bounds=FROM_ZERO)
HELD_OUT = Metric("held-out text (bits per character)", digits=3, bounds=FROM_ZERO)
TRAINED_ON = Metric("training text (bits per character)", digits=3, bounds=FROM_ZERO)
WORDS = Metric("words found in the corpus (%)", digits=3, bounds=_PERCENT)
DISTINCT = Metric("distinct 4-grams (%)", digits=3, bounds=_PERCENT)
COPY = Metric("longest copy from the corpus (characters)", digits=3, bounds=FROM_ZERO)
LOOPS = Metric("greedy texts that end in a loop (%)", digits=3, bounds=_PERCENT)
PERIOD = Metric("length of that loop (characters)", digits=3, bounds=FROM_ZERO)

Values = dict[Metric, np.ndarray]


@jax.jit
def _bits(logits: jax.Array, targets: jax.Array, tau: jax.Array) -> Any:
    """Mean entropy of softmax(tau x), and mean bits of the targets that count."""
    log_p = jax.nn.log_softmax(tempered(logits, tau)) / jnp.log(2.0)
    counted = targets >= 0
    entropy = -(jnp.exp2(log_p) * log_p).sum(-1).mean(where=counted)
    chosen = jnp.take_along_axis(log_p, jnp.maximum(targets, 0)[..., None], axis=-1)
    return entropy, -chosen[..., 0].mean(where=counted)


def on_text(
    loaded: TextModel, batch: Any, tau: float = 1.0, bits: Metric = HELD_OUT
) -> Values:
    """`ENTROPY` and ``bits``: of every next character in a batch of `TextTask`.

    Scores are multiplied by ``tau``. ``bits`` says what text the batch is:
    `HELD_OUT`, or `TRAINED_ON`.
    """
    outputs, factor = outputs_of(loaded, batch.inputs), jnp.float32(tau)
    values = [_bits(logits, batch.targets, factor) for _, logits in outputs]
    entropy, taken = np.array(values).T
    return {ENTROPY: entropy, bits: taken}


def outputs_of(loaded: TextModel, tokens: jax.Array) -> Iterator[Any]:
    """Carry and logits ``[B, T, V]`` of each seed's network on tokens ``[B, T]``."""
    apply = jax.jit(lambda params: loaded.model.apply({"params": params}, tokens))
    for s in range(len(loaded.seeds)):
        yield apply(jax.tree.map(lambda leaf, s=s: leaf[s], loaded.params))


def written_values(
    texts: Sequence[Sequence[str]], corpus: str, known: Collection[str]
) -> Values:
    """`WORDS`, `DISTINCT` and `COPY`: means over the texts ``[S][num]`` of each seed.

    ``known`` are the corpus's words.
    """

    def means(function: Callable[[str], float], scale: float = 1.0) -> np.ndarray:
        values = [[function(written) for written in row] for row in texts]
        return scale * np.array([_mean(row) for row in values])

    return {
        WORDS: means(lambda t: measures.share_of_words(t, known), 100.0),
        DISTINCT: means(measures.distinct_ngrams, 100.0),
        COPY: means(lambda t: measures.longest_copy(t, corpus)),
    }


def greedy_values(
    loaded: TextModel, length: int, num: int, corpus: str, known: Collection[str]
) -> Values:
    """Of greedy texts, one from every first character: all but those of `on_text`.

    `LOOPS` and `PERIOD` are of all of them, `written_values` of ``num`` or more.
    """
    first = np.arange(len(loaded.vocabulary), dtype=np.int32)[:, None]
    texts = writing.texts(loaded, first, length, len(first), 0, float("inf"))
    periods = [[measures.loop_length(t) for t in row] for row in texts]
    loops = [100 * float(np.mean(np.array(row) > 0)) for row in periods]
    lengths = [_mean([p if p else np.nan for p in row]) for row in periods]
    sample = [row[:: max(1, len(row) // num)] for row in texts]
    found = {LOOPS: np.array(loops), PERIOD: np.array(lengths)}
    return {**written_values(sample, corpus, known), **found}


def _mean(values: Sequence[float]) -> float:
    """Mean of the values that exist, NaN if there are none."""
    exist = [value for value in values if np.isfinite(value)]
    return float(np.mean(exist)) if exist else float("nan")
