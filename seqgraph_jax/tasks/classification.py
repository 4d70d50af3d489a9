"""A batch of examples, and how answers are judged that name a class."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from seqgraph_jax.training.metrics import ACCURACY, CROSS_ENTROPY, Metrics


class Batch(NamedTuple):
    """``inputs`` of the network, ``[B, ...]``, and ``targets``, ``[B, ...]``."""

    inputs: Any
    targets: Any


def judge_classes(
    logits: jax.Array, targets: jax.Array, counted: jax.Array | None = None
) -> dict[str, jax.Array]:
    """Mean cross entropy in nats and the share of right answers, from 0 to 1.

    Shapes: ``logits [..., C]``, ``targets [...]`` integers in 0..C-1; the means are
    over all, or over those where ``counted [...]``, at least one, is true. Where the
    loss is not finite the accuracy is NaN, too: a broken network has none. Raises
    `ValueError` for other targets where they are known, outside of `jax.jit`.

    >>> logits = jnp.array([[2.0, 0.0], [0.0, 2.0]])
    >>> metrics = judge_classes(logits, jnp.array([0, 0]))
    >>> float(metrics["accuracy"]), round(float(metrics["loss"]), 4)
    (0.5, 1.1269)
    """
    if not any(isinstance(x, jax.core.Tracer) for x in (targets, counted)):
        _check_targets(np.asarray(targets), counted, logits.shape[-1])
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    loss = losses.mean(where=counted)
    # From the wrong answers: a mean of ones may round to 0.99999994, a mean of
    # zeros is 0, so the accuracy is 1 if and only if every answer is right.
    accuracy = 1 - (logits.argmax(-1) != targets).mean(where=counted)
    return {"loss": loss, "accuracy": jnp.where(jnp.isfinite(loss), accuracy, jnp.nan)}


def _check_targets(targets: np.ndarray, counted: Any, num_classes: int) -> None:
    outside = (targets < 0) | (targets >= num_classes)
    if counted is not None:
        outside = outside & np.asarray(counted)
    for wrong in targets[outside][:1]:
        raise ValueError(
            f"there is no class {wrong}: the network's {num_classes} outputs are the "
            f"scores of 0 to {num_classes - 1}, and num_classes says how many there are"
        )


#: `judge_classes`, with what its numbers are: for tasks whose answers name classes.
classification_metrics = Metrics(judge_classes, (ACCURACY, CROSS_ENTROPY))


def confusion(truth: Any, said: Any, members: Any, num_classes: int) -> np.ndarray:
    """What members of each true class were said to be: ``[C, C]``, % of a row's sum.

    Shapes: ``truth`` (-1 for none, which does not count), ``said`` and ``members``
    (bool, or numbers) ``[N]``. The row of a class without a member is NaN.

    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([0, 1, 2]), 2)
    array([[ 50.,  50.],
           [  0., 100.]])
    """
    counts = np.zeros((num_classes, num_classes))
    truth, said = np.asarray(truth)[members], np.asarray(said)[members]
    np.add.at(counts, (truth[truth >= 0], said[truth >= 0]), 1)
    with np.errstate(invalid="ignore"):
        return 100 * counts / counts.sum(1, keepdims=True)
