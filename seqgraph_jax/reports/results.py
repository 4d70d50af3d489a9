"""What a run directory holds: config.json, metrics.jsonl and results.json.

`compare` turns runs into comparisons, `results` into the record of results.json,
``schema`` 1. A value that does not exist is null in every file.
"""

import json
import math
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import flax
import jax
import numpy as np

from seqgraph_jax.reports import statistics
from seqgraph_jax.reports.statistics import Comparison, Summary
from seqgraph_jax.training.runs import Run


@dataclass(frozen=True)
class Comparisons:
    """Summaries of all arms and comparisons of every pair; ``print`` shows both."""

    metric: str
    summaries: dict[str, Summary]
    pairs: list[Comparison]

    def __str__(self) -> str:
        rows = [("arm", "n", "mean", "SD", "95 % interval")]
        for name, s in self.summaries.items():
            low, high = s.ci95
            interval = f"{low:.4g} to {high:.4g}"
            rows.append((name, str(s.n), f"{s.mean:.4g}", f"{s.sd:.4g}", interval))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) for cell, width in zip(row, widths, strict=True)
            )
            for row in rows
        ]
        verdicts = [pair.verdict for pair in self.pairs]
        return "\n".join([self.metric, *map(str.rstrip, lines), *verdicts])


def compare(
    runs: Mapping[str, Run], metric: str = "updates_to_converge"
) -> Comparisons:
    """Compare every pair of runs over their seeds, paired, Holm-corrected.

    ``metric`` is any of a run's ``value_names``. A seed that never converged counts
    with the number of updates that it was given, as a lower bound.

    Raises `ValueError` if the runs have different seeds or are fewer than two.

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
    if len({run.seeds for run in runs.values()}) != 1:
        raise ValueError("runs can be compared if they have the same seeds")
    values = {name: run.values(metric) for name, run in runs.items()}
    options: dict[str, Any] = {}
    if metric == "updates_to_converge":
        options = {
            "missing_as": max(run.config.updates for run in runs.values()),
            "words": ("converges earlier than", "converges later than"),
            "unit": "updates",
        }
    elif metric.endswith("accuracy"):
        name = metric.replace("_", " ")
        options = {
            "words": (f"has a lower {name} than", f"has a higher {name} than"),
            "unit": "points",
            "scale": 100.0,
        }
    return Comparisons(
        metric,
        {name: statistics.summarize(v) for name, v in values.items()},
        statistics.compare(values, metric, **options),
    )


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


def results(
    experiment: str,
    config: Mapping[str, Any],
    runs: Mapping[str, Run],
    comparisons: Sequence[Comparisons],
    timing: Mapping[str, float],
) -> dict[str, Any]:
    """The record of results.json."""
    arms = {
        name: {
            "num_params": run.num_params,
            **(
                {"num_converged": int(np.isfinite(run.updates_to_converge).sum())}
                if "updates_to_converge" in run.value_names
                else {}
            ),
            "num_diverged": int(run.diverged.sum()),
            "updates": int(run.updates[-1]),
            "train_s": run.train_s,
            "metrics": {
                metric: asdict(statistics.summarize(run.values(metric)))
                for metric in run.value_names
            },
        }
        for name, run in runs.items()
    }
    run = next(iter(runs.values()))
    return {
        "schema": 1,
        "experiment": experiment,
        "config": dict(config),
        "seeds": list(run.seeds),
        "environment": environment(run.num_devices, run.width),
        "arms": arms,
        "comparisons": [
            asdict(pair) for compared in comparisons for pair in compared.pairs
        ],
        "timing": dict(timing),
    }


def metric_rows(arm: str, run: Run, since: int = 0) -> Iterator[dict[str, Any]]:
    """Rows of metrics.jsonl: one per evaluation and seed, from evaluation ``since``."""
    for k in range(since, len(run.updates)):
        for s, seed in enumerate(run.seeds):
            values = {name: metric[s, k].item() for name, metric in run.metrics.items()}
            yield {"arm": arm, "seed": seed, "update": run.updates[k].item(), **values}


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
    """Write a file whole or not at all."""
    aside = path.with_name(path.name + ".tmp")
    try:
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON, whole or not at all, NaN as null."""
    write_text(path, dumps(value, indent=2) + "\n")


def write_metrics(
    path: Path, runs: Mapping[str, Run], rows: Callable[..., Any] = metric_rows
) -> None:
    """Write metrics.jsonl anew from the runs; ``rows`` makes those of an arm."""
    written = (row for arm, run in runs.items() for row in rows(arm, run))
    write_text(path, "".join(dumps(row) + "\n" for row in written))
