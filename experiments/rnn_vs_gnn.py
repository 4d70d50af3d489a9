"""Do graph networks outperform recurrent ones on the same data, and what do they take?

Time: five minutes on 2 CPU cores for 10 seeds of nine networks.

    python -m experiments.rnn_vs_gnn
    python -m experiments.rnn_vs_gnn --case strings --edges forward

The same data in both forms, seeds paired, all networks with as many parameters as the
first one. They are compared after equally many updates, and again when each has had the
time that the fastest one takes for all of its own.

strings: Baum-Sweet numbers as strings of digits and as paths, a node for each digit.
``recurrent-gnn`` passes messages along the path with one set of weights and a GRU as
update: it is the GRU, by another way. Strings in pairs that differ by one zero in their
longest run ask whether a network has learned the rule.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, NamedTuple

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
from seqgraph_jax.tasks import strings
from seqgraph_jax.training.ranges import Count

FORMS = {
    "forward": "An edge leads from each digit to the next: graph networks are told the "
    "direction, as recurrent ones are by reading.",
    "both": "Edges lead both ways and no network has positions: graph networks are not "
    "told the direction, which recurrent ones have by reading. The label of a string "
    "read backwards is the same.",
}
PAIRS = "Accuracy on pairs of strings, by the length of the longest run of zeros"
OF_PAIRS = (
    "A pair is a string of label 1 and the one of label 0 that has a zero more in its "
    "longest run: who does not tell the parity of that run is right in half of all."
)
ON_PAIRS = replace(
    sg.training.ACCURACY, name="accuracy_on_pairs", label="accuracy on pairs"
)
TAKES = "An update of {} takes {} times as long as one of {} ({} rounds in turn)."


@dataclass(frozen=True)
class Config:
    """Flags of this experiment; another case has other defaults."""

    case: Literal["strings"] = "strings"  # the data
    arms: tuple[str, ...] = (
        "gru", "lstm", "recurrent-gnn", "gcn-2", "gcn-8", "gcn-16", "gin-2", "gin-8",
        "gin-16",
    )  # recurrent cells, and graph layers with their number  # fmt: skip
    hidden: Count = 32  # of the first arm, to whose parameters others are matched
    edges: Literal["both", "forward"] = "both"  # of paths
    readout: Literal["max", "mean", "last"] = "max"  # of the nodes of a path
    digits: Count = 6  # decimal digits of the numbers
    times: tuple[int, ...] = (8, 16, 32, 64)  # lengths of strings to time updates at
    rounds: Count = 9  # in which arms take turns to be timed
    train: sg.TrainConfig = field(
        default_factory=partial(
            sg.TrainConfig,
            updates=600,
            learning_rate=5e-3,
            metric="loss",
            threshold=0.05,
            early_stop=False,
        )
    )
    run: RunOptions = field(default_factory=RunOptions)
    saving: TrainOptions = field(
        default_factory=lambda: TrainOptions(checkpoint_every=60.0)
    )


SMOKE = {
    "arms": ("gru", "gin-2"), "hidden": 16, "digits": 3, "times": (4, 6), "rounds": 1,
    "train.updates": 20, "train.batch_size": 8, "train.eval_size": 32,
    "train.hold_for": 1,
}  # fmt: skip


class Case(NamedTuple):
    """Arms on the same data, which of them are recurrent, and what is asked beside."""

    title: str
    arms: dict[str, Any]
    recurrent: Sequence[str]
    graphs: Sequence[str]
    test: str  # the metric that is compared
    more: Callable[..., "Found"]  # of what was trained, and the best of both kinds
    pairs: Sequence[tuple[str, str]] = ()  # to compare beside the first
    parts: Any = None


class Found(NamedTuple):
    """What else was measured."""

    baselines: dict[str, Any]
    measured: dict[Any, Any]  # values of trained arms by metric
    sections: list[Any]
    notes: list[str]


def matched(makes: Mapping[str, Callable[[int], Any]], tasks: Any, hidden: int) -> dict:
    """The networks, with as many parameters as the first has at a width."""
    (first, *others), count = makes, sg.training.count_params
    networks = {first: makes[first](hidden)}
    target = count(networks[first], tasks[first])
    for name in others:
        networks[name] = sg.training.match_params(makes[name], tasks[name], target)
    return networks


def string_network(config: Config, name: str) -> Callable[[int], Any]:
    """A network of strings by its width; raises `ValueError` for an unknown name."""
    kind, _, depth = name.partition("-")
    if name == "recurrent-gnn":
        return lambda width: sg.joined.RoundsReader("gru", width, 2, 3)
    if kind in sg.LAYERS and depth.isdecimal():
        both, number = config.edges == "both", int(depth)
        return lambda width: sg.graph.PathClassifier(
            kind, width, 3, 2, number, both, config.readout
        )
    sg.cell_named(name)
    return lambda width: sg.recurrent.PaddedReader(name, width, 2, 3)


def build_strings(config: Config, seeds: tuple[int, ...]) -> Case:
    task = sg.tasks.BaumSweetStrings(config.digits)
    makes = {name: string_network(config, name) for name in config.arms}
    networks = matched(makes, dict.fromkeys(makes, task), config.hidden)
    arms = {k: sg.Arm(model, task, config.train) for k, model in networks.items()}
    graphs = [name for name in arms if name.partition("-")[0] in sg.LAYERS]
    recurrent = [name for name in arms if name not in (*graphs, "recurrent-gnn")]
    more = partial(of_strings, config, task, arms)
    title = "Baum-Sweet strings and paths"
    return Case(title, arms, recurrent, graphs, "test_accuracy", more)


def of_strings(
    config: Config, task: Any, arms: dict, trained: Trained, best: Sequence[str]
) -> Found:
    """Baselines; accuracy by length and by longest run; times by length."""
    size, runs = (20 if trained.smoke else 200), trained.runs
    lengths, (pairs, longest) = task.by_length(size), task.zero_pairs(size)
    panels, on_pairs = {}, {}
    for words, batch, sizes in (
        ("length", lengths, np.asarray(lengths.inputs.lengths)),
        ("longest run of zeros, in pairs", pairs, longest),
    ):
        labels, of_arms = np.asarray(batch.targets), {}
        for name, run in runs.items():
            right = run.predict(batch.inputs, batch_size=None).argmax(-1) == labels
            at, of_arms[name] = strings.shares_by_size(right, labels, sizes)
            on_pairs[name] = right.mean(1)
        panels[words] = at, of_arms
    test, seeds = runs[best[0]].record("test_accuracy"), np.ones(len(trained.seeds))
    share = max(task.numbers.probability_of_one, 1 - task.numbers.probability_of_one)
    baselines = {
        "majority": sg.Measured({test: share * seeds, ON_PAIRS: 0.5 * seeds}, 0),
        "run counter": sg.Measured({test: seeds, ON_PAIRS: seeds}, 0),
    }
    both, plots = config.edges == "both", sg.reports.plots.trade
    fields = {
        name: sg.graph.paths.receptive_field(arm.model.num_layers, both)
        for name, arm in arms.items()
        if hasattr(arm.model, "num_layers")
    }
    runs_seen = {name: symbols - 2 for name, symbols in fields.items()}
    figure = plots.plot_by_size(panels, "accuracy (%)", runs_seen, 0.5)
    header = ["", "symbols that a node hears of", *map(str, at)]
    rows = [
        [name, str(fields.get(name, task.length)), *(f"{v:.0%}" for v in of.mean(0))]
        for name, of in of_arms.items()
    ]
    timed = [*dict.fromkeys([*best, *("recurrent-gnn",) * ("recurrent-gnn" in arms)])]
    seconds = {name: [] for name in timed}
    for length in config.times:
        of = {k: arms[k]._replace(task=sg.tasks.UniformStrings(length)) for k in timed}
        for name, values in sg.training.time_updates(of, config.rounds, 2).items():
            seconds[name].append(np.median(values))
    times = {name: np.array(values) for name, values in seconds.items()}
    sections = [
        sg.Section("Accuracy by size", None, figure, "sizes"),
        sg.Section(PAIRS, sg.Table(header, rows, OF_PAIRS)),
        sg.Section(
            "Time by length", None, plots.plot_slopes(config.times, times), "slopes"
        ),
    ]
    return Found(baselines, {ON_PAIRS: on_pairs}, sections, [FORMS[config.edges]])


def build(config: Config, seeds: tuple[int, ...]) -> Study:
    if len(config.arms) < 2 or len(set(config.arms)) < len(config.arms):
        raise ValueError("--arms takes two or more different networks")
    case = CASES[config.case](config, seeds)
    for kind, names in (("recurrent", case.recurrent), ("graph", case.graphs)):
        if not names:
            raise ValueError(f"--arms needs a {kind} network, to compare both kinds")
    return Study(case.title, partial(report, config, case), case.arms, case.parts)


def report(config: Config, case: Case, trained: Trained) -> Report:
    timed = sg.training.time_updates(case.arms, config.rounds, updates=5)
    trade = sg.reports.trade.Trade(trained.runs, timed, case.test)
    kinds, whole = (case.graphs, case.recurrent), (False, True)
    pairs = [[trade.first(names, equal) for names in kinds] for equal in whole]
    found = case.more(trained, pairs[0])
    arms: dict[str, Any] = {
        name: run.adding({metric: of[name] for metric, of in found.measured.items()})
        for name, run in trade.judged().items()
    } | found.baselines
    words = (" with equally many updates", f" in equal time, {trade.budget:.3g} s")
    compared, said = [], []
    for metric, (graph, recurrent), where in zip(
        trade.metrics, pairs, words, strict=True
    ):
        compared.append(
            sg.compare({k: arms[k] for k in (graph, recurrent)}, metric.name)
        )
        [pair] = compared[-1].pairs
        said += [sg.reports.trade.answer(pair, metric, where), pair.verdict]
        ratio = trade.ratio(graph, recurrent)
        said.append(TAKES.format(graph, ratio, recurrent, config.rounds))
    asked = [(case.test, pair) for pair in case.pairs]
    if trained.runs[pairs[0][0]].config.threshold is not None:
        asked.append((sg.training.UPDATES_TO_CONVERGE.name, pairs[0]))
    compared += [sg.compare({k: arms[k] for k in pair}, name) for name, pair in asked]
    said += [one.pairs[0].verdict for one in compared[2:]]
    figure = sg.reports.plots.trade.plot_trade(trade)
    shown = [*trade.metrics, *found.measured]
    tables = sg.reports.tables
    sections = [
        sg.Section("Results", trade.table(arms, [*found.measured]), printed=True),
        sg.Section("By updates and by time", None, figure, "trade"),
        *found.sections,
        sg.Section("Comparisons", tables.comparison_table(compared)),
        sg.Section("With intervals", tables.summary_table(arms, shown).turned()),
        sg.Section(
            "Every seed", tables.seed_table(arms, trained.seeds, shown).turned()
        ),
    ]
    seconds = {name: of.tolist() for name, of in timed.items()}
    extra = {"seconds_per_update": seconds, "budget_s": trade.budget}
    return Report(
        arms, list(dict.fromkeys(said)), sections, compared, found.notes, extra
    )


CASES = {"strings": build_strings}

main = experiment(
    "rnn_vs_gnn",
    Config(),
    build,
    doc=__doc__,
    seeds=lambda config: range(0, 5000, 500),
    smoke=SMOKE,
)

if __name__ == "__main__":
    sys.exit(main())
