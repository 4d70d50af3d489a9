"""Which graph network classifies the nodes of a graph better: the GCN or the GAT?

Time: five minutes on 2 CPU cores for 100 seeds of three models; Cora is downloaded.

    python -m experiments.gcn_vs_gat
    python -m experiments.gcn_vs_gat --models gcn --random-splits
    python -m experiments.gcn_vs_gat --dataset karate --num-seeds 20

Cora's papers are nodes, citations edges, and a network that sees the words of every
paper and the class of 20 of each subject names the subjects of the rest. Every model
has the settings of its paper. A seed's network is the one of the evaluation with the
best validation accuracy, of equals the one with the lowest validation loss; the test
nodes judge that one. An MLP, which sees no edges, is the baseline. ``--dataset PATH``
takes a folder with edges.csv (columns source, target and perhaps weight) and nodes.csv
(id, and perhaps label and split; all other columns are features).
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

import seqgraph_jax as sg
from experiments.harness import Report, Study, Trained, experiment
from experiments.harness.cli import RunOptions, TrainOptions
from seqgraph_jax.data.notes import notes_on_nodes
from seqgraph_jax.training.metrics import Metric, number
from seqgraph_jax.training.ranges import Count, FromZero, NotNegative, Positive, Share

Model = Literal["gcn", "gat", "gatv2", "gin", "mlp"]
Features = Literal["auto", "own", "raw", "rows", "standard", "identity", "degree"]


@dataclass(frozen=True)
class Config:
    """Flags of this experiment; None stands for what the model's paper has."""

    dataset: str = "cora"  # cora, citeseer, karate, lastfm_asia, or a path
    models: tuple[Model, ...] = ("gcn", "gat", "mlp")  # one or more
    undirected: bool = False  # add the reverse of each edge that is not there
    features: Features = "auto"  # own if any; own are rows of counts, else standard
    random_splits: bool = False  # a new split for every seed
    per_class: Count = 20  # nodes of a class to train on, in a random split
    num_val: Count = 500  # nodes to choose the epoch by, in a random split
    num_test: Count = 1000  # nodes to test on, in a random split
    layers: Count = 2  # graph layers
    hidden: Count | None = None  # features of a layer, or of a head of attention
    heads: Count = 8  # heads of attention, in all layers but the last
    dropout: Share | None = None  # share dropped of inputs, hidden units, attention
    self_weight: NotNegative = 1.0  # of the GCN's self-loops
    residual: bool = False  # add a layer's input to its output, where widths agree
    normalize: bool = False  # layer normalisation after all layers but the last
    updates: Count | None = None  # epochs at most: each update sees the whole graph
    learning_rate: Positive | None = None  # Adam's step size
    weight_decay: NotNegative | None = None  # L2 penalty
    patience: FromZero | None = None  # epochs without a better one that stop a seed
    metric: Literal["val_accuracy", "loss"] = "val_accuracy"  # what chooses the epoch
    run: RunOptions = field(default_factory=RunOptions)
    saving: TrainOptions = field(
        default_factory=lambda: TrainOptions(checkpoint_every=60.0)
    )


#: Settings of the papers on Cora: Kipf and Welling 2017, section 5.2, whose weight
#: decay is on the first layer alone; Velickovic et al. 2018, section 3.3.
_GCN = {
    "hidden": 16,
    "dropout": 0.5,
    "learning_rate": 0.01,
    "weight_decay": 5e-4,
    "decay_only": "layers.layer_0",
    "updates": 200,
    "patience": 0,
    "activation": "relu",
}
_GAT = {
    "hidden": 8,
    "dropout": 0.6,
    "learning_rate": 0.005,
    "weight_decay": 5e-4,
    "decay_only": "",
    "updates": 1000,
    "patience": 100,
    "activation": "elu",
}
PAPERS = {"gcn": _GCN, "gat": _GAT, "gatv2": _GAT, "gin": _GCN, "mlp": _GCN}

#: Test accuracy (%) on the public split: source, value, deviation where it is given.
PUBLISHED: dict[str, dict[str, tuple[str, float, float | None]]] = {
    "cora": {
        "gcn": ("Kipf and Welling 2017", 81.5, None),
        "gat": ("Velickovic et al. 2018", 83.0, 0.7),
        "mlp": ("Kipf and Welling 2017", 55.1, None),
    },
    "citeseer": {
        "gcn": ("Kipf and Welling 2017", 70.3, None),
        "gat": ("Velickovic et al. 2018", 72.5, 0.7),
        "mlp": ("Kipf and Welling 2017", 46.5, None),
    },
}
BEST = Metric("best_update", "best epoch")
CAPTION = (
    "Each seed's network is that of its best evaluation, of equals the one with the "
    "lowest validation loss; test nodes take no part in the choice. What ± means for a "
    "published number is for its source to say."
)


def build_task(config: Config, data: Any, seeds: tuple[int, ...]) -> Any:
    """The task, or with ``--random-splits`` one for each seed; raises `ValueError`."""

    def split(seed: int) -> Any:
        sizes = (config.per_class, config.num_val, config.num_test)
        return sg.random_split(data.labels, seed, *sizes)

    drawn = data.train_mask is None or config.random_splits
    masks = (data.train_mask, data.val_mask, data.test_mask)
    first = split(0) if drawn else sg.Split(*masks)
    sg.data.check_split(first, data.labels)
    # Seeds with splits of their own have one graph: its features are those of all.
    of = None if config.random_splits else first.train_mask
    features = sg.data.node_features(data, config.features, of)
    inputs = sg.node_inputs(data.graph(), features)
    task = sg.NodeTask(inputs, data.labels, first)
    return task.with_splits([split(s) for s in seeds]) if config.random_splits else task


def build_arm(config: Config, name: str, task: Any, num_classes: int) -> Any:
    """Network, task and training of one model."""
    paper = PAPERS[name]
    given = {k: v for k, v in asdict(config).items() if k in paper and v is not None}
    chosen: dict[str, Any] = {**paper, **given}
    options: dict[str, Any] = {}
    if name in ("gat", "gatv2"):
        options["dropout_rate"] = chosen["dropout"]
    if name == "gcn":
        options["self_weight"] = config.self_weight
    model = sg.NodeClassifier(
        name,
        chosen["hidden"],
        num_classes,
        num_layers=config.layers,
        num_heads=config.heads,
        dropout_rate=chosen["dropout"],
        activation=chosen["activation"],
        residual=config.residual,
        normalize=config.normalize,
        options=options,
    )
    names = ("updates", "learning_rate", "weight_decay", "decay_only", "patience")
    train = sg.TrainConfig(
        **{key: chosen[key] for key in names},
        eval_every=1,
        batch_size=1,
        eval_size=1,
        max_norm=float("inf"),
        metric=config.metric,
        early_stop=False,
    )
    return sg.Arm(model, task, train)


def build(config: Config, seeds: tuple[int, ...]) -> Study:
    if not config.models or len(set(config.models)) < len(config.models):
        raise ValueError("--models takes one or more different models")
    data = sg.datasets.load_nodes(config.dataset, undirected=config.undirected)
    task = build_task(config, data, seeds)
    arms = {
        name: build_arm(config, name, task, data.num_classes) for name in config.models
    }
    title = f"{' against '.join(config.models)} on {data.name}"
    return Study(title, partial(report, config, data, arms), arms)


def report(config: Config, data: Any, arms: Any, trained: Trained) -> Report:
    records = sg.tasks.nodes
    chosen = (records.TEST_ACCURACY, records.VAL_ACCURACY, records.TEST_LOSS)
    runs = {
        name: run.adding(
            {metric: run.at(metric.name, run.best) for metric in chosen}
            | {BEST: run.best + 1.0}
        )
        for name, run in trained.runs.items()
    }
    published = {} if config.random_splits else PUBLISHED.get(config.dataset, {})
    comparisons, verdicts = [], ["One model alone: there is nothing to compare."]
    if len(runs) > 1:
        comparisons = [sg.compare(runs, metric.name) for metric in chosen[:2]]
        verdicts = [pair.verdict for pair in comparisons[0].pairs]
    classes = sg.reports.plots.classes
    test = {name: 100 * run.values("test_accuracy") for name, run in runs.items()}
    strips = classes.plot_strip_panels(
        test, "accuracy on test nodes (%)", published, (0, 100)
    )
    matrices = {k: confusion(arms[k], run, data.num_classes) for k, run in runs.items()}
    curves = classes.plot_training(runs, ["loss", "val_accuracy"])
    confused = classes.plot_confusion(matrices, data.class_names)
    shown = (*chosen[:2], BEST)
    tables = sg.reports.tables
    sections = [
        sg.Section("Results", result_table(runs, shown, published), printed=True),
        sg.Section("Every seed's test accuracy and its mean", None, strips, "accuracy"),
        sg.Section("Curves", None, curves, "curves"),
        sg.Section("Confusion of the test nodes", None, confused, "confusion"),
        *attention(runs, arms, data),
        sg.Section("Comparisons", tables.comparison_table(comparisons)),
        sg.Section("Every seed", tables.seed_table(runs, trained.seeds, shown)),
    ]
    task = next(iter(arms.values())).task
    own = config.random_splits and not sg.training.arms.same_tasks(task)
    notes = notes_on_nodes(data, config.features, own)
    return Report(runs, verdicts, sections, comparisons, [*notes])


def result_table(
    runs: Mapping[str, Any], metrics: Any, published: Mapping[str, Any]
) -> Any:
    """A column per model, published numbers beside ours."""
    rows: dict[str, list[str]] = {"published test accuracy": [], "– its source": []}
    rows["lowest and highest seed"] = []
    for name, run in runs.items():
        source, value, deviation = published.get(name, ("", np.nan, None))
        spread = "" if deviation is None else f" ± {deviation:g}"
        test = run.values("test_accuracy")
        found = test[np.isfinite(test)]
        ends = [f"{end(found):.1%}" for end in (np.min, np.max) if len(found)]
        said = f"{number(value)}{spread} %" if source else "none"
        for label, cell in zip(rows, (said, source, ", ".join(ends)), strict=True):
            rows[label].append(cell)
    return sg.reports.summary_table(runs, metrics, rows, CAPTION)


def confusion(arm: Any, run: Any, num_classes: int) -> np.ndarray:
    """Mean over seeds of the confusion of the test nodes, ``[C, C]``, % of a row."""
    tasks = arm.task if isinstance(arm.task, list) else [arm.task] * len(run.seeds)
    logits = run.predict(arm.first_task.inputs, batch_size=None)
    matrices = [
        sg.tasks.confusion(
            one.labels, scores.argmax(-1), one.split.test_mask, num_classes
        )
        for one, scores in zip(tasks, logits, strict=True)
    ]
    return np.mean(matrices, axis=0)


def attention(runs: Mapping[str, Any], arms: Mapping[str, Any], data: Any) -> list[Any]:
    """Where attention goes, of the networks that attend: a table and a drawing."""
    rows, figure, seed = [], None, 0
    for name in (name for name in runs if name in ("gat", "gatv2")):
        run, task = runs[name], arms[name].first_task
        found = sg.analysis.measure_attention(
            run.model, run.params(), task.inputs, task.labels
        )
        gain = found["attended"] - found["homophily"]
        shares = [
            f"{100 * found[key].mean():.1f} %" for key in ("homophily", "attended")
        ]
        interval = sg.statistics.mean_interval
        even = interval(100 * found["evenness"], 4, (0, 100))
        more = interval(100 * gain, 4, (-100, 100))
        rows.append([name, even, *shares, more])
        if figure is None:
            seed, edges = run.seeds[0], task.inputs.adjacency
            paid = sg.analysis.attention_of(run.model, run.params(seed), task.inputs)
            values = (*paid, sg.analysis.evenness(edges, *paid))
            figure = sg.reports.plots.neighbourhoods.plot_neighbourhoods(
                np.asarray(edges.senders),
                np.asarray(edges.receivers),
                *(np.asarray(value.mean(1)) for value in values),
                np.asarray(task.labels),
                data.class_names,
                data.node_names,
            )
    header = ["model", "evenness (%), mean, 95 % interval"]
    header += ["neighbours of the own class", "attention to them"]
    header += ["difference (points), 95 % interval"]
    caption = (
        "Attention of the first layer of each seed's chosen network, over all heads "
        "and nodes. Evenness is the entropy of a head's attention as a share of that "
        "of equal weights: at 100 % attention is an average."
    )
    heading = f"Attention; drawn: least even, median, most even node, seed {seed}"
    table = sg.Table(header, rows, caption)
    return [sg.Section(heading, table, figure, "attention")] if rows else []


main = experiment(
    "gcn_vs_gat",
    Config(),
    build,
    doc=__doc__,
    seeds=lambda config: range(0, 50_000, 500),
    smoke={"dataset": "karate", "updates": 4},
)

if __name__ == "__main__":
    sys.exit(main())
