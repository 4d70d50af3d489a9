"""Stays of patients in hospital, day by day, as flat arrays without a name or a date.

A stay has days 0, 1, ..., the day of admission and those after it, up to the day of
discharge. What was ordered and found is on days of a stay; who a patient was, and when,
is not in the record.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import sparse


@dataclass(frozen=True, eq=False)
class Orders:
    """Orders of drugs, active on both of their days and on those between, ``[M]``."""

    stay: np.ndarray  # int32, row of the stays
    drug: np.ndarray  # int32, row of the drugs' names
    first: np.ndarray  # int32, day
    last: np.ndarray  # int32, day: known only once it has passed


@dataclass(frozen=True, eq=False)
class Events:
    """Codes on days of stays, ``[M]``: flagged laboratory results."""

    stay: np.ndarray  # int32, row of the stays
    code: np.ndarray  # int32, row of the codes' names
    day: np.ndarray  # int32


@dataclass(frozen=True, eq=False)
class PatientData:
    """S stays of P patients, with drugs, laboratory flags and what was known before.

    Stays of a patient are in the order of time. ``counts`` says by kind how many rows
    of the tables were as they should not be, and what became of them.
    """

    name: str
    patient: np.ndarray  # [S] int32, 0 to P - 1
    num_days: np.ndarray  # [S] int32, 1 or more
    orders: Orders
    flags: Events
    known: sparse.csr_array  # [S, K] bool: what was known at admission
    drug_names: tuple[str, ...]
    flag_names: tuple[str, ...]
    known_names: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)

    num_patients = property(lambda self: len(np.unique(self.patient)))
    num_stays = property(lambda self: len(self.patient))
    num_drugs = property(lambda self: len(self.drug_names))

    def first_patients(self, number: int) -> "PatientData":
        """The record of the first patients alone, with the same names."""
        kept = np.isin(self.patient, np.unique(self.patient)[:number])
        place = np.cumsum(kept) - 1  # of each stay among those kept

        def of(record: Any) -> Any:
            stays = kept[record.stay]
            columns = {name: leaf[stays] for name, leaf in vars(record).items()}
            columns["stay"] = place[columns["stay"]].astype(np.int32)
            return type(record)(**columns)

        return replace(
            self,
            patient=self.patient[kept],
            num_days=self.num_days[kept],
            orders=of(self.orders),
            flags=of(self.flags),
            known=self.known[np.flatnonzero(kept)],
        )

    @property
    def days(self) -> np.ndarray:
        """Row of the first day of each stay, and of the end, ``[S + 1]``."""
        return np.concatenate([[0], np.cumsum(self.num_days)])

    def active(self) -> sparse.csr_array:
        """Which drugs are active on which days, ``[days, drugs]`` bool.

        Rows are the days of all stays, one stay after the other (`days`).
        """
        of = self.orders
        lengths = of.last - of.first + 1
        order = np.repeat(np.arange(len(lengths)), lengths)
        start = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        since = np.arange(len(order)) - start[order]
        rows = self.days[of.stay[order]] + of.first[order] + since
        return _matrix(rows, of.drug[order], (int(self.days[-1]), self.num_drugs))

    def flagged(self) -> sparse.csr_array:
        """Which results were flagged on which days, ``[days, flags]`` bool."""
        rows = self.days[self.flags.stay] + self.flags.day
        shape = (int(self.days[-1]), len(self.flag_names))
        return _matrix(rows, self.flags.code, shape)

    def pairs(self) -> np.ndarray:
        """Rows of the days t that have a next day, ``[R]``, of stays with any drug."""
        given = np.zeros(self.num_stays, bool)
        given[self.orders.stay] = True
        row = np.arange(int(self.days[-1]))
        stay = np.repeat(np.arange(self.num_stays), self.num_days)
        return row[given[stay] & (row + 1 < self.days[stay + 1])]


def _matrix(
    rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]
) -> sparse.csr_array:
    """True where a row and a column are named, however often."""
    ones = np.ones(len(rows), np.int32)
    return sparse.csr_array((ones, (rows, columns)), shape=shape).astype(bool)
