"""How can a trained character model be passed on in a few megabytes?

Time: half a minute.

    python -m experiments.export --run checkpoints/my-grimm --out my-model

Copies the first seed's network of a run of experiments.train_text, without the
optimiser's state and in half precision, with its configuration, vocabulary, training
curves, and a model card with what it reaches as stored. The copy is judged on the
held-out text; experiments.sample takes it as --checkpoint.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import seqgraph_jax as sg
from experiments import temperature
from experiments.harness.cli import parse
from experiments.harness.command import UsageError, command, command_line, set_up
from seqgraph_jax.training.metrics import counted

MODULE = "experiments.export"
GRIMM = """
The text is in the public domain in the USA (Project Gutenberg, ebook 2591, translated
by Edgar Taylor and Marian Edwardes). The model writes in its style and copies parts of
it; it knows nothing else.
"""


@dataclass(frozen=True)
class Config:
    """Flags of this command."""

    run: Path = Path("checkpoints/my-grimm")  # run directory of experiments.train_text
    out: Path = Path("my-model")  # new directory to write
    steps: tuple[int, ...] = (400,)  # checkpoints to take besides the last, if kept
    compilation_cache: bool = True  # keep compiled programs in the user's cache


def run(argv: Sequence[str]) -> None:
    """Write the copy."""
    config = parse(Config(), argv, f"python -m {MODULE}", __doc__ or "")
    set_up(config.compilation_cache)
    if config.out.exists():
        raise UsageError(f"{config.out} exists already")
    try:
        last = sg.load_text_model(config.run)
        there = sg.checkpoints.steps(config.run / "state" / last.config["cell"])
        kept = [step for step in config.steps if step in there]
        models = [sg.load_text_model(config.run, step) for step in kept]
        record = json.loads((config.run / "results.json").read_text(encoding="utf-8"))
        rows = (config.run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except (sg.checkpoints.CheckpointError, OSError) as error:
        raise UsageError(f"{config.run} is not a finished run: {error}") from error
    seed = last.seeds[0]
    for loaded in (*models, last):
        settings = {**loaded.config, "seeds": [seed], "dtype": "float16"}
        one = replace(loaded.first, config=settings)
        sg.text.save_text_model(one, config.out, dtype="float16")
    own = [row for row in rows if json.loads(row)["seed"] == seed]
    (config.out / "metrics.jsonl").write_text("\n".join(own) + "\n", encoding="utf-8")
    shutil.copy(config.run / "curves.png", config.out / "curves.png")
    stored = sg.load_text_model(config.out)
    card = _card(
        last, stored, kept, record, str(config.run), command_line(MODULE, argv)
    )
    sg.reports.results.write_text(config.out / "README.md", card)
    size = sum(path.stat().st_size for path in config.out.rglob("*") if path.is_file())
    print(f"{config.out}: {size / 1e6:.1f} MB, {len(kept) + 1} checkpoints")


def _judge(loaded: Any) -> dict[str, float]:
    """Metrics of the first seed's network on the evaluation text of its training."""
    config = loaded.config
    corpus = temperature.read_corpus(temperature.Config(), loaded)
    task = sg.text.text_task(
        loaded.vocabulary,
        corpus,
        config["window"],
        config["holdout"],
        holdout_of=loaded.holdout_of,
    )
    train = sg.TrainConfig(eval_seed=config["eval_seed"], eval_size=config["eval_size"])
    batch = sg.training.eval_batch(task, train)
    [outputs] = sg.text.evaluation.outputs_of(loaded.first, batch.inputs)
    return {k: float(v) for k, v in task.metrics(outputs, batch.targets).items()}


def _card(
    full: Any, stored: Any, steps: Sequence[int], record: Any, run: str, command: str
) -> str:
    """The model card: data, steps, what is reached, how to make it again."""
    config, seed = stored.config, stored.seeds[0]
    exact, rounded = _judge(full), _judge(stored)
    arm = record["arms"][config["cell"]]
    trained = {name: m["per_seed"][0] for name, m in arm["metrics"].items()}
    environment = record["environment"]
    devices = counted(environment["num_devices"], "device")
    where = "held-out text" if config["holdout"] else "training text"
    kept = ", ".join(f"{step:,}" for step in (*steps, stored.step))
    return f"""# A character model of {Path(config["corpus"]).name}

| | |
| --- | --- |
| network | embedding {config["embedding"]}, {config["layers"]} layers \
{config["cell"]} of {config["hidden"]}, linear; {arm["num_params"]:,} parameters |
| data | `--corpus {config["corpus"]}`, {config["vocabulary_size"]} characters, \
the last {config["holdout"]:.0%} of the {stored.holdout_of} held out; \
SHA-256 of the text \
`{config["corpus_sha256"]}` |
| training | {stored.step:,} updates of Adam, learning rate \
{config["learning_rate"]:g}, batch {config["batch_size"]}, windows of \
{config["window"]}; seed {seed}, the first of \
{len(record["seeds"])} that were trained, not the best |
| training accuracy | {trained["train_accuracy"]:.2%} \
({trained["train_bits_per_char"]:.3f} bits per character), mean over the last \
{config["eval_every"]} updates |
| {where} | {exact["accuracy"]:.2%}, {exact["bits_per_char"]:.4f} bits per character |
| {where}, as stored here | {rounded["accuracy"]:.2%}, \
{rounded["bits_per_char"]:.4f} bits per character |
| stored | parameters after {kept} updates, float16, without the optimiser's state |

Trained with JAX {environment["jax"]} on {devices} of kind {environment["device"]}, \
all seeds at once, {record["timing"]["train_s"] / 60:.1f} minutes without compilation. \
`metrics.jsonl` and `curves.png` are its training curves. To make it again:

```
python -m experiments.train_text --seeds {" ".join(map(str, record["seeds"]))} \
--out {run}
{command}
```
{GRIMM if config["corpus"] == "grimm" else ""}"""


main = command(MODULE, run)

if __name__ == "__main__":
    sys.exit(main())
