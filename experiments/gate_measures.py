"""What experiments.gradients measures in the gates of trained LSTMs.

On Baum-Sweet numbers, for every seed, and in the shipped text model. Padding is read
by a network, but never counted.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import seqgraph_jax as sg
from experiments import lstm_vs_gru
from seqgraph_jax.analysis.gates import BOUNDS, Gates, lstm_gates, saturation
from seqgraph_jax.tasks.binary import binary_symbols
from seqgraph_jax.text.models import TextModel

GATES = ("i", "f", "o", "g")
NUM_BINS = 40
NUM_NUMBERS, NUM_NUMBERS_SMOKE = 1024, 64  # whose gates are counted
NUMBERS_KEY = 0x6A7E  # draws them
#: Blocks of zeros of even length, then one of three: the answer is settled there.
NUMBER = 0b10010000110001001001
WRITTEN, WRITTEN_SMOKE = (16, 400), (2, 30)  # texts, and their characters
SENTENCE = "The king said: ‘Dear child, what you have promised you must keep.’"

Shares = dict[str, tuple[np.ndarray, np.ndarray]]  # left, right [S, H] by gate


class Trained(NamedTuple):
    """A network, what it was trained on, and how that went."""

    model: sg.SequenceClassifier
    task: Any
    run: sg.Run


class Counted(NamedTuple):
    """Values of all units at all digits of numbers, by gate."""

    histograms: dict[str, tuple[np.ndarray, np.ndarray]]  # edges [N + 1], shares [S, N]
    shares: Shares
    num_numbers: int
    num_digits: int  # of all numbers together
    accuracies: np.ndarray  # on these numbers, [S]


class Course(NamedTuple):
    """One network along one number: ``gates [T, H]``, and the answer after each bit."""

    digits: str
    gates: Gates
    answers: np.ndarray  # probability of label 1, [T]


def train_baum_sweet(seeds: Sequence[int], smoke: bool) -> Trained:
    """The LSTM of the quick preset of experiments.lstm_vs_gru, trained for all seeds.

    It ends once every seed has answered the whole evaluation set ten times in a row.
    """
    config = lstm_vs_gru.configure(["--smoke"] if smoke else [])
    task, models = lstm_vs_gru.build(config)
    # All seeds on one device: compiling for another takes longer than training there.
    run = sg.train_seeds(models["lstm"], task, config.train, seeds, width=len(seeds))
    return Trained(models["lstm"], task, run)


def of_seed(params: Any, s: int) -> Any:
    """One seed's parameters."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[s]), params)


@jax.jit
def answers(params: Mapping[str, Any], hidden: jax.Array) -> jax.Array:
    """Probabilities of the labels ``[N, C]`` after hidden states ``[N, H]``."""
    head = params["head"]
    return jax.nn.softmax(hidden @ head["kernel"] + head["bias"][None])


@jax.jit
def layer_gates(params: Mapping[str, Any], tokens: jax.Array) -> list[Gates]:
    """Gates of every LSTM layer on ``tokens [B, T]``, the lowest layer first."""
    num_layers = sum(name.startswith("LSTMCell_") for name in params)
    cells = [params[f"LSTMCell_{n}"] for n in range(num_layers)]
    layers = [lstm_gates(cells[0], params["embedding"], tokens=tokens)]
    for cell in cells[1:]:
        layers.append(lstm_gates(cell, layers[-1].hidden))
    return layers


_saturation = jax.jit(saturation)


def saturations(gates: Gates, counted: jax.Array | None = None) -> dict[str, Any]:
    """Left and right shares of every gate, ``[H]`` each."""
    return {
        gate: _saturation(getattr(gates, gate), counted, *BOUNDS[gate])
        for gate in GATES
    }


def count_gates(trained: Trained, smoke: bool) -> Counted:
    """Distribution and saturation of the gates, on numbers drawn as in training."""
    size = NUM_NUMBERS_SMOKE if smoke else NUM_NUMBERS
    numbers = trained.task.sample(jax.random.key(NUMBERS_KEY), size)
    counted = numbers.inputs != 0
    mask, params = np.asarray(counted), trained.run.state.params
    edges = {g: np.linspace(-1 if g == "g" else 0, 1, NUM_BINS + 1) for g in GATES}
    counts: dict[str, list[Any]] = {gate: [] for gate in GATES}
    shares: dict[str, list[Any]] = {gate: [] for gate in GATES}
    given = []  # labels, [B] of each seed
    for s in range(len(trained.run.seeds)):
        mine = of_seed(params, s)
        [gates] = layer_gates(mine, numbers.inputs)
        given.append(answers(mine, gates.hidden[:, -1]).argmax(-1))
        for gate, found in saturations(gates, counted).items():
            values = np.asarray(getattr(gates, gate))[mask]  # [n, H]
            counts[gate].append(np.histogram(values, edges[gate])[0] / values.size)
            shares[gate].append(found)
    stacked = {gate: np.array(shares[gate]) for gate in GATES}  # [S, 2, H]
    return Counted(
        {gate: (edges[gate], np.array(counts[gate])) for gate in GATES},
        {gate: (both[:, 0], both[:, 1]) for gate, both in stacked.items()},
        size,
        int(mask.sum()),
        (np.array(given) == np.asarray(numbers.targets)).mean(1),
    )


def number_course(trained: Trained) -> Course:
    """The first seed's network along `NUMBER`, padding left out."""
    params, digits = of_seed(trained.run.state.params, 0), f"{NUMBER:b}"
    tokens = binary_symbols(jnp.array([NUMBER]), trained.task.length)
    [gates] = layer_gates(params, tokens)
    gates = Gates(*(np.asarray(values)[0, -len(digits) :] for values in gates))
    return Course(digits, gates, np.asarray(answers(params, gates.hidden))[:, 1])


def text_gates(loaded: TextModel, smoke: bool) -> tuple[list[Shares], list[Gates]]:
    """Of every layer of the first seed's network, the lowest first.

    Saturation while it reads what it wrote itself, drawn from its probabilities after
    a line end, ``[1, H]``; and gates along `SENTENCE`, ``[T, H]``.
    """
    params, vocabulary = of_seed(loaded.params, 0), loaded.vocabulary
    count, length = WRITTEN_SMOKE if smoke else WRITTEN
    prompt = jnp.asarray(np.tile(vocabulary.encode("\n"), (count, 1)))
    key = jax.random.key(0)
    texts = sg.generate(loaded.model, params, key, prompt, length, len(vocabulary))
    shares: list[Shares] = []
    for gates in layer_gates(params, texts):
        found = {gate: np.array(both) for gate, both in saturations(gates).items()}
        shares.append({gate: (both[:1], both[1:]) for gate, both in found.items()})
    sentence = jnp.asarray(vocabulary.encode(SENTENCE))[None]
    courses = layer_gates(params, sentence)
    return shares, [Gates(*(np.asarray(v)[0] for v in gates)) for gates in courses]


def most_varied(gates: Gates, count: int) -> np.ndarray:
    """Units whose cell state ``[T, H]`` has the highest SD over T, in that order."""
    return np.argsort(-np.std(gates.cell, axis=0), kind="stable")[:count]
