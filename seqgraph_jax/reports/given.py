"""Numbers that came from somewhere else: a table of arms and seeds, results.json."""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqgraph_jax.reports.results import Measured
from seqgraph_jax.training.metrics import Metric

Cell = tuple[str, str, Mapping[str, float]]  # arm, seed, values by metric


def read_results(
    paths: Sequence[Path],
) -> tuple[tuple[int | str, ...], dict[str, Measured]]:
    """Seeds, and what each arm reached with them, of one or more files.

    A CSV file has a row for each arm and seed: columns ``arm``, ``seed`` and one or
    more of numbers, whose names are those of the metrics; an empty cell is no value. A
    ``.json`` file is a results.json, or a folder that holds one. Arms of several files
    that have the same name get that of the file's folder beside it. What an arm lacks
    is NaN.

    Raises `ValueError`, naming file and line, for what cannot be read so, for a seed
    that an arm has twice, and for fewer than two arms.
    """
    arms: dict[str, dict[str, Mapping[str, float]]] = {}
    for path in paths:
        own: dict[str, dict[str, Mapping[str, float]]] = {}
        file = path / "results.json" if path.is_dir() else path
        read = _read_json if file.suffix == ".json" else _read_csv
        for arm, seed, values in read(file):
            if seed in own.setdefault(arm, {}):
                raise ValueError(f"{file}: arm {arm!r} has seed {seed} twice")
            own[arm][seed] = values
        for arm, of in own.items():
            arms[f"{arm} ({file.parent.name})" if arm in arms else arm] = of
    if len(arms) < 2:
        names = ", ".join(map(repr, arms)) or "none"
        raise ValueError(f"a comparison needs two arms or more: there is {names}")
    seeds = list(dict.fromkeys(seed for of in arms.values() for seed in of))
    metrics = dict.fromkeys(m for of in arms.values() for v in of.values() for m in v)
    if not metrics:
        raise ValueError("there are no values: a column beside arm and seed holds them")
    measured = {
        arm: Measured(
            {
                Metric(name): [of.get(seed, {}).get(name, math.nan) for seed in seeds]
                for name in metrics
            }
        )
        for arm, of in arms.items()
    }
    return tuple(int(s) if s.isdecimal() else s for s in seeds), measured


def _read_csv(path: Path) -> Iterator[Cell]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True, skipinitialspace=True)
            rows = [(reader.line_num, row) for row in reader]
            header = list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as CSV in UTF-8: {error}") from error
    for column in ("arm", "seed"):
        if header.count(column) != 1:
            raise ValueError(
                f"{path} needs one column {column!r}: its first line has "
                f"{', '.join(header) or 'nothing'}"
            )
    metrics = [name for name in header if name not in ("arm", "seed")]
    if len(set(metrics)) < len(metrics) or "" in metrics:
        raise ValueError(f"{path}: each column needs a name of its own")
    for line, row in rows:
        if None in row or None in row.values():
            raise ValueError(f"{path}, line {line}: {len(header)} cells are needed")
        for name in ("arm", "seed"):
            if not row[name].strip():
                raise ValueError(f"{path}, line {line}: there is no {name}")
        values = {name: _number(path, line, name, row[name]) for name in metrics}
        yield row["arm"].strip(), row["seed"].strip(), values


def _number(path: Path, line: int, name: str, cell: str) -> float:
    try:
        return float(cell) if cell.strip() else math.nan
    except ValueError:
        raise ValueError(
            f"{path}, line {line}: {name} is {cell!r:.40}, not a number"
        ) from None


def _read_json(path: Path) -> Iterator[Cell]:
    try:
        record: Any = json.loads(path.read_text(encoding="utf-8"))
        seeds = [str(seed) for seed in record["seeds"]]
        for arm, of in record["arms"].items():
            reached = {
                name: [math.nan if v is None else float(v) for v in m["per_seed"]]
                for name, m in of["metrics"].items()
            }
            if any(len(values) != len(seeds) for values in reached.values()):
                raise ValueError(f"arm {arm} has other seeds")
            for s, seed in enumerate(seeds):
                yield arm, seed, {name: values[s] for name, values in reached.items()}
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a results.json: {error!s:.100}") from error
