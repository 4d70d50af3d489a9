"""What training of a character model shows: progress, samples, tables, pictures."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import seqgraph_jax as sg
from seqgraph_jax import sampling


def status(characters_per_update: int, run: sg.Run) -> str:
    """Means over seeds of the last evaluation, and characters of all seeds a second."""
    rate = run.updates[-1] * characters_per_update / max(run.train_s, 1e-9)
    loss, accuracy, held_out = (
        run.metrics[name][:, -1].mean()
        for name in ("train_loss", "train_accuracy", "bits_per_char")
    )
    return (
        f"loss {loss:.3f} nats, accuracy {accuracy:.1%}, evaluation "
        f"{held_out:.3f} bits/char, {rate:,.0f} characters/s"
    )


def line(model: Any, vocabulary: Any, run: sg.Run) -> str:
    """A line that the first seed's network writes at this evaluation, tau = 2."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf[0]), run.lanes[0].params)
    tokens = sampling.generate(
        model,
        params,
        jax.random.key(0),
        jnp.zeros((1, 0), jnp.int32),
        60,
        len(vocabulary),
        2.0,
    )
    written = vocabulary.decode(tokens[0])
    return f"{run.updates[-1]:>6,}  {written!r}"
