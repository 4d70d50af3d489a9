"""Recurrent and graph networks in JAX and Flax, trained for many random seeds as one
compiled program.

Axis letters, everywhere: S seeds, K evaluations, B batch, T time, F input features,
H hidden features, V vocabulary, N nodes, E edges, A attention heads.
"""

from seqgraph_jax import checkpoints, statistics, tasks
from seqgraph_jax.cells import CELLS, GRUCell, LSTMCell, PeepholeLSTMCell, RNNCell
from seqgraph_jax.networks import SequenceClassifier, cell_named, num_params
from seqgraph_jax.recurrent import Bidirectional, Recurrent, Stack
from seqgraph_jax.reporting import report
from seqgraph_jax.results import compare
from seqgraph_jax.runs import Run
from seqgraph_jax.seeds import apply_seeds, iterate_seeds, train_seeds
from seqgraph_jax.training import TrainConfig, TrainState, train

__all__ = [
    "CELLS",
    "Bidirectional",
    "GRUCell",
    "LSTMCell",
    "PeepholeLSTMCell",
    "RNNCell",
    "Recurrent",
    "Run",
    "SequenceClassifier",
    "Stack",
    "TrainConfig",
    "TrainState",
    "apply_seeds",
    "cell_named",
    "checkpoints",
    "compare",
    "iterate_seeds",
    "num_params",
    "report",
    "statistics",
    "tasks",
    "train",
    "train_seeds",
]
