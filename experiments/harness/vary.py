"""``--vary``: what seeds differ in."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import seqgraph_jax as sg
from experiments.harness import cli
from experiments.harness.study import Report, Study
from seqgraph_jax.training.ranges import join_words

#: What a seed changes, in words.
VARIED = {"init": "initial values", "data": "batches", "dropout": "dropout"}
VARIED |= {"split": "splits of the data"}


def varied(
    build: Callable[[Any, tuple[int, ...]], Study],
    config: Any,
    seeds: tuple[int, ...],
    vary: Collection[str],
) -> Study:
    """The study whose seeds differ in what varies, and in all else are as the first.

    Raises `ValueError` for what cannot be trained, and if seeds would not differ.
    """
    of_splits = seeds if "split" in vary else seeds[:1] * len(seeds)
    study = build(config, of_splits)
    keys = tuple(name for name in sg.training.loop.Keys._fields if name in vary)
    arms = {name: arm._replace(vary=keys) for name, arm in study.arms.items()}
    for arm in arms.values():
        sg.training.check_arm(arm)
        if {*vary} != {*cli.VARY}:
            sg.training.arms.check_vary(arm, len(seeds))
    return replace(study, arms=arms)


def with_varied(report: Report, vary: Collection[str], seeds: Sequence[int]) -> Report:
    """The report, with a note on what seeds do not differ in."""
    if {*vary} == {*cli.VARY}:
        return report
    theirs, others = (
        join_words([words for name, words in VARIED.items() if (name in vary) is given])
        for given in (True, False)
    )
    note = (
        f"Seeds differ in {theirs} alone; {others} are those of seed {seeds[0]} for "
        "all, and intervals and tests say nothing of what others would give."
    )
    return replace(report, notes=[*report.notes, note])
