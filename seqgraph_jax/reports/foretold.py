"""Tables and pictures of what arms foretell of days of patients; of nobody alone.

An arm is what `seqgraph_jax.tasks.judged_stays` finds: ``interval(metric, other)`` is
its mean over seeds with the interval over patients, of the difference to another arm
where one is given.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seqgraph_jax.reports import statistics
from seqgraph_jax.reports.pages import Section
from seqgraph_jax.reports.results import Measured
from seqgraph_jax.reports.tables import Table
from seqgraph_jax.training.metrics import Metric, percent

Arms = Mapping[str, Any]
OVER_PATIENTS = (
    "Means over seeds; in brackets the 95 % interval over patients, who are drawn "
    "again with all their days (bootstrap, {:,} draws, percentiles corrected for "
    "bias). {}"
)
GAPS = (
    "Mean differences to {}, with 95 % intervals over the same draws of patients, each "
    "alone."
)


def means_table(found: Arms, shown: Mapping[Metric, str]) -> Table:
    """Means alone, under short names: for a terminal."""
    rows = [
        [name, *(metric.show(one.interval(metric)[0], unit=False) for metric in shown)]
        for name, one in found.items()
    ]
    return Table(["", *shown.values()], rows, "Means over seeds.")


def interval_table(
    found: Arms, metrics: Sequence[Metric], draws: int, caption: str
) -> Table:
    """A row for each arm, with intervals over patients."""
    rows = [
        [name, *(_words(metric, one.interval(metric)) for metric in metrics)]
        for name, one in found.items()
    ]
    header = ["", *(metric.axis for metric in metrics)]
    return Table(header, rows, OVER_PATIENTS.format(draws, caption))


def gap_table(
    found: Arms, names: Sequence[str], reference: str, metrics: Sequence[Metric]
) -> Table:
    """Differences of arms to one of them."""
    rows = []
    for name in names:
        gaps = [(m, found[name].interval(m, found[reference])) for m in metrics]
        rows.append([name, *(_words(*gap) for gap in gaps)])
    header = ["", *(metric.axis for metric in metrics)]
    return Table(header, rows, GAPS.format(reference))


def _words(metric: Metric, numbers: tuple[float, float, float]) -> str:
    mean, low, high = (f"{metric.scale * value:.3g}" for value in numbers)
    return f"{mean} [{low}, {high}]"


def best_of(found: Arms, metrics: Sequence[Metric]) -> str:
    """Which arm is best by what, in a sentence that claims no more."""
    best = []
    for metric in metrics:
        reached = {name: one.interval(metric)[0] for name, one in found.items()}
        name = max(reached, key=lambda arm: metric.sign * reached[arm])
        best.append(f"{metric.words_for_it}: {name} ({metric.show(reached[name])})")
    return f"Best on average, by {'; by '.join(best)}."


def said_of_gaps(
    found: Arms, names: Sequence[str], reference: str, metrics: Sequence[Metric]
) -> list[str]:
    """A sentence for each metric on the differences to one arm."""
    said = []
    for metric in metrics:
        gaps = [
            (name, found[name].interval(metric, found[reference])) for name in names
        ]
        each = ", ".join(f"{name} {_words(metric, gap)}" for name, gap in gaps)
        said.append(f"{metric.axis}, minus that of {reference}: {each}.")
    return said


def of_patients(one: Any, metric: Metric) -> Measured:
    """Each patient's mean over seeds, to be compared; not to be written."""
    return Measured({metric: one.by_patient[metric].mean(0)})


def cohort_table(cohort: Any, runs: Mapping[str, Any]) -> Table:
    """Counts of a cohort, with ``data``, ``pairs``, ``splits`` and ``packed``."""
    data, pairs, number = cohort.data, cohort.pairs, len(cohort.pairs.day)
    starts, stops = pairs.then & ~pairs.active, pairs.active & ~pairs.then
    beyond = []  # shares of starts that nothing could foretell
    for split in cohort.splits:
        test = split.test_mask[pairs.patient]
        seen = (pairs.active[~test] | pairs.then[~test]).any(0)
        beyond.append((starts[test] & ~seen).sum() / max(1, starts[test].sum()))
    counts = {
        "patients with a day pair": pairs.num_patients,
        "days that have a next one": number,
        "drugs": data.num_drugs,
        "kinds of flagged results": len(data.flag_names),
        "facts known at admission": len(data.known_names),
        "chunks": len(cohort.packed.row),
        **{f"parameters, {name}": run.num_params for name, run in runs.items()},
    }
    shares = {
        "starts a day": f"{starts.sum() / number:.2f}",
        "stops a day": f"{stops.sum() / number:.2f}",
        "days on which nothing starts, without a recall": percent(
            1 - starts.any(1).mean()
        ),
        "starts of drugs that no training patient had": percent(
            sum(beyond) / len(beyond)
        ),
    }
    rows = [[name, f"{count:,}"] for name, count in counts.items()]
    return Table(["", ""], [*rows, *map(list, shares.items())])


def count_table(counts: Mapping[str, int]) -> Table:
    """How many rows of the tables are of which kind."""
    rows = [[kind, f"{number:,}"] for kind, number in sorted(counts.items())]
    return Table(["kind", "rows"], rows or [["none", "0"]])


def pictures(
    found: Arms, names: Sequence[str], reference: str, nats: Metric, kinds: Arms
) -> Iterator[Section]:
    """Precision and recall, calibration, and gains of patients over the reference.

    ``kinds`` are what curves are of, in words by name.
    """
    from seqgraph_jax.reports import plots  # matplotlib takes a second to import

    shown = [reference, *names]
    curves = {name: found[name].curves for name in ("copy", *shown)}
    yield Section(
        f"Precision and recall of {' and of '.join(kinds.values())}, the first seed",
        figure=plots.stays.plot_precision_recall(curves, kinds),
        name="precision_recall",
    )
    sums = {name: found[name].calibration for name in shown}
    yield Section(
        "Do chances say how often it comes? All seeds, bins of 20 or more",
        figure=plots.stays.plot_calibration(sums, kinds),
        name="calibration",
    )
    means = {name: found[name].by_patient[nats].mean(0) for name in shown}
    gains = {name: means[reference] - means[name] for name in names}
    ends = [statistics.summarize(values).ci95 for values in gains.values()]
    label = f"gain over {reference} ({nats.unit})"
    yield Section(
        "Gain of every patient, and the mean's 95 % interval",
        figure=plots.stays.plot_patients(gains, ends, label),
        name="patients",
    )


def removal_picture(found: Arms, whole: Any, nats: Metric, heading: str) -> Section:
    """What is lost without each kind of edges; ``found`` are arms without one."""
    from seqgraph_jax.reports import plots

    losses = {name: one.interval(nats, whole) for name, one in found.items()}
    label = f"{nats.words_for_it} without, minus with ({nats.unit})"
    figure = plots.stays.plot_effects(losses, label)
    return Section(heading, None, figure, "relations")
