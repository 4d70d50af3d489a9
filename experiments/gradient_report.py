"""What experiments.gradients says and draws of what it measured."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console

import seqgraph_jax as sg
from experiments import gate_report
from experiments.cli import START, UsageError
from experiments.directory import Directory
from experiments.gradient_study import (
    EVAL_SIZE,
    SOLVED,
    Measured,
    border,
    growth,
    judge,
    measure,
)
from experiments.runner import Arm, rich_table
from seqgraph_jax import flow_plots, reporting, results, statistics
from seqgraph_jax.checkpoints import CheckpointError
from seqgraph_jax.delay_tasks import DELAY_TASKS
from seqgraph_jax.formulas import FORMULAS
from seqgraph_jax.proportions import share_interval
from seqgraph_jax.reporting import Section, Table, number

INITIAL, TRAINED = "untrained", "trained"


def _interval(values: np.ndarray, digits: int = 3) -> str:
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
            geometric = np.exp(np.mean(np.log(np.maximum(norms[:, -1], 1e-45))))
            rows.append(
                [
                    f"{cell}, {state}",
                    _interval(growth(norms)),
                    f"{geometric:.2g}",
                    _interval(100 * late),
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
    rows = [
        [
            f"{radius:g}",
            _interval(factors[:, r]),
            f"{(factors[:, r] > 1).sum()} of {len(factors)}",
            number(measured.sweep["slopes"][:, r].mean(), 3),
            f"{np.median(clip['before'][:, r]):.3g}",
            f"{np.median(clip['after'][:, r]):.3g}",
            f"{clip['cosine'][:, r].min():.6f}",
            *(f"{100 * clip[f'late_{when}'][:, r].mean():.3g}" for when in _WHEN),
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


_WHEN = ("before", "after")


def delay_table(runs: Mapping[str, sg.Run], delays: Sequence[int]) -> Table:
    """A column per cell: shares of seeds that solve each delay, and the longest one."""
    rows = [["parameters", *(f"{run.num_params:,}" for run in runs.values())]]
    for delay in delays:
        row = [f"delay {delay}"]
        for run in runs.values():
            solved = run.final[f"solved_at_{delay}"]
            low, high = share_interval(int(solved.sum()), len(solved))
            ends = f"({low:.0%} to {high:.0%})"
            row.append(f"{solved.sum():.0f} of {len(solved)} {ends}")
        rows.append(row)
    longest = (_interval(run.final["longest_delay"]) for run in runs.values())
    rows.append(["longest delay, mean (95 % interval)", *longest])
    rows.append(
        ["seconds of training", *(f"{run.train_s:.1f}" for run in runs.values())]
    )
    updates = next(iter(runs.values())).updates[-1]
    caption = (
        f"Seeds that reach {SOLVED:.0%} on {EVAL_SIZE} fixed sequences, twice in a "
        f"row, within {updates} updates, with Wilson's interval. The longest delay is "
        "that which a seed solves together with all shorter ones, 0 if it does not "
        "solve the first."
    )
    return Table(["", *runs], rows, caption)


def formula_table(arms: Mapping[str, Arm], config: Any) -> Table:
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
    import jax
    import jax.numpy as jnp

    module = sg.CELLS[cell](features=features)

    def init(key: jax.Array) -> Any:
        carry = module.initial_carry(1)
        return module.init(key, carry, jnp.zeros((1, features_in)))

    return sg.num_params(jax.eval_shape(init, jax.random.key(0)))


def say(config: Any, measured: Measured, runs: Mapping[str, sg.Run]) -> list[str]:
    """Sentences that the numbers support."""
    worst = measured.exactness["difference"].max()
    said = [
        "The gradients written out as sums of products of Jacobians equal automatic "
        f"ones: largest relative difference {worst:.1g} over "
        f"{len(measured.exactness['difference'])} networks, in double precision."
    ]
    factors = growth(measured.sweep["flow"])
    bound = measured.sweep["flow"] / measured.sweep["bound"]
    crossings = border(np.array(config.radii), factors)
    known = crossings[np.isfinite(crossings)]
    sentence = (
        f"No gradient is above its bound (largest share of it: {bound.max():.6f}). "
        if bound.max() <= 1 + 1e-4
        else f"A gradient is {bound.max():.6f} times its bound. "
    )
    if len(known):
        sentence += (
            f"With standard normal inputs a tanh RNN goes from vanishing to exploding "
            f"at a radius of {_interval(known)} ({len(known)} of {len(crossings)} "
            "seeds); without the slopes of tanh it would be 1."
        )
    said.append(sentence)
    for state, place in ((INITIAL, 0), (TRAINED, 1)):
        by_cell = ", ".join(
            f"{cell} {_interval(growth(flow[place]['flow']))}"
            for cell, flow in measured.flows.items()
        )
        said.append(
            f"Factor per step of gradients on their way back, {state}: {by_cell}."
        )
    if measured.forget:
        by_bias = ", ".join(
            f"{_interval(growth(flow))} with bias {bias:g}"
            for bias, flow in measured.forget.items()
        )
        said.append(f"An untrained LSTM's factor per step is {by_bias}.")
    return said


def arms_of(config: Any, measured: Measured) -> dict[str, Any]:
    """Numbers per seed that belong to no training, for results.json."""
    values: dict[str, dict[str, np.ndarray]] = {
        "written out": {
            "relative_difference": measured.exactness["difference"],
        }
    }
    for cell, flow in measured.flows.items():
        for state, found in zip((INITIAL, TRAINED), flow, strict=True):
            values[f"{cell}, {state}"] = {
                "factor_per_step": growth(found["flow"]),
                "norm_at_the_start": found["flow"][:, -1],
            }
    for bias, found in measured.forget.items():
        values[f"lstm, forget bias {bias:g}"] = {"factor_per_step": growth(found)}
    factors = growth(measured.sweep["flow"])
    for r, radius in enumerate(config.radii):
        clip = {name: of[:, r] for name, of in measured.clipping.items()}
        values[f"rnn, radius {radius:g}"] = {
            "factor_per_step": factors[:, r],
            **{f"clipping_{name}": of for name, of in clip.items()},
        }
    return {
        arm: {"metrics": {m: asdict(statistics.summarize(v)) for m, v in of.items()}}
        for arm, of in values.items()
    }


def figures(
    config: Any,
    measured: Measured,
    runs: Mapping[str, sg.Run],
    judged: Mapping[str, sg.Run],
) -> dict[str, Any]:
    """Pictures by the names of their files."""
    states: dict[str, dict[str, Any]] = {INITIAL: {}, TRAINED: {}}
    for cell, flow in measured.flows.items():
        for state, found in zip(states, flow, strict=True):
            states[state][cell] = (found["flow"], found["parts"])
    radii, factors = np.array(config.radii), growth(measured.sweep["flow"])
    task = DELAY_TASKS[config.task](config.flow_delay)
    place, every = config.delays.index(config.flow_delay), len(config.delays)
    curves = {cell: run.metrics["loss"][place::every] for cell, run in runs.items()}
    baselines = task.baseline_loss, task.baseline_accuracy
    drawn = {
        "flow": flow_plots.plot_flows(states),
        "radius": flow_plots.plot_radii(
            radii, measured.sweep["flow"], factors, border(radii, factors)
        ),
        "delays": flow_plots.plot_delays(
            judged, config.delays, curves, config.flow_delay, baselines
        ),
    }
    if measured.forget:
        drawn["forget"] = flow_plots.plot_forget(measured.forget)
    return drawn


def finish(
    config: Any,
    runs: Mapping[str, sg.Run],
    arms: Mapping[str, Arm],
    place: Directory,
    *,
    seeds: tuple[int, ...],
    question: str,
    command: str,
    setup_s: float,
) -> None:
    """Measure, write the report, print its tables, sentences and where it is."""
    console = Console(highlight=False)
    with Console(stderr=True).status("measuring gradients"):
        measured = measure(config, runs, seeds)
    judged = {cell: judge(run, config.delays, seeds) for cell, run in runs.items()}
    comparisons = []
    if len(judged) > 1:
        compared = statistics.compare(
            {cell: run.final["longest_delay"] for cell, run in judged.items()},
            "longest_delay",
            words=("learns shorter delays than", "learns longer delays than"),
            unit="steps",
        )
        comparisons = [results.Comparisons("longest_delay", {}, compared)]
    try:
        with Console(stderr=True).status("training and measuring gates"):
            gates, of_gates = gate_report.sections(place, seeds[:4], config.run.smoke)
        timing = {
            "setup_s": setup_s,
            "compile_s": sum(run.compile_s for run in runs.values()),
            "train_s": sum(run.train_s for run in runs.values()),
            "total_s": time.perf_counter() - START,
        }
        record = results.results(
            "gradients", place.settings, judged, comparisons, timing
        )
        record["arms"] |= arms_of(config, measured)
        record["gates"] = of_gates
        drawn = {
            name: reporting.write_figure(place.path, figure, name)
            for name, figure in figures(config, measured, runs, judged).items()
        }
        table = delay_table(judged, config.delays)
        verdicts = [pair.verdict for c in comparisons for pair in c.pairs]
        sentences = say(config, measured, runs)
        name = f"How far back: {config.task}"
        sections = [
            Section("Gradients on their way back", svg=drawn["flow"]),
            Section("The same in numbers", flow_table(measured)),
            Section("Radius of the recurrent kernel", svg=drawn["radius"]),
            Section("Radius, bound and clipping", radius_table(config, measured)),
        ]
        if measured.forget:
            sections.append(Section("Bias of the forget gate", svg=drawn["forget"]))
        sections += [
            Section(name, svg=drawn["delays"]),
            Section("Delays in numbers", table),
            *gates,
            Section("Parameters", formula_table(arms, config)),
        ]
        if comparisons:
            compared_table = reporting.comparison_table(comparisons)
            sections.append(Section("Comparisons", compared_table))
        html = reporting.page(
            title="Where gradients come from, and how far back they reach",
            question=question,
            verdicts=[*sentences, *verdicts],
            sections=sections,
            record=record,
            command=command,
        )
        results.write_text(place.path / "report.html", html)
        results.write_json(place.path / "results.json", record)
    except CheckpointError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(
            f"cannot write to {place.path}: {error.strerror or error}"
        ) from error
    for shown in (flow_table(measured), radius_table(config, measured), table):
        console.print(rich_table(shown), soft_wrap=True)
    for sentence in [*sentences, *verdicts]:
        console.print(f"Verdict: {sentence}", soft_wrap=True, markup=False)
    console.print(f"Report: {place.path / 'report.html'}", soft_wrap=True, markup=False)
