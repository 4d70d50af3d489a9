"""The gates experiment: what it counts, and what it writes."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import gates as experiment
from experiments.harness.command import UsageError
from seqgraph_jax.analysis.gates import Gates, answers, layer_gates, most_varied
from seqgraph_jax.recurrent.networks import SequenceClassifier
from seqgraph_jax.tasks.binary import baum_sweet
from seqgraph_jax.text.networks import CharLM

from .test_seeds import made_run

#: Programs are compiled once.
pytestmark = pytest.mark.xdist_group("gradients")
SMOKE = ["--smoke", "--no-compilation-cache"]


def test_the_answer_is_settled_by_the_first_odd_block():
    # Off by one block or by one bit; a block at the end, which may still grow.
    assert experiment.settled("10011000101") == 8
    digits = f"{experiment.NUMBER:b}"
    labels, settled = experiment.labels_of(digits), experiment.settled(digits)
    assert not labels[settled:].any()
    assert labels[settled - 4] == 1  # before the three zeros
    assert labels[-1] == baum_sweet(experiment.NUMBER) == 0


def test_layers_are_those_of_the_network(key):
    # Layers in another order, or the second one fed with the cell state.
    model = CharLM("lstm", features=6, num_symbols=5, embedding_features=4)
    tokens = jax.random.randint(key, (2, 7), 0, 5)
    params = model.init(key, tokens)["params"]
    carry, logits = model.apply({"params": params}, tokens)
    layers = layer_gates(params, tokens)
    for gates, last in zip(layers, carry.layers, strict=True):
        np.testing.assert_allclose(gates.cell[:, -1], last.cell, atol=1e-6)
    head = params["head"]
    again = layers[-1].hidden @ head["kernel"] + head["bias"][None, None]
    np.testing.assert_allclose(again, logits, atol=1e-5)


def test_answers_are_those_of_the_network(key):
    # Answers of another step, of the cell state, or without the head's bias.
    model = SequenceClassifier("lstm", features=6, num_symbols=3, num_classes=2)
    tokens = jax.random.randint(key, (4, 7), 0, 3)
    params = model.init(key, tokens)["params"]
    params["head"]["bias"] = jnp.array([0.5, -1.0])
    [gates] = layer_gates(params, tokens)
    expected = jax.nn.softmax(model.apply({"params": params}, tokens))
    found = answers(params, gates.hidden[:, -1])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_networks_that_diverged_are_not_looked_into():
    # Gates that are NaN, whose answers argmax takes for label 0.
    run = made_run([[0.5, 0.6], [0.5, float("nan")], [0.4, 0.4]], updates=20)
    assert experiment.trained_seeds(run) == [0, 2]
    lost = made_run([[0.5, float("nan")]] * 2, updates=20)
    with pytest.raises(UsageError, match="every seed diverged"):
        experiment.trained_seeds(lost)


def test_the_most_varied_units_come_first():
    # The largest values in the place of those that change, or units in reverse.
    cell = np.array([[9.0, 0.0, -1.0, 0.0], [9.0, 1.0, 5.0, 0.1]])
    gates = Gates(*[jnp.zeros((2, 4))] * 4, cell, jnp.zeros((2, 4)))
    assert most_varied(gates, 3).tolist() == [2, 1, 3]


def test_smoke_run_writes_what_it_promises(tmp_path, capsys):
    # A picture without its file, a share that is no share.
    out = tmp_path / "run"
    assert experiment.main([*SMOKE, "--out", str(out)]) == 0
    names = ("gates", "gates_number", "gates_text")
    files = {f"{name}.{end}" for name in names for end in ("png", "svg")}
    files |= {"config.json", "metrics.jsonl", "results.json", "report.html", "state"}
    assert {path.name for path in out.iterdir()} == files
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 3
    printed = capsys.readouterr().out
    assert "Verdict: Left- and right-saturated on Baum-Sweet numbers" in printed
    results = json.loads((out / "results.json").read_text())
    assert results["seeds"] == [0, 500]
    assert list(results["arms"]) == ["lstm"]
    record = results["gates"]
    assert record.keys() == {"baum_sweet", "text"}
    of_numbers, of_text = record["baum_sweet"], record["text"]
    assert len(of_numbers["answers"]) == len(of_numbers["labels"]) == 20
    shares = of_numbers["saturation"], *of_text["saturation"].values()
    for of_gates, num_seeds in zip(shares, (2, 1, 1), strict=True):
        for sides in of_gates.values():
            both = np.array([sides["left"], sides["right"]])
            assert both.shape == (2, num_seeds)
            assert (both >= 0).all()
            assert (both.sum(0) <= 1).all()
    assert [unit["layer"] for unit in of_text["units"]] == [1] * 4 + [2] * 4
