"""Stays that are drawn: their tables can be read, and their effect is there."""

import numpy as np

from seqgraph_jax.data import synthetic_records
from seqgraph_jax.data.mimic import read_mimic
from seqgraph_jax.data.synthetic_records import (
    draw_records,
    start_chances,
    write_records,
)


def names_by_day(data, what):
    matrices = {
        "drug": (data.active(), data.drug_names),
        "flag": (data.flagged(), data.flag_names),
        "known": (data.known, data.known_names),
    }
    matrix, names = matrices[what]
    rows, columns = matrix.nonzero()
    return sorted((int(row), names[k]) for row, k in zip(rows, columns, strict=True))


def test_tables_are_read_as_what_was_drawn(tmp_path):
    # An order's last day not written; a stay in the place of another; a fact lost.
    data = draw_records(60, seed=3, num_items=5)
    write_records(data, tmp_path)
    found = read_mimic(tmp_path)
    assert (found.patient == data.patient).all()
    assert (found.num_days == data.num_days).all()
    assert found.num_patients < found.num_stays
    for what in ("drug", "flag", "known"):
        assert names_by_day(found, what) == names_by_day(data, what), what
    fine = (": rows", ": abnormal")
    assert all(kind.endswith(fine) for kind in found.counts), found.counts


def test_drugs_start_as_often_as_they_should():
    # The day before of another stay; an effect a day late; chances of active drugs.
    data = draw_records(3000, num_items=4)
    goes_on = np.ones(int(data.days[-1]), bool)
    goes_on[data.days[1:] - 1] = False  # of all stays: not of those with a drug alone
    today = np.flatnonzero(goes_on)
    active, chance = data.active().toarray(), start_chances(data)[today]
    starts, rule = active[today + 1] & ~active[today], synthetic_records
    assert (start_chances(data)[data.days[:-1]] < rule.ANSWER).all()
    for value in (rule.ANSWER, rule.RARE, rule.START):
        there = chance == value
        n, share = there.sum(), starts[there].mean()
        assert n > 500
        assert abs(share - value) < 4 * np.sqrt(value * (1 - value) / n), value
    assert not starts[chance == 0].any()
    one, same, other = (draw_records(5, seed=seed).orders for seed in (0, 0, 1))
    assert (one.first == same.first).all()
    assert len(one.first) != len(other.first)
