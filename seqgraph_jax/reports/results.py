"""What a run directory holds: config.json, metrics.jsonl and results.json.

`compare` turns runs into comparisons, `results` into the record of results.json,
``schema`` 1. A value that does not exist is null in every file.
"""

import json
import math
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import flax
import jax
import numpy as np
from numpy.typing import ArrayLike

from seqgraph_jax.reports import censoring, paired, statistics
from seqgraph_jax.reports.statistics import Summary
from seqgraph_jax.reports.verdicts import Comparison
from seqgraph_jax.training.metrics import UPDATES_TO_CONVERGE, Metric
from seqgraph_jax.training.runs import Run


@dataclass(frozen=True)
class Comparisons:
    """Summaries of all arms and comparisons of every pair; ``print`` shows both."""

    metric: Metric
    summaries: dict[str, Summary]
    pairs: list[Comparison]
    unit: str = "seed"

    def __str__(self) -> str:
        rows = [("arm", "n", "mean", "SD", "95 % interval")]
        show = partial(self.metric.show, unit=False)
        for name, s in self.summaries.items():
            words = statistics.interval_words(s, show, self.unit)
            rows.append((name, str(s.n), show(s.mean), show(s.sd), words))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) for cell, width in zip(row, widths, strict=True)
            )
            for row in rows
        ]
        verdicts = [pair.verdict for pair in self.pairs]
        return "\n".join([self.metric.axis, *map(str.rstrip, lines), *verdicts])


@dataclass(frozen=True)
class Measured:
    """What an arm reached that was not trained here, such as a baseline.

    ``reached[metric]`` holds a number per seed, ``[S]``; it is read as a `Run` is.

    >>> linear = Measured({Metric("rmse", better="lower"): [0.5, 0.25]}, num_params=3)
    >>> linear.values("rmse").tolist(), linear.value_names
    ([0.5, 0.25], ('rmse',))
    """

    reached: Mapping[Metric, ArrayLike]
    num_params: int | None = None

    @property
    def value_names(self) -> tuple[str, ...]:
        """Names that `values` takes."""
        return tuple(metric.name for metric in self.reached)

    def record(self, name: str) -> Metric:
        """What a number is."""
        return next(metric for metric in self.reached if metric.name == name)

    def values(self, metric: str) -> np.ndarray:
        """One number per seed, ``[S]``."""
        return np.asarray(self.reached[self.record(metric)], float)


Arms = Mapping[str, Run | Measured]


def compare(
    arms: Arms,
    metric: str | None = None,
    unit: str = "seed",
    equivalent_within: float | None = None,
) -> Comparisons:
    """Compare every pair of arms over their seeds, paired, Holm-corrected.

    ``metric`` is any of the arms' ``value_names``; None is the updates until
    convergence, where a threshold asked for it, else what the runs are judged by. Of a
    seed that never converged it is known that it takes longer than it was trained
    (`seqgraph_jax.reports.censoring`). A `Measured` is compared as if it had the same
    seeds. ``unit`` names what was sampled and paired, where that is something else,
    such as ``"patient"``. With ``equivalent_within``, in the unit that is shown
    (updates, points of an accuracy), it is tested, too, whether arms differ by less.

    Raises `ValueError` if the arms have different seeds, lack the metric, or are fewer
    than two.

    >>> from seqgraph_jax import SequenceClassifier, TrainConfig, tasks, train_seeds
    >>> task = tasks.RandomCombinations(size=4)
    >>> config = TrainConfig(updates=10, eval_every=10, batch_size=8, eval_size=16)
    >>> runs = {
    ...     cell: train_seeds(SequenceClassifier(cell, 8, 4, 4), task, config, [0, 1])
    ...     for cell in ("rnn", "gru")
    ... }
    >>> compare(runs, metric="loss").pairs[0].test
    'exact paired sign-flip test'
    """
    runs = [arm for arm in arms.values() if isinstance(arm, Run)]
    if len({run.seeds for run in runs}) > 1:
        raise ValueError("runs can be compared if they have the same seeds")
    if metric is None:
        metric = headline(next(iter(arms.values())))
    for name, arm in arms.items():
        if metric not in arm.value_names:
            known = ", ".join(arm.value_names)
            raise ValueError(f"{name} has no metric {metric!r}: there are {known}")
    record = next(iter(arms.values())).record(metric)
    values = {name: arm.values(metric) for name, arm in arms.items()}
    pairs = []
    if len(arms) > 1 and record == UPDATES_TO_CONVERGE and len(runs) == len(arms):
        times = {
            n: censoring.times_to_converge(arm)
            for n, arm in zip(arms, runs, strict=True)
        }
        pairs = censoring.compare_times(times, equivalent_within)
        record, values = censoring.shown_times(times)
    elif len(arms) > 1:
        pairs = paired.compare(
            values, record, unit=unit, equivalent_within=equivalent_within
        )
    return Comparisons(
        record,
        {n: statistics.summarize(v, record.bounds) for n, v in values.items()},
        pairs,
        unit,
    )


def headline(arm: Run | Measured) -> str:
    """What an arm is first of all compared by; see `compare`."""
    if isinstance(arm, Measured):
        return arm.value_names[0]
    asked = arm.config.threshold is not None
    return UPDATES_TO_CONVERGE.name if asked else arm.judged_by


def environment(num_devices: int, seed_width: int) -> dict[str, Any]:
    """Versions, device and layout of the seeds; ``git_commit`` of this package."""
    return {
        "python": platform.python_version(),
        "jax": jax.__version__,
        "flax": flax.__version__,
        "device": jax.devices()[0].device_kind,
        "num_devices": num_devices,
        "seed_width": seed_width,
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    here = Path(__file__).parent
    try:
        command = ["git", "-C", str(here), "rev-parse", "--verify", "HEAD"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def results_record(
    experiment: str,
    config: Mapping[str, Any],
    seeds: Sequence[int],
    arms: Arms,
    comparisons: Sequence[Comparisons],
    timing: Mapping[str, float],
) -> dict[str, Any]:
    """The record of results.json."""
    runs = [arm for arm in arms.values() if isinstance(arm, Run)]
    layout = (runs[0].num_devices, runs[0].width) if runs else (1, len(seeds))
    return {
        "schema": 1,
        "experiment": experiment,
        "config": dict(config),
        "seeds": list(seeds),
        "environment": environment(*layout),
        "arms": {name: _arm(arm) for name, arm in arms.items()},
        "comparisons": [
            asdict(pair) for compared in comparisons for pair in compared.pairs
        ],
        "timing": dict(timing),
    }


def _arm(arm: Run | Measured) -> dict[str, Any]:
    """Of a run also how many seeds converged and diverged."""
    record: dict[str, Any] = {}
    if arm.num_params is not None:
        record["num_params"] = arm.num_params
    if isinstance(arm, Run):
        if UPDATES_TO_CONVERGE.name in arm.value_names:
            record["num_converged"] = int(np.isfinite(arm.updates_to_converge).sum())
        record["num_diverged"] = int(arm.diverged.sum())
        record["updates"] = int(arm.updates[-1])
        record["train_s"] = arm.train_s
    record["metrics"] = {
        name: asdict(statistics.summarize(arm.values(name), arm.record(name).bounds))
        for name in arm.value_names
    }
    return record


def metric_rows(arm: str, run: Run, since: int = 0) -> Iterator[dict[str, Any]]:
    """Rows of metrics.jsonl, from evaluation ``since``: of each, one per seed.

    Where a seed has parts, such as its folds, a row for each, which names it.
    """
    parts = run.parts.values if run.parts else (None,)
    where = [(seed, part) for seed in run.seeds for part in parts]
    for k in range(since, len(run.updates)):
        for r, (seed, part) in enumerate(where):
            named = {run.parts.name: part} if run.parts else {}
            values = {name: metric[r, k].item() for name, metric in run.metrics.items()}
            update = run.updates[k].item()
            yield {"arm": arm, "seed": seed, **named, "update": update, **values}


def json_value(value: Any) -> Any:
    """The value as it comes back from JSON: lists for tuples, None for NaN."""
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def dumps(value: Any, **options: Any) -> str:
    """JSON in which NaN and infinities are null.

    >>> dumps({"mean": float("nan"), "ci95": (1.0, 2.0)})
    '{"mean": null, "ci95": [1.0, 2.0]}'
    """
    return json.dumps(json_value(value), allow_nan=False, **options)


def read_json(path: Path) -> Any:
    """Read a JSON file; raises `OSError` or `ValueError`."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all; what is no character becomes an escape."""
    aside = path.with_name(path.name + ".tmp")
    try:
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON, whole or not at all, NaN as null."""
    write_text(path, dumps(value, indent=2) + "\n")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a line of JSON for each row, whole or not at all."""
    write_text(path, "".join(dumps(row) + "\n" for row in rows))


def write_metrics(path: Path, runs: Mapping[str, Run]) -> None:
    """Write metrics.jsonl anew from the runs."""
    write_rows(path, (r for arm, run in runs.items() for r in metric_rows(arm, run)))


def append_metrics(path: Path, arm: str, run: Run, since: int = -1) -> None:
    """Append rows to metrics.jsonl: from evaluation ``since``, the last one without."""
    rows = metric_rows(arm, run, since % len(run.updates))
    with open(path, "a", encoding="utf-8") as file:
        file.writelines(dumps(row) + "\n" for row in rows)
