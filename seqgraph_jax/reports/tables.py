"""Tables of results, for the terminal and for a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from seqgraph_jax.reports import statistics
from seqgraph_jax.reports.censoring import shown_times, times_to_converge
from seqgraph_jax.reports.intervals import STUDENT, SUBSETS
from seqgraph_jax.reports.results import Arms, Comparisons, Measured
from seqgraph_jax.training.metrics import UPDATES_TO_CONVERGE, Metric, counted, number
from seqgraph_jax.training.runs import Run


@dataclass(frozen=True)
class Table:
    """A table of numbers or, with ``prose``, of texts."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    prose: bool = False

    def turned(self) -> "Table":
        """Rows as columns: for a terminal, which is narrow."""
        header, *rows = zip(self.header, *self.rows, strict=True)
        return Table(header, rows, self.caption, self.prose)


def shown_metrics(arms: Arms) -> list[Metric]:
    """What tables show of arms: all numbers but those of training batches."""
    found: dict[str, Metric] = {}
    for arm in arms.values():
        for name in arm.value_names:
            if not arm.record(name).in_training:
                found.setdefault(name, arm.record(name))
    return list(found.values())


def spread_rows(arms: Arms, metric: Metric, unit: str = "seed") -> list[list[str]]:
    """Mean, SD and interval of a metric, a column per arm."""
    columns, show = [], partial(metric.show, unit=False)
    for arm in arms.values():
        if metric.name not in arm.value_names:
            columns.append(["none"] * 3)
            continue
        s = statistics.summarize(arm.values(metric.name), metric.bounds)
        missing = f" ({counted(s.n, unit)})" if s.num_missing else ""
        words = statistics.interval_words(s, show, unit)
        columns.append([show(s.mean) + missing, show(s.sd), words])
    label = metric.words_for_it if metric.unit == "%" else metric.axis
    labels = [label, "– its SD", "– its 95 % interval"]
    return [[name, *cells] for name, *cells in zip(labels, *columns, strict=True)]


def time_rows(arms: Arms, unit: str) -> list[list[str]]:
    """`spread_rows` of the updates until convergence, as far as all were watched."""
    times = {
        name: times_to_converge(arm)
        for name, arm in arms.items()
        if UPDATES_TO_CONVERGE.name in arm.value_names and isinstance(arm, Run)
    }
    metric, shown = shown_times(times)
    columns = {
        name: Measured({metric: shown[name]} if name in shown else {}) for name in arms
    }
    return spread_rows(columns, metric, unit)


def summary_table(
    arms: Arms,
    metrics: Sequence[Metric] | None = None,
    rows: Mapping[str, Sequence[str]] | None = None,
    caption: str = "",
    unit: str = "seed",
) -> Table:
    """A column per arm: parameters, mean, SD and interval of each metric, time.

    ``metrics`` are all that arms have, unless they are given; ``rows``, by label, come
    before the last two. ``unit`` names what was sampled.
    """
    body = [["parameters", *(_parameters(arm.num_params) for arm in arms.values())]]
    for metric in shown_metrics(arms) if metrics is None else metrics:
        if metric == UPDATES_TO_CONVERGE:
            counts = [
                f"{np.isfinite(run.updates_to_converge).sum()} of {len(run.seeds)}"
                if isinstance(run, Run)
                else "none"
                for run in arms.values()
            ]
            body.append(["seeds converged", *counts])
            body += time_rows(arms, unit)
            continue
        body += spread_rows(arms, metric, unit)
    body += [[label, *cells] for label, cells in (rows or {}).items()]
    runs = [arm if isinstance(arm, Run) else None for arm in arms.values()]
    if any(runs):
        done = [f"{run.last_update.mean():,.6g}" if run else "none" for run in runs]
        seconds = [f"{run.train_s:.1f}" if run else "none" for run in runs]
        body += [["updates done", *done], ["seconds of training", *seconds]]
    caption += f" SD divides by n - 1. {statistics.interval_caption(unit)}"
    if any(runs):
        caption += (
            " Seconds are those of all seeds together, evaluations included, without "
            "compilation."
        )
    return Table(["", *arms], body, caption.lstrip())


def _parameters(count: int | None) -> str:
    return "none" if count is None else f"{count:,}"


def comparison_table(comparisons: Sequence[Comparisons]) -> Table:
    """One row per metric and pair of arms; numbers as verdicts show them."""
    header = ["metric", "a", "b", "mean of a - b", "95 % interval", "p", "p (Holm)"]
    rows = []
    for compared in comparisons:
        metric = compared.metric
        unit = f" ({metric.difference_unit})" if metric.difference_unit else ""
        for pair in compared.pairs:
            mean, low, high = (
                number(metric.scale * v) for v in (pair.difference, *pair.ci95)
            )
            ends = f"{low} to {high}"
            if pair.ci95_method == STUDENT:
                ends += f" ({STUDENT})"
            elif pair.ci95_method != SUBSETS:
                ends = pair.ci95_method
            p_values = (number(pair.p_value, 2), number(pair.p_holm, 2))
            words = metric.words_for_it + unit
            rows.append([words, pair.a, pair.b, mean, ends, *p_values])
    tests = {pair.test for compared in comparisons for pair in compared.pairs}
    caption = (
        f"Test: {', '.join(sorted(tests))}, two-sided. An interval is of its pair "
        "alone: the mean differences that the test does not reject; below 6 pairs, "
        "which no test can tell from chance, Student's, if differences are normal. "
        "What is claimed goes by Holm's p."
    )
    return Table(header, rows, caption)


def seed_table(
    arms: Arms,
    seeds: Sequence[int],
    metrics: Sequence[Metric] | None = None,
    unit: str = "seed",
) -> Table:
    """One row per seed, or what else was sampled: what each arm reached with it."""
    header, columns = [unit], []
    for metric in shown_metrics(arms) if metrics is None else metrics:
        for name, arm in arms.items():
            if metric.name in arm.value_names:
                header.append(f"{name}: {metric.words_for_it}")
                values = arm.values(metric.name)
                columns.append([metric.show(value, unit=False) for value in values])
    rows = [
        [str(seed), *(column[s] for column in columns)] for s, seed in enumerate(seeds)
    ]
    return Table(header, rows)


def warnings(runs: Mapping[str, Run]) -> list[str]:
    """Sentences on seeds that diverged, or did not converge though asked to."""
    sentences = []
    for arm, run in runs.items():
        late = np.isnan(run.updates_to_converge) & ~run.diverged
        if run.config.threshold is None:
            late[:] = False
        for found, what in ((run.diverged, "diverged"), (late, "did not converge")):
            if found.any():
                parts = len(run.parts.values) if run.parts else 1
                numbers = dict.fromkeys(np.flatnonzero(found) // parts)
                seeds = ", ".join(str(run.seeds[s]) for s in numbers)
                sentences.append(
                    f"{arm}: {len(numbers)} of {len(run.seeds)} seeds {what} ({seeds})."
                )
    return sentences
