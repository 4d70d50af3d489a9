"""The gradients experiment: flow, borders, delays, what it writes, bad input."""

import json

import jax
import numpy as np
import pytest

import seqgraph_jax as sg
from experiments import gradients
from seqgraph_jax.analysis import growth, network_flows, random_rnns
from seqgraph_jax.reports.flows import judge_delays
from seqgraph_jax.reports.plots.flows import plot_flows
from seqgraph_jax.tasks.delays import Adding, Copy
from seqgraph_jax.training.metrics import ACCURACY, LOSS

from .commands import SMOKE, smoke_run
from .sentences import assert_one_sentence

#: Programs are compiled once.
pytestmark = pytest.mark.xdist_group("gradients")
FILES = {"config.json", "metrics.jsonl", "results.json", "report.html", "state"}
PICTURES = (
    *("flow", "radius", "forget", "delays", "converged", "gates", "gates_number"),
    "gates_text",
)


def run(*argv):
    """Exit code of the experiment in this process."""
    return gradients.main([str(word) for word in argv])


def test_smoke_run_writes_what_it_promises():
    out, printed = smoke_run("gradients")
    assert "Verdict: The gradients written out as sums of products" in printed
    names = {f"{name}.{kind}" for name in PICTURES for kind in ("png", "svg")}
    assert {path.name for path in out.iterdir()} == FILES | names
    record = json.loads((out / "results.json").read_text())
    assert record["schema"] == 1
    assert list(record["arms"])[:2] == ["rnn", "lstm"]
    lstm = record["arms"]["lstm"]["metrics"]
    assert {"longest_delay", "solved_at_2", "accuracy_at_4"} <= set(lstm)
    assert record["gates"].keys() == {"baum_sweet", "text"}
    rows = [json.loads(row) for row in (out / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * 2 * 2 * 2  # cells, seeds, delays, evaluations
    assert {(row["seed"], row["delay"]) for row in rows} == {
        (seed, delay) for seed in (0, 500) for delay in (2, 4)
    }
    last = [r for r in rows if (r["arm"], r["seed"], r["delay"]) == ("lstm", 500, 4)]
    assert lstm["accuracy_at_4"]["per_seed"][1] == last[-1]["accuracy"]


@pytest.mark.parametrize("task", [Copy(delay=0), Adding(delay=2)])
def test_flow_belongs_to_the_network_that_is_trained(task):
    # Another cell's bias, a head on the wrong step. Of two steps the first starts from
    # a zero state, so the second one's part is the whole gradient.
    model = gradients.network("lstm", gradients.Config(features=3), task)
    seeds = (4, 9)
    [params] = gradients.initial_params({"lstm": [model]}, task, seeds)["lstm"]
    [found] = network_flows(model, task, [(params, seeds)])
    for s, seed in enumerate(seeds):
        mine = jax.tree.map(lambda leaf, s=s: leaf[s], params)
        key = jax.random.fold_in(jax.random.key(seed), 17)
        batch = task.sample(key, 1)

        def loss(params, batch=batch):
            outputs = model.apply({"params": params}, batch.inputs)
            return task.metrics(outputs, batch.targets)["loss"]

        [cell] = sg.analysis.layers.cell_params(jax.grad(loss)(mine))
        whole = np.linalg.norm(cell["recurrent_kernel"])
        np.testing.assert_allclose(found.parts[s], [whole], rtol=1e-5)
    assert found.norms.shape == (2, 2)


def test_groups_of_networks_are_measured_as_if_alone():
    # A group that reads another one's sequences, or rows cut at another place.
    task = Adding(delay=5)
    model = gradients.network("rnn", gradients.Config(features=3), task)
    a, b = (
        gradients.initial_params({"rnn": [model]}, task, seeds)["rnn"][0]
        for seeds in ((4, 9), (7,))
    )
    first, second = network_flows(model, task, [(a, (4, 9)), (b, (7,))])
    for found, alone in (
        (first, network_flows(model, task, [(a, (4, 9))])[0]),
        (second, network_flows(model, task, [(b, (7,))])[0]),
    ):
        np.testing.assert_allclose(found.norms, alone.norms, rtol=1e-12)
        np.testing.assert_allclose(found.parts, alone.parts, rtol=1e-12)


def test_clipping_scales_every_part_alike():
    # Clipping by value, which would turn the gradient.
    clip = random_rnns.clipping((0.5, 3.0), (0, 1), length=12, max_norm=0.25)
    np.testing.assert_allclose(clip.after, np.minimum(clip.before, 0.25), 1e-5)
    np.testing.assert_allclose(clip.cosine, 1, atol=1e-5)
    np.testing.assert_allclose(clip.late_before, clip.late_after, rtol=1e-5)


def test_no_flow_is_above_its_bound():
    # The slope of another unit, the transposed kernel.
    found = random_rnns.sweep((0.5, 1.0, 2.0), (0, 1, 2), length=15)
    assert found.norms.shape == (3, 3, 15)
    assert (found.norms <= found.bounds * (1 + 1e-12)).all()
    assert (found.norms[:, 0] < found.norms[:, 2]).all()


def test_what_single_precision_takes_for_nothing_is_measured():
    # Gradients cut off at 1e-45, whose factor per step would be 0.
    found = random_rnns.sweep((0.1,), (0, 1), length=60)
    assert (found.norms[..., -1] < 1e-60).all()
    assert ((found.factors > 0.05) & (found.factors <= 0.1)).all()


def test_a_seed_that_diverged_does_not_spoil_the_picture():
    # Limits of an axis that are no numbers.
    flow = np.array([[0.5, 0.25], [np.nan, np.nan], [np.inf, np.inf]])
    figure = plot_flows({"trained": {"rnn": (flow, flow), "gru": (flow[1:2],) * 2}})
    for axes in figure.axes:
        np.testing.assert_allclose(axes.get_ylim()[1], 1.5)


def test_growth_and_border_by_hand():
    # T steps instead of T - 1; the border beside the crossing.
    powers = 0.5 ** np.arange(1, 8)
    np.testing.assert_allclose(growth(np.stack([powers, 3 * powers])), 0.5)
    radii = np.array([1.0, 2.0, 4.0])
    factors = np.array([[0.5, 2.0, 4.0], [0.5, 0.5, 0.9], [0.25, 0.5, 2.0]])
    np.testing.assert_allclose(random_rnns.border(radii, factors), [1.5, np.nan, 3.0])


def test_the_longest_delay_by_hand():
    # Delays and seeds exchanged; a longer delay that counts without the shorter one.
    config = sg.TrainConfig(
        updates=40, eval_every=10, threshold=0.99, hold_for=2, early_stop=False
    )
    no, late, yes = [0.1] * 4, [0.1, 0.1, 0.1, 1.0], [0.1, 0.1, 1.0, 1.0]
    accuracy = np.array([yes, no, yes, yes, yes, late])  # [seed, delay] = [2, 3]
    run = sg.Run(
        model=gradients.network("rnn", gradients.Config(), Copy(30)),
        config=config,
        seeds=(0, 500),
        metrics={"loss": np.ones((6, 4)), "accuracy": accuracy},
        records={"accuracy": ACCURACY, "loss": LOSS},
        judged_by="accuracy",
        last_update=np.full(6, 40),
        best_update=np.full(6, 40),
        parts=sg.Parts("delay", (10, 20, 30)),
    )
    judged = judge_delays(run)
    assert judged.final["longest_delay"].tolist() == [10, 20]
    assert judged.final["solved_at_30"].tolist() == [1, 0]
    assert judged.final["accuracy_at_20"].tolist() == [0.1, 1]
    assert judged.metrics["loss"].shape == (2, 4)
    assert judged.value_names[:3] == ("loss", "accuracy", "longest_delay")
    assert "updates_to_converge" not in judged.value_names
    assert judged.record("longest_delay").sign == 1
    rows = {
        name: cells for name, *cells in sg.reports.flows.delay_table({"": run}).rows
    }
    assert rows["delay 10"] == ["2 of 2 (16–100 %)"]
    assert rows["delay 20"] == ["1 of 2 (1–99 %)"]
    with pytest.raises(ValueError, match="no parts"):
        judge_delays(judged)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--cells", "lstm", "elman"], "invalid choice 'elman'"),
        (["--cells", "lstm", "lstm"], "--cells takes one or more different values"),
        (["--task", "sorting"], "invalid choice 'sorting'"),
        (["--delays", "1", "4"], "--delays must be 2 or more, not 1"),
        (
            ["--delays", "2", "8", "--flow-delay", "4"],
            "--flow-delay 4 is none of --delays",
        ),
        (["--radii", "0"], "--radii must be above 0, not 0.0"),
        (["--radii", "inf"], "--radii takes finite numbers"),
        (["--length", "1"], "--length must be 2 or more, not 1"),
        (["--features", "0"], "--features must be 1 or more, not 0"),
        (["--updates", "30"], "must be a multiple of eval_every (20)"),
        (["--learning-rate", "-1"], "--learning-rate must be above 0, not -1.0"),
        (["--seeds", "5000000000"], "seed 5000000000 is outside 0 to 2**32 - 1"),
    ],
)
def test_bad_input_ends_with_one_sentence(tmp_path, capsys, argv, message):
    out = tmp_path / "run"
    assert run(*SMOKE, "--out", out, *argv) == 2
    assert_one_sentence(capsys, message)
    assert not out.exists()
