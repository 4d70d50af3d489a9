"""How well does a character model know a book, and what does it write while it learns?

Time: 15 minutes a seed on 2 CPU cores, with the reference's settings.

    python -m experiments.train_text
    python -m experiments.train_text --num-seeds 3 --out checkpoints/my-grimm
    python -m experiments.train_text --corpus pydoc --cell gru --updates 1000

Trains an embedding, recurrent layers and a linear layer to predict every next character
of Grimms' Fairy Tales, or of any text file. The last 5 % of the text is held out. The
report shows training accuracy, held-out bits per character, and what the first seed's
network writes: greedily after 100 to 9000 updates, at several lengths and temperatures.
The run directory can be given to experiments.sample as --checkpoint.
"""

import hashlib
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from experiments.cli import (
    START,
    RunOptions,
    UsageError,
    choose_seeds,
    choose_width,
    command_line,
    parse,
    run_main,
    set_up_jax,
)
from seqgraph_jax.training.loop import TrainConfig

MODULE = "experiments.train_text"

REFERENCE = TrainConfig(
    updates=9000,
    eval_every=100,
    batch_size=64,
    eval_size=64,
    learning_rate=2e-3,
    early_stop=False,
)
SMOKE = replace(REFERENCE, updates=20, eval_every=10, batch_size=4, eval_size=4)


@dataclass(frozen=True)
class Config:
    """Flags of this experiment; the defaults are the reference's settings."""

    corpus: str = "grimm"  # grimm, pydoc (English text that Python brings), or a file
    encoding: str = "utf-8"  # of the file; utf-8 reads a byte-order mark as a character
    strip_bom: bool = False  # take a byte-order mark away
    strip_gutenberg: bool = False  # take Project Gutenberg's header and footer away
    holdout: float = 0.05  # share of the text, its end, that is not trained on
    window: int = 30  # characters in a training sequence
    stateful: bool = False  # windows in order, the hidden state carried across them
    cell: str = "lstm"  # any cell, in one direction
    hidden: int = 256  # hidden units of a layer
    embedding: int = 64  # features of the characters' embedding
    layers: int = 2  # recurrent layers
    dropout: float = 0.0  # share of outputs dropped between layers
    tie_weights: bool = False  # output weights are those of the embedding
    forget_bias: float = 1.0  # what the forget gates' biases start with
    train: TrainConfig = field(default=REFERENCE)
    run: RunOptions = field(default_factory=lambda: RunOptions(checkpoint_every=60.0))


def configure(argv: Sequence[str]) -> Config:
    """The configuration for a command line; raises `UsageError`."""
    default = Config()
    if "--smoke" in argv:
        default = Config(corpus="pydoc", hidden=8, embedding=8, window=8, train=SMOKE)
    config = parse(default, argv, f"python -m {MODULE}", __doc__ or "")
    for name in ("hidden", "embedding", "layers", "window"):
        if getattr(config, name) < 1:
            raise UsageError(f"--{name} must be 1 or more, not {getattr(config, name)}")
    if not 0 <= config.dropout < 1:
        raise UsageError(f"--dropout must be 0 to below 1, not {config.dropout}")
    if config.tie_weights and config.hidden != config.embedding:
        raise UsageError(
            f"--tie-weights needs --embedding as wide as --hidden ({config.hidden}), "
            f"not {config.embedding}"
        )
    return config


def read_corpus(config: Config) -> str:
    """The text that ``--corpus`` names; raises `UsageError`."""
    from seqgraph_jax.data import datasets
    from seqgraph_jax.text import corpus as text

    try:
        if config.corpus == "pydoc":
            from pydoc_data.topics import topics

            return "\n\n".join(topics[name] for name in sorted(topics))
        path = Path(config.corpus)
        if config.corpus == "grimm" and not path.exists():
            path = datasets.find("grimm")
        return text.read_text(
            path, config.encoding, config.strip_bom, config.strip_gutenberg
        )
    except datasets.DataError as error:
        raise UsageError(
            f"{error}; or pass --corpus pydoc, which needs no network, or --corpus "
            "with a text file"
        ) from error
    except text.TextError as error:
        raise UsageError(str(error)) from error


def build(config: Config, corpus: str) -> tuple[Any, Any, Any]:
    """Vocabulary, task and model; raises `UsageError`."""
    from seqgraph_jax.text import corpus as text
    from seqgraph_jax.text import models as text_models

    try:
        vocabulary = text.Vocabulary.of(corpus)
        task = text.text_task(
            vocabulary, corpus, config.window, config.holdout, config.stateful
        )
        model = text_models.char_lm(asdict(config), len(vocabulary))
        model.initial_carry(1)  # refuses a cell of both directions
    except ValueError as error:
        raise UsageError(str(error)) from error
    return vocabulary, task, model


def main(argv: Sequence[str]) -> None:
    """Run the experiment."""
    config = configure(argv)
    set_up_jax(config.run.compilation_cache)

    from experiments import directory, runner, text_report, writing

    seeds = choose_seeds(config.run, (0,))
    width = choose_width(config.run, len(seeds))
    corpus = read_corpus(config)
    vocabulary, task, model = build(config, corpus)
    settings = {
        **{k: v for k, v in asdict(config).items() if k not in ("train", "run")},
        **asdict(config.train),
        "corpus_sha256": hashlib.sha256(corpus.encode()).hexdigest(),
        "vocabulary_size": len(vocabulary),
        "seeds": seeds,
        "seed_width": width,
    }
    place = directory.open_directory(
        "train_text", config.run.out, config.run.resume, settings
    )
    vocabulary.save(place.path / "vocabulary.json")
    setup_s = time.perf_counter() - START
    per_update = config.train.batch_size * config.window * len(seeds)
    runs = runner.train_arms(
        {config.cell: runner.Arm(model, task, config.train)},
        seeds,
        width,
        place,
        config.run.checkpoint_every,
        keep_steps=writing.KEEP_STEPS,
        status=partial(text_report.status, per_update),
        line=partial(text_report.line, model, vocabulary),
    )
    text_report.finish(
        runs,
        place,
        experiment="train_text",
        question=(__doc__ or "").partition("\n")[0],
        command=command_line(MODULE, argv),
        setup_s=setup_s,
    )


if __name__ == "__main__":
    sys.exit(run_main(main, MODULE, None))
