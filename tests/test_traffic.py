"""The traffic experiment: networks that forecast, what a run writes, bad input."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

import seqgraph_jax as sg
from experiments import traffic
from seqgraph_jax.data import draw_signals
from seqgraph_jax.tasks.judged import judge
from seqgraph_jax.tasks.parts import Protocol, part_signals
from seqgraph_jax.tasks.signals import signal_task

from .commands import SMOKE, smoke_run
from .sentences import assert_one_sentence

#: Programs are compiled once.
pytestmark = pytest.mark.xdist_group("traffic")
FILES = {"config.json", "metrics.jsonl", "results.json", "report.html", "state"}
PICTURES = ("forecasts", "horizons", "gains")
FILES |= {f"{name}.{kind}" for name in PICTURES for kind in ("png", "svg")}


def drawn_params(model, inputs, seed=0):
    """Parameters that are not zero anywhere."""
    params = model.init(jax.random.key(seed), inputs)
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    drawn = [
        0.3 * jax.random.normal(key, leaf.shape)
        for key, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)


@pytest.fixture(scope="module")
def windows():
    """Five windows of four nodes, with what is known of the steps ahead."""
    data = draw_signals(4, 120)
    parted = part_signals(data, Protocol(history=3, horizon=2))
    return data, signal_task(parted, season=True).windows(np.arange(30, 35))


def test_windows_go_through_in_groups(windows):
    # The last group's padding among the outputs, or windows in another order.
    inputs = windows[1]
    model = sg.FORECASTERS["gru"](4, 2, embedding=2)
    params = drawn_params(model, inputs)
    whole = model.apply(params, inputs)
    assert whole.shape == (5, 2, 4)
    for chunk in (1, 2):
        parts = model.clone(chunk=chunk).apply(params, inputs)
        np.testing.assert_allclose(parts, whole, atol=1e-6)


@pytest.mark.parametrize("name", ["gcn", "gru-then-graph", "dcrnn"])
def test_networks_hear_their_senders_at_all_times_and_nobody_else(name, windows):
    # Nodes mixed by reshaping, edges the wrong way, a first step that is not read.
    data, inputs = windows
    model = sg.FORECASTERS[name](8, 2)
    params = drawn_params(model, inputs)
    apply = jax.jit(
        lambda signals: model.apply(params, inputs._replace(signals=signals))
    )
    before = apply(inputs.signals)
    hears = np.eye(4) + data.mean_of_senders().toarray()
    if name == "dcrnn":  # diffuses in both directions
        hears = hears + hears.T
    reach = np.linalg.matrix_power(hears, 1 if name == "gru-then-graph" else 2) > 0
    for node in range(4):
        changed = apply(inputs.signals.at[:, 0, node, 0].add(1.0))
        moved = (np.abs(changed - before) > 1e-6).any((0, 1))
        if name == "dcrnn":  # three steps of two hops reach everybody here
            assert moved.all()
        else:
            np.testing.assert_array_equal(moved, reach[:, node])


def test_the_untrained_network_says_that_all_stays(windows):
    inputs = windows[1]
    last = inputs.signals[:, -1, :, 0]
    for residual in (True, False):
        model = sg.FORECASTERS["gru"](4, 2, residual=residual)
        outputs, _ = model.init_with_output(jax.random.key(0), inputs)
        expected = np.stack([last, last], 1) * residual
        np.testing.assert_array_equal(outputs, expected)


def test_what_was_planted_in_the_graph_is_found():
    # A graph that does not reach the network: both arms would be as good.
    data = draw_signals(8, 400)
    parted = part_signals(data, Protocol(history=2, horizon=1))
    config = sg.TrainConfig(
        updates=120, eval_every=40, batch_size=32, eval_size=64, learning_rate=0.03
    )
    errors = []
    task = signal_task(parted)
    for graph in (data, data.without_edges()):
        of_arm = replace(task, graph=signal_task(parted, graph_of=graph).graph)
        run = sg.train_seeds(sg.FORECASTERS["dcrnn"](8, 1), of_arm, config, [0, 1])
        said = [run.predict(of_arm.windows(o), batch_size=None) for o in parted.origins]
        found = judge(parted, *(of_arm.in_units(one) for one in said[1:]), share=0.9)
        errors.append(found.errors.at().rmse)
        np.testing.assert_allclose(
            found.val.mae, run.at("mae", run.best), rtol=1e-4
        )  # the evaluation of training, and sums in NumPy
    assert (errors[0] < 0.9 * errors[1]).all(), errors


def test_a_smoke_run_writes_and_prints_everything():
    out, printed = smoke_run("traffic")
    assert {path.name for path in out.iterdir()} == FILES
    results = json.loads((out / "results.json").read_text())
    networks = ["gru", "dcrnn", "dcrnn, random graph", "dcrnn, no edges"]
    assert list(results["arms"])[:5] == [*networks, "persistence"]
    assert results["config"]["protocol"]["history"] == 3
    metrics = results["arms"]["dcrnn"]["metrics"]
    assert {"test_mae_3", "test_rmse_all", "test_mape_all"} <= set(metrics)
    same = results["arms"]["persistence"]["metrics"]["test_mae_all"]["per_seed"]
    assert same[0] == same[1]
    html = (out / "report.html").read_text()
    for words in (
        "What the graph adds",
        "over blocks of 24 test windows",
        "validation errors",
    ):
        assert words in html
    assert "is best in validation of those without a network" in printed
    assert "dcrnn, no edges" in printed


def run(*argv):
    return traffic.main([str(word) for word in argv])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--arms", "gru", "gru"), "--arms takes one or more different networks"),
        (
            ("--dataset", "metr-la"),
            "neither one of los_loop, chickenpox",
        ),
        (("--history", "60"), "the val part has 48 steps, and a window takes 60"),
        (("--horizon", "0"), "--horizon must be 1 or more, not 0"),
        (("--protocol", "stgcn"), "Expected one of ('dcrnn', 'tgcn', 'pygt')"),
    ],
)
def test_bad_input_ends_with_one_sentence(argv, message, tmp_path, capsys):
    assert run(*argv, *SMOKE, "--out", tmp_path / "run") == 2
    assert_one_sentence(capsys, message)
    assert not (tmp_path / "run").exists()


def test_defaults_of_another_data_set():
    config = traffic.preset(replace(traffic.Config(), dataset="chickenpox"))
    assert (config.protocol, config.residual, config.loss) == ("pygt", False, "mse")
    assert traffic.preset(traffic.Config()) == traffic.Config()
