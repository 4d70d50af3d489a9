"""What experiments.gcn_vs_gat says and draws of its trained networks."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

import seqgraph_jax as sg
from experiments.cli import START
from experiments.directory import Directory
from experiments.publishing import publish, writing_to
from experiments.runner import Arm
from seqgraph_jax.data.records import NodeData
from seqgraph_jax.reports import pages as reporting
from seqgraph_jax.reports import results, statistics
from seqgraph_jax.reports.pages import Section, Table, number
from seqgraph_jax.reports.plots import classes as class_plots

Published = Mapping[str, tuple[str, float, float | None]]
CHOSEN = ("test_accuracy", "val_accuracy", "test_loss", "best_update")


def status(run: sg.Run) -> str:
    """Mean validation accuracy, seeds still running, epochs of all seeds a second."""
    mean = np.nanmean(run.metrics["val_accuracy"][:, -1])
    rate = (run.last + 1).sum() / max(run.train_s, 1e-9)
    going = len(run.seeds) - int(run.stopped.sum())
    return f"val accuracy {mean:.1%}, {going}/{len(run.seeds)} going on, {rate:,.0f}/s"


def judge(run: sg.Run) -> sg.Run:
    """The run with what each seed's chosen network reached, as ``final``."""
    final = {name: run.at(name, run.best) for name in CHOSEN[:-1]}
    return replace(run, final={**final, "best_update": run.best + 1.0})


def result_table(runs: Mapping[str, sg.Run], published: Published) -> Table:
    """A column per model, published numbers beside ours."""
    labels = ["parameters", "published test accuracy", "– its source"]
    labels += ["test accuracy, mean", "– its SD", "– its 95 % interval"]
    labels += ["– lowest and highest seed", "val accuracy, mean", "best epoch, mean"]
    labels += ["epochs done, mean", "seconds of training"]
    columns = []
    for name, run in runs.items():
        test = statistics.summarize(run.values("test_accuracy"))
        source, value, deviation = published.get(name, ("", np.nan, None))
        spread = "" if deviation is None else f" ± {deviation:g}"
        values = np.array([v for v in test.per_seed if np.isfinite(v)] or [np.nan])
        columns.append(
            [
                f"{run.num_params:,}",
                f"{value:g}{spread} %" if source else "none",
                source,
                f"{test.mean:.2%} ({test.n} seeds)",
                f"{test.sd:.2%}" if test.n > 1 else "none",
                f"{test.ci95[0]:.2%} to {test.ci95[1]:.2%}" if test.n > 1 else "none",
                f"{values.min():.1%}, {values.max():.1%}",
                f"{np.nanmean(run.values('val_accuracy')):.2%}",
                number(statistics.summarize(run.values("best_update")).mean),
                number((run.last + 1).mean()),
                f"{run.train_s:.1f}",
            ]
        )
    caption = (
        "Each seed's network is that of its best evaluation, of equals the one with "
        "the lowest validation loss; test nodes take no part in the choice. SD divides "
        "by n - 1; the interval is the bootstrap (BCa) interval of the mean. Seconds "
        "are those of all seeds together, evaluations included, without compilation. "
        "What ± means for a published number is for its source to say."
    )
    return Table(["", *runs], list(zip(labels, *columns, strict=True)), caption)


def seed_table(runs: Mapping[str, sg.Run]) -> Table:
    """A row per seed: what each model reached."""
    header = ["seed"]
    for name in runs:
        header += [f"{name}: test", f"{name}: val", f"{name}: epoch"]
    columns = [
        [
            f"{v:.1%}" if metric != "best_update" else number(v)
            for v in run.values(metric)
        ]
        for run in runs.values()
        for metric in ("test_accuracy", "val_accuracy", "best_update")
    ]
    seeds = next(iter(runs.values())).seeds
    rows = [[str(s), *cells] for s, *cells in zip(seeds, *columns, strict=True)]
    return Table(header, rows)


def confusion(arm: Arm, run: sg.Run, num_classes: int) -> np.ndarray:
    """Mean over seeds of the confusion of the test nodes, ``[C, C]``, % of a row."""
    tasks = arm.task if isinstance(arm.task, list) else [arm.task] * len(run.seeds)
    params = run.state.best.params
    logits = sg.apply_seeds(arm.model, params, tasks[0].inputs, run.width, None)
    matrices = np.zeros((len(run.seeds), num_classes, num_classes))
    for matrix, one, scores in zip(matrices, tasks, logits, strict=True):
        tested = np.asarray(one.split.test)
        truth, said = np.asarray(one.labels)[tested], scores[tested].argmax(-1)
        np.add.at(matrix, (truth, said), 1)
    total = matrices.sum(0)
    with np.errstate(invalid="ignore"):
        return 100 * total / total.sum(1, keepdims=True)


def _notes(runs: Mapping[str, sg.Run], random_splits: bool) -> list[str]:
    notes = [
        note
        for name, run in runs.items()
        for note in reporting.warnings({name: run})
        if "diverged" in note
    ]
    if random_splits:
        notes.append(
            "Every seed has a split of its own, so the spread over seeds holds that of "
            "the splits, and published numbers for one split are not beside it."
        )
    return notes


def finish(
    runs: Mapping[str, sg.Run],
    arms: Mapping[str, Arm],
    data: NodeData,
    place: Directory,
    *,
    published: Published,
    random_splits: bool,
    question: str,
    command: str,
    setup_s: float,
) -> None:
    """Write the report, and print its table, its verdicts and where it is."""
    from experiments import attention_report

    runs = {name: judge(run) for name, run in runs.items()}
    comparisons = []
    if len(runs) > 1:
        comparisons = [sg.compare(runs, m) for m in ("test_accuracy", "val_accuracy")]
    timing = {
        "setup_s": setup_s,
        "compile_s": sum(run.compile_s for run in runs.values()),
        "train_s": sum(run.train_s for run in runs.values()),
        "total_s": time.perf_counter() - START,
    }
    record = results.results("gcn_vs_gat", place.settings, runs, comparisons, timing)
    table = result_table(runs, published)
    notes = _notes(runs, random_splits)
    verdicts = [pair.verdict for c in comparisons[:1] for pair in c.pairs]
    if not verdicts:
        verdicts = ["One model alone: there is nothing to compare."]
    with writing_to(place):
        sections = [Section("Results", table)]
        for heading, name, figure in _figures(runs, arms, data, published):
            svg = reporting.write_figure(place.path, figure, name)
            sections.append(Section(heading, svg=svg))
        sections += attention_report.sections(runs, arms, data, place.path)
        results.write_metrics(place.path / "metrics.jsonl", runs)
    if comparisons:
        sections.append(Section("Comparisons", reporting.comparison_table(comparisons)))
    sections.append(Section("Every seed", seed_table(runs)))
    publish(
        place,
        record,
        [table],
        verdicts,
        notes,
        title=f"{' against '.join(runs)} on {data.name}",
        question=question,
        sections=sections,
        command=command,
    )


def _figures(
    runs: Mapping[str, sg.Run],
    arms: Mapping[str, Arm],
    data: NodeData,
    published: Published,
) -> list[tuple[str, str, Any]]:
    """Heading, file name and figure of each picture."""
    curves = class_plots.plot_training(runs, {"loss": 1.0, "val_accuracy": 100.0})
    strips = class_plots.plot_strip_panels(
        {name: 100 * run.values("test_accuracy") for name, run in runs.items()},
        "accuracy on the test nodes (%)",
        published,
    )
    matrices = {
        name: confusion(arms[name], run, data.num_classes) for name, run in runs.items()
    }
    return [
        ("Every seed's test accuracy, mean and 95 % interval", "accuracy", strips),
        ("Curves", "curves", curves),
        (
            "Confusion of the test nodes, mean over seeds",
            "confusion",
            class_plots.plot_confusion(matrices, data.class_names),
        ),
    ]
