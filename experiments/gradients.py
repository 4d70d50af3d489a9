"""Where does a recurrent network's gradient come from, and how far back does it reach?

Time: two and a half minutes on 2 CPU cores; no data are needed.

    python -m experiments.gradients
    python -m experiments.gradients --delays 10 20 40 80 160 --num-seeds 16
    python -m experiments.gradients --task adding --updates 2000

The gradients of a vanilla RNN, written out as sums of products of Jacobians, against
automatic differentiation; how much of a gradient is left after so many steps, before
and after training; what the spectral radius, the bias of the forget gate and clipping
change; the longest delay over which each cell learns to remember, in a budget of
updates; what the gates of trained LSTMs do; and the number of parameters in closed
form. Every network of the delays is trained by the same program, whatever its delay.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, Literal, get_args

import numpy as np
from rich.console import Console

import seqgraph_jax as sg
from experiments import gates
from experiments.harness import Report, Study, Trained, experiment
from experiments.harness.cli import RunOptions, TrainOptions
from seqgraph_jax.training.metrics import Metric
from seqgraph_jax.training.ranges import AtLeast, Count, Positive

INITIAL, TRAINED = "untrained", "trained"
SOLVED, EVAL_SIZE, HOLD_FOR = 0.99, 128, 2  # share of right answers, of, evaluations
NUM_GATE_SEEDS = 4
SMOKE = {"cells": ("rnn", "lstm"), "delays": (2, 4), "features": 4, "updates": 40}
SMOKE |= {"radii": (0.5, 2.0), "forget_biases": (0.0, 2.0), "length": 10}
SMOKE |= {"num_initial": 3}
#: Networks so small are faster in groups, on a CPU as well.
SAVING = TrainOptions(seed_width="6", checkpoint_every=30.0)
FACTOR = Metric("factor_per_step", "factor per step", bounds=(0, math.inf))
Cell = Literal["rnn", "lstm", "gru", "peephole", "peephole-diagonal"]
Several = Annotated[int, AtLeast(2)]


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    cells: tuple[Cell, ...] = get_args(Cell)  # cells to compare
    task: Literal["copy", "adding"] = "copy"  # what is learned over a delay
    delays: tuple[Several, ...] = (10, 30, 100, 200)  # steps, each for every seed
    flow_delay: int | None = None  # whose networks' gradients (default: the second)
    features: Count = 16  # hidden units
    updates: Count = 200  # of every network
    batch_size: Count = 16  # sequences of an update
    learning_rate: Positive = 0.02  # Adam's step size
    max_norm: Positive = 1.0  # clip gradients at this global norm
    radii: tuple[Positive, ...] = (0.5, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)  # of W_h
    forget_biases: tuple[float, ...] = (0.0, 1.0, 2.0)  # where an LSTM starts
    length: Several = 50  # steps of the sequences for radii
    num_initial: Several = 32  # seeds of what is not trained
    run: RunOptions = field(default_factory=RunOptions)
    saving: TrainOptions = field(default_factory=lambda: SAVING)


def build(config: Config, seeds: tuple[int, ...]) -> Study:
    for name in ("cells", "delays", "radii", "forget_biases"):
        values = getattr(config, name)
        if not values or len(set(values)) < len(values):
            flag = name.replace("_", "-")
            raise ValueError(f"--{flag} takes one or more different values")
    if config.flow_delay not in (None, *config.delays):
        raise ValueError(f"--flow-delay {config.flow_delay} is none of --delays")
    if math.inf in config.radii:
        raise ValueError("--radii takes finite numbers")
    delays, radii = tuple(sorted(config.delays)), tuple(sorted(config.radii))
    chosen = {"delays": delays, "radii": radii}
    chosen |= {"flow_delay": config.flow_delay or delays[:2][-1]}
    config = replace(config, **chosen)
    longest = sg.tasks.DELAY_TASKS[config.task](delays[-1])
    tasks = [sg.Delayed(longest, np.int32(delay)) for delay in delays] * len(seeds)
    names = ("updates", "batch_size", "learning_rate", "max_norm")
    train = sg.TrainConfig(
        **{name: getattr(config, name) for name in names},
        eval_every=20,
        eval_size=EVAL_SIZE,
        threshold=SOLVED,
        hold_for=HOLD_FOR,
        early_stop=False,
    )
    arm, text = gates.subjects(config.run.smoke)
    return Study(
        "Where gradients come from, and how far back they reach",
        partial(report, config, arm, text),
        {k: sg.Arm(network(k, config, longest), tasks, train) for k in config.cells},
        sg.Parts("delay", delays),
        settings=chosen,
    )


def network(cell: str, config: Config, task: Any) -> Any:
    """The network that learns the task."""
    copies = isinstance(task, sg.Copy)
    sizes = (task.num_classes, task.num_copied, task.num_symbols) if copies else (1, 1)
    return sg.SequenceReader(cell, config.features, *sizes)


@dataclass(frozen=True)
class Measures:
    """What is not trained here, or was before."""

    error: np.ndarray  # of the gradients written out, [S]
    flows: Mapping[str, Mapping[str, Any]]  # `sg.analysis.Flow` by state and cell
    forget: Mapping[float, Any]  # `sg.analysis.Flow` of LSTMs by forget bias
    sweep: Any
    clipping: Any

    @property
    def named(self) -> dict[str, Any]:
        """All flows, those of a cell side by side."""
        names = [(cell, state) for cell in self.flows[INITIAL] for state in self.flows]
        return {f"{cell}, {state}": self.flows[state][cell] for cell, state in names}


def measure(config: Config, runs: Mapping[str, Any]) -> Measures:
    """All measures; ``runs`` have trained the networks of each seed and delay."""
    initial = tuple(range(0, 500 * config.num_initial, 500))
    task = sg.tasks.DELAY_TASKS[config.task](config.flow_delay)
    options = {"lstm": [{"forget_bias": bias} for bias in config.forget_biases]}
    models = {
        cell: [run.model.clone(cell_options=o) for o in ({}, *options.get(cell, ()))]
        for cell, run in runs.items()
    }
    starts = initial_params(models, task, initial)
    at_delay = slice(config.delays.index(config.flow_delay), None, len(config.delays))
    flows: dict[str, dict[str, Any]] = {INITIAL: {}, TRAINED: {}}
    forget: dict[float, Any] = {}
    for cell, run in runs.items():
        trained = sg.analysis.layers.rows_of(run.params(best=False), at_delay)
        groups = [*((params, initial) for params in starts[cell]), (trained, run.seeds)]
        first, *others, last = sg.analysis.network_flows(models[cell][0], task, groups)
        flows[INITIAL][cell], flows[TRAINED][cell] = first, last
        forget |= dict(zip(config.forget_biases, others, strict=False))
    rnns, sizes = sg.analysis.random_rnns, (config.radii, initial, config.length)
    error = rnns.written_out_error(initial, min(config.length, 12))
    clipping = rnns.clipping(*sizes, config.max_norm)
    return Measures(error, flows, forget, rnns.sweep(*sizes), clipping)


def initial_params(models: Mapping[str, Any], task: Any, seeds: Sequence[int]) -> Any:
    """Parameters ``[S, ...]`` that training starts from, of lists of models."""
    init = partial(sg.training.init, task=task, config=sg.TrainConfig(batch_size=1))

    def one(key: Any) -> Any:
        return {k: [init(m, key=key).params for m in of] for k, of in models.items()}

    return sg.analysis.double.map_seeds(one, seeds)  # one program: it compiles faster


def report(config: Config, arm: Any, text: Any, trained: Trained) -> Report:
    with Console(stderr=True).status("measuring gradients"):
        measured = measure(config, trained.runs)
    seeds = trained.seeds[:NUM_GATE_SEEDS]
    gated = sg.train_seeds(
        arm.model,
        arm.task,
        arm.config,
        seeds,
        width=len(seeds),
        directory=trained.directory / "state" / "gates",
    )
    of_gates, record = gates.sections(gated, arm.task, text, trained.smoke)
    tables = sg.reports.flows
    judged = {cell: tables.judge_delays(run) for cell, run in trained.runs.items()}
    formulas = sg.analysis.formulas.formula_rows([(16, config.features), (64, 256)])
    header = ["cell", "formula", "F", "H", "by formula", "counted"]
    caption = "F input features, H hidden units, biases included."
    found = [
        *flow_sections(config, measured),
        *delay_sections(config, judged, trained.runs),
        *of_gates,
        sg.Section("Parameters", sg.Table(header, list(formulas), caption)),
    ]
    comparisons, said = [], say(measured, config.radii)
    if len(judged) > 1:
        comparisons = [sg.compare(judged, tables.LONGEST_DELAY.name)]
        table = sg.reports.comparison_table(comparisons)
        found.append(sg.Section("Comparisons", table))
        said += [pair.verdict for pair in comparisons[0].pairs]
    arms = judged | arms_of(measured, config.radii)
    return Report(arms, said, found, comparisons, extra={"gates": record})


def arms_of(measured: Measures, radii: Sequence[float]) -> dict[str, Any]:
    """Numbers per seed that belong to no training."""
    arms = {"written out": {Metric("relative_difference"): measured.error}}
    for name, flow in measured.named.items():
        norm = Metric("norm_at_the_start")
        arms[name] = {FACTOR: flow.factor, norm: flow.norms[:, -1]}
    for bias, flow in measured.forget.items():
        arms[f"lstm, forget bias {bias:g}"] = {FACTOR: flow.factor}
    for r, radius in enumerate(radii):
        clipped = measured.clipping._asdict().items()
        arms[f"rnn, radius {radius:g}"] = {
            FACTOR: measured.sweep.factors[:, r],
            **{Metric(f"clipping_{name}"): of[:, r] for name, of in clipped},
        }
    return {name: sg.Measured(values) for name, values in arms.items()}


def say(measured: Measures, radii: Sequence[float]) -> list[str]:
    """Sentences that the numbers support."""
    interval = partial(sg.statistics.mean_interval, bounds=(0, math.inf))
    bound = (measured.sweep.norms / measured.sweep.bounds).max()
    crossings = sg.analysis.random_rnns.border(radii, measured.sweep.factors)
    known = crossings[np.isfinite(crossings)]
    said = [
        "The gradients written out as sums of products of Jacobians equal automatic "
        f"ones: largest relative difference {measured.error.max():.1g} over "
        f"{len(measured.error)} networks, in double precision.",
        f"No gradient is above its bound (largest share of it: {bound:.6f})."
        if bound <= 1 + 1e-12
        else f"A gradient is {bound:.6f} times its bound.",
    ]
    if len(known):
        said[-1] += (
            " With standard normal inputs a tanh RNN goes from vanishing to exploding "
            f"at a radius of {interval(known)} ({len(known)} of {len(crossings)} "
            "seeds); without the slopes of tanh it would be 1."
        )
    for state, flows in measured.flows.items():
        factors = (f"{cell} {interval(flow.factor)}" for cell, flow in flows.items())
        factor = "Factor per step of gradients on their way back"
        said.append(f"{factor}, {state}: {', '.join(factors)}.")
    if measured.forget:
        factors = (
            f"{interval(of.factor)} with bias {b:g}"
            for b, of in measured.forget.items()
        )
        said.append(f"An untrained LSTM's factor per step is {', '.join(factors)}.")
    return said


def flow_sections(config: Config, measured: Measures) -> list[Any]:
    """Gradients on their way back, by cell, radius and bias."""
    plots, tables, sweep = sg.reports.plots.flows, sg.reports.flows, measured.sweep
    firsts = {k: next(iter(flows.values())) for k, flows in measured.flows.items()}
    counts = (f"{len(flow.norms)} seeds {state}" for state, flow in firsts.items())
    flows = tables.flow_table(measured.named, f"{', '.join(counts)}.")
    clipped = measured.clipping, config.max_norm
    radii = tables.radius_table(config.radii, sweep, *clipped)
    borders = sg.analysis.random_rnns.border(config.radii, sweep.factors)
    swept = sweep.norms, sweep.factors, borders
    by_cell = plots.plot_flows(measured.flows)
    by_radius = plots.plot_radii(np.array(config.radii), *swept)
    found = [
        sg.Section("Gradients on their way back", figure=by_cell, name="flow"),
        sg.Section("The same in numbers", flows, printed=True),
        sg.Section("Radius of the recurrent kernel", None, by_radius, "radius"),
        sg.Section("Radius, bound and clipping", radii, printed=True),
    ]
    if norms := {bias: flow.norms for bias, flow in measured.forget.items()}:
        by_bias = plots.plot_forget(norms)
        found.append(sg.Section("Bias of the forget gate", None, by_bias, "forget"))
    return found


def delay_sections(
    config: Config, judged: Mapping[str, Any], runs: Mapping[str, Any]
) -> list[Any]:
    """How far back each cell remembers."""
    task = sg.tasks.DELAY_TASKS[config.task](config.flow_delay)
    here = slice(config.delays.index(config.flow_delay), None, len(config.delays))
    losses = {cell: run.metrics["loss"][here] for cell, run in runs.items()}
    shown = config.flow_delay, (task.baseline_loss, task.baseline_accuracy)
    plots, times = sg.reports.plots, sg.reports.censoring.times_to_converge
    delays = plots.flows.plot_delays(judged, config.delays, losses, *shown)
    late = {cell: times(run).rows(here) for cell, run in runs.items()}
    solved = plots.converged.plot_converged(late)
    table = sg.reports.flows.delay_table(runs)
    return [
        sg.Section(f"How far back: {config.task}", None, delays, "delays"),
        sg.Section("Delays in numbers", table, printed=True),
        sg.Section(f"Seeds converged, delay {shown[0]}", None, solved, "converged"),
    ]


main = experiment(
    "gradients",
    Config(),
    build,
    doc=__doc__,
    seeds=lambda config: range(0, 500 * 9, 500),
    smoke=SMOKE,
)

if __name__ == "__main__":
    sys.exit(main())
