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

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

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

MODULE = "experiments.gradients"
CELLS = ("rnn", "lstm", "gru", "peephole", "peephole-diagonal")
#: Networks so small are faster in groups, on a CPU as well.
RUN = RunOptions(seed_width="6", checkpoint_every=30.0)


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    cells: tuple[str, ...] = CELLS  # cells to compare
    task: str = "copy"  # what is learned over a delay: copy or adding
    delays: tuple[int, ...] = (10, 30, 100, 200)  # steps, each for every seed
    flow_delay: int | None = None  # whose networks' gradients (default: the second)
    features: int = 16  # hidden units
    updates: int = 200  # of every network
    batch_size: int = 16  # sequences of an update
    learning_rate: float = 0.02  # Adam's step size
    max_norm: float = 1.0  # clip gradients at this global norm
    radii: tuple[float, ...] = (0.5, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)  # of W_h
    forget_biases: tuple[float, ...] = (0.0, 1.0, 2.0)  # where an LSTM starts
    length: int = 50  # steps of the sequences for radii
    num_initial: int = 32  # seeds of what is not trained
    run: RunOptions = field(default_factory=lambda: RUN)


def configure(argv: Sequence[str]) -> Config:
    """The configuration for a command line; raises `UsageError`."""
    default = Config()
    if "--smoke" in argv:
        default = replace(
            default,
            cells=("rnn", "lstm"),
            delays=(2, 4),
            features=4,
            updates=40,
            radii=(0.5, 2.0),
            forget_biases=(0.0, 2.0),
            length=10,
            num_initial=3,
        )
    config = parse(default, argv, f"python -m {MODULE}", __doc__ or "")
    for name in ("features", "updates", "batch_size"):
        if getattr(config, name) < 1:
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag} must be 1 or more, not {getattr(config, name)}")
    for name in ("length", "num_initial"):
        if getattr(config, name) < 2:
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag} must be 2 or more, not {getattr(config, name)}")
    for name in ("cells", "delays", "radii", "forget_biases"):
        values = getattr(config, name)
        if not values or len(set(values)) < len(values):
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag} takes one or more different values")
    for cell in config.cells:
        if cell not in CELLS:
            raise UsageError(f"unknown cell {cell!r}: choose from {', '.join(CELLS)}")
    if config.task not in ("copy", "adding"):
        raise UsageError(f"--task must be copy or adding, not {config.task}")
    if min(config.delays) < 2:
        raise UsageError(f"--delays must be 2 or more, not {min(config.delays)}")
    if config.flow_delay not in (None, *config.delays):
        raise UsageError(f"--flow-delay {config.flow_delay} is none of --delays")
    if not all(0 < radius < float("inf") for radius in config.radii):
        raise UsageError("--radii takes numbers above 0")
    delays, radii = sorted(config.delays), sorted(config.radii)
    shown = config.flow_delay or delays[:2][-1]
    return replace(config, delays=tuple(delays), radii=tuple(radii), flow_delay=shown)


def main(argv: Sequence[str]) -> None:
    """Run the experiment."""
    config = configure(argv)
    set_up_jax(config.run.compilation_cache)

    from functools import partial

    from experiments import directory, gradient_report, gradient_study, parts, runner

    preset = range(0, 500 * (2 if config.run.smoke else 9), 500)
    seeds = choose_seeds(config.run, preset)
    numbers = parts.number_runs(seeds, len(config.delays))
    width = choose_width(config.run, len(numbers))
    try:
        arms = gradient_study.build_arms(config, len(seeds))
    except ValueError as error:
        raise UsageError(str(error)) from error
    settings = {
        **{k: v for k, v in asdict(config).items() if k != "run"},
        "training": {name: asdict(arm.config) for name, arm in arms.items()},
        "seeds": seeds,
        "seed_width": width,
    }
    place = directory.open_directory(
        "gradients", config.run.out, config.run.resume, settings
    )
    setup_s = time.perf_counter() - START
    runs = runner.train_arms(
        arms,
        numbers,
        width,
        place,
        config.run.checkpoint_every,
        rows=partial(parts.metric_rows, name="delay", parts=config.delays),
    )
    gradient_report.finish(
        config,
        runs,
        place,
        seeds=seeds,
        question=(__doc__ or "").partition("\n")[0],
        command=command_line(MODULE, argv),
        setup_s=setup_s,
    )


if __name__ == "__main__":
    sys.exit(run_main(main, MODULE, None))
