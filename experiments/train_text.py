"""How well does a character model know a book, and what does it write while it learns?

Time: 15 minutes a seed on 2 CPU cores, two minutes for eight seeds on an H100, with the
reference's settings.

    python -m experiments.train_text
    python -m experiments.train_text --num-seeds 8 --out checkpoints/my-grimm
    python -m experiments.train_text --corpus pydoc --cell gru --updates 1000

Trains an embedding, recurrent layers and a linear layer to predict every next character
of Grimms' Fairy Tales, or of any text file, which may be larger than the memory. The
last 5 % of the tales are held out (of a file without Project Gutenberg's marks, the
last 5 % of all; 131,072 characters at most); the rest is trained on.
The report shows training accuracy, held-out bits per character, and what the first
seed's network writes: greedily after 100 to 9000 updates, at several lengths and taus.
The run directory can be given to experiments.sample as --checkpoint.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

import seqgraph_jax as sg
from experiments.harness import Report, Study, Trained, experiment
from experiments.harness.cli import RunOptions, TrainOptions
from seqgraph_jax.training.ranges import Count, Share

REFERENCE = sg.TrainConfig(
    updates=9000,
    eval_every=100,
    batch_size=64,
    eval_size=64,
    learning_rate=2e-3,
    early_stop=False,
)
SMOKE = {"corpus": "pydoc", "hidden": 8, "embedding": 8, "window": 8}
SMOKE |= {"train.updates": 20, "train.eval_every": 10}
SMOKE |= {"train.batch_size": 4, "train.eval_size": 4}
#: What the table shows, by the names of the metrics.
SHOWN = ("train_accuracy", "train_bits_per_char", "accuracy", "bits_per_char")
PROMPT = "Sleeping beauty is "


@dataclass(frozen=True)
class Config:
    """Flags of this experiment; the defaults are the reference's settings."""

    corpus: str = "grimm"  # grimm, pydoc (English text that Python brings), or a file
    encoding: str = "utf-8"  # of the file; utf-8 reads a byte-order mark as a character
    strip_bom: bool = False  # take a byte-order mark away
    strip_gutenberg: bool = False  # take Project Gutenberg's header and footer away
    holdout: Share = 0.05  # share of the text, its end, that is not trained on
    holdout_of: Literal["book", "file"] = "book"  # between Project Gutenberg's marks
    tokens: Literal["auto", "device", "host"] = "auto"  # where the text's tokens lie
    window: Count = 30  # characters in a training sequence
    stateful: bool = False  # windows in order, the hidden state carried across them
    cell: str = "lstm"  # any cell, in one direction
    hidden: Count = 256  # hidden units of a layer
    embedding: Count = 64  # features of the characters' embedding
    layers: Count = 2  # recurrent layers
    dropout: Share = 0.0  # share of outputs dropped between layers
    tie_weights: bool = False  # output weights are those of the embedding
    forget_bias: float = 1.0  # what the forget gates' biases start with
    train: sg.TrainConfig = field(default=REFERENCE)
    run: RunOptions = field(default_factory=RunOptions)
    saving: TrainOptions = field(
        default_factory=lambda: TrainOptions(checkpoint_every=60.0)
    )


def corpus_of(config: Any) -> str:
    """The text that ``--corpus`` names, as a whole; raises `ValueError`."""
    path, free = Path(config.corpus), sg.training.memory.free_in_machine()
    if path.is_file() and 4 * path.stat().st_size > free:
        raise ValueError(
            f"{path} is too large to be held as a whole, which this experiment does: "
            f"it has {path.stat().st_size / 1e9:.1f} GB, and {free / 1e9:.1f} GB of "
            "memory are free; --corpus takes a part of it"
        )
    return "".join(pieces_of(config)())


def pieces_of(config: Any) -> Any:
    """What reads that text, piece by piece."""
    names = ("encoding", "strip_bom", "strip_gutenberg")
    flags = (getattr(config, name) for name in names)
    return partial(sg.text.corpus_pieces, config.corpus, *flags)


def build(config: Config, seeds: tuple[int, ...]) -> Study:
    if config.tie_weights and config.hidden != config.embedding:
        raise ValueError(
            f"--tie-weights needs --embedding as wide as --hidden ({config.hidden}), "
            f"not {config.embedding}"
        )
    pieces = pieces_of(config)
    corpus = sg.text.scan(pieces())
    vocabulary = corpus.vocabulary
    place = sg.text.choose_place(config.tokens, corpus.num_bytes)
    task = sg.text.corpus_task(
        corpus,
        pieces,
        config.window,
        config.holdout,
        config.stateful,
        config.holdout_of,
        place,
    )
    model = sg.text.char_lm(asdict(config), len(vocabulary))
    model.initial_carry(1)  # refuses a cell of both directions
    return Study(
        f"A character model of {Path(config.corpus).name}",
        partial(report, config, task),
        {config.cell: sg.Arm(model, task, config.train)},
        settings={
            "corpus_sha256": corpus.sha256,
            "tokens": place,
            "vocabulary_size": len(vocabulary),
            "vocabulary_sha256": vocabulary.sha256,
        },
        start=lambda directory: vocabulary.save(directory / "vocabulary.json"),
        status=partial(status, config.train.batch_size * config.window),
        line=partial(line, vocabulary),
        keep_steps=sg.text.KEEP_STEPS,
    )


def status(characters: int, run: Any) -> str:
    """Means over seeds, and characters of all seeds a second, ``characters`` an update.

    Loss (nats) and accuracy are those of training, bits of the evaluation text; seeds
    that diverged are left out.
    """
    rate = run.updates[-1] * len(run.seeds) * characters / max(run.train_s, 1e-9)
    loss, accuracy, bits = (
        np.mean(run.values(name)[~run.diverged]) if not run.diverged.all() else np.nan
        for name in ("train_loss", "train_accuracy", "bits_per_char")
    )
    return (
        f"loss {loss:.3f}, accuracy {accuracy:.1%}, {bits:.3f} bits/char, "
        f"{rate:,.0f} char/s"
    )


def line(vocabulary: Any, run: Any) -> str:
    """A line that the first seed's network writes at this evaluation, tau = 2."""
    params = run.params(run.seeds[0], best=False)
    written = sg.text.writing.write_line(run.model, params, vocabulary, 60, 2.0)
    return f"{run.updates[-1]:>6,}  {written!r}"


def where_held_out(config: Config, task: Any) -> str:
    """Where the held-out text stands, for the table's caption."""
    if not config.holdout:
        return ""
    text = task.text if isinstance(task, sg.text.FollowingText) else task
    whole = "the book" if config.holdout_of == "book" else "the file"
    return f", the last {len(text.held_out):,} characters of {whole}"


def report(config: Config, task: Any, trained: Trained) -> Report:
    run = trained.runs[config.cell]
    held_out = "held-out text" if config.holdout else "training text"
    shown = [run.record(name) for name in SHOWN]
    reported = 0.64 if config.corpus == "grimm" else None
    curves = sg.reports.plots.texts.plot_text(run, held_out, reported)
    caption = (
        f"After {run.updates[-1]:,} updates; training values are means over the "
        f"batches of the last {run.config.eval_every} of them, the others those of the "
        f"{held_out}{where_held_out(config, task)}."
    )
    table = sg.reports.summary_table(trained.runs, shown, caption=caption)
    return Report(
        arms=trained.runs,
        verdicts=sentences(run, held_out),
        sections=[
            sg.Section("Results", table, printed=True),
            sg.Section("Curves", figure=curves, name="curves"),
            *samples(trained.directory, config.cell),
            sg.Section(
                "Every seed", sg.reports.seed_table(trained.runs, run.seeds, shown)
            ),
        ],
        closing=[
            f"Samples: python -m experiments.sample --checkpoint {trained.directory}"
        ],
    )


def sentences(run: Any, held_out: str) -> list[str]:
    """What was reached, and what the held-out text says of overfitting."""
    if run.diverged.all():
        return ["No seed trained to its end: all of them diverged."]
    accuracy, bits = (
        run.values(name)[~run.diverged] for name in ("train_accuracy", "bits_per_char")
    )
    found = [
        f"Training accuracy is {accuracy.mean():.1%} and the {held_out} takes "
        f"{bits.mean():.3f} bits per character, on average over {len(bits)} "
        f"seed{'s' if len(bits) > 1 else ''}."
    ]
    curves = run.metrics["bits_per_char"][~run.diverged]
    had_by_all = np.isfinite(curves).all(axis=0)  # until the first seed has stopped
    curve, updates = curves[:, had_by_all].mean(axis=0), run.updates[had_by_all]
    best = int(np.argmin(curve))
    if best < len(curve) - 1:
        found.append(
            f"The {held_out} was predicted best after {updates[best]:,} updates "
            f"({curve[best]:.3f} bits per character, mean over seeds)."
        )
    return found


def samples(directory: Path, cell: str) -> list[Any]:
    """What the first seed's network writes, as the reference tabulates it."""
    steps = sg.text.kept_steps(directory, cell)
    models = {step: sg.load_text_model(directory, step).first for step in steps}
    last = models[steps[-1]]

    def table(header: Sequence[str], written: dict[str, list[str]]) -> Any:
        rows = [
            [label if i == 0 else "", repr(text)]
            for label, texts in written.items()
            for i, text in enumerate(texts)
        ]
        return sg.Table(header, rows, prose=True)

    greedy = float("inf")
    by_step = {f"{k:,}": written(m, 30, greedy) for k, m in models.items()}
    by_length = {f"{n}": written(last, n, greedy, 2) for n in (10, 30, 100, 200)}
    by_tau = {f"{t:g} (T = {1 / t:g})": written(last, 60, t) for t in (0.5, 1.0, 2.0)}
    tables = {
        "Greedy sentences during training": table(
            ["updates", "five sentences of 30 characters"], by_step
        ),
        "Greedy sentences by length": table(["characters", "text"], by_length),
        "Temperatures": table(["tau", "five texts"], by_tau),
    }
    if set(PROMPT) <= set(last.vocabulary.characters):
        taus = (1.0, 2.0, greedy)
        begun = {f"{tau:g}": written(last, 60, tau, 2, PROMPT) for tau in taus}
        tables["A given beginning"] = table(["tau", "text"], begun)
    return [sg.Section(heading, found) for heading, found in tables.items()]


def written(
    model: Any, length: int, tau: float, num: int = 5, prompt: str = ""
) -> list[str]:
    """So many texts of one network, all with seed 0."""
    tokens = model.vocabulary.encode(prompt)
    return sg.text.writing.texts(model, tokens, length, num, 0, tau)[0]


main = experiment(
    "train_text",
    Config(),
    build,
    doc=__doc__,
    seeds=lambda config: (0,),
    smoke=SMOKE,
)

if __name__ == "__main__":
    sys.exit(main())
