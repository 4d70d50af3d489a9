"""Training one network from one key: `init`, `advance`, `train`, all pure.

``advance`` runs one evaluation period on the device: ``eval_every`` updates in one
scan, then an evaluation on a fixed batch. ``train`` is a scan of it; a host that wants
to print and save loops over ``advance`` instead and gets the same numbers.

Randomness of update n is the fold of the run's key with n, so a short run is the
beginning of a long one and a resumed run needs no key from the past.
"""

from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

_INIT, _DATA, _DROPOUT = range(3)  # folds of the run's key, by purpose


class Task(Protocol):
    """What training asks of a task; see `seqgraph_jax.tasks`.

    A task may have ``evaluation(key, size)``, the batch that networks are evaluated on
    where that is not a sample. A task whose ``stateful`` is true has
    ``follow(step, batch_size)``, the batch of update ``step``, which goes on where the
    one before ended; its network has ``initial_carry(batch_size)``, takes a carry as
    second argument and returns one first (see `seqgraph_jax.text`).
    """

    def sample(self, key: jax.Array, batch_size: int) -> Any:
        """A batch with ``inputs`` and ``targets``."""

    def metrics(self, outputs: Any, targets: Any) -> dict[str, jax.Array]:
        """Scalars by name; ``"loss"`` is minimised."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run: plain values, never changed by a callee.

    ``updates`` and ``eval_every`` count updates; ``batch_size`` and ``eval_size``
    count examples; ``max_norm`` bounds the global norm of the gradient. A seed has
    converged at the first evaluation from which ``metric`` stays at ``threshold`` or
    above for ``patience`` evaluations. ``early_stop`` ends the run once every seed has
    converged or diverged. ``eval_seed`` draws the evaluation batch, which is the same
    for all seeds.

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
    max_norm: float = 10.0  # bound of the gradient's global norm
    metric: str = "accuracy"  # what convergence and the best parameters are judged by
    threshold: float = 1.0  # value of the metric that counts as converged
    patience: int = 5  # evaluations for which it must hold
    early_stop: bool = True  # stop once every seed has converged or diverged
    eval_seed: int = 2**31 - 1  # seed that draws the evaluation set

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            counts = field.type is int and field.name != "warmup"
            if (counts or field.name in POSITIVE) and not value > 0:
                raise ValueError(f"{field.name} must be above 0, not {value}")
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

#: Courses of the learning rate by name: of its first value and the updates it takes.
SCHEDULES = {
    "constant": lambda rate, updates: optax.constant_schedule(rate),
    "linear": lambda rate, updates: optax.linear_schedule(rate, 0.0, updates),
    "cosine": lambda rate, updates: optax.cosine_decay_schedule(rate, updates),
}


class Best(NamedTuple):
    """Parameters of the evaluation with the highest metric, the first of equals."""

    params: Any
    step: jax.Array  # [], update of that evaluation; 0 before any
    value: jax.Array  # [], -inf before any; never NaN


class TrainState(NamedTuple):
    """What a run carries from one evaluation period to the next."""

    step: jax.Array  # [], updates done
    params: Any
    opt_state: Any
    best: Best
    carry: Any = ()  # hidden state after the last batch, of a stateful task


def optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Clipping by global norm, then Adam (Kingma and Ba, 2015)."""
    rate: Any = config.learning_rate
    if config.schedule != "constant" or config.warmup:
        course = SCHEDULES[config.schedule](rate, config.updates - config.warmup)
        rise = optax.linear_schedule(0.0, rate, max(config.warmup, 1))
        rate = optax.join_schedules([rise, course], [config.warmup])
    return optax.chain(optax.clip_by_global_norm(config.max_norm), optax.adam(rate))


def eval_batch(task: Task, config: TrainConfig) -> Any:
    """The fixed evaluation batch, ``[eval_size, ...]``, from its own key."""
    draw = getattr(task, "evaluation", task.sample)
    return draw(jax.random.key(config.eval_seed), config.eval_size)


def init(
    model: nn.Module, task: Task, config: TrainConfig, key: jax.Array
) -> TrainState:
    """State before the first update.

    Parameters depend on the key and on their path in the tree alone: networks that
    share a layer's name and shape start with the same values in it.
    """
    example = jax.eval_shape(lambda: task.sample(key, 2)).inputs
    example = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), example)
    params = model.init(jax.random.fold_in(key, _INIT), example)["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer(config).init(params),
        best=Best(params, jnp.zeros((), jnp.int32), jnp.float32(-jnp.inf)),
        carry=model.initial_carry(config.batch_size) if _stateful(task) else (),
    )


def _stateful(task: Any) -> bool:
    return getattr(task, "stateful", False)


def update(
    model: nn.Module, task: Task, config: TrainConfig, key: jax.Array, state: TrainState
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One update on a fresh batch; metrics are those of the batch before the update."""
    data_key, dropout_key = (
        jax.random.fold_in(jax.random.fold_in(key, purpose), state.step)
        for purpose in (_DATA, _DROPOUT)
    )
    arguments: tuple[Any, ...]
    if _stateful(task):
        batch = cast(Any, task).follow(state.step, config.batch_size)
        arguments = (batch.inputs, state.carry)
    else:
        batch = task.sample(data_key, config.batch_size)
        arguments = (batch.inputs,)

    def loss_fn(params: Any) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
        outputs = model.apply(
            {"params": params}, *arguments, train=True, rngs={"dropout": dropout_key}
        )
        metrics = task.metrics(outputs, batch.targets)
        return metrics["loss"], (outputs[0] if _stateful(task) else (), metrics)

    grads, (carry, metrics) = jax.grad(loss_fn, has_aux=True)(state.params)
    updates, opt_state = optimizer(config).update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return TrainState(state.step + 1, params, opt_state, state.best, carry), metrics


def advance(
    model: nn.Module,
    task: Task,
    config: TrainConfig,
    key: jax.Array,
    evaluation: Any,
    state: TrainState,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One evaluation period: ``eval_every`` updates, then metrics on ``evaluation``.

    ``key`` is the run's key and stays the same in every period. Metrics are scalars:
    those of ``evaluation`` under their names, and those of the period's training
    batches, averaged, under ``train_`` and their names.
    """
    state, history = lax.scan(
        lambda state, _: update(model, task, config, key, state),
        state,
        length=config.eval_every,
    )
    outputs = model.apply({"params": state.params}, evaluation.inputs)
    metrics = task.metrics(outputs, evaluation.targets)
    if config.metric not in metrics:
        known = ", ".join(metrics)
        raise ValueError(f"metric {config.metric!r} is unknown: the task has {known}")
    value = metrics[config.metric].astype(jnp.float32)
    best = jax.tree.map(
        lambda new, old: jnp.where(value > state.best.value, new, old),
        Best(state.params, state.step, value),
        state.best,
    )
    trained = {f"train_{name}": values.mean() for name, values in history.items()}
    metrics = {**trained, **metrics}
    return state._replace(best=best), metrics


def train(
    model: nn.Module, task: Task, config: TrainConfig, key: jax.Array
) -> tuple[TrainState, dict[str, jax.Array]]:
    """A whole run of ``config.updates`` updates; metrics ``[K]`` by name.

    Pure: ``jax.jit(jax.vmap(partial(train, model, task, config)))(keys)`` trains many
    seeds. It does not stop early, since nothing under `jit` can; `train_seeds` does.

    >>> from seqgraph_jax.networks import SequenceClassifier
    >>> from seqgraph_jax.tasks import RandomCombinations
    >>> task = RandomCombinations(size=4)
    >>> model = SequenceClassifier("gru", features=8, num_symbols=4, num_classes=4)
    >>> config = TrainConfig(updates=20, eval_every=10, batch_size=8, eval_size=16)
    >>> state, metrics = train(model, task, config, jax.random.key(0))
    >>> int(state.step), metrics["accuracy"].shape
    (20, (2,))
    """
    evaluation = eval_batch(task, config)
    return lax.scan(
        lambda state, _: advance(model, task, config, key, evaluation, state),
        init(model, task, config, key),
        length=config.num_evaluations,
    )
