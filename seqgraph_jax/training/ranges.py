"""Ranges and choices that stand in the types of a record's fields."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)


@dataclass(frozen=True)
class AtLeast:
    """A bound of a number, as in ``Annotated[int, AtLeast(1)]``.

    ``above`` leaves the bound itself out, and what is at ``below`` or higher, too.

    >>> AtLeast(1).holds(1), AtLeast(0, above=True).holds(0)
    (True, False)
    >>> str(AtLeast(0, above=True)), str(AtLeast(0, below=1))
    ('above 0', '0 to below 1')
    """

    bound: float
    above: bool = False
    below: float | None = None

    def holds(self, value: float) -> bool:
        """Whether a value keeps to the bounds; NaN does not."""
        low = value > self.bound if self.above else value >= self.bound
        return low and (self.below is None or value < self.below)

    def __str__(self) -> str:
        if self.below is not None:
            return f"{self.bound:g} to below {self.below:g}"
        return f"above {self.bound:g}" if self.above else f"{self.bound:g} or more"


Count = Annotated[int, AtLeast(1)]
FromZero = Annotated[int, AtLeast(0)]
Positive = Annotated[float, AtLeast(0, above=True)]
NotNegative = Annotated[float, AtLeast(0)]
Share = Annotated[float, AtLeast(0, below=1)]


def bounds_of(hint: Any) -> Iterator[AtLeast | tuple[Any, ...]]:
    """Bounds, and choices as a tuple, anywhere in a type.

    >>> list(bounds_of(tuple[Literal["a", "b"], ...] | None))
    [('a', 'b')]
    """
    if get_origin(hint) is Literal:
        yield get_args(hint)
    elif get_origin(hint) is Annotated:
        inner, *notes = get_args(hint)
        yield from (note for note in notes if isinstance(note, AtLeast))
        yield from bounds_of(inner)
    else:
        for inner in get_args(hint):
            yield from bounds_of(inner)


def check_ranges(record: Any, flags: bool = False) -> None:
    """Raise `ValueError` for a field's value out of the range or choice of its type.

    None keeps to any. With ``flags`` the field is named as on the command line.
    """
    for name, hint in get_type_hints(type(record), include_extras=True).items():
        given = getattr(record, name)
        for bound in bounds_of(hint):
            for value in given if isinstance(given, tuple) else (given,):
                if value is None or (
                    value in bound if isinstance(bound, tuple) else bound.holds(value)
                ):
                    continue
                must = join_words(bound, "or") if isinstance(bound, tuple) else bound
                shown = f"--{name.replace('_', '-')}" if flags else name
                raise ValueError(f"{shown} must be {must}, not {value}")


def kind_of(hint: Any) -> Any:
    """What one value of a type is: int, float, or choices; None for anything else.

    >>> kind_of(Annotated[int, AtLeast(1)] | None), kind_of(tuple[int, ...])
    (<class 'int'>, None)
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return kind_of(inner[0])
    if origin in (Union, UnionType):
        others = [kind for kind in inner if kind is not NoneType]
        return kind_of(others[0]) if len(others) == 1 else None
    return hint if origin is Literal or hint in (int, float) else None


def value_of(kind: Any, word: str) -> Any:
    """A word as a value of what `kind_of` gives; raises `ValueError`, a sentence.

    >>> value_of(float, "1e-3"), value_of(Literal["sum", "mean"], "mean")
    (0.001, 'mean')
    """
    if get_origin(kind) is Literal:
        if word in get_args(kind):
            return word
        raise ValueError(f"{word!r} is not {join_words(get_args(kind), 'or')}")
    try:
        value = kind(word)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        number = "whole number" if kind is int else "number"
        raise ValueError(f"{word!r} is no {number}")
    return value


def join_words(words: Any, last: str = "and") -> str:
    """Words as a sentence lists them.

    >>> join_words(["a", "b", "c"], "or"), join_words(["a"])
    ('a, b or c', 'a')
    """
    *rest, end = map(str, words)
    return f"{', '.join(rest)} {last} {end}" if rest else end
