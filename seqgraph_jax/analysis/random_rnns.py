"""Gradients of vanilla RNNs with random weights: exactness, radius, clipping.

Every function takes S seeds, reads standard normal inputs, and computes in double
precision.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from seqgraph_jax.analysis.double import map_in_double, seed_keys
from seqgraph_jax.analysis.flows import growth
from seqgraph_jax.analysis.gradients import (
    RNNWeights,
    carry_jacobians,
    gradient_flow,
    rnn_gradients,
    rnn_loss,
    step_contributions,
)
from seqgraph_jax.recurrent.cells import RNNCell

INPUTS, HIDDEN, CLASSES = 6, 16, 4  # sizes F, H and C of these networks


def random_rnn(
    key: jax.Array, spectral_radius: jax.Array | float | None = None
) -> RNNWeights:
    """A vanilla RNN with kernels N(0, 1 / fan_in).

    With a ``spectral_radius`` W_h is that number times an orthogonal matrix.

    >>> weights = random_rnn(jax.random.key(0), spectral_radius=2.0)
    >>> round(float(jnp.linalg.norm(weights.recurrent, 2)), 3)
    2.0
    """
    keys = jax.random.split(key, 5)
    recurrent = jax.random.normal(keys[1], (HIDDEN, HIDDEN)) / HIDDEN**0.5
    if spectral_radius is not None:
        recurrent = spectral_radius * jnp.linalg.qr(recurrent)[0]
    return RNNWeights(
        input=jax.random.normal(keys[0], (INPUTS, HIDDEN)) / INPUTS**0.5,
        recurrent=recurrent,
        bias=0.1 * jax.random.normal(keys[2], (HIDDEN,)),
        output=jax.random.normal(keys[3], (HIDDEN, CLASSES)) / HIDDEN**0.5,
        output_bias=jnp.zeros(CLASSES),
    )


def _inputs(key: jax.Array, length: int) -> jax.Array:
    return jax.random.normal(jax.random.fold_in(key, 1), (length, INPUTS))


def _as_cell(weights: RNNWeights) -> tuple[RNNCell, Any]:
    """The cell, and its parameters, whose equations `RNNWeights` belong to."""
    kernel = {"kernel": weights.input, "bias": weights.bias}
    params = {"input": kernel, "recurrent_kernel": weights.recurrent}
    return RNNCell(features=HIDDEN), params


def written_out_error(seeds: Sequence[int], length: int) -> np.ndarray:
    """How far the written-out gradients are from automatic ones, ``[S]``.

    The largest difference over all weights as a share of the largest gradient.

    >>> bool((written_out_error([0, 1], length=5) < 1e-12).all())
    True
    """

    def one(key: jax.Array) -> jax.Array:
        arguments = random_rnn(key), _inputs(key, length), jnp.zeros((), int)
        written, _ = rnn_gradients(*arguments)
        automatic = jax.grad(rnn_loss)(*arguments)
        differences = jax.tree.map(
            lambda a, b: jnp.abs(a - b).max(), written, automatic
        )
        largest = jax.tree.map(lambda a: jnp.abs(a).max(), automatic)
        return jnp.max(jnp.array(differences)) / jnp.max(jnp.array(largest))

    return np.asarray(map_in_double(one, seed_keys(seeds)))


class Sweep(NamedTuple):
    """Flow of vanilla RNNs whose W_h is one of R radii times an orthogonal matrix.

    ``norms`` and ``bounds`` are against T - k = 1 to T. The bound of a norm is
    ``(max |tanh'| sigma_max)^(T - k)`` with the largest slope and singular value met;
    ``slopes`` are means of tanh' over units and steps.
    """

    norms: np.ndarray  # [S, R, T]
    bounds: np.ndarray  # [S, R, T]
    slopes: np.ndarray  # [S, R]

    @property
    def factors(self) -> np.ndarray:
        """`growth` of the norms, ``[S, R]``."""
        return growth(self.norms)


def sweep(radii: Sequence[float], seeds: Sequence[int], length: int) -> Sweep:
    """How a gradient's flow over ``length`` steps depends on the radius.

    >>> found = sweep([0.5, 2.0], seeds=[0, 1, 2], length=10)
    >>> found.norms.shape, bool((found.factors[:, 0] < found.factors[:, 1]).all())
    ((3, 2, 10), True)
    """

    def one(key: jax.Array, spectral_radius: jax.Array) -> Any:
        cell, params = _as_cell(random_rnn(key, spectral_radius))
        jacobians = carry_jacobians(cell, params, _inputs(key, length))
        # J = diag(slopes) W_h^T: a row's norm is its slope times the radius.
        slopes = jnp.linalg.norm(jacobians, axis=-1) / spectral_radius
        bounds = (slopes.max() * spectral_radius) ** jnp.arange(1, length + 1)
        return gradient_flow(jacobians, HIDDEN), bounds, slopes.mean()

    return Sweep(*_over_radii(one, radii, seeds))


class Clipping(NamedTuple):
    """What clipping by global norm does to gradients, ``[S, R]`` each.

    Norm before and after, cosine between both, and the share of the last tenth of the
    steps in the sum of the norms of all parts of dL/dW_h, before and after.
    """

    before: np.ndarray
    after: np.ndarray
    cosine: np.ndarray
    late_before: np.ndarray
    late_after: np.ndarray


def clipping(
    radii: Sequence[float], seeds: Sequence[int], length: int, max_norm: float
) -> Clipping:
    """Clip the gradients of vanilla RNNs at ``max_norm``, for R radii of W_h.

    >>> found = clipping([0.5, 3.0], seeds=[0, 1], length=12, max_norm=0.25)
    >>> found.after.shape, bool((found.after < 0.2501).all())
    ((2, 2), True)
    """

    def one(key: jax.Array, spectral_radius: jax.Array) -> Any:
        weights, x = random_rnn(key, spectral_radius), _inputs(key, length)
        gradients = jax.grad(rnn_loss)(weights, x, 0)
        clip = optax.clip_by_global_norm(max_norm)
        clipped, _ = clip.update(gradients, clip.init(gradients))
        before, after = optax.tree.norm(gradients), optax.tree.norm(clipped)
        dot = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradients, clipped)))

        def loss(hidden: jax.Array) -> jax.Array:
            logits = hidden[0, -1] @ weights.output + weights.output_bias
            return optax.softmax_cross_entropy_with_integer_labels(logits, 0)

        cell, params = _as_cell(weights)
        parts = step_contributions(cell, params, x[None], loss)
        norms = jnp.linalg.norm(parts, axis=(1, 2))
        late, scale = norms[-max(1, length // 10) :], after / before
        return (
            before,
            after,
            dot / (before * after),
            late.sum() / norms.sum(),
            (scale * late).sum() / (scale * norms).sum(),
        )

    return Clipping(*_over_radii(one, radii, seeds))


def _over_radii(
    one: Callable[[jax.Array, jax.Array], Any],
    radii: Sequence[float],
    seeds: Sequence[int],
) -> Any:
    """``one(key, spectral_radius)`` for all seeds and radii: ``[S, R, ...]``."""
    by_radius = jax.vmap(one, in_axes=(None, 0))
    return map_in_double(lambda key: by_radius(key, jnp.array(radii)), seed_keys(seeds))


def border(radii: Sequence[float] | np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Radius at which each seed's factor first passes 1; NaN if nowhere.

    Between two radii the logarithm of the factor is taken as linear. Shapes:
    ``factors [S, R]``, of radii that rise; ``[S]``.

    >>> border([1.0, 2.0], np.array([[0.5, 2.0], [0.5, 0.9]])).tolist()
    [1.5, nan]
    """
    logs = np.log(factors)
    crossings = np.full(len(logs), np.nan)
    for s, row in enumerate(logs):
        above = np.flatnonzero((row[:-1] < 0) & (row[1:] >= 0))
        if len(above):
            r = above[0]
            share = -row[r] / (row[r + 1] - row[r])
            crossings[s] = radii[r] + share * (radii[r + 1] - radii[r])
    return crossings
