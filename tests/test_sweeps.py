"""Sweeps: a point is its own run; choices, ties, budgets; what cannot be swept."""

import itertools
import json
from dataclasses import replace

import jax
import numpy as np
import pytest

import seqgraph_jax as sg
from experiments import gcn_vs_gat, lstm_vs_gru
from experiments.harness import Report
from experiments.harness.vary import Vary, varied, with_varied
from seqgraph_jax.reports import sweeps, tuning
from seqgraph_jax.reports.variance import crossed_values
from seqgraph_jax.training.checkpoints import CheckpointError
from seqgraph_jax.training.keys import run_keys, varied_keys
from seqgraph_jax.training.metrics import UPDATES_TO_CONVERGE, Metric

from .commands import smoke_run
from .sentences import assert_one_sentence
from .test_seeds import NAN, made_run
from .test_training import CONFIG, TASK, assert_same_bits

LSTM = sg.SequenceClassifier("lstm", 6, 4, 4, cell_options={"forget_bias": 0.0})
#: The quick settings converge before all updates are done, the slow ones do not.
SHORT = replace(CONFIG, updates=120, threshold=0.8, hold_for=2)
BIAS = "cell_options.forget_bias"
GRID = {"learning_rate": (1e-3, 0.03), BIAS: (0.0, 2.0)}
SEEDS = [4, 7]
VARIED = sg.SequenceClassifier("rnn", 6, 4, 4)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    return folder, sg.sweep(LSTM, TASK, SHORT, SEEDS, GRID, 1, directory=folder)


def test_a_point_is_the_run_with_its_settings(swept):
    # Settings that reach another point's lanes, or none; rows of a neighbour; a point
    # that is trained for as long as the slowest one.
    _, found = swept
    assert found.num_programs == 1
    lengths = set()
    for k in (1, 2):
        arm, run = found.arms[k], found.runs[k]
        assert arm.config.learning_rate == found.points[k]["learning_rate"]
        assert arm.model.cell_options["forget_bias"] == found.points[k][BIAS]
        alone = sg.train_seeds(arm.model, TASK, arm.config, SEEDS, 1)
        for name, values in run.metrics.items():
            np.testing.assert_allclose(values, alone.metrics[name], atol=1e-5)
        for name in ("last_update", "best_update", "updates_to_converge", "best"):
            np.testing.assert_array_equal(getattr(run, name), getattr(alone, name))
        assert run.seeds == alone.seeds
        lengths.add(len(run.updates))
    assert len(lengths) == 2


@pytest.mark.usefixtures("optimized")
def test_a_point_has_the_bits_of_its_run():
    config = replace(SHORT, updates=10, threshold=None)
    grid = {"learning_rate": (1e-2, 0.1)}
    run = sg.sweep(VARIED, TASK, config, SEEDS, grid, 1).runs[1]
    config = replace(config, learning_rate=0.1)
    alone = sg.train_seeds(VARIED, TASK, config, SEEDS, width=1)
    assert_same_bits(run.metrics, alone.metrics)


def test_a_finished_sweep_is_read_and_no_other_is_taken_for_it(swept):
    folder, found = swept
    again = sg.sweep(LSTM, TASK, SHORT, SEEDS, GRID, 1, directory=folder)
    for one, two in zip(found.runs, again.runs, strict=True):
        assert_same_bits(one.metrics, two.metrics)
        np.testing.assert_array_equal(one.best_update, two.best_update)
    other = {**GRID, "learning_rate": (1e-2, 0.2)}
    with pytest.raises(CheckpointError, match="numbers"):
        sg.sweep(LSTM, TASK, SHORT, SEEDS, other, 1, directory=folder)


def test_what_changes_nothing_is_said_and_trained_once():
    gru = sg.SequenceClassifier("gru", 6, 4, 4)
    points = sg.training.points_of({"learning_rate": (0.1, 0.2), "forget_bias": (0, 1)})
    arms = [
        sg.Arm(gru, TASK, replace(CONFIG, learning_rate=point["learning_rate"]))
        for point in points
    ]
    assert sg.training.sweeps.idle_settings(points, arms) == ("forget_bias",)
    [program] = sg.training.arms.programs_of(arms)
    assert program.members == ((0, 1), (2, 3))
    assert program.arm.numbers == {"learning_rate": (0.1, 0.2)}


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"speed": (1, 2)}, "there is no setting 'speed': of training there are"),
        ({"cell.forget_bias": (1, 2)}, "there is no setting"),
        ({"max_norm": (1.0, -1.0)}, "max_norm must be above 0"),
        ({"max_norm": (1.0,)}, "max_norm takes two or more different values"),
        ({"max_norm": (1.0, 1.0)}, "max_norm takes two or more different values"),
    ],
)
def test_impossible_grids_raise(grid, message):
    with pytest.raises(ValueError, match=message):
        sg.sweep(LSTM, TASK, CONFIG, SEEDS, grid)


def test_what_an_optimiser_of_ones_own_decides_is_refused():
    import optax

    arm = sg.Arm(LSTM, TASK, CONFIG, optax.sgd(0.1))
    with pytest.raises(ValueError, match="learning_rate changes nothing, since tx"):
        sg.training.with_setting(arm, "learning_rate", 0.2)


def made_sweep(*runs):
    """A sweep over learning rates whose points have these runs."""
    points = [{"learning_rate": 0.1 * (k + 1)} for k in range(len(runs))]
    arms = [sg.Arm(LSTM, TASK, replace(CONFIG, **point)) for point in points]
    return sg.training.Sweep(tuple(points), tuple(arms), runs, 1)


def test_times_are_counted_up_to_what_every_seed_was_watched_for():
    # The mean of those alone that converged; a horizon for each setting.
    slow = made_run([[0.5, 0.5, 0.5, 0.5, 1.0, 1.0], [0.5] * 6])  # 50, after 50
    quick = made_run([[1.0, 1.0, 1.0], [0.5, 1.0, 1.0]])  # 10, 20
    broken = made_run([[1.0, 1.0, 1.0], [0.5, NAN, NAN]])  # 10, never
    tuned = sg.reports.tune({"a": made_sweep(slow, quick, broken)})
    assert tuned.values["a"].tolist() == [[50, 50], [10, 20], [10, 50]]
    assert tuned.missing["a"].tolist() == [[False] * 2, [False] * 2, [False, True]]
    assert tuned.order("a").tolist() == [1, 0, 2]
    assert tuned.metric.better == "lower"


def test_the_best_evaluation_counts_where_nothing_converges():
    one = made_run([[0.5, 0.9, 0.6], [0.7, 0.1, 0.2]], threshold=None)
    one = replace(one, best_update=np.array([20, 10]))
    two = made_run([[0.8], [NAN]], threshold=None)
    tuned = sg.reports.tune({"a": made_sweep(one, two), "b": made_sweep(two, two)})
    np.testing.assert_allclose(tuned.values["a"], [[0.9, 0.7], [0.8, 0.7]])
    assert tuned.metric.words_for_it == "best accuracy"
    assert tuned.order("b").tolist() == [0, 1]  # equal ones as they stand
    nothing = made_run([[NAN], [NAN]], threshold=None)
    with pytest.raises(ValueError, match="every seed diverged with every setting"):
        sg.reports.tune({"a": made_sweep(nothing, nothing)})
    with pytest.raises(ValueError, match="the same points and seeds"):
        sg.reports.tune({"a": made_sweep(one, two), "b": made_sweep(one)})


ERROR = Metric("error", unit="mm", better="lower")


def made_tuned(metric=ERROR, **values):
    values = {arm: np.array(rows, float) for arm, rows in values.items()}
    shape = next(iter(values.values())).shape
    return sweeps.Tuned(
        metric=metric,
        points=tuple({"rate": 0.1 * (k + 1)} for k in range(shape[0])),
        seeds=tuple(range(shape[1])),
        values=values,
        missing={arm: np.zeros(shape, bool) for arm in values},
        idle=dict.fromkeys(values, ()),
        distinct=dict.fromkeys(values, tuple(range(shape[0]))),
    )


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_expected_best_is_the_mean_over_all_subsets(better):
    # Draws that are put back, weights the wrong way round, the worst for the best.
    rows = np.random.default_rng(0).normal(size=(5, 3))
    tuned = made_tuned(replace(ERROR, better=better), a=rows)
    best = max if better == "higher" else min
    for n, found in enumerate(tuned.expected("a"), 1):
        subsets = itertools.combinations(range(5), n)
        chosen = [best(subset, key=lambda p: rows[p].mean()) for subset in subsets]
        np.testing.assert_allclose(found, rows[chosen].mean(0))
    np.testing.assert_allclose(tuned.expected("a")[-1], rows[tuned.chosen("a")])


def test_who_is_ahead_is_said_by_the_number_of_trials():
    # a is the same everywhere, b better with one setting of three: b from two on.
    noise = np.linspace(0, 0.1, 6)
    a, b = np.tile(5 + noise, (3, 1)), np.array([9, 9, 0.0])[:, None] + noise[::-1]
    tuned = made_tuned(a=a, b=b)
    assert tuning.leaders(tuned, "a", "b")[0] == [1, -1, -1]
    [said] = tuning.said_of_budgets(tuned)
    assert said == (
        "How much is tuned decides who is ahead on the tuning seeds: a is ahead of b "
        "at 1 trial, b is ahead of a from 2 trials on; 6 seeds tell that from chance "
        "at each of these (p < 0.05)."
    )
    [said] = tuning.said_of_budgets(made_tuned(a=a[:, :3], b=a[:, :3] + 1))
    assert said == (
        "However much is tuned, a is ahead of b on the tuning seeds (1 to 3 trials); 3 "
        "tuning seeds cannot tell that from chance."
    )


def test_a_choice_is_said_with_its_flatness_and_its_end_of_the_grid():
    noise = np.linspace(0, 0.4, 6)
    tuned = made_tuned(a=[9 + noise, 2 + noise[::-1], 1 + noise])
    assert tuned.told_apart("a") == [True, True]
    assert tuning.at_an_end(tuned, "a") == [("rate", "largest")]
    [row] = sweeps.chosen_table(tuned).rows
    assert row[1] == "rate 0.3"
    assert row[-3:] == ["rate 0.2", "1 mm", "0 of 2"]
    flat = made_tuned(a=[1 + noise, 1 + noise[::-1], 9 + noise])
    assert flat.told_apart("a") == [False, True]
    assert tuning.at_an_end(flat, "a") == []  # no better than the next
    record = sweeps.sweep_record(tuned)
    assert record["grid"] == {"rate": [point["rate"] for point in tuned.points]}
    assert np.shape(record["expected_best"]["a"]["ci95"]) == (3, 2)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--sweep speed=1,2", "there is no setting 'speed', only length, hidden"),
        ("--sweep learning_rate=1e-3,fast", "learning_rate: 'fast' is no number"),
        ("--sweep hidden=8,8.5", "hidden: '8.5' is no whole number"),
        ("--sweep hidden=8", "--sweep hidden takes two or more different values"),
        ("--sweep hidden", "--sweep takes NAME=VALUE,VALUE, not 'hidden'"),
        ("--sweep hidden=8,0", "--hidden must be 1 or more, not 0"),
        ("--sweep optimizer=adam,best", "'best' is not adam, adamw, sgd"),
        ("--sweep max_norm=1,2 --sweep max-norm=3,4", "max_norm is given twice"),
        ("--sweep length=3,4", "--sweep length changes the task"),
        ("--sweep forget_bias=0,1 --cells rnn gru", "forget_bias changes nothing"),
        ("--sweep hidden=8,9 --tune-seeds 3 500", "--tune-seeds 500 is among the"),
        ("--sweep hidden=8,9 --tune-seeds 3 3", "--tune-seeds: seed 3 is given more"),
        ("--tune-seeds 3", "--tune-seeds needs --sweep"),
    ],
)
def test_what_cannot_be_swept_is_one_sentence(argv, message, capsys, tmp_path):
    out = tmp_path / "run"
    argv = ["--smoke", *argv.split(), "--out", str(out)]
    assert lstm_vs_gru.main(argv) == 2
    assert_one_sentence(capsys, message)
    assert not out.exists()


def test_settings_of_a_model_are_swept_by_their_flags(capsys, tmp_path):
    argv = ["--smoke", "--sweep", "metric=loss,val_accuracy"]
    assert gcn_vs_gat.main([*argv, "--out", str(tmp_path / "run")]) == 2
    assert_one_sentence(capsys, "there is no setting 'metric', only features")


@pytest.mark.xdist_group("lstm_vs_gru")
def test_arms_are_judged_on_other_seeds_at_their_best_setting():
    grid = (
        "--sweep",
        "learning_rate=3e-3,1e-2,3e-2,1e-1",
        "--sweep",
        "forget_bias=0,1",
    )
    out, printed = smoke_run("lstm_vs_gru", *grid)
    results = json.loads((out / "results.json").read_text())
    found = results["sweep"]
    assert found["grid"]["forget_bias"] == [0, 1]
    assert found["metric"] == UPDATES_TO_CONVERGE.name
    assert not set(found["tune_seeds"]) & set(results["seeds"])
    assert np.shape(found["values"]["gru"]) == (8, 2)
    [step] = (out / "state/lstm").glob("20")
    settings = sg.checkpoints.load(step.parent).config
    for name, value in found["chosen"]["lstm"].items():
        assert settings[name] == value
    for name, seeds in (("sweep", found["tune_seeds"]), ("metrics", results["seeds"])):
        rows = map(json.loads, (out / f"{name}.jsonl").read_text().splitlines())
        assert {row["seed"] for row in rows} == set(seeds)
    assert {"sweep.png", "trials.png"} <= {path.name for path in out.iterdir()}
    assert "Every arm has the best of 8 settings" in printed


def test_seeds_differ_in_what_varies_alone():
    # A key that is taken for another purpose; a first seed that is not the plain one's;
    # crossed sources exchanged; a part that is a fold of a key and no seed.
    config = replace(CONFIG, updates=10, threshold=None)
    plain = sg.train_seeds(VARIED, TASK, config, SEEDS)
    first = plain.metrics["train_loss"][0]
    loss = {}
    for vary in (("init",), ("data",)):
        run = sg.train_seeds(VARIED, TASK, config, SEEDS, vary=vary)
        loss[vary] = run.metrics["train_loss"]
        np.testing.assert_allclose(loss[vary][0], first, atol=1e-6)
        assert abs(loss[vary][1] - first) > 1e-4
    assert abs(loss["init",][1] - loss["data",][1]) > 1e-4
    run = sg.train_seeds(VARIED, TASK, config, SEEDS, vary=["init"], cross=["data"])
    crossed, same = run.by_seed(run.metrics["train_loss"]), run.diagonal()
    assert run.parts == sg.Parts("data", tuple(SEEDS))
    np.testing.assert_allclose(crossed[:, 0], loss["init",], atol=1e-6)
    np.testing.assert_allclose(crossed[0], loss["data",], atol=1e-6)
    np.testing.assert_allclose(
        same.metrics["train_loss"], plain.metrics["train_loss"], atol=1e-6
    )
    for one, other in zip(
        jax.tree.leaves(same.params()), jax.tree.leaves(plain.params()), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-5)
    at_best = {sg.Metric("accuracy"): same.at("accuracy", same.best)}
    shown = dict.fromkeys(("one", "two"), same.adding(at_best))
    values = crossed_values({"one": run, "two": run}, shown, "accuracy")
    assert list(values) == ["one", "two", "one - two"]
    assert (values["one"].ravel() == run.at("accuracy", run.best)).all()
    assert not crossed_values({"one": run}, {"one": plain}, "weather")
    keys = run_keys(SEEDS, sg.Parts("fold", (0, 1)))
    found = varied_keys(keys, ("data",), 2)
    assert (found.data == keys).all()
    assert (found.init == keys[np.array([0, 1, 0, 1])]).all()
    assert (found.dropout == found.init).all()


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        (("dropout",), "copies of the first: nothing here depends on dropout"),
        ((), "copies of the first: nothing here is varied"),
        (("init", "weather"), "vary takes init, data or dropout, not 'weather'"),
    ],
)
def test_seeds_that_would_be_copies_are_refused(vary, message):
    with pytest.raises(ValueError, match=message):
        sg.train_seeds(VARIED, TASK, CONFIG, SEEDS, vary=vary)


def test_a_split_may_be_all_that_varies_or_that_of_the_first_seed():
    config = gcn_vs_gat.Config(dataset="karate", models=("gcn",), random_splits=True)
    config = replace(config, per_class=4, num_val=5, num_test=5, dropout=0.0)

    def splits(*vary):
        study = varied(gcn_vs_gat.build, config, (0, 500), Vary(vary))
        assert study.arms["gcn"].vary == tuple(v for v in vary if v != "split")
        return [task.split.test_mask for task in study.arms["gcn"].task]

    one, two = splits("split")
    assert (one != two).any()
    assert (np.array(splits("init")) == one).all()
    with pytest.raises(ValueError, match="nothing here depends on data or dropout"):
        splits("data", "dropout")
    report = with_varied(Report({}, [], []), Vary(("split",)), (0, 500))
    assert report.notes == [
        "Seeds differ in splits of the data alone; initial values, batches and dropout "
        "are those of seed 0 for all, and intervals and tests say nothing of what "
        "others would give."
    ]
