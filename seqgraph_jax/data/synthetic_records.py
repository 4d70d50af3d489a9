"""Hospital stays that are drawn, with an effect that is known, and tables of them.

Half of the drugs are answers: drug k starts on the day after laboratory item k was
flagged on two days in a row, if the stay began as an emergency. Two days in a row are
one edge from an event to the event of the same code on the next day, then one to the
day's hub; the kind of admission is known on day 0 alone. So a network needs both, the
path in the graph and a memory of the stay, to know all that can be known.
"""

import csv
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from scipy import sparse

from seqgraph_jax.data.mimic import COLUMNS
from seqgraph_jax.data.patients import Events, Orders, PatientData

ANSWER = 0.6  # chance that a drug starts when its item has been flagged twice
RARE = 0.004  # chance that an answer starts without
START, STOP = 0.02, 0.2  # chances that other drugs start, and that any drug stops
FLAG, AGAIN = 0.05, 0.5  # chances that an item is flagged, and that it still is
LONGEST = 30  # days of a stay
EMERGENCY, ELECTIVE = "admission emergency", "admission elective"
FACTS = (
    EMERGENCY,
    ELECTIVE,
    *(f"sex {sex}" for sex in "fm"),
    *(f"age {tens}0s" for tens in range(3, 9)),
    *(f"text {word}" for word in ("fever", "fracture", "infection", "pain")),
    *(f"earlier code {code}" for code in ("1000", "1001", "1002", "1003")),
)


def draw_records(
    num_stays: int, seed: int = 0, num_items: int = 30, mean_days: float = 7.0
) -> PatientData:
    r"""Draw stays with laboratory flags and orders, the effect of flags among them.

    .. math:: P(\text{drug } k \text{ starts on } t + 1) =
        0.6 \text{ if } x_{t-1,k} = x_{t,k} = 1 \text{ and an emergency, else } 0.004

    where x is 1 for an item that is flagged, and k one of the ``num_items`` answers; as
    many other drugs start with a chance of 0.02. An active drug stops with 0.2, an item
    is flagged with 0.05, after a day on which it was with 0.5. One of four stays is of
    the patient of the stay before. `start_chances` has the chances of all days.

    >>> data = draw_records(num_stays=50)
    >>> data.num_stays, data.num_drugs, len(data.flag_names)
    (50, 60, 30)
    """
    rng = np.random.default_rng(seed)
    num_days = np.minimum(2 + rng.geometric(1 / (mean_days - 2), num_stays), LONGEST)
    same = rng.random(num_stays) < 0.25
    same[0] = False
    known = _facts(rng, same)
    emergency = np.asarray(known[:, [0]].todense()).ravel().astype(bool)
    shape, drugs = (num_stays, num_items), 2 * num_items
    flagged = rng.random(shape) < FLAG
    before = np.zeros(shape, bool)
    since = np.full((num_stays, drugs), -1)  # first day of the order; -1: not active
    since[:, num_items:][rng.random(shape) < 0.1] = 0
    flags, orders = [], []
    for day in range(LONGEST):
        stay = num_days > day
        flags.append(_rows(flagged & stay[:, None], day))
        answer = np.where(flagged & before & emergency[:, None], ANSWER, RARE)
        chance = np.concatenate([answer, np.full(shape, START)], axis=1)
        draw, active = rng.random(chance.shape), since >= 0
        last = (num_days == day + 1)[:, None]
        ends = active & stay[:, None] & ((draw < STOP) | last)
        rows = _rows(ends, day)
        orders.append(np.insert(rows, 2, since[ends], axis=0))
        starts = ~active & stay[:, None] & (draw < chance) & ~last
        since = np.where(starts, day + 1, np.where(ends, -1, since))
        odds = np.where(flagged, AGAIN, FLAG)
        before, flagged = flagged, rng.random(shape) < odds
    of_flags = np.concatenate(flags, axis=1).astype(np.int32)
    of_orders = np.concatenate(orders, axis=1).astype(np.int32)
    names = [f"answer {k}" for k in range(num_items)]
    names += [f"other {k}" for k in range(num_items)]
    return PatientData(
        name="synthetic records",
        patient=np.cumsum(~same).astype(np.int32) - 1,
        num_days=num_days.astype(np.int32),
        orders=Orders(*of_orders),
        flags=Events(*of_flags),
        known=known,
        drug_names=tuple(names),
        flag_names=tuple(f"item {k} ({k})" for k in range(num_items)),
        known_names=FACTS,
    )


def _rows(where: np.ndarray, day: int) -> np.ndarray:
    """Stay, code and day of each true entry, ``[3, M]``."""
    stay, code = where.nonzero()
    return np.stack([stay, code, np.full(len(stay), day)])


def _facts(rng: np.random.Generator, same: np.ndarray) -> sparse.csr_array:
    """What is known at admission, ``[S, facts]``."""
    num_stays = len(same)
    known = np.zeros((num_stays, len(FACTS)), bool)
    every = np.arange(num_stays)
    known[every, rng.integers(0, 2, num_stays)] = True
    sex, age = rng.integers(2, 4, num_stays), rng.integers(4, 10, num_stays)
    for stay in np.flatnonzero(same):
        sex[stay], age[stay] = sex[stay - 1], age[stay - 1]
    known[every, sex] = known[every, age] = True
    known[every, rng.integers(10, 14, num_stays)] = True
    codes = rng.integers(14, 18, num_stays)
    for stay in np.flatnonzero(same):  # of all stays of the patient before this one
        known[stay, 14:] = known[stay - 1, 14:]
        known[stay, codes[stay - 1]] = True
    return sparse.csr_array(known)


def start_chances(data: PatientData) -> np.ndarray:
    """True chance that each drug starts on the next day, ``[days, drugs]``.

    Of days of drawn stays, by the rule that drew them; drugs that are active have 0.
    """
    flagged = data.flagged().toarray()
    before = np.zeros_like(flagged)
    before[1:] = flagged[:-1]
    before[data.days[:-1]] = False
    column = data.known_names.index(EMERGENCY)
    emergency = data.known[:, [column]].toarray().ravel()
    emergency = np.repeat(emergency.astype(bool), data.num_days)[:, None]
    answer = np.where(flagged & before & emergency, ANSWER, RARE)
    chance = np.concatenate([answer, np.full(answer.shape, START)], axis=1)
    return np.where(data.active().toarray(), 0.0, chance)


def write_records(data: PatientData, folder: Path) -> None:
    """Write drawn stays as the tables that `read_mimic` reads, with made-up numbers.

    Codes of a stay are those that the next stay of its patient knows of.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = 100_000 + np.arange(data.num_stays)
    person = 10_000 + data.patient
    first, born = _calendar(data)

    def day(stay: int, of: int, time: str = "00:00:00") -> str:
        return f"{first[stay] + timedelta(int(of))} {time}"

    facts = [
        [data.known_names[k] for k in data.known[[s]].nonzero()[1]]
        for s in range(data.num_stays)
    ]

    def fact(stay: int, kind: str) -> list[str]:
        return [name[len(kind) :] for name in facts[stay] if name.startswith(kind)]

    def admissions() -> Iterator[Iterable[object]]:
        for s, days in enumerate(data.num_days):
            kind, words = fact(s, "admission ")[0].upper(), " ".join(fact(s, "text "))
            ends = day(s, 0, "08:00:00"), day(s, days - 1, "16:00:00")
            yield person[s], number[s], *ends, kind, words

    def patients() -> Iterator[Iterable[object]]:
        for s in np.unique(data.patient, return_index=True)[1]:
            yield person[s], fact(s, "sex ")[0].upper(), f"{born[s]} 00:00:00"

    def prescriptions() -> Iterator[Iterable[object]]:
        of = data.orders
        for s, drug, start, end in zip(
            of.stay, of.drug, of.first, of.last, strict=True
        ):
            name = data.drug_names[drug]
            span = day(s, start), day(s, end)
            yield number[s], *span, "MAIN", name, drug + 1, drug + 1

    def results() -> Iterator[Iterable[object]]:
        of = data.flags
        for s, code, on in zip(of.stay, of.code, of.day, strict=True):
            yield number[s], code, day(s, on, "06:00:00"), "abnormal"

    def items() -> Iterator[Iterable[object]]:
        for k, name in enumerate(data.flag_names):
            yield k, name.rpartition(" (")[0]

    def diagnoses() -> Iterator[Iterable[object]]:
        for s in range(1, data.num_stays):
            if data.patient[s] == data.patient[s - 1]:
                earlier = set(fact(s - 1, "earlier code "))
                for code in sorted(set(fact(s, "earlier code ")) - earlier):
                    yield number[s - 1], code

    _write(folder, "ADMISSIONS", admissions())
    _write(folder, "PATIENTS", patients())
    _write(folder, "PRESCRIPTIONS", prescriptions())
    _write(folder, "LABEVENTS", results())
    _write(folder, "D_LABITEMS", items())
    _write(folder, "DIAGNOSES_ICD", diagnoses())


def _calendar(data: PatientData) -> tuple[list[date], list[date]]:
    """First day of each stay, and the day of birth of its patient."""
    start = date(2100, 1, 1)
    first: list[date] = []
    born: list[date] = []
    for s, patient in enumerate(data.patient):
        again = s > 0 and patient == data.patient[s - 1]
        first.append(first[-1] + timedelta(100) if again else start)
        known = [data.known_names[k] for k in data.known[[s]].nonzero()[1]]
        tens = next(int(name[4:-2]) for name in known if name.startswith("age "))
        age = timedelta(int(365.25 * (10 * tens + 5)))
        born.append(born[-1] if again else start - age)
    return first, born


def _write(folder: Path, name: str, rows: Iterable[Iterable[object]]) -> None:
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS[name].split())
        writer.writerows(rows)
