"""What training asks of a task, and the abilities that a task may have beside it.

A task has an ability by having its method; nothing else is looked for.
"""

from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jax import lax
from jax.interpreters import partial_eval


class Task(Protocol):
    """Draws batches, and judges what a network makes of them.

    ``metrics`` is a `Metrics`, which says what its numbers are, or a function
    ``(outputs, targets) -> {name: scalar}``; ``"loss"`` is what training lowers. The
    class is registered with JAX: `jax.tree_util.register_static` if it holds plain
    values, `jax.tree_util.register_dataclass` if it holds arrays, which then travel as
    arguments of the compiled program.
    """

    @property
    def metrics(self) -> Any: ...

    def sample(self, key: jax.Array, batch_size: int) -> Any:
        """A batch with ``inputs`` and ``targets``; the same for the same key."""


@runtime_checkable
class Evaluated(Protocol):
    """Networks are evaluated on a batch of its own, not on a sample."""

    def evaluation(self, key: jax.Array, size: int) -> Any:
        """The batch; ``size`` examples where there is a choice."""


@runtime_checkable
class Stateful(Protocol):
    """Batches follow one another, and the hidden state goes with them.

    Its network has ``initial_carry(batch_size)``, takes a carry as second argument and
    returns one first.
    """

    def follow(self, step: jax.Array, batch_size: int) -> Any:
        """The batch of update ``step``, which goes on where the one before ended."""


@runtime_checkable
class Tested(Protocol):
    """Trained networks are finally judged on sets of examples."""

    def test_sets(self) -> dict[str, Any]:
        """Batches by name."""


@runtime_checkable
class OneBatch(Protocol):
    """Has one batch, its whole data, whatever the key: every update sees it."""

    one_batch: bool


@runtime_checkable
class Divisible(Protocol):
    """Of a batch's examples, ``[B, ...]``, each counts equally, whatever it is.

    So the mean over a batch is the mean of those of its equal parts, which may lie on
    different devices.
    """

    divisible: bool


@runtime_checkable
class Ahead(Protocol):
    """Where ``ahead`` is true, the batches of an evaluation period are drawn at once.

    The host gathers them then, in one call before the period's first update.
    """

    ahead: bool


@runtime_checkable
class Checked(Protocol):
    """Knows on the host what its arrays must hold."""

    def check(self) -> None:
        """Raise `ValueError`, one sentence that says what to do, if they do not."""


def check_task(task: Any) -> None:
    """Raise `ValueError`, saying what to do, for a task that cannot be trained on.

    It is not registered with JAX, or it says itself that something is wrong.
    """
    for leaf in jax.tree.leaves(task):
        if not isinstance(leaf, jax.Array | np.ndarray | np.generic | int | float):
            name = type(leaf).__name__
            raise ValueError(
                f"{name} is not registered with JAX: put "
                "@jax.tree_util.register_static above a frozen dataclass of plain "
                "values, or @jax.tree_util.register_dataclass above one with arrays"
            )
    if isinstance(task, Checked):
        task.check()


def check_key(task: Task, batch_size: int) -> None:
    """Raise `ValueError` for batches that do not depend on the key, unless it is said.

    A task that draws with NumPy would draw once, while its program is compiled, and
    every update would see that batch again. Nothing is computed.
    """
    if isinstance(task, Stateful) or getattr(task, "one_batch", False):
        return
    key = jax.random.key(0)
    jaxpr = jax.make_jaxpr(lambda key: task.sample(key, batch_size))(key).jaxpr
    _, used = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    if not any(used):
        raise ValueError(
            f"the batches of {type(task).__name__} do not depend on their key, so all "
            "updates would see one: draw them with jax.random, or say one_batch = True "
            "if the task has no other"
        )


def check_parts(task: Task, batch_size: int, num_parts: int) -> None:
    """Raise `ValueError` if a batch cannot be parted into as many equal parts."""
    if num_parts <= 1:
        return
    if not isinstance(task, Divisible):
        raise ValueError(
            f"batches of {type(task).__name__} cannot be parted over devices: its "
            "class does not say divisible = True, that each example counts equally"
        )
    if batch_size % num_parts:
        raise ValueError(
            f"a batch of {batch_size} cannot be parted equally over {num_parts} devices"
        )


def part_of(batch: Any, axis: str) -> Any:
    """This device's rows of a batch ``[B, ...]`` that is parted over a mesh axis."""

    def rows(leaf: jax.Array) -> jax.Array:
        size = len(leaf) // lax.axis_size(axis)
        return lax.dynamic_slice_in_dim(leaf, lax.axis_index(axis) * size, size)

    return jax.tree.map(rows, batch)


def check_batch(model: Any, task: Task, params: Any, batch: Any) -> None:
    """Raise `ValueError` where network and targets of a batch do not fit.

    What looks at values, such as at symbols, classes or weights of edges, sees those of
    the batch; parameters are shapes alone, and nothing is computed.
    """

    def known(leaf: Any) -> Any:
        plain = not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.extended)
        return np.asarray(leaf) if plain else leaf

    batch = jax.tree.map(known, batch)
    jax.eval_shape(
        lambda params: task.metrics(
            model.apply({"params": params}, batch.inputs), batch.targets
        ),
        params,
    )
