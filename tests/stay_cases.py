"""Stays that tests look at, and the networks of days written out as loops."""

from functools import partial

import jax
import numpy as np
from scipy import sparse

from seqgraph_jax.data.patients import Events, Orders, PatientData

#: Three stays of two patients, of 3, 1 and 4 days; three drugs, two items, two facts.
ORDERS = [(0, 0, 0, 1), (0, 1, 1, 2), (1, 2, 0, 0), (2, 0, 0, 3), (2, 2, 1, 1)]
ORDERS += [(2, 1, 2, 3), (0, 2, 2, 2)]
FLAGS = [(0, 1, 0), (0, 1, 1), (0, 0, 1), (2, 0, 2), (2, 0, 3), (2, 1, 0)]


def some_stays(orders=ORDERS, flags=FLAGS, num_days=(3, 1, 4), patient=(0, 0, 1)):
    known = np.array([[True, False], [True, True], [False, True]])
    return PatientData(
        name="three stays",
        patient=np.array(patient, np.int32),
        num_days=np.array(num_days, np.int32),
        orders=Orders(*np.array(orders, np.int32).T),
        flags=Events(*np.array(flags, np.int32).T),
        known=sparse.csr_array(known),
        drug_names=("a", "b", "c"),
        flag_names=("x", "y"),
        known_names=("p", "q"),
    )


def drawn_params(model, inputs, seed=0, **how):
    """Parameters that are not zero anywhere."""
    params = jax.eval_shape(partial(model.init, **how), jax.random.key(0), inputs)
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    drawn = [
        0.4 * jax.random.normal(key, leaf.shape)
        for key, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)


def events_of(data, stay, day):
    """Codes of a day, by the record's rows and the order of kinds."""
    row, (V, L, K) = data.days[stay] + day, map(len, names(data))
    found = [*data.active()[[row]].nonzero()[1]]
    found += [V + c for c in data.flagged()[[row]].nonzero()[1]]
    if day == 0:
        found += [V + L + c for c in data.known[[stay]].nonzero()[1]]
    group = int(np.searchsorted([1, 2, 5, 10], day, "right"))
    return sorted([*found, V + L + K + group])


def events_by_day(packed):
    """Codes of each day of the record, as the graph and the sequence have them."""
    found = {}
    for c, rows in enumerate(packed.row):
        for name in ("graph", "codes"):
            of = packed.inputs.codes if name == "codes" else packed.inputs.graph.codes
            for code, row in zip(of.senders[c], of.receivers[c], strict=True):
                if rows[row] >= 0:
                    found.setdefault((name, int(rows[row])), []).append(int(code))
    return found


def names(data):
    return data.drug_names, data.flag_names, data.known_names


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def looped_outputs(data, params, num_codes, view):
    """Outputs of every day of the record, ``[days, V]``, by the equations."""
    p = jax.tree.map(np.asarray, params["params"])
    kind = np.repeat(np.arange(len(num_codes)), num_codes)
    outputs = []
    for stay, length in enumerate(data.num_days):
        days = [events_of(data, stay, day) for day in range(length)]
        known = [[] for _ in days]
        if view != "graph":
            table = p["codes"] + p["codes_kinds"][kind]
            h = np.zeros(table.shape[1])
            for t, codes in enumerate(days):
                s = sum(table[c] for c in codes) + p["day"]
                h = gru(p["gru"], h, s)
                known[t].append(h)
        if view != "recurrent":
            for t, g in enumerate(graph_view(p, kind, days)):
                known[t].append(g)
        for one in known:
            x = np.concatenate(one)
            z = np.maximum(0, x @ p["fuse"]["kernel"] + p["fuse"]["bias"])
            outputs.append(z @ p["head"]["kernel"] + p["head"]["bias"])
    return np.array(outputs)


def gru(p, h, s):
    H = len(h)
    x, u = s @ p["input"]["kernel"] + p["input"]["bias"], h @ p["recurrent_kernel"]
    r, z = sigmoid(x[:H] + u[:H]), sigmoid(x[H : 2 * H] + u[H : 2 * H])
    n = np.tanh(x[2 * H :] + r * (u[2 * H :] + p["recurrent_bias"]))
    return (1 - z) * h + z * n


def graph_view(p, kind, days):
    """Hub and mean of the events of each day, nodes as a dict."""
    table = p["events"] + p["events_kinds"][kind]
    x = {("hub", t): p["hub"] for t in range(len(days))}
    x |= {(c, t): table[c] for t, codes in enumerate(days) for c in codes}
    for layer in ("layer_0", "layer_1"):
        own, kernels, new = p[layer]["self"], p[layer]["relations"], {}
        for (what, t), value in x.items():
            total = value @ own["kernel"] + own["bias"]
            if what == "hub":
                events, before = [(c, t) for c in days[t]], [("hub", t - 1)] * (t > 0)
                senders = [events, [], [], before]
            else:
                before = [(what, t - 1)] * ((what, t - 1) in x)
                senders = [[], [("hub", t)], before, []]
            for kernel, nodes in zip(kernels, senders, strict=True):
                if nodes:
                    total = total + np.mean([x[node] for node in nodes], 0) @ kernel
            new[what, t] = np.maximum(0, total)
        x = new
    for t, codes in enumerate(days):
        yield np.concatenate([x["hub", t], np.mean([x[c, t] for c in codes], 0)])
