"""A run directory: made anew or found again, never written over.

``config.json`` is written first and says whose run it is.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import seqgraph_jax as sg
from experiments.harness.command import UsageError, print_line, print_table

DEFAULT_OUT = Path("checkpoints")


@dataclass(frozen=True)
class Directory:
    """A run directory and the settings that made it, as in its config.json."""

    path: Path
    settings: dict[str, Any]

    def arm(self, name: str) -> Path:
        return self.path / "state" / name


@contextlib.contextmanager
def open_directory(
    experiment: str, out: Path | None, resume: bool, settings: dict[str, Any]
) -> Iterator[Directory]:
    """Make a run directory, or with ``resume`` find the one to go on with.

    It is this process's, and that of processes that train with it, as long as it is
    open. Raises `UsageError` if the directory holds something else, cannot be written,
    was made with other settings, or is open in another process.
    """
    settings = sg.reports.results.json_value(settings)
    with contextlib.ExitStack() as stack:

        def claim() -> str:
            if resume:
                path = out or _newest_unfinished(experiment)
                _check_same_settings(path, settings)
            else:
                path = out or _new_name(experiment)
                _make(path, settings)
            stack.enter_context(sg.checkpoints.locked(path))
            return str(path)

        try:
            path = Path(sg.training.hosts.from_first(claim))
        except sg.checkpoints.CheckpointError as error:
            raise UsageError(str(error)) from error
        yield Directory(path, settings)


def _make(path: Path, settings: dict[str, Any]) -> None:
    """Make the directory with its config.json, unless there is something in it."""
    try:
        check_empty(path)
        path.mkdir(parents=True, exist_ok=True)
        sg.reports.results.write_json(path / "config.json", settings)
    except OSError as error:
        raise UsageError(f"cannot write to {path}: {error.strerror}") from error


def check_empty(path: Path) -> None:
    """Raise `UsageError` if there is something in a directory."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        hint = "; add --resume to go on with it" if _is_run(path) else ""
        raise UsageError(f"{path} exists and is not empty{hint}")


def saved_settings(experiment: str, out: Path | None, resume: bool) -> dict[str, Any]:
    """Settings of the run to go on with, as far as they can be read; else none.

    Raises `UsageError` if a new run's directory is not empty.
    """
    if not resume:
        if out is not None and sg.training.hosts.num_processes() == 1:
            check_empty(out)  # of several processes the first one makes it now
        return {}
    with contextlib.suppress(OSError, ValueError):
        path = out or _newest_unfinished(experiment)
        return dict(sg.reports.results.read_json(path / "config.json"))
    return {}


def _is_run(path: Path) -> bool:
    return (path / "config.json").is_file()


def _new_name(experiment: str) -> Path:
    stamp = datetime.now().strftime("%Y-%m-%d_%H%M%S")
    path = DEFAULT_OUT / experiment / stamp
    number = 1
    while path.exists():
        number += 1
        path = path.with_name(f"{stamp}_{number}")
    return path


def _newest_unfinished(experiment: str) -> Path:
    parent = DEFAULT_OUT / experiment
    runs = [
        path
        for path in (sorted(parent.iterdir()) if parent.is_dir() else [])
        if _is_run(path) and not (path / "results.json").exists()
    ]
    if not runs:
        raise UsageError(f"there is no unfinished run in {parent} to resume")
    return runs[-1]


def _check_same_settings(path: Path, settings: dict[str, Any]) -> None:
    if not _is_run(path):
        raise UsageError(f"{path} holds no run to resume")
    try:
        there = sg.reports.results.read_json(path / "config.json")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path / 'config.json'} cannot be read: {error}") from error
    for name in dict.fromkeys([*there, *settings]):
        if there.get(name) != settings.get(name):
            raise UsageError(
                f"{path} was made with {name} = {there.get(name)}, not "
                f"{settings.get(name)}: resume with the same settings, or start anew "
                "in another directory"
            )


@contextlib.contextmanager
def writing_to(place: Directory) -> Iterator[None]:
    """Turn an `OSError` into a `UsageError` that names the directory."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write to {place.path}: {error.strerror or error}; what was saved "
            "before is kept, and --resume goes on from there"
        ) from error


@contextlib.contextmanager
def keeping(place: Directory) -> Iterator[None]:
    """Note on any error that what was trained before it is not lost."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, UsageError) and (place.path / "state").is_dir():
            error.add_note(
                f"what was trained is kept in {place.path}, and --resume goes on from "
                "there"
            )
        raise


def publish(
    place: Directory,
    title: str,
    question: str,
    command: str,
    report: Any,
    record: Mapping[str, Any],
) -> None:
    """Write report.html and results.json, and `show` the rest."""
    runs = {k: arm for k, arm in report.arms.items() if isinstance(arm, sg.Run)}
    notes = [*sg.reports.warnings(runs), *report.notes]
    with writing_to(place):
        sg.reports.page(
            place.path,
            title=title,
            question=question,
            verdicts=report.verdicts,
            warnings=notes,
            sections=report.sections,
            record=record,
            command=command,
        )
        sg.reports.results.write_json(
            place.path / "results.json", {**record, **report.extra}
        )
    show(report, notes, place.path)


def show(report: Any, notes: Sequence[str], directory: Path) -> None:
    """Print tables, notes, verdicts, and where the report is."""
    for section in report.sections:
        if section.printed and section.table is not None:
            print_table(section.table)
    for line in (
        *(f"Note: {note}" for note in notes),
        *(f"Verdict: {verdict}" for verdict in report.verdicts),
        f"Report: {directory / 'report.html'}",
        *report.closing,
    ):
        print_line(line)
