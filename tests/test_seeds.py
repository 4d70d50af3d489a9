"""Many seeds: same bits in any company, resume, convergence, divergence."""

from dataclasses import dataclass, replace
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqgraph_jax as sg
from seqgraph_jax.reports.results import metric_rows
from seqgraph_jax.training.apply import common_beginnings
from seqgraph_jax.training.arms import Arm
from seqgraph_jax.training.iterate import abstract_state, iterate_seeds
from seqgraph_jax.training.keys import run_keys
from seqgraph_jax.training.metrics import records_of

from .test_training import CONFIG, MODEL, TASK, assert_same_bits


def row(run, seed):
    """A seed's metrics and state."""
    s = run.seeds.index(seed)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[s], (run.metrics, run.state))


@pytest.mark.smoke
def test_many_seeds_equal_single_runs():
    run = sg.train_seeds(MODEL, TASK, CONFIG, [3, 1, 4], width=2)
    for seed in (3, 1, 4):
        state, metrics = jax.jit(partial(sg.train, MODEL, TASK, CONFIG))(
            jax.random.key(seed)
        )
        chex.assert_trees_all_close(row(run, seed), (metrics, state), atol=1e-5)


def test_seeds_differ_from_each_other():
    run = sg.train_seeds(MODEL, TASK, CONFIG, [0, 1, 500])
    assert len(set(run.metrics["loss"][:, -1].tolist())) == 3


@pytest.mark.parametrize("after", [1, 3])
def test_resuming_equals_never_stopping_bit_for_bit(after):
    seeds = [2, 7, 1]
    whole = sg.train_seeds(MODEL, TASK, CONFIG, seeds, width=1)
    partial_run = None
    for k, run in enumerate(
        iterate_seeds(MODEL, TASK, CONFIG, seeds, width=1), start=1
    ):
        if k == after:
            partial_run = run.on_host()
            break
    *_, resumed = iterate_seeds(MODEL, TASK, CONFIG, seeds, 1, resume=partial_run)
    assert_same_bits(resumed.metrics, whole.metrics)
    assert_same_bits(resumed.state, whole.state)


def test_resuming_a_finished_run_does_nothing():
    run = sg.train_seeds(MODEL, TASK, CONFIG, [2, 7])
    assert list(iterate_seeds(MODEL, TASK, CONFIG, [2, 7], resume=run)) == []


def test_abstract_state_is_the_state_of_a_run():
    run = sg.train_seeds(MODEL, TASK, CONFIG, [2, 7, 9])
    like = abstract_state(Arm(MODEL, TASK, CONFIG), 3)
    chex.assert_trees_all_equal_shapes_and_dtypes(like, run.state)


def made_run(accuracy, **config):
    """A run with these accuracies ``[S, K]`` and a loss of 1, the first one best."""
    accuracy = np.array(accuracy, np.float32)
    settings = {"updates": 60, "eval_every": 10, "hold_for": 2, "threshold": 1.0}
    config = sg.TrainConfig(**{**settings, **config})
    num_seeds, num_evaluations = accuracy.shape
    return sg.Run(
        model=MODEL,
        config=config,
        seeds=tuple(range(num_seeds)),
        metrics={
            "accuracy": accuracy,
            "loss": np.where(np.isnan(accuracy), accuracy, 1),
        },
        records=records_of(TASK),
        judged_by="accuracy",
        last_update=np.full(num_seeds, 10 * num_evaluations),
        best_update=np.full(num_seeds, 10),
        num_params=1,
    )


NAN = float("nan")


def test_convergence_is_the_start_of_the_first_streak():
    run = made_run(
        [
            [0.5, 1.0, 0.9, 1.0, 1.0],  # one good evaluation is not a streak
            [1.0, 1.0, 0.9, 0.9, 0.9],  # the first streak counts
            [0.5, 0.9, 0.9, 0.9, 1.0],  # not long enough yet
            [0.5, 1.0, NAN, NAN, NAN],  # diverged
        ]
    )
    np.testing.assert_array_equal(run.updates_to_converge, [40, 10, NAN, NAN])
    assert run.diverged.tolist() == [False, False, False, True]
    assert not run.finished


def test_a_run_is_finished_once_every_seed_converged_or_diverged():
    curves = [[1.0, 1.0, 1.0], [0.5, NAN, NAN]]
    assert made_run(curves).finished
    assert not made_run(curves, early_stop=False).finished
    assert not made_run([*curves, [0.5, 0.5, 1.0]]).finished
    assert made_run([[0.1] * 6]).finished  # all updates done


def test_training_stops_early_and_no_earlier():
    config = replace(CONFIG, threshold=0.2, hold_for=2, updates=200)
    run = sg.train_seeds(MODEL, TASK, config, [0, 1])
    assert run.finished
    assert len(run.updates) < 20
    shorter = {k: m[:, :-1] for k, m in run.metrics.items()}
    shorter = replace(run, metrics=shorter, last_update=run.last_update - 10)
    assert not shorter.finished
    everything = sg.train_seeds(MODEL, TASK, replace(config, early_stop=False), [0, 1])
    assert len(everything.updates) == 20
    for name, metric in run.metrics.items():
        assert_same_bits(metric, everything.metrics[name][:, : len(run.updates)])


@jax.tree_util.register_static
@dataclass(frozen=True)
class Fragile:
    """A task whose loss is NaN for networks that prefer class 0, so for some seeds."""

    def sample(self, key, batch_size):
        return TASK.sample(key, batch_size)

    def metrics(self, logits, targets):
        metrics = TASK.metrics(logits, targets)
        factor = jnp.where(logits[:, 0].mean() > logits.mean(), jnp.nan, 1.0)
        return {name: factor * metric for name, metric in metrics.items()}


def test_a_diverging_seed_is_kept_counted_and_harms_no_other():
    config = replace(CONFIG, learning_rate=1e-4)
    seeds = list(range(6))
    run = sg.train_seeds(MODEL, Fragile(), config, seeds, width=2)
    broken = run.diverged
    assert 0 < broken.sum() < 6
    assert np.isnan(run.values("accuracy")[broken]).all()
    assert np.isnan(run.updates_to_converge[broken]).all()
    healthy = [seed for seed, b in zip(seeds, broken, strict=True) if not b]
    alone = sg.train_seeds(MODEL, Fragile(), config, healthy, width=2)
    for seed in healthy:
        assert_same_bits(row(run, seed), row(alone, seed))
    summary = sg.compare({"a": run, "b": run}, "accuracy").summaries["a"]
    assert summary.num_missing == broken.sum()


def test_apply_seeds_equals_each_network_alone():
    run = sg.train_seeds(MODEL, TASK, CONFIG, [2, 7, 9])
    inputs = TASK.sample(jax.random.key(0), 50).inputs
    outputs = sg.apply_seeds(MODEL, run.state.params, inputs, batch_size=16)
    for s in range(3):
        params = jax.tree.map(lambda leaf, s=s: leaf[s], run.state.params)
        alone = MODEL.apply({"params": params}, inputs)
        chex.assert_trees_all_close(outputs[s], np.asarray(alone), atol=1e-5)


@pytest.mark.parametrize(("cell", "causal"), [("lstm", True), ("bigru", False)])
def test_beginnings_that_sequences_have_in_common_are_read_once(cell, causal, key):
    # A state that belongs to another sequence; a network that has seen the end first.
    model = sg.SequenceClassifier(cell, 5, num_symbols=4, num_classes=3)
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 4, (24, 5))
    tokens[:, :3] = rng.integers(0, 4, (2, 3))[rng.integers(0, 2, 24)]
    params = jax.vmap(lambda k: model.init(k, tokens[:2])["params"])(
        jax.random.split(key, 2)
    )
    assert common_beginnings(tokens)[0] == 3
    assert model.causal == causal
    found = sg.apply_seeds(model, params, tokens, batch_size=7)
    one_by_one = jax.vmap(lambda p: model.apply({"params": p}, tokens))(params)
    chex.assert_trees_all_close(found, np.asarray(one_by_one), atol=1e-6)


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ([], "at least one"),
        ([3, 1, 3], "seed 3 is given more than once"),
        ([-1], "seed -1 is outside"),
        ([2**32], "seed 4294967296 is outside"),
    ],
)
def test_impossible_seeds_raise(seeds, message):
    with pytest.raises(ValueError, match=message):
        sg.train_seeds(MODEL, TASK, CONFIG, seeds)


def test_an_impossible_width_raises():
    with pytest.raises(ValueError, match="seed_width must be 1 or more"):
        sg.train_seeds(MODEL, TASK, CONFIG, [1], width=0)


def test_unknown_metric_is_answered_with_the_known_ones():
    run = made_run([[0.5]])
    with pytest.raises(KeyError, match="there are accuracy, loss, updates_to_converge"):
        run.values("speed")


def test_large_seeds_are_not_confused():
    keys = run_keys([0, 2**32 - 1])
    assert not jnp.array_equal(*(jax.random.key_data(k) for k in keys))


def test_a_part_has_the_same_key_however_many_others_there_are():
    # Numbers packed from seed and part, which meet those of other seeds and parts.
    few, many = (run_keys([3, 5], sg.Parts("fold", range(n))) for n in (2, 4))
    data = np.asarray(jax.random.key_data(many)).reshape(2, 4, 2)
    few = np.asarray(jax.random.key_data(few)).reshape(2, 2, 2)
    np.testing.assert_array_equal(few, data[:, :2])
    assert len({key.tobytes() for key in data.reshape(-1, 2)}) == 8


def test_parts_are_runs_of_their_own_with_a_seed_in_common():
    parts = sg.Parts("fold", (0, 1, 2))
    run = sg.train_seeds(MODEL, TASK, CONFIG, [3, 5], parts=parts)
    assert run.metrics["loss"].shape == (6, 4)
    assert len(set(run.metrics["loss"][:, -1].tolist())) == 6
    one = sg.train_seeds(MODEL, TASK, CONFIG, [5], parts=sg.Parts("fold", (0, 1)))
    assert_same_bits(run.metrics["loss"][3:5], one.metrics["loss"])
    means = run.over_parts()
    np.testing.assert_allclose(
        means.values("loss"), run.metrics["loss"][:, -1].reshape(2, 3).mean(1)
    )
    rows = list(metric_rows("a", run))
    assert rows[4] == {
        "arm": "a",
        "seed": 5,
        "fold": 1,
        "update": 10,
        **{name: m[4, 0].item() for name, m in run.metrics.items()},
    }


@jax.tree_util.register_static
@dataclass(frozen=True)
class Sized:
    """A task whose size is a static value."""

    size: int
    metrics = TASK.metrics

    def sample(self, key, batch_size):
        return TASK.sample(key, batch_size)


def test_tasks_that_are_not_one_program_are_refused():
    # Every seed trained on the first task, and evaluated on its own.
    with pytest.raises(ValueError, match="differ in more than the values"):
        sg.train_seeds(MODEL, [Sized(1), Sized(2)], CONFIG, [0, 1])


def test_a_run_is_shown_in_a_few_lines():
    run = sg.train_seeds(MODEL, TASK, CONFIG, [2, 7])
    lines = repr(run).splitlines()
    assert len(lines) < 10
    assert "accuracy, mean" in repr(run)
    assert "<table>" in run._repr_html_()


def test_predict_is_the_network_of_the_best_evaluation_or_of_the_last():
    config = replace(CONFIG, learning_rate=0.3, threshold=None)
    run = sg.train_seeds(MODEL, TASK, config, [2, 7, 9])
    assert (run.best < run.last).any()
    inputs = TASK.sample(jax.random.key(0), 20).inputs
    for best, params in ((True, run.state.best.params), (False, run.state.params)):
        outputs = run.predict(inputs, best=best)
        for s, seed in enumerate(run.seeds):
            mine = jax.tree.map(lambda leaf, s=s: leaf[s], params)
            expected = np.asarray(MODEL.apply({"params": mine}, inputs))
            chex.assert_trees_all_close(outputs[s], expected, atol=1e-5)
            one = run.predict(inputs, seed=seed, best=best)
            chex.assert_trees_all_close(one, expected, atol=1e-5)
    with pytest.raises(ValueError, match="has no seed 3: there are 2, 7, 9"):
        run.predict(inputs, seed=3)
