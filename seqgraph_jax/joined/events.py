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

import jax
import numpy as np

from seqgraph_jax.graph.adjacency import Adjacency, index_edges

RELATIONS = ("to_hub", "from_hub", "same_code", "next_day")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EventGraph:
    """M events of V codes on R days; node r < R is the hub of day r, R + m event m.

    ``code [M]`` and ``row [M]`` say of each event its code and its day; ``relations``
    are the edges of each kind, in the order of `RELATIONS`, between all R + M nodes.
    """

    code: jax.Array | np.ndarray
    row: jax.Array | np.ndarray
    relations: tuple[Adjacency, ...]


def event_graph(
    row: np.ndarray, code: np.ndarray, next_row: np.ndarray, num_codes: int
) -> EventGraph:
    """The graph of events ``[M]``, each a ``code`` on the day ``row``.

    ``next_row [R]`` is the row of the day after each day, -1 for the last of a stay.
    An event that stands twice counts once. On the host, once for all training.

    Raises `ValueError` for a row or a code that is not there.

    >>> graph = event_graph(
    ...     row=np.array([0, 0, 1]), code=np.array([2, 1, 2]),
    ...     next_row=np.array([1, -1]), num_codes=3)
    >>> graph.code.tolist(), [len(a.senders) for a in graph.relations]
    ([1, 2, 2], [3, 3, 1, 1])
    """
    num_rows = len(next_row)
    for name, values, high in (("row", row, num_rows), ("code", code, num_codes)):
        if len(values) and not (values.min() >= 0 and values.max() < high):
            raise ValueError(f"a {name} of an event is not one of the {high} there are")
    keys = np.unique(row.astype(np.int64) * num_codes + code)  # [M], day by day
    row, code = keys // num_codes, keys % num_codes
    events = num_rows + np.arange(len(keys))
    hubs = np.arange(num_rows)
    goes_on = next_row[row] >= 0
    follows = next_row[row[goes_on]] * num_codes + code[goes_on]
    place = np.minimum(np.searchsorted(keys, follows), max(0, len(keys) - 1))
    there = keys[place] == follows if len(keys) else np.zeros(0, bool)
    ends = (
        (events, row),
        (row, events),
        (events[goes_on][there], events[place][there]),
        (hubs[next_row >= 0], next_row[next_row >= 0]),
    )
    size = num_rows + len(keys)
    return EventGraph(
        code=code.astype(np.int32),
        row=row.astype(np.int32),
        relations=tuple(
            _edges(senders, receivers, size) for senders, receivers in ends
        ),
    )


def _edges(senders: np.ndarray, receivers: np.ndarray, size: int) -> Adjacency:
    order = np.argsort(receivers, kind="stable")
    return index_edges(senders[order], receivers[order], size, size)
