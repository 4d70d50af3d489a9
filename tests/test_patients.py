"""Hospital stays day by day: by hand, and the demo as it was counted elsewhere."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from seqgraph_jax.data import mimic_demo
from seqgraph_jax.data.checks import DataError
from seqgraph_jax.data.mimic import COLUMNS, read_mimic

from .test_datasets import DATA, needs_data, served

#: Two patients; the first has two stays, the later one written first.
TABLES = {
    "ADMISSIONS": """subject_id,hadm_id,admittime,dischtime,admission_type,diagnosis
7001,91002,2101-03-10 08:00:00,2101-03-12 10:00:00,EMERGENCY,CHEST PAIN
7001,91001,2101-01-01 23:50:00,2101-01-03 00:10:00,ELECTIVE,HIP;CHEST
7002,91003,2120-05-05 12:00:00,2120-05-05 20:00:00,EMERGENCY,FEVER
7002,91004,2120-07-05 12:00:00,2120-07-01 20:00:00,EMERGENCY,FEVER
""",
    "PATIENTS": """subject_id,gender,dob
7001,F,2050-06-01 00:00:00
7002,M,1820-01-01 00:00:00
""",
    "PRESCRIPTIONS": """row_id,hadm_id,startdate,enddate,drug_type,drug,ndc,gsn
1,91001,2101-01-01 00:00:00,2101-01-02 00:00:00,MAIN, Aspirin ,11,1
2,91001,2101-01-01 00:00:00,2101-01-02 00:00:00,MAIN, Aspirin ,11,1
3,91001,2100-12-30 00:00:00,2101-01-09 00:00:00,MAIN,HEPARIN,0,2
4,91001,2101-01-02 00:00:00,2101-01-01 00:00:00,MAIN,Insulin,12,3
5,91001,2101-01-02 00:00:00,,MAIN,insulin,12,3
6,91001,2101-01-01 00:00:00,2101-01-02 00:00:00,BASE,Water,13,4
7,91001,2101-01-04 00:00:00,2101-01-05 00:00:00,MAIN,Late,14,5
8,91002,2101-03-11 00:00:00,2101-03-12 00:00:00,MAIN,ASPIRIN,11,1
9,99999,2101-03-11 00:00:00,2101-03-12 00:00:00,MAIN,ASPIRIN,11,1
10,91002,,2101-03-12 00:00:00,MAIN,ASPIRIN,11,1
""",
    "LABEVENTS": """hadm_id,itemid,charttime,flag
91001,50,2100-12-31 09:00:00,abnormal
91001,50,2101-01-02 09:00:00,abnormal
91001,51,2101-01-02 09:00:00,
91001,51,2101-01-09 09:00:00,abnormal
,50,2101-01-02 09:00:00,abnormal
91002,51,2101-03-12 09:00:00,abnormal
""",
    "D_LABITEMS": "itemid,label\n50,Sodium\n51,Lactate\n",
    "DIAGNOSES_ICD": "hadm_id,icd9_code\n91001,4019\n91002,0389\n91003,\n",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in TABLES.items():
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


def names_of(data, matrix, row, names):
    return {names[k] for k in matrix[[row]].nonzero()[1]}


def test_tables_by_hand(folder):
    # Stays in the order of the file; an order's end before its start; a clip missed.
    data = read_mimic(folder)
    assert data.patient.tolist() == [0, 0, 1]
    assert data.num_days.tolist() == [3, 3, 1]
    active = data.active()
    drugs = [names_of(data, active, row, data.drug_names) for row in range(7)]
    assert drugs == [
        {"aspirin", "heparin"},
        {"aspirin", "heparin", "insulin"},
        {"heparin"},
        set(),
        {"aspirin"},
        {"aspirin"},
        set(),
    ]
    assert data.pairs().tolist() == [0, 1, 3, 4]
    flags = data.flagged()
    found = [names_of(data, flags, row, data.flag_names) for row in range(6)]
    sodium, lactate = {"Sodium (50)"}, {"Lactate (51)"}
    assert found == [sodium, sodium, set(), set(), set(), lactate]


def test_only_what_was_known_at_admission_is_known(folder):
    # The stay's own codes, which are given after discharge.
    data = read_mimic(folder)
    known = [names_of(data, data.known, s, data.known_names) for s in range(3)]
    assert known[0] == {
        *("admission elective", "text hip", "text chest", "sex f", "age 50s")
    }
    assert known[1] == {
        *("admission emergency", "text chest", "text pain", "sex f", "age 50s"),
        "earlier code 4019",
    }
    assert known[2] == {"admission emergency", "text fever", "sex m", "age 90s"}


def test_codes_of_a_stay_that_has_not_ended_are_not_known(folder):
    path = folder / "ADMISSIONS.csv"
    path.write_text(path.read_text().replace("2101-01-03 00:10", "2101-03-10 00:10"))
    data = read_mimic(folder)
    assert "earlier code 4019" not in names_of(data, data.known, 1, data.known_names)


def test_rows_that_are_not_as_they_should_be_are_counted(folder):
    counts = read_mimic(folder).counts
    assert {k: n for k, n in counts.items() if k.startswith("PRESC")} == {
        "PRESCRIPTIONS: rows": 10,
        "PRESCRIPTIONS: repeats another row": 1,
        "PRESCRIPTIONS: starts before the stay, clipped": 1,
        "PRESCRIPTIONS: ends after the stay, clipped": 1,
        "PRESCRIPTIONS: ends before it starts, left out": 1,
        "PRESCRIPTIONS: without an end, taken as one day": 1,
        "PRESCRIPTIONS: not a main drug, left out": 1,
        "PRESCRIPTIONS: starts after the stay, left out": 1,
        "PRESCRIPTIONS: of no stay that is known, left out": 1,
        "PRESCRIPTIONS: without a start, left out": 1,
    }
    assert counts["ADMISSIONS: without times, or ends before it starts"] == 1
    assert counts["LABEVENTS: without an admission, left out"] == 1
    assert counts["LABEVENTS: abnormal, after the stay, left out"] == 1
    assert counts["DIAGNOSES_ICD: without a stay or a code, left out"] == 1


def test_other_codes_capitals_and_gzip(folder):
    text = (folder / "PRESCRIPTIONS.csv").read_text()
    (folder / "PRESCRIPTIONS.csv").unlink()
    head, _, rest = text.partition("\n")
    with gzip.open(folder / "prescriptions.csv.gz", "wt") as file:
        file.write(f"{head.upper()}\n{rest}")
    data = read_mimic(folder, codes="ndc")
    assert data.drug_names == ("11", "12")
    assert data.counts["PRESCRIPTIONS: without ndc, left out"] == 1


@pytest.mark.parametrize("name", COLUMNS)
def test_a_missing_table_or_column_is_one_sentence(folder, name):
    column = COLUMNS[name].split()[-1]
    path = folder / f"{name}.csv"
    path.write_text(path.read_text().replace(column, "other", 1))
    with pytest.raises(DataError, match=f"{name}.csv: there is no column {column}"):
        read_mimic(folder)
    path.unlink()
    with pytest.raises(DataError, match=f"has no table {name}.csv or {name}.csv.gz"):
        read_mimic(folder)


def test_nothing_of_a_patient_is_in_the_record(folder):
    data = read_mimic(folder)
    everything = repr(vars(data))
    for secret in ("7001", "7002", "91001", "91002", "91003", "2101", "2120", "2050"):
        assert secret not in everything


@needs_data
def test_the_demo_is_as_it_was_counted():
    data = read_mimic(Path(DATA) / "mimic3_demo")
    prescriptions = {
        "rows": 10_398,
        "repeats another row": 655,
        "not a main drug, left out": 2_689,
        "ends before it starts, left out": 39,
        "without an end, taken as one day": 1,
        "starts before the stay, clipped": 1,
        "starts after the stay, left out": 17,
        "ends after the stay, clipped": 279,
    }
    counts = {k.split(": ")[1]: n for k, n in data.counts.items() if "PRESC" in k}
    assert counts == prescriptions
    assert data.counts["LABEVENTS: abnormal"] == 29_510
    assert data.counts["LABEVENTS: without an admission, left out"] == 14_262
    assert (data.num_stays, data.num_days.max()) == (129, 125)
    active, rows = data.active().astype(int), data.pairs()
    now, then = active[rows], active[rows + 1]
    stay = np.repeat(np.arange(data.num_stays), data.num_days)[rows]
    assert (len(rows), len(np.unique(stay))) == (1_128, 120)
    assert len(np.unique(data.patient[stay])) == 92
    assert len(np.unique((now + then).nonzero()[1])) == 517
    kept = now.multiply(then).sum()
    a_day = np.array([kept, then.sum() - kept, now.sum() - kept]) / len(rows)
    assert a_day.round(2).tolist() == [19.04, 2.42, 1.87]
    assert 2 * kept / (now.sum() + then.sum()) == pytest.approx(0.8986, abs=5e-5)


def test_the_demo_is_downloaded_and_checked(folder, places, monkeypatch):
    # Another file in the cache; half of the tables left; a digest of the packing.
    _, cache = places
    known = mimic_demo.digest_of(folder)
    monkeypatch.setattr(mimic_demo, "KNOWN", known)
    monkeypatch.setattr(mimic_demo, "URL", "http://127.0.0.1:9/{}.csv")
    with pytest.raises(DataError, match=r"cannot be downloaded from .*/ADMISSIONS.csv"):
        mimic_demo.load_demo()
    with served(folder) as address:
        monkeypatch.setattr(mimic_demo, "URL", address + "{}.csv")
        (folder / "PATIENTS.csv").rename(folder / "hidden")
        with pytest.raises(DataError, match=r"downloaded from .*/PATIENTS.csv"):
            mimic_demo.load_demo()
        assert not list(cache.glob("*/*.csv"))
        (folder / "hidden").rename(folder / "PATIENTS.csv")
        data = mimic_demo.load_demo()
    assert data.num_stays == read_mimic(folder).num_stays
    here = cache / mimic_demo.NAME
    text = (here / "PATIENTS.csv").read_text()
    (here / "PATIENTS.csv").unlink()
    with gzip.open(here / "patients.csv.gz", "wt") as file:
        header, *rows = text.upper().splitlines()
        file.write("\n".join([header, *reversed(rows)]))
    assert mimic_demo.load_demo().known_names == data.known_names
    (here / "D_LABITEMS.csv").write_text("itemid,label\n50,Sodium\n")
    with pytest.raises(DataError, match="does not hold the tables of the demo"):
        mimic_demo.load_demo()


@needs_data
def test_the_demo_is_the_known_one():
    assert mimic_demo.digest_of(Path(DATA) / mimic_demo.NAME) == mimic_demo.KNOWN
