"""What experiments.gradients says and draws of what it measured."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console

import seqgraph_jax as sg
from experiments import gate_report
from experiments.cli import START, UsageError
from experiments.directory import Directory
from experiments.gradient_study import Measured, border, growth, judge, measure
from experiments.gradient_tables import (
    INITIAL,
    TRAINED,
    delay_table,
    flow_table,
    formula_table,
    interval,
    radius_table,
)
from experiments.publishing import publish, writing_to
from seqgraph_jax.reports import pages as reporting
from seqgraph_jax.reports import results, statistics
from seqgraph_jax.reports.pages import Section
from seqgraph_jax.reports.plots import flows as flow_plots
from seqgraph_jax.tasks.delays import DELAY_TASKS
from seqgraph_jax.training.checkpoints import CheckpointError


def say(measured: Measured, config: Any) -> list[str]:
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
        if bound.max() <= 1 + 1e-12
        else f"A gradient is {bound.max():.6f} times its bound. "
    )
    if len(known):
        sentence += (
            f"With standard normal inputs a tanh RNN goes from vanishing to exploding "
            f"at a radius of {interval(known)} ({len(known)} of {len(crossings)} "
            "seeds); without the slopes of tanh it would be 1."
        )
    said.append(sentence)
    for state, place in ((INITIAL, 0), (TRAINED, 1)):
        by_cell = ", ".join(
            f"{cell} {interval(growth(flow[place]['flow']))}"
            for cell, flow in measured.flows.items()
        )
        said.append(
            f"Factor per step of gradients on their way back, {state}: {by_cell}."
        )
    if measured.forget:
        by_bias = ", ".join(
            f"{interval(growth(flow))} with bias {bias:g}"
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
    place: Directory,
    *,
    seeds: tuple[int, ...],
    question: str,
    command: str,
    setup_s: float,
) -> None:
    """Measure, write the report, print its tables, sentences and where it is."""
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
        # Most of both is compilation, which one core does for each.
        words = "measuring gradients, training and measuring gates"
        with (
            writing_to(place),
            Console(stderr=True).status(words),
            ThreadPoolExecutor(2) as pool,
        ):
            measuring = pool.submit(measure, config, runs, seeds)
            smoke = config.run.smoke
            gating = pool.submit(gate_report.sections, place, seeds[:4], smoke)
            measured, (gates, of_gates) = measuring.result(), gating.result()
    except CheckpointError as error:
        raise UsageError(str(error)) from error
    with writing_to(place):
        drawn = {
            name: reporting.write_figure(place.path, figure, name)
            for name, figure in figures(config, measured, runs, judged).items()
        }
    flows, radii = flow_table(measured), radius_table(config, measured)
    delays = delay_table(judged, config.delays)
    sections = [
        Section("Gradients on their way back", svg=drawn["flow"]),
        Section("The same in numbers", flows),
        Section("Radius of the recurrent kernel", svg=drawn["radius"]),
        Section("Radius, bound and clipping", radii),
    ]
    if measured.forget:
        sections.append(Section("Bias of the forget gate", svg=drawn["forget"]))
    sections += [
        Section(f"How far back: {config.task}", svg=drawn["delays"]),
        Section("Delays in numbers", delays),
        *gates,
        Section("Parameters", formula_table(config)),
    ]
    if comparisons:
        sections.append(Section("Comparisons", reporting.comparison_table(comparisons)))
    timing = {
        "setup_s": setup_s,
        "compile_s": sum(run.compile_s for run in runs.values()),
        "train_s": sum(run.train_s for run in runs.values()),
        "total_s": time.perf_counter() - START,
    }
    record = results.results("gradients", place.settings, judged, comparisons, timing)
    record["arms"] |= arms_of(config, measured)
    record["gates"] = of_gates
    publish(
        place,
        record,
        [flows, radii, delays],
        [*say(measured, config), *(p.verdict for c in comparisons for p in c.pairs)],
        title="Where gradients come from, and how far back they reach",
        question=question,
        sections=sections,
        command=command,
    )
