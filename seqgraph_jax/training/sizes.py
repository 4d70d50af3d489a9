"""Networks with equally many parameters."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from seqgraph_jax.training.loop import num_params


def count_params(model: nn.Module, task: Any) -> int:
    """Parameters that a network has for a task's inputs; nothing is computed."""

    def init(key: jax.Array) -> Any:
        return model.init(key, task.sample(key, 2).inputs)["params"]

    return num_params(jax.eval_shape(init, jax.random.key(0)))


def match_params(
    make: Callable[[int], nn.Module], task: Any, target: int, within: float = 0.05
) -> nn.Module:
    """The network ``make(width)`` whose number of parameters is nearest to a target.

    The number must be a polynomial of degree 2 in the width, as it is where every
    matrix has at most two sides that grow with it: three widths then tell all.

    Raises `ValueError` if the nearest number is further off than the share ``within``.

    >>> from seqgraph_jax import SequenceClassifier, tasks
    >>> task = tasks.RandomCombinations(size=4)
    >>> def make(width):
    ...     return SequenceClassifier("gru", width, 4, 4)
    >>> model = match_params(make, task, target=count_params(make(23), task) + 9)
    >>> model.features
    23
    """
    known = np.array([1, 8, 16])
    counts = [count_params(make(int(width)), task) for width in known]
    widths = np.arange(1, 4097)
    numbers = np.rint(np.polyval(np.polyfit(known, counts, 2), widths))
    width = int(widths[np.abs(numbers - target).argmin()])
    model = make(width)
    number = count_params(model, task)
    if abs(number - target) > within * target:
        raise ValueError(
            f"{type(model).__name__} with {target:,} parameters is not possible: the "
            f"nearest has {number:,}, at a width of {width}"
        )
    return model
