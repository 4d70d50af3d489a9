"""Tables of MIMIC-III, of its open demo or of one who has access, as `PatientData`.

Read are ADMISSIONS, PATIENTS, PRESCRIPTIONS, LABEVENTS, D_LABITEMS and DIAGNOSES_ICD,
as .csv or .csv.gz, headers in capitals or not. PROCEDURES_ICD has no times and is not
read. Rows that are not as they should be are counted by kind, none is left out in
silence; no message names a patient, an admission or a date.

Source: Johnson et al., MIMIC-III, a freely accessible critical care database, 2016.
"""

import csv
import gzip
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import IO, Literal

import numpy as np
from scipy import sparse

from seqgraph_jax.data.checks import DataError
from seqgraph_jax.data.patients import Events, Orders, PatientData

Codes = Literal["name", "ndc", "gsn"]
#: Columns that each table must have.
COLUMNS = {
    "ADMISSIONS": "subject_id hadm_id admittime dischtime admission_type diagnosis",
    "PATIENTS": "subject_id gender dob",
    "PRESCRIPTIONS": "hadm_id startdate enddate drug_type drug ndc gsn",
    "LABEVENTS": "hadm_id itemid charttime flag",
    "D_LABITEMS": "itemid label",
    "DIAGNOSES_ICD": "hadm_id icd9_code",
}
OLDEST = 89  # years; dates of birth of those older were moved by 300 years


def read_mimic(
    folder: Path, codes: Codes = "name", name: str = "mimic3"
) -> PatientData:
    """Stays, orders of main drugs, abnormal results, and what was known at admission.

    Drugs are their names in small letters, or their NDC or GSN. An order is active from
    its first to its last day, both inclusive, clipped to its stay; one without an end
    has its first day alone, one that ends before it starts is left out. Results count
    on the day of their time, those from before admission on day 0. Known at admission
    are its type and text, age in tens of years, sex, and the codes of stays that had
    ended before; codes of the stay itself are given after discharge.

    Raises `DataError` for a table or a column that is missing, and for tables in which
    no stay has an order.
    """
    counts: Counter[str] = Counter()
    stays = _Stays(folder, counts)
    orders, drugs = _orders(folder, codes, stays, counts)
    flags, items = _flags(folder, stays, counts)
    known, facts = _known(folder, stays, counts)
    if not len(orders.stay):
        raise DataError(f"{folder}: no stay has an order of a drug")
    return PatientData(
        name=name,
        patient=stays.patient,
        num_days=stays.num_days,
        orders=orders,
        flags=flags,
        known=known,
        drug_names=drugs,
        flag_names=items,
        known_names=facts,
        counts=dict(counts),
    )


def table(folder: Path, name: str) -> Iterator[dict[str, str]]:
    """Rows of a table by their columns' names in small letters."""
    places = [folder / f"{case}{end}" for case in (name, name.lower()) for end in ENDS]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise DataError(f"{folder} has no table {name}.csv or {name}.csv.gz")
    try:
        with _opened(path) as file:
            rows = csv.reader(file)
            header = [column.strip().lower() for column in next(rows, [])]
            missing = [c for c in COLUMNS[name].split() if c not in header]
            if missing:
                raise DataError(f"{path}: there is no column {missing[0]}")
            for row in rows:
                yield dict(zip(header, (cell.strip() for cell in row), strict=False))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error!s:.80}") from error


ENDS = (".csv", ".csv.gz")


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _day(text: str | None) -> int | None:
    """Number of the day that a time names, or None."""
    try:
        return date.fromisoformat((text or "")[:10]).toordinal()
    except ValueError:
        return None


class _Stays:
    """Stays in the order of patients and time, by the number of their admission."""

    def __init__(self, folder: Path, counts: Counter[str]) -> None:
        found = []
        for row in table(folder, "ADMISSIONS"):
            first, last = _day(row["admittime"]), _day(row["dischtime"])
            if first is None or last is None or last < first:
                counts["ADMISSIONS: without times, or ends before it starts"] += 1
                continue
            key = (row["subject_id"], row["admittime"])
            found.append((key, row["hadm_id"], first, last, row))
        found.sort(key=lambda entry: entry[0])
        people = {key[0]: None for key, *_ in found}
        index = {person: i for i, person in enumerate(people)}
        self.rows = [row for *_, row in found]
        self.index = {number: s for s, (_, number, *_) in enumerate(found)}
        self.first = np.array([entry[2] for entry in found], np.int64)
        self.last = np.array([entry[3] for entry in found], np.int64)
        self.patient = np.array([index[key[0]] for key, *_ in found], np.int32)
        self.num_days = (self.last - self.first + 1).astype(np.int32)


def _orders(
    folder: Path, codes: Codes, stays: _Stays, counts: Counter[str]
) -> tuple[Orders, tuple[str, ...]]:
    names: dict[str, int] = {}
    seen: set[int] = set()
    found = array("i")

    def count(kind: str) -> None:
        counts[f"PRESCRIPTIONS: {kind}"] += 1

    for row in table(folder, "PRESCRIPTIONS"):
        count("rows")
        same = hash(tuple(value for key, value in row.items() if key != "row_id"))
        if same in seen:
            count("repeats another row")
        seen.add(same)
        first, last = _day(row["startdate"]), _day(row["enddate"])
        if row["drug_type"].upper() != "MAIN":
            count("not a main drug, left out")
        if first is None:
            count("without a start, left out")
            continue
        if last is None:
            count("without an end, taken as one day")
            last = first
        if last < first:
            count("ends before it starts, left out")
        stay = stays.index.get(row["hadm_id"])
        if stay is None:
            count("of no stay that is known, left out")
            continue
        admitted, discharged = int(stays.first[stay]), int(stays.last[stay])
        if first < admitted:
            count("starts before the stay, clipped")
        if first > discharged:
            count("starts after the stay, left out")
        elif last > discharged:
            count("ends after the stay, clipped")
        if row["drug_type"].upper() != "MAIN" or last < first:
            continue
        code = row["drug"].lower() if codes == "name" else row[codes]
        if code in ("", "0"):
            count(f"without {codes}, left out")
            continue
        day, end = max(first, admitted) - admitted, min(last, discharged) - admitted
        if day <= end:
            found.extend((stay, names.setdefault(code, len(names)), day, end))
    columns = np.array(found, np.int32).reshape(-1, 4).T
    return Orders(*columns), tuple(names)


def _flags(
    folder: Path, stays: _Stays, counts: Counter[str]
) -> tuple[Events, tuple[str, ...]]:
    labels = {row["itemid"]: row["label"] for row in table(folder, "D_LABITEMS")}
    names: dict[str, int] = {}
    found = array("i")
    for row in table(folder, "LABEVENTS"):
        counts["LABEVENTS: rows"] += 1
        if not row["hadm_id"]:
            counts["LABEVENTS: without an admission, left out"] += 1
        if row["flag"].lower() != "abnormal":
            continue
        counts["LABEVENTS: abnormal"] += 1
        stay, day = stays.index.get(row["hadm_id"]), _day(row["charttime"])
        if stay is None or day is None:
            counts["LABEVENTS: abnormal, without a stay or a time, left out"] += 1
            continue
        if day > stays.last[stay]:
            counts["LABEVENTS: abnormal, after the stay, left out"] += 1
            continue
        item = row["itemid"]
        code = names.setdefault(f"{labels.get(item, '')} ({item})", len(names))
        found.extend((stay, code, max(0, day - int(stays.first[stay]))))
    columns = np.unique(np.array(found, np.int32).reshape(-1, 3), axis=0).T
    return Events(*columns), tuple(names)


def _known(
    folder: Path, stays: _Stays, counts: Counter[str]
) -> tuple[sparse.csr_array, tuple[str, ...]]:
    people = {row["subject_id"]: row for row in table(folder, "PATIENTS")}
    coded: dict[int, list[str]] = {}
    for row in table(folder, "DIAGNOSES_ICD"):
        stay = stays.index.get(row["hadm_id"])
        if stay is None or not row["icd9_code"]:
            counts["DIAGNOSES_ICD: without a stay or a code, left out"] += 1
        else:
            coded.setdefault(stay, []).append(f"earlier code {row['icd9_code']}")
    names: dict[str, int] = {}
    rows, columns = [], []
    for s, row in enumerate(stays.rows):
        facts = [f"admission {row['admission_type'].lower()}"]
        facts += [
            f"text {word}" for word in re.findall("[a-z]+", row["diagnosis"].lower())
        ]
        person = people.get(row["subject_id"], {})
        facts.append(f"sex {person.get('gender', '').lower() or 'not known'}")
        born = _day(person.get("dob"))
        age = None if born is None else int((stays.first[s] - born) / 365.25)
        band = "not known" if age is None else f"{age // 10}0s"
        facts.append(f"age {'90s' if age is not None and age > OLDEST else band}")
        for earlier in range(s - 1, -1, -1):
            if stays.patient[earlier] != stays.patient[s]:
                break
            if stays.last[earlier] < stays.first[s]:
                facts += coded.get(earlier, [])
        for fact in dict.fromkeys(facts):
            rows.append(s)
            columns.append(names.setdefault(fact, len(names)))
    shape = (len(stays.rows), len(names))
    ones = np.ones(len(rows), bool)
    return sparse.csr_array((ones, (rows, columns)), shape=shape), tuple(names)
