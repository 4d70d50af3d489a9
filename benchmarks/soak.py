"""Does a process that trains, saves, resumes and samples for half an hour stay flat?

    python -m benchmarks.soak --minutes 30 --picture docs/images/soak.png

One round trains a small network for two seeds, is interrupted half way, goes on from
its directory to the end, trains a small text model and samples from it. After every
round the memory that the process holds, its open files and the programs that it has
compiled so far are noted. All three should stay where they are after the first rounds:
what is compiled once is used again, and nothing is kept of a run that is over.
"""

import argparse
import contextlib
import gc
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure

import seqgraph_jax as sg
from seqgraph_jax.reports.plots import curves, style
from seqgraph_jax.training.seeds import train_arm

TASK = sg.tasks.RandomCombinations(size=4)
MODEL = sg.SequenceClassifier("gru", 8, 4, 4)
CONFIG = sg.TrainConfig(updates=40, eval_every=10, batch_size=16, eval_size=32)
WRITTEN = "the quick brown fox jumps over the lazy dog. " * 40
VOCABULARY = sg.text.Vocabulary.of(WRITTEN)
READER = sg.CharLM("lstm", 8, len(VOCABULARY), num_layers=1)


class Stop(Exception):
    """Half of a run is over."""


def half_way(run: sg.Run) -> None:
    if len(run.updates) == 2:
        raise Stop


def one_round(folder: Path) -> None:
    """Train, stop, resume, train a text model, sample; raise if a run is not whole."""
    arm = sg.Arm(MODEL, TASK, replace(CONFIG, early_stop=False))
    with contextlib.suppress(Stop):
        train_arm(arm, [0, 1], directory=folder / "run", show=half_way)
    run = train_arm(arm, [0, 1], directory=folder / "run")
    assert run.finished
    task = sg.text.text_task(VOCABULARY, WRITTEN, window=10)
    written = sg.train_seeds(READER, task, CONFIG, [0, 1], progress=False)
    params = written.params(0)
    nothing = np.zeros((2, 0), np.int32)
    key = jax.random.key(0)
    sg.text.generate(READER, params, key, nothing, 20, len(VOCABULARY), 1.0)


def held() -> tuple[float, int]:
    """Memory of this process in MiB, and its open files."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    files = len(list(Path("/proc/self/fd").iterdir()))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, files


@style.own_style
def picture(minutes: np.ndarray, found: np.ndarray, path: Path) -> None:
    """Memory, files and compilations ``[3, rounds]`` against minutes."""
    figure = Figure(figsize=(7, 5.4), layout="constrained")
    labels = ("memory (MiB)", "open files", "programs compiled")
    for axes, values, label in zip(
        figure.subplots(3, 1, sharex=True), found, labels, strict=True
    ):
        axes.plot(minutes, values, color=curves.COLOURS[0], lw=1.4)
        axes.set_ylim(0, 1.15 * values.max())
        curves.finish_axes(axes, "", label)
    axes.set_xlabel("minutes")
    curves.write_png(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--picture", type=Path, help="file that is drawn")
    options = parser.parse_args()
    cache = tempfile.TemporaryDirectory()  # what one round compiles the next one finds
    sg.set_up(cache=Path(cache.name))
    compiled = [0]

    def count(event: str, **_: object) -> None:
        compiled[0] += event.endswith("cache_misses")

    jax.monitoring.register_event_listener(count)
    start, rows = time.monotonic(), []
    while (minutes := (time.monotonic() - start) / 60) < options.minutes:
        with tempfile.TemporaryDirectory() as folder:
            one_round(Path(folder))
        gc.collect()
        rows.append((minutes, *held(), compiled[0]))
        if len(rows) in (1, 2, 3, 5, 10) or len(rows) % 50 == 0:
            print(
                f"round {len(rows)}, minute {minutes:.1f}: {rows[-1][1]:.0f} MiB, "
                f"{rows[-1][2]} files, {compiled[0]} programs compiled",
                flush=True,
            )
    times, *found = np.array(rows).T
    later = np.array(found)[:, len(rows) // 2 :]
    ends = [f"{row.min():.4g} to {row.max():.4g}" for row in later]
    print(
        f"{len(rows)} rounds; in their second half {ends[0]} MiB, {ends[1]} open "
        f"files, {ends[2]} programs compiled"
    )
    if options.picture:
        picture(times, np.array(found), options.picture)


if __name__ == "__main__":
    main()
