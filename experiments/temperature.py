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

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import seqgraph_jax as sg
from experiments import train_text
from experiments.harness import Report, Study, Trained, experiment
from experiments.harness.cli import RunOptions
from experiments.sample import SHIPPED
from seqgraph_jax.training.metrics import Metric
from seqgraph_jax.training.ranges import Count, Positive

LONGER = "Longer training, longer loops?"
CAREFUL = "Is the higher tau more careful?"
RIGHT = "And right more often?"
Measurements = Mapping[float, Any]  # values ``[S]`` by metric, by tau or updates


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    checkpoint: Path = SHIPPED  # run directory of experiments.train_text
    corpus: str = ""  # other text than the model's own: grimm, pydoc or a file
    taus: tuple[Positive, ...] = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)  # scores x
    num: Count = 20  # texts per tau and seed
    length: Count = 300  # characters of a text
    seed: int = 0  # seed of the draws
    run: RunOptions = field(default_factory=RunOptions)


def read_corpus(config: Config, loaded: Any) -> str:
    """The text to measure against; raises `ValueError` if it is not the model's."""
    names = {f.name for f in fields(train_text.Config)} & set(loaded.config)
    names -= {"train", "run", "saving"}
    settings = {name: loaded.config[name] for name in names}
    if config.corpus:
        settings["corpus"] = config.corpus
    text = train_text.corpus_of(train_text.Config(**settings))
    sha256 = sg.text.sha256_of(text)
    if not config.corpus and sha256 != loaded.config["corpus_sha256"]:
        raise ValueError(
            f"the text {settings['corpus']} is not the one that the model was trained "
            "on (its SHA-256 differs); --corpus takes any text"
        )
    known = set(loaded.vocabulary.characters)
    text = "".join(character for character in text if character in known)
    return text[:20_000] if config.run.smoke else text


def build(config: Config, seeds: tuple[int, ...]) -> Study:
    if len(set(config.taus)) < 2 or np.inf in config.taus:
        raise ValueError("--taus takes two or more different numbers above 0")
    loaded = sg.load_text_model(config.checkpoint)
    steps = sg.text.kept_steps(config.checkpoint, loaded.config["cell"])
    models = {step: sg.load_text_model(config.checkpoint, step) for step in steps}
    corpus = read_corpus(config, loaded)
    text = text_to_predict(config, loaded, corpus)
    return Study(
        "Temperature and training of a character model",
        partial(report, config, models, corpus, text),
        settings={
            "checkpoint": str(config.checkpoint),
            "model": dict(loaded.config),
            "seeds": loaded.seeds,
        },
        seeds=loaded.seeds,
    )


def text_to_predict(config: Config, loaded: Any, corpus: str) -> tuple[Any, Metric]:
    """What was held out, as a batch, and what it is called.

    Of a model that was trained on its whole text, and of another text, the end.
    """
    share, evaluation = loaded.config["holdout"], sg.text.evaluation
    task = sg.text.text_task(
        loaded.vocabulary,
        corpus,
        loaded.config["window"],
        share or 0.05,
        holdout_of=loaded.holdout_of,
    )
    unseen = share or config.corpus
    name = evaluation.HELD_OUT if unseen else evaluation.TRAINED_ON
    return task.evaluation(None, 64), name


def measure(
    config: Config, models: Mapping[int, Any], corpus: str, text: tuple[Any, Metric]
) -> tuple[Measurements, Measurements]:
    """Measurements by tau, at the last checkpoint, and by updates."""
    last, (batch, name), evaluation = models[max(models)], text, sg.text.evaluation
    known = set(sg.text.measures.words(corpus))
    nothing = np.zeros(0, np.int32)
    greedy = max(config.length, 20) + 100 * (not config.run.smoke)
    by_tau, by_step = {}, {}
    for tau in sg.training.track(config.taus, "by temperature"):
        written = sg.text.writing.texts(
            last, nothing, config.length, config.num, config.seed, tau
        )
        by_tau[tau] = evaluation.on_text(last, batch, tau, name)
        by_tau[tau] |= evaluation.written_values(written, corpus, known)
    for step, model in sg.training.track(models.items(), "by updates"):
        by_step[step] = evaluation.on_text(model, batch, bits=name)
        by_step[step] |= evaluation.greedy_values(
            model, greedy, config.num, corpus, known
        )
    return by_tau, by_step


def report(
    config: Config,
    models: Mapping[int, Any],
    corpus: str,
    text: tuple[Any, Metric],
    trained: Trained,
) -> Report:
    by_tau, by_step = measure(config, models, corpus, text)
    verdicts, comparisons = judge(by_tau, by_step)
    last = models[max(models)]
    size = sg.num_params(last.params) // len(last.seeds)
    arms = {f"tau {tau:g}": sg.Measured(v, size) for tau, v in by_tau.items()}
    arms |= {f"updates {step}": sg.Measured(v, size) for step, v in by_step.items()}
    sections = []
    for name, by, unit, marks in (
        ("temperature", by_tau, "tau, which multiplies the scores", (1.0,)),
        ("training", by_step, "updates", ()),
    ):
        metrics = list(next(iter(by.values())))
        panels = {
            m.axis: np.stack([found[m] for found in by.values()], axis=1)
            for m in metrics
        }
        figure = sg.reports.plots.curves.plot_sweep(
            panels, np.array(list(by), float), unit, marks
        )
        section = sg.Section(f"Against {name}", table(by, unit), figure, name)
        sections.append(section)
    return Report(arms, verdicts, sections, comparisons)


def judge(by_tau: Measurements, by_step: Measurements) -> tuple[list[str], list[Any]]:
    """A sentence for each of the reference's claims, and its comparison."""
    metrics, statistics = sg.text.evaluation, sg.statistics
    first, last = min(by_step), max(by_step)
    careful, plain = max(by_tau, key=lambda t: (t == 2, t)), 1.0
    plain = plain if plain in by_tau else min(by_tau)
    loops = by_step[last][metrics.LOOPS]
    verdicts = [
        f"Greedy text repeats: after {last:,} updates this share of the greedy texts, "
        "one for every first character, ends in a loop (%): "
        f"{statistics.mean_interval(loops, 3, metrics.LOOPS.bounds)}."
    ]
    found = []
    for metric, by, a, b, unit, question in (
        (metrics.PERIOD, by_step, first, last, "updates", LONGER),
        (metrics.ENTROPY, by_tau, careful, plain, "tau", CAREFUL),
        (metrics.WORDS, by_tau, careful, plain, "tau", RIGHT),
    ):
        if a == b:
            continue
        arms = {f"{unit} {value:,g}": by[value][metric] for value in (a, b)}
        if len(by[a][metric]) < 2:
            means = [
                f"{k}: {statistics.mean_interval(v, 4, metric.bounds)}"
                for k, v in arms.items()
            ]
            said = f"{', '.join(means)}; one seed cannot say more."
            verdicts.append(f"{question} {metric.name}: {said}")
            continue
        worded = replace(metric, words=("has less than", "has more than"))
        pairs = sg.reports.paired.compare(arms, worded, missing_as=0.0)
        found.append(sg.reports.Comparisons(worded, {}, pairs))
        verdicts += [f"{question} {metric.name}: {pair.verdict}" for pair in pairs]
    return verdicts, found


def table(by: Measurements, unit: str) -> Any:
    """A row per tau or number of updates, a column per metric."""
    metrics = list(next(iter(by.values())))
    rows = [
        [
            f"{value:,g}",
            *(sg.statistics.mean_interval(found[m], 3, m.bounds) for m in metrics),
        ]
        for value, found in by.items()
    ]
    caption = (
        "Means over seeds, in brackets their 95 % intervals. "
        f"{sg.statistics.interval_caption()} A greedy text ends in a loop if its end "
        "is one piece three times or more; a loop that is longer than a third of the "
        "text is not seen."
    )
    return sg.Table([unit, *(m.axis for m in metrics)], rows, caption)


main = experiment(
    "temperature",
    Config(),
    build,
    doc=__doc__,
    seeds=lambda config: (0,),
    smoke={"corpus": "pydoc", "taus": (0.5, 1.0, 2.0), "num": 2, "length": 20},
)

if __name__ == "__main__":
    sys.exit(main())
