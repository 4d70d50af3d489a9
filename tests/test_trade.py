"""Equal updates and equal time: what is read off a run, with numbers by hand."""

from dataclasses import replace

import numpy as np
import pytest

import seqgraph_jax as sg
from seqgraph_jax.reports.paired import compare
from seqgraph_jax.reports.plots import trade as plots
from seqgraph_jax.reports.trade import Trade, answer, best_of_first, size_table
from seqgraph_jax.training.sizes import match_params

VAL = sg.training.Metric("val", better="higher")
TEST = sg.training.Metric("test", unit="m", better="higher")
CONFIG = sg.TrainConfig(updates=40, eval_every=10, metric="val", early_stop=False)


def run_of(val, loss, test, **changes):
    """A run with the numbers of its evaluations, ``[S, K]``."""
    metrics = {"val": np.array(val), "loss": np.array(loss), "test": np.array(test)}
    rows = len(val)
    run = sg.Run(
        model=sg.recurrent.PaddedReader("gru", 2, 2),
        config=CONFIG,
        seeds=tuple(range(rows)),
        metrics=metrics,
        records={"val": VAL, "test": TEST, "loss": sg.training.LOSS},
        judged_by="val",
        last_update=np.full(rows, 40),
        best_update=np.zeros(rows, int),
        num_params=7,
    )
    return replace(run, **changes)


FAST = run_of(
    [[1.0, 3, 3, 2], [5, 4, np.nan, 4]],
    [[9.0, 2, 1, 0], [1, 1, 1, 1]],
    [[10.0, 20, 30, 40], [50, 60, 70, 80]],
)
SLOW = run_of(
    [[1.0, 2, 3, 4], [1, 2, 3, 4]],
    np.ones((2, 4)),
    [[11.0, 12, 13, 14], [21, 22, 23, 24]],
)
TRADE = Trade(
    {"fast": FAST, "slow": SLOW},
    {"fast": np.array([1.0, 2, 3]), "slow": np.array([4.0, 4, 3])},
    "test",
)


def test_the_best_of_the_first_evaluations():
    # Ties by loss, the first of equals, nothing looked at beyond, NaN never chosen.
    found = [best_of_first(FAST, number).tolist() for number in range(5)]
    assert found == [[-1, -1], [0, 0], [1, 0], [2, 0], [2, 0]]


def test_it_is_the_best_that_training_found():
    task = sg.tasks.RandomCombinations(size=4)
    model = sg.SequenceClassifier("rnn", 8, 4, 4)
    config = sg.TrainConfig(updates=60, eval_every=10, batch_size=8, eval_size=16)
    run = sg.train_seeds(model, task, config, seeds=[0, 1, 2])
    np.testing.assert_array_equal(best_of_first(run, len(run.updates)), run.best)


def test_equal_time_is_what_the_fastest_takes_for_all():
    # A budget of the wrong arm, means in place of medians, an evaluation too many.
    assert TRADE.budget == 40 * 2
    assert (TRADE.updates("fast"), TRADE.updates("slow")) == (40, 20)
    assert [TRADE.evaluations("slow", t) for t in (False, True)] == [4, 2]
    assert TRADE.ratio("slow", "fast") == (2, 1, 4)  # of rounds, not of medians
    found = TRADE.judged()["slow"]
    assert found.values("test").tolist() == [14, 24]
    assert found.values("test_in_equal_time").tolist() == [12, 22]
    assert TRADE.curve("fast").tolist() == [[10, 20, 30, 30], [50, 50, 50, 50]]


def test_the_best_arm_is_chosen_in_validation():
    # By the test metric, or by evaluations that equal time does not reach.
    names, seconds = ["fast", "slow"], TRADE.seconds | {"fast": np.ones(3)}
    assert TRADE.first(names, equal_time=False) == "fast"  # both 4: the first named
    best = replace(TRADE, runs={"fast": SLOW, "slow": FAST}, seconds=seconds)
    assert best.first(names, equal_time=True) == "fast"
    assert best.evaluations("slow", True) == 1
    never = replace(TRADE, seconds=seconds | {"slow": np.full(3, 50.0)})
    assert never.first(names[::-1], equal_time=True) == "fast"
    kinds = {"fast": "graph", "slow": "recurrent"}
    assert TRADE.pairs(kinds, ("recurrent", "graph")) == [["slow", "fast"]] * 2


def test_folds_are_means():
    run = replace(FAST, seeds=(0,), parts=sg.Parts("fold", (0, 1)))
    judged = replace(TRADE, runs={"fast": run}).judged()["fast"]
    assert judged.values("test").tolist() == [(30 + 50) / 2]


def test_outperforms_is_said_of_a_claim_alone():
    close = {"gcn": [1.0, 2, 3, 4, 5, 6], "gru": [2.0, 1, 4, 3, 6, 5]}
    [pair] = compare(close, TEST)
    assert answer(pair, TEST) == (
        "gcn and gru are not told apart; a difference of more than "
        f"{np.abs(pair.ci95).max():.3g} m is excluded."
    )
    clear = {"gcn": [1.0, 2, 3, 4, 5, 6], "gru": [3.0, 4, 6, 6, 8, 8]}
    [pair] = compare(clear, TEST)
    assert answer(pair, TEST) == "gru outperforms gcn."
    lower = replace(TEST, better="lower")
    assert answer(pair, lower) == "gcn outperforms gru."
    [pair] = compare({name: values[:3] for name, values in clear.items()}, TEST)
    assert answer(pair, TEST) == "gcn and gru are not told apart."


def test_pictures_and_tables_hold_every_arm():
    arms = {**TRADE.judged(), "line": sg.Measured({TEST: [1.0, 1.0]}, 3)}
    table = TRADE.table(arms)
    assert [row[:3] for row in table.rows] == [
        ["fast", "7", "40 ± 14.14"],
        ["slow", "7", "19 ± 7.071"],
        ["line", "3", "1 ± 0"],
    ]
    assert table.rows[1][4:] == ["4e+03", "2.00 (1.00 to 4.00)", "20", "0.0"]
    figure = plots.plot_trade(TRADE)
    lines = figure.axes[1].get_lines()
    assert any(np.array_equal(line.get_xdata(), 2 * SLOW.updates * 2) for line in lines)
    seconds = {"gru": np.array([1.0, 2]), "rounds": np.array([1.0, 4])}
    [axes] = plots.plot_slopes([8, 16], seconds).axes
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert words == ["gru: T to the 1.00", "rounds: T to the 2.00"]
    shares = {"gcn-2": np.array([[1.0, 0.5], [0.5, 0.5]])}
    panels = {"run": ([2, 4], shares)}
    assert len(plots.plot_by_size(panels, "accuracy", {"gcn-2": 3.0}, 0.5).axes) == 1
    rows = size_table([2, 4], shares, {"gcn-2": 5}, "").rows
    assert rows == [["gcn-2", "5", "75", "50"]]


def test_nested_deviations_are_those_that_were_put_in():
    # Variance of the draws left in that of the seeds, or divided by n.
    rng = np.random.default_rng(0)
    values = rng.normal(0, 3, (4000, 1)) + rng.normal(0, 2, (4000, 3))
    found = sg.statistics.nested_sds(values)
    np.testing.assert_allclose(found, [3, 2], rtol=0.05)
    assert sg.statistics.nested_sds(np.array([[0.0, 1], [1, 0]]))[0] == 0


def test_networks_are_matched_in_their_number_of_parameters():
    # A width one off, a count that is no polynomial of degree two.
    task = sg.tasks.BaumSweetStrings(3)

    def make(width):
        return sg.graph.PathClassifier("gin", width, 3, 2, 2)

    def counted(w):  # embedding, two layers of two products, a norm, the head
        return 3 * w + 2 * (1 + 2 * w * w + 2 * w) + 2 * w + 2 * w + 2

    between = (counted(11) + counted(12)) // 2 - 3
    assert match_params(make, task, between, within=0.2).features == 11
    with pytest.raises(ValueError, match=r"the nearest has .* at a width of 1"):
        match_params(make, task, 3)
