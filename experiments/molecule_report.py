"""What experiments.molecules says and draws of its trained networks."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

import seqgraph_jax as sg
from experiments.cli import START
from experiments.directory import Directory
from experiments.molecule_study import Reached, Study, judge, judge_baselines
from experiments.publishing import publish, writing_to
from experiments.runner import Arm
from seqgraph_jax.reports import pages as reporting
from seqgraph_jax.reports import results, statistics
from seqgraph_jax.reports.pages import Section, Table, number
from seqgraph_jax.reports.results import Comparisons
from seqgraph_jax.tasks.graphs import GraphTask

#: Results of others: who, value, and the protocol that it was had by.
PUBLISHED = {
    "mutag": (
        (
            "GIN-0 (Xu et al. 2019)",
            "89.4 ± 5.6 %",
            "10 folds, the epoch with the best mean accuracy on the test folds: "
            "optimistic; ± over folds",
        ),
        (
            "WL subtree kernel (as reported by Xu et al. 2019)",
            "90.4 ± 5.7 %",
            "10 folds, a support vector machine; ± as given there",
        ),
        (
            "DGCNN (Zhang et al. 2018)",
            "85.83 ± 1.66 %",
            "10 folds; ± as given there",
        ),
    ),
    "esol": (
        ("MPNN (Wu et al. 2018)", "0.58", "random splits 80/10/10"),
        ("GraphConv (Wu et al. 2018)", "0.97", "random splits 80/10/10"),
        (
            "GCN (MoleculeNet leaderboard)",
            "0.8851 ± 0.0292",
            "split not stated, perhaps by scaffold",
        ),
        (
            "random forest (MoleculeNet leaderboard)",
            "1.7406 ± 0.0261",
            "split not stated, perhaps by scaffold",
        ),
        (
            "linear model (Delaney 2004)",
            "0.91",
            "all molecules, those that it was fitted to among them: optimistic",
        ),
    ),
}

OPTIMISTIC = "best epoch of the test folds (optimistic)"
CAPTION = (
    "A network is the one of the epoch with the lowest validation loss; test molecules "
    "take no part in the choice. SD divides by n - 1; the interval is the bootstrap "
    "(BCa) interval of the mean over seeds. Seconds are those of all seeds together, "
    "evaluations included, without compilation."
)
OF_FOLDS = (
    " A seed's accuracy is the mean over its folds, SD over folds the mean of every "
    "seed's. The optimistic column is what the networks reach if each seed's epoch is "
    "the one with the best mean over its test folds, as some papers choose it."
)


def result_table(
    runs: Mapping[str, sg.Run], baselines: Mapping[str, Reached], study: Study
) -> Table:
    """A row per network and baseline."""
    folds = study.kind == "folds"
    what = "test accuracy" if folds else f"test RMSE, {study.unit}"
    header = ["model", "parameters", f"{what}, mean of {len(study.seeds)} seeds", "SD"]
    header += ["95 % interval", *(["SD over folds"] if folds else [])]
    header += [f"on the validation sets{', mean' * folds}"]
    header += [OPTIMISTIC] if folds else []
    header += ["best epoch, mean", "seconds of training"]
    rows = []
    for name in (*runs, *baselines):
        source: Any = runs.get(name) or baselines[name]
        values = source.final if name in runs else source.values
        means = {k: statistics.summarize(v).mean for k, v in values.items()}
        test = statistics.summarize(values[f"test_{study.name}"])
        missing = f" ({test.n} seeds)" if test.num_missing else ""
        row = [name, f"{source.num_params:,}", study.show(test.mean) + missing]
        row.append(study.show(test.sd))
        low, high = map(study.show, test.ci95)
        row.append(f"{low} to {high}" if test.n > 1 else "none")
        shown = [*(["test_accuracy_over_folds"] if folds else []), f"val_{study.name}"]
        shown += ["optimistic_test_accuracy"] if folds else []
        row += [study.show(means[k]) if k in means else "none" for k in shown]
        row.append(number(means["best_epoch"], 3) if name in runs else "none")
        row.append(f"{source.train_s:.1f}" if name in runs else "none")
        rows.append(row)
    return Table(header, rows, CAPTION + OF_FOLDS * folds)


def batch_table(arms: Mapping[str, Arm], runs: Mapping[str, sg.Run]) -> Table:
    """How full batches are, and how many programs were compiled."""
    arm, run = next(iter(arms.values())), next(iter(runs.values()))
    tasks: list[GraphTask] = arm.task if isinstance(arm.task, list) else [arm.task]
    graph, slots = tasks[0].inputs.graph, tasks[0].slots
    fills = []
    for sizes, room in ((graph.n_node, slots.nodes), (graph.n_edge, slots.edges)):
        means = [sizes[task.train[: task.num_train]].mean() for task in tasks]
        fills.append(f"{tasks[0].batch_size * np.mean(means) / room:.1%}")
    header = ["", "of a batch", "filled, mean"]
    rows = [
        ["nodes", f"{slots.nodes:,}", fills[0]],
        ["edges", f"{slots.edges:,}", fills[1]],
    ]
    caption = (
        f"Every batch of every run has one shape: {tasks[0].batch_size} molecules and "
        "the padding. So a network is compiled once to begin and, for each of "
        f"{run.num_devices} devices, once to train and evaluate and once to answer for "
        f"this report: {1 + 2 * run.num_devices} programs for each network, however "
        "many runs and splits."
    )
    return Table(header, rows, caption)


def compare(
    runs: Mapping[str, sg.Run], baselines: Mapping[str, Reached], study: Study
) -> Comparisons:
    """Networks and baselines, every pair, over the seeds."""
    metric = f"test_{study.name}"
    values = {name: run.final[metric] for name, run in runs.items()}
    values |= {name: reached.values[metric] for name, reached in baselines.items()}
    what = "test accuracy" if study.data.num_classes else "test RMSE"
    pairs = statistics.compare(
        values,
        metric,
        words=(f"has a lower {what} than", f"has a higher {what} than"),
        unit="points" if study.data.num_classes else study.unit,
        scale=study.scale,
    )
    summaries = {name: statistics.summarize(v) for name, v in values.items()}
    return Comparisons(metric, summaries, pairs)


def published_table(table: Table, study: Study) -> Table | None:
    """Numbers of others and ours, with the protocol of each."""
    if study.data.name not in PUBLISHED:
        return None
    protocol = {
        "folds": "10 folds, the epoch chosen on a validation fold; ± over seeds",
        "random": "random splits 80/10/10; ± over seeds",
        "scaffold": "one split by scaffold 80/10/10; ± over seeds",
    }[study.kind]
    rows = [[f"{row[0]}, here", f"{row[2]} ± {row[3]}", protocol] for row in table.rows]
    if study.kind == "folds":
        at = table.header.index(OPTIMISTIC)
        rows += [
            [f"{row[0]}, here", row[at], "10 folds, the epoch chosen on the test folds"]
            for row in table.rows
            if row[at] != "none"
        ]
    header = ["model", f"test {study.name}", "protocol"]
    return Table(header, [*rows, *map(list, PUBLISHED[study.data.name])], prose=True)


def notes_on(runs: Mapping[str, sg.Run], study: Study) -> list[str]:
    """What a reader must know of the seeds."""
    notes = [
        note
        for name, run in runs.items()
        for note in reporting.warnings({name: run})
        if "diverged" in note
    ]
    molecules = f"the same {study.data.num_graphs:,} molecules"
    if study.kind == "scaffold":
        notes.append(
            "All seeds have one split, which no chance draws: they differ in initial "
            "parameters and batches alone, and the baselines not at all."
        )
    else:
        notes.append(
            f"All seeds share {molecules}, split anew: intervals and tests say what "
            "another split would give, not what other molecules would."
        )
    return notes


def finish(
    runs: Mapping[str, sg.Run],
    arms: Mapping[str, Arm],
    study: Study,
    place: Directory,
    *,
    question: str,
    command: str,
    setup_s: float,
) -> None:
    """Write the report, and print its table, its verdicts and where it is."""
    from experiments.molecule_figures import figures  # matplotlib takes a second

    judged = {name: judge(run, study) for name, run in runs.items()}
    baselines = judge_baselines(study)
    comparisons = compare(judged, baselines, study)
    timing = {
        "setup_s": setup_s,
        "compile_s": sum(run.compile_s for run in runs.values()),
        "train_s": sum(run.train_s for run in runs.values()),
        "total_s": time.perf_counter() - START,
    }
    record = results.results("molecules", place.settings, judged, [comparisons], timing)
    for name, reached in baselines.items():
        summaries = {k: statistics.summarize(v) for k, v in reached.values.items()}
        record["arms"][name] = {
            "num_params": reached.num_params,
            "metrics": {metric: asdict(s) for metric, s in summaries.items()},
        }
    table = result_table(judged, baselines, study)
    notes = notes_on(judged, study)
    verdicts = [pair.verdict for pair in comparisons.pairs]
    sections = [Section("Results", table)]
    if published := published_table(table, study):
        sections.append(Section("Published numbers, and ours", published))
    with writing_to(place):
        for heading, name, figure in figures(runs, judged, arms, baselines, study):
            svg = reporting.write_figure(place.path, figure, name)
            sections.append(Section(heading, svg=svg))
    sections += [
        Section("Comparisons", reporting.comparison_table([comparisons])),
        Section("Batches", batch_table(arms, runs)),
        Section("Every seed", seed_table(judged, baselines, study)),
    ]
    columns = list(zip(table.header, *table.rows, strict=True))
    publish(
        place,
        record,
        [Table(columns[0], columns[1:], table.caption)],
        verdicts,
        notes,
        title=f"{', '.join(runs)} on {study.data.name}",
        question=question,
        sections=sections,
        command=command,
    )


def seed_table(
    runs: Mapping[str, sg.Run], baselines: Mapping[str, Reached], study: Study
) -> Table:
    """A row per seed: what each network and baseline reached on the test molecules."""
    metric = f"test_{study.name}"
    columns = [run.final[metric] for run in runs.values()]
    columns += [reached.values[metric] for reached in baselines.values()]
    rows = [
        [str(seed), *map(study.show, values)]
        for seed, *values in zip(study.seeds, *columns, strict=True)
    ]
    return Table(["seed", *runs, *baselines], rows, f"{metric.replace('_', ' ')}.")
