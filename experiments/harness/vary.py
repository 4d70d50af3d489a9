"""``--vary``: what seeds differ in, and two sources that are crossed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

import seqgraph_jax as sg
from experiments.harness.cli import VARY
from experiments.harness.command import UsageError
from experiments.harness.study import Report, Study
from seqgraph_jax.training.ranges import join_words

#: What a seed changes, in words.
VARIED = {"init": "initial values", "data": "batches", "dropout": "dropout"}
VARIED |= {"split": "splits of the data"}
CROSSED = 6  # seeds that are crossed, if no flag says how many


class Vary(NamedTuple):
    """What seeds differ in; with ``cross`` each is trained with each one's of these."""

    seeds: tuple[str, ...] = VARY
    cross: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        """Whether seeds differ in all that they can."""
        return {*self.seeds} == {*VARY}

    @property
    def sources(self) -> tuple[str, str]:
        """What is crossed, in words."""
        return words_for(self.seeds), words_for(self.cross)


def read_vary(words: Sequence[str]) -> Vary:
    """What ``--vary`` says.

    Raises `UsageError` for what is no source, and for more than two that are crossed.

    >>> read_vary(["init*data+dropout"])
    Vary(seeds=('init',), cross=('data', 'dropout'))
    """
    crossed = any("*" in word for word in words)
    sides = [tuple(side.split("+")) for word in words for side in word.split("*")]
    known = join_words(VARY, "and")
    for name in sum(sides, ()):
        if name not in VARY:
            raise UsageError(f"--vary takes {known}, and A*B of two, not {name!r}")
    if not crossed:
        return Vary(sum(sides, ()))
    if len(words) > 1 or len(sides) > 2 or {*sides[0]} & {*sides[1]}:
        raise UsageError("--vary crosses two different sources, such as init*data")
    first, second = sides if "split" not in sides[1] else sides[::-1]
    return Vary(first, second)


def words_for(names: Sequence[str]) -> str:
    """Sources in words, in the order of `VARIED`."""
    return join_words([words for name, words in VARIED.items() if name in names])


def varied(
    build: Callable[[Any, tuple[int, ...]], Study],
    config: Any,
    seeds: tuple[int, ...],
    vary: Vary,
) -> Study:
    """The study whose seeds differ in what varies, and in all else are as the first.

    Raises `ValueError` for what cannot be trained, and if seeds would not differ.
    """
    of_splits = seeds if "split" in vary.seeds else seeds[:1] * len(seeds)
    study = build(config, of_splits)
    if vary.cross and (study.parts or not study.arms):
        what = f"each has {study.parts.name}s" if study.parts else "nothing is trained"
        raise ValueError(f"--vary A*B takes seeds that are trained once: here {what}")
    arms = {name: _crossed(arm, vary, len(seeds)) for name, arm in study.arms.items()}
    for arm in arms.values():
        sg.training.check_arm(arm)
        if not vary.everything:
            sg.training.arms.check_vary(arm, len(seeds))
    return replace(study, arms=arms)


def _crossed(arm: "sg.Arm", vary: Vary, num_seeds: int) -> "sg.Arm":
    """The arm with what varies; crossed, with a task for each of its runs."""
    seeds, cross = (
        tuple(name for name in sg.training.loop.Keys._fields if name in of)
        for of in vary
    )
    task = arm.task
    if vary.cross and isinstance(task, Sequence):
        task = [one for one in task for _ in range(num_seeds)]
    return arm._replace(task=task, vary=seeds, cross=cross)


def with_varied(report: Report, vary: Vary, seeds: Sequence[int]) -> Report:
    """The report, with a note on what seeds do not differ in."""
    if vary.everything:
        return report
    others = [name for name in VARY if name not in vary.seeds + vary.cross]
    rest = f"{words_for(others)} are those of seed {seeds[0]} for all, and " * bool(
        others
    )
    if vary.cross:
        first, second = vary.sources
        note = (
            f"Verdicts, tables and curves are of the {len(seeds)} runs whose {first} "
            f"and {second} are of one seed; {rest}what is said of sources of variance "
            f"is of all {len(seeds) ** 2} runs."
        )
    else:
        note = (
            f"Seeds differ in {words_for(vary.seeds)} alone; {rest}intervals and tests "
            "say nothing of what others would give."
        )
    return replace(report, notes=[*report.notes, note])


def with_variance(report: Report, runs: "Mapping[str, sg.Run]", vary: Vary) -> Report:
    """The report, with the variance of the crossed runs taken apart."""
    variance, notes, sections, extra = sg.reports.variance, [], [], []
    names = dict.fromkeys(one.metric.name for one in report.comparisons)
    found = {name: variance.crossed_values(runs, report.arms, name) for name in names}
    first = next(iter(runs.values()))
    if not any(found.values()):
        found = {first.judged_by: variance.best_values(runs)}
    for metric, values in found.items():
        if not values:
            continue
        record = first.record(metric)
        gone = {k: int((~np.isfinite(v)).sum()) for k, v in values.items()}
        if any(gone.values()):
            size = next(iter(values.values())).size
            notes.append(variance.missing_words(record, max(gone.values()), size))
            continue
        parts = {
            name: variance.variance_parts(v, record.bounds if name in runs else None)
            for name, v in values.items()
        }
        said = list(parts.items())
        if len(said) > 3:
            said = said[: len(runs)]  # of the pairs there is the table
        notes += [
            variance.variance_words(name, one, record, vary.sources)
            for name, one in said
        ]
        extra.append(variance.variance_record(parts, metric))
        if not any(any(one.share) for one in parts.values()):
            continue
        table = variance.variance_table(parts, record, vary.sources)
        figure = sg.reports.plots.variance.plot_variance(parts, record, vary.sources)
        heading = f"Where the variance comes from: {record.words_for_it}"
        name = f"variance_{metric}"
        sections.append(sg.Section(heading, table, figure, name, printed=True))
    return replace(
        report,
        notes=[*report.notes, *notes],
        sections=[*report.sections, *sections],
        extra={**report.extra, "variance": extra},
    )
