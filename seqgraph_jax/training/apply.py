"""The outputs of many seeds' networks on the same inputs."""

from functools import partial
from typing import Any, cast

import flax.linen as nn
import jax
import numpy as np
from jax import lax

from seqgraph_jax.training.lanes import (
    Width,
    collect,
    lay_out,
    map_seeds,
    resolve_width,
    spread,
)
from seqgraph_jax.training.setup import set_up


def apply_seeds(
    model: nn.Module,
    params: Any,
    inputs: Any,
    width: Width = "auto",
    batch_size: int | None = 1024,
) -> np.ndarray:
    """Outputs of every seed's network on the same inputs, ``[S, N, ...]``.

    ``params`` has a leading axis S; the N inputs go through in groups of
    ``batch_size``. With None they go through as they are, such as a graph.
    """
    set_up()
    num_seeds = len(jax.tree.leaves(params)[0])
    layout = lay_out(num_seeds, resolve_width(width, num_seeds))
    lanes = spread(params, layout)
    one = partial(_apply_one, model, batch_size)
    return collect(map_seeds(one, inputs, lanes, layout)(lanes), layout)


def _apply_one(
    model: nn.Module, batch_size: int | None, inputs: Any, params: Any
) -> jax.Array:
    if batch_size is None:
        return cast(jax.Array, model.apply({"params": params}, inputs))

    def apply(one: Any) -> jax.Array:
        batch_of_one = jax.tree.map(lambda leaf: leaf[None], one)
        return model.apply({"params": params}, batch_of_one)[0]

    return lax.map(apply, inputs, batch_size=batch_size)
