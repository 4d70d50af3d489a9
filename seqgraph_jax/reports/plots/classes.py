"""Pictures of what was learned: curves, every seed's result, confusion by class."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seqgraph_jax.reports import statistics
from seqgraph_jax.reports.plots.curves import (
    COLOURS,
    MARKERS,
    band_title,
    plot_curves,
)
from seqgraph_jax.reports.plots.style import drawn, log_scale, own_style
from seqgraph_jax.reports.results import Arms
from seqgraph_jax.training.runs import Run

MOST_NAMES = 24  # classes that are named at a side of a picture


@own_style
def plot_training(
    runs: Mapping[str, Run], metrics: Sequence[str], log: Sequence[str] = ()
) -> Figure:
    """Metrics against updates, a panel for each; on a log scale those of ``log``.

    Seeds that have stopped leave the mean: late parts of a curve are of those that
    went on.
    """
    figure = Figure(figsize=(5.6 * len(metrics), 4.2), layout="constrained")
    grid = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(grid, metrics, strict=True):
        plot_curves(axes, runs, metric)
        if metric in log:
            log_scale(axes)
    num_seeds = len(next(iter(runs.values())).seeds)
    grid[0].legend(frameon=False, title=band_title(num_seeds))
    return figure


@own_style
def plot_strips(
    axes: Axes,
    values: Mapping[str, np.ndarray],
    label: str,
    published: Mapping[str, tuple[str, float, float | None]] | None = None,
    first: int = 0,
    bounds: tuple[float, float] | None = None,
) -> None:
    """Every seed's value ``[S]`` as a point, and beside it the mean and its interval.

    ``published`` holds by arm the name of a source, its value, and its deviation; they
    are a dashed line and a grey band. ``first`` is the number of the first colour;
    no interval goes beyond ``bounds``.
    """
    published = published or {}
    for a, (arm, per_seed) in enumerate(values.items()):
        number = (first + a) % len(COLOURS)
        colour, marker = COLOURS[number], MARKERS[number]
        found = np.sort(per_seed[np.isfinite(per_seed)])
        # In order of value, spread evenly: equal values do not hide one another.
        spread = np.random.default_rng(0).permutation(
            np.linspace(-0.22, 0.14, len(found))
        )
        axes.scatter(a + spread, found, s=14, color=colour, alpha=0.45, lw=0)
        s = statistics.summarize(per_seed, bounds)
        if s.n:
            axes.errorbar(
                a + 0.26, s.mean, s.reach, fmt=marker, color=colour, capsize=4, lw=2
            )
        if arm in published:
            _, value, deviation = published[arm]
            axes.hlines(value, a - 0.3, a + 0.36, color="#222222", lw=1.2, ls="--")
            if deviation is not None:
                axes.fill_between(
                    [a - 0.3, a + 0.36],
                    value - deviation,
                    value + deviation,
                    color="#222222",
                    alpha=0.08,
                    lw=0,
                )
    labels = [
        f"{drawn(arm)}\n– – {published[arm][1]:g}: {published[arm][0]}"
        if arm in published
        else drawn(arm)
        for arm in values
    ]
    axes.set_xticks(range(len(values)), labels)
    axes.set_xlim(-0.5, len(values) - 0.4)
    axes.set_ylabel(label)
    axes.grid(alpha=0.25, axis="y")
    axes.spines[["top", "right"]].set_visible(False)


@own_style
def plot_results(arms: Arms, metric: str) -> Figure:
    """What every seed of each arm reached, in one panel of `plot_strips`."""
    record = next(iter(arms.values())).record(metric)
    figure = Figure(figsize=(1.9 * len(arms) + 1.5, 4.4), layout="constrained")
    values = {name: record.scale * arm.values(metric) for name, arm in arms.items()}
    plot_strips(figure.subplots(), values, record.axis, bounds=record.shown_bounds)
    return figure


@own_style
def plot_strip_panels(
    values: Mapping[str, np.ndarray],
    label: str,
    published: Mapping[str, tuple[str, float, float | None]],
    bounds: tuple[float, float] | None = None,
) -> Figure:
    """`plot_strips` with a panel for each arm: one scale, around its own values."""
    figure = Figure(figsize=(3.2 * len(values) + 0.6, 4.2), layout="constrained")
    grid = figure.subplots(1, len(values), squeeze=False)[0]
    for k, (axes, (arm, per_seed)) in enumerate(zip(grid, values.items(), strict=True)):
        words = label if k == 0 else ""
        plot_strips(axes, {arm: per_seed}, words, published, k, bounds)
    limits = np.array([axes.get_ylim() for axes in grid])  # [arms, 2]
    half = np.diff(limits).max() / 2
    for axes, centre in zip(grid, limits.mean(1), strict=True):
        axes.set_ylim(centre - half, centre + half)
    return figure


@own_style
def plot_confusion(
    matrices: Mapping[str, np.ndarray], class_names: Sequence[str]
) -> Figure:
    """Confusion ``[C, C]``, in % of a true class, a panel for each arm.

    Rows are true classes, columns what the network says. Of many classes, some have
    their names at the sides.
    """
    size = len(class_names)
    named = range(0, size, -(-size // MOST_NAMES))
    names = [drawn(class_names[c]) for c in named]
    side = max(3.6, 0.5 * min(size, MOST_NAMES) + 1.4)
    figure = Figure(figsize=(side * len(matrices) + 1.2, side), layout="constrained")
    grid = figure.subplots(1, len(matrices), squeeze=False)[0]
    for k, (axes, (arm, matrix)) in enumerate(zip(grid, matrices.items(), strict=True)):
        image = axes.imshow(matrix, cmap="Blues", vmin=0, vmax=100)
        if size <= 12:
            for i, j in np.ndindex(*matrix.shape):
                if np.isfinite(matrix[i, j]):
                    axes.text(
                        j,
                        i,
                        f"{matrix[i, j]:.0f}",
                        ha="center",
                        va="center",
                        fontsize="small",
                        color="white" if matrix[i, j] > 55 else "#1d2430",
                    )
        axes.set_title(drawn(arm))
        axes.set_xlabel("class given by the network")
        axes.set_xticks(named, names, rotation=60, ha="right")
        axes.set_yticks(named, names if k == 0 else [""] * len(names))
        if k == 0:
            axes.set_ylabel("true class")
    figure.colorbar(image, ax=list(grid), label="% of the true class", shrink=0.85)
    return figure
