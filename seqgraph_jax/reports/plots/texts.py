"""Pictures of character models."""

from matplotlib.figure import Figure

from seqgraph_jax.reports.plots.curves import (
    COLOURS,
    finish_axes,
    mark_level,
    plot_seeds,
)
from seqgraph_jax.reports.plots.style import own_style
from seqgraph_jax.training.runs import Run


@own_style
def plot_text(run: Run, evaluation: str, reported: float | None = None) -> Figure:
    """Bits per character and accuracy against updates, in training and evaluation.

    ``evaluation`` names the evaluation text; ``reported`` is an accuracy to compare
    with, from 0 to 1.
    """
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    metrics = ("bits_per_char", "accuracy")
    for axes, metric in zip(figure.subplots(1, 2), metrics, strict=True):
        record = run.record(metric)
        for name, label, colour in (
            (f"train_{metric}", "training batches", COLOURS[0]),
            (metric, evaluation, COLOURS[1]),
        ):
            curves = record.scale * run.metrics[name]
            plot_seeds(axes, run.updates, curves, colour, label, record.shown_bounds)
        finish_axes(axes, "updates", record.axis)
    if reported is not None:
        words = "reported for the reference, in training"
        mark_level(axes, 100 * reported, words, offset=-12)
    axes.legend(loc="lower right", frameon=False)
    return figure
