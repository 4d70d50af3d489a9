"""Stays of patients as chunks of one shape: what networks read, and what is asked.

A chunk has B lanes of T days, and stays lie in a lane behind one another; day t of lane
b is the chunk's row b T + t. T is a day more than the longest stay has, so the last row
of a chunk is never a day, and takes what fills a graph up. However many stays there
are, chunks have one shape and a network is compiled once.
"""

import heapq
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from seqgraph_jax.data.patients import PatientData
from seqgraph_jax.graph.adjacency import Adjacency, index_edges
from seqgraph_jax.graph.events import EventGraph, Room, event_graph
from seqgraph_jax.tasks.prescriptions import DAY_GROUPS, group_of


class StayDays(NamedTuple):
    """What networks read: C chunks, each leaf ``[C, ...]``."""

    first: Any  # [C, B, T] bool, a stay starts
    codes: Adjacency  # from codes to days, for the sequence
    graph: EventGraph


class DayFacts(NamedTuple):
    """What is known of the days of chunks beside it, ``[C, R, ...]``; bits are packed.

    ``active`` has a bit for each drug, ``earlier`` those that were active on any day of
    the stay so far; ``group`` is that of the day (`DAY_GROUPS`).
    """

    active: Any  # [C, R, V / 8] uint8
    earlier: Any
    group: Any  # [C, R] int32


@dataclass(frozen=True, eq=False)
class PackedStays:
    """Chunks of stays, and where the days of the record lie in them.

    ``row [C, R]`` is the row of each day in the record, -1 where there is none;
    ``num_codes`` counts codes by kind: drugs, flags, what was known at admission, days.
    """

    inputs: StayDays
    facts: DayFacts
    row: np.ndarray
    num_codes: tuple[int, ...]

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Where days of the record lie among all ``C R``, by their rows."""
        where = np.full(self.row.max() + 1, -1)
        held = np.flatnonzero(self.row.ravel() >= 0)
        where[self.row.ravel()[held]] = held
        return where[rows]


def pack_stays(
    data: PatientData, days_per_chunk: int = 4096, shuffle: int | None = None
) -> PackedStays:
    """Stays with an order of any drug, in chunks of about so many days, or one chunk.

    Of a day networks see the drugs active and the results flagged on it, and its group;
    of the first also what was known at admission. With ``shuffle``, a seed, the graph's
    codes are those of other events of their kind, drawn over all days: a control that
    has nearly as many events, since two alike on a day are one, and no patient.

    >>> from seqgraph_jax.data.synthetic_records import draw_records
    >>> packed = pack_stays(draw_records(50), days_per_chunk=200)
    >>> packed.inputs.first.shape, packed.num_codes  # chunks, lanes, days
    ((3, 5, 31), (60, 30, 18, 5))
    """
    of_stay = np.unique(data.orders.stay)
    lanes, starts, num_lanes, length = _lanes(data.num_days[of_stay])
    num_chunks = -(-num_lanes // max(1, days_per_chunk // length))
    per_chunk = -(-num_lanes // num_chunks)
    chunk, lane = lanes % num_chunks, lanes // num_chunks
    num_rows = per_chunk * length
    place = np.full(int(data.days[-1]), -1)  # of each day of the record
    first = np.zeros((num_chunks, per_chunk, length), bool)
    first[chunk, lane, starts] = True
    at = (chunk * per_chunk + lane) * length + starts
    for s, cell in zip(of_stay, at, strict=True):
        place[data.days[s] : data.days[s + 1]] = cell + np.arange(data.num_days[s])
    row = np.full(num_chunks * num_rows, -1)
    row[place[place >= 0]] = np.flatnonzero(place >= 0)

    day, code, num_codes = _events(data)
    kept = place[day] >= 0
    cells, code = place[day[kept]], code[kept]
    next_cell = np.full(len(row), -1)
    goes_on = np.flatnonzero((row[:-1] >= 0) & (row[1:] >= 0) & ~first.ravel()[1:])
    next_cell[goes_on] = goes_on + 1
    of_graph = code if shuffle is None else _shuffled(code, num_codes, shuffle)

    def graphs(code: np.ndarray) -> EventGraph:
        found: list[EventGraph] = []
        room: Room | None = None
        while len(found) < num_chunks:  # once for their sizes, once to fill them up
            found = [
                event_graph(
                    cells[cells // num_rows == c] % num_rows,
                    code[cells // num_rows == c],
                    np.where(ahead < 0, -1, ahead % num_rows),
                    sum(num_codes),
                    room,
                )
                for c, ahead in enumerate(next_cell.reshape(num_chunks, num_rows))
            ]
            if room is None:
                rooms = zip(*(graph.room for graph in found), strict=True)
                room, found = Room(*map(max, rooms)), []
        stacked: EventGraph = jax.tree.map(lambda *leaves: np.stack(leaves), *found)
        return stacked

    graph = graphs(of_graph)
    return PackedStays(
        inputs=StayDays(
            first=first,
            codes=(graph if shuffle is None else graphs(code)).codes,
            graph=graph,
        ),
        facts=_facts(data, row.reshape(num_chunks, num_rows)),
        row=row.reshape(num_chunks, num_rows),
        num_codes=num_codes,
    )


def and_without(packed: PackedStays) -> StayDays:
    """All chunks, and behind them all again without each relation, ``[5 C, ...]``.

    Edges that are taken away join the row of no day to itself.
    """
    graph, spare = packed.inputs.graph, packed.row.shape[1] - 1

    def lacking(r: int) -> StayDays:
        relations = list(graph.relations)
        edges = relations[r]
        loops = np.full(edges.senders.shape[1], spare)
        none = index_edges(loops, loops, edges.num_senders, edges.num_receivers)
        relations[r] = jax.tree.map(
            lambda leaf: np.tile(leaf, (len(packed.row), 1)), none
        )
        return packed.inputs._replace(graph=replace(graph, relations=tuple(relations)))

    every = [packed.inputs, *map(lacking, range(len(graph.relations)))]
    joined: StayDays = jax.tree.map(lambda *leaves: np.concatenate(leaves), *every)
    return joined


def _lanes(num_days: np.ndarray) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Lane and first day of each stay, how many lanes there are, and their length.

    The longest stays are laid first, each into the lane with the most room.
    """
    longest = int(num_days.max())
    lane, start = np.zeros((2, len(num_days)), int)
    used: list[tuple[int, int]] = []  # days that are taken, lane
    for s in np.argsort(-num_days, kind="stable"):
        days = int(num_days[s])
        taken, where = used[0] if used else (longest, 0)
        if taken + days > longest:
            taken, where = 0, len(used)
            heapq.heappush(used, (days, where))
        else:
            heapq.heapreplace(used, (taken + days, where))
        lane[s], start[s] = where, taken
    return lane, start, len(used), longest + 1


def _events(data: PatientData) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Day, code and numbers of codes by kind."""
    active, flagged, known = data.active(), data.flagged(), data.known.tocoo()
    stay = np.repeat(np.arange(data.num_stays), data.num_days)
    day = np.arange(len(stay)) - data.days[stay]
    kinds = [
        (*active.nonzero(), active.shape[1]),
        (*flagged.nonzero(), flagged.shape[1]),
        (data.days[known.row], known.col, known.shape[1]),
        (np.arange(len(stay)), group_of(day), len(DAY_GROUPS)),
    ]
    num_codes = tuple(int(number) for *_, number in kinds)
    before = np.cumsum((0, *num_codes))
    days = np.concatenate([rows for rows, *_ in kinds])
    codes = np.concatenate(
        [code + shift for (_, code, _), shift in zip(kinds, before, strict=False)]
    )
    return days, codes, num_codes


def _shuffled(code: np.ndarray, num_codes: tuple[int, ...], seed: int) -> np.ndarray:
    """Codes in another order among those of their kind."""
    rng = np.random.default_rng(seed)
    kind = np.searchsorted(np.cumsum(num_codes), code, side="right")
    mixed = code.copy()
    for k in range(len(num_codes)):
        mixed[kind == k] = rng.permutation(code[kind == k])
    return mixed


def _facts(data: PatientData, row: np.ndarray) -> DayFacts:
    """Bits of the days in chunks, chunk by chunk: the record of all may be large."""
    active = data.active()
    stay = np.append(np.repeat(np.arange(data.num_stays), data.num_days), -1)
    found = []
    for rows in row:
        there = rows >= 0
        of = np.zeros((len(rows), active.shape[1]), bool)
        of[there] = active[rows[there]].toarray()
        earlier, of_stay = of.copy(), stay[rows]
        for r in np.flatnonzero(there[1:] & (of_stay[1:] == of_stay[:-1])) + 1:
            earlier[r] |= earlier[r - 1]
        day = np.where(there, rows - data.days[of_stay], 0)
        group = group_of(day).astype(np.int32)
        found.append((np.packbits(of, 1), np.packbits(earlier, 1), group))
    return DayFacts(*(np.stack(leaves) for leaves in zip(*found, strict=True)))
