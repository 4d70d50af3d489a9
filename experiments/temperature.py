"""What do temperature and training change in the text that a character model writes?

Time: two minutes on 2 CPU cores for a model of three seeds; nothing is trained.

    python -m experiments.temperature
    python -m experiments.temperature --checkpoint checkpoints/my-grimm

Measures the networks of a run of experiments.train_text, every seed on its own: against
tau, which multiplies the scores, at the last checkpoint, and against the number of
updates at every checkpoint that was kept. Entropy and likelihood are those of held-out
text; the rest is measured on text that the networks write. The shipped model has one
seed: intervals and verdicts need a run of several.
"""

import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from experiments.cli import (
    START,
    UsageError,
    command_line,
    parse,
    run_main,
    set_up_jax,
)

MODULE = "experiments.temperature"
SHIPPED = Path(__file__).resolve().parents[1] / "checkpoints" / "grimm"

#: Axis labels of what is measured, in the order of the panels.
ENTROPY = "entropy (bits per character)"
HELD_OUT = "held-out text (bits per character)"
WORDS = "words found in the corpus (%)"
DISTINCT = "distinct 4-grams (%)"
COPY = "longest copy from the corpus (characters)"
LOOPS = "greedy texts that end in a loop (%)"
PERIOD = "length of that loop (characters)"


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    checkpoint: Path = SHIPPED  # run directory of experiments.train_text
    corpus: str = ""  # other text than the model's own: grimm, pydoc or a file
    taus: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)  # scores times
    num: int = 20  # texts per tau and seed
    length: int = 300  # characters of a text
    seed: int = 0  # seed of the draws
    out: Path | None = None  # run directory (default: a new one in checkpoints/)
    smoke: bool = False  # few and short texts
    compilation_cache: bool = True  # keep compiled programs in the user's cache


def configure(argv: Sequence[str]) -> Config:
    """The configuration for a command line; raises `UsageError`."""
    default = Config()
    if "--smoke" in argv:
        default = Config(corpus="pydoc", taus=(0.5, 1.0, 2.0), num=2, length=20)
    config = parse(default, argv, f"python -m {MODULE}", __doc__ or "")
    for name in ("num", "length"):
        if getattr(config, name) < 1:
            raise UsageError(f"--{name} must be 1 or more, not {getattr(config, name)}")
    if len(set(config.taus)) < 2 or not all(0 < tau < np.inf for tau in config.taus):
        raise UsageError("--taus takes two or more different numbers above 0")
    return config


def read_corpus(config: Config, loaded: Any) -> str:
    """The text to measure against; raises `UsageError` if it is not the model's."""
    from experiments import train_text

    names = {field.name for field in fields(train_text.Config)} - {"train", "run"}
    settings = {name: loaded.config[name] for name in names}
    if config.corpus:
        settings["corpus"] = config.corpus
    text = train_text.read_corpus(train_text.Config(**settings))
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    if not config.corpus and sha256 != loaded.config["corpus_sha256"]:
        raise UsageError(
            f"the text {settings['corpus']} is not the one that the model was trained "
            "on (its SHA-256 differs); --corpus takes any text"
        )
    known = set(loaded.vocabulary.characters)
    text = "".join(character for character in text if character in known)
    return text[:20_000] if config.smoke else text


def main(argv: Sequence[str]) -> None:
    """Run the experiment."""
    config = configure(argv)
    set_up_jax(config.compilation_cache)

    from experiments import directory, measuring, writing
    from seqgraph_jax.text.models import load_text_model
    from seqgraph_jax.training import checkpoints
    from seqgraph_jax.training.loop import num_params

    try:
        loaded = load_text_model(config.checkpoint)
        arm = Path(config.checkpoint) / "state" / loaded.config["cell"]
        steps = writing.steps_to_show(arm)
        models = {step: load_text_model(config.checkpoint, step) for step in steps}
    except checkpoints.CheckpointError as error:
        raise UsageError(str(error)) from error
    corpus = read_corpus(config, loaded)
    settings = {
        **{k: v for k, v in asdict(config).items() if k not in ("out", "checkpoint")},
        "checkpoint": str(config.checkpoint),
        "model": dict(loaded.config),
        "seeds": loaded.seeds,
    }
    place = directory.open_directory("temperature", config.out, False, settings)
    setup_s = time.perf_counter() - START
    by_tau, by_step = measuring.measure(config, models, corpus)
    size = num_params(loaded.params) // len(loaded.seeds)
    _finish(by_tau, by_step, place, loaded.seeds, size, argv, setup_s)


def _verdicts(
    by_tau: Mapping[float, Mapping[str, np.ndarray]],
    by_step: Mapping[int, Mapping[str, np.ndarray]],
) -> tuple[list[str], list[Any]]:
    """A sentence for each of the reference's claims, and the comparisons behind them.

    Values are ``[S]`` by label.
    """
    from seqgraph_jax.reports import statistics

    first, last = min(by_step), max(by_step)
    careful, plain = max(by_tau, key=lambda t: (t == 2, t)), 1.0
    plain = plain if plain in by_tau else min(by_tau)
    loops = statistics.summarize(by_step[last][LOOPS])
    interval = ""
    if loops.n > 1:
        low, high = loops.ci95
        interval = f" (95 % interval {low:.0f} to {high:.0f} %, {loops.n} seeds)"
    verdicts = [
        f"Greedy text repeats: after {last:,} updates {loops.mean:.0f} % of the greedy "
        f"texts, one for every first character, end in a loop{interval}."
    ]
    pairs: list[Any] = []
    questions = [
        (PERIOD, by_step, first, last, "updates", "Longer training, longer loops?"),
        (ENTROPY, by_tau, careful, plain, "tau", "Is the higher tau more careful?"),
        (WORDS, by_tau, careful, plain, "tau", "And right more often?"),
    ]
    for label, values, a, b, unit, question in questions:
        if a == b:
            continue
        arms = {f"{unit} {value:,g}": values[value][label] for value in (a, b)}
        if len(next(iter(arms.values()))) < 2:
            means = [
                f"{name}: {np.nanmean(v) if np.isfinite(v).any() else np.nan:.4g}"
                for name, v in arms.items()
            ]
            verdicts.append(
                f"{question} {label}: {', '.join(means)}; one seed cannot say more."
            )
            continue
        compared = statistics.compare(
            arms, label, words=("has less than", "has more than"), missing_as=0.0
        )
        pairs += compared
        verdicts += [f"{question} {label}: {pair.verdict}" for pair in compared]
    return verdicts, pairs


def _table(by: Mapping[Any, Mapping[str, np.ndarray]], unit: str) -> Any:
    from seqgraph_jax.reports import statistics
    from seqgraph_jax.reports.pages import Table

    labels = list(next(iter(by.values())))
    rows = []
    for value, measured in by.items():
        row = [f"{value:,g}"]
        for label in labels:
            s = statistics.summarize(measured[label])
            low, high = s.ci95
            spread = f" ({low:.3g} to {high:.3g})" if s.n > 1 else ""
            row.append(f"{s.mean:.3g}{spread}" if s.n else "none")
        rows.append(row)
    caption = (
        "Means over seeds, with 95 % bootstrap (BCa) intervals of the mean. A greedy "
        "text ends in a loop if its end is one piece three times or more; a loop that "
        "is longer than a third of the text is not seen."
    )
    return Table([unit, *labels], rows, caption)


def _finish(
    by_tau: Mapping[float, Mapping[str, np.ndarray]],
    by_step: Mapping[int, Mapping[str, np.ndarray]],
    place: Any,
    seeds: Sequence[int],
    num_params: int,
    argv: Sequence[str],
    setup_s: float,
) -> None:
    """Write the report, and print its sentences; raises `UsageError`."""
    from seqgraph_jax.reports import pages as reporting
    from seqgraph_jax.reports import results, statistics
    from seqgraph_jax.reports.pages import Section
    from seqgraph_jax.reports.plots import curves as plots

    verdicts, pairs = _verdicts(by_tau, by_step)
    arms = {
        name: {
            "num_params": num_params,
            "metrics": {
                label: asdict(statistics.summarize(values))
                for label, values in measured.items()
            },
        }
        for name, measured in (
            *((f"tau {tau:g}", measured) for tau, measured in by_tau.items()),
            *((f"updates {step}", measured) for step, measured in by_step.items()),
        )
    }
    record = {
        "schema": 1,
        "experiment": "temperature",
        "config": place.settings,
        "seeds": list(seeds),
        "environment": results.environment(1, len(seeds)),
        "arms": arms,
        "comparisons": [asdict(pair) for pair in pairs],
        "timing": {"setup_s": setup_s, "total_s": time.perf_counter() - START},
    }
    sections = []
    try:
        for name, by, unit, marks in (
            ("temperature", by_tau, "tau, which multiplies the scores", (1.0,)),
            ("training", by_step, "updates", ()),
        ):
            panels = {
                label: np.stack([measured[label] for measured in by.values()], axis=1)
                for label in next(iter(by.values()))
            }
            figure = plots.plot_sweep(panels, np.array(list(by), float), unit, marks)
            svg = reporting.write_figure(place.path, figure, name)
            sections.append(Section(f"Against {name}", _table(by, unit), svg))
        html = reporting.page(
            title="Temperature and training of a character model",
            question=(__doc__ or "").partition("\n")[0],
            verdicts=verdicts,
            sections=sections,
            record=record,
            command=command_line(MODULE, argv),
        )
        results.write_text(place.path / "report.html", html)
        results.write_json(place.path / "results.json", record)
    except OSError as error:
        raise UsageError(
            f"cannot write to {place.path}: {error.strerror or error}"
        ) from error
    for verdict in verdicts:
        print(verdict)
    print(f"Report: {place.path / 'report.html'}")


if __name__ == "__main__":
    sys.exit(run_main(main, MODULE, None))
