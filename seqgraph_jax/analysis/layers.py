"""Where a network keeps the parameters of its recurrent layers."""

from collections.abc import Mapping
from typing import Any

import jax


def cell_params(params: Mapping[str, Any]) -> list[Any]:
    """Parameters of every recurrent layer's cell, the lowest layer first.

    ``params`` are those of a network that reads in one direction, such as
    `SequenceClassifier`, `SequenceReader` and `CharLM`.

    >>> import jax.numpy as jnp
    >>> from seqgraph_jax.recurrent.networks import SequenceReader
    >>> model, inputs = SequenceReader("gru", 8, num_outputs=1), jnp.ones((1, 3, 2))
    >>> [cell] = cell_params(model.init(jax.random.key(0), inputs)["params"])
    >>> cell["input"]["kernel"].shape
    (2, 24)
    """
    count = sum(name.startswith("layer_") for name in params)
    return [params[f"layer_{n}"] for n in range(count)]


def rows_of(params: Any, rows: Any) -> Any:
    """One row of parameters of S seeds, or a slice: ``leaf[rows]`` of every one.

    >>> rows_of({"bias": jax.numpy.array([[1.0], [2.0]])}, 1)["bias"].tolist()
    [2.0]
    """
    return jax.tree.map(lambda leaf: leaf[rows], params)
