"""How gradients flow back through the recurrent networks of many seeds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from seqgraph_jax.analysis.double import map_in_double, seed_keys
from seqgraph_jax.analysis.gradients import (
    carry_jacobians,
    gradient_flow,
    step_contributions,
)
from seqgraph_jax.analysis.layers import cell_params
from seqgraph_jax.recurrent.cells import CELLS
from seqgraph_jax.recurrent.networks import SequenceReader

_SEQUENCE = 17  # fold of a seed's key


class Flow(NamedTuple):
    """Gradients on their way back through T steps of S networks.

    ``norms`` are spectral norms of dh_T / d carry_k against T - k = 1 to T; ``parts``
    are norms of step k's part of the gradient of the loss with respect to the recurrent
    kernel against T - k = 0 to T - 2: that of step 1, which starts from a zero state,
    is 0.
    """

    norms: np.ndarray  # [S, T]
    parts: np.ndarray  # [S, T - 1]

    @property
    def factor(self) -> np.ndarray:
        """`growth` of the norms, ``[S]``."""
        return growth(self.norms)

    @property
    def shares(self) -> np.ndarray:
        """Parts as shares of the sum of their norms, ``[S, T - 1]``."""
        return self.parts / self.parts.sum(1, keepdims=True)

    @property
    def last(self) -> float:
        """Geometric mean of the norm over all T steps, over seeds that have one."""
        norms = self.norms[:, -1]
        with np.errstate(divide="ignore"):
            logs = np.log(norms[~np.isnan(norms)])
        return float(np.exp(logs.mean())) if len(logs) else float("nan")


def growth(norms: np.ndarray) -> np.ndarray:
    r"""Factor per step of norms against T - k, their geometric mean.

    .. math:: (f_T / f_1)^{1 / (T - 1)}

    Below 1 gradients vanish, above 1 they explode. Shapes: ``norms [..., T]``; factors
    ``[...]``.

    >>> growth(np.array([0.5, 1.0, 2.0])).item()
    2.0
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(
            (norms[..., -1] / norms[..., 0]) ** (1 / (norms.shape[-1] - 1))
        )


def network_flows(
    model: SequenceReader, task: Any, networks: Sequence[tuple[Any, Sequence[int]]]
) -> list[Flow]:
    """Gradients along one fresh sequence for each network, in double precision.

    ``networks`` are groups, parameters ``[S, ...]`` and their S seeds, which draw the
    sequences; one program measures all. ``task`` has ``sample`` and ``metrics``, of
    which the loss is taken.

    >>> from seqgraph_jax.tasks import Adding
    >>> task, model = Adding(delay=5), SequenceReader("rnn", 4, num_outputs=1)
    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> params = jax.vmap(model.init)(keys, jnp.ones((2, 1, 5, 2)))["params"]
    >>> [flow] = network_flows(model, task, [(params, [0, 1])])
    >>> flow.norms.shape, flow.parts.shape
    ((2, 5), (2, 4))
    """
    cell = CELLS[model.cell](features=model.features, **model.cell_options)

    def one(params: Any, batch: Any) -> tuple[jax.Array, jax.Array]:
        [own] = cell_params(params)
        inputs = batch.inputs  # [1, T, F]
        if model.num_symbols:
            inputs = params["embedding"][inputs]

        def loss(hidden: jax.Array) -> Any:
            head = params["head"]
            last = hidden[:, -model.num_answers :]
            outputs = last @ head["kernel"] + head["bias"][None, None]
            return task.metrics(outputs, batch.targets)["loss"]

        parts = step_contributions(cell, own, inputs, loss)
        norms = gradient_flow(carry_jacobians(cell, own, inputs[0]), model.features)
        return norms, jnp.linalg.norm(parts[1:], axis=(1, 2))[::-1]

    def draw(key: jax.Array) -> Any:
        return task.sample(jax.random.fold_in(key, _SEQUENCE), 1)

    trees, seeds = zip(*networks, strict=True)
    together = jax.tree.map(lambda *leaves: np.concatenate(leaves), *trees)
    # Drawn in the precision of training.
    batches = jax.jit(jax.vmap(draw))(seed_keys([s for group in seeds for s in group]))
    norms, parts = map_in_double(one, together, batches)
    ends = np.cumsum([len(group) for group in seeds])[:-1]
    split = zip(np.split(norms, ends), np.split(parts, ends), strict=True)
    return [Flow(*group) for group in split]
