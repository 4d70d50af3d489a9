"""Pictures of experiments.molecules."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

import seqgraph_jax as sg
from experiments.molecule_study import Reached, Study
from experiments.runner import Arm
from seqgraph_jax.reports.plots import classes as class_plots
from seqgraph_jax.reports.plots import curves as plots


def figures(
    runs: Mapping[str, sg.Run],
    judged: Mapping[str, sg.Run],
    arms: Mapping[str, Arm],
    baselines: Mapping[str, Reached],
    study: Study,
) -> list[tuple[str, str, Figure]]:
    """Heading, file name and figure of each picture."""
    what = "accuracy" if study.data.num_classes else "RMSE"
    found = [
        (
            f"Every seed's test {what}, mean and 95 % interval",
            "results",
            plot_results(judged, baselines, study),
        ),
        ("Curves", "curves", plot_curves(judged, study)),
    ]
    outputs = {name: outputs_of(arms[name], run) for name, run in runs.items()}
    outputs |= {name: reached.outputs for name, reached in baselines.items()}
    if study.data.num_classes:
        heading = "Confusion of the test molecules of all seeds"
        confusions = {name: confusion(o, study) for name, o in outputs.items()}
        figure = class_plots.plot_confusion(confusions, study.data.class_names)
        return [*found, (heading, "confusion", figure)]
    heading = f"Test molecules of seed {study.seeds[0]}, the first"
    return [*found, (heading, "predictions", plot_predictions(outputs, study))]


def outputs_of(arm: Arm, run: sg.Run) -> np.ndarray:
    """What each run's network says of every graph: ``[R, G, C]``, or ``[R, G]``."""
    tasks = arm.task if isinstance(arm.task, list) else [arm.task] * len(run.seeds)
    params = run.state.best.params
    outputs = sg.apply_seeds(arm.model, params, tasks[0].inputs, run.width, None)
    if tasks[0].num_classes:
        return outputs
    means, deviations = (
        np.array([[getattr(task, name)] for task in tasks])
        for name in ("mean", "deviation")
    )
    return means + deviations * outputs[..., 0]


def confusion(outputs: np.ndarray, study: Study) -> np.ndarray:
    """Confusion of the test graphs of all runs, ``[C, C]``, in % of a true class."""
    counts = np.zeros((study.data.num_classes,) * 2)
    for scores, split in zip(outputs, study.splits, strict=True):
        truth, said = study.data.targets[split.test], scores[split.test].argmax(-1)
        np.add.at(counts, (truth, said), 1)
    with np.errstate(invalid="ignore"):
        return 100 * counts / counts.sum(1, keepdims=True)


def plot_results(
    judged: Mapping[str, sg.Run], baselines: Mapping[str, Reached], study: Study
) -> Figure:
    """A point per seed."""
    metric = f"test_{study.name}"
    values = {name: run.final[metric] for name, run in judged.items()}
    values |= {name: reached.values[metric] for name, reached in baselines.items()}
    figure = Figure(figsize=(1.9 * len(values) + 1.5, 4.4), layout="constrained")
    class_plots.plot_strips(
        figure.subplots(),
        {name: study.scale * v for name, v in values.items()},
        f"test accuracy ({study.unit})"
        if study.data.num_classes
        else f"test RMSE ({study.unit})",
    )
    return figure


def plot_curves(judged: Mapping[str, sg.Run], study: Study) -> Figure:
    """Training and validation loss, and the result on the validation sets."""
    figure = Figure(figsize=(15, 4.2), layout="constrained")
    unit = "nats" if study.data.num_classes else "squared standard deviations"
    panels = {
        "train_loss": f"training loss ({unit})",
        "loss": f"validation loss ({unit})",
        f"val_{study.name}": f"validation {study.name} ({study.unit})",
    }
    for axes, (metric, label) in zip(
        figure.subplots(1, 3), panels.items(), strict=True
    ):
        scale = study.scale if metric.startswith("val") else 1.0
        plots.plot_curves(axes, judged, metric, scale)
        axes.set_ylabel(label)
        if "loss" in metric:
            axes.set_yscale("log")
    title = f"mean of {len(study.seeds)} seeds\nand its 95 % interval"
    axes.legend(frameon=False, title=title)
    return figure


def plot_predictions(outputs: Mapping[str, np.ndarray], study: Study) -> Figure:
    """Measured against predicted values of the first split's test graphs."""
    test = study.splits[0].test
    truth = study.data.targets[test]
    figure = Figure(figsize=(3.2 * len(outputs) + 0.6, 3.6), layout="constrained")
    grid = figure.subplots(1, len(outputs), sharex=True, sharey=True, squeeze=False)[0]
    ends = [truth.min(), truth.max()]
    for k, (axes, (name, of_runs)) in enumerate(
        zip(grid, outputs.items(), strict=True)
    ):
        colour = plots.COLOURS[k % len(plots.COLOURS)]
        axes.plot(ends, ends, color="#444444", lw=1, ls=":")
        axes.scatter(truth, of_runs[0][test], s=12, color=colour, alpha=0.6, lw=0)
        rmse = np.sqrt(np.mean((of_runs[0][test] - truth) ** 2))
        axes.set_title(f"{name}: RMSE {rmse:.3g}")
        axes.set_xlabel("measured")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    grid[0].set_ylabel(f"predicted {study.data.target_name}")
    return figure
