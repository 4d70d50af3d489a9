"""A report as one HTML page, and the comparison of runs that is written as one."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgraph_jax.reports.censoring import times_to_converge
from seqgraph_jax.reports.results import (
    Comparisons,
    compare,
    dumps,
    headline,
    results_record,
    write_json,
    write_metrics,
    write_text,
)
from seqgraph_jax.reports.tables import (
    Table,
    comparison_table,
    seed_table,
    summary_table,
    warnings,
)
from seqgraph_jax.training.runs import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it: a table, a picture, or text as it is.

    A picture is written as ``NAME.png`` and ``NAME.svg``, too. A table that is
    ``printed`` is also shown on the terminal, where there is one.
    """

    heading: str
    table: Table | None = None
    figure: "Figure | None" = None
    name: str = ""
    text: str = ""
    printed: bool = False


def page(
    directory: Path,
    *,
    title: str,
    question: str,
    verdicts: Sequence[str],
    sections: Sequence[Section],
    record: Mapping[str, Any],
    command: str = "",
    warnings: Sequence[str] = (),
) -> None:
    """Write pictures and report.html, one page that opens offline, into a directory.

    ``record`` is that of results.json. All text is escaped; pictures escape what they
    draw. Raises `OSError` if a file cannot be written.
    """
    import jinja2

    loader = jinja2.PackageLoader("seqgraph_jax.reports")
    templates = jinja2.Environment(loader=loader, autoescape=True)
    environment = [[k, str(v)] for k, v in record["environment"].items()]
    svgs = [write_figure(directory, s.figure, s.name) for s in sections]
    html = templates.get_template("report.html.j2").render(
        title=title,
        question=question,
        verdicts=verdicts,
        warnings=warnings,
        sections=list(zip(sections, svgs, strict=True)),
        environment=Table(("", ""), environment),
        command=command,
        config=dumps(record["config"], indent=2),
    )
    write_text(directory / "report.html", html)


def write_figure(directory: Path, figure: "Figure | None", name: str) -> str:
    """Write NAME.png and NAME.svg; returns the SVG element, or nothing for None."""
    if figure is None:
        return ""
    from seqgraph_jax.reports.plots import curves  # matplotlib takes a second to import

    curves.write_png(figure, directory / f"{name}.png")
    svg = curves.svg(figure)
    write_text(directory / f"{name}.svg", svg)
    return svg[svg.index("<svg") :]


def report(
    runs: Mapping[str, Run],
    directory: Path | str,
    *,
    title: str = "Comparison",
    question: str = "Which arm is better?",
    experiment: str = "comparison",
    config: Mapping[str, Any] | None = None,
    command: str = "",
    baseline: float | None = None,
    timing: Mapping[str, float] | None = None,
) -> list[Comparisons]:
    """Write pictures, report.html, results.json and metrics.jsonl.

    Runs by name, with the same seeds, compared by updates until convergence, where a
    threshold asked for it, and by what they are judged by; ``baseline`` is a value of
    that to compare with. Files of the same names in ``directory`` are replaced. Returns
    the comparisons. Raises `ValueError` if the seeds differ, `OSError` if a file cannot
    be written.
    """
    from seqgraph_jax.reports import plots  # matplotlib takes a second to import

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    first = next(iter(runs.values()))
    names = dict.fromkeys([headline(first), first.judged_by])
    comparisons = [compare(runs, name) for name in names]
    if config is None:
        config = {name: asdict(run.config) for name, run in runs.items()}
    record = results_record(
        experiment, config, first.seeds, runs, comparisons, timing or {}
    )
    late = []
    if first.config.threshold is not None:
        times = {name: times_to_converge(run) for name, run in runs.items()}
        drawn = plots.converged.plot_converged(times)
        late.append(Section("Seeds converged", None, drawn, "converged"))
    sections = [
        Section("Results", summary_table(runs)),
        Section("Curves", figure=plots.curves.plot_runs(runs, baseline), name="curves"),
        *late,
        Section("Comparisons", comparison_table(comparisons)),
        Section("Every seed", seed_table(runs, first.seeds)),
    ]
    page(
        directory,
        title=title,
        question=question,
        verdicts=[pair.verdict for pair in comparisons[0].pairs],
        warnings=warnings(runs),
        sections=sections,
        record=record,
        command=command,
    )
    write_metrics(directory / "metrics.jsonl", runs)
    write_json(directory / "results.json", record)
    return comparisons
