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
takes a folder with edges.csv and nodes.csv.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from experiments.cli import (
    START,
    RunOptions,
    UsageError,
    choose_seeds,
    choose_width,
    command_line,
    parse,
    run_main,
    set_up_jax,
)

MODULE = "experiments.gcn_vs_gat"


@dataclass(frozen=True)
class Config:
    """Flags of this experiment; None stands for what the model's paper has."""

    dataset: str = "cora"  # cora, citeseer, karate, lastfm_asia, or a path
    models: tuple[str, ...] = ("gcn", "gat", "mlp")  # of gcn, gat, gatv2, gin, mlp
    features: str = "auto"  # own, identity or degree; auto: own where there are any
    random_splits: bool = False  # a new split for every seed
    per_class: int = 20  # nodes of a class to train on, in a random split
    num_val: int = 500  # nodes to choose the epoch by, in a random split
    num_test: int = 1000  # nodes to test on, in a random split
    layers: int = 2  # graph layers
    hidden: int | None = None  # features of a layer, or of a head of attention
    heads: int = 8  # heads of attention, in all layers but the last
    dropout: float | None = None  # share dropped of inputs, hidden units, attention
    self_weight: float = 1.0  # of the GCN's self-loops
    residual: bool = False  # add a layer's input to its output, where widths agree
    normalize: bool = False  # layer normalisation after all layers but the last
    updates: int | None = None  # epochs at most: each update sees the whole graph
    learning_rate: float | None = None  # Adam's step size
    weight_decay: float | None = None  # L2 penalty
    stop_after: int | None = None  # epochs without a better one until a seed stops
    metric: str = "val_accuracy"  # what the best epoch is chosen by, or loss
    run: RunOptions = field(default_factory=lambda: RunOptions(checkpoint_every=60.0))


#: Settings of the papers on Cora: Kipf and Welling 2017, section 5.2, whose weight
#: decay is on the first layer alone; Velickovic et al. 2018, section 3.3.
_GCN = {
    "hidden": 16,
    "dropout": 0.5,
    "learning_rate": 0.01,
    "weight_decay": 5e-4,
    "decay_only": "layers.layer_0",
    "updates": 200,
    "stop_after": 0,
    "activation": "relu",
}
_GAT = {
    "hidden": 8,
    "dropout": 0.6,
    "learning_rate": 0.005,
    "weight_decay": 5e-4,
    "decay_only": "",
    "updates": 1000,
    "stop_after": 100,
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


def configure(argv: Sequence[str]) -> Config:
    """The configuration for a command line; raises `UsageError`."""
    default = Config()
    if "--smoke" in argv:
        default = replace(default, dataset="karate", updates=4)
    config = parse(default, argv, f"python -m {MODULE}", __doc__ or "")
    for name in ("layers", "heads", "per_class", "num_val", "num_test", "hidden"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise UsageError(
                f"--{name.replace('_', '-')} must be 1 or more, not {value}"
            )
    if config.dropout is not None and not 0 <= config.dropout < 1:
        raise UsageError(f"--dropout must be 0 to below 1, not {config.dropout}")
    if config.self_weight < 0:
        raise UsageError(f"--self-weight must be 0 or more, not {config.self_weight}")
    if config.metric not in ("val_accuracy", "loss"):
        raise UsageError(f"--metric must be val_accuracy or loss, not {config.metric}")
    if config.features not in ("auto", "own", "identity", "degree"):
        raise UsageError(
            f"--features must be auto, own, identity or degree, not {config.features}"
        )
    for model in config.models:
        if model not in PAPERS:
            raise UsageError(
                f"unknown model {model!r}: choose from {', '.join(PAPERS)}"
            )
    if not config.models or len(set(config.models)) < len(config.models):
        raise UsageError("--models takes one or more different models")
    return config


def read_data(name: str) -> Any:
    """The data set's `NodeData`; raises `UsageError`."""
    from seqgraph_jax.data import datasets
    from seqgraph_jax.data.records import NodeData

    try:
        data = datasets.load(name)
    except datasets.DataError as error:
        raise UsageError(str(error)) from error
    if not isinstance(data, NodeData):
        raise UsageError(
            f"{name} holds many graphs, not one with labelled nodes: "
            "experiments.molecules takes it"
        )
    if data.num_classes < 2:
        raise UsageError(f"{name} has fewer than two classes of nodes")
    return data


def build_task(config: Config, data: Any, seeds: Sequence[int]) -> Any:
    """The task, or with ``--random-splits`` one for each seed; raises `UsageError`."""
    import numpy as np
    import scipy.sparse

    from seqgraph_jax.data.splits import Split, random_split
    from seqgraph_jax.tasks.nodes import NodeTask, node_inputs

    if config.features == "own" and data.features is None:
        raise UsageError(f"{config.dataset} has no features: choose identity or degree")
    if config.features == "degree":
        degrees = np.bincount(data.receivers, minlength=data.num_nodes).clip(max=100)
        features: Any = np.eye(101)[degrees]
    elif config.features == "identity" or data.features is None:
        features = scipy.sparse.eye_array(data.num_nodes)
    else:
        features = data.features

    def split(seed: int) -> Split:
        sizes = (config.per_class, config.num_val, config.num_test)
        found = random_split(data.labels, seed, *sizes)
        if not (found.val.any() and found.test.any()):
            raise UsageError(
                f"{config.dataset} has too few labelled nodes for a split: "
                f"--per-class {config.per_class} leaves none to test on"
            )
        return found

    official = None if data.train is None else Split(data.train, data.val, data.test)
    task = NodeTask(
        node_inputs(data.graph(), features), data.labels, official or split(0)
    )
    return task.with_splits([split(s) for s in seeds]) if config.random_splits else task


def build_arm(config: Config, name: str, task: Any, num_classes: int) -> Any:
    """Network, task and training of one model; raises `UsageError`."""
    from experiments.runner import Arm
    from seqgraph_jax.graph.networks import NodeClassifier
    from seqgraph_jax.training.loop import TrainConfig

    paper = PAPERS[name]
    given = {k: v for k, v in asdict(config).items() if k in paper and v is not None}
    chosen = {**paper, **given}
    options: dict[str, Any] = {}
    if name in ("gat", "gatv2"):
        options["dropout_rate"] = chosen["dropout"]
    if name == "gcn":
        options["self_weight"] = config.self_weight
    model = NodeClassifier(
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
    names = ("updates", "learning_rate", "weight_decay", "decay_only", "stop_after")
    try:
        train = TrainConfig(
            **{key: chosen[key] for key in names},
            eval_every=1,
            batch_size=1,
            eval_size=1,
            max_norm=float("inf"),
            metric=config.metric,
            threshold=float("inf"),
            early_stop=False,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    return Arm(model, task, train)


def main(argv: Sequence[str]) -> None:
    """Run the experiment."""
    config = configure(argv)
    set_up_jax(config.run.compilation_cache)

    from experiments import directory, node_report, runner

    preset = range(0, 500 * (2 if config.run.smoke else 100), 500)
    seeds = choose_seeds(config.run, preset)
    width = choose_width(config.run, len(seeds))
    data = read_data(config.dataset)
    task = build_task(config, data, seeds)
    arms = {
        name: build_arm(config, name, task, data.num_classes) for name in config.models
    }
    settings = {
        **{k: v for k, v in asdict(config).items() if k != "run"},
        "training": {name: asdict(arm.config) for name, arm in arms.items()},
        "seeds": seeds,
        "seed_width": width,
    }
    place = directory.open_directory(
        "gcn_vs_gat", config.run.out, config.run.resume, settings
    )
    setup_s = time.perf_counter() - START
    runs = runner.train_arms(
        arms,
        seeds,
        width,
        place,
        config.run.checkpoint_every,
        status=node_report.status,
    )
    node_report.finish(
        runs,
        arms,
        data,
        place,
        published={} if config.random_splits else PUBLISHED.get(config.dataset, {}),
        random_splits=config.random_splits,
        question=(__doc__ or "").partition("\n")[0],
        command=command_line(MODULE, argv),
        setup_s=setup_s,
    )


if __name__ == "__main__":
    sys.exit(run_main(main, MODULE, None))
