"""Do graph networks outperform recurrent ones on the same data, and what do they take?

Time: three to twelve minutes of CPU time for eight seeds of a case.

    python -m experiments.rnn_vs_gnn
    python -m experiments.rnn_vs_gnn --case cora
    python -m experiments.rnn_vs_gnn --case molecules

The same data in both forms, seeds paired, and as many parameters in every network as in
the first one. They are compared after equally many updates, and again when each has had
the time that the fastest one takes for all of its own.

strings: Baum-Sweet numbers as digits in a row and as paths, a node for each digit.
``recurrent-gnn`` passes messages along the path with one set of weights and a GRU as
update: it is the GRU, by another way. Strings in pairs that differ by one zero in their
longest run ask who has learned the rule. cora: a node's class by its neighbourhood
(gcn), by random walks that end at it, read in order (gru-3, of three nodes) or as a
mean (mean-3), or by its own words (mlp). molecules: graphs, SMILES (smiles-gru), and
atoms in depth-first order, with the labels of atoms and bonds (dfs-gru).
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

import seqgraph_jax as sg
from experiments.harness import Report, Study, Trained, experiment
from experiments.harness.cli import RunOptions, TrainOptions
from seqgraph_jax.data import notes
from seqgraph_jax.training.metrics import ACCURACY, UPDATES_TO_CONVERGE
from seqgraph_jax.training.ranges import AtLeast, Count, Share

_config = partial(sg.TrainConfig, metric="loss", early_stop=False)
STRINGS = _config(updates=600, eval_every=20, learning_rate=5e-3, threshold=0.05)


@dataclass(frozen=True)
class Config:
    """Flags of this experiment; another case has other defaults."""

    case: Literal["strings", "cora", "molecules"] = "strings"  # the data
    dataset: str = ""  # cora: any of nodes; molecules: esol, mutag, or a path
    arms: tuple[str, ...] = (
        "gru", "lstm", "recurrent-gnn", "gcn-2", "gcn-8", "gin-2", "gin-8", "gin-16",
    )  # networks; a number is that of layers, or of a walk's nodes  # fmt: skip
    hidden: Count = 32  # of the first, whose number of parameters all have
    within: Share = 0.05  # that number may be missed by so much
    edges: Literal["both", "forward"] = "both"  # strings: of paths
    readout: Literal["max", "mean", "last"] = "max"  # strings: of a path's nodes
    digits: Count = 6  # strings: decimal digits of the numbers
    times: tuple[Count, ...] = (8, 16, 32, 64)  # strings: lengths to time updates at
    walks: Count = 4  # cora: walks to a node in an update
    eval_walks: Count = 16  # cora: in an evaluation
    layers: Count = 4  # molecules: of graph networks
    orders: Count = 4  # molecules: depth-first orders, one of which an update takes
    folds: Annotated[int, AtLeast(3)] = 10  # molecules with classes: to test on
    dropout: Share = 0.0  # cora, molecules
    rounds: Count = 15  # in which arms take turns to be timed
    train: sg.TrainConfig = STRINGS
    run: RunOptions = field(default_factory=RunOptions)
    saving: TrainOptions = field(
        default_factory=lambda: TrainOptions(checkpoint_every=60.0)
    )


CORA = _config(
    updates=200, eval_every=2, batch_size=1, eval_size=1, learning_rate=0.01,
    weight_decay=5e-4, max_norm=float("inf"), threshold=1.0,
)  # fmt: skip
ESOL = _config(
    updates=1800, eval_every=30, batch_size=32, eval_size=1, learning_rate=5e-3,
    threshold=0.2,
)  # fmt: skip
PRESETS = {
    "strings": Config(),
    "cora": Config(
        dataset="cora", arms=("gcn", "mlp", "gru-3", "gru-8", "mean-3", "mean-8"),
        hidden=16, dropout=0.5, train=CORA,
    ),
    "molecules": Config(
        dataset="esol", arms=("gin", "gcn", "smiles-gru", "dfs-gru"), train=ESOL
    ),
    "mutag": Config(
        dataset="mutag", arms=("gin", "dfs-gru"), dropout=0.1,
        train=replace(ESOL, updates=600, eval_every=5, threshold=None),
    ),
}  # fmt: skip
SMOKE = {
    "hidden": 8, "within": 0.5, "digits": 3, "times": (4, 6), "eval_walks": 2,
    "layers": 1, "orders": 2, "folds": 3, "rounds": 1, "train.updates": 4,
    "train.eval_every": 2, "train.batch_size": 8, "train.eval_size": 32,
    "train.hold_for": 1,
}  # fmt: skip
SMOKE_ARMS = {
    "strings": ("gru", "gin-1"), "cora": ("gcn", "gru-2", "mean-2"),
    "molecules": ("gin", "dfs-gru"),
}  # fmt: skip
ON_PAIRS = replace(ACCURACY, name="on_pairs", label="accuracy on pairs")
TEST = "test_accuracy"
REDRAWS = 10  # of the walks of an evaluation, to tell what they change


class Found(NamedTuple):
    """What else was measured, and which pairs of arms are compared beside."""

    baselines: Mapping[str, Any] = {}
    measured: Mapping[Any, Any] = {}  # values of trained arms by metric
    sections: Sequence[Any] = ()
    notes: Sequence[str] = ()
    pairs: Sequence[tuple[str, str]] = ()


class Case(NamedTuple):
    """Arms on the same data; ``look`` is given what was trained and the best ones."""

    title: str
    arms: dict[str, Any]
    look: Callable[[Trained, Sequence[str]], Found]
    test: str = TEST  # what is compared
    parts: Any = None


def matched(config: Config, make: Any, tasks: Mapping[str, Any]) -> dict[str, Any]:
    sizes = (config.hidden, config.within)
    return sg.training.match_arms(make, tasks, config.train, *sizes)


def of_strings(config: Config, seeds: tuple[int, ...]) -> Case:
    if len({*config.times}) < 2:
        raise ValueError("--times takes two or more lengths")
    both, task = config.edges == "both", sg.tasks.BaumSweetStrings(config.digits)
    form = {"both_ways": both, "readout": config.readout}
    make = partial(sg.joined.forms.string_network, **form)
    arms = matched(config, make, dict.fromkeys(config.arms, task))
    look = partial(look_at_strings, config, task, arms)
    return Case("Baum-Sweet numbers as strings and as paths", arms, look)


def look_at_strings(
    config: Config, task: Any, arms: dict, trained: Trained, best: Sequence[str]
) -> Found:
    """Accuracy by length and by longest run; times by length."""
    plots, size = sg.reports.plots.trade, 20 if trained.smoke else 200
    found = sg.tasks.strings.answer_by_size(task, trained.runs, size)
    heard = sg.joined.forms.symbols_heard(arms, both_ways=config.edges == "both")
    seen = {name: symbols - 2 for name, symbols in heard.items()}
    sizes = plots.plot_by_size(found.panels, "accuracy (%)", seen, 0.5)
    table = sg.reports.trade.size_table(found.runs, found.by_run, heard, notes.PAIRS)
    timed = {name: arms[name] for name in (*best, "recurrent-gnn") if name in arms}
    lengths = {length: sg.tasks.UniformStrings(length) for length in config.times}
    seconds = sg.training.times_by_size(timed, lengths, config.rounds, updates=4)
    slopes = plots.plot_slopes(config.times, seconds)
    sections = [
        sg.Section("Accuracy by size", None, sizes, "sizes"),
        sg.Section("Pairs, by longest run", table),
        sg.Section("Time of an update by length", None, slopes, "slopes"),
    ]
    one, test = np.ones(len(trained.seeds)), trained.runs[best[0]].record(TEST)
    majority = {test: task.numbers.baseline_accuracy * one, ON_PAIRS: 0.5 * one}
    rule = sg.Measured({test: one, ON_PAIRS: one})  # `strings.run_parity`
    said = {"majority": sg.Measured(majority), "counter of runs": rule}
    told = [notes.PATHS[config.edges]]
    return Found(said, {ON_PAIRS: found.on_pairs}, sections, told)


def of_nodes(config: Config, seeds: tuple[int, ...]) -> Case:
    data = sg.datasets.load_nodes("karate" if config.run.smoke else config.dataset)
    masks = (data.train_mask, data.val_mask, data.test_mask)
    split = sg.random_split(data.labels, 0) if masks[0] is None else sg.Split(*masks)
    features = sg.data.node_features(data, "auto", split.train_mask)
    nodes = sg.NodeTask(sg.node_inputs(data.graph(), features), data.labels, split)
    lengths = {name: sg.joined.forms.number_of(name) for name in config.arms}
    tasks: Any = sg.tasks.walk_tasks(nodes, lengths, config.walks, config.eval_walks)
    sizes = {"num_classes": data.num_classes, "dropout_rate": config.dropout}
    make = partial(sg.joined.forms.node_network, **sizes)
    arms = matched(config, make, tasks)
    for name, arm in arms.items():
        first = "project" if lengths[name] else "layers.layer_0"
        arms[name] = arm._replace(config=replace(arm.config, decay_only=first))

    def look(trained: Trained, best: Sequence[str]) -> Found:
        walks = [name for name in arms if lengths[name]]
        again = {k: tasks[k].test_accuracies(trained.runs[k], REDRAWS) for k in walks}
        table = sg.reports.trade.nested_table(again, notes.WALKS)
        section = sg.Section("What seeds and walks change", table, printed=True)
        pairs = sg.joined.forms.order_pairs(arms, best[0])
        return Found(sections=[section], pairs=pairs)

    return Case(f"{data.name} by neighbourhoods and by walks", arms, look)


def of_molecules(config: Config, seeds: tuple[int, ...]) -> Case:
    if config.run.smoke and config.dataset in ("esol", "mutag"):
        data = sg.data.draw_molecules(classes=config.dataset == "mutag")
    else:
        data = sg.datasets.load_graphs(config.dataset)
    kind, splits = sg.data.graph_splits(data, "auto", seeds, config.folds)
    graphs = sg.make_tasks(data, splits, config.train.batch_size)
    read = {k: k.partition("-")[0] for k in config.arms if "-" in k}
    rows = {form: sg.data.read_as(form, data, config.orders) for form in read.values()}
    tasks: dict[str, Any] = dict.fromkeys(config.arms, graphs)
    for name, form in read.items():
        tasks[name] = [sg.tasks.sequence_task(task, rows[form]) for task in graphs]
    make = partial(
        sg.joined.forms.molecule_network,
        num_outputs=max(1, data.num_classes),
        num_symbols=max([0, *(of.num_symbols for of in rows.values())]),
        dropout_rate=config.dropout,
        num_layers=config.layers,
        readout="mean" if data.num_classes else "sum",
    )
    arms = matched(config, make, tasks)
    parts = sg.Parts("fold", tuple(range(config.folds))) if kind == "folds" else None
    _, test, *_ = graphs[0].metrics.records

    def look(trained: Trained, best: Sequence[str]) -> Found:
        baselines = {}
        for name, one in sg.tasks.baselines.fit_baselines(data, splits).items():
            reached = one.reached(data, splits, "test").reshape(len(seeds), -1)
            baselines[name] = sg.Measured({test: reached.mean(1)}, one.num_params)
        told = [*notes.notes_on_molecules(data.num_graphs, rows, config.orders)]
        return Found(baselines, notes=told, pairs=[(name, "linear") for name in best])

    return Case(f"{data.name} as graphs and in rows", arms, look, test.name, parts)


def build(config: Config, seeds: tuple[int, ...]) -> Study:
    if len(set(config.arms)) < len(config.arms):
        raise ValueError("--arms takes different networks")
    if not {"graph", "recurrent"} <= {*map(sg.joined.forms.kind_of, config.arms)}:
        raise ValueError("--arms needs a recurrent and a graph network")
    case = CASES[config.case](config, seeds)
    return Study(case.title, partial(report, config, case), case.arms, case.parts)


def report(config: Config, case: Case, trained: Trained) -> Report:
    timed = sg.training.time_updates(case.arms, config.rounds, updates=20)
    trade = sg.reports.trade.Trade(trained.runs, timed, case.test)
    kinds = {name: sg.joined.forms.kind_of(name) for name in case.arms}
    best = trade.pairs(kinds, ("graph", "recurrent"))
    found = case.look(trained, best[0])
    arms: dict[str, Any] = dict(trade.judged())
    for metric, of in found.measured.items():
        arms = {name: run.adding({metric: of[name]}) for name, run in arms.items()}
    arms |= found.baselines
    names = [metric.name for metric in trade.metrics]
    asked = [*zip(names, best, strict=True), *((case.test, p) for p in found.pairs)]
    if config.train.threshold is not None:
        asked.append((UPDATES_TO_CONVERGE.name, best[0]))
    compared = [sg.compare({k: arms[k] for k in pair}, name) for name, pair in asked]
    shown, tables = [*trade.metrics, *found.measured], sg.reports.tables
    every = tables.seed_table(arms, trained.seeds, shown)
    sections = [
        sg.Section("Results", trade.table(arms, [*found.measured]), printed=True),
        sg.Section("Test", None, sg.reports.plots.trade.plot_trade(trade), "trade"),
        *found.sections,
        sg.Section("Comparisons", tables.comparison_table(compared)),
        sg.Section("Intervals", tables.summary_table(arms, shown).turned()),
        sg.Section("Every seed", every.turned()),
    ]
    verdicts = [one.pairs[0].verdict for one in compared]
    verdicts = [*trade.answers([one.pairs[0] for one in compared[:2]]), *verdicts]
    paces = {name: seconds.tolist() for name, seconds in timed.items()}
    extra = {"seconds_per_update": paces, "budget_s": trade.budget}
    return Report(arms, verdicts, sections, compared, found.notes, extra)


def preset(first: Any) -> Config:
    """Defaults of a case."""
    mutag = first.case == "molecules" and first.dataset == "mutag"
    config = PRESETS["mutag" if mutag else first.case]
    config = replace(config, case=first.case, dataset=first.dataset or config.dataset)
    return replace(config, arms=SMOKE_ARMS[first.case]) if first.smoke else config


CASES = {"strings": of_strings, "cora": of_nodes, "molecules": of_molecules}

main = experiment(
    "rnn_vs_gnn",
    Config(),
    build,
    doc=__doc__,
    seeds=lambda config: range(0, 4000, 500),
    smoke=SMOKE,
    preset=preset,
    choices=("case", "dataset"),
)

if __name__ == "__main__":
    sys.exit(main())
