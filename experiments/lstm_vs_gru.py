"""Which recurrent cell learns a toy problem in fewer updates: the LSTM or the GRU?

Time: under a minute on 2 CPU cores; --preset reference takes five minutes or more.

    python -m experiments.lstm_vs_gru
    python -m experiments.lstm_vs_gru --preset reference --length 6
    python -m experiments.lstm_vs_gru --cells rnn lstm gru peephole bilstm

Every arm is trained with the same seeds, data and evaluation set, all seeds as one
compiled program. The run ends with a paired comparison of the updates that each seed
needed until it answered every example of the evaluation set, and of the accuracy on
numbers never used in training: for the Baum-Sweet task on every number with label 1
and on 100,000 with label 0.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from experiments.cli import (
    START,
    RunOptions,
    UsageError,
    choose_seeds,
    choose_width,
    command_line,
    parse,
    preset_of,
    run_main,
    set_up_jax,
)
from seqgraph_jax.training.loop import TrainConfig

MODULE = "experiments.lstm_vs_gru"
SMOKE_TESTS = 1_000  # examples of each test set that a smoke run counts


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    preset: str = "quick"  # quick, or reference for the reference's settings
    task: str = "baum-sweet"  # baum-sweet, random-combinations or palindrome
    cells: tuple[str, ...] = ("lstm", "gru")  # two or more of the cells, also as bi...
    length: int = 6  # decimal digits, or numbers to combine
    hidden: int = 32  # hidden units per direction
    embedding: int = 16  # features of the symbols' embedding
    forget_bias: float = 0.0  # what the forget gates' biases start with
    train: TrainConfig = field(default_factory=TrainConfig)
    run: RunOptions = field(default_factory=RunOptions)


def _preset(task: str, reference: bool, **values: Any) -> Config:
    names = TrainConfig.__dataclass_fields__
    train = TrainConfig(**{k: v for k, v in values.items() if k in names})
    rest = {k: v for k, v in values.items() if k not in names}
    name = "reference" if reference else "quick"
    return Config(preset=name, task=task, train=train, **rest)


_QUICK = {"hidden": 32, "embedding": 16, "patience": 10, "learning_rate": 5e-3}
_REFERENCE = {"max_norm": 10.0, "eval_size": 2000, "patience": 10}
_LARGE = {**_REFERENCE, "hidden": 256, "embedding": 128, "batch_size": 256}
_LARGE |= {"learning_rate": 1e-4, "updates": 3000}
_SMALL = {**_REFERENCE, "hidden": 128, "embedding": 64, "batch_size": 128}
_SMALL |= {"learning_rate": 1e-3, "updates": 2000}

#: The reference does not say how wide its embedding is: half of the hidden units here.
PRESETS = {
    ("quick", "baum-sweet"): _preset("baum-sweet", False, length=6, **_QUICK),
    ("quick", "random-combinations"): _preset(
        "random-combinations", False, length=5, updates=2000, **_QUICK
    ),
    ("quick", "palindrome"): _preset("palindrome", False, length=10, **_QUICK),
    ("reference", "baum-sweet"): _preset("baum-sweet", True, length=6, **_LARGE),
    ("reference", "random-combinations"): _preset(
        "random-combinations", True, length=5, **_SMALL
    ),
    ("reference", "palindrome"): _preset("palindrome", True, length=10, **_LARGE),
}
SEEDS = {"quick": tuple(range(0, 8000, 500)), "reference": (0, 500, 1000)}


def _smoke(config: Config) -> Config:
    """The same configuration at sizes that take seconds."""
    train = replace(
        config.train, updates=20, eval_every=10, batch_size=16, eval_size=64, patience=1
    )
    return replace(config, hidden=8, embedding=4, train=train)


def configure(argv: Sequence[str]) -> Config:
    """The configuration for a command line; raises `UsageError`."""
    preset = preset_of(argv, "--preset", "quick")
    task = preset_of(argv, "--task", "baum-sweet")
    for flag, value, position in (("--preset", preset, 0), ("--task", task, 1)):
        choices = list(dict.fromkeys(key[position] for key in PRESETS))
        if value not in choices:
            raise UsageError(
                f"{flag} {value} is unknown: choose {' or '.join(choices)}"
            )
    default = PRESETS[preset, task]
    if "--smoke" in argv:
        default = _smoke(default)
    config = parse(default, argv, f"python -m {MODULE}", __doc__ or "")
    for name in ("hidden", "embedding"):
        if getattr(config, name) < 1:
            raise UsageError(f"--{name} must be 1 or more, not {getattr(config, name)}")
    if config.train.metric != "accuracy":
        raise UsageError(f"--metric must be accuracy, not {config.train.metric}")
    if config.run.checkpoint_every < 0:
        raise UsageError("--checkpoint-every must be 0 seconds or more")
    if len(config.cells) < 2 or len(set(config.cells)) < len(config.cells):
        raise UsageError("--cells takes two or more different cells")
    return config


def build(config: Config) -> tuple[Any, dict[str, Any]]:
    """The task and the model of each arm; raises `UsageError`."""
    import seqgraph_jax as sg
    from seqgraph_jax.recurrent import networks

    try:
        task = sg.tasks.TASKS[config.task](config.length)
        models = {}
        for cell in config.cells:
            models[cell] = sg.SequenceClassifier(
                cell=cell,
                features=config.hidden,
                num_symbols=task.num_symbols,
                num_classes=task.num_classes,
                embedding_features=config.embedding,
                cell_options=(
                    {"forget_bias": config.forget_bias}
                    if networks.has_option(cell, "forget_bias")
                    else {}
                ),
            )
    except ValueError as error:
        raise UsageError(str(error)) from error
    return task, models


def main(argv: Sequence[str]) -> None:
    """Run the experiment."""
    config = configure(argv)
    set_up_jax(config.run.compilation_cache)

    from experiments import directory, runner

    seeds = choose_seeds(
        config.run, SEEDS[config.preset][: 2 if config.run.smoke else None]
    )
    width = choose_width(config.run, len(seeds))
    task, models = build(config)
    arms = {
        cell: runner.Arm(model, task, config.train) for cell, model in models.items()
    }
    settings = {
        **{k: v for k, v in asdict(config).items() if k not in ("train", "run")},
        **asdict(config.train),
        "seeds": seeds,
        "seed_width": width,
    }
    place = directory.open_directory(
        "lstm_vs_gru", config.run.out, config.run.resume, settings
    )
    setup_s = time.perf_counter() - START
    runs = runner.train_arms(
        arms,
        seeds,
        width,
        place,
        config.run.checkpoint_every,
    )
    runs = runner.test_arms(arms, runs, SMOKE_TESTS if config.run.smoke else None)
    runner.finish(
        runs,
        place,
        experiment="lstm_vs_gru",
        title=f"{' against '.join(config.cells)} on {config.task}",
        question=(__doc__ or "").partition("\n")[0],
        command=command_line(MODULE, argv),
        baseline_accuracy=task.baseline_accuracy,
        setup_s=setup_s,
    )


if __name__ == "__main__":
    sys.exit(run_main(main, MODULE, None))
