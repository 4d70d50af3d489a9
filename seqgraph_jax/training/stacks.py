"""What the runs of one program have in common, and what each has of its own."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np


def shared_and_own(trees: Sequence[Any]) -> tuple[list[Any], list[Any], Any]:
    """Leaves that are one array in all trees, the others stacked, and how they join.

    Empty ones hold nothing that could differ, and no device would take a part of them.
    Returns ``shared``, ``own [S, ...]``, and ``join(shared, own of a seed) -> tree``.
    """
    columns = list(zip(*(jax.tree.leaves(tree) for tree in trees), strict=True))
    is_shared = [
        all(leaf is column[0] or np.size(leaf) == 0 for leaf in column)
        for column in columns
    ]
    structure = jax.tree.structure(trees[0])
    shared = [c[0] for c, same in zip(columns, is_shared, strict=True) if same]
    own = [
        np.stack([np.asarray(leaf) for leaf in column])
        for column, same in zip(columns, is_shared, strict=True)
        if not same
    ]

    def join(shared: Sequence[Any], own: Sequence[Any]) -> Any:
        sources = {True: iter(shared), False: iter(own)}
        return jax.tree.unflatten(structure, [next(sources[s]) for s in is_shared])

    return shared, own, join
