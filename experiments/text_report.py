"""What training of a character model shows: progress, samples, tables, pictures."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

import seqgraph_jax as sg
from experiments import writing
from experiments.cli import START, UsageError
from experiments.directory import Directory
from experiments.runner import rich_table
from seqgraph_jax.reports import pages as reporting
from seqgraph_jax.reports import results, statistics
from seqgraph_jax.reports.pages import Section, Table
from seqgraph_jax.text import sampling
from seqgraph_jax.text.models import TextModel, load_text_model
from seqgraph_jax.training import checkpoints

#: Rows of the results table: label, metric, whether it is a share.
ROWS = (
    ("training accuracy", "train_accuracy", True),
    ("training bits per character", "train_bits_per_char", False),
    ("evaluation accuracy", "accuracy", True),
    ("evaluation bits per character", "bits_per_char", False),
)


def status(characters_per_update: int, run: sg.Run) -> str:
    """Means over seeds, and characters of all seeds a second.

    Loss (nats) and accuracy are those of training, bits of the evaluation text.
    """
    rate = run.updates[-1] * characters_per_update / max(run.train_s, 1e-9)
    loss, accuracy, held_out = (
        run.metrics[name][:, -1].mean()
        for name in ("train_loss", "train_accuracy", "bits_per_char")
    )
    return (
        f"loss {loss:.3f}, accuracy {accuracy:.1%}, "
        f"{held_out:.3f} bits/char, {rate:,.0f} char/s"
    )


def line(model: Any, vocabulary: Any, run: sg.Run) -> str:
    """A line that the first seed's network writes at this evaluation, tau = 2."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf[0]), run.lanes[0].params)
    nothing = jnp.zeros((1, 0), jnp.int32)
    tokens = sampling.generate(
        model, params, jax.random.key(0), nothing, 60, len(vocabulary), 2.0
    )
    return f"{run.updates[-1]:>6,}  {vocabulary.decode(tokens[0])!r}"


def first_seed(loaded: TextModel) -> TextModel:
    """The text model of the first seed alone."""
    params = jax.tree.map(lambda leaf: leaf[:1], loaded.params)
    return TextModel(
        loaded.model,
        params,
        loaded.vocabulary,
        loaded.seeds[:1],
        loaded.step,
        loaded.config,
    )


def _written(
    loaded: TextModel, length: int, tau: float, num: int = 5, prompt: str = ""
) -> list[str]:
    tokens = loaded.vocabulary.encode(prompt)
    return writing.texts(loaded, tokens, length, num, seed=0, multiply_by=tau)[0]


def sample_tables(path: Path, steps: Sequence[int]) -> list[Section]:
    """What the first seed's network writes, as the reference tabulates it."""
    models = {step: first_seed(load_text_model(path, step)) for step in steps}
    last = models[steps[-1]]
    training = [
        [f"{step:,}" if i == 0 else "", repr(text)]
        for step, loaded in models.items()
        for i, text in enumerate(_written(loaded, 30, float("inf")))
    ]
    lengths = [
        [f"{length}" if i == 0 else "", repr(text)]
        for length in (10, 30, 100, 200)
        for i, text in enumerate(_written(last, length, float("inf"), num=2))
    ]
    temperatures = [
        [f"{tau:g} (T = {1 / tau:g})" if i == 0 else "", repr(text)]
        for tau in (0.5, 1.0, 2.0)
        for i, text in enumerate(_written(last, 60, tau))
    ]
    sections = [
        Section(
            "Greedy sentences during training",
            Table(["updates", "five sentences of 30 characters"], training, prose=True),
        ),
        Section(
            "Greedy sentences by length",
            Table(["characters", "text"], lengths, prose=True),
        ),
        Section("Temperatures", Table(["tau", "five texts"], temperatures, prose=True)),
    ]
    prompt = "Sleeping beauty is "
    if set(prompt) <= set(last.vocabulary.characters):
        rows = [
            [f"{tau:g}", repr(text)]
            for tau in (1.0, 2.0, float("inf"))
            for text in _written(last, 60, tau, 2, prompt)
        ]
        sections.append(
            Section("A given beginning", Table(["tau", "text"], rows, prose=True))
        )
    return sections


def results_table(run: sg.Run) -> Table:
    """Mean, SD and interval over seeds, and every seed."""
    header = ["", "mean", "SD", "95 % interval", *(f"seed {s}" for s in run.seeds)]
    rows = []
    for label, metric, share in ROWS:
        values = run.values(metric)
        s = statistics.summarize(values)

        def shown(value: float, share: bool = share) -> str:
            return f"{value:.2%}" if share else f"{value:.4f}"

        interval = " to ".join(map(shown, s.ci95)) if s.n > 1 else "none"
        sd = shown(s.sd) if s.n > 1 else "none"
        rows.append([label, shown(s.mean), sd, interval, *map(shown, values)])
    caption = (
        f"After {run.updates[-1]:,} updates. Training values are means over the "
        f"batches of the last {run.config.eval_every} updates; SD divides by n - 1."
    )
    return Table(header, rows, caption)


def sentences(run: sg.Run, held_out: str) -> list[str]:
    """What was reached, and what the held-out text says of overfitting."""
    accuracy = statistics.summarize(run.values("train_accuracy"))
    bits = statistics.summarize(run.values("bits_per_char"))
    found = [
        f"Training accuracy is {accuracy.mean:.1%} and the {held_out} takes "
        f"{bits.mean:.3f} bits per character, on average over {accuracy.n} "
        f"seed{'s' if accuracy.n > 1 else ''}."
    ]
    curve = run.metrics["bits_per_char"].mean(axis=0)
    best = int(np.nanargmin(curve)) if np.isfinite(curve).any() else 0
    if best < len(curve) - 1:
        found.append(
            f"The {held_out} was predicted best after {run.updates[best]:,} updates "
            f"({curve[best]:.3f} bits per character, mean over seeds)."
        )
    return found


def finish(
    runs: Mapping[str, sg.Run],
    directory: Directory,
    *,
    experiment: str,
    question: str,
    command: str,
    setup_s: float,
) -> None:
    """Write the report, and print its table and where it is; raises `UsageError`."""
    ((arm, run),) = runs.items()
    path, settings = directory.path, directory.settings
    held_out = "held-out text" if settings["holdout"] else "training text"
    console = Console(highlight=False)
    steps = writing.steps_to_show(directory.arm(arm))
    try:
        tables = sample_tables(path, steps)
        timing = {
            "setup_s": setup_s,
            "compile_s": run.compile_s,
            "train_s": run.train_s,
            "total_s": time.perf_counter() - START,
        }
        record = results.results(experiment, settings, runs, [], timing)

        from seqgraph_jax.reports.plots import curves as plots

        reported = 0.64 if settings["corpus"] == "grimm" else None
        svg = reporting.write_figure(path, plots.plot_text(run, held_out, reported))
        found = sentences(run, held_out)
        html = reporting.page(
            title=f"A character model of {Path(settings['corpus']).name}",
            question=question,
            verdicts=found,
            warnings=[
                sentence for sentence in reporting.warnings(runs) if "diver" in sentence
            ],
            sections=[
                Section("Results", results_table(run)),
                Section("Curves", svg=svg),
                *tables,
            ],
            record=record,
            command=command,
        )
        results.write_text(path / "report.html", html)
        results.write_metrics(path / "metrics.jsonl", runs)
        results.write_json(path / "results.json", record)
    except checkpoints.CheckpointError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(
            f"cannot write to {path}: {error.strerror or error}"
        ) from error
    console.print(rich_table(results_table(run)), soft_wrap=True)
    for sentence in found:
        console.print(sentence, soft_wrap=True)
    console.print(f"Report: {path / 'report.html'}", soft_wrap=True)
    console.print(f"Samples: python -m experiments.sample --checkpoint {path}")
