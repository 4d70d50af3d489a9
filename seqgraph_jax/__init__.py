"""Recurrent and graph networks in JAX and Flax, trained for many random seeds as one
compiled program.

Axis letters, everywhere: S seeds, K evaluations, B batch, T time, F input features,
H hidden features, V vocabulary, N nodes, E edges, A attention heads.
"""

from seqgraph_jax import (
    checkpoints,
    datasets,
    sampling,
    statistics,
    tasks,
    text,
    training,
)
from seqgraph_jax.adjacency import Adjacency, IndexedGraph, index_graph
from seqgraph_jax.attention import GraphAttention
from seqgraph_jax.cells import CELLS, GRUCell, LSTMCell, PeepholeLSTMCell, RNNCell
from seqgraph_jax.features import SparseFeatures
from seqgraph_jax.graph_networks import LAYERS, GraphClassifier, NodeClassifier
from seqgraph_jax.graph_tasks import NodeTask, Split, node_inputs, random_split
from seqgraph_jax.graphs import GraphConvolution, GraphIsomorphism, readout
from seqgraph_jax.networks import (
    CharLM,
    SequenceClassifier,
    SequenceReader,
    cell_named,
    num_params,
)
from seqgraph_jax.propagation import propagate
from seqgraph_jax.recurrent import Bidirectional, Recurrent, Stack
from seqgraph_jax.reporting import report
from seqgraph_jax.results import compare
from seqgraph_jax.runs import Run
from seqgraph_jax.sampling import beam_search, generate
from seqgraph_jax.seeds import apply_seeds, iterate_seeds, train_seeds
from seqgraph_jax.text_models import load_text_model
from seqgraph_jax.training import TrainConfig, TrainState, train

__all__ = [
    "CELLS",
    "LAYERS",
    "Adjacency",
    "Bidirectional",
    "CharLM",
    "GRUCell",
    "GraphAttention",
    "GraphClassifier",
    "GraphConvolution",
    "GraphIsomorphism",
    "IndexedGraph",
    "LSTMCell",
    "NodeClassifier",
    "NodeTask",
    "PeepholeLSTMCell",
    "RNNCell",
    "Recurrent",
    "Run",
    "SequenceClassifier",
    "SequenceReader",
    "SparseFeatures",
    "Split",
    "Stack",
    "TrainConfig",
    "TrainState",
    "apply_seeds",
    "beam_search",
    "cell_named",
    "checkpoints",
    "compare",
    "datasets",
    "generate",
    "index_graph",
    "iterate_seeds",
    "load_text_model",
    "node_inputs",
    "num_params",
    "propagate",
    "random_split",
    "readout",
    "report",
    "sampling",
    "statistics",
    "tasks",
    "text",
    "train",
    "train_seeds",
    "training",
]
