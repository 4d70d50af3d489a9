"""A bar for each run, in a terminal or a notebook: updates, metric, time left."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import rich.progress
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from seqgraph_jax.training import hosts
from seqgraph_jax.training.runs import Run


def status(run: Run) -> str:
    """The metric's mean, seeds converged or going on, updates of all seeds a second."""
    record = run.record(run.judged_by)
    values = run.values(run.judged_by)
    known = values[np.isfinite(values)]
    mean = known.mean() if len(known) else np.nan
    said = [f"{record.words_for_it} {record.show(mean)}"]
    num_runs = len(run.last_update)
    if run.config.threshold is not None:
        converged = np.isfinite(run.updates_to_converge).sum()
        said.append(f"{converged}/{num_runs} converged")
    if run.config.patience:
        said.append(f"{num_runs - int(run.stopped.sum())}/{num_runs} going on")
    rate = run.last_update.sum() / max(run.train_s, 1e-9)
    return ", ".join([*said, f"{rate:,.0f}/s"])


def track(things: Iterable[Any], words: str) -> Iterator[Any]:
    """The things one by one, with a bar in a terminal that goes when it is done."""
    things = list(things)
    console = Console(stderr=True)
    yield from rich.progress.track(things, words, console=console, transient=True)


@contextlib.contextmanager
def show_progress(
    updates: Mapping[str, int],
    show: bool | None = None,
    status: Callable[[Run], str] = status,
    line: Callable[[Run], str] | None = None,
) -> Iterator[Callable[[str, Run], None]]:
    """Bars for runs of so many updates, by name; yields ``shown(name, run)``.

    With ``show`` None there are bars in a terminal and a notebook, and nothing where
    the output goes to a file. ``line``, if given, is printed above the bars each time.
    """
    console = Console(stderr=True)
    if hosts.process():
        show = False  # the first one shows all
    if show is None:
        show = console.is_terminal or console.is_jupyter
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=16),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[status]}", markup=False),
        TimeRemainingColumn(compact=True),
        console=console,
        disable=not show,
    ) as progress:
        bars = {
            name: progress.add_task(name, total=total, status="compiling")
            for name, total in updates.items()
        }

        def shown(name: str, run: Run) -> None:
            done = run.config.updates if run.finished else int(run.updates[-1])
            progress.update(bars[name], completed=done, status=status(run))
            if line is not None and show:
                progress.console.print(
                    line(run),
                    markup=False,
                    emoji=False,
                    highlight=False,
                    soft_wrap=True,
                )

        yield shown
