"""What experiments.gradients measures: exactness, flow, spectral radius, clipping.

Every function takes seeds and returns arrays with a leading axis S; nothing is drawn.
Gradients that vanish soon pass the smallest number of single precision, 1e-45, so all
are measured in double precision.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import seqgraph_jax as sg
from seqgraph_jax.analysis.gradients import (
    RNNWeights,
    carry_jacobians,
    gradient_flow,
    rnn_gradients,
    rnn_loss,
    step_contributions,
)
from seqgraph_jax.tasks.delays import Adding, Copy

SIZES = {"inputs": 6, "hidden": 16, "classes": 4}  # of the vanilla RNN


def keys_of(seeds: Sequence[int]) -> jax.Array:
    return jax.vmap(jax.random.key)(np.asarray(seeds, np.uint32))


def random_rnn(key: jax.Array, radius: float | None = None) -> RNNWeights:
    """A vanilla RNN: kernels N(0, 1 / fan_in), or W_h = ``radius`` times orthogonal."""
    f, h, c = SIZES.values()
    keys = jax.random.split(key, 5)
    recurrent = jax.random.normal(keys[1], (h, h)) / h**0.5
    if radius is not None:
        recurrent = radius * jnp.linalg.qr(recurrent)[0]
    return RNNWeights(
        input=jax.random.normal(keys[0], (f, h)) / f**0.5,
        recurrent=recurrent,
        bias=0.1 * jax.random.normal(keys[2], (h,)),
        output=jax.random.normal(keys[3], (h, c)) / h**0.5,
        output_bias=jnp.zeros(c),
    )


def _measure(
    one: Callable[..., dict[str, jax.Array]], seeds: Sequence[int], *rows: Any
) -> dict[str, np.ndarray]:
    """``one(key, *rows)`` for every seed, ``[S, ...]``, in double precision."""

    def double(leaf: Any) -> np.ndarray:
        leaf = np.asarray(leaf)
        return leaf.astype(np.float64) if leaf.dtype == np.float32 else leaf

    with jax.enable_x64(True):
        mapped = jax.jit(lambda *all_rows: jax.lax.map(lambda a: one(*a), all_rows))
        found = mapped(keys_of(seeds), *jax.tree.map(double, rows))
        return {name: np.asarray(values) for name, values in found.items()}


def exactness(seeds: Sequence[int], length: int) -> dict[str, np.ndarray]:
    """The written-out gradients against automatic ones.

    ``{"difference" [S], "parts" [S, T]}``: the largest difference over all weights as a
    share of the largest gradient, and norms of each step's part of dL/dW_h.
    """

    def one(key: jax.Array) -> dict[str, jax.Array]:
        weights = random_rnn(key)
        x = jax.random.normal(jax.random.fold_in(key, 1), (length, SIZES["inputs"]))
        written, parts = rnn_gradients(weights, x, 0)
        automatic = jax.grad(rnn_loss)(weights, x, 0)
        differences = jax.tree.map(
            lambda a, b: jnp.abs(a - b).max(), written, automatic
        )
        largest = jax.tree.map(lambda a: jnp.abs(a).max(), automatic)
        return {
            "difference": jnp.max(jnp.array(differences)) / jnp.max(jnp.array(largest)),
            "parts": jnp.linalg.norm(parts, axis=(1, 2)),
        }

    return _measure(one, seeds)


def reader(
    cell: str, features: int, task: Copy | Adding, **options: Any
) -> sg.SequenceReader:
    """The network that learns the task."""
    copies = isinstance(task, Copy)
    return sg.SequenceReader(
        cell,
        features,
        num_outputs=task.num_classes if copies else 1,
        num_answers=task.num_copied if copies else 1,
        num_symbols=task.num_symbols if copies else 0,
        cell_options=options,
    )


def flow(
    model: sg.SequenceReader, task: Copy | Adding, params: Any, seeds: Sequence[int]
) -> dict[str, np.ndarray]:
    """Gradients along one fresh sequence for each seed; ``params [S, ...]``.

    ``{"flow" [S, T], "parts" [S, T - 1]}``: spectral norm of dh_T / d carry_k against
    T - k = 1 to T, and norm of step k's part of the gradient of the loss with respect
    to the recurrent kernel against T - k = 0 to T - 2; that of step 1, which starts
    from a zero state, is 0.
    """
    cell = sg.CELLS[model.cell](features=model.features, **model.cell_options)

    def one(_: jax.Array, params: Any, batch: Any) -> dict[str, jax.Array]:
        [own] = (v for k, v in params.items() if k not in ("embedding", "head"))
        inputs = batch.inputs  # [1, T, F]
        if model.num_symbols:
            inputs = params["embedding"][inputs]

        def loss(hidden: jax.Array) -> jax.Array:
            head = params["head"]
            last = hidden[:, -model.num_answers :]
            outputs = last @ head["kernel"] + head["bias"][None, None]
            return task.metrics(outputs, batch.targets)["loss"]

        parts = step_contributions(cell, own, inputs, loss)
        return {
            "flow": gradient_flow(carry_jacobians(cell, own, inputs[0]), cell.features),
            "parts": jnp.linalg.norm(parts[1:], axis=(1, 2))[::-1],
        }

    # Drawn in the precision of training.
    draw = jax.jit(jax.vmap(lambda key: task.sample(jax.random.fold_in(key, 17), 1)))
    return _measure(one, seeds, params, draw(keys_of(seeds)))


def initial_params(models: Any, task: Copy | Adding, seeds: Sequence[int]) -> Any:
    """Parameters ``[S, ...]`` that training starts from, for a model or a tree of them.

    One program draws all: what models have in common is compiled once.
    """
    config = sg.TrainConfig(batch_size=1)

    def one(key: jax.Array) -> Any:
        return jax.tree.map(
            lambda model: sg.training.init(model, task, config, key).params, models
        )

    return jax.jit(lambda keys: jax.lax.map(one, keys))(keys_of(seeds))


def sweep(
    radii: Sequence[float], seeds: Sequence[int], length: int
) -> dict[str, np.ndarray]:
    r"""Flow of vanilla RNNs whose W_h is a radius times an orthogonal matrix.

    ``{"flow", "bound" [S, R, T]}`` against T - k, where the bound is
    ``(max |tanh'| sigma_max)^(T - k)`` with the largest slope and singular value met.
    """

    def one(key: jax.Array, radius: jax.Array) -> dict[str, jax.Array]:
        weights = random_rnn(key, radius)
        x = jax.random.normal(jax.random.fold_in(key, 1), (length, SIZES["inputs"]))
        cell, params = vanilla_cell(weights)
        jacobians = carry_jacobians(cell, params, x)
        # J = diag(slopes) W_h^T: a row's norm is its slope times the radius.
        slopes = jnp.linalg.norm(jacobians, axis=-1) / radius
        steps = jnp.arange(1, length + 1)
        return {
            "flow": gradient_flow(jacobians, SIZES["hidden"]),
            "bound": (slopes.max() * radius) ** steps,
            "slopes": slopes.mean(),
        }

    return _over_radii(one, radii, seeds)


def clipping(
    radii: Sequence[float], seeds: Sequence[int], length: int, max_norm: float
) -> dict[str, np.ndarray]:
    """What clipping by global norm does to gradients of vanilla RNNs, ``[S, R]`` each.

    Norm before and after, cosine between both, and the share of the last tenth of the
    steps in the sum of the norms of all parts of dL/dW_h, before and after.
    """

    def one(key: jax.Array, radius: jax.Array) -> dict[str, jax.Array]:
        weights = random_rnn(key, radius)
        x = jax.random.normal(jax.random.fold_in(key, 1), (length, SIZES["inputs"]))
        gradients = jax.grad(rnn_loss)(weights, x, 0)
        clip = optax.clip_by_global_norm(max_norm)
        clipped, _ = clip.update(gradients, clip.init(gradients))
        before, after = optax.tree.norm(gradients), optax.tree.norm(clipped)
        dot = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradients, clipped)))

        def loss(hidden: jax.Array) -> jax.Array:
            logits = hidden[0, -1] @ weights.output + weights.output_bias
            return optax.softmax_cross_entropy_with_integer_labels(logits, 0)

        cell, params = vanilla_cell(weights)
        norms = jnp.linalg.norm(
            step_contributions(cell, params, x[None], loss), axis=(1, 2)
        )
        late, scale = norms[-max(1, length // 10) :], after / before
        return {
            "before": before,
            "after": after,
            "cosine": dot / (before * after),
            "late_before": late.sum() / norms.sum(),
            "late_after": (scale * late).sum() / (scale * norms).sum(),
        }

    return _over_radii(one, radii, seeds)


def vanilla_cell(weights: RNNWeights) -> tuple[sg.RNNCell, Any]:
    """The cell, and its parameters, whose equations `RNNWeights` belong to."""
    kernel = {"kernel": weights.input, "bias": weights.bias}
    params = {"input": kernel, "recurrent_kernel": weights.recurrent}
    return sg.RNNCell(features=SIZES["hidden"]), params


def _over_radii(
    one: Callable[[jax.Array, jax.Array], dict[str, jax.Array]],
    radii: Sequence[float],
    seeds: Sequence[int],
) -> dict[str, np.ndarray]:
    """``one(key, radius)`` for all seeds and radii: ``[S, R, ...]``."""
    by_radius = jax.vmap(one, in_axes=(None, 0))
    return _measure(lambda key: by_radius(key, jnp.array(radii)), seeds)
