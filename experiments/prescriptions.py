"""What will be prescribed tomorrow, and does a graph of events say more than a sequence?

Time: TODO.

    python -m experiments.prescriptions
    python -m experiments.prescriptions --arms recurrent joined --codes gsn
    python -m experiments.prescriptions --data DIR
    python -m experiments.prescriptions --dataset synthetic --shuffled

The records are those of the open demo of MIMIC-III, or any in its format, read day by
day: which drugs start tomorrow, which stop, and which are active. Patients are read as
a sequence of days by a recurrent network, as a graph of events by a relational one, and
by both, after Liu et al. (2020). Beside them stand rates that need no network, which
each network is added to, and which are not easy to beat. Patients are parted into
folds, anew for every seed; a fifth of the training patients chooses the update, and
the rates alone where no update is better. What is compared are patients.
``--data DIR`` takes a folder with the tables of MIMIC-III.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

import seqgraph_jax as sg
from experiments.harness import (
    Report,
    RunOptions,
    Study,
    Trained,
    TrainOptions,
    experiment,
)
from seqgraph_jax.graph.adjacency import index_edges
from seqgraph_jax.graph.events import RELATIONS
from seqgraph_jax.tasks import judged_stays as judged
from seqgraph_jax.tasks.judged_stays import JudgedStays
from seqgraph_jax.tasks.prescriptions import BASELINES
from seqgraph_jax.training.ranges import AtLeast, Count, Share

Arm = Literal["recurrent", "graph", "joined"]


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    dataset: Literal["demo", "synthetic"] = "demo"  # the demo of MIMIC-III, or drawn
    data: Path | None = None  # a folder with tables of MIMIC-III in place of these
    codes: Literal["name", "ndc", "gsn"] = "name"  # what tells drugs apart
    patients: Count | None = None  # take so many, the first ones (default: all)
    stays: Count = 400  # of synthetic records
    arms: tuple[Arm, ...] = ("recurrent", "graph", "joined")  # one or more
    alone: bool = True  # each also on the drugs' frequencies in place of their rates
    shuffled: bool = (
        False  # also the joined network on a graph of events that are mixed
    )
    folds: Annotated[int, AtLeast(2)] = 5  # of the cross-validation of patients
    hidden: Count = 8  # features of the joined network; the others have more
    head: Count = 32  # features of the layer that joins both views
    dropout: Share = 0.5  # share of these dropped in training
    days_per_chunk: Count = 4096  # days of an update, about; fewer are one chunk
    draws: Annotated[int, AtLeast(20)] = 1000  # of patients, for intervals
    train: sg.TrainConfig = field(
        default_factory=partial(
            sg.TrainConfig,
            updates=100,
            eval_every=5,
            batch_size=1,
            eval_size=64,
            optimizer="momentum",
            learning_rate=3e-2,
            early_stop=False,
        )
    )
    run: RunOptions = field(default_factory=RunOptions)
    saving: TrainOptions = field(
        default_factory=lambda: TrainOptions(checkpoint_every=60.0)
    )


SMOKE = {
    "dataset": "synthetic", "stays": 24, "folds": 2, "hidden": 4, "head": 4,
    "draws": 50, "train.updates": 4, "train.eval_every": 2,
}  # fmt: skip
RATES, FREQUENCY = "rates by day and past", "frequency"
ALONE, SHUFFLED = "{} on frequencies", "{}, events mixed"
_ORDERS = "What is foretold are orders, not what was given. No clinical claim is made."
NOTES = {
    "demo": "All patients of the demo have died, and their dates are moved. "
    f"{_ORDERS} Nothing here is comparable with numbers on all of MIMIC-III.",
    "synthetic": "These records are drawn at random and say nothing of any patient.",
    "": _ORDERS,
}
AFTER = (
    "The networks are a reconstruction after Liu et al. (2020), whose equations and "
    "numbers are not public."
)
CAPTION = (
    "Means over seeds; in brackets the 95 % interval over patients (bootstrap, {} "
    "draws). AP pools the days and drugs of a test fold: of drugs that are not active "
    "today for starts, of those that are for stops."
)
ACTIVE = (
    " A drug counts as said from a threshold on that validation chose. Of a day with "
    "nothing active and nothing said, F1 and Jaccard are 1."
)
CHOICE = (
    "The update is that of the lowest validation loss; 0, where nothing that the "
    "network adds lowers it. Means over seeds and folds."
)
GAPS = "Mean differences to {} with 95 % intervals over the same draws of patients."
REMOVED = (
    "What {} loses where edges are taken away from the trained network, with intervals "
    "over patients; it is not trained again."
)


class Cohort(NamedTuple):
    """Records, their day pairs, and the stays in chunks."""

    data: Any
    pairs: Any
    rows: np.ndarray  # of the day pairs in the record
    packed: Any
    mixed: Any  # stays in chunks, with the events of the graph mixed, or None
    splits: list  # of patients, one for each seed and fold


def load(config: Config) -> Any:
    if config.data is not None:
        return sg.data.read_mimic(config.data, config.codes)
    if config.dataset == "synthetic":
        return sg.data.draw_records(config.stays, seed=0)
    return sg.data.load_demo(config.codes)


def build(config: Config, seeds: tuple[int, ...]) -> Study:
    if not config.arms or len(set(config.arms)) < len(config.arms):
        raise ValueError("--arms takes one or more different networks")
    data = load(config)
    if config.patients:
        data = data.first_patients(config.patients)
    pairs = sg.tasks.prescriptions.day_pairs(data)
    pack = partial(sg.tasks.pack_stays, data, config.days_per_chunk)
    split = partial(sg.data.patient_splits, pairs.num_patients, config.folds)
    cohort = Cohort(
        data=data,
        pairs=pairs,
        rows=data.pairs(),
        packed=pack(),
        mixed=pack(shuffle=0) if config.shuffled else None,
        splits=[one for seed in seeds for one in split(seed)],
    )
    networks = sg.joined.equal_networks(
        config.hidden, cohort.packed.num_codes, config.head, config.dropout
    )
    make = partial(sg.tasks.prescription_tasks, pairs=pairs, rows=cohort.rows)
    make = partial(make, splits=cohort.splits)
    tasks = make(cohort.packed, baseline=BASELINES[RATES])
    arms = {name: sg.Arm(networks[name], tasks, config.train) for name in config.arms}
    bases = dict.fromkeys(arms, RATES)
    if config.shuffled:
        mixed = make(cohort.mixed, baseline=BASELINES[RATES])
        name = SHUFFLED.format("joined")
        arms[name] = sg.Arm(networks["joined"], mixed, config.train)
        bases[name] = RATES
    if config.alone:
        tasks = make(cohort.packed, baseline=BASELINES[FREQUENCY])
        for name in config.arms:
            arms[ALONE.format(name)] = sg.Arm(networks[name], tasks, config.train)
            bases[ALONE.format(name)] = FREQUENCY
    return Study(
        title=f"Prescriptions of the next day, {data.name}",
        report=partial(report, config, cohort, bases),
        arms=arms,
        parts=sg.Parts("fold", tuple(range(config.folds))),
        settings={"records": data.name},
    )


def without_relations(packed: Any) -> Any:
    """Inputs of the stays, and behind them again without each kind of edges."""
    import jax

    graph, spare = packed.inputs.graph, packed.row.shape[1] - 1

    def lacking(r: int) -> Any:
        relations = list(graph.relations)
        loops = np.full(relations[r].senders.size, spare)
        ends = relations[r].num_senders, relations[r].num_receivers
        loops = index_edges(loops, loops, *ends)
        relations[r] = jax.tree.map(lambda leaf: leaf[None], loops)
        return packed.inputs._replace(graph=replace(graph, relations=tuple(relations)))

    every = [packed.inputs, *map(lacking, range(len(RELATIONS)))]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *every)


def report(
    config: Config, cohort: Cohort, bases: Mapping[str, str], trained: Trained
) -> Report:
    pairs, splits, seeds = cohort.pairs, cohort.splits, trained.seeds
    weights = judged.draw_patients(pairs.num_patients, config.draws)
    judge = partial(judged.judge_arm, pairs, splits, config.folds, weights=weights)
    found: dict[str, JudgedStays] = {}
    arms: dict[str, Any] = {}
    effects: dict[str, JudgedStays] = {}
    places, choices = cohort.packed.places(cohort.rows), []
    for name, baseline in BASELINES.items():
        found[name], thresholds, _ = judge(baseline=baseline)
        arms[name] = sg.Measured(per_seed(found[name]))
        choices.append([name, "none", "none", f"{thresholds.mean():.2f}"])
    for name, run in trained.runs.items():
        packed = cohort.mixed if name == SHUFFLED.format("joined") else cohort.packed
        removing = name == config.arms[-1] != "recurrent" and len(packed.row) == 1
        inputs = without_relations(packed) if removing else packed.inputs
        said = run.predict(inputs, batch_size=None)  # [S P, C, R, V]
        base, size = BASELINES[bases[name]], len(packed.row)
        sides = [said[:, k : k + size] for k in range(0, said.shape[1], size)]
        sides = [one.reshape(len(one), -1, one.shape[-1])[:, places] for one in sides]
        found[name], thresholds, none = judge(baseline=base, added=sides[0])
        arms[name] = run.over_parts().adding(per_seed(found[name]))
        update = np.where(none, 0, run.best_update).mean()
        shares = f"{none.mean():.0%}", f"{update:.3g}", f"{thresholds.mean():.2f}"
        choices.append([name, *shares])
        for relation, one in zip(RELATIONS, sides[1:], strict=False):
            effects[relation] = judge(baseline=base, added=one)[0]
    networks = [name for name in trained.runs if bases[name] == RATES]
    compared = [
        sg.compare(
            {name: of_patients(found[name], metric) for name in (RATES, *networks)},
            metric.name,
            unit="patient",
        )
        for metric in (judged.NATS, judged.RECALL_PATIENTS)
    ]
    table, draws = sg.Table, config.draws
    header = ["", "nothing added", "update, mean", "threshold, mean"]
    sections = [
        sg.Section("Test", short_table(found), printed=True),
        sg.Section("Starts and stops", metric_table(found, judged.PRIMARY, draws)),
        sg.Section("Active", metric_table(found, judged.SECONDARY, draws, ACTIVE)),
        sg.Section("Against the rates", gap_table(found, networks)),
        *pictures(found, networks, effects, config.arms[-1]),
        sg.Section("Comparisons of patients", sg.reports.comparison_table(compared)),
        sg.Section("What validation chose", table(header, choices, CHOICE)),
        sg.Section("Who and what", cohort_table(cohort, trained.runs)),
        sg.Section("Rows of the tables", count_table(cohort.data)),
        sg.Section(
            "Over seeds", sg.reports.summary_table(arms, judged.PRIMARY).turned()
        ),
    ]
    verdicts = [pair.verdict for one in compared for pair in one.pairs]
    kind = "" if config.data is not None else config.dataset
    notes = [NOTES[kind], AFTER, said_of_best(found)]
    return Report(arms, verdicts, sections, compared, notes)


def per_seed(one: JudgedStays) -> dict:
    return {metric: drawn[:, 0] for metric, drawn in one.values.items()}


def of_patients(one: JudgedStays, metric: Any) -> "sg.Measured":
    """Each patient's mean over seeds."""
    return sg.Measured({metric: one.by_patient[metric].mean(0)})


def short_table(found: Mapping[str, JudgedStays]) -> "sg.Table":
    """Means alone, for a terminal."""
    shown = {
        judged.STARTS: "AP starts",
        judged.STOPS: "AP stops",
        judged.RECALL: "recall@10, days",
        judged.RECALL_PATIENTS: "patients",
        judged.NATS: "nats a day",
        judged.ACTIVE: "AP active",
    }
    rows = [
        [name, *(metric.show(one.interval(metric)[0], unit=False) for metric in shown)]
        for name, one in found.items()
    ]
    return sg.Table(["", *shown.values()], rows, "Means over seeds, folds and days.")


def metric_table(
    found: Mapping[str, JudgedStays], metrics: Any, draws: int, more: str = ""
) -> "sg.Table":
    rows = [
        [name, *(words_of(metric, *one.interval(metric)) for metric in metrics)]
        for name, one in found.items()
    ]
    header = ["", *(metric.axis for metric in metrics)]
    return sg.Table(header, rows, CAPTION.format(draws) + more)


def words_of(metric: Any, *numbers: float) -> str:
    """A value and its interval, as the metric is shown."""
    mean, low, high = (f"{metric.scale * number:.3g}" for number in numbers)
    return f"{mean} [{low}, {high}]"


def gap_table(found: Mapping[str, JudgedStays], networks: list) -> "sg.Table":
    shown = (*judged.PRIMARY, judged.ACTIVE)
    rows = []
    for name in networks:
        gaps = [(m, *found[name].interval(m, found[RATES])) for m in shown]
        rows.append([name, *(words_of(*gap) for gap in gaps)])
    return sg.Table(["", *(m.axis for m in shown)], rows, GAPS.format(RATES))


def pictures(
    found: Mapping[str, JudgedStays], networks: list, effects: Mapping, removed: str
) -> "Iterator[sg.Section]":
    """Precision and recall, calibration, gains of patients, what relations do."""
    plots, kinds = sg.reports.plots.stays, {"starts_ap": "starts", "stops_ap": "stops"}
    shown = {name: found[name] for name in ("copy", "rates", RATES, *networks)}
    curves = {name: one.curves for name, one in shown.items()}
    figure = plots.plot_precision_recall(curves, kinds)
    heading = "Precision and recall of starts and of stops, the first seed's test days"
    yield sg.Section(heading, None, figure, "precision_recall")
    sums = {name: found[name].calibration for name in (RATES, *networks)}
    figure = plots.plot_calibration(sums, kinds)
    heading = "Are chances what they say? Bins of 20 or more, all seeds"
    yield sg.Section(heading, None, figure, "calibration")
    rates = found[RATES].by_patient[judged.NATS].mean(0)
    gains = {
        name: rates - found[name].by_patient[judged.NATS].mean(0) for name in networks
    }
    ends = [sg.statistics.summarize(values).ci95 for values in gains.values()]
    figure = plots.plot_patients(gains, ends, f"gain over {RATES} (nats a day)")
    heading = "Gain of every patient; the band is the mean's 95 % interval"
    yield sg.Section(heading, None, figure, "patients")
    if effects:
        losses = {
            name: one.interval(judged.NATS, found[removed])
            for name, one in effects.items()
        }
        figure = plots.plot_effects(losses, "log-loss without, minus with (nats a day)")
        heading = REMOVED.format(removed)
        yield sg.Section(heading, None, figure, "relations")


def said_of_best(found: Mapping[str, JudgedStays]) -> str:
    """Which arm is best by what; nothing is claimed."""
    best = []
    for metric in judged.PRIMARY:
        reached = {name: one.interval(metric)[0] for name, one in found.items()}
        name = max(reached, key=lambda arm: metric.sign * reached[arm])
        value = metric.show(reached[name])
        best.append(f"{name} by {metric.words_for_it.partition(',')[0]} ({value})")
    return f"Best on average: {'; '.join(best)}."


def cohort_table(cohort: Cohort, runs: Mapping[str, Any]) -> "sg.Table":
    """Counts of the cohort, of nobody alone."""
    data, pairs = cohort.data, cohort.pairs
    starts, stops = pairs.then & ~pairs.active, pairs.active & ~pairs.then
    beyond = []
    for split in cohort.splits:
        test = split.test_mask[pairs.patient]
        seen = (pairs.active[~test] | pairs.then[~test]).any(0)
        beyond.append((starts[test] & ~seen).sum() / max(1, starts[test].sum()))
    counts = {
        "patients with a day pair": pairs.num_patients,
        "days that have a next one": len(pairs.day),
        "drugs": data.num_drugs,
        "kinds of flagged results": len(data.flag_names),
        "facts known at admission": len(data.known_names),
        "chunks": len(cohort.packed.row),
        **{f"parameters, {name}": run.num_params for name, run in runs.items()},
    }
    shares = {
        "starts a day": f"{starts.sum() / len(starts):.2f}",
        "stops a day": f"{stops.sum() / len(stops):.2f}",
        "days on which nothing starts, without a recall": f"{1 - starts.any(1).mean():.1%}",
        "starts of drugs that no training patient had": f"{np.mean(beyond):.1%}",
    }
    rows = [[name, f"{number:,}"] for name, number in counts.items()]
    return sg.Table(["", ""], rows + [[*row] for row in shares.items()])


def count_table(data: Any) -> "sg.Table":
    """How many rows of the tables are not as they should be."""
    rows = [[kind, f"{number:,}"] for kind, number in sorted(data.counts.items())]
    return sg.Table(["kind", "rows"], rows or [["none", "0"]])


main = experiment(
    "prescriptions",
    Config(),
    build,
    doc=__doc__,
    seeds=lambda config: range(0, 2500, 500),
    smoke=SMOKE,
)

if __name__ == "__main__":
    sys.exit(main())
