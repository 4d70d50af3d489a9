"""Tables and the HTML report of a comparison: runs in, files out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqgraph_jax.reports import statistics
from seqgraph_jax.reports.results import (
    Comparisons,
    compare,
    dumps,
    results,
    write_json,
    write_metrics,
    write_text,
)
from seqgraph_jax.training.runs import Run


@dataclass(frozen=True)
class Table:
    """A table for terminal and HTML, of numbers or, with ``prose``, of texts."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    prose: bool = False


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it: a table, an SVG picture, or text as it is."""

    heading: str
    table: Table | None = None
    svg: str = ""
    text: str = ""


def percent(share: float) -> str:
    """A share as a percentage, rounded down: 100 % is printed for 1 alone.

    >>> percent(1.0), percent(0.9999999), percent(0.5), percent(float("nan"))
    ('100 %', '99.9999 %', '50 %', 'none')
    """
    if not math.isfinite(share):
        return "none"
    rounded_down = math.floor(share * 1e6 + 1e-9) / 1e4
    if share < 1:
        rounded_down = min(rounded_down, 99.9999)
    return f"{rounded_down:.4f}".rstrip("0").rstrip(".") + " %"


def number(value: float, digits: int = 4) -> str:
    """A number to ``digits`` significant digits, ``none`` if there is none.

    >>> number(1234567.0), number(0.25), number(float("nan"))
    ('1,234,567', '0.25', 'none')
    """
    if not math.isfinite(value):
        return "none"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def _shown(metric: str, value: float) -> str:
    return percent(value) if metric.startswith("accuracy") else number(value)


def _accuracies(run: Run) -> list[str]:
    return [name for name in run.value_names if name.startswith("accuracy")]


def summary_table(runs: Mapping[str, Run]) -> Table:
    """A column per arm: parameters, accuracies, convergence, time."""
    names = _accuracies(next(iter(runs.values())))
    labels = ["parameters"]
    for name in names:
        labels += [name.replace("_", " "), "– its SD"]
    labels += ["seeds converged", "updates to converge", "– its SD"]
    labels += ["– its 95 % interval"]
    labels += ["updates done", "seconds of training"]
    columns = []
    for run in runs.values():
        column = [f"{run.num_params:,}"]
        for name in names:
            s = statistics.summarize(run.values(name))
            missing = f" ({s.n} seeds)" if s.num_missing else ""
            column += [percent(s.mean) + missing, percent(s.sd)]
        s = statistics.summarize(run.updates_to_converge)
        interval = " to ".join(number(bound) for bound in s.ci95) if s.n > 1 else "none"
        column += [f"{s.n} of {len(run.seeds)}", number(s.mean), number(s.sd), interval]
        column += [f"{run.updates[-1]:,}", f"{run.train_s:.1f}"]
        columns.append(column)
    caption = (
        "Means over seeds; SD divides by n - 1. The interval is the bootstrap (BCa) "
        "interval of the mean over the seeds that converged. Seconds are those of all "
        "seeds together, without compilation."
    )
    return Table(["", *runs], list(zip(labels, *columns, strict=True)), caption)


def comparison_table(comparisons: Sequence[Comparisons]) -> Table:
    """One row per metric and pair of arms."""
    header = ["metric", "a", "b", "mean of a - b", "95 % interval", "p", "p (Holm)"]
    rows = [
        [
            pair.metric.replace("_", " "),
            pair.a,
            pair.b,
            number(pair.difference),
            " to ".join(number(bound) for bound in pair.ci95),
            number(pair.p_value, 2),
            number(pair.p_holm, 2),
        ]
        for compared in comparisons
        for pair in compared.pairs
    ]
    tests = {pair.test for compared in comparisons for pair in compared.pairs}
    return Table(header, rows, f"Test: {', '.join(sorted(tests))}, two-sided.")


def seed_table(runs: Mapping[str, Run]) -> Table:
    """One row per seed: what each arm reached with it."""
    header, columns = ["seed"], []
    for arm, run in runs.items():
        for metric in (*_accuracies(run), "updates_to_converge"):
            header.append(f"{arm}: {metric.replace('_', ' ')}")
            columns.append([_shown(metric, value) for value in run.values(metric)])
    seeds = next(iter(runs.values())).seeds
    rows = [
        [str(seed), *(column[s] for column in columns)] for s, seed in enumerate(seeds)
    ]
    return Table(header, rows)


def warnings(runs: Mapping[str, Run]) -> list[str]:
    """Sentences on seeds that diverged or did not converge."""
    sentences = []
    for arm, run in runs.items():
        late = np.isnan(run.updates_to_converge) & ~run.diverged
        for found, what in ((run.diverged, "diverged"), (late, "did not converge")):
            if found.any():
                seeds = ", ".join(str(run.seeds[s]) for s in np.flatnonzero(found))
                sentences.append(
                    f"{arm}: {found.sum()} of {len(run.seeds)} seeds {what} ({seeds})."
                )
    return sentences


def page(
    *,
    title: str,
    question: str,
    verdicts: Sequence[str],
    sections: Sequence[Section],
    record: Mapping[str, Any],
    command: str = "",
    warnings: Sequence[str] = (),
) -> str:
    """The report as one HTML page that opens offline.

    ``record`` is that of results.json. All text is escaped; SVG is not, and must come
    from `seqgraph_jax.reports.plots`, which escapes what it draws.
    """
    import jinja2

    loader = jinja2.PackageLoader("seqgraph_jax.reports")
    templates = jinja2.Environment(loader=loader, autoescape=True)
    environment = [[k, str(v)] for k, v in record["environment"].items()]
    return templates.get_template("report.html.j2").render(
        title=title,
        question=question,
        verdicts=verdicts,
        warnings=warnings,
        sections=sections,
        environment=Table(("", ""), environment),
        command=command,
        config=dumps(record["config"], indent=2),
    )


def write_figure(directory: Path, figure: Any, name: str = "curves") -> str:
    """Write NAME.png and NAME.svg; returns the SVG element, for a `Section`."""
    from seqgraph_jax.reports.plots import (
        curves as plots,  # matplotlib takes a second to import
    )

    figure.savefig(directory / f"{name}.png", dpi=160)
    svg = plots.svg(figure)
    write_text(directory / f"{name}.svg", svg)
    return svg[svg.index("<svg") :]


def report(
    runs: Mapping[str, Run],
    directory: Path | str,
    *,
    title: str = "Comparison",
    question: str = "Which arm converges earlier?",
    experiment: str = "comparison",
    config: Mapping[str, Any] | None = None,
    command: str = "",
    baseline_accuracy: float | None = None,
    timing: Mapping[str, float] | None = None,
) -> list[Comparisons]:
    """Write curves.png, curves.svg, report.html, results.json and metrics.jsonl.

    Runs by name, with the same seeds; compared by updates until convergence and by
    final accuracy. Files of the same names in ``directory`` are replaced. Returns the
    comparisons. Raises `ValueError` if the seeds differ or there are fewer than two
    runs, `OSError` if a file cannot be written.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    comparisons = [
        compare(runs, metric) for metric in ("updates_to_converge", "accuracy")
    ]
    if config is None:
        config = {name: asdict(run.config) for name, run in runs.items()}
    record = results(experiment, config, runs, comparisons, timing or {})

    from seqgraph_jax.reports.plots import (
        curves as plots,  # matplotlib takes a second to import
    )

    svg = write_figure(directory, plots.plot_runs(runs, baseline_accuracy))
    html = page(
        title=title,
        question=question,
        verdicts=[pair.verdict for pair in comparisons[0].pairs],
        warnings=warnings(runs),
        sections=[
            Section("Results", summary_table(runs)),
            Section("Curves", svg=svg),
            Section("Comparisons", comparison_table(comparisons)),
            Section("Every seed", seed_table(runs)),
        ],
        record=record,
        command=command,
    )
    write_text(directory / "report.html", html)
    write_metrics(directory / "metrics.jsonl", runs)
    write_json(directory / "results.json", record)
    return comparisons
