"""Tables of what experiments.gradients measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import seqgraph_jax as sg
from experiments.gradient_study import EVAL_SIZE, SOLVED, Measured, growth
from seqgraph_jax.analysis.formulas import FORMULAS
from seqgraph_jax.reports import statistics
from seqgraph_jax.reports.pages import Table, number
from seqgraph_jax.reports.statistics import share_interval

INITIAL, TRAINED = "untrained", "trained"


def interval(values: np.ndarray, digits: int = 3) -> str:
    """Mean and its 95 % interval, as text."""
    s = statistics.summarize(values)
    if s.n < 2:
        return number(s.mean, digits)
    low, high = (number(end, digits) for end in s.ci95)
    return f"{number(s.mean, digits)} ({low} to {high})"


def flow_table(measured: Measured) -> Table:
    """A row per cell and state of training: how a gradient shrinks on its way back."""
    rows = []
    for cell, flow in measured.flows.items():
        for state, found in zip((INITIAL, TRAINED), flow, strict=True):
            norms, parts = found["flow"], found["parts"]
            total = parts.sum(1)
            # What step 1 has read reaches the kernel in step 2.
            late, first = parts[:, :5].sum(1) / total, parts[:, -1] / total
            with np.errstate(divide="ignore"):
                geometric = np.exp(np.log(norms[:, -1]).mean())
            rows.append(
                [
                    f"{cell}, {state}",
                    interval(growth(norms)),
                    f"{geometric:.2g}",
                    interval(100 * late),
                    f"{100 * first.mean():.2g}",
                ]
            )
    steps = next(iter(measured.flows.values())).initial["flow"].shape[1]
    header = ["cell", "factor per step, mean (95 % interval)"]
    header += [f"norm over {steps} steps, geometric mean"]
    header += ["% of dL/dW from the last 5 steps", "% from step 2"]
    caption = (
        f"Norm of dh(T) / d state(k): factor per step between T - k = 1 and {steps}. "
        "Parts of dL/dW are compared by their norms, which add up to 100 %; those of "
        "different steps may cancel, so their sum is not the gradient's norm. Step 1 "
        "starts from a zero state and adds nothing; step 2 is the first one that sees "
        "what step 1 has read. "
        f"{len(flow.initial['flow'])} seeds untrained, {len(flow.trained['flow'])} "
        "trained."
    )
    return Table(header, rows, caption)


def radius_table(config: Any, measured: Measured) -> Table:
    """A row per radius: the factor, its bound, and what clipping does."""
    factors, clip = growth(measured.sweep["flow"]), measured.clipping
    late = ("late_before", "late_after")
    rows = [
        [
            f"{radius:g}",
            interval(factors[:, r]),
            f"{(factors[:, r] > 1).sum()} of {len(factors)}",
            number(measured.sweep["slopes"][:, r].mean(), 3),
            f"{np.median(clip['before'][:, r]):.3g}",
            f"{np.median(clip['after'][:, r]):.3g}",
            f"{clip['cosine'][:, r].min():.6f}",
            *(f"{100 * clip[name][:, r].mean():.3g}" for name in late),
        ]
        for r, radius in enumerate(config.radii)
    ]
    header = ["radius", "factor per step", "seeds that explode", "mean slope"]
    header += ["gradient norm, median", f"clipped at {config.max_norm:g}"]
    header += ["lowest cosine", "% from the last tenth", "the same, clipped"]
    caption = (
        "Vanilla RNNs whose recurrent kernel is the radius times an orthogonal matrix, "
        f"standard normal inputs, {config.length} steps, {config.num_initial} seeds. "
        "A slope is tanh' of a unit at a step; the bound of the factor is the largest "
        "slope, at most 1, times the largest singular value, which is the radius. "
        "Clipping by global norm gives all gradients one factor: it changes their "
        "length alone, not their direction, nor which steps they come from."
    )
    return Table(header, rows, caption)


def delay_table(runs: Mapping[str, sg.Run], delays: Sequence[int]) -> Table:
    """A column per cell: shares of seeds that solve each delay, and the longest one."""
    rows = [["parameters", *(f"{run.num_params:,}" for run in runs.values())]]
    for delay in delays:
        row = [f"delay {delay}"]
        for run in runs.values():
            solved = run.final[f"solved_at_{delay}"]
            low, high = share_interval(int(solved.sum()), len(solved))
            ends = f"({100 * low:.0f}–{100 * high:.0f} %)"
            row.append(f"{solved.sum():.0f} of {len(solved)} {ends}")
        rows.append(row)
    longest = (interval(run.final["longest_delay"]) for run in runs.values())
    rows.append(["longest delay, mean", *longest])
    rows.append(
        ["seconds of training", *(f"{run.train_s:.1f}" for run in runs.values())]
    )
    updates = next(iter(runs.values())).updates[-1]
    caption = (
        f"Seeds that reach {SOLVED:.0%} on {EVAL_SIZE} fixed sequences, twice in a "
        f"row, within {updates} updates. The longest delay is that which a seed solves "
        "together with all shorter ones, 0 if it does not solve the first. In brackets "
        "95 % intervals, of shares Wilson's."
    )
    return Table(["", *runs], rows, caption)


def formula_table(config: Any) -> Table:
    """Parameters of each cell: in closed form, and counted."""
    rows = []
    for cell in sg.CELLS:
        for features_in, features in ((16, config.features), (64, 256)):
            formula = FORMULAS[cell]
            rows.append(
                [
                    cell,
                    formula.text,
                    str(features_in),
                    str(features),
                    f"{formula.num_params(features_in, features):,}",
                    f"{_count(cell, features_in, features):,}",
                ]
            )
    header = ["cell", "formula", "F", "H", "by formula", "counted"]
    return Table(header, rows, "F input features, H hidden units, biases included.")


def _count(cell: str, features_in: int, features: int) -> int:
    module = sg.CELLS[cell](features=features)

    def init(key: jax.Array) -> Any:
        carry = module.initial_carry(1)
        return module.init(key, carry, jnp.zeros((1, features_in)))

    return sg.num_params(jax.eval_shape(init, jax.random.key(0)))
