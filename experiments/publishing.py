"""A run's report and record: written into its directory, and said on the terminal."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console

from experiments.cli import UsageError
from experiments.directory import Directory
from experiments.runner import rich_table
from seqgraph_jax.reports import pages as reporting
from seqgraph_jax.reports import results
from seqgraph_jax.reports.pages import Table


@contextlib.contextmanager
def writing_to(place: Directory) -> Iterator[None]:
    """Turn an `OSError` into a `UsageError` that names the directory."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write to {place.path}: {error.strerror or error}"
        ) from error


def publish(
    place: Directory,
    record: Mapping[str, Any],
    tables: Sequence[Table],
    verdicts: Sequence[str],
    notes: Sequence[str] = (),
    **page: Any,
) -> None:
    """Write report.html and results.json; print tables, notes, verdicts, and where.

    ``page`` are further arguments of `reporting.page`.
    """
    with writing_to(place):
        html = reporting.page(verdicts=verdicts, warnings=notes, record=record, **page)
        results.write_text(place.path / "report.html", html)
        results.write_json(place.path / "results.json", record)
    console = Console(highlight=False, markup=False)
    for table in tables:
        console.print(rich_table(table), soft_wrap=True)
    for note in notes:
        console.print(f"Note: {note}", soft_wrap=True)
    for verdict in verdicts:
        console.print(f"Verdict: {verdict}", soft_wrap=True)
    console.print(f"Report: {place.path / 'report.html'}", soft_wrap=True)
