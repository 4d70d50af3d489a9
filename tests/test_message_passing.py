"""The experiment on messages as a user runs it, and what it says of its numbers."""

import json
from dataclasses import replace

import numpy as np
import pytest

from experiments import message_passing
from experiments.message_passing import ROUNDING, TO_FROM
from seqgraph_jax.analysis import receptive_fields as fields
from seqgraph_jax.analysis import twins
from seqgraph_jax.reports import messages

from .commands import SMOKE, smoke_run
from .sentences import assert_one_sentence

#: Programs are compiled once.
pytestmark = pytest.mark.xdist_group("message_passing")


def run(*argv):
    """Exit code of the experiment in this process."""
    return message_passing.main([str(word) for word in argv])


@pytest.fixture(scope="module")
def measured():
    config = message_passing.Config(features=8, max_depth=6)
    return message_passing.measure(config, range(40))


def test_smoke_run_writes_what_it_promises():
    out, printed = smoke_run("message_passing")
    assert printed.splitlines()[-1] == f"Report: {out / 'report.html'}"
    pictures = {f"{n}.{end}" for n in report_pictures() for end in ("png", "svg")}
    assert {path.name for path in out.iterdir()} == {
        *("config.json", "results.json", "report.html"),
        *pictures,
    }
    record = json.loads((out / "results.json").read_text())
    assert record["schema"] == 1
    assert record["seeds"] == [0, 500]
    assert record["config"]["self_weights"] == [2.0, 4.0]
    assert {"setup_s", "total_s"} <= set(record["timing"])
    influence = record["arms"]["signal, gcn"]["metrics"]
    assert influence["influence_of_C_on_E_depth_3"]["per_seed"] == [0.0] * 2
    assert min(influence["influence_of_C_on_E_depth_4"]["per_seed"]) > 0
    assert len(record["comparisons"]) == 2 * 10
    html = (out / "report.html").read_text()
    assert html.count("<svg") == 3
    # The verdicts are those printed.
    assert "C-D-B-A-E (50.0%) and C-D-F-A-E (50.0%)" in printed
    assert "C-D-B-A-E (50.0%) and C-D-F-A-E (50.0%)" in html


def report_pictures():
    return ("signal", "twins", "smoothing")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--feature", "3"], "--features"),
        (["--features", "x"], "'x'"),
        (["--features", "1"], "--features must be 2 or more, not 1"),
        (["--max-depth", "0"], "--max-depth must be 2 or more, not 0"),
        (["--self-weights", "0"], "--self-weights must be above 0, not 0.0"),
        (["--self-weights", "1", "2"], "takes different numbers other than 1"),
        (["--self-weights", "nan"], "--self-weights must be above 0, not nan"),
        (["--self-weights", "inf"], "takes different numbers other than 1 and inf"),
        (["--self-weights", "2", "2"], "--self-weights takes different numbers"),
        (["--self-weights"], "--self-weights"),
        (["--seeds", "1", "1"], "seed 1 is given more than once"),
        (["--num-seeds", "0"], "--num-seeds must be 1 or more, not 0"),
        (["--seeds", "1", "--num-seeds", "2"], "cannot be given together"),
    ],
)
def test_bad_input_ends_with_one_sentence(tmp_path, capsys, argv, message):
    out = tmp_path / "run"
    assert run(*SMOKE, "--out", out, *argv) == 2
    assert_one_sentence(capsys, message)
    assert not out.exists()


def test_a_directory_that_holds_something_is_left_alone(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert run(*SMOKE, "--out", tmp_path) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_one_seed_and_shallow_networks(tmp_path, capsys):
    # An interval of one seed, a signal that does not arrive.
    out = tmp_path / "run"
    argv = ["--num-seeds", "1", "--max-depth", "2", "--self-weights", "0.5"]
    assert run(*SMOKE, "--out", out, *argv) == 0
    printed = capsys.readouterr().out.replace(str(out), "")
    assert "2 updates bring nothing from C to E" in printed
    assert "nan" not in printed
    json.loads((out / "results.json").read_text())


def test_who_is_told_apart(measured):
    # Twins that are none; GIN's epsilon not set; identical features that differ.
    different = measured.separations[twins.DIFFERENT]
    for arm in ("gcn, self-weight 1", "gin, epsilon 0"):
        assert different[arm].max() < ROUNDING
    for arm in ("gcn, self-weight 2", "gcn, self-weight 4", "gin, epsilon 1"):
        assert different[arm][:, 0].min() > 1e-9
        # Deep in a narrow network, ReLUs may give both nothing but zeros.
        assert np.median(different[arm][:, -1]) > 1e-9
    assert (different["gatv2"][:, 0] > 1e-9).all()
    for arm, v in measured.separations[twins.IDENTICAL].items():
        assert v.max() < ROUNDING, arm
    helped = measured.separations[twins.RANDOM]
    assert helped["gcn, self-weight 1"].max() < ROUNDING
    assert helped["gcn, self-weight 2"][:, 0].min() > 1e-9


def test_attention_tells_apart_where_its_kink_divides(measured):
    # Logits of other nodes than the twins' neighbours, or of one twin alone.
    apart = measured.separations[twins.DIFFERENT]["gat"][:, 0] > ROUNDING
    np.testing.assert_array_equal(apart, measured.divided)
    assert 0 < apart.sum() < 40  # both happen


def test_separation_by_hand():
    # The norm of the sum, or of one alone; 0 by 0.
    h = np.array([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    assert twins.separation(h, 0, 1) == pytest.approx(np.sqrt(10) / 2)
    assert twins.separation(h, 2, 3) == 0


def test_smoothing_obeys_the_bound_and_mixes_only_with_edges(measured):
    for found in measured.smoothing.values():
        assert found.bound_shares.max() <= 1
        assert 0 < found.rate < 1
        ends = {arm: d[:, -1].mean() for arm, d in found.distances.items()}
        assert ends["gcn"] < ends["mlp"]
        assert max(d.max() for d in found.distances.values()) <= 1


def first_arrival(signal):
    """As the report has it: -1 for never."""
    return int(fields.receptive_field((signal != 0).any(0))[TO_FROM])


def test_sentences_follow_the_numbers(measured):
    # A verdict that is there before the run.
    said = " ".join(message_passing.twin_verdicts(measured))
    assert "nothing tells them apart" in said
    changed = {name: dict(arms) for name, arms in measured.separations.items()}
    changed[twins.IDENTICAL]["gat"] = np.full_like(
        measured.divided[:, None], 0.5, float
    )
    changed = replace(measured, separations=changed)
    said = " ".join(message_passing.twin_verdicts(changed))
    assert "something tells them apart" in said
    early = measured.signal.copy()
    early[0, 2, *TO_FROM] = 1.0
    assert first_arrival(measured.signal) == 4
    assert first_arrival(early) == 2
    walks = messages.walk_table([], message_passing.SIX)
    said = message_passing.signal_verdicts(early, 2, walks)
    assert "not in all 40" in said[0]
    assert "in 39 of 40 seeds" in said[1]
    club = measured.smoothing["karate club"]
    broken = replace(club, bound_shares=3 * np.ones_like(club.bound_shares))
    pairs = message_passing.compare("karate club", club.distances)
    said = message_passing.smoothing_verdicts("karate club", broken, pairs)
    assert "is broken" in said[0]
    assert len(said) == 1 + 4  # gcn against each of the others


def test_distances_of_a_few_depths_are_in_the_record(measured):
    # The last depth twice where it is a power of two, or not at all.
    arms = message_passing.arms_of(measured)
    names = arms["six nodes, gcn"].value_names
    depths = [f"distance_depth_{k}" for k in (0, 1, 2, 4, 6)]
    assert names == (*depths, "decay_per_layer")
    last = measured.smoothing["six nodes"].distances["gcn"][:, 6]
    np.testing.assert_array_equal(arms["six nodes, gcn"].values(depths[-1]), last)
