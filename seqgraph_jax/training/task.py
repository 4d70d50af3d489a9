"""What training asks of a task, and the abilities that a task may have beside it.

A task has an ability by having its method; nothing else is looked for.
"""

from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np


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
