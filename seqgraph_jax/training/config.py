"""Settings of a training run."""

from dataclasses import dataclass
from typing import Literal

from seqgraph_jax.training.ranges import (
    Count,
    FromZero,
    NotNegative,
    Positive,
    check_ranges,
)

#: Names of `seqgraph_jax.training.optimizers`.
Schedule = Literal["constant", "linear", "cosine"]
Optimizer = Literal["adam", "adamw", "sgd", "momentum", "rmsprop"]


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run: plain values, never changed by a callee.

    ``updates`` and ``eval_every`` count updates; ``batch_size`` and ``eval_size``
    count examples; ``max_norm`` bounds the global norm of the gradient. ``metric``
    names what seeds are judged by, None is the task's first. A seed has converged at
    the first evaluation from which it is at ``threshold`` or better for ``hold_for``
    evaluations; without a threshold nothing converges. ``early_stop`` ends the run once
    every seed has converged or diverged. With ``patience`` a seed stops, and its best
    parameters stay as they are, after so many evaluations without a new best; the run
    ends once all have. ``eval_seed`` draws the evaluation batch, which is the same for
    all seeds.

    Raises `ValueError` for a value out of its range, for an unknown name, and if
    ``eval_every`` does not divide ``updates``.

    >>> TrainConfig(updates=200, eval_every=10).num_evaluations
    20
    """

    updates: Count = 500  # updates of the parameters, at most
    eval_every: Count = 10  # updates between evaluations
    batch_size: Count = 128  # examples per update
    eval_size: Count = 1024  # examples of the fixed evaluation set
    optimizer: Optimizer = "adam"  # how gradients become updates
    learning_rate: Positive = 2e-3  # step size
    schedule: Schedule = "constant"  # its course: constant, or to zero
    warmup: FromZero = 0  # updates over which it first rises from zero
    max_norm: Positive = 10.0  # bound of the gradient's global norm; inf for none
    weight_decay: NotNegative = 0.0  # times the parameters is added to their gradient
    decay_only: str = ""  # the part of the network that has it (default: all)
    metric: str | None = None  # what seeds are judged by (default: the task's first)
    threshold: float | None = None  # its value that counts as converged
    hold_for: Count = 5  # evaluations for which it must hold
    early_stop: bool = True  # stop once every seed has converged or diverged
    patience: FromZero = 0  # evaluations without a new best that stop a seed; 0: none
    eval_seed: FromZero = 2**31 - 1  # seed that draws the evaluation set

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.warmup < self.updates:
            raise ValueError(
                f"warmup must be below updates ({self.updates}), not {self.warmup}"
            )
        if self.updates % self.eval_every:
            raise ValueError(
                f"updates ({self.updates}) must be a multiple of eval_every "
                f"({self.eval_every})"
            )

    @property
    def num_evaluations(self) -> int:
        """Evaluations K of a run without early stop."""
        return self.updates // self.eval_every
