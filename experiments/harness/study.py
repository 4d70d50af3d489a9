"""A study: what is trained, and what came out of it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import seqgraph_jax as sg


class Trained(NamedTuple):
    """What a study has in hand when its report is written."""

    seeds: tuple[int, ...]
    runs: "Mapping[str, sg.Run]"  # by arm
    directory: Path
    smoke: bool


@dataclass(frozen=True)
class Report:
    """What came out.

    ``arms`` are the runs, with what was measured after training, and what was measured
    without; ``verdicts`` are printed, and so are the sections marked for it, ``notes``
    on what a reader must know, and the ``closing`` lines. ``extra`` goes into
    results.json.
    """

    arms: "Mapping[str, sg.Run | sg.Measured]"
    verdicts: Sequence[str]
    sections: "Sequence[sg.Section]"
    comparisons: Sequence[Any] = ()  # of `sg.compare`
    notes: Sequence[str] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    closing: Sequence[str] = ()


@dataclass(frozen=True)
class Study:
    """What is trained, and what is made of it.

    ``arms`` share seeds and, as ``parts``, an axis beside them; without arms nothing is
    trained. ``report`` makes the report of what was trained. ``settings`` are written
    beside the configuration's; ``start`` writes what else the directory needs.
    ``status`` stands beside an arm's bar and ``line`` is printed above it at every
    evaluation; checkpoints at ``keep_steps`` stay.
    """

    title: str
    report: Callable[[Trained], Report]
    arms: "Mapping[str, sg.Arm]" = field(default_factory=dict)
    parts: "sg.Parts | None" = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    start: Callable[[Path], None] = lambda directory: None
    status: "Callable[[sg.Run], str] | None" = None
    line: "Callable[[sg.Run], str] | None" = None
    keep_steps: Collection[int] = ()
    seeds: tuple[int, ...] = ()  # of what is measured, where flags do not choose them
