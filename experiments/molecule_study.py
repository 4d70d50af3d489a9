"""What a run of experiments.molecules is about, and what networks reached in it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

import seqgraph_jax as sg
from experiments.molecule_baselines import fit_baselines, measure
from seqgraph_jax.data.arrays import flat_graphs
from seqgraph_jax.data.records import GraphData
from seqgraph_jax.data.splits import Split
from seqgraph_jax.reports.pages import number


class Study(NamedTuple):
    """The data, and what they were split by: ``splits`` are of each seed, or fold."""

    data: GraphData
    kind: str
    seeds: tuple[int, ...]
    splits: Sequence[Split]

    @property
    def name(self) -> str:
        """What is measured: accuracy, or rmse."""
        return "accuracy" if self.data.num_classes else "rmse"

    @property
    def unit(self) -> str:
        """Of what is shown: that of the values stands in brackets behind their name."""
        if self.data.num_classes:
            return "%"
        name, _, unit = self.data.target_name.partition("(")
        return unit.rstrip(")") or name

    @property
    def scale(self) -> float:
        """From what is measured to what is shown."""
        return 100.0 if self.data.num_classes else 1.0

    def show(self, value: float) -> str:
        """As it is printed."""
        if not np.isfinite(value):
            return "none"
        return f"{value:.2%}" if self.data.num_classes else number(value, 3)

    def by_seed(self, values: np.ndarray) -> np.ndarray:
        """Values of runs ``[R, ...]`` as those of folds, ``[S, folds, ...]``."""
        return values.reshape(len(self.seeds), -1, *values.shape[1:])


def draw_molecules(classes: bool, num_graphs: int = 40) -> GraphData:
    """Chains of random atoms, some closed to a ring: the class, or a value with it."""
    rng = np.random.default_rng(0)
    n_node = rng.integers(1, 9, num_graphs)
    closed = (rng.random(num_graphs) < 0.5) & (n_node > 2)
    closed[:2], n_node[:2] = (False, True), 4  # both classes are there
    pairs = [
        (first + i, first + (i + 1) % n)
        for first, n, ring in zip(n_node.cumsum() - n_node, n_node, closed, strict=True)
        for i in range(n - 1 + ring)
    ]
    ends = np.array(pairs + [pair[::-1] for pair in pairs])
    kinds = np.tile(np.eye(2)[rng.integers(0, 2, len(pairs))], (2, 1))
    atoms = np.eye(3)[rng.integers(0, 3, n_node.sum())]
    return flat_graphs(
        "synthetic molecules",
        n_node,
        atoms,
        ends[:, 0],
        ends[:, 1],
        closed.astype(np.int32) if classes else (n_node - 2.0 * closed),
        edges=kinds,
        class_names=("chain", "ring") if classes else (),
        target_name="class" if classes else "size (atoms)",
        scaffolds=np.where(closed, n_node, 0),
    )


def status(run: sg.Run) -> str:
    """Mean result on the validation sets, and updates of all runs a second."""
    [name] = (name for name in run.metrics if name.startswith("val_"))
    latest = run.metrics[name][:, -1]
    rate = run.updates[-1] * len(run.seeds) / max(run.train_s, 1e-9)
    return f"{name.replace('_', ' ')} {np.mean(latest):.3f}, {rate:,.0f}/s"


def judge(run: sg.Run, study: Study) -> sg.Run:
    """The run with a row for each seed, means over its folds, and what it reached.

    ``test_NAME`` and ``val_NAME`` are those of each fold's chosen epoch;
    ``test_NAME_over_folds`` is the standard deviation over the folds;
    ``optimistic_test_accuracy`` is the highest mean over the folds of any epoch.
    """
    final = {
        f"{part}_{study.name}": study.by_seed(run.at(f"{part}_{study.name}", run.best))
        for part in ("test", "val")
    }
    test = final[f"test_{study.name}"]
    final["best_epoch"] = study.by_seed(np.where(run.best < 0, np.nan, run.best + 1))
    metrics = {name: study.by_seed(v).mean(1) for name, v in run.metrics.items()}
    final = {name: values.mean(1) for name, values in final.items()}
    if study.kind == "folds":
        final["test_accuracy_over_folds"] = test.std(1, ddof=1)
        final["optimistic_test_accuracy"] = metrics["test_accuracy"].max(1)
    return replace(run, seeds=study.seeds, metrics=metrics, final=final)


class Reached(NamedTuple):
    """What a baseline reached, by name and for each seed, ``[S]``."""

    num_params: int
    values: Mapping[str, np.ndarray]
    outputs: np.ndarray  # of every run, [R, G, ...]


def judge_baselines(study: Study) -> dict[str, Reached]:
    """Both baselines, measured as networks are."""
    found = {}
    for name, baseline in fit_baselines(study.data, study.splits).items():
        values = {}
        for part in ("test", "val"):
            of_runs = [
                measure(study.data, outputs, getattr(split, part))
                for outputs, split in zip(baseline.outputs, study.splits, strict=True)
            ]
            by_seed = study.by_seed(np.array(of_runs))
            values[f"{part}_{study.name}"] = by_seed.mean(1)
            if part == "test" and study.kind == "folds":
                values["test_accuracy_over_folds"] = by_seed.std(1, ddof=1)
        found[name] = Reached(baseline.num_params, values, baseline.outputs)
    return found
