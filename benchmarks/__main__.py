"""Run all benchmarks, one after another, and draw what they gave.

    pip install torch==2.13.0 torch_geometric && python -m benchmarks --out OUT

Three quarters of an hour on two CPU cores, with nothing else running on them; data sets
are found or downloaded as in the experiments. Numbers are written to ``OUT/NAME.json``
as soon as they are there, with the machine they are of, and ``OUT/benchmarks.png``
shows every arm's time divided by ours. A peer that is not installed is named and left
out, and what fails does not keep the others from running. Flags of one benchmark are
had by running it alone: ``python -m benchmarks.recurrent --help``.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from seqgraph_jax.reports.plots import curves, style

NAMES = ("time_to_verdict", "recurrent", "text", "graphs", "large", "layouts")


@style.own_style
def picture(found: dict[str, dict[str, Any]], path: Path) -> None:
    """Every arm's time divided by ours: a panel for each table, a row for each arm."""
    tables = list(found.items())
    half = -(-len(tables) // 2)
    columns = [tables[:half], tables[half:]] if len(tables) > 3 else [tables]
    heights = [[sum("ratio" in a for a in t.values()) for _, t in c] for c in columns]
    tallest = max(map(sum, heights))
    size = (9 * len(columns), 1 + 0.3 * tallest + 0.35 * half)
    figure = Figure(figsize=size, layout="constrained")
    parts = figure.subfigures(1, len(columns), squeeze=False)[0]
    for part, column, rows in zip(parts, columns, heights, strict=True):
        _draw(part, column, rows)
    curves.write_png(figure, path)


def _draw(part: Any, tables: list[tuple[str, Any]], heights: list[int]) -> None:
    grid = part.subplots(
        len(tables), 1, sharex=True, squeeze=False, height_ratios=heights
    )
    for axes, (title, arms) in zip(grid[:, 0], tables, strict=True):
        rows = {name: arm for name, arm in arms.items() if "ratio" in arm}
        for row, arm in enumerate(rows.values()):
            low, high = arm["ratios"]
            ours = row == len(rows) - 1
            colour = curves.COLOURS[0 if ours else 1]
            axes.plot([low, high], [row, row], color=colour, lw=2, alpha=0.5)
            axes.plot(arm["ratio"], row, "o", color=colour)
            seconds = arm["ms"] / 1e3
            axes.annotate(
                f"  {words(seconds)}", (high, row), va="center", fontsize="small"
            )
        axes.axvline(1, color="#444444", ls=":", lw=1)
        axes.set_yticks(range(len(rows)), [style.drawn(name) for name in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_title(title, fontsize="medium", loc="left")
        axes.margins(x=0.15)
        curves.finish_axes(axes, "", "")
    grid[-1, 0].set_xlabel(
        "time divided by that of each last row, median and range over rounds"
    )


def words(seconds: float) -> str:
    """A time in words.

    >>> words(1234.5), words(1.5), words(0.00123)
    ('1,234 s', '1.5 s', '1.23 ms')
    """
    if seconds >= 1000:
        return f"{seconds:,.0f} s"
    return f"{seconds:.3g} s" if seconds > 1 else f"{1e3 * seconds:.3g} ms"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks-out"))
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--rounds", type=int, help="default: each one's own")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    flags = ["--device", options.device]
    flags += ["--rounds", str(options.rounds)] if options.rounds else []
    failed: list[str] = []
    for name in options.only:
        print(f"== {name}", flush=True)
        path = options.out / f"{name}.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(path)]
        if subprocess.run([*command, *flags], check=False).returncode:
            failed.append(name)
    found: dict[str, Any] = {}
    for name in NAMES:
        path = options.out / f"{name}.json"
        if path.is_file():
            record = json.loads(path.read_text(encoding="utf-8"))
            found |= record["tables"]
            print(f"{name}: {', '.join(map(str, record['machine'].values()))}")
    if found:
        picture(found, options.out / "benchmarks.png")
        print(f"Picture: {options.out / 'benchmarks.png'}")
    if failed:
        sys.exit(f"{', '.join(failed)} did not come to an end: see above")


if __name__ == "__main__":
    main()
