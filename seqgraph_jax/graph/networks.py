"""Networks on graphs: layers in a row, and what is read off the nodes.

A network maps an `IndexedGraph` to outputs, with ``train`` as a keyword.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jraph
from flax.core import FrozenDict

from seqgraph_jax.graph.adjacency import Adjacency, IndexedGraph
from seqgraph_jax.graph.attention import GraphAttention
from seqgraph_jax.graph.features import Linear, NodeDropout
from seqgraph_jax.graph.layers import GraphConvolution, GraphIsomorphism, readout


class NodeLinear(nn.Module):
    """A linear map of each node, blind to the edges: the layer of the MLP baseline."""

    features: int

    @nn.compact
    def __call__(
        self,
        graph: jraph.GraphsTuple,
        adjacency: Adjacency | None = None,
        *,
        train: bool = False,
    ) -> jraph.GraphsTuple:
        return graph._replace(nodes=Linear(self.features, name="linear")(graph.nodes))


#: Names for the command line; a value takes ``features`` and gives a layer.
LAYERS: dict[str, Callable[..., nn.Module]] = {
    "gcn": GraphConvolution,
    "gat": GraphAttention,
    "gatv2": partial(GraphAttention, version=2),
    "gin": GraphIsomorphism,
    "mlp": NodeLinear,
}

ACTIVATIONS = {"relu": nn.relu, "elu": nn.elu}


class GraphLayers(nn.Module):
    """Graph layers of the given widths, one after another: graph to graph.

    Before each layer but, without ``drop_inputs``, the first, nodes are dropped; after
    each layer but the last come ``normalize`` (layer normalisation), the activation,
    and with ``residual``, where widths agree, the sum with what went in. Attention has
    ``num_heads`` heads, concatenated, and in the last layer ``last_heads``, averaged;
    ``options`` go to every layer's constructor.
    """

    layer: str
    widths: tuple[int, ...]
    num_heads: int = 1
    last_heads: int = 1
    dropout_rate: float = 0.0
    drop_inputs: bool = True
    activation: str = "relu"
    residual: bool = False
    normalize: bool = False
    options: Mapping[str, Any] = FrozenDict()

    @nn.compact
    def __call__(
        self, inputs: IndexedGraph, *, train: bool = False
    ) -> jraph.GraphsTuple:
        if self.layer not in LAYERS:
            names = ", ".join(LAYERS)
            raise ValueError(f"unknown graph layer {self.layer!r}: choose from {names}")
        graph, adjacency = inputs
        last = len(self.widths) - 1
        for k, width in enumerate(self.widths):
            nodes = graph.nodes
            if k or self.drop_inputs:
                nodes = NodeDropout(self.dropout_rate)(nodes, train=train)
            heads = {}
            if "gat" in self.layer:
                number = self.num_heads if k < last else self.last_heads
                heads = {"num_heads": number, "concat": k < last}
            make = partial(LAYERS[self.layer], width, **heads, **self.options)
            layer = make(name=f"layer_{k}")
            y = layer(graph._replace(nodes=nodes), adjacency, train=train).nodes
            if k < last:
                if self.normalize:
                    y = nn.LayerNorm()(y)
                y = ACTIVATIONS[self.activation](y)
                if self.residual and y.shape == graph.nodes.shape:
                    y += graph.nodes
            graph = graph._replace(nodes=y)
        return graph


class NodeClassifier(nn.Module):
    """Graph layers whose last one gives the scores of each node's class.

    ``features`` is the width of a layer, of a head of attention; the other fields are
    those of `GraphLayers`.

    Shapes: an `IndexedGraph` of N nodes; logits ``[N, num_classes]``.

    Raises `ValueError` for an unknown layer.

    >>> import numpy as np
    >>> from seqgraph_jax.graph.adjacency import index_graph
    >>> inputs = index_graph(jraph.GraphsTuple(
    ...     nodes=np.ones((3, 2), np.float32), edges=None, globals=None,
    ...     senders=np.array([0, 1]), receivers=np.array([2, 0]),
    ...     n_node=np.array([3]), n_edge=np.array([2])))
    >>> model = NodeClassifier("gat", features=4, num_classes=5, num_heads=2)
    >>> model.apply(model.init(jax.random.key(0), inputs), inputs).shape
    (3, 5)
    """

    layer: str
    features: int
    num_classes: int
    num_layers: int = 2
    num_heads: int = 1
    dropout_rate: float = 0.0
    activation: str = "relu"
    residual: bool = False
    normalize: bool = False
    options: Mapping[str, Any] = FrozenDict()

    @nn.compact
    def __call__(self, inputs: IndexedGraph, *, train: bool = False) -> jax.Array:
        graph = GraphLayers(
            self.layer,
            (self.features,) * (self.num_layers - 1) + (self.num_classes,),
            self.num_heads,
            dropout_rate=self.dropout_rate,
            activation=self.activation,
            residual=self.residual,
            normalize=self.normalize,
            options=self.options,
            name="layers",
        )(inputs, train=train)
        return graph.nodes


class GraphClassifier(nn.Module):
    """Graph layers, a readout of each graph's nodes, and a linear layer on it.

    ``readout`` is sum, mean or max, ``features`` the width of every layer, for
    attention the width of all heads together; the other fields are those of
    `GraphLayers`.

    Shapes: an `IndexedGraph` of G graphs; outputs ``[G, num_outputs]``. Of a padding
    graph they mean nothing.

    Raises `ValueError` for an unknown layer, and if heads do not divide the features.

    >>> import numpy as np
    >>> from seqgraph_jax.graph.adjacency import index_graph
    >>> inputs = index_graph(jraph.GraphsTuple(
    ...     nodes=np.ones((3, 2), np.float32), edges=None, globals=None,
    ...     senders=np.array([0]), receivers=np.array([1]),
    ...     n_node=np.array([2, 1]), n_edge=np.array([1, 0])))
    >>> model = GraphClassifier("gin", features=4, num_outputs=1)
    >>> model.apply(model.init(jax.random.key(0), inputs), inputs).shape
    (2, 1)
    """

    layer: str
    features: int
    num_outputs: int
    num_layers: int = 3
    num_heads: int = 1
    dropout_rate: float = 0.0
    readout: str = "sum"
    residual: bool = False
    normalize: bool = False

    @nn.compact
    def __call__(self, inputs: IndexedGraph, *, train: bool = False) -> jax.Array:
        if self.features % self.num_heads:
            raise ValueError(
                f"{self.num_heads} heads do not divide {self.features} features"
            )
        attends = "gat" in self.layer
        width = self.features // self.num_heads if attends else self.features
        # The last of `widths` has neither norm nor activation, so they are put here.
        graph = GraphLayers(
            self.layer,
            (width,) * (self.num_layers - 1) + (self.features,),
            self.num_heads,
            self.num_heads,
            self.dropout_rate,
            drop_inputs=False,
            residual=self.residual,
            normalize=self.normalize,
            name="layers",
        )(inputs, train=train)
        graph = graph._replace(nodes=nn.relu(graph.nodes))
        pooled = readout(graph, self.readout)
        pooled = nn.Dropout(self.dropout_rate, deterministic=not train)(pooled)
        return nn.Dense(self.num_outputs, name="head")(pooled)
