"""How seeds and batches are laid out where nobody says: by the clock, within reason."""

import itertools
import json
from dataclasses import replace

import chex
import jax
import pytest

import seqgraph_jax as sg
from seqgraph_jax.training import widths
from seqgraph_jax.training.iterate import advance_seeds, prepare
from seqgraph_jax.training.memory import TooLargeError
from seqgraph_jax.training.widths import Way, measure_layout

from .test_graph_tasks import MODEL as GCN
from .test_graph_tasks import TASK as NODES
from .test_training import CONFIG, MODEL, TASK, assert_same_bits

LONG = replace(CONFIG, updates=10**6, eval_every=10, threshold=None)
ARM = sg.Arm(MODEL, TASK, LONG)


@pytest.fixture
def clock(monkeypatch, tmp_path):
    """Seconds that a period is said to take, by way; what was tried, in order."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    tried, seconds = [], {}

    def period(arm, seeds, parts, way):
        tried.append(way)
        if seconds.get(way, 1.0) is None:
            raise TooLargeError(f"{way} does not fit")
        return seconds.get(way, 1.0), f"program of {way}"

    monkeypatch.setattr(widths, "_period", period)
    yield tried, seconds
    jax.config.update("jax_compilation_cache_dir", before)


def test_the_fastest_way_is_taken_and_kept(clock, tmp_path):
    tried, seconds = clock
    seconds[Way(4)] = 0.5
    choice = measure_layout([ARM], range(32))
    assert tried == [Way(1), Way(4), Way(8)]  # 32 seeds on 4 devices; the rule's first
    assert (choice.way, choice.programs) == (Way(4), (f"program of {Way(4)}",))
    assert choice.words == (
        "1 s with 1 seed at a time, 0.5 s with 4 seeds at a time, "
        "1 s with 8 seeds at a time"
    )
    tried.clear()
    kept = measure_layout([ARM], range(100, 132))  # other seeds, the same program
    assert (kept.way, kept.programs, kept.words, tried) == (Way(4), (None,), "", [])
    measure_layout([ARM._replace(config=replace(LONG, batch_size=4))], range(32))
    assert tried  # another program
    (tmp_path / widths.CACHE).write_text('{"damaged')
    assert measure_layout([ARM], range(32)).way == Way(4)


@pytest.mark.parametrize("damage", [[4], ["1", [None, 1]], {}, 4])
def test_what_is_no_choice_is_measured_again(clock, tmp_path, damage):
    tried, _ = clock
    measure_layout([ARM], range(32))
    file = tmp_path / widths.CACHE
    [name] = json.loads(file.read_text())
    file.write_text(json.dumps({name: damage}))
    tried.clear()
    assert measure_layout([ARM], range(32)).way == Way(1)
    assert tried


def test_trials_are_worth_their_time(clock, monkeypatch):
    # Compiling for longer than training takes; a tenth of what will not be trained.
    tried, _ = clock
    monkeypatch.setattr(widths.time, "perf_counter", iter(range(100)).__next__)
    for periods, config in (
        (10, replace(LONG, updates=100)),
        (40, replace(LONG, updates=400, threshold=0.9, early_stop=True)),
        (40, replace(LONG, updates=400, patience=2)),
    ):
        assert config.num_evaluations == periods
        measure_layout([ARM._replace(config=config)], range(32), share=0.09)
        assert tried.pop() == Way(1)
        assert not tried
    # A trial takes a second: one is a tenth of ten seconds, two are not.
    config = replace(LONG, updates=100)
    measure_layout([ARM._replace(config=config)], range(32), share=0.1)
    assert tried == [Way(1), Way(4)]


def test_what_does_not_fit_is_left_out(clock):
    tried, seconds = clock
    seconds |= {Way(1): None, Way(8): None}
    assert measure_layout([ARM], range(32)).way == Way(4)
    assert len(tried) == 3
    seconds[Way(4)] = None
    with pytest.raises(ValueError, match=r"Way.width=1.* does not fit"):
        measure_layout([ARM._replace(config=replace(LONG, batch_size=4))], range(32))


def test_batches_are_parted_over_devices_that_seeds_leave(clock):
    tried, seconds = clock

    def chosen(arm, num_seeds, **asked):
        tried.clear()
        return measure_layout([arm], range(num_seeds), mesh=None, **asked).way

    two, four = (Way(1, sg.MeshShape(batch=n)) for n in (2, 4))
    seconds[Way(1)] = 2.0
    assert (chosen(ARM, 1), tried) == (four, [four, Way(1)])
    assert (chosen(ARM, 2, width=1), tried) == (two, [two, Way(1)])
    odd = ARM._replace(config=replace(LONG, batch_size=6))
    assert (chosen(odd, 1), tried) == (
        Way(1, sg.MeshShape(batch=3)),
        [tried[0], Way(1)],
    )
    for arm, num_seeds in ((ARM, 4), (sg.Arm(GCN, NODES, LONG), 1)):
        assert (chosen(arm, num_seeds), tried) == (Way(1), [])


def test_what_is_given_is_not_measured(clock):
    tried, _ = clock
    mesh = sg.MeshShape(2, 2)
    assert measure_layout([ARM], [0], width=3, mesh=mesh).way == Way(3, mesh)
    assert not tried
    with pytest.raises(ValueError, match="batches of NodeTask cannot be parted"):
        measure_layout([sg.Arm(GCN, NODES, LONG)], [0], width=1, mesh=mesh)


def test_a_program_that_was_timed_trains_as_any_other(monkeypatch):
    # Lanes of the trial that are left in it; the program of another way.
    monkeypatch.setattr(widths, "_file", lambda: None)  # nothing is kept
    arm = ARM._replace(config=replace(CONFIG, updates=6, eval_every=3, threshold=None))
    seeds = range(8)
    with monkeypatch.context() as patch:  # every call takes a second
        patch.setattr(widths.time, "perf_counter", itertools.count().__next__)
        choice = measure_layout([arm], seeds, share=float("inf"))
    # Eight seeds on four devices: two groups of one each, or one of two.
    assert choice.seconds == {Way(1): 2, Way(2): 1}
    assert choice.way == Way(2)
    [program] = choice.programs
    *_, run = advance_seeds(prepare(arm, seeds, choice.way.width, program=program))
    plain = sg.train_seeds(arm.model, arm.task, arm.config, seeds, choice.way.width)
    assert_same_bits(run.state, plain.state)
    chex.assert_trees_all_equal(run.metrics, plain.metrics)
