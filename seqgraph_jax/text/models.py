"""A trained character model in a directory: everything that sampling needs.

A directory holds ``config.json``, ``vocabulary.json`` and Orbax checkpoints
``state/ARM/STEP``, with or without the optimiser's state.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax.core import FrozenDict

from seqgraph_jax.recurrent.networks import has_option
from seqgraph_jax.text.corpus import TextError, Vocabulary
from seqgraph_jax.text.networks import CharLM
from seqgraph_jax.training import checkpoints
from seqgraph_jax.training.checkpoints import CheckpointError


@dataclass(frozen=True)
class TextModel:
    """A model, the parameters of all seeds ``[S, ...]``, and their vocabulary."""

    model: CharLM
    params: Any
    vocabulary: Vocabulary
    seeds: tuple[int, ...]
    step: int  # updates that the parameters have had
    config: Mapping[str, Any]

    @property
    def holdout_of(self) -> Literal["book", "file"]:
        """Of what the end was held out; of models that do not say, the file."""
        return "book" if self.config.get("holdout_of") == "book" else "file"

    @property
    def first(self) -> "TextModel":
        """The text model of the first seed alone."""
        params = jax.tree.map(lambda leaf: leaf[:1], self.params)
        return replace(self, params=params, seeds=self.seeds[:1])


#: Updates after which the reference looks at what is written; these checkpoints stay.
KEEP_STEPS = (100, 400, 1000, 3000, 6000, 9000)


def kept_steps(directory: Path | str, cell: str) -> list[int]:
    """Steps of a text model's checkpoints that are among these, and the last."""
    there = checkpoints.steps(Path(directory) / "state" / cell)
    return [step for step in there if step in KEEP_STEPS or step == there[-1]]


def char_lm(config: Mapping[str, Any], num_symbols: int) -> CharLM:
    """The network that settings describe, as they stand in config.json.

    Raises `ValueError` for an unknown cell, `KeyError` for a missing setting.
    """
    cell = config["cell"]
    options = (
        {"forget_bias": config["forget_bias"]}
        if has_option(cell, "forget_bias")
        else {}
    )
    return CharLM(
        cell=cell,
        features=config["hidden"],
        num_symbols=num_symbols,
        embedding_features=config["embedding"],
        num_layers=config["layers"],
        dropout_rate=config["dropout"],
        tie_weights=config["tie_weights"],
        cell_options=FrozenDict(options),
    )


def load_text_model(directory: Path | str, step: int | None = None) -> TextModel:
    """Read a text model; the newest step without ``step``.

    Raises `CheckpointError` if the directory holds none, another kind of model, or a
    damaged one.
    """
    directory = Path(directory)
    if not (directory / "config.json").is_file():
        raise CheckpointError(f"{directory} holds no trained model (no config.json)")
    if not (directory / "vocabulary.json").is_file():
        raise CheckpointError(
            f"{directory} is not a text model: it has no vocabulary.json"
        )
    try:
        vocabulary = Vocabulary.load(directory / "vocabulary.json")
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        char_lm(config, len(vocabulary))
        seeds = tuple(int(seed) for seed in config["seeds"])
        arm = directory / "state" / config["cell"]
    except (TextError, KeyError, TypeError, ValueError, OSError) as error:
        raise CheckpointError(
            f"{directory} is not a text model: {error!s:.200}"
        ) from error
    checkpoint = checkpoints.load(arm, step)
    known = checkpoint.config.get("vocabulary_sha256", vocabulary.sha256)
    if vocabulary.sha256 != known:
        raise CheckpointError(
            f"{directory / 'vocabulary.json'} is not the vocabulary that {arm} was "
            "trained with: its characters or their order were changed"
        )
    config = {**config, **checkpoint.config}  # of this arm, where settings were chosen
    model = char_lm(config, len(vocabulary))
    like = jax.eval_shape(
        lambda: jax.vmap(lambda key: _params(model, key))(
            jax.random.split(jax.random.key(0), len(seeds))
        )
    )
    stored = checkpoint.restore("state.params", like, any_precision=True)
    return TextModel(model, stored, vocabulary, seeds, checkpoint.step, config)


def _params(model: CharLM, key: jax.Array) -> Any:
    return model.init(key, jnp.zeros((1, 1), jnp.int32))["params"]


def save_text_model(
    text_model: TextModel, directory: Path | str, dtype: Any = np.float32
) -> None:
    """Write a text model, parameters alone, rounded to ``dtype``.

    Steps that are there already stay. Raises `OSError` if it cannot be written.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    vocabulary = text_model.vocabulary
    config = {**text_model.config, "vocabulary_sha256": vocabulary.sha256}
    arm = directory / "state" / config["cell"]
    params = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), text_model.params)
    kept = checkpoints.steps(arm)
    tree = {"state": {"params": params}}
    path = checkpoints.save(arm, text_model.step, tree, config, keep_steps=kept)
    # Orbax writes the absolute path into this file and never reads it on a disk.
    (path / "commit_success.txt").unlink(missing_ok=True)
    vocabulary.save(directory / "vocabulary.json")
    text = json.dumps(config, indent=2)
    (directory / "config.json").write_text(text + "\n", encoding="utf-8")
