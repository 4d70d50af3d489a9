"""What trained networks reach on the test sets of their task."""

from dataclasses import replace
from typing import Any, cast

import jax
import numpy as np

from seqgraph_jax.training.metrics import Metric
from seqgraph_jax.training.runs import Run
from seqgraph_jax.training.task import Tested


def on_test_sets(run: Run, task: Tested, limit: int | None = None) -> Run:
    """The run with what its last networks reach on each test set, ``METRIC_on_SET``.

    The metric is the one that the run is judged by. ``limit`` is how many examples of
    each set count, from its beginning; with None all do.
    """
    sets = jax.tree.map(lambda leaf: leaf[:limit], jax.jit(task.test_sets)())
    judge = jax.jit(jax.vmap(cast(Any, task).metrics, in_axes=(0, None)))
    inputs = np.concatenate([batch.inputs for batch in sets.values()])
    ends = np.cumsum([len(batch.targets) for batch in sets.values()])
    outputs = np.split(run.predict(inputs, best=False), ends[:-1], axis=1)
    of, reached = run.record(run.judged_by), {}
    for (name, batch), part in zip(sets.items(), outputs, strict=True):
        label = f"{of.words_for_it} on {name.replace('_', ' ')}"
        metric: Metric = replace(of, name=f"{of.name}_on_{name}", label=label)
        reached[metric] = np.asarray(judge(part, batch.targets)[of.name])
    return run.adding(reached)
