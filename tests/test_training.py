"""One run: its update, its randomness, its best parameters, its compilations."""

from dataclasses import dataclass, replace
from functools import partial

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import seqgraph_jax as sg
from seqgraph_jax.tasks.classification import Batch, classification_metrics
from seqgraph_jax.training import loop as training
from seqgraph_jax.training.optimizers import OPTIMIZERS
from seqgraph_jax.training.task import check_key


@jax.tree_util.register_static
@dataclass(frozen=True)
class FirstSymbol:
    """Which of four symbols came first? A task that compiles in a moment."""

    metrics = classification_metrics
    divisible = True

    def sample(self, key, batch_size):
        tokens = jax.random.randint(key, (batch_size, 3), 0, 4)
        return Batch(tokens, tokens[:, 0])


TASK = FirstSymbol()
MODEL = sg.SequenceClassifier("gru", features=6, num_symbols=4, num_classes=4)
CONFIG = sg.TrainConfig(
    updates=40,
    eval_every=10,
    batch_size=8,
    eval_size=32,
    learning_rate=1e-2,
    threshold=1.0,
)


def assert_same_bits(one, two):
    """Same bits, NaN included."""
    chex.assert_trees_all_equal_shapes_and_dtypes(one, two)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.mark.smoke
def test_two_updates_equal_adam_in_numpy():
    # Clipping to a small norm, then Kingma and Ba's algorithm 1 with bias correction.
    config = sg.TrainConfig(
        updates=2, eval_every=1, batch_size=8, eval_size=8, max_norm=0.05
    )
    key = jax.random.key(3)
    state = training.init(MODEL, TASK, config, key)
    flat, unflatten = jax.flatten_util.ravel_pytree(state.params)
    params = np.asarray(flat, np.float64)
    mean, square = np.zeros_like(params), np.zeros_like(params)
    for step in (1, 2):
        data_key = jax.random.fold_in(jax.random.fold_in(key, 1), step - 1)
        batch = TASK.sample(data_key, 8)

        def loss(flat, batch=batch):
            logits = MODEL.apply({"params": unflatten(flat)}, batch.inputs)
            log_probs = jax.nn.log_softmax(logits)
            return -jnp.take_along_axis(log_probs, batch.targets[:, None], 1).mean()

        grad = np.asarray(jax.grad(loss)(jnp.asarray(params, jnp.float32)), np.float64)
        assert np.linalg.norm(grad) > 0.05
        grad *= 0.05 / np.linalg.norm(grad)
        mean, square = 0.9 * mean + 0.1 * grad, 0.999 * square + 0.001 * grad**2
        corrected = mean / (1 - 0.9**step), square / (1 - 0.999**step)
        params -= config.learning_rate * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
        state, _ = training.update(MODEL, TASK, config, key, state)
    ours = jax.flatten_util.ravel_pytree(state.params)[0]
    # Where a gradient is near 0 Adam divides noise by noise: compare in absolute terms.
    chex.assert_trees_all_close(ours, params.astype(np.float32), atol=2e-5)


def test_a_short_run_is_the_beginning_of_a_long_one():
    key = jax.random.key(1)
    short = sg.TrainConfig(**{**vars(CONFIG), "updates": 20})
    _, long_metrics = jax.jit(partial(sg.train, MODEL, TASK, CONFIG))(key)
    _, short_metrics = jax.jit(partial(sg.train, MODEL, TASK, short))(key)
    assert_same_bits(short_metrics, jax.tree.map(lambda m: m[:2], long_metrics))


def test_train_is_a_loop_of_advance_and_compiles_it_once():
    key = jax.random.key(2)
    evaluation = training.eval_batch(TASK, CONFIG)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def advance(state):
        return training.advance(MODEL, TASK, CONFIG, key, evaluation, state)

    state, history = training.init(MODEL, TASK, CONFIG, key), []
    for _ in range(CONFIG.num_evaluations):
        state, metrics = advance(state)
        history.append(metrics)
    whole_state, whole = jax.jit(partial(sg.train, MODEL, TASK, CONFIG))(key)
    stacked = jax.tree.map(lambda *m: jnp.stack(m), *history)
    chex.assert_trees_all_close(stacked, whole, atol=1e-6)
    chex.assert_trees_all_close(state, whole_state, atol=1e-5)
    assert state.step == 40
    chex.clear_trace_counter()


def test_evaluation_set_depends_on_its_own_seed_alone():
    first = training.eval_batch(TASK, CONFIG)
    other = training.eval_batch(
        TASK, sg.TrainConfig(**{**vars(CONFIG), "eval_seed": 5})
    )
    chex.assert_trees_all_equal(first, training.eval_batch(TASK, CONFIG))
    assert not jnp.array_equal(first.inputs, other.inputs)


def test_metrics_are_those_of_the_parameters_on_the_evaluation_set():
    key = jax.random.key(4)
    evaluation = training.eval_batch(TASK, CONFIG)
    state = training.init(MODEL, TASK, CONFIG, key)
    state, metrics = training.advance(MODEL, TASK, CONFIG, key, evaluation, state)
    logits = MODEL.apply({"params": state.params}, evaluation.inputs)
    by_hand = TASK.metrics(logits, evaluation.targets)
    chex.assert_trees_all_close({k: metrics[k] for k in by_hand}, by_hand, atol=1e-6)


def test_best_parameters_are_those_of_the_highest_metric_and_then_the_lowest_loss():
    # Of several evaluations with 4 of 4 answers right the first, or the last.
    config = sg.TrainConfig(**{**vars(CONFIG), "eval_every": 1, "eval_size": 4})
    state, metrics = jax.jit(partial(sg.train, MODEL, TASK, config))(jax.random.key(6))
    best = int(np.lexsort((metrics["loss"], -metrics["accuracy"]))[0])
    assert best != metrics["accuracy"].argmax()
    assert state.best.step == best + 1
    assert state.best.value == metrics["accuracy"][best]
    evaluation = training.eval_batch(TASK, config)
    logits = MODEL.apply({"params": state.best.params}, evaluation.inputs)
    accuracy = TASK.metrics(logits, evaluation.targets)["accuracy"]
    chex.assert_trees_all_close(accuracy, state.best.value)


def test_a_run_that_diverges_keeps_its_last_good_parameters():
    config = sg.TrainConfig(**{**vars(CONFIG), "learning_rate": 1e38})
    state, metrics = jax.jit(partial(sg.train, MODEL, TASK, config))(jax.random.key(7))
    assert jnp.isnan(metrics["accuracy"][-1])
    assert not jnp.isnan(state.best.value)
    chex.assert_tree_all_finite(state.best.params)


def test_dropout_differs_between_updates_and_seeds():
    model = sg.SequenceClassifier("gru", 6, 4, 4, num_layers=2, dropout_rate=0.5)
    plain = sg.SequenceClassifier("gru", 6, 4, 4, num_layers=2)
    key = jax.random.key(8)
    state = training.init(model, TASK, CONFIG, key)
    losses = [
        training.update(m, TASK, CONFIG, key, state)[1]["loss"] for m in (model, plain)
    ]
    assert losses[0] != losses[1]


def test_arms_share_data_and_what_of_the_initialisation_fits():
    key = jax.random.key(9)
    states = [
        training.init(sg.SequenceClassifier(cell, 6, 4, 4), TASK, CONFIG, key)
        for cell in ("lstm", "gru", "peephole")
    ]
    for other in states[1:]:
        for name in ("embedding", "head"):
            chex.assert_trees_all_equal(states[0].params[name], other.params[name])


def test_a_metric_that_the_task_does_not_have_raises():
    config = sg.TrainConfig(**{**vars(CONFIG), "metric": "speed"})
    with pytest.raises(
        ValueError, match="is unknown: the task declares accuracy, loss"
    ):
        sg.train(MODEL, TASK, config, jax.random.key(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"updates": 0}, "updates must be 1 or more, not 0"),
        ({"batch_size": -1}, "batch_size must be 1 or more, not -1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, not 0.0"),
        ({"max_norm": -2.0}, "max_norm must be above 0, not -2.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, not nan"),
        ({"schedule": "steps"}, "schedule must be constant, linear or cosine"),
        ({"optimizer": "magic"}, "optimizer must be adam, adamw, sgd"),
        ({"warmup": 500}, r"warmup must be below updates \(500\)"),
        ({"updates": 25}, r"updates \(25\) must be a multiple of eval_every \(10\)"),
    ],
)
def test_impossible_settings_raise(change, message):
    with pytest.raises(ValueError, match=message):
        sg.TrainConfig(**change)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Sum:
    """What is the sum of three numbers? Judged by an error, of which less is better."""

    def sample(self, key, batch_size):
        numbers = jax.random.normal(key, (batch_size, 3))
        return Batch(numbers, numbers.sum(1))

    @property
    def metrics(self):
        return sg.Metrics(_errors, ERRORS)


def _errors(outputs, targets):
    errors = outputs[:, 0] - targets
    return {"mae": jnp.abs(errors).mean(), "loss": (errors**2).mean()}


ERRORS = (
    sg.Metric("mae", "mean absolute error", unit="minutes", better="lower"),
    sg.Metric("loss", "squared error", better="lower"),
)


class Linear(nn.Module):
    """A linear layer that can be trained as a network is."""

    @nn.compact
    def __call__(self, inputs, *, train=False):
        return nn.Dense(1)(inputs)


@pytest.mark.parametrize("metric", [None, "mae", "loss"])
def test_of_a_metric_that_is_better_when_lower_the_lowest_is_the_best(metric):
    # The worst parameters kept as the best, of all metrics but one named loss.
    config = sg.TrainConfig(
        updates=30,
        eval_every=1,
        batch_size=4,
        eval_size=16,
        learning_rate=0.5,
        metric=metric,
    )
    run = jax.jit(partial(sg.train, Linear(), Sum(), config))
    state, metrics = run(jax.random.key(0))
    values = metrics[metric or "mae"]
    assert state.best.step == values.argmin() + 1
    assert state.best.step not in (1, 30)


def test_any_optax_transformation_takes_the_place_of_the_configured_one():
    key = jax.random.key(0)
    tx = optax.sgd(0.5)
    state = training.init(MODEL, TASK, CONFIG, key, tx)
    after, _ = training.update(MODEL, TASK, CONFIG, key, state, tx)
    same = sg.TrainConfig(
        **{**vars(CONFIG), "optimizer": "sgd", "learning_rate": 0.5, "max_norm": 1e9}
    )
    by_name, _ = training.update(
        MODEL, TASK, same, key, training.init(MODEL, TASK, same, key)
    )
    chex.assert_trees_all_close(after.params, by_name.params, atol=1e-6)
    assert not np.array_equal(after.params["embedding"], state.params["embedding"])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_named_optimizer_lowers_the_loss(name):
    rate = 0.02 if name in ("adam", "adamw", "rmsprop") else 0.2
    config = sg.TrainConfig(
        updates=40, eval_every=20, batch_size=16, eval_size=64, optimizer=name
    )
    config = replace(config, learning_rate=rate)
    _, metrics = jax.jit(partial(sg.train, Linear(), Sum(), config))(jax.random.key(1))
    assert metrics["loss"][1] < metrics["loss"][0]


class Normalised(nn.Module):
    """A network that keeps running means beside its parameters."""

    @nn.compact
    def __call__(self, inputs, *, train=False):
        return nn.Dense(1)(nn.BatchNorm(use_running_average=not train)(inputs))


def test_a_module_that_keeps_more_than_parameters_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="Normalised keeps batch_stats beside its"):
        sg.train_seeds(Normalised(), Sum(), CONFIG, [0])


def test_a_module_of_another_kind_is_refused_in_a_sentence():
    module = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"a flax.linen.Module, not Linear: NNX"):
        sg.train_seeds(module, Sum(), CONFIG, [0])


@dataclass(frozen=True)
class Unregistered:
    """A task that JAX has not been told of."""

    metrics = classification_metrics

    def sample(self, key, batch_size):
        return TASK.sample(key, batch_size)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Frozen:
    """A task that draws with NumPy: once, while it is compiled."""

    metrics = classification_metrics

    def sample(self, key, batch_size):
        label_key, _ = jax.random.split(key)
        unused = jax.random.bits(label_key)
        tokens = np.random.default_rng(0).integers(0, 4, (batch_size, 3))
        return Batch(tokens + 0 * len(unused.shape), tokens[:, 0])


class SaysSo(Frozen):
    one_batch = True


def test_batches_that_ignore_their_key_are_refused_unless_it_is_said():
    # Training on one batch to the end: 100 % there, chance in the evaluation.
    with pytest.raises(ValueError, match="Frozen do not depend on their key"):
        sg.train_seeds(MODEL, Frozen(), CONFIG, [0])
    check_key(jax.tree_util.register_static(SaysSo)(), 4)
    check_key(TASK, 1)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_weight_decay_of_a_part_leaves_its_namesakes_alone(name):
    # layer_10 begins with layer_1; a part that is not there decayed nothing.
    params = {f"layer_{n}": {"kernel": jnp.ones(2)} for n in (1, 10)}
    config = sg.TrainConfig(weight_decay=0.5, decay_only="layer_1", optimizer=name)
    tx = training.optimizer(config)
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = tx.update(zeros, tx.init(params), params)
    assert np.all(updates["layer_1"]["kernel"] < 0)
    assert not np.any(updates["layer_10"]["kernel"])
    for wrong in ("layer_2", "layer", "layer_1.kern"):
        tx = training.optimizer(replace(config, decay_only=wrong))
        with pytest.raises(ValueError, match=f"{wrong}' is no part of the network: .*"):
            tx.init(params)
    with pytest.raises(ValueError, match="its parameters are embedding, head"):
        sg.train_seeds(MODEL, TASK, replace(config, decay_only="heads"), [0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 3}, "no class 3: the network's 3 outputs are .* 0 to 2"),
        ({"num_classes": 1}, "no class [123]: the network's 1 outputs"),
        ({"num_symbols": 2}, "no symbol 3: the table of 2 symbols has 0 to 1"),
    ],
)
def test_symbols_and_classes_out_of_range_are_refused_before_training(change, message):
    # A loss of NaN, or chance: what is out of range is clipped.
    with pytest.raises(ValueError, match=message):
        sg.train_seeds(MODEL.clone(**change), TASK, CONFIG, [0, 1])


def test_a_task_that_is_not_registered_gets_a_sentence_that_says_how():
    with pytest.raises(ValueError, match="Unregistered is not registered with JAX"):
        sg.train_seeds(MODEL, Unregistered(), CONFIG, [0])
