"""What does a graph add to a forecast at each of its nodes?

Time: eleven minutes of CPU time for 8 seeds of nine networks; nineteen on 2 busy cores.

    python -m experiments.traffic
    python -m experiments.traffic --protocol tgcn --arms gru dcrnn
    python -m experiments.traffic --time-of-day --arms gru dcrnn
    python -m experiments.traffic --dataset chickenpox

Los-loop holds the speeds at 207 places on highways of Los Angeles, every five minutes
of one week: networks read an hour and forecast the next one. Times are parted in their
order, 70 % for training, 10 % for the choice of the epoch, 20 % for the test; scale and
means come from the training part. Beside the networks stand forecasts without one, up
to linear models of a node's own past and its neighbours'. The control arm is trained
again on a random graph of equal degrees, and without edges: what it then loses is what
the graph adds. ``--dataset PATH`` takes a folder with signal.csv and edges.csv.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

import seqgraph_jax as sg
from experiments.harness import Report, Study, Trained, experiment
from experiments.harness.cli import RunOptions, TrainOptions, with_values
from seqgraph_jax.tasks.errors import leads, measures
from seqgraph_jax.tasks.judged import Judged, judge
from seqgraph_jax.training.ranges import Count, FromZero

Arm = Literal[
    "gru", "lstm", "gcn", "tgcn", "gcn-gru", "gconv-gru", "gconv-lstm", "gc-lstm",
    "dcrnn", "gat-gru", "gru-then-graph",
]  # fmt: skip


@dataclass(frozen=True)
class Config:
    """Flags of this experiment; data of another kind have other defaults."""

    dataset: str = "los_loop"  # los_loop, chickenpox, synthetic, or a folder
    missing: float | None = None  # the value in a folder's signal that stands for none
    arms: tuple[Arm, ...] = (
        "gru", "gcn", "tgcn", "gconv-gru", "dcrnn", "gat-gru", "gru-then-graph",
    )  # one or more  # fmt: skip
    control: Arm | None = "dcrnn"  # of arms, the one with other graphs, too; None: none
    protocol: Literal["dcrnn", "tgcn", "pygt"] = "dcrnn"  # shares and steps
    history: Count | None = None  # steps that are read (default: the protocol's)
    horizon: Count | None = None  # steps that are forecast (default: the protocol's)
    time_of_day: bool = False  # all read the time, and means of the training part at it
    embedding: FromZero = 0  # learned features of every node, for all networks
    residual: bool = True  # a network forecasts the difference from the last value
    loss: Literal["mae", "mse"] = "mae"  # trained on, and judged by in validation
    hidden: Count = 16  # features of a node's state
    level: Literal[80, 90, 95] = 90  # percent that forecast intervals should hold
    train: sg.TrainConfig = field(
        default_factory=partial(
            sg.TrainConfig,
            updates=400,
            eval_every=40,
            batch_size=8,
            eval_size=512,
            learning_rate=1e-2,
            schedule="cosine",
            early_stop=False,
        )
    )
    run: RunOptions = field(default_factory=RunOptions)
    saving: TrainOptions = field(
        default_factory=lambda: TrainOptions(checkpoint_every=60.0)
    )


SMOKE = {
    "dataset": "synthetic", "arms": ("gru", "dcrnn"), "history": 3, "horizon": 3,
    "hidden": 4, "train.updates": 20, "train.eval_every": 10,
}  # fmt: skip
#: Differenced and standardised series have no last value to stay at.
CHICKENPOX = {
    "arms": ("gru", "dcrnn"), "protocol": "pygt", "residual": False, "loss": "mse",
}  # fmt: skip

_BEST_TEST = "the best of 5,000 epochs by the test part"
#: Results of others: who, RMSE and MAE, and what they are.
PUBLISHED = {
    ("los_loop", "tgcn"): (
        ("T-GCN (Zhao et al. 2020)", "5.1264 / 3.1802", _BEST_TEST),
    ),
    ("chickenpox", "pygt"): (
        ("DCRNN, K = 1 (documentation of PyTorch Geometric Temporal)", "0.861 / none",
         "root of a mean squared error of 0.7418 after 200 epochs"),
        ("11 networks (Rozemberczki et al. 2021)", "none",
         "about 1.1: a mean over all pairs of nodes, no mean squared error"),
    ),
}  # fmt: skip
BEST = "{} is best in validation of those without a network."
NOISE = (
    "Seeds differ in initial parameters and batches alone: their intervals and tests "
    "say what another training would give, not what other days would."
)
CAPTION = (
    "{}, by time ahead and over all steps; ± is the SD over seeds. The error in "
    "validation has chosen the epoch. Linear models minimise the squared error."
)
BLOCKS = (
    "Of the mean over seeds; the interval is over blocks of {} test windows or more: "
    "what other hours of these days would give, not what other days would."
)
INTERVALS = (
    "Around a forecast ± what holds {} % of the validation errors, and the share of "
    "test values within; means over seeds."
)


def build(config: Config, seeds: tuple[int, ...]) -> Study:
    if not config.arms or len(set(config.arms)) < len(config.arms):
        raise ValueError("--arms takes one or more different networks")
    data = sg.data.load_signals(config.dataset, config.missing)
    lengths = {"history": config.history, "horizon": config.horizon}
    given = {name: steps for name, steps in lengths.items() if steps}
    protocol = sg.tasks.PROTOCOLS[config.protocol]._replace(**given)
    parted = sg.part_signals(data, protocol)
    graphs = {"": data}
    if config.control in config.arms:
        graphs |= {"random graph": data.on_random_graph(0)}
        graphs |= {"no edges": data.without_edges()}
    own = {"residual": config.residual, "embedding": config.embedding}
    kind = {"season": config.time_of_day, "squared": config.loss == "mse"}
    arms = {}
    for words, graph in graphs.items():
        task = sg.signal_task(parted, **kind, graph_of=graph)
        for name in (config.control,) if words else config.arms:
            network = sg.FORECASTERS[name](config.hidden, protocol.horizon, **own)
            arm = sg.Arm(network, task, config.train)
            arms[f"{name}, {words}" if words else name] = arm
    return Study(
        title=f"Forecasts on {data.name}",
        report=partial(report, config, parted, arms),
        arms=arms,
        settings={"protocol": protocol._asdict()},
    )


def report(config: Config, parted: Any, trained_by: dict, trained: Trained) -> Report:
    runs, data, seeds = trained.runs, parted.data, trained.seeds
    arms: dict[str, Any] = {}
    found: dict[str, Judged] = {}
    judged = partial(judge, parted, share=config.level / 100)
    _, val, test = parted.origins
    for name, run in runs.items():
        task = trained_by[name].task
        windows = task.windows(np.concatenate([val, test]))
        said = task.in_units(run.predict(windows, batch_size=None))
        found[name] = judged(*np.split(said, [len(val)], axis=1))
        arms[name] = run.adding(measures(data, found[name].by_node))
    simple = sg.tasks.forecasts.fit_baselines(parted, config.time_of_day)
    for name, one in simple.items():
        found[name] = judged(one.val[None], one.test[None])
        values = measures(data, found[name].by_node)
        same = {metric: np.repeat(v, len(seeds)) for metric, v in values.items()}
        arms[name] = sg.Measured(same, one.num_params)
    error = "rmse" if config.loss == "mse" else "mae"
    vals = {name: getattr(one.val, error).mean() for name, one in found.items()}
    best = min(simple, key=vals.__getitem__)
    control = config.control if config.control in config.arms else config.arms[-1]
    others = [name for name in runs if name.partition(",")[0] == control]
    groups = [list(dict.fromkeys([control, config.arms[0], best])), others]
    over_all = [metric for metric in same if metric.name.endswith("_all")]
    compared = [
        sg.compare({name: arms[name] for name in group}, metric.name)
        for group in groups
        for metric in over_all[:2]
        if len(group) > 1
    ]
    sections = [
        sg.Section("Test", error_table(found, arms, vals, list(same)), printed=True),
        *published(config, found),
        *pictures(config, parted, [control, best], others, found),
        sg.Section("Over blocks of test time", block_table(parted, groups, found)),
        sg.Section("Forecast intervals", interval_table(config, parted, found)),
        sg.Section("Comparisons", sg.reports.comparison_table(compared)),
        sg.Section("Results", sg.reports.summary_table(arms, list(same)).turned()),
        sg.Section("Every seed", sg.reports.seed_table(arms, seeds, over_all).turned()),
    ]
    verdicts = [pair.verdict for one in compared for pair in one.pairs]
    return Report(arms, verdicts, sections, compared, [BEST.format(best), NOISE])


def error_table(found: dict, arms: dict, vals: dict, shown: list) -> "sg.Table":
    """A row for each arm: MAE by time ahead, all errors over all steps, validation."""
    ends = [metric for metric in shown if metric.name.endswith("_all")]
    columns = [m for m in shown if "_mae_" in m.name and m not in ends] + ends
    rows = []
    for name, one in found.items():
        row = [name]
        for metric in columns:
            s = sg.statistics.summarize(arms[name].values(metric.name))
            spread = metric in ends[:2] and len(one.held) > 1
            row.append(metric.show(s.mean, unit=False))
            row[-1] += f" ± {s.sd:.2g}" if spread else ""
        rows.append([*row, f"{vals[name]:.4g}"])
    names = [metric.words_for_it.rpartition(", ")[2] for metric in columns]
    return sg.Table(["", *names, "validation"], rows, CAPTION.format(ends[0].axis))


def published(config: Config, found: dict) -> "list[sg.Section]":
    """Numbers of others and ours, with what they are."""
    rows = list(PUBLISHED.get((config.dataset, config.protocol), ()))
    if not rows or config.history or config.horizon:
        return []
    for name, one in found.items():
        errors = one.errors.at()
        numbers = f"{errors.rmse.mean():.4f} / {errors.mae.mean():.4f}"
        network = name.partition(",")[0] in sg.FORECASTERS
        what = "the epoch chosen in validation" if network else "training part alone"
        rows.append((f"{name}, here", numbers, what))
    table = sg.Table(["forecast", "RMSE / MAE", "what it is"], rows, prose=True)
    return [sg.Section("Published numbers, and ours", table)]


def pictures(
    config: Config, parted: Any, shown: list[str], others: list[str], found: dict
) -> "Iterator[sg.Section]":
    """Forecasts at four nodes, errors by time ahead, what the graph adds by node."""
    data, plots = parted.data, sg.reports.plots.forecasts
    truth, unit = parted.truth(parted.origins.test)[:, -1], data.unit or "value"
    order = np.argsort(np.nanstd(truth, 0))
    nodes = order[(len(order) - 1) * np.arange(1, 5) // 4]
    minutes = data.step_minutes * np.arange(1, parted.protocol.horizon + 1)
    figure = plots.plot_forecasts(
        np.arange(len(truth)) * data.step_minutes / 60,
        truth[:, nodes],
        {name: found[name].first[:, -1, nodes] for name in shown},
        [f"node {data.node_names[n]}" for n in nodes],
        ("hours of the test part", unit),
        found[shown[0]].widths[0, -1],
    )
    heading = f"Forecasts {minutes[-1]:g} minutes ahead, a band of {config.level} %"
    yield sg.Section(heading, None, figure, "forecasts")
    if len(minutes) > 1:
        errors = {name: one.errors.mae for name, one in found.items()}
        label = f"test MAE ({unit})"
        figure = plots.plot_horizons(errors, minutes, label, "minutes ahead")
        yield sg.Section("Error against time ahead", None, figure, "horizons")
    if len(others) > 1:
        mae, without = (found[others[i]].by_node.at().mae for i in (0, -1))
        title, label = f"{others[0]} - {others[-1]}", f"difference of test MAE ({unit})"
        figure = plots.plot_gains(
            mae - without, data.senders, data.receivers, label, title
        )
        yield sg.Section("What the graph adds", None, figure, "gains")


def block_table(parted: Any, groups: Any, found: dict) -> "sg.Table":
    """Differences of MAE, means over seeds, with intervals over blocks of windows."""
    block, rows = max(24, parted.protocol.horizon), []
    for first, *others in groups:
        for other in others:
            gap = found[first].by_window - found[other].by_window
            blocks = sg.statistics.block_means(gap[np.isfinite(gap)], block)
            low, high = sg.statistics.summarize(blocks).ci95
            ends = f"{low:.4g} to {high:.4g}"
            rows.append([f"{first} - {other}", f"{blocks.mean():.4g}", ends])
    return sg.Table(["test MAE", "mean", "95 % interval"], rows, BLOCKS.format(block))


def interval_table(config: Config, parted: Any, found: dict) -> "sg.Table":
    """Half-widths from validation, and the share of test values that they hold."""
    shown, rows = leads(parted.data, parted.protocol.horizon), []
    steps = {k: words for k, words in shown.items() if k} or {1: shown[None]}
    for name, one in found.items():
        widths, held = one.widths.mean(0), one.held.mean(0)
        cells = [f"± {widths[k - 1]:.3g}: {held[k - 1]:.1%}" for k in steps]
        rows.append([name, *cells])
    return sg.Table(["", *steps.values()], rows, INTERVALS.format(config.level))


def preset(first: Any) -> Config:
    """Defaults for a data set."""
    if first.dataset == "chickenpox":
        return with_values(Config(dataset="chickenpox"), CHICKENPOX)
    return Config(dataset=first.dataset)


main = experiment(
    "traffic",
    Config(),
    build,
    doc=__doc__,
    seeds=lambda config: range(0, 4000, 500),
    smoke=SMOKE,
    preset=preset,
    choices=("dataset",),
)

if __name__ == "__main__":
    sys.exit(main())
