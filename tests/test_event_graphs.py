"""Events on days as a graph: edges by hand, and nothing from later days."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqgraph_jax.graph.events import RELATIONS, Room, event_graph
from seqgraph_jax.graph.relational import RelationalConvolution

#: Two stays: days 0 to 2, and 3 to 4.
NEXT = np.array([1, 2, -1, 4, -1])
ROW = np.array([0, 1, 1, 2, 0, 3, 4, 0])
CODE = np.array([2, 2, 0, 0, 1, 2, 1, 2])  # the last one stands twice


def edges(graph):
    return {
        name: sorted(zip(a.senders.tolist(), a.receivers.tolist(), strict=True))
        for name, a in zip(RELATIONS, graph.relations, strict=True)
    }


def test_edges_by_hand():
    # An edge back in time, or from the last day of a stay to the first of the next.
    graph = event_graph(ROW, CODE, NEXT, 3)
    assert graph.codes.receivers.tolist() == [0, 0, 1, 1, 2, 3, 4]
    assert graph.codes.senders.tolist() == [1, 2, 0, 2, 0, 2, 1]
    hubs = [(5 + m, row) for m, row in enumerate(graph.codes.receivers.tolist())]
    assert edges(graph) == {
        "to_hub": sorted(hubs),
        "from_hub": sorted((row, event) for event, row in hubs),
        "same_code": [(6, 8), (7, 9)],  # code 2 from day 0 to 1, code 0 from 1 to 2
        "next_day": [(0, 1), (1, 2), (3, 4)],
    }


def test_edges_grow_with_events_and_not_with_their_pairs():
    row, code = np.zeros(500, int), np.arange(500)
    graph = event_graph(row, code, np.array([-1]), 500)
    assert sum(len(a.senders) for a in graph.relations) == 1_000


def test_days_without_events_and_events_that_are_not_there():
    none = np.zeros(0, int)
    assert edges(event_graph(none, none, NEXT, 3))["next_day"] == [
        *((0, 1), (1, 2), (3, 4))
    ]
    with pytest.raises(ValueError, match="a code of an event is not one of the 3"):
        event_graph(ROW, CODE + 1, NEXT, 3)
    with pytest.raises(ValueError, match="a row of an event is not one of the 5"):
        event_graph(ROW - 1, CODE, NEXT, 3)


def test_what_fills_a_graph_up_lies_on_the_last_day_alone():
    spare = np.append(NEXT, -1)
    plain = event_graph(ROW, CODE, spare, 3)
    graph = event_graph(ROW, CODE, spare, 3, Room(9, 4, 5))
    assert graph.room == Room(9, 4, 5)
    known, found = edges(plain), edges(graph)
    for name in RELATIONS:
        more = set(found[name]) - set(known[name])
        ends = {node for pair in more for node in pair}
        assert ends <= {5, *range(6 + 7, 6 + 9)}, name  # its hub, and the two events
        assert set(known[name]) <= set(found[name])
    with pytest.raises(ValueError, match="room for 6 of 7 events"):
        event_graph(ROW, CODE, spare, 3, Room(6, 4, 5))
    with pytest.raises(ValueError, match="nothing may be on it"):
        event_graph(ROW, CODE, NEXT, 3, Room(9, 4, 5))


@jax.jit
def two_layers(graph, table):
    """Outputs of the hubs, ``[R, 4]``."""
    num_rows = len(NEXT)
    x = jnp.concatenate([jnp.zeros((num_rows, 4)), table[graph.codes.senders]])
    for k in range(2):
        layer = RelationalConvolution(4)
        params = layer.init(jax.random.key(k), x, graph.relations)
        x = jnp.tanh(layer.apply(params, x, graph.relations))
    return x[:num_rows]


def test_later_days_change_nothing_and_earlier_ones_do():
    table = jax.random.normal(jax.random.key(9), (3, 4))
    before = two_layers(event_graph(ROW, CODE, NEXT, 3), table)
    later = np.where(ROW == 2, 1, CODE)
    after = two_layers(event_graph(ROW, later, NEXT, 3), table)
    np.testing.assert_allclose(after[:2], before[:2], atol=1e-6)
    np.testing.assert_allclose(after[3:], before[3:], atol=1e-6)
    assert abs(after[2] - before[2]).max() > 1e-3
    earlier = np.where((ROW == 0) & (CODE == 1), 0, CODE)
    after = two_layers(event_graph(ROW, earlier, NEXT, 3), table)
    # From an event to its hub and from there to the next day's: two layers, one day.
    assert (abs(after - before)[:2].max(1) > 1e-4).all()
    np.testing.assert_allclose(after[2:], before[2:], atol=1e-6)


def test_a_layer_equals_its_equation():
    # A sum in place of the mean; one kernel for all relations; senders for receivers.
    graph = event_graph(ROW, CODE, NEXT, 3)
    x = jax.random.normal(jax.random.key(1), (12, 3))
    layer = RelationalConvolution(4)
    params = layer.init(jax.random.key(2), x, graph.relations)["params"]
    found = jax.jit(layer.apply)({"params": params}, x, graph.relations)
    expected = np.asarray(x @ params["self"]["kernel"]) + params["self"]["bias"][None]
    expected = np.array(expected)
    for kernel, of in zip(params["relations"], edges(graph).values(), strict=True):
        for i in range(12):
            of_i = [np.asarray(x[j] @ kernel) for j, receiver in of if receiver == i]
            expected[i] += np.mean(of_i, axis=0) if of_i else 0
    np.testing.assert_allclose(found, expected, atol=1e-5)
