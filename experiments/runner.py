"""Train the arms of a comparison into a run directory, test them, and report.

``state/ARM/STEP`` are Orbax checkpoints; ``metrics.jsonl`` grows with every evaluation.
A resumed run takes everything from its newest checkpoints and ends with the same bits
as one that was never stopped.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

import seqgraph_jax as sg
from experiments.cli import START, Interrupted, UsageError
from experiments.directory import Directory
from seqgraph_jax.reports import pages as reporting
from seqgraph_jax.reports import results
from seqgraph_jax.training import checkpoints
from seqgraph_jax.training.lanes import seed_devices
from seqgraph_jax.training.seeds import abstract_state, iterate_seeds


class Arm(NamedTuple):
    """What one side of a comparison is trained with; ``task`` may be one per seed."""

    model: nn.Module
    task: Any
    config: sg.TrainConfig


def save_run(
    directory: Directory, arm: str, run: sg.Run, keep_steps: Collection[int] = ()
) -> None:
    """Checkpoint an arm's state, metrics so far and times."""
    tree = {
        "state": run.state,
        "metrics": run.metrics,
        "seconds": {"compile": np.array(run.compile_s), "train": np.array(run.train_s)},
    }
    step = int(run.updates[-1])
    checkpoints.save(
        directory.arm(arm), step, tree, directory.settings, keep_steps=keep_steps
    )


def load_run(
    directory: Directory, name: str, arm: Arm, seeds: tuple[int, ...], width: int
) -> sg.Run | None:
    """An arm's newest checkpoint as a `Run`, None if there is none.

    Raises `CheckpointError` if it is damaged or of another model.
    """
    if not checkpoints.steps(directory.arm(name)):
        return None
    checkpoint = checkpoints.load(directory.arm(name))
    like = abstract_state(*arm, len(seeds))
    state = checkpoint.restore("state", like)
    seconds = checkpoint.under("seconds")
    return sg.Run(
        seeds=seeds,
        config=arm.config,
        lanes=(state,),
        metrics=checkpoint.under("metrics"),
        num_params=sg.num_params(like.params) // len(seeds),
        width=width,
        num_devices=len(seed_devices(len(seeds), width)),
        compile_s=seconds["compile"].item(),
        train_s=seconds["train"].item(),
    )


@contextlib.contextmanager
def _deferred_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list; a second SIGINT interrupts at once."""
    received: list[int] = []

    def handle(number: int, frame: Any) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    before = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _progress() -> Progress:
    """Bars with updates done, metric, seed updates a second, and time left at most."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
    )


def status(run: sg.Run) -> str:
    """The metric's mean, seeds converged, and updates of all seeds a second."""
    values = run.values(run.config.metric)
    rate = run.updates[-1] * len(run.seeds) / max(run.train_s, 1e-9)
    converged = int(np.isfinite(run.updates_to_converge).sum())
    mean = np.mean(values[np.isfinite(values)]) if np.isfinite(values).any() else np.nan
    reached = f"{run.config.metric} {reporting.percent(mean)}"
    return f"{reached}, {converged}/{len(run.seeds)} converged, {rate:,.0f}/s"


def train_arms(
    arms: Mapping[str, Arm],
    seeds: tuple[int, ...],
    width: int,
    directory: Directory,
    checkpoint_every: float,
    keep_steps: Collection[int] = (),
    status: Callable[[sg.Run], str] = status,
    line: Callable[[sg.Run], str] | None = None,
    rows: Callable[..., Any] = results.metric_rows,
) -> dict[str, sg.Run]:
    """Train every arm for all seeds, saving on the way, and return the finished runs.

    Checkpoints at ``keep_steps`` stay. ``status`` stands beside the bar; ``line``, if
    given, is printed above it at every evaluation. ``rows`` makes what is written to
    metrics.jsonl.

    Raises `Interrupted` after a SIGINT or SIGTERM, with the state saved, and
    `UsageError` if a checkpoint cannot be used or the disk cannot be written.
    """
    runs: dict[str, sg.Run] = {}
    try:
        for name, arm in arms.items():
            run = load_run(directory, name, arm, seeds, width)
            if run is not None:
                runs[name] = run
        results.write_metrics(directory.path / "metrics.jsonl", runs, rows)
        with _deferred_signals() as received, _progress() as progress:
            bars = {
                name: progress.add_task(
                    name, total=arm.config.updates, status="waiting"
                )
                for name, arm in arms.items()
            }
            for name, arm in arms.items():
                run, bar = runs.get(name), bars[name]
                progress.update(bar, status="compiling")
                saved_at = time.monotonic()
                later = iterate_seeds(*arm, seeds, width, run)
                for run in later:
                    step = int(run.updates[-1])
                    progress.update(bar, completed=step, status=status(run))
                    if line is not None:
                        progress.console.print(
                            line(run), markup=False, highlight=False, soft_wrap=True
                        )
                    _append_metrics(directory, rows(name, run, len(run.updates) - 1))
                    due = time.monotonic() - saved_at >= checkpoint_every
                    due = due or step in keep_steps or run.finished
                    if due or received:
                        save_run(directory, name, run, keep_steps)
                        saved_at = time.monotonic()
                    if received:
                        raise Interrupted(received[0], directory.path)
                assert run is not None  # the iterator yields, or the run was loaded
                runs[name] = run.on_host()
                step = int(runs[name].updates[-1])
                progress.update(bar, completed=step, status=status(runs[name]))
                progress.stop_task(bar)
    except checkpoints.CheckpointError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(
            f"cannot write to {directory.path}: {error.strerror or error}; what was "
            "saved before is kept, and --resume goes on from there"
        ) from error
    return {name: runs[name] for name in arms}


def _append_metrics(directory: Directory, rows: Iterable[dict[str, Any]]) -> None:
    with open(directory.path / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.writelines(results.dumps(row) + "\n" for row in rows)


def test_arms(
    arms: Mapping[str, Arm], runs: Mapping[str, sg.Run], limit: int | None
) -> dict[str, sg.Run]:
    """Judge every trained network on its task's test sets: ``accuracy_on_NAME``.

    The arms have one task in common. ``limit`` is how many examples of each set count,
    from its beginning; with None all do.
    """
    task = next(iter(arms.values())).task
    test_sets = jax.tree.map(lambda leaf: leaf[:limit], jax.jit(task.test_sets)())
    judge = jax.jit(jax.vmap(task.metrics, in_axes=(0, None)))
    inputs = np.concatenate([batch.inputs for batch in test_sets.values()])
    ends = np.cumsum([len(batch.targets) for batch in test_sets.values()])
    console, tested = Console(stderr=True), {}
    for arm, run in runs.items():
        with console.status(f"{arm}: testing on {len(inputs):,} examples"):
            params = run.state.params
            outputs = sg.apply_seeds(arms[arm].model, params, inputs, run.width)
        parts = np.split(outputs, ends[:-1], axis=1)
        final = {
            f"accuracy_on_{name}": np.asarray(judge(part, batch.targets)["accuracy"])
            for (name, batch), part in zip(test_sets.items(), parts, strict=True)
        }
        tested[arm] = replace(run, final=final)
    return tested


def finish(
    runs: Mapping[str, sg.Run], directory: Directory, setup_s: float, **report: Any
) -> None:
    """Write the report, and print its table, its verdicts and where it is."""
    timing = {
        "setup_s": setup_s,
        "compile_s": sum(run.compile_s for run in runs.values()),
        "train_s": sum(run.train_s for run in runs.values()),
        "total_s": time.perf_counter() - START,
    }
    try:
        comparisons = sg.report(
            runs,
            directory.path,
            config=directory.settings,
            timing=timing,
            **report,
        )
    except OSError as error:
        raise UsageError(
            f"cannot write to {directory.path}: {error.strerror or error}"
        ) from error
    console = Console(highlight=False)
    summary = reporting.summary_table(runs)
    console.print(rich_table(summary), soft_wrap=True)
    for sentence in reporting.warnings(runs):
        console.print(f"Note: {sentence}", soft_wrap=True)
    for pair in comparisons[0].pairs:
        console.print(f"Verdict: {pair.verdict}", soft_wrap=True)
    console.print(f"Report: {directory.path / 'report.html'}", soft_wrap=True)


def rich_table(table: reporting.Table) -> Table:
    """The table as the terminal shows it."""
    shown = Table(box=box.SIMPLE, caption=table.caption, caption_justify="left")
    for i, name in enumerate(table.header):
        shown.add_column(name, justify="left" if i == 0 else "right")
    for row in table.rows:
        shown.add_row(*row)
    return shown
