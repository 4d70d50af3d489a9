"""Published recurrent cells on graphs: which cell, which layers."""

from collections.abc import Callable
from functools import partial
from typing import Any

from seqgraph_jax.graph.attention import GraphAttention
from seqgraph_jax.graph.networks import GraphLayers
from seqgraph_jax.graph.taps import GraphTaps
from seqgraph_jax.joined.layers import GraphRecurrent
from seqgraph_jax.recurrent.cells import GRUCell, LSTMCell, PeepholeLSTMCell


def _per_node(cell: Callable[..., Any], features: int) -> GraphRecurrent:
    return GraphRecurrent(cell(features))


def _tgcn(features: int) -> GraphRecurrent:
    layers = GraphLayers("gcn", (features, features), drop_inputs=False)
    return GraphRecurrent(GRUCell(features), layers)


def _taps(
    cell: Callable[..., Any],
    kind: str,
    features: int,
    order: int = 2,
    input_taps: bool = True,
) -> GraphRecurrent:
    taps = GraphTaps(kind, order)
    return GraphRecurrent(cell(features), taps if input_taps else None, taps)


def _attention(features: int, num_heads: int = 1) -> GraphRecurrent:
    def layer() -> GraphAttention:
        return GraphAttention(features, num_heads, concat=False, use_bias=False)

    return GraphRecurrent(GRUCell(features), layer(), layer())


#: Names for the command line; a value takes ``features``, and where it has taps or
#: heads ``order`` or ``num_heads``, and gives a `GraphRecurrent`.
#:
#: ============ ================== ==================== ============================
#: name         cell               on inputs            on states
#: ============ ================== ==================== ============================
#: gru, lstm    GRU, LSTM          nothing              nothing
#: tgcn         GRU                two convolutions     nothing
#: gcn-gru      GRU                one hop              one hop
#: gconv-gru    GRU                Chebyshev, order K   Chebyshev, order K
#: gconv-lstm   diagonal peephole  Chebyshev, order K   Chebyshev, order K
#: gc-lstm      LSTM               nothing              Chebyshev, order K
#: dcrnn        GRU                diffusion, order K   diffusion, order K
#: gat-gru      GRU                attention            attention
#: ============ ================== ==================== ============================
#:
#: Sources: tgcn: Zhao et al., T-GCN, 2020, equations 2 to 6, without an activation
#: behind the second convolution; gcn-gru: their published program, which convolves
#: input and state; gconv-gru, gconv-lstm: Seo et al., 2018, section 4; gc-lstm: Chen et
#: al., GC-LSTM, 2022, without a convolution of the cell state; dcrnn: Li et al., 2018,
#: section 2.3, the cell alone.
GRAPH_CELLS: dict[str, Callable[..., GraphRecurrent]] = {
    "gru": partial(_per_node, GRUCell),
    "lstm": partial(_per_node, LSTMCell),
    "tgcn": _tgcn,
    "gcn-gru": partial(_taps, GRUCell, "convolution", order=1),
    "gconv-gru": partial(_taps, GRUCell, "chebyshev"),
    "gconv-lstm": partial(_taps, partial(PeepholeLSTMCell, diagonal=True), "chebyshev"),
    "gc-lstm": partial(_taps, LSTMCell, "chebyshev", input_taps=False),
    "dcrnn": partial(_taps, GRUCell, "diffusion"),
    "gat-gru": _attention,
}
