"""What happened to patients as a graph in time: events on days, and days as hubs.

Nodes are events, a code on a day, and a hub for each day of each stay. Edges are typed,
and between days they run forward alone, so what a node knows is of its day or before:

============ ====================================================================
to_hub       from an event to the hub of its day
from_hub     from the hub of a day to its events
same_code    from an event to the event of the same code on the next day
next_day     from the hub of a day to the hub of the next
============ ====================================================================

A day of n events has 2 n edges and not the n (n - 1) of every event with every other.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np

from seqgraph_jax.graph.adjacency import Adjacency, index_edges

RELATIONS = ("to_hub", "from_hub", "same_code", "next_day")


class Room(NamedTuple):
    """Sizes that the arrays of a graph are filled up to, so that many have one shape.

    What fills up lies on the last day, on which nothing may have happened.
    """

    events: int
    same_code: int
    next_day: int


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EventGraph:
    """M events of V codes on R days; node r < R is the hub of day r, R + m event m.

    ``codes`` has an edge for every event, from its code to its day: ``senders [M]`` are
    codes, ``receivers [M]`` days. ``relations`` are the edges of each kind, in the
    order of `RELATIONS`, between all R + M nodes.
    """

    codes: Adjacency
    relations: tuple[Adjacency, ...]

    @property
    def room(self) -> Room:
        """How much there is of it."""
        _, _, *between = (len(edges.senders) for edges in self.relations)
        return Room(len(self.codes.senders), *between)


def event_graph(
    row: np.ndarray,
    code: np.ndarray,
    next_row: np.ndarray,
    num_codes: int,
    room: Room | None = None,
) -> EventGraph:
    """The graph of events ``[M]``, each a ``code`` on the day ``row``.

    ``next_row [R]`` is the row of the day after each day, -1 for the last of a stay.
    An event that stands twice counts once. With ``room`` arrays are filled up to its
    sizes. On the host, once for all training.

    Raises `ValueError` for a row or a code that is not there, and for events on the
    last day where ``room`` needs it, or more than it has.

    >>> graph = event_graph(
    ...     row=np.array([0, 0, 1]), code=np.array([2, 1, 2]),
    ...     next_row=np.array([1, -1]), num_codes=3)
    >>> graph.codes.senders.tolist(), [len(a.senders) for a in graph.relations]
    ([1, 2, 2], [3, 3, 1, 1])
    """
    num_rows = len(next_row)
    for name, values, high in (("row", row, num_rows), ("code", code, num_codes)):
        if len(values) and not (values.min() >= 0 and values.max() < high):
            raise ValueError(f"a {name} of an event is not one of the {high} there are")
    keys = np.unique(row.astype(np.int64) * num_codes + code)  # [M], day by day
    row, code = keys // num_codes, keys % num_codes
    hubs, spare = np.arange(num_rows), num_rows - 1
    goes_on = next_row[row] >= 0
    follows = next_row[row[goes_on]] * num_codes + code[goes_on]
    place = np.minimum(np.searchsorted(keys, follows), max(0, len(keys) - 1))
    there = keys[place] == follows if len(keys) else np.zeros(0, bool)
    events = num_rows + np.arange(len(keys))
    goes_on, there = np.flatnonzero(goes_on)[there], place[there]
    first, second = events[goes_on], events[there]
    day, next_day = hubs[next_row >= 0], next_row[next_row >= 0]
    if room is not None:
        if spare in row or spare in next_row or next_row[spare] >= 0:
            raise ValueError("the last day takes what fills up: nothing may be on it")
        row, code = _filled(row, room.events, spare), _filled(code, room.events, 0)
        first, second = (_filled(end, room.same_code, spare) for end in (first, second))
        day, next_day = (_filled(end, room.next_day, spare) for end in (day, next_day))
        events = num_rows + np.arange(room.events)
    size = num_rows + len(events)
    relations = (
        _edges(events, row, size),
        _edges(row, events, size),
        _edges(first, second, size),
        _edges(day, next_day, size),
    )
    return EventGraph(index_edges(code, row, num_codes, num_rows), relations)


def _filled(values: np.ndarray, size: int, value: int) -> np.ndarray:
    if len(values) > size:
        raise ValueError(f"there is room for {size} of {len(values)} events or edges")
    return np.pad(values, (0, size - len(values)), constant_values=value)


def _edges(senders: np.ndarray, receivers: np.ndarray, size: int) -> Adjacency:
    order = np.argsort(receivers, kind="stable")
    return index_edges(senders[order], receivers[order], size, size)
