"""What experiments.gradients says and draws of the gates of trained LSTMs."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from experiments.directory import Directory
from experiments.gate_measures import (
    GATES,
    NUMBER,
    SENTENCE,
    WRITTEN,
    WRITTEN_SMOKE,
    Course,
    Shares,
    Trained,
    count_gates,
    most_varied,
    number_course,
    text_gates,
    train_baum_sweet,
)
from experiments.sample import SHIPPED
from seqgraph_jax.analysis.gates import NAMES
from seqgraph_jax.reports.pages import Section, Table, percent, write_figure
from seqgraph_jax.reports.plots import gates as gate_plots
from seqgraph_jax.reports.plots.curves import COLOURS
from seqgraph_jax.tasks.binary import baum_sweet
from seqgraph_jax.text.models import load_text_model

NUM_UNITS = 4  # of every layer of the text model in the heat maps
BOUNDS_SAID = (
    "Left-saturated: i, f, o below 0.1, g below −0.9; right-saturated: above 0.9 "
    "(Karpathy, Johnson and Li, 2015, count i, f and o so; g's bounds are chosen here, "
    "and stricter: there tanh has 19 % of its steepest slope, a sigmoid at 0.1 and 0.9 "
    "has 36 %)."
)


def saturation_table(groups: Mapping[str, Shares], caption: str) -> Table:
    """A row per gate of every group: means over its units, and their range over seeds.

    The last two columns count units of all seeds.
    """
    header = ["gate", "left-saturated", "right-saturated", "neither"]
    header += ["units left ≥ 90 %", "units right ≥ 90 %"]
    rows = []
    for label, shares in groups.items():
        for gate, (left, right) in shares.items():
            means = (side.mean(1) for side in (left, right, 1 - left - right))
            ends = [f"{(side >= 0.9).sum()} of {side.size}" for side in (left, right)]
            rows.append([f"{label}{gate}: {NAMES[gate]}", *map(_range, means), *ends])
    return Table(header, rows, caption)


def _range(shares: np.ndarray) -> str:
    mean = f"{100 * shares.mean():.1f} %"
    if len(shares) == 1:
        return mean
    return f"{mean} ({100 * shares.min():.1f} to {100 * shares.max():.1f})"


def plot_answers(axes: Axes, course: Course, mark: float) -> None:
    """The network's probability of label 1 after every bit, and the true labels."""
    digits, positions = course.digits, np.arange(len(course.digits))
    truth = labels_of(digits)
    axes.plot(positions, course.answers, color=COLOURS[0], lw=1.8, label="given")
    for label, marker, colour in ((1, "o", COLOURS[2]), (0, "X", COLOURS[1])):
        found = positions[truth == label]
        at, words = np.full(len(found), float(label)), f"label {label}"
        axes.scatter(found, at, 42, colour, marker=marker, label=words, zorder=3)
    axes.axvline(mark, color="black", lw=1.4, ls=(0, (2, 2)))
    axes.set_xticks(positions, list(digits))
    axes.tick_params(axis="x", length=0, pad=3)
    axes.set_xlim(-0.5, len(digits) - 0.5)
    axes.set_ylim(-0.07, 1.07)
    axes.set_xlabel("bit that was read")
    axes.set_ylabel("probability of label 1")
    axes.set_title("answer, if the number ended here", fontsize=11)
    axes.legend(loc="center right", frameon=False, handlelength=1, borderaxespad=0)
    axes.grid(alpha=0.25, axis="y")
    axes.spines[["top", "right"]].set_visible(False)


def labels_of(digits: str) -> np.ndarray:
    """Baum-Sweet labels of the numbers that the first 1, 2, ... digits are."""
    return np.array([baum_sweet(int(digits[:t], 2)) for t in range(1, len(digits) + 1)])


def settled(digits: str) -> int:
    """Position of the 1 after the first odd block of zeros."""
    odd = next(m for m in re.finditer("0+(?=1)", digits) if len(m[0]) % 2)
    return odd.end()


def measured_shares(shares: Shares) -> dict[str, Any]:
    """Means over units, ``[S]``, for results.json."""
    return {
        gate: {"left": left.mean(1).tolist(), "right": right.mean(1).tolist()}
        for gate, (left, right) in shares.items()
    }


def number_sections(
    place: Directory, trained: Trained, smoke: bool
) -> tuple[list[Section], dict[str, Any]]:
    """Gates on Baum-Sweet numbers: their distribution, and their course along one."""
    counted, course, run = (
        count_gates(trained, smoke),
        number_course(trained),
        trained.run,
    )
    num_seeds, units = len(run.seeds), trained.model.features
    converged = int(np.isfinite(run.updates_to_converge).sum())
    caption = (
        f"An LSTM of {units} units, {num_seeds} seeds, of which {converged} "
        f"converged in at most {run.updates[-1]} updates; accuracy on the numbers "
        f"counted here {percent(float(counted.accuracies.mean()))}. Shares of the "
        f"values at all {counted.num_digits:,} digits of {counted.num_numbers:,} "
        "numbers, drawn as in training; the padding is read, but not counted. Mean "
        "over units and seeds, in brackets the range over seeds of the mean over "
        f"units. {BOUNDS_SAID} The last two columns count the units of all seeds "
        "that are saturated at 90 % or more of the digits. Picture, above: all "
        "values, seeds thin, their mean thick; below: a dot is one unit of one "
        "seed."
    )
    table = saturation_table({"": counted.shares}, caption)
    figure = gate_plots.plot_distributions(counted.histograms, counted.shares)
    svg = write_figure(place.path, figure, "gates")
    distribution = Section("Gates on Baum-Sweet numbers", table, svg)

    order = np.argsort(-course.gates.f.mean(0), kind="stable")
    in_order = {n: v[:, order].T for n, v in course.gates._asdict().items()}
    mark = settled(course.digits) - 0.5
    draw = partial(plot_answers, course=course, mark=mark)
    figure = gate_plots.plot_course(in_order, list(course.digits), mark, draw)
    truth = labels_of(course.digits)
    right = int(((course.answers > 0.5) == truth).sum())
    row = [f"{NUMBER:,}", course.digits, str(truth[-1]), f"{course.answers[-1]:.3f}"]
    caption = (
        f"The network of seed {run.seeds[0]}, the first. A row is a unit, the same "
        "one in all five maps: at the top the one whose forget gate is on average "
        "the most open along this number. Columns are its bits; the padding that is "
        "read before them is left out. At the dashed line a 1 ends the first block "
        "of zeros of odd length: whatever follows, the label is 0 from there on. "
        "Lower right: the probability that the network would give after every bit, "
        "though it was only trained to answer after the last, and the label of the "
        f"number that the bits so far are. {right} of these {len(truth)} answers are "
        "right."
    )
    header = ["number", "binary form", "label", "given probability of label 1"]
    svg = write_figure(place.path, figure, "gates_number")
    along = Section("Gates along one number", Table(header, [row], caption), svg)
    record = {
        "seeds": list(run.seeds),
        "updates_to_converge": run.updates_to_converge.tolist(),
        "accuracy": counted.accuracies.tolist(),
        "saturation": measured_shares(counted.shares),
        "number": NUMBER,
        "answers": course.answers.tolist(),
        "labels": truth.tolist(),
    }
    return [distribution, along], record


def text_sections(
    place: Directory, smoke: bool
) -> tuple[list[Section], dict[str, Any]]:
    """Gates of the shipped text model: saturation, and course along a sentence."""
    loaded = load_text_model(SHIPPED)
    shares, courses = text_gates(loaded, smoke)
    layers = {f"layer {n}": of_layer for n, of_layer in enumerate(shares, 1)}
    chosen = [(n, u) for n, c in enumerate(courses) for u in most_varied(c, NUM_UNITS)]
    gates = {
        name: np.array([getattr(courses[n], name)[:, u] for n, u in chosen])  # [U, T]
        for name in courses[0]._fields
    }
    largest = np.abs(gates["cell"]).max(axis=1, keepdims=True)
    gates["cell"] = gates["cell"] / largest
    window = loaded.config["window"]
    groups = {g: {label: of[g] for label, of in layers.items()} for g in GATES}
    figure = gate_plots.plot_text_course(
        gates,
        list(SENTENCE.replace(" ", "␣")),
        [f"{n + 1}: {u}" for n, u in chosen],
        window - 0.5 if window < len(SENTENCE) else None,
        groups,
    )
    reach = {
        name: np.abs(c.cell).max() for name, c in zip(layers, courses, strict=True)
    }
    largest_said = " and ".join(
        f"{value:.1f} in {name}" for name, value in reach.items()
    )
    count, length = WRITTEN_SMOKE if smoke else WRITTEN
    characters = f"{count * length:,} characters"
    caption = (
        f"One network, {len(layers)} layers of {loaded.model.features} units after "
        f"{loaded.step:,} updates. The table and the lower row of the picture, a dot "
        f"for every unit, count {characters}: {count} texts that the model wrote "
        "itself, drawn from its probabilities after a line end, each read from an "
        f"empty state. {BOUNDS_SAID} The maps show a made-up sentence, read from an "
        f"empty state as well. Rows are the {NUM_UNITS} units of each layer whose "
        "cell state has the highest standard deviation along it, with c as a share "
        f"of the row's largest |c|; the largest of all units is {largest_said}. The "
        f"dashed line is after {window} characters: so long were the windows in "
        "training, each read from an empty state."
    )
    svg = write_figure(place.path, figure, "gates_text")
    table = saturation_table({f"{k}, ": v for k, v in layers.items()}, caption)
    record = {
        "updates": loaded.step,
        "sentence": SENTENCE,
        "units": [{"layer": n + 1, "unit": int(u)} for n, u in chosen],
        "largest_cell": {name: float(value) for name, value in reach.items()},
        "saturation": {k: measured_shares(v) for k, v in layers.items()},
    }
    return [Section("Gates of the text model", table, svg)], record


def sections(
    place: Directory, seeds: Sequence[int], smoke: bool
) -> tuple[list[Section], dict[str, Any]]:
    """Sections of the report, and what was measured, for results.json.

    Trains, and writes ``gates``, ``gates_number`` and ``gates_text``, PNG and SVG.
    Raises `CheckpointError` without the shipped text model, `OSError` if a file cannot
    be written.
    """
    on_numbers, measured = number_sections(place, train_baum_sweet(seeds, smoke), smoke)
    on_text, of_text = text_sections(place, smoke)
    return [*on_numbers, *on_text], {"baum_sweet": measured, "text": of_text}
