"""Deep graph networks as they are drawn, before any training, for many seeds at once.

A seed's key is split in two: the first is for the features of nodes, the second for
weights. All is computed in double precision, so that rounding is far from what is
measured.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax

from seqgraph_jax.analysis import receptive_fields as fields
from seqgraph_jax.graph.adjacency import IndexedGraph


class Networks(NamedTuple):
    """One layer K times over, with weights of its own for each of S seeds.

    ``params`` are those of `init_layers`, leaves ``[S, K, ...]``.
    """

    layer: Any
    params: Any
    residual: bool = False

    def first(self, depth: int) -> "Networks":
        """The first ``depth`` layers alone."""
        return self._replace(params=jax.tree.map(lambda p: p[:, :depth], self.params))

    def with_constant(self, name: str, value: float) -> "Networks":
        """A parameter of all layers, such as GIN's ``epsilon``, set to a value."""
        params = {**self.params, name: np.full_like(self.params[name], value)}
        return self._replace(params=params)

    def of_layer(self, k: int) -> Any:
        """Parameters of layer ``k``, from 0, of every seed: leaves ``[S, ...]``."""
        return jax.tree.map(lambda leaf: leaf[:, k], self.params)

    @jax.enable_x64(True)
    def outputs(self, graph: IndexedGraph, nodes: Any) -> np.ndarray:
        """`layer_outputs` of every seed: nodes ``[S, N, F]`` to ``[S, K + 1, N, F]``.

        >>> import seqgraph_jax as sg
        >>> path = sg.data.from_arrays([0, 1], [1, 2], undirected=True).graph()
        >>> path, seeds = sg.index_graph(path), (0, 500)
        >>> networks = draw_networks(sg.GraphConvolution(2), path, seeds, depth=4)
        >>> networks.outputs(path, draw_nodes(path, 2, seeds)).shape
        (2, 5, 3, 2)
        """
        return np.asarray(
            _outputs(self.layer, self.residual, graph, nodes, self.params)
        )

    @jax.enable_x64(True)
    def influences(self, graph: IndexedGraph, nodes: Any) -> np.ndarray:
        """`influences` of every seed, without residual: ``[S, K + 1, N, N]``."""
        return np.asarray(_influences(self.layer, graph, nodes, self.params))


@partial(jax.jit, static_argnums=(0, 1))
def _outputs(
    layer: Any, residual: bool, graph: IndexedGraph, nodes: Any, params: Any
) -> jax.Array:
    def one(nodes: jax.Array, params: Any) -> jax.Array:
        inputs = _with_nodes(graph, nodes)
        return fields.layer_outputs(layer, params, inputs, residual=residual)

    return jax.vmap(one)(nodes, params)


@partial(jax.jit, static_argnums=0)
def _influences(layer: Any, graph: IndexedGraph, nodes: Any, params: Any) -> jax.Array:
    def one(nodes: jax.Array, params: Any) -> jax.Array:
        return fields.influences(layer, params, _with_nodes(graph, nodes))

    return jax.vmap(one)(nodes, params)


def _with_nodes(graph: IndexedGraph, nodes: Any) -> IndexedGraph:
    return graph._replace(graph=graph.graph._replace(nodes=nodes))


@jax.enable_x64(True)
def draw_networks(
    layer: Any, graph: IndexedGraph, seeds: Sequence[int], depth: int
) -> Networks:
    """Networks of ``depth`` layers, as wide as ``layer``, for every seed.

    The weights fit any graph without edge features; those of ``graph`` are not read.
    """
    inputs = _with_nodes(graph, np.zeros((graph.adjacency.num_senders, layer.features)))
    init = partial(fields.init_layers, layer, inputs=inputs, depth=depth)
    return Networks(layer, _for_seeds(init, seeds, 1))


@jax.enable_x64(True)
def draw_nodes(graph: IndexedGraph, features: int, seeds: Sequence[int]) -> np.ndarray:
    """Standard normal features of the graph's nodes for every seed: ``[S, N, F]``."""
    shape = (graph.adjacency.num_senders, features)
    return _for_seeds(partial(jax.random.normal, shape=shape), seeds, 0)


def _for_seeds(
    function: Callable[[jax.Array], Any], seeds: Sequence[int], part: int
) -> Any:
    """``function`` of a part of every seed's key, one by one: see `init_layers`."""
    keys = jax.vmap(jax.random.key)(np.asarray(seeds, np.uint32))
    keys = jax.vmap(jax.random.split)(keys)[:, part]
    return jax.tree.map(np.asarray, jax.jit(partial(lax.map, function))(keys))
