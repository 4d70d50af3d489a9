"""What experiments.temperature measures on networks and on the text that they write."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import track

from experiments import writing
from experiments.temperature import (
    COPY,
    DISTINCT,
    ENTROPY,
    HELD_OUT,
    LOOPS,
    PERIOD,
    WORDS,
    Config,
)
from seqgraph_jax.text import corpus as text
from seqgraph_jax.text import measures as text_measures
from seqgraph_jax.text.models import TextModel
from seqgraph_jax.text.sampling import tempered

Measured = dict[str, np.ndarray]  # values [S] by label


def measure(
    config: Config, models: Mapping[int, TextModel], corpus: str
) -> tuple[dict[float, Measured], dict[int, Measured]]:
    """Measurements by tau, at the last checkpoint, and by updates, for every seed."""
    by_tau: dict[float, Measured] = {}
    by_step: dict[int, Measured] = {}
    last = models[max(models)]
    held_out = max(last.config["holdout"], 0.05)
    task = text.text_task(last.vocabulary, corpus, last.config["window"], held_out)
    batch = task.evaluation(jax.random.key(0), 64)
    known = set(text_measures.words(corpus))
    jobs = [("tau", tau) for tau in config.taus] + [("step", step) for step in models]
    for kind, value in track(
        jobs, "measuring", console=Console(stderr=True), transient=True
    ):
        if kind == "tau":
            drawn = _drawn(config, last, float(value), corpus, known)
            by_tau[float(value)] = _on_text(last, batch, float(value)) | drawn
        else:
            loaded = models[int(value)]
            greedy = _greedy(config, loaded, corpus, known)
            by_step[int(value)] = _on_text(loaded, batch, 1.0) | greedy
    return by_tau, by_step


@jax.jit
def _bits(logits: jax.Array, targets: jax.Array, tau: jax.Array) -> Any:
    """Mean entropy of softmax(tau x), and mean bits of the targets that count."""
    log_p = jax.nn.log_softmax(tempered(logits, tau)) / jnp.log(2.0)
    counted = targets >= 0
    entropy = -(jnp.exp2(log_p) * log_p).sum(-1).mean(where=counted)
    chosen = jnp.take_along_axis(log_p, jnp.maximum(targets, 0)[..., None], axis=-1)
    return entropy, -chosen[..., 0].mean(where=counted)


def _on_text(loaded: TextModel, batch: Any, tau: float) -> Measured:
    """Entropy and likelihood on the held-out rows, tempered with tau."""
    apply = jax.jit(lambda params: loaded.model.apply({"params": params}, batch.inputs))
    values = []
    for s in range(len(loaded.seeds)):
        params = jax.tree.map(lambda leaf, s=s: leaf[s], loaded.params)
        values.append(_bits(apply(params)[1], batch.targets, jnp.float32(tau)))
    entropy, bits = np.array(values).T
    return {ENTROPY: entropy, HELD_OUT: bits}


def _drawn(
    config: Config, loaded: TextModel, tau: float, corpus: str, known: set[str]
) -> Measured:
    """Measures of drawn texts, means over the texts of a seed."""
    nothing = np.zeros(0, np.int32)
    rows = writing.texts(loaded, nothing, config.length, config.num, config.seed, tau)
    return _judged(rows, corpus, known)


def _judged(rows: list[list[str]], corpus: str, known: set[str]) -> Measured:
    """Means over the texts of each row."""

    def means(function: Any, scale: float = 1.0) -> np.ndarray:
        values = [[function(written) for written in row] for row in rows]
        return scale * np.array([_mean(row) for row in values])

    return {
        WORDS: means(lambda t: text_measures.share_of_words(t, known), 100.0),
        DISTINCT: means(text_measures.distinct_ngrams, 100.0),
        COPY: means(lambda t: text_measures.longest_copy(t, corpus)),
    }


def _mean(values: list[float]) -> float:
    """Mean of the values that exist, NaN if there are none."""
    exist = [value for value in values if np.isfinite(value)]
    return float(np.mean(exist)) if exist else float("nan")


def _greedy(
    config: Config, loaded: TextModel, corpus: str, known: set[str]
) -> Measured:
    """Measures of greedy texts, one from every first character of the vocabulary."""
    first = np.arange(len(loaded.vocabulary), dtype=np.int32)[:, None]
    length = max(config.length, 20) + 100 * (not config.smoke)
    rows = writing.texts(loaded, first, length, len(first), config.seed, float("inf"))
    periods = [[text_measures.loop_length(t) for t in row] for row in rows]
    loops = [100 * float(np.mean(np.array(row) > 0)) for row in periods]
    lengths = [_mean([p if p else np.nan for p in row]) for row in periods]
    sample = [row[:: max(1, len(row) // config.num)] for row in rows]
    return {
        **_judged(sample, corpus, known),
        LOOPS: np.array(loops),
        PERIOD: np.array(lengths),
    }
