"""How far does a message travel in a graph network, and what can it not tell apart?

Time: under a minute on 2 CPU cores; nothing is trained and no data are needed.

    python -m experiments.message_passing
    python -m experiments.message_passing --num-seeds 256 --max-depth 64

Networks with random weights and features, many of them. On a graph of six nodes: after
how many updates does a node depend on another one's input, and by which walks? On a
graph with twins, two nodes with the same neighbours: which layers can tell them apart?
On the six nodes and on Zachary's karate club: how fast do all nodes become alike when
layers are put on layers? Everything is computed in double precision, so that rounding
is far from what is measured.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from experiments.cli import (
    START,
    RunOptions,
    UsageError,
    choose_seeds,
    command_line,
    parse,
    run_main,
    set_up_jax,
)

MODULE = "experiments.message_passing"
SEEDS = tuple(range(0, 500 * 64, 500))


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    features: int = 16  # features of every node, and width of every layer
    max_depth: int = 32  # layers of the deepest network
    self_weights: tuple[float, ...] = (2.0, 4.0)  # self-loops' weights beside 1
    seeds: tuple[int, ...] = ()  # seeds of weights and features (default: 64)
    num_seeds: int | None = None  # so many seeds: 0, 500, 1000, ...
    out: Path | None = None  # run directory (default: a new one in checkpoints/)
    smoke: bool = False  # few seeds, narrow and shallow networks
    compilation_cache: bool = True  # keep compiled programs in the user's cache


def configure(argv: Sequence[str]) -> Config:
    """The configuration for a command line; raises `UsageError`."""
    default = Config()
    if "--smoke" in argv:
        default = Config(features=4, max_depth=8)
    config = parse(default, argv, f"python -m {MODULE}", __doc__ or "")
    for name in ("features", "max_depth"):
        if getattr(config, name) < 2:
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag} must be 2 or more, not {getattr(config, name)}")
    weights = config.self_weights
    if not all(0 < w < np.inf and w != 1 for w in weights) or not weights:
        raise UsageError("--self-weights takes numbers above 0 other than 1")
    if len(set(weights)) < len(weights):
        raise UsageError("--self-weights takes different numbers")
    return config


def main(argv: Sequence[str]) -> None:
    """Run the experiment."""
    config = configure(argv)
    set_up_jax(config.compilation_cache)

    from experiments import directory, message_passing_report
    from experiments.message_passing_measures import measure

    options = RunOptions(seeds=config.seeds, num_seeds=config.num_seeds)
    seeds = choose_seeds(options, SEEDS[: 3 if config.smoke else None])
    settings = {
        **{k: v for k, v in asdict(config).items() if k not in ("out", "num_seeds")},
        "seeds": seeds,
    }
    place = directory.open_directory("message_passing", config.out, False, settings)
    setup_s = time.perf_counter() - START
    measured = measure(config, seeds)
    message_passing_report.finish(
        measured,
        place,
        seeds=seeds,
        question=(__doc__ or "").partition("\n")[0],
        command=command_line(MODULE, argv),
        setup_s=setup_s,
    )


if __name__ == "__main__":
    sys.exit(run_main(main, MODULE, None))
