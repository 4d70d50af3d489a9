"""The task on prescriptions: packing, loss by hand, folds, and nothing of tomorrow."""

import jax
import numpy as np
import pytest

from seqgraph_jax.data.mimic import read_mimic
from seqgraph_jax.data.splits import Split, patient_splits
from seqgraph_jax.data.synthetic_records import draw_records, write_records
from seqgraph_jax.graph.events import RELATIONS
from seqgraph_jax.tasks.prescribing import prescription_tasks
from seqgraph_jax.tasks.prescriptions import BASELINES, chances, day_pairs, rates
from seqgraph_jax.tasks.stays import pack_stays

from .stay_cases import ORDERS, events_by_day, events_of, some_stays


@pytest.mark.parametrize("days_per_chunk", [4096, 5])
def test_stays_lie_in_chunks_by_hand(days_per_chunk):
    # A day lost or doubled; a stay that starts in another's lane without a mark.
    data = some_stays()
    packed = pack_stays(data, days_per_chunk)
    held = packed.row[packed.row >= 0]
    assert sorted(held.tolist()) == list(range(8))
    assert (packed.row[:, -1] == -1).all()
    starts = packed.row[packed.inputs.first.reshape(packed.row.shape)]
    assert sorted(starts.tolist()) == data.days[:-1].tolist()
    found = events_by_day(packed)
    for stay, length in enumerate(data.num_days):
        for day in range(length):
            for name in ("graph", "codes"):
                codes = found[name, int(data.days[stay] + day)]
                assert sorted(codes) == events_of(data, stay, day)
    active, earlier = (
        np.unpackbits(bits, axis=-1, count=3).astype(bool).reshape(-1, 3)
        for bits in packed.facts[:2]
    )
    pairs, places = day_pairs(data), packed.places(data.pairs())
    np.testing.assert_array_equal(active[places], pairs.active)
    np.testing.assert_array_equal(earlier[places], pairs.earlier)
    np.testing.assert_array_equal(active[places + 1], pairs.then)


def test_long_stays_leave_room_for_short_ones():
    # First fit in the order of the record: as many lanes as stays.
    data = draw_records(80)
    packed = pack_stays(data)
    assert (packed.row >= 0).mean() > 0.85


@pytest.fixture(scope="module")
def case():
    data = draw_records(40, num_items=5)
    pairs, packed = day_pairs(data), pack_stays(data, days_per_chunk=150)
    assert len(packed.row) > 1
    splits = patient_splits(pairs.num_patients, 3, seed=0)
    tasks = prescription_tasks(packed, pairs, data.pairs(), splits, rates)
    return data, pairs, packed, splits, tasks


def test_the_loss_is_that_of_rates_and_what_is_added(case):
    # Training days in a validation loss; tomorrow from another stay; a mean over drugs.
    data, pairs, packed, splits, tasks = case
    added = np.random.default_rng(0).normal(size=(*packed.row.shape, 10))
    places = packed.places(data.pairs())
    for split, task in zip(splits, tasks, strict=True):
        of_training = pairs.rows(split.train_mask[pairs.patient])
        by_rates = chances(rates(of_training), pairs)
        seen = (of_training.active | of_training.then).any(0)
        logits = np.log(by_rates / (1 - by_rates))
        logits += np.where(seen, added.reshape(-1, 10)[places], 0)
        chance = 1 / (1 + np.exp(-logits))
        nats = -np.log(np.where(pairs.then, chance, 1 - chance)).sum(1)
        batch = task.evaluation(jax.random.key(0), 99)
        found = task.metrics(added.astype(np.float32), batch.targets)["loss"]
        expected = nats[split.val_mask[pairs.patient]].mean()
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        assert len(jax.tree.leaves(task.sample(jax.random.key(1), 1).inputs)[0]) == 1


def test_outputs_of_another_shape_are_refused(case):
    task = case[-1][0]
    batch = task.evaluation(jax.random.key(0), 99)
    with pytest.raises(ValueError, match=r"outputs are \[C, R, V\]"):
        task.metrics(np.zeros((*case[2].row.shape, 90)), batch.targets)


def test_every_patient_is_tested_once_and_in_one_set_alone():
    splits = patient_splits(23, 5, seed=3)
    assert np.sum([split.test_mask for split in splits], 0).tolist() == [1] * 23
    for split in splits:
        assert np.sum([*split], 0).tolist() == [1] * 23
        assert 3 <= split.val_mask.sum() <= 4
    other = patient_splits(23, 5, seed=4)
    assert (splits[0].test_mask != other[0].test_mask).any()
    with pytest.raises(ValueError, match="3 patients are too few for 5 folds"):
        patient_splits(3, 5, seed=0)


def test_rates_and_drugs_seen_are_those_of_training_patients(case):
    # A vocabulary, or a rate, that knows of validation and test patients.
    data, pairs, packed, splits, tasks = case
    train = splits[0].train_mask[pairs.patient][:, None]
    other = pairs._replace(
        active=pairs.active & train, then=np.where(train, pairs.then, ~pairs.then)
    )
    again = prescription_tasks(packed, other, data.pairs(), splits[:1], rates)[0]
    jax.tree.map(np.testing.assert_array_equal, again.rates, tasks[0].rates)
    np.testing.assert_array_equal(again.seen, tasks[0].seen)
    nobody = pairs.active[train[:, 0]].any(0) | pairs.then[train[:, 0]].any(0)
    np.testing.assert_array_equal(tasks[0].seen, nobody)


def edges_until(packed, data, stay, day):
    """Events and edges of a stay up to a day, whatever their numbers."""
    found, last = set(), data.days[stay] + day
    rows = packed.row[0]
    codes = packed.inputs.graph.codes
    R = len(rows)

    def node(n):
        if n < R:
            return ("hub", int(rows[n]))
        return int(codes.senders[0][n - R]), int(rows[codes.receivers[0][n - R]])

    for name, of in zip(RELATIONS, packed.inputs.graph.relations, strict=True):
        for ends in zip(of.senders[0], of.receivers[0], strict=True):
            first, second = map(node, ends)
            if data.days[stay] <= second[1] <= last:
                found.add((name, first, second))
    return found


def test_the_future_of_the_tables_changes_no_input_of_today(tmp_path):
    # The end of an order that runs; an order or a result of a later day; the codes of
    # the stay, which are given once it has ended.
    drawn = draw_records(30, num_items=15, seed=2)
    stay = int(np.argmax(drawn.num_days))
    today = int(drawn.num_days[stay]) // 2
    write_records(drawn, tmp_path)
    before = read_mimic(tmp_path)
    number, first = str(100_000 + stay), None
    for line in (tmp_path / "ADMISSIONS.csv").read_text().splitlines():
        if f",{number}," in line:
            first = np.datetime64(line.split(",")[2][:10])
    changed = 0
    for table in ("PRESCRIPTIONS", "LABEVENTS"):
        path, lines = tmp_path / f"{table}.csv", []
        for line in path.read_text().splitlines():
            cells = line.split(",")
            if cells[0] == number:
                dates = [c for c in (1, 2) if cells[c].startswith("21")]
                days = {c: np.datetime64(cells[c][:10]) - first for c in dates}
                days = {c: int(d.astype(int)) for c, d in days.items()}
                if table == "PRESCRIPTIONS" and days[1] <= today < days[2]:
                    cells[2] = f"{first + np.timedelta64(today, 'D')} 00:00:00"
                    changed += 1
                elif max(days.values()) > today and min(days.values()) > today:
                    changed += 1
                    continue  # left out
            lines.append(",".join(cells))
        path.write_text("\n".join(lines) + "\n")
    with (tmp_path / "DIAGNOSES_ICD.csv").open("a") as file:
        file.write(f"{number},9999\n")
    after = read_mimic(tmp_path)
    assert changed > 3
    kept = slice(before.days[stay], before.days[stay] + today + 1)
    for of in ("active", "flagged"):
        sides = []
        for data in (before, after):
            names = data.drug_names if of == "active" else data.flag_names
            rows, columns = getattr(data, of)()[kept].nonzero()
            found = zip(rows.tolist(), columns.tolist(), strict=True)
            sides.append({(r, names[c]) for r, c in found})
        assert sides[0] == sides[1]
    known = [data.known[[stay]].nonzero()[1].tolist() for data in (before, after)]
    assert known[0] == known[1]
    assert (before.active()[kept.stop :].nnz) != (after.active()[kept.stop :].nnz)


def test_later_orders_change_no_edge_of_a_day_before():
    data = some_stays()
    later = [o for o in ORDERS if o != (2, 1, 2, 3)] + [(2, 2, 3, 3)]
    other = some_stays(orders=later)
    for day, same in ((0, True), (1, True), (2, False)):
        sides = [edges_until(pack_stays(d), d, 2, day) for d in (data, other)]
        assert (sides[0] == sides[1]) == same, day


def test_baselines_are_rates_of_their_kind():
    # A copy that knows drugs; frequencies that know what is active.
    pairs = day_pairs(draw_records(40, num_items=4))
    found = {name: chances(of(pairs), pairs) for name, of in BASELINES.items()}
    copy, often = found["copy"], found["frequency"]
    assert len(np.unique(copy.round(9))) == 2
    assert copy[pairs.active].min() > copy[~pairs.active].max()
    np.testing.assert_allclose(often, np.broadcast_to(often[:1], often.shape))
    losses = [-np.log(np.where(pairs.then, c, 1 - c)).sum() for c in found.values()]
    assert losses[2] < losses[0] < losses[1]
    assert losses[3] < losses[2]
    assert isinstance(patient_splits(9, 3, 0)[0], Split)


def test_the_first_patients_alone():
    # Stays that keep their old number; a patient cut in half.
    data = draw_records(30, num_items=4)
    few = data.first_patients(7)
    assert few.num_patients == 7
    days, stays = int(few.days[-1]), few.num_stays
    assert data.patient[stays] == 7
    for name in ("active", "flagged"):
        of_all, of_few = (getattr(d, name)().toarray() for d in (data, few))
        np.testing.assert_array_equal(of_few, of_all[:days])
    assert (few.known != data.known[:stays]).nnz == 0
