"""Tables of gradients along time, and of the delays that networks learn."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from seqgraph_jax.reports.intervals import share_interval
from seqgraph_jax.reports.statistics import mean_interval, summarize
from seqgraph_jax.reports.tables import Table, summary_table
from seqgraph_jax.training.metrics import FROM_ZERO, Metric, number
from seqgraph_jax.training.runs import Run

FLOW_CAPTION = (
    "Norm of dh(T) / d state(k): factor per step between T - k = 1 and {steps}. Parts "
    "of dL/dW are compared by their norms, which add up to 100 %; those of different "
    "steps may cancel, so their sum is not the gradient's norm. Step 1 starts from a "
    "zero state and adds nothing; step 2 is the first one that sees what step 1 has "
    "read."
)
RADIUS_CAPTION = (
    "Vanilla RNNs whose recurrent kernel is the radius times an orthogonal matrix, "
    "standard normal inputs, {steps} steps, {seeds} seeds. A slope is tanh' of a unit "
    "at a step; the bound of the factor is the largest slope, at most 1, times the "
    "largest singular value, which is the radius. Clipping by global norm gives all "
    "gradients one factor: it changes their length alone, not their direction, nor "
    "which steps they come from."
)
DELAY_CAPTION = (
    "Seeds that reach {threshold:.0%} on {size} fixed sequences, {times} times in a "
    "row, within {updates} updates. The longest delay is that which a seed solves "
    "together with all shorter ones, 0 if it does not solve the first. In brackets "
    "95 % intervals of shares, Clopper and Pearson's."
)

#: The longest delay solved together with all shorter ones, 0 if the first was not.
LONGEST_DELAY = Metric(
    "longest_delay",
    "longest delay",
    unit="steps",
    better="higher",
    digits=3,
    words=("learns shorter delays than", "learns longer delays than"),
    bounds=FROM_ZERO,
)


def flow_table(flows: Mapping[str, Any], caption: str = "") -> Table:
    """A row per `seqgraph_jax.analysis.Flow`: how a gradient shrinks on its way back.

    ``caption`` follows what is said of the columns.

    >>> from seqgraph_jax.analysis import Flow
    >>> flow = Flow(norms=0.5 ** np.arange(1, 8)[None], parts=np.ones((1, 6)))
    >>> flow_table({"rnn": flow}).rows
    [('rnn', '0.5', '0.0078', '83.3', '17')]
    """
    found = flows.values()
    steps = next(iter(found)).norms.shape[1]
    factors = [mean_interval(flow.factor, bounds=FROM_ZERO) for flow in found]
    late = [100 * flow.shares[:, :5].sum(1) for flow in found]
    columns = {
        "cell": flows,
        "factor per step, mean (95 % interval)": factors,
        f"norm over {steps} steps, geometric mean": [number(f.last, 2) for f in found],
        "% of dL/dW from the last 5 steps": [
            mean_interval(share, bounds=(0, 100)) for share in late
        ],
        # What step 1 has read reaches the kernel in step 2.
        "% from step 2": [
            number(summarize(100 * flow.shares[:, -1]).mean, 2) for flow in found
        ],
    }
    return _of_columns(columns, f"{FLOW_CAPTION.format(steps=steps)} {caption}".strip())


def radius_table(
    radii: Sequence[float], sweep: Any, clipping: Any, max_norm: float
) -> Table:
    """A row per radius: the factor, its bound, and what clipping does.

    ``sweep`` and ``clipping`` are those of `seqgraph_jax.analysis.random_rnns`, of the
    same radii and seeds; gradients were clipped at ``max_norm``.

    >>> from seqgraph_jax.analysis.random_rnns import clipping, sweep
    >>> sizes = ([0.5, 2.0], [0, 1, 2], 10)
    >>> table = radius_table(sizes[0], sweep(*sizes), clipping(*sizes, 1.0), 1.0)
    >>> [(row[0], row[2]) for row in table.rows]
    [('0.5', '0 of 3'), ('2', '3 of 3')]
    """
    factors = sweep.factors.T  # [R, S]
    before, after = (np.median(norms, 0) for norms in (clipping.before, clipping.after))
    late, late_after = clipping.late_before.mean(0), clipping.late_after.mean(0)
    columns = {
        "radius": [f"{radius:g}" for radius in radii],
        "factor per step": [mean_interval(of, bounds=FROM_ZERO) for of in factors],
        "seeds that explode": [f"{(of > 1).sum()} of {len(of)}" for of in factors],
        "mean slope": [number(slope, 3) for slope in sweep.slopes.mean(0)],
        "gradient norm, median": [f"{norm:.3g}" for norm in before],
        f"clipped at {max_norm:g}": [f"{norm:.3g}" for norm in after],
        "lowest cosine": [f"{cosine:.6f}" for cosine in clipping.cosine.min(0)],
        "% from the last tenth": [f"{100 * share:.3g}" for share in late],
        "the same, clipped": [f"{100 * share:.3g}" for share in late_after],
    }
    seeds, _, steps = sweep.norms.shape
    return _of_columns(columns, RADIUS_CAPTION.format(seeds=seeds, steps=steps))


def _of_columns(columns: Mapping[str, Any], caption: str) -> Table:
    return Table(list(columns), list(zip(*columns.values(), strict=True)), caption)


def judge_delays(run: Run) -> Run:
    """The run with a row for each seed: means over delays, and what it reached.

    The run's parts are its delays, which rise, and it was trained until its threshold.
    ``accuracy_at_D`` is the last one and ``solved_at_D`` 0 or 1; `LONGEST_DELAY` says
    how far a seed came.

    Raises `ValueError` for a run without parts.

    >>> import seqgraph_jax as sg
    >>> delays = sg.Parts("delay", (2, 4))
    >>> tasks = [sg.Delayed(sg.Copy(4), np.int32(delay)) for delay in delays.values]
    >>> config = sg.TrainConfig(20, 10, 8, 16, threshold=0.9)
    >>> model = sg.SequenceReader("rnn", 4, num_outputs=8, num_symbols=10)
    >>> run = sg.train_seeds(model, tasks * 3, config, [0, 1, 2], parts=delays)
    >>> judge_delays(run).values("longest_delay").tolist()
    [0.0, 0.0, 0.0]
    """
    if run.parts is None:
        raise ValueError("the run has no parts, which would be its delays")
    delays = run.parts.values
    solved = run.by_seed(np.isfinite(run.updates_to_converge))  # [S, D]
    accuracy, record = run.by_seed(run.values("accuracy")), run.record("accuracy")
    in_a_row = np.cumprod(solved, axis=1).sum(1)
    reached = {LONGEST_DELAY: np.array([0, *delays], float)[in_a_row]}
    for d, delay in enumerate(delays):
        for name, words, values in (
            (f"accuracy_at_{delay}", f"accuracy at delay {delay}", accuracy),
            (f"solved_at_{delay}", f"seeds that solve delay {delay}", solved),
        ):
            metric: Metric = replace(record, name=name, label=words)
            reached[metric] = values[:, d].astype(float)
    return run.over_parts().adding(reached)


def delay_table(runs: Mapping[str, Run]) -> Table:
    """A column per run: shares of seeds that solve each delay, and the longest one.

    The runs have delays as parts, and a threshold, as `judge_delays` takes them.

    >>> import seqgraph_jax as sg
    >>> delays = sg.Parts("delay", (2, 4))
    >>> tasks = [sg.Delayed(sg.Copy(4), np.int32(delay)) for delay in delays.values]
    >>> config = sg.TrainConfig(20, 10, 8, 16, threshold=0.9)
    >>> model = sg.SequenceReader("rnn", 4, num_outputs=8, num_symbols=10)
    >>> run = sg.train_seeds(model, tasks * 3, config, [0, 1, 2], parts=delays)
    >>> delay_table({"rnn": run}).rows[-3]
    ['delay 4', '0 of 3 (0–71 %)']
    """
    judged = {name: judge_delays(run) for name, run in runs.items()}
    first = next(iter(runs.values()))
    rows: dict[str, list[str]] = {}
    for delay in first.parts.values if first.parts else ():
        label = f"delay {delay}"
        for run in judged.values():
            solved = run.values(f"solved_at_{delay}")
            low, high = share_interval(int(solved.sum()), len(solved))
            ends = f"({100 * low:.0f}–{100 * high:.0f} %)"
            cell = f"{solved.sum():.0f} of {len(solved)} {ends}"
            rows.setdefault(label, []).append(cell)
    config = first.config
    caption = DELAY_CAPTION.format(
        threshold=config.threshold,
        size=config.eval_size,
        times=config.hold_for,
        updates=first.updates[-1],
    )
    return summary_table(judged, [LONGEST_DELAY], rows, caption)
