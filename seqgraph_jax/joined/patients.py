r"""A patient read twice: as a sequence of days by a recurrent network, as a graph of
events by a relational one, and what is prescribed tomorrow from both.

A reconstruction of the hybrid of Liu et al. (2020), of which abstract and introduction
can be read and code and equations cannot. Sure is that a patient is there as a sequence
and as a temporal graph of medical events, that both views are joined, and what is
asked. These are departures, or may be:

- events of a day hear one another through the hub of their day, not in pairs;
- edges between days run forward alone, so that no day knows of a later one;
- there is no window of days: two layers reach one day back at a hub (``same_code`` or
  ``next_day``, then ``to_hub``), and the sequence reaches to the first day;
- what was known at admission are events of the first day, and the day's number is a
  code of its own;
- codes start at zero, so one that training never saw counts as its kind alone;
- the head starts at zero and is added to given log-odds, not to learned ones.
"""

from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from seqgraph_jax.graph.propagation import at_senders, propagate, sum_at_receivers
from seqgraph_jax.graph.relational import RelationalConvolution
from seqgraph_jax.recurrent.cells import GRUCell
from seqgraph_jax.recurrent.steps import HiddenCarry

View = Literal["recurrent", "graph", "joined"]
VIEWS: tuple[View, ...] = ("recurrent", "graph", "joined")
NUM_LAYERS, NUM_RELATIONS = 2, 4


class PatientNetwork(nn.Module):
    r"""What is added to the log-odds that each drug is active on the next day.

    .. math::
        s_t &= \sum_{v \in \text{day } t} w_v + b_s \qquad
        h_t = \mathrm{GRU}(s_t, h_{t-1}), \quad h_{-1} = 0 \text{ at a stay's start} \\
        x_i^0 &= e_{v_i} + k_{\text{kind of } i} \qquad
        x_i^{l+1} = \mathrm{relu}\Big(W_0 x_i^l + b + \sum_r \frac{1}{|N_r(i)|}
                    \sum_{j \in N_r(i)} W_r x_j^l\Big), \quad l = 0, 1 \\
        g_t &= [x_{\text{hub of } t};\ \mathrm{mean}_{i \in \text{day } t}\, x_i] \\
        y_t &= W_o\, \mathrm{relu}(W_f [h_t; g_t] + b_f) + b_o

    where v are the codes of the events i of day t: drugs active, results flagged, what
    was known at admission, the day. ``view="recurrent"`` is without g, ``"graph"``
    without h. The GRU resets after the product. w, e, W_o and b_o start at 0.

    ``inputs`` hold C chunks of B lanes of T days, in which stays lie behind one another
    (`seqgraph_jax.tasks.stays`): ``first [C, B, T]`` marks a stay's first day,
    ``codes`` and ``graph`` are the events of both views. Outputs: ``[C, B T, V]``.

    Parameters, for N codes of K kinds, H ``features``, F ``head`` and V ``num_drugs``:
    N H + H + 6 H^2 + 4 H of the sequence; (N + K + 1) H + 10 H^2 + 2 H of the graph;
    F (H, 2 H or 3 H) + F + F V + V of the head.

    Source: after Liu et al., A hybrid method of recurrent neural network and graph
    neural network for next-period prescription prediction, 2020; layers of
    Schlichtkrull et al., 2018; departures stand in the module's docstring.

    >>> from types import SimpleNamespace
    >>> from seqgraph_jax.graph.events import event_graph
    >>> graph = event_graph(np.array([0, 1]), np.array([0, 2]), np.array([1, -1]), 3)
    >>> one = SimpleNamespace(first=np.array([[True, False]]), codes=graph.codes,
    ...                       graph=graph)
    >>> model = PatientNetwork("joined", 4, num_codes=(2, 1))
    >>> outputs, _ = model.init_with_output(jax.random.key(0), one, method="of_chunk")
    >>> outputs.tolist()  # untrained: nothing is added
    [[0.0, 0.0], [0.0, 0.0]]
    """

    view: View
    features: int
    num_codes: tuple[int, ...]  # of each kind; those of drugs come first
    head: int = 32
    dropout_rate: float = 0.0

    @property
    def num_drugs(self) -> int:
        return self.num_codes[0]

    def __call__(self, inputs: Any, *, train: bool = False) -> jax.Array:
        chunks = [jax.tree.map(lambda leaf: leaf[0], inputs)]
        if len(inputs.first) == 1 or self.is_initializing():
            return self.of_chunk(chunks[0], train=train)[None]
        unbound, variables = self.unbind()
        rngs = {"dropout": self.make_rng("dropout")} if train else None

        def one(chunk: Any) -> Any:
            return unbound.apply(
                variables, chunk, train=train, rngs=rngs, method="of_chunk"
            )

        return jax.lax.map(one, jax.tree.map(jnp.asarray, inputs))

    @nn.compact
    def of_chunk(self, days: Any, *, train: bool = False) -> jax.Array:
        """One chunk: fields as those of ``inputs``, without C; ``[B T, V]``."""
        known = []
        if self.view != "graph":
            known.append(self.sequence(days.first, days.codes))  # [R, H]
        if self.view != "recurrent":
            known.append(self.events(days.graph))  # [R, 2 H]
        state = nn.relu(nn.Dense(self.head, name="fuse")(jnp.concatenate(known, -1)))
        state = nn.Dropout(self.dropout_rate, deterministic=not train)(state)
        zeros = nn.initializers.zeros
        outputs: jax.Array = nn.Dense(self.num_drugs, kernel_init=zeros, name="head")(
            state
        )
        return outputs

    def sequence(self, first: jax.Array, codes: Any) -> jax.Array:
        """States h of all days, ``[B T, H]``."""
        (B, T), H = first.shape, self.features
        table = self.code_table("codes", scale=0.1)
        bias = self.param("day", nn.initializers.zeros, (H,))
        day = propagate(codes, jnp.ones(codes.senders.shape), table) + bias[None]
        cell = GRUCell(H, reset_after=True, name="gru")
        step, projected = cell.prepare(day.reshape(B, T, H))  # [B, T, 3 H]

        def go_on(carry: HiddenCarry, now: Any) -> Any:
            starts, projected_t = now
            return step(HiddenCarry(jnp.where(starts, 0, carry.hidden)), projected_t)

        steps = jnp.swapaxes(first, 0, 1)[..., None], jnp.swapaxes(projected, 0, 1)
        _, hidden = jax.lax.scan(go_on, cell.initial_carry(B), steps)
        return jnp.swapaxes(hidden, 0, 1).reshape(B * T, H)

    def events(self, graph: Any) -> jax.Array:
        """Hubs beside the mean of their days' events, ``[R, 2 H]``."""
        H, days = self.features, graph.codes
        R = days.num_receivers
        table = self.code_table("events", scale=1.0)
        hub = self.param("hub", nn.initializers.normal(1.0), (H,))
        hubs = jnp.broadcast_to(hub[None], (R, H))
        x = jnp.concatenate([hubs, at_senders(days, table)])  # [R + M, H]
        for layer in range(NUM_LAYERS):
            convolution = RelationalConvolution(H, name=f"layer_{layer}")
            x = nn.relu(convolution(x, graph.relations))
        number = sum_at_receivers(days, jnp.ones((len(x) - R, 1)))
        mean = sum_at_receivers(days, x[R:]) / jnp.maximum(number, 1)
        return jnp.concatenate([x[:R], mean], axis=-1)

    def code_table(self, name: str, scale: float) -> jax.Array:
        """A row for each code, at first that of its kind: ``[N, H]``."""
        kinds, normal = len(self.num_codes), nn.initializers.normal(scale)
        shape = (sum(self.num_codes), self.features)
        own = self.param(name, nn.initializers.zeros, shape)
        kind = self.param(f"{name}_kinds", normal, (kinds, self.features))
        return own + kind[np.repeat(np.arange(kinds), self.num_codes)]


def num_parameters(
    view: View, features: int, num_codes: tuple[int, ...], head: int = 32
) -> int:
    """Parameters of a `PatientNetwork`, by its formula."""
    N, K, H = sum(num_codes), len(num_codes), features
    sequence = (N + K + 1) * H + 6 * H**2 + 4 * H
    events = (N + K + 1) * H + NUM_LAYERS * ((NUM_RELATIONS + 1) * H**2 + H)
    of_view = {"recurrent": sequence, "graph": events, "joined": sequence + events}
    width = {"recurrent": 1, "graph": 2, "joined": 3}[view] * H
    return of_view[view] + (width + 1) * head + (head + 1) * num_codes[0]


def equal_networks(
    features: int, num_codes: tuple[int, ...], head: int = 32, dropout_rate: float = 0.0
) -> dict[View, PatientNetwork]:
    """A network for each of `VIEWS`, of nearly as many parameters as the joined one.

    ``features`` are those of the joined network; each other one has the multiple of 4,
    the width of a core's products, that comes nearest.

    >>> found = equal_networks(8, num_codes=(500, 400, 5))
    >>> {view: model.features for view, model in found.items()}
    {'recurrent': 16, 'graph': 16, 'joined': 8}
    """
    goal = num_parameters("joined", features, num_codes, head)

    def off(view: View, width: int) -> int:
        return abs(num_parameters(view, width, num_codes, head) - goal)

    widths = {
        view: min(range(4, 4 * features + 1, 4), key=partial(off, view))
        for view in VIEWS
    } | {"joined": features}
    return {
        view: PatientNetwork(view, width, num_codes, head, dropout_rate)
        for view, width in widths.items()
    }
