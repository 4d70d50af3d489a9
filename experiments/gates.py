"""What do the gates of a trained LSTM do?

Time: under a minute on 2 CPU cores; no data are needed.

    python -m experiments.gates
    python -m experiments.gates --num-seeds 16

The LSTM of experiments.lstm_vs_gru learns which binary numbers are of the Baum-Sweet
sequence. How are the values of its gates distributed, how often is a unit saturated, so
that its gate is shut or open, and what do all of them do along one number, at whose
first odd block of zeros the answer is settled? The same of both layers of the shipped
character model: saturation on text that it wrote itself, and the units that change most
along a sentence.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

import seqgraph_jax as sg
from experiments import lstm_vs_gru
from experiments.harness import Report, Study, Trained, experiment
from experiments.harness.cli import RunOptions, TrainOptions, with_values
from experiments.harness.command import UsageError
from experiments.sample import SHIPPED
from seqgraph_jax.training.metrics import percent

SEEDS = (0, 500, 1000, 1500)
NUM_NUMBERS, NUM_NUMBERS_SMOKE = 1024, 64  # whose gates are counted
NUMBERS_KEY = 0x6A7E  # draws them
#: Blocks of zeros of even length, then one of three: the answer is settled there.
NUMBER = 0b10010000110001001001
WRITTEN, WRITTEN_SMOKE = (16, 400), (2, 30)  # texts, and their characters
SENTENCE = "The king said: ‘Dear child, what you have promised you must keep.’"
NUM_UNITS = 4  # of every layer of the text model in the heat maps
BOUNDS_SAID = (
    "Left-saturated: i, f, o below 0.1, g below −0.9; right-saturated: above 0.9 "
    "(Karpathy, Johnson and Li, 2015, count i, f and o so; g's bounds are chosen here, "
    "and stricter: there tanh has 19 % of its steepest slope, a sigmoid at 0.1 and 0.9 "
    "has 36 %)."
)

Found = tuple[list[Any], dict[str, Any]]  # sections, and their record


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    run: RunOptions = field(default_factory=RunOptions)
    saving: TrainOptions = field(default_factory=TrainOptions)


def subjects(smoke: bool) -> tuple[Any, Any]:
    """What is looked at: an LSTM to train, as an arm, and the shipped text model.

    The LSTM is that of the quick preset of experiments.lstm_vs_gru, whose training ends
    once every seed has answered the whole evaluation set ten times in a row.
    """
    config = lstm_vs_gru.PRESETS["quick", "baum-sweet"]
    config = with_values(config, lstm_vs_gru.SMOKE) if smoke else config
    return lstm_vs_gru.build(config, ()).arms["lstm"], sg.load_text_model(SHIPPED)


def build(config: Config, seeds: tuple[int, ...]) -> Study:
    arm, text = subjects(config.run.smoke)
    return Study(
        "Gates of trained LSTMs", partial(report, arm.task, text), {"lstm": arm}
    )


def report(task: Any, text: Any, trained: Trained) -> Report:
    found, record = sections(trained.runs["lstm"], task, text, trained.smoke)
    shown = [replace(s, printed=s.name != "gates_number") for s in found]
    table = sg.reports.summary_table(trained.runs)
    results = sg.Section("Results", table, printed=True)
    said, extra = sentences(record), {"gates": record}
    return Report(trained.runs, said, [results, *shown], extra=extra)


def sentences(record: Mapping[str, Any]) -> list[str]:
    """How often each gate is saturated, and how many answers along a number are right.

    ``record`` is that of `sections`.
    """
    numbers, text = record["baum_sweet"], record["text"]["saturation"]
    places = {"on Baum-Sweet numbers": numbers["saturation"]}
    places |= {f"in {name} of the text model": of for name, of in text.items()}
    said = []
    for place, of_gates in places.items():
        shares = ", ".join(
            f"{gate} {' and '.join(f'{100 * np.mean(of[side]):.1f}' for side in of)}"
            for gate, of in of_gates.items()
        )
        said.append(f"Left- and right-saturated {place}, in % of the values: {shares}.")
    right = (np.array(numbers["answers"]) > 0.5) == np.array(numbers["labels"])
    said.append(
        f"Asked after each bit of {NUMBER:,}, the first seed's network gives "
        f"{right.sum()} right answers of {len(right)}."
    )
    return said


def sections(run: Any, task: Any, text: Any, smoke: bool) -> Found:
    """Sections of a report, and what was measured, for results.json.

    ``run`` has trained an LSTM on Baum-Sweet numbers; ``text`` is a text model.
    """
    counted, of_numbers = on_numbers(run, task, smoke)
    course, along = along_number(run, task)
    on_text, of_text = in_text(text, smoke)
    record = {"baum_sweet": of_numbers | along, "text": of_text}
    return [*counted, *course, *on_text], record


def trained_seeds(run: Any) -> list[int]:
    """Seeds that have not diverged; raises `UsageError` if there are none."""
    if run.diverged.all():
        raise UsageError("every seed diverged: no trained network to look into is left")
    return np.array(run.seeds)[~run.diverged].tolist()


def on_numbers(run: Any, task: Any, smoke: bool) -> Found:
    """Distribution and saturation of the gates, on numbers drawn as in training."""
    import jax

    size = NUM_NUMBERS_SMOKE if smoke else NUM_NUMBERS
    numbers = task.sample(jax.random.key(NUMBERS_KEY), size)
    digits = numbers.inputs != 0  # padding is read by a network, but never counted
    gates, right, seeds = [], [], trained_seeds(run)
    for seed in seeds:
        params = run.params(seed, best=False)
        [layer] = sg.analysis.layer_gates(params, numbers.inputs)
        given = sg.analysis.gates.answers(params, layer.hidden[:, -1]).argmax(-1)
        right.append(float((given == numbers.targets).mean()))
        gates.append(layer)
    found = sg.analysis.count_gates(gates, digits)
    converged = int(np.isfinite(run.updates_to_converge).sum())
    caption = (
        f"An LSTM of {run.model.features} units, {len(seeds)} seeds, of which "
        f"{converged} converged in at most {run.updates[-1]} updates; accuracy on the "
        f"numbers counted here {percent(float(np.mean(right)))}. Shares of the "
        f"values at all {int(digits.sum()):,} digits of {size:,} numbers, drawn as in "
        "training; the padding is read, but not counted. Mean over units and seeds, in "
        f"brackets the range over seeds of the mean over units. {BOUNDS_SAID} The last "
        "two columns count the units of all seeds that are saturated at 90 % or more "
        "of the digits. Picture, above: all values, seeds thin, their mean thick; "
        "below: a dot is one unit of one seed."
    )
    record = {
        "seeds": seeds,
        "updates_to_converge": run.updates_to_converge[~run.diverged].tolist(),
        "accuracy": right,
        "saturation": means(found.saturations),
    }
    table = sg.reports.gates.saturation_table({"": found.saturations}, caption)
    figure = sg.reports.plots.gates.plot_distributions(*found)
    return [sg.Section("Gates on Baum-Sweet numbers", table, figure, "gates")], record


def along_number(run: Any, task: Any) -> Found:
    """The first seed's network along `NUMBER`: all its gates, and its answers."""
    seed, digits = trained_seeds(run)[0], f"{NUMBER:b}"
    params = run.params(seed, best=False)
    tokens = sg.tasks.binary.binary_symbols(np.array(NUMBER), task.length)
    [layer] = sg.analysis.gates.course(params, tokens)
    gates = {k: v[-len(digits) :] for k, v in layer._asdict().items()}  # no padding
    given = np.asarray(sg.analysis.gates.answers(params, gates["hidden"]))[:, 1]
    labels = labels_of(digits)
    order = np.argsort(-gates["f"].mean(0), kind="stable")
    in_order = {name: values[:, order].T for name, values in gates.items()}
    figure = sg.reports.plots.gates.plot_course(
        in_order, digits, given, labels, settled(digits) - 0.5
    )
    right = int(((given > 0.5) == labels).sum())
    caption = (
        f"The network of seed {seed}, the first. A row is a unit, the same "
        "one in all five maps: at the top the one whose forget gate is on average "
        "the most open along this number. Columns are its bits; the padding that is "
        "read before them is left out. At the dashed line a 1 ends the first block "
        "of zeros of odd length: whatever follows, the label is 0 from there on. "
        "Lower right: the probability that the network would give after every bit, "
        "though it was only trained to answer after the last, and the label of the "
        f"number that the bits so far are. {right} of these {len(labels)} answers are "
        "right."
    )
    header = ["number", "binary form", "label", "given probability of label 1"]
    row = [f"{NUMBER:,}", digits, str(labels[-1]), f"{given[-1]:.3f}"]
    table = sg.Table(header, [row], caption)
    record = {"number": NUMBER, "answers": given.tolist(), "labels": labels.tolist()}
    section = sg.Section("Gates along one number", table, figure, "gates_number")
    return [section], record


def labels_of(digits: str) -> np.ndarray:
    """Baum-Sweet labels of the numbers that the first 1, 2, ... digits are."""
    firsts = [int(digits[:t], 2) for t in range(1, len(digits) + 1)]
    return np.array([sg.tasks.baum_sweet(first) for first in firsts])


def settled(digits: str) -> int:
    """Position of the 1 after the first odd block of zeros."""
    odd = next(m for m in re.finditer("0+(?=1)", digits) if len(m[0]) % 2)
    return odd.end()


def in_text(text: Any, smoke: bool) -> Found:
    """Gates of the first seed's network, in every layer, the lowest first.

    Saturation while it reads what it wrote itself, drawn from its probabilities after
    a line end; and the units that change most along `SENTENCE`.
    """
    import jax

    params, vocabulary = sg.analysis.layers.rows_of(text.params, 0), text.vocabulary
    count, length = WRITTEN_SMOKE if smoke else WRITTEN
    prompt, key = np.tile(vocabulary.encode("\n"), (count, 1)), jax.random.key(0)
    texts = sg.generate(text.model, params, key, prompt, length, len(vocabulary))
    layers = {
        f"layer {n}": sg.analysis.count_gates([layer]).saturations
        for n, layer in enumerate(sg.analysis.layer_gates(params, texts), 1)
    }
    courses = sg.analysis.gates.course(params, vocabulary.encode(SENTENCE))
    varied = sg.analysis.gates.most_varied
    chosen = [(n, u) for n, c in enumerate(courses) for u in varied(c, NUM_UNITS)]
    gates = {
        name: np.array([getattr(courses[n], name)[:, u] for n, u in chosen])  # [U, T]
        for name in courses[0]._fields
    }
    gates["cell"] = gates["cell"] / np.abs(gates["cell"]).max(axis=1, keepdims=True)
    window = text.config["window"]
    figure = sg.reports.plots.gates.plot_text_course(
        gates,
        list(SENTENCE.replace(" ", "␣")),
        [f"{n + 1}: {u}" for n, u in chosen],
        window - 0.5 if window < len(SENTENCE) else None,
        {g: {k: of[g] for k, of in layers.items()} for g in sg.analysis.gates.GATES},
    )
    reached = (float(np.abs(course.cell).max()) for course in courses)
    reach = dict(zip(layers, reached, strict=True))
    largest = " and ".join(f"{value:.1f} in {name}" for name, value in reach.items())
    caption = (
        f"One network, {len(layers)} layers of {text.model.features} units after "
        f"{text.step:,} updates. The table and the lower row of the picture, a dot "
        f"for every unit, count {count * length:,} characters: {count} texts that the "
        "model wrote itself, drawn from its probabilities after a line end, each read "
        f"from an empty state. {BOUNDS_SAID} The maps show a made-up sentence, read "
        f"from an empty state as well. Rows are the {NUM_UNITS} units of each layer "
        "whose cell state has the highest standard deviation along it, with c as a "
        f"share of the row's largest |c|; the largest of all units is {largest}. The "
        f"dashed line is after {window} characters: so long were the windows in "
        "training, each read from an empty state."
    )
    table = sg.reports.gates.saturation_table(
        {f"{k}, ": v for k, v in layers.items()}, caption
    )
    record = {
        "updates": text.step,
        "sentence": SENTENCE,
        "units": [{"layer": n + 1, "unit": int(u)} for n, u in chosen],
        "largest_cell": reach,
        "saturation": {name: means(of_layer) for name, of_layer in layers.items()},
    }
    return [sg.Section("Gates of the text model", table, figure, "gates_text")], record


def means(shares: Mapping[str, Any]) -> dict[str, Any]:
    """Means over units, ``[S]``, for results.json."""
    return {
        gate: {side: getattr(of, side).mean(1).tolist() for side in ("left", "right")}
        for gate, of in shares.items()
    }


main = experiment(
    "gates", Config(), build, doc=__doc__, seeds=lambda config: SEEDS, smoke={}
)

if __name__ == "__main__":
    sys.exit(main())
