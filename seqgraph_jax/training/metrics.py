"""What a number says: `Metric`, the record that training, tables and verdicts read."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True)
class Metric:
    """A number that a task gives: its words, its unit, and which way is better.

    ``name`` is its key. ``label`` stands in tables and at axes (the name, if it is
    empty). What is shown is ``scale`` times the value, in ``unit``, to ``digits``
    significant digits; a percentage, whose unit is ``"%"``, to two decimals. ``better``
    is ``"lower"`` or ``"higher"``; without it the number can be shown and compared, but
    nothing can be chosen by it. ``words`` are a verdict's for a lower and for a higher
    value. ``in_training`` marks numbers of the batches that are trained on. No value
    lies beyond its ``bounds``, and so no interval that is shown does.

    >>> error = Metric("mae", "mean absolute error", unit="minutes", better="lower")
    >>> error.axis, error.show(2.34567)
    ('mean absolute error (minutes)', '2.346 minutes')
    >>> error.verdict_words[0]
    'has a lower mean absolute error than'
    """

    name: str
    label: str = ""
    unit: str = ""
    scale: float = 1.0
    better: Literal["lower", "higher"] | None = None
    digits: int = 4
    words: tuple[str, str] | None = None
    in_training: bool = False
    bounds: tuple[float, float] | None = None

    @property
    def words_for_it(self) -> str:
        """The label, or the name without underscores."""
        return self.label or self.name.replace("_", " ")

    @property
    def axis(self) -> str:
        """Label of an axis, with the unit."""
        return self.words_for_it + (f" ({self.unit})" if self.unit else "")

    @property
    def verdict_words(self) -> tuple[str, str]:
        """Between two arms, where the first has the lower and the higher value."""
        label = self.words_for_it
        return self.words or (f"has a lower {label} than", f"has a higher {label} than")

    @property
    def difference_unit(self) -> str:
        """Unit of a difference of what is shown: points, of percentages."""
        return "points" if self.unit == "%" else self.unit

    @property
    def shown_bounds(self) -> tuple[float, float] | None:
        """Bounds of what is shown."""
        if self.bounds is None:
            return None
        return self.scale * self.bounds[0], self.scale * self.bounds[1]

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is; `ValueError` if it is unsaid."""
        if self.better is None:
            raise ValueError(
                f"metric {self.name!r} does not say which way is better: "
                f'Metric({self.name!r}, better="lower") or "higher"'
            )
        return 1 if self.better == "higher" else -1

    def show(self, value: float, unit: bool = True) -> str:
        """A value as it is printed; ``none`` if there is none.

        Without ``unit``, which then stands in the head of a table, percent stays.
        """
        if not math.isfinite(value):
            return "none"
        if self.unit == "%":
            return percent(value * self.scale / 100)
        text = number(self.scale * value, self.digits)
        return f"{text} {self.unit}" if self.unit and unit else text

    def of_training(self) -> "Metric":
        """The same of the batches that are trained on, ``train_NAME``."""
        return replace(
            self,
            name=f"train_{self.name}",
            label=f"training {self.words_for_it}",
            words=None,
            in_training=True,
        )


@dataclass(frozen=True)
class Metrics:
    """A function ``(outputs, targets) -> {name: scalar}``, and what its numbers are.

    ``"loss"`` must be among the numbers: training lowers it. The first of ``records``
    is what convergence and the best parameters are judged by, unless
    ``TrainConfig.metric`` names another.

    >>> import jax.numpy as jnp
    >>> def errors(outputs, targets):
    ...     error = outputs - targets
    ...     return {"loss": (error**2).mean(), "mae": jnp.abs(error).mean()}
    >>> metrics = Metrics(errors, (Metric("mae", unit="m", better="lower"), LOSS))
    >>> float(metrics(jnp.array([1.0, 2.0]), jnp.array([1.0, 4.0]))["mae"])
    1.0
    """

    function: Callable[..., dict[str, Any]]
    records: tuple[Metric, ...]

    def __call__(self, *args: Any) -> dict[str, Any]:
        return self.function(*args)


SHARE, FROM_ZERO = (0.0, 1.0), (0.0, math.inf)  # bounds
LOSS = Metric("loss", "loss", better="lower")
CROSS_ENTROPY = Metric("loss", "loss", unit="nats", better="lower", bounds=FROM_ZERO)
ACCURACY = Metric(
    "accuracy", "accuracy", unit="%", scale=100, better="higher", bounds=SHARE
)
UPDATES_TO_CONVERGE = Metric(
    "updates_to_converge",
    "updates to converge",
    unit="updates",
    better="lower",
    words=("converges earlier than", "converges later than"),
    bounds=FROM_ZERO,
)


def records_of(task: Any) -> dict[str, Metric]:
    """By name, what a task says of its numbers; of the loss alone, if it says nothing.

    >>> from seqgraph_jax.tasks import BaumSweet
    >>> list(records_of(BaumSweet()))
    ['accuracy', 'loss']
    """
    metrics = task.metrics
    records = metrics.records if isinstance(metrics, Metrics) else (LOSS,)
    return {record.name: record for record in records}


def judged_by(task: Any, name: str | None) -> Metric:
    """The metric that seeds are judged by: the one named, or the task's first.

    Raises `ValueError` for a name that the task does not know, and for a metric that
    does not say which way is better.
    """
    records = records_of(task)
    name = name or next(iter(records))
    if name not in records:
        known = ", ".join(records)
        raise ValueError(f"metric {name!r} is unknown: the task declares {known}")
    assert records[name].sign  # or it raises
    return records[name]


def number(value: float, digits: int = 4) -> str:
    """A number to ``digits`` significant digits, ``none`` if there is none.

    >>> number(1234567.0), number(0.25), number(float("nan"))
    ('1,234,567', '0.25', 'none')
    """
    if not math.isfinite(value):
        return "none"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def counted(number: int, noun: str) -> str:
    """A number of things, one of them without an s.

    >>> counted(1, "seed"), counted(20, "seed")
    ('1 seed', '20 seeds')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """A share in percent, to two decimals; 100 % and 0 % stand for 1 and 0 alone.

    >>> percent(1.0), percent(0.9999999), percent(0.899999), percent(float("nan"))
    ('100 %', '99.99 %', '90.00 %', 'none')
    """
    if not math.isfinite(share):
        return "none"
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    rounded = round(100 * share, 2) + 0.0  # no negative zero
    if 0 < share < 1:
        rounded = min(max(rounded, 0.01), 99.99)
    return f"{rounded:.2f} %"
