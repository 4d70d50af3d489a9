"""How often the package's 95 % intervals hold what they should, and how wide they are.

    python -m benchmarks.coverage --picture docs/images/coverage.png

Three to seven minutes on two CPU cores. Of each shape and number of values n 2,000
samples are drawn; of each sample the interval of its mean is had as the package has it:
Student's below 6 values, means of subsets from 6 on. The interval of a mean difference
is the same one of the differences. Tables are printed in Markdown: coverage in %, whose
own error is 0.5, and in brackets the mean width divided by that of Student's intervals.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy import special, stats

from seqgraph_jax.reports.censoring import Times, event_shares
from seqgraph_jax.reports.intervals import (
    BAND_BITS,
    FEWEST,
    MEAN_BITS,
    mean_ends,
    share_interval,
    sign_flips,
)
from seqgraph_jax.reports.plots import curves, style

REPETITIONS = 2_000
SIZES = (3, 4, 5, 6, 8, 10, 12, 16, 20, 30, 50, 100)
TENS = 10 * np.arange(-10, 30)  # all values that the rounded shape has, but for 1e-12
UNDER = {"xycoords": ("data", "axes fraction"), "fontsize": "small"}
CENTRE, SPREAD = 84.0, 17.0  # of that shape: updates, judged every ten

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
#: Of each shape how it is drawn, and its mean.
SHAPES: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, size: rng.normal(size=size), 0.0),
    "t, 3 degrees": (lambda rng, size: rng.standard_t(3, size), 0.0),
    "normal in tens": (
        lambda rng, size: 10 * np.round(rng.normal(CENTRE, SPREAD, size) / 10),
        float(
            TENS
            @ (
                special.ndtr((TENS + 5 - CENTRE) / SPREAD)
                - special.ndtr((TENS - 5 - CENTRE) / SPREAD)
            )
        ),
    ),
    "uniform": (lambda rng, size: rng.uniform(size=size), 0.5),
    "lognormal(0, 0.5)": (
        lambda rng, size: rng.lognormal(0, 0.5, size),
        math.exp(0.125),
    ),
    "beta(20, 1)": (lambda rng, size: rng.beta(20, 1, size), 20 / 21),
}


def measure(n: int, shape: str, bits: int) -> tuple[float, float, float]:
    """Coverage, width divided by Student's, share of samples without an interval."""
    draw, mean = SHAPES[shape]
    rng = np.random.default_rng([n, list(SHAPES).index(shape)])
    values = draw(rng, (REPETITIONS, n))
    low, high = mean_ends(values, bits)
    if shape == "beta(20, 1)":
        high = np.minimum(high, 1)
    some = ~np.isnan(low)
    covered = (low <= mean) & (mean <= high)
    student = 2 * stats.t.ppf(0.975, n - 1) * values.std(1, ddof=1) / math.sqrt(n)
    width = (high - low)[some].mean() / student[some].mean()
    return float(covered[some].mean()), float(width), float(1 - some.mean())


def table(found: dict[tuple[int, str], tuple[float, float, float]]) -> str:
    """Markdown: a row for each n, a column for each shape."""
    rows = [["n", "interval", *SHAPES], ["---"] * (2 + len(SHAPES))]
    for n in dict.fromkeys(n for n, _ in found):
        cells = [found[n, shape] for shape in SHAPES]
        method = "Student's t" if n < FEWEST else "subsets"
        texts = [f"{100 * share:.1f} ({width:.2f})" for share, width, _ in cells]
        rows.append([str(n), method, *texts])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def same_ends() -> float:
    """Largest difference of the ends of a group and of all subsets, of 20 values."""
    values = np.random.default_rng(0).lognormal(0, 0.5, (20, 20))
    every = np.array([sign_flips(row)[1:3] for row in values])  # all 2^20
    group = np.transpose(mean_ends(values, MEAN_BITS))
    return float((np.abs(every - group).max(1) / np.ptp(every, axis=1)).max())


def least_share_coverage(n: int) -> float:
    """Coverage of Clopper and Pearson's interval at the share where it is least."""
    ends = np.array([share_interval(count, n) for count in range(n + 1)])
    shares = np.linspace(0.001, 0.999, 999)
    inside = (ends[:, :1] <= shares) & (shares <= ends[:, 1:])
    chances = stats.binom.pmf(np.arange(n + 1)[:, None], n, shares)
    return float((chances * inside).sum(0).min())


def curve_coverage(n: int) -> float:
    """Coverage of the share of seeds that have had an event, where it is one half.

    Times to the event and of the watch are exponential, with means 1 and 1.5.
    """
    rng, never, held = np.random.default_rng(n), np.zeros(n, bool), 0
    for _ in range(REPETITIONS):
        event, watch = rng.exponential(1, n), rng.exponential(1.5, n)
        times = Times(np.where(event <= watch, event, np.nan), watch, never)
        shares = event_shares(times)
        k = np.searchsorted(shares.at, math.log(2), side="right") - 1
        held += bool(shares.low[k] <= 0.5 <= shares.high[k])
    return held / REPETITIONS


@style.own_style
def picture(
    found: dict[tuple[int, str], tuple[float, float, float]], path: Path
) -> None:
    """Draw coverage and width against the number of values."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for s, shape in enumerate(SHAPES):
        colour, marker = curves.COLOURS[s], curves.MARKERS[s]
        values = np.array([found[n, shape] for n in SIZES])
        left.plot(SIZES, 100 * values[:, 0], marker, ls="-", c=colour, label=shape)
        right.plot(SIZES, values[:, 1], marker, ls="-", c=colour)
    error = 196 * math.sqrt(0.95 * 0.05 / REPETITIONS)
    left.axhspan(95 - error, 95 + error, color="#444444", alpha=0.12, lw=0)
    for axes in (left, right):
        axes.axvline(math.sqrt(5 * 6), color="#444444", ls=":", lw=1)
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(SIZES, map(str, SIZES))
        axes.annotate("Student's t ", (5.4, 0.02), **UNDER, ha="right")
        axes.annotate(" means of subsets", (5.5, 0.02), **UNDER)
    left.set_ylim(87, 101)
    left.legend(frameon=False, ncols=2, loc="upper right", fontsize="small")
    curves.finish_axes(left, "values", "intervals that hold the mean (%)")
    curves.finish_axes(right, "values", "mean width / that of Student's interval")
    curves.write_png(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", type=Path, help="file that is drawn")
    options = parser.parse_args()
    found = {
        (n, shape): measure(n, shape, MEAN_BITS) for n in SIZES for shape in SHAPES
    }
    print(table(found), flush=True)
    print("\nSamples without an interval, since all values are equal:")
    for (n, shape), (_, _, none) in found.items():
        if none:
            print(f"{shape}, n = {n}: {100 * none:.1f} %")
    print("\nBands of curves, which above 12 seeds have a group of 2^12 subsets:\n")
    sizes = [n for n in SIZES if n > BAND_BITS]
    print(table({(n, s): measure(n, s, BAND_BITS) for n in sizes for s in SHAPES}))
    print(
        "\nOf 20 samples of 20 values, ends by 2^16 subsets differ from those by all "
        f"2^20 by at most {100 * same_ends():.2g} % of an interval's width."
    )
    least = {n: least_share_coverage(n) for n in SIZES}
    said = ", ".join(f"{100 * share:.1f} (n = {n})" for n, share in least.items())
    print(f"\nClopper and Pearson's interval, least coverage of any share: {said}.")
    curve = {n: curve_coverage(n) for n in (6, 10, 20, 50)}
    said = ", ".join(f"{100 * share:.1f} (n = {n})" for n, share in curve.items())
    print(f"\nShare of seeds that have converged, some unseen: {said}.")
    if options.picture:
        picture(found, options.picture)


if __name__ == "__main__":
    main()
