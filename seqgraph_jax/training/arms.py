"""What is trained: an `Arm`, or many that differ in numbers alone, as one program.

A number that changes neither shapes nor code can be an argument of the compiled
program. Then it lies beside the seeds' keys, and one compilation serves all its values.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
import optax
from flax.core import FrozenDict
from jax.interpreters import partial_eval

from seqgraph_jax.training.config import TrainConfig
from seqgraph_jax.training.loop import Keys, init, update
from seqgraph_jax.training.metrics import judged_by
from seqgraph_jax.training.optimizers import TRACED, optimizer
from seqgraph_jax.training.ranges import join_words
from seqgraph_jax.training.task import Task, check_task

#: Numbers within a network that set its initial values and nothing else.
INITIAL = ("cell_options.forget_bias",)


class Arm(NamedTuple):
    """What one side of a comparison is trained with.

    ``task`` is one for all seeds, or a sequence with one for each. ``tx`` is any optax
    transformation, instead of the optimiser of ``config``. ``numbers`` are settings by
    name with a value for each of G points, which take the place of those of ``config``
    and ``model``: every seed is trained once for each point. ``vary`` is what seeds
    differ in (`Keys`); in all else they are as the first one. With ``cross`` every seed
    is trained once with what each of the seeds draws for these, see `train_seeds`.
    """

    model: nn.Module
    task: Task | Sequence[Task]
    config: TrainConfig
    tx: optax.GradientTransformation | None = None
    numbers: Mapping[str, tuple[float, ...]] = MappingProxyType({})
    vary: tuple[str, ...] = Keys._fields
    cross: tuple[str, ...] = ()

    @property
    def first_task(self) -> Any:
        """The task of the first seed, which may be that of all."""
        return self.task[0] if isinstance(self.task, Sequence) else self.task

    @property
    def num_points(self) -> int:
        """Points G; 1 without numbers."""
        return len(next(iter(self.numbers.values()), (0.0,)))

    def at(
        self, numbers: Mapping[str, jax.Array | float]
    ) -> tuple[nn.Module, optax.GradientTransformation | None]:
        """Network and optimiser with one point's numbers, which may be traced."""
        model, tx = self.model, self.tx
        for name in INITIAL:
            if name in numbers:
                model = with_field(model, name, numbers[name])
        traced = {name: value for name, value in numbers.items() if name in TRACED}
        return model, optimizer(self.config, traced) if traced else tx


def check_arm(arm: Arm) -> None:
    """Raise `ValueError` for a task or a metric that cannot be trained with."""
    check_task(arm.first_task)
    judged_by(arm.first_task, arm.config.metric)


def check_vary(arm: Arm, num_seeds: int) -> None:
    """Raise `ValueError` if nothing would differ between the seeds of an arm.

    Its first update is traced to see which of the keys it depends on. Nothing is
    computed.
    """
    unknown = [name for name in (*arm.vary, *arm.cross) if name not in Keys._fields]
    if unknown:
        choices = join_words(Keys._fields, "or")
        raise ValueError(f"vary takes {choices}, not {unknown[0]!r}")
    if {*arm.vary} & {*arm.cross}:
        raise ValueError(f"{min({*arm.vary} & {*arm.cross})} is crossed with itself")
    if arm.cross:
        alone = arm._replace(task=arm.first_task, vary=arm.cross, cross=())
        check_vary(alone, num_seeds)
    if isinstance(arm.task, Sequence):
        each = len(arm.task) // num_seeds
        seeds = [arm.task[k : k + each] for k in range(0, len(arm.task), each)]
        if not same_tasks(seeds):
            return

    def first_update(keys: Keys, task: Any) -> Any:
        settings = (task, arm.config, keys)
        state = init(arm.model, *settings, tx=arm.tx)
        return update(arm.model, *settings, state, tx=arm.tx)

    keys = Keys(*[jax.random.key(0)] * 3)
    jaxpr = jax.make_jaxpr(first_update)(keys, arm.first_task).jaxpr
    _, used = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    uses = dict(zip(Keys._fields, used, strict=False))
    if not any(uses[name] for name in arm.vary):
        words = f"depends on {join_words(arm.vary, 'or')}" if arm.vary else "is varied"
        raise ValueError(f"seeds would be copies of the first: nothing here {words}")


def with_field(model: nn.Module, name: str, value: Any) -> nn.Module:
    """The network with another value of a field, or of an entry of one (dotted).

    >>> from seqgraph_jax import SequenceClassifier
    >>> model = SequenceClassifier("lstm", 4, 3, 2)
    >>> with_field(model, "cell_options.forget_bias", 2.0).cell_options["forget_bias"]
    2.0
    """
    outer, _, inner = name.partition(".")
    if inner:
        value = FrozenDict({**getattr(model, outer), inner: value})
    return model.clone(**{outer: value})


def with_setting(arm: Arm, name: str, value: Any) -> Arm:
    """The arm with another value of a setting, by its name.

    It is a field of `TrainConfig` or of the network, or an entry of one of the
    network's fields, such as ``"cell_options.forget_bias"``. Raises `ValueError` for an
    unknown name, a value out of range, and for what ``tx`` decides.
    """
    ours = [f.name for f in fields(TrainConfig)]
    known = getattr(arm.model, "__dataclass_fields__", {})
    theirs = [name for name in known if name not in ("parent", "name")]
    outer, _, inner = name.partition(".")
    if name in ours:
        if arm.tx is not None and name in (*TRACED, "optimizer", "schedule", "warmup"):
            raise ValueError(f"{name} changes nothing, since tx is the optimiser")
        return arm._replace(config=replace(arm.config, **{name: value}))
    inside = not inner or isinstance(getattr(arm.model, outer, None), Mapping)
    if outer in theirs and inside:
        return arm._replace(model=with_field(arm.model, name, value))
    raise ValueError(
        f"there is no setting {name!r}: of training there are {join_words(ours)}; of "
        f"{type(arm.model).__name__} {join_words(theirs)}, and what stands in "
        "one that holds options, with a dot between"
    )


class Program(NamedTuple):
    """Arms that one compiled program trains: ``members[g]`` are those of point g."""

    arm: Arm
    members: tuple[tuple[int, ...], ...]


def programs_of(arms: Sequence[Arm]) -> list[Program]:
    """Group arms that differ in numbers alone; equal ones are one point.

    >>> from dataclasses import replace
    >>> from seqgraph_jax import SequenceClassifier, tasks
    >>> task, config = tasks.RandomCombinations(size=4), TrainConfig()
    >>> arms = [
    ...     Arm(SequenceClassifier("gru", n, 4, 4), task, replace(config, max_norm=m))
    ...     for n in (2, 3) for m in (1.0, 5.0, 1.0)
    ... ]
    >>> [p.members for p in programs_of(arms)]
    [((0, 2), (1,)), ((3, 5), (4,))]
    """
    found: list[tuple[Arm, list[dict[str, float]], list[list[int]]]] = []
    for k, arm in enumerate(arms):
        rest, numbers = _apart(arm)
        for other, points, members in found:
            if _alike(rest, other) and points[0].keys() == numbers.keys():
                if numbers in points:
                    members[points.index(numbers)].append(k)
                else:
                    points.append(numbers)
                    members.append([k])
                break
        else:
            found.append((rest, [numbers], [[k]]))
    programs = []
    for _, points, members in found:
        differ = [n for n in points[0] if len({point[n] for point in points}) > 1]
        columns = {name: tuple(point[name] for point in points) for name in differ}
        arm = arms[members[0][0]]._replace(numbers=columns)
        programs.append(Program(arm, tuple(map(tuple, members))))
    return programs


def _apart(arm: Arm) -> tuple[Arm, dict[str, float]]:
    """The arm without its numbers, and these, by name."""
    numbers: dict[str, float] = {}
    if arm.tx is None:
        numbers = {name: float(getattr(arm.config, name)) for name in TRACED}
        same: dict[str, Any] = dict.fromkeys(TRACED, 1.0)
        arm = arm._replace(config=replace(arm.config, **same))
    for name in INITIAL:
        outer, _, inner = name.partition(".")
        options = getattr(arm.model, outer, None)
        if isinstance(options, Mapping) and inner in options:
            numbers[name] = float(options[inner])
            arm = arm._replace(model=with_field(arm.model, name, 0.0))
    return arm, numbers


def _alike(one: Arm, two: Arm) -> bool:
    same = [(arm.model, arm.config, arm.vary, arm.cross) for arm in (one, two)]
    return same[0] == same[1] and one.tx is two.tx and same_tasks([one.task, two.task])


def same_tasks(tasks: Iterable[Any]) -> bool:
    """Whether tasks, or sequences of them, are equal in structure and in every array.

    >>> from seqgraph_jax import tasks
    >>> same_tasks([tasks.BaumSweet(3), tasks.BaumSweet(3)])
    True
    """
    first, *others = tasks
    if all(other is first for other in others):
        return True
    leaves, structure = _flat(first)
    for other in others:
        found, another = _flat(other)
        if another != structure:
            return False
        pairs = zip(leaves, found, strict=True)
        if not all(x is y or np.array_equal(x, y) for x, y in pairs):
            return False
    return True


def _flat(task: Any) -> tuple[list[Any], Any]:
    leaves, structure = jax.tree.flatten(task)
    return leaves, structure
