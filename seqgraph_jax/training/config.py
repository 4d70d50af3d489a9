"""Settings of a training run, and the optimiser that they describe."""

from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import jax
import optax


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run: plain values, never changed by a callee.

    ``updates`` and ``eval_every`` count updates; ``batch_size`` and ``eval_size``
    count examples; ``max_norm`` bounds the global norm of the gradient. A seed has
    converged at the first evaluation from which ``metric`` stays at ``threshold`` or
    better for ``patience`` evaluations; of ``"loss"`` lower is better, of all others
    higher. ``early_stop`` ends the run once every seed has
    converged or diverged. With ``stop_after`` a seed stops, and its best parameters
    stay as they are, after so many evaluations without a new best ``metric``; the run
    ends once all have. ``eval_seed`` draws the evaluation batch, which is the same for
    all seeds.

    Raises `ValueError` for a value that is not positive, for an unknown schedule, and
    if ``eval_every`` does not divide ``updates``.

    >>> TrainConfig(updates=200, eval_every=10).num_evaluations
    20
    """

    updates: int = 500  # updates of the parameters, at most
    eval_every: int = 10  # updates between evaluations
    batch_size: int = 128  # examples per update
    eval_size: int = 1024  # examples of the fixed evaluation set
    learning_rate: float = 2e-3  # Adam's step size
    schedule: str = "constant"  # its course: constant, or linear or cosine to zero
    warmup: int = 0  # updates over which it first rises from zero
    max_norm: float = 10.0  # bound of the gradient's global norm; inf for none
    weight_decay: float = 0.0  # times the parameters is added to their gradient
    decay_only: str = ""  # parameters whose path begins so have it (default: all)
    metric: str = "accuracy"  # what convergence and the best parameters are judged by
    threshold: float = 1.0  # value of the metric that counts as converged
    patience: int = 5  # evaluations for which it must hold
    early_stop: bool = True  # stop once every seed has converged or diverged
    stop_after: int = 0  # evaluations without a new best until a seed stops; 0: never
    eval_seed: int = 2**31 - 1  # seed that draws the evaluation set

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            counts = field.type is int and field.name not in FROM_ZERO
            if (counts or field.name in POSITIVE) and not value > 0:
                raise ValueError(f"{field.name} must be above 0, not {value}")
        for name in ("stop_after", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        if not 0 <= self.warmup < self.updates:
            raise ValueError(
                f"warmup must be 0 to below updates ({self.updates}), not {self.warmup}"
            )
        if self.schedule not in SCHEDULES:
            raise ValueError(
                f"schedule {self.schedule!r} is unknown: choose {', '.join(SCHEDULES)}"
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


POSITIVE = ("learning_rate", "max_norm")
FROM_ZERO = ("warmup", "stop_after")

#: Courses of the learning rate by name: of its first value and the updates it takes.
SCHEDULES = {
    "constant": lambda rate, updates: optax.constant_schedule(rate),
    "linear": lambda rate, updates: optax.linear_schedule(rate, 0.0, updates),
    "cosine": lambda rate, updates: optax.cosine_decay_schedule(rate, updates),
}


def optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Clipping by global norm, weight decay, then Adam (Kingma and Ba, 2015).

    The decay is that of an L2 penalty in the loss: Adam scales it with the gradient.
    """
    rate: Any = config.learning_rate
    if config.schedule != "constant" or config.warmup:
        course = SCHEDULES[config.schedule](rate, config.updates - config.warmup)
        rise = optax.linear_schedule(0.0, rate, max(config.warmup, 1))
        rate = optax.join_schedules([rise, course], [config.warmup])
    parts = [optax.clip_by_global_norm(config.max_norm)]
    if config.weight_decay:
        decays = partial(_begins_with, config.decay_only)
        parts.append(optax.add_decayed_weights(config.weight_decay, decays))
    return optax.chain(*parts, optax.adam(rate))


def _begins_with(prefix: str, params: Any) -> Any:
    """Whether each parameter's dotted path begins with ``prefix``."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: jax.tree_util.keystr(
            path, simple=True, separator="."
        ).startswith(prefix),
        params,
    )
