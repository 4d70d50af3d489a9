"""Networks with equally many parameters."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from seqgraph_jax.training.arms import Arm
from seqgraph_jax.training.config import TrainConfig
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


def match_arms(
    make: Callable[[str, int], nn.Module],
    tasks: Mapping[str, Any],
    config: TrainConfig,
    width: int,
    within: float = 0.05,
) -> dict[str, Arm]:
    """Arms by name, of as many parameters as the first has at a width.

    ``make(name, width)`` gives a network; ``tasks`` are those of each arm. Raises
    `ValueError` as `match_params` does.

    >>> from seqgraph_jax import SequenceClassifier, tasks
    >>> def make(cell, width):
    ...     return SequenceClassifier(cell, width, 4, 4)
    >>> task = tasks.RandomCombinations(size=4)
    >>> arms = match_arms(make, {"gru": task, "lstm": task}, TrainConfig(), width=23)
    >>> {name: arm.model.features for name, arm in arms.items()}
    {'gru': 23, 'lstm': 19}
    """
    arms: dict[str, Arm] = {}
    target = 0
    for name, task in tasks.items():
        arm = Arm(make(name, width), task, config)
        if arms:
            of_width, first = partial(make, name), arm.first_task
            model = match_params(of_width, first, target, within)
            arm = arm._replace(model=model)
        else:
            target = count_params(arm.model, arm.first_task)
        arms[name] = arm
    return arms
