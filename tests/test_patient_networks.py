"""Networks of patients: their equations as loops, chunks, and nothing of later days."""

from functools import partial

import jax
import numpy as np
import pytest

import seqgraph_jax as sg
from seqgraph_jax.data.splits import Split
from seqgraph_jax.data.synthetic_records import draw_records
from seqgraph_jax.graph.events import RELATIONS, Room, event_graph
from seqgraph_jax.joined.patients import (
    VIEWS,
    PatientNetwork,
    equal_networks,
    num_parameters,
)
from seqgraph_jax.tasks.prescribing import prescription_tasks
from seqgraph_jax.tasks.prescriptions import day_pairs, foretold, rates
from seqgraph_jax.tasks.ranking import average_precision
from seqgraph_jax.tasks.stays import StayDays, and_without, pack_stays
from seqgraph_jax.training.loop import num_params

from .stay_cases import drawn_params, events_by_day, looped_outputs, some_stays


def outputs_of(data, packed, model, params):
    """Outputs of the record's days, ``[days, V]``."""
    outputs = jax.jit(model.apply)(params, packed.inputs)
    rows = np.arange(int(data.days[-1]))
    return outputs.reshape(-1, outputs.shape[-1])[packed.places(rows)]


@pytest.fixture(scope="module")
def case():
    data = some_stays()
    packed = pack_stays(data)
    model = PatientNetwork("joined", 4, packed.num_codes, head=5)
    params = drawn_params(model, packed.inputs)
    return data, packed, model, params, outputs_of(data, packed, model, params)


@pytest.mark.parametrize("view", VIEWS)
def test_a_network_equals_its_equations(view, case):
    # A state carried from stay to stay; a sum for a mean; edges of another relation.
    data, packed, model, params, found = case
    if view != "joined":
        model = model.clone(view=view)
        params = drawn_params(model, packed.inputs)
        found = outputs_of(data, packed, model, params)
    expected = looped_outputs(data, params, packed.num_codes, view)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert np.abs(expected).max() > 0.1


def test_chunks_and_what_fills_them_up_change_nothing(case):
    data, packed, model, params, found = case
    split = pack_stays(data, days_per_chunk=5)
    assert packed.inputs.first.shape == (1, 2, 5)
    assert split.inputs.first.shape == (2, 1, 5)
    again = outputs_of(data, split, model, params)
    np.testing.assert_allclose(again, found, atol=1e-5)


def test_the_order_of_stays_changes_nothing(case):
    _, _, model, params, found = case
    swap = {0: 2, 1: 0, 2: 1}  # the new place of each stay
    moved = some_stays(num_days=(1, 4, 3), patient=(0, 1, 0))
    data = some_stays()
    order = np.argsort([swap[s] for s in range(3)])
    columns = {
        "orders": ("stay", "drug", "first", "last"),
        "flags": ("stay", "code", "day"),
    }
    for name, fields in columns.items():
        record, old = getattr(moved, name), getattr(data, name)
        for field in fields:
            value = getattr(old, field)
            value = np.vectorize(swap.get)(value) if field == "stay" else value
            object.__setattr__(record, field, value.astype(np.int32))
    object.__setattr__(moved, "known", data.known[order])
    again = outputs_of(moved, pack_stays(moved), model, params)
    parts = np.split(found, data.days[1:-1])
    expected = np.concatenate([parts[s] for s in order])
    np.testing.assert_allclose(again, expected, atol=1e-5)


@pytest.mark.parametrize("view", VIEWS)
def test_later_days_change_no_bit_of_what_was_said_before(view):
    # Edges back in time; a state that reads tomorrow; a mean over all of a stay.
    rng = np.random.default_rng(0)
    row, code = np.repeat(np.arange(7), 3), rng.integers(0, 9, 21)
    next_row = np.array([1, 2, 3, -1, 5, 6, -1, -1])
    first = np.array([[True, False, False, False], [True, False, False, False]])
    room = Room(24, 12, 8)
    model = PatientNetwork(view, 4, num_codes=(5, 4), head=3)

    def inputs(code):
        graph = event_graph(row, code, next_row, 9, room)
        return StayDays(first, graph.codes, graph)

    apply = jax.jit(partial(model.apply, method="of_chunk"))
    params = drawn_params(model, inputs(code), method="of_chunk")
    before = apply(params, inputs(code))
    for day in (0, 1, 2):
        later = (row > day) & (row < 4)
        after = apply(params, inputs(np.where(later, (code + 1) % 9, code)))
        kept = np.r_[0 : day + 1, 4:7]
        np.testing.assert_array_equal(after[kept], before[kept])
        assert (np.abs(after - before)[day + 1 : 4].max(1) > 0).all()


def test_untrained_networks_add_nothing_and_codes_never_seen_are_alike(case):
    _, packed, model, _, _ = case
    params = jax.jit(model.init)(jax.random.key(0), packed.inputs)
    assert not np.abs(jax.jit(model.apply)(params, packed.inputs)).any()
    assert not np.abs(params["params"]["codes"]).any()
    assert not np.abs(params["params"]["events"]).any()


def test_networks_have_equally_many_parameters_by_their_formula(case):
    _, packed, *_ = case
    num_codes = (518, 169, 373, 5)  # of the demo
    networks = equal_networks(8, num_codes)
    sizes = {
        view: num_parameters(view, model.features, num_codes)
        for view, model in networks.items()
    }
    for size in sizes.values():
        assert abs(size / sizes["joined"] - 1) < 0.05, sizes
    for view in VIEWS:
        model = PatientNetwork(view, 4, packed.num_codes, head=5)
        shapes = jax.eval_shape(model.init, jax.random.key(0), packed.inputs)
        known = num_parameters(view, 4, packed.num_codes, head=5)
        assert num_params(shapes["params"]) == known


def test_a_relation_is_taken_away_from_a_chunk_as_a_whole(case):
    # Another relation taken away, or one that still reaches a day.
    data, packed, model, params, found = case
    outputs = model.apply(params, and_without(packed))
    assert len(outputs) == 1 + len(RELATIONS)
    rows = packed.places(np.arange(8))
    np.testing.assert_allclose(outputs[0][rows], found, atol=1e-6)
    single = packed.places(data.days[[1]])  # the stay of one day
    for r, name in enumerate(RELATIONS, start=1):
        changed = np.abs(outputs[r] - outputs[0])
        alone = changed[single].max()
        assert (alone > 1e-6) == (name in ("to_hub", "from_hub")), name
        assert changed[rows].max() > 1e-6


def test_mixed_events_are_as_many_of_every_kind():
    data = draw_records(20, num_items=4)
    plain, mixed = pack_stays(data), pack_stays(data, shuffle=0)
    np.testing.assert_array_equal(
        mixed.inputs.codes.senders, plain.inputs.codes.senders
    )
    kinds = np.cumsum(plain.num_codes)
    counts = []
    for packed in (plain, mixed):
        codes = packed.inputs.graph.codes.senders.ravel()
        kind = np.searchsorted(kinds, codes, side="right")
        counts.append(np.bincount(kind, minlength=len(kinds)))
    assert (counts[0] >= counts[1]).all()  # two alike on a day are one
    assert (counts[1] > 0.8 * counts[0]).all()
    days = [events_by_day(packed) for packed in (plain, mixed)]
    alike = [codes == days[1][where] for where, codes in days[0].items()]
    assert 0.5 < np.mean(alike) < 0.7  # all of the sequence, few of the graph


def test_what_was_planted_is_found_and_heard_along_its_edges():
    # Events or states of another stay; edges that do not reach the head.
    data = draw_records(300, num_items=2)
    pairs, packed = day_pairs(data), pack_stays(data)
    train = np.arange(pairs.num_patients) % 3 > 0
    split = Split(train, ~train, ~train)
    rows = data.pairs()
    [task] = prescription_tasks(packed, pairs, rows, [split], rates)
    model = PatientNetwork("joined", 8, packed.num_codes, head=16)
    config = sg.TrainConfig(
        updates=100, eval_every=20, batch_size=1, eval_size=1, learning_rate=0.3,
        optimizer="momentum",
    )  # fmt: skip
    run = sg.train_seeds(model, task, config, [0])
    added = run.predict(and_without(packed), batch_size=None)[0].reshape(5, -1, 4)
    test = pairs.rows(split.test_mask[pairs.patient])
    answers = ~test.active & (np.arange(4) < 2)
    found = []
    for one in (0 * added[0], *added):
        _, chance = foretold(pairs, split, rates, one[packed.places(rows)])
        found.append(average_precision(chance[answers], test.then[answers]))
    by_rates, whole, *without = found
    assert whole > 4 * by_rates, found
    assert RELATIONS[int(np.argmin(without))] == "same_code", found
    assert min(without) < 0.85 * whole, found
