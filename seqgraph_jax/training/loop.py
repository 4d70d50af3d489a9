"""Training one network from one key: `init`, `advance`, `train`, all pure.

``advance`` runs one evaluation period on the device: ``eval_every`` updates in one
scan, then an evaluation on a fixed batch. ``train`` is a scan of it; a host that wants
to print and save loops over ``advance`` instead and gets the same numbers.

Randomness of update n is the fold of the run's key with n, so a short run is the
beginning of a long one and a resumed run needs no key from the past.
"""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from seqgraph_jax.training.config import TrainConfig
from seqgraph_jax.training.metrics import judged_by
from seqgraph_jax.training.optimizers import optimizer
from seqgraph_jax.training.task import Evaluated, Stateful, Task, part_of

_INIT, _DATA, _DROPOUT = range(3)  # folds of the run's key, by purpose


class Keys(NamedTuple):
    """A run's keys, where they differ by purpose: fields in the order of the folds."""

    init: jax.Array  # initial values
    data: jax.Array  # batches
    dropout: jax.Array


def _key_for(key: jax.Array | Keys, purpose: int) -> jax.Array:
    return jax.random.fold_in(key[purpose] if isinstance(key, Keys) else key, purpose)


class Best(NamedTuple):
    """Parameters of the evaluation with the best metric, of equals the lowest loss."""

    params: Any
    step: jax.Array  # [], update of that evaluation; 0 before any
    value: jax.Array  # [], the metric, negated where lower is better; -inf before any
    loss: jax.Array  # []; inf before any, never NaN


class TrainState(NamedTuple):
    """What a run carries from one evaluation period to the next."""

    step: jax.Array  # [], updates done; a seed that has stopped does no more
    params: Any
    opt_state: Any
    best: Best
    carry: Any = ()  # hidden state after the last batch, of a stateful task


def num_params(params: Any) -> int:
    """Number of scalars in a parameter tree.

    >>> import numpy as np
    >>> num_params({"kernel": np.zeros((3, 4)), "bias": np.zeros(4)})
    16
    """
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def eval_batch(task: Task, config: TrainConfig) -> Any:
    """The fixed evaluation batch, ``[eval_size, ...]``, from its own key."""
    draw = task.evaluation if isinstance(task, Evaluated) else task.sample
    return draw(jax.random.key(config.eval_seed), config.eval_size)


def init(
    model: nn.Module,
    task: Task,
    config: TrainConfig,
    key: jax.Array | Keys,
    tx: optax.GradientTransformation | None = None,
) -> TrainState:
    """State before the first update; ``tx`` instead of the optimiser of ``config``.

    Parameters depend on the key and on their path in the tree alone: networks that
    share a layer's name and shape start with the same values in it.

    Raises `ValueError` for what is no Linen module, and for one that keeps more than
    parameters, such as the running means of ``nn.BatchNorm``.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"a network is a flax.linen.Module, not {type(model).__name__}: NNX "
            "modules hold their parameters themselves, so a seed cannot have its own"
        )
    batch_size = min(2, config.batch_size)  # a task may have room for no more
    data_key = key.data if isinstance(key, Keys) else key
    example = jax.eval_shape(lambda: task.sample(data_key, batch_size)).inputs
    example = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), example)
    variables = model.init(_key_for(key, _INIT), example)
    others = ", ".join(name for name in variables if name != "params")
    if others:
        raise ValueError(
            f"{type(model).__name__} keeps {others} beside its parameters, which "
            "training does not carry along: nn.LayerNorm or nn.GroupNorm, for example, "
            "do the work of nn.BatchNorm without"
        )
    params = variables["params"]
    stateful = isinstance(task, Stateful)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=(tx or optimizer(config)).init(params),
        best=Best(params, jnp.int32(0), jnp.float32(-jnp.inf), jnp.float32(jnp.inf)),
        carry=model.initial_carry(config.batch_size) if stateful else (),
    )


def _batch(task: Task, config: TrainConfig, key: Any, step: jax.Array) -> Any:
    """The batch of update ``step``."""
    if isinstance(task, Stateful):
        return task.follow(step, config.batch_size)
    data_key = jax.random.fold_in(_key_for(key, _DATA), step)
    return task.sample(data_key, config.batch_size)


def update(
    model: nn.Module,
    task: Task,
    config: TrainConfig,
    key: jax.Array | Keys,
    state: TrainState,
    tx: optax.GradientTransformation | None = None,
    over: str | None = None,
    batch: Any = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One update on a fresh batch; metrics are those of the batch before the update.

    ``over`` is a mesh axis whose devices take a part of the batch each (`Divisible`);
    gradients and metrics are averaged over them, so all end with the same state.
    ``batch`` is that of this update, if it was drawn before.
    """
    batch = _batch(task, config, key, state.step) if batch is None else batch
    dropout_key = jax.random.fold_in(_key_for(key, _DROPOUT), state.step)
    if over is not None:
        batch = part_of(batch, over)
        dropout_key = jax.random.fold_in(dropout_key, lax.axis_index(over))
    stateful = isinstance(task, Stateful)
    arguments = (batch.inputs, state.carry) if stateful else (batch.inputs,)

    def loss_fn(params: Any) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
        outputs = model.apply(
            {"params": params}, *arguments, train=True, rngs={"dropout": dropout_key}
        )
        metrics = task.metrics(outputs, batch.targets)
        return metrics["loss"], (outputs[0] if stateful else (), metrics)

    grads, (carry, metrics) = jax.grad(loss_fn, has_aux=True)(state.params)
    if over is not None:
        grads, metrics = lax.pmean((grads, metrics), over)
    tx = tx or optimizer(config)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return TrainState(state.step + 1, params, opt_state, state.best, carry), metrics


def advance(
    model: nn.Module,
    task: Task,
    config: TrainConfig,
    key: jax.Array | Keys,
    evaluation: Any,
    state: TrainState,
    tx: optax.GradientTransformation | None = None,
    over: str | None = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One evaluation period: ``eval_every`` updates, then metrics on ``evaluation``.

    ``key`` is the run's key, or its `Keys`, the same in every period. Metrics are
    scalars: those of ``evaluation`` under their names, and those of the period's
    training batches, averaged, under ``train_`` and their names. A seed that has
    stopped (``patience``) keeps its state, and its metrics are NaN. ``over`` as for
    `update`.
    """
    period = partial(_period, model, task, config, key, evaluation, tx=tx, over=over)
    if not config.patience:
        return period(state)

    def rest(state: TrainState) -> tuple[TrainState, dict[str, jax.Array]]:
        metrics = jax.eval_shape(period, state)[1]
        nothing = {
            name: jnp.full(m.shape, jnp.nan, m.dtype) for name, m in metrics.items()
        }
        return state, nothing

    waited = state.step - state.best.step
    return lax.cond(waited >= config.patience * config.eval_every, rest, period, state)


def _period(
    model: nn.Module,
    task: Task,
    config: TrainConfig,
    key: jax.Array | Keys,
    evaluation: Any,
    state: TrainState,
    tx: optax.GradientTransformation | None,
    over: str | None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """An evaluation period of a seed that goes on; see `advance`."""
    batches = None
    if getattr(task, "ahead", False):
        steps = state.step + jnp.arange(config.eval_every)
        batches = jax.vmap(partial(_batch, task, config, key))(steps)
    state, history = lax.scan(
        lambda state, batch: update(model, task, config, key, state, tx, over, batch),
        state,
        batches,
        length=config.eval_every,
    )
    outputs = model.apply({"params": state.params}, evaluation.inputs)
    metrics = task.metrics(outputs, evaluation.targets)
    metric = judged_by(task, config.metric)
    if metric.name not in metrics:
        known = ", ".join(metrics)
        raise ValueError(f"metric {metric.name!r} is not evaluated: {known} are")
    loss, value = (metrics[name].astype(jnp.float32) for name in ("loss", metric.name))
    loss = jnp.where(jnp.isnan(loss), jnp.inf, loss)
    value = metric.sign * value
    old = state.best
    better = (value > old.value) | ((value == old.value) & (loss < old.loss))
    best = jax.tree.map(
        lambda new, old: jnp.where(better, new, old),
        Best(state.params, state.step, value, loss),
        old,
    )
    trained = {f"train_{name}": values.mean() for name, values in history.items()}
    metrics = {**trained, **metrics}
    return state._replace(best=best), metrics


def train(
    model: nn.Module,
    task: Task,
    config: TrainConfig,
    key: jax.Array,
    tx: optax.GradientTransformation | None = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """A whole run of ``config.updates`` updates; metrics ``[K]`` by name.

    Pure: ``jax.jit(jax.vmap(partial(train, model, task, config)))(keys)`` trains many
    seeds. It does not stop early, since nothing under `jit` can; `train_seeds` does.

    >>> from seqgraph_jax import SequenceClassifier, tasks
    >>> task = tasks.RandomCombinations(size=4)
    >>> model = SequenceClassifier("rnn", features=8, num_symbols=4, num_classes=4)
    >>> config = TrainConfig(updates=20, eval_every=10, batch_size=8, eval_size=16)
    >>> state, metrics = train(model, task, config, jax.random.key(0))
    >>> int(state.step), metrics["accuracy"].shape
    (20, (2,))
    """
    evaluation = eval_batch(task, config)
    return lax.scan(
        lambda state, _: advance(model, task, config, key, evaluation, state, tx),
        init(model, task, config, key, tx),
        length=config.num_evaluations,
    )
