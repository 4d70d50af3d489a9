"""Pictures of gradients along time, and of the delays that networks learn."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure

from seqgraph_jax.reports.intervals import share_interval
from seqgraph_jax.reports.plots.curves import (
    COLOURS,
    MARKERS,
    finish_axes,
    mark_level,
    plot_log_seeds,
    plot_seeds,
)
from seqgraph_jax.reports.plots.style import drawn, own_style
from seqgraph_jax.training.metrics import FROM_ZERO, counted
from seqgraph_jax.training.runs import Run

BACK = "T − k, steps back from the last"


@own_style
def plot_flows(rows: Mapping[str, Mapping[str, Sequence[np.ndarray]]]) -> Figure:
    """Flow and parts of every arm, a row of panels for each state of training.

    ``rows[state][arm]`` is norms ``[S, T]`` from T - k = 1 and parts ``[S, T - 1]``
    from T - k = 0 on, as in `seqgraph_jax.analysis.flows.Flow`.
    """
    figure = Figure(figsize=(12, 4.4 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 2, squeeze=False, sharex=True, sharey="col")
    labels = ("norm of dh(T) / d state(k)", "norm of step k's part of dL/dW")
    for panels, (state, arms) in zip(grid, rows.items(), strict=True):
        for p, (axes, label) in enumerate(zip(panels, labels, strict=True)):
            for a, (arm, curves) in enumerate(arms.items()):
                steps = np.arange(curves[p].shape[1]) + (1 - p)
                plot_log_seeds(
                    axes,
                    steps,
                    curves[p],
                    COLOURS[a % len(COLOURS)],
                    drawn(arm),
                    marker=MARKERS[a % len(MARKERS)],
                    markersize=5,
                    markevery=(a, 5),
                )
            num_seeds = len(next(iter(arms.values()))[p])
            axes.set_title(f"{state}, {counted(num_seeds, 'seed')}")
            finish_axes(axes, BACK, label)
    title = "geometric mean and its\n95 % interval, point by point"
    grid[0, 0].legend(title=title, loc="lower left", frameon=False, ncols=2)
    for p, share in enumerate((1e-20, 1e-10)):  # smaller ones would flatten the others
        norms = np.concatenate(
            [c[p].ravel() for arms in rows.values() for c in arms.values()]
        )
        highest = 3 * norms[np.isfinite(norms)].max(initial=1e-300)
        low, _ = grid[0, p].get_ylim()
        grid[0, p].set_ylim(max(low, share * highest), highest)
    return figure


@own_style
def plot_radii(
    radii: np.ndarray, flow: np.ndarray, factors: np.ndarray, borders: np.ndarray
) -> Figure:
    """Flow ``[S, R, T]`` of vanilla RNNs by radius, and its factor per step ``[S, R]``.

    Dotted lines are the bounds radius^(T - k); ``borders [S]`` are where each seed's
    factor passes 1.
    """
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    norm, colours = Normalize(0, len(radii) - 1), mpl.colormaps["viridis"]
    steps = np.arange(1, flow.shape[2] + 1)
    for r, radius in enumerate(radii):
        colour = to_hex(colours(0.92 * norm(r)))
        plot_log_seeds(left, steps, flow[:, r], colour, f"{radius:g}")
        left.plot(steps, radius**steps, color=colour, ls=":", lw=1.3)
    left.set_ylim(max(1e-20, left.get_ylim()[0]), min(1e12, left.get_ylim()[1]))
    left.legend(title="radius", frameon=False, loc="upper left", ncols=2)
    left.set_title(f"{counted(len(flow), 'seed')}; dotted: the bound radius^(T − k)")
    finish_axes(left, BACK, "norm of dh(T) / dh(k)")
    plot_seeds(
        right,
        radii,
        factors,
        COLOURS[0],
        "tanh RNN",
        FROM_ZERO,
        marker="o",
        markersize=5,
    )
    right.plot(radii, radii, color="#444444", ls=":", lw=1.5, label="bound: the radius")
    right.axhline(1, color="#444444", lw=1)
    found = borders[np.isfinite(borders)]
    if len(found):
        right.scatter(found, np.ones(len(found)), s=16, color=COLOURS[1], zorder=3)
        right.axvline(found.mean(), color=COLOURS[1], ls="--", lw=1.2)
        right.annotate(
            f"border: {found.mean():.2f}",
            (found.mean(), 0.03),
            xycoords=("data", "axes fraction"),
            xytext=(5, 0),
            textcoords="offset points",
            color=COLOURS[1],
        )
    right.legend(frameon=False, loc="upper left")
    right.set_title("below 1 gradients vanish, above 1 they explode")
    finish_axes(right, "radius of the recurrent kernel", "factor per step")
    return figure


@own_style
def plot_forget(flows: Mapping[float, np.ndarray]) -> Figure:
    """Flow ``[S, T]`` of untrained LSTMs by the bias of their forget gate.

    Dotted falls as sigmoid(bias)^(T - k), what a cell state keeps by the bias alone;
    the norm is that of the direction that is kept best.
    """
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.subplots()
    for a, (bias, curves) in enumerate(flows.items()):
        steps, colour = np.arange(1, curves.shape[1] + 1), COLOURS[a % len(COLOURS)]
        plot_log_seeds(
            axes,
            steps,
            curves,
            colour,
            f"bias {bias:g}",
            marker=MARKERS[a % len(MARKERS)],
            markersize=5,
            markevery=(a, 5),
        )
        kept = curves[:, 0].mean() / (1 + np.exp(-bias)) ** (steps - 1)
        axes.plot(steps, kept, color=colour, ls=":", lw=1.5)
    num_seeds = len(next(iter(flows.values())))
    axes.legend(frameon=False, loc="lower left")
    axes.set_title(
        f"{counted(num_seeds, 'seed')}; dotted: falls by sigmoid(bias) a step"
    )
    finish_axes(axes, BACK, "norm of dh(T) / d state(k)")
    return figure


@own_style
def plot_delays(
    runs: Mapping[str, Run],
    delays: Sequence[int],
    curves: Mapping[str, np.ndarray],
    shown: int,
    baselines: tuple[float, float],
) -> Figure:
    """Share of seeds that solve each delay, their accuracies, and losses at one delay.

    ``runs`` are judged ones with ``solved_at_D`` and ``accuracy_at_D``; ``curves[arm]
    [S, K]`` losses at the delay ``shown``; ``baselines`` loss and accuracy, from 0 to
    1, of what remembers nothing.
    """
    figure = Figure(figsize=(13.5, 4.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    width = 0.7 / len(runs)
    for a, (arm, run) in enumerate(runs.items()):
        colour, marker = COLOURS[a % len(COLOURS)], MARKERS[a % len(MARKERS)]
        places = np.arange(len(delays)) + width * (a - (len(runs) - 1) / 2)
        solved = np.array([run.values(f"solved_at_{d}") for d in delays])  # [D, S]
        shares = solved.mean(1)
        ends = [share_interval(int(s), solved.shape[1]) for s in solved.sum(1)]
        reach = np.abs(np.array(ends).T - shares)
        left.errorbar(
            places,
            100 * shares,
            100 * reach,
            fmt=marker,
            color=colour,
            label=drawn(arm),
            lw=1,
        )
        left.plot(places, 100 * shares, color=colour, lw=0.8, alpha=0.6)
        reached = np.array([run.values(f"accuracy_at_{d}") for d in delays])
        rng = np.random.default_rng(0)
        shifts = rng.permutation(np.linspace(-0.35, 0.35, solved.shape[1])) * width
        middle.scatter(
            (places[:, None] + shifts[None]).ravel(),
            100 * reached.ravel(),
            s=14,
            marker=marker,
            color=colour,
            alpha=0.75,
            lw=0,
        )
        loss = run.record("loss")
        plot_seeds(right, run.updates, curves[arm], colour, drawn(arm), loss.bounds)
    for axes in (left, middle):
        axes.set_xticks(range(len(delays)), [str(delay) for delay in delays])
        axes.set_ylim(-4, 104)
    left.legend(frameon=False, fontsize="small")
    finish_axes(left, "delay (steps)", "seeds that solve it (%), 95 % interval")
    finish_axes(middle, "delay (steps)", "accuracy after training (%), every seed")
    finish_axes(right, "updates", f"loss at delay {shown}, mean and its 95 % interval")
    mark_level(middle, 100 * baselines[1], "remembers nothing", offset=3)
    mark_level(right, baselines[0], "remembers nothing", offset=3)
    right.set_ylim(bottom=0)
    return figure
