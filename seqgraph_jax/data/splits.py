"""Which nodes, or which graphs, are trained on, chosen by, and tested on."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from seqgraph_jax.data.checks import DataError
from seqgraph_jax.data.records import GraphData


class Split(NamedTuple):
    """Nodes to train on, to choose the epoch by, and to test on: ``[N]`` bool each."""

    train_mask: Any
    val_mask: Any
    test_mask: Any


def check_split(split: Split, labels: Any = None, what: str = "node") -> None:
    """Raise `DataError` for a set with nothing that counts, and for sets that overlap.

    Where there are ``labels``, -1 for none, only what has one counts.

    >>> check_split(Split(*np.eye(3, dtype=bool)), labels=np.array([0, 1, 0]))
    """
    known = True if labels is None else np.asarray(labels) >= 0
    which = what if labels is None else f"{what} with a label"
    for name, mask in split._asdict().items():
        if mask is None or not (np.asarray(mask) & known).any():
            raise DataError(
                f"no {which} is in {name}: training, the choice of the epoch and the "
                f"test need one each, so put some there or draw all three sets anew"
            )
    for row in np.flatnonzero(np.sum([*split], axis=0) > 1)[:1]:
        names = [name for name, mask in split._asdict().items() if mask[row]]
        raise DataError(
            f"{what} {row} is in {' and in '.join(names)}: put it into one of them"
        )


def random_split(
    labels: np.ndarray,
    seed: int,
    per_class: int = 20,
    num_val: int = 500,
    num_test: int = 1000,
) -> Split:
    """A random split of the kind of Planetoid's: some of each class, then val and test.

    Of a class of n nodes ``min(per_class, ceil(n / 3))`` are trained on, and at most
    a third of the rest is ``val``. Nodes without a label are in no set.

    Raises `DataError` if there are too few nodes for all three sets.

    >>> split = random_split(np.arange(90) % 3, seed=0, per_class=10)
    >>> [int(members.sum()) for members in split]
    [30, 20, 40]
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.flatnonzero(labels >= 0))
    train = np.zeros(len(labels), bool)
    for label in np.unique(labels[order]):
        members = order[labels[order] == label]
        train[members[: min(per_class, -(-len(members) // 3))]] = True
    rest = order[~train[order]]
    end_val = min(num_val, len(rest) // 3)
    end_test = min(end_val + num_test, len(rest))
    val, test = np.zeros_like(train), np.zeros_like(train)
    val[rest[:end_val]], test[rest[end_val:end_test]] = True, True
    if not (val.any() and test.any()):
        raise DataError(
            f"there are too few labelled nodes for a split, {len(order)}: {per_class} "
            "of each class to train on leave none to test on"
        )
    return Split(train, val, test)


def fold_splits(labels: np.ndarray, num_folds: int, seed: int) -> list[Split]:
    """Splits of a stratified cross-validation: each fold once the test set.

    The next fold is the validation set. Folds differ by at most one graph in size and
    in the number of each class.

    >>> [split, *_] = fold_splits(np.array([0, 1] * 10), num_folds=5, seed=0)
    >>> [int(members.sum()) for members in split]
    [12, 4, 4]
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # class after class
    folds = np.empty(len(labels), int)
    folds[order] = np.arange(len(labels)) % num_folds
    splits = []
    for k in range(num_folds):
        test, val = folds == k, folds == (k + 1) % num_folds
        splits.append(Split(~(val | test), val, test))
    return splits


def patient_splits(num_patients: int, num_folds: int, seed: int) -> list[Split]:
    """Splits of a cross-validation of patients: each fold once the test set.

    Of the other patients every fifth, in an order at random, is in the validation set.
    Raises `ValueError` if there are too few patients for three sets.

    >>> [split, *_] = patient_splits(25, num_folds=5, seed=0)
    >>> [int(members.sum()) for members in split]
    [16, 4, 5]
    """
    if num_patients < max(4, num_folds):
        raise ValueError(
            f"{num_patients} patients are too few for {num_folds} folds, each with "
            "training, validation and test patients"
        )
    order = np.random.default_rng(seed).permutation(num_patients)
    splits = []
    for k in range(num_folds):
        test = order[k::num_folds]
        rest = order[np.arange(num_patients) % num_folds != k]
        val = rest[::5]
        splits.append(_split(num_patients, np.setdiff1d(rest, val), val, test))
    return splits


def _split(num_graphs: int, train: Any, val: Any, test: Any) -> Split:
    sets = np.zeros((3, num_graphs), bool)
    for row, members in zip(sets, (train, val, test), strict=True):
        row[members] = True
    return Split(*sets)


def shuffled_split(num_graphs: int, seed: int) -> Split:
    """At random 80 % to train on, 10 % to choose the epoch by, 10 % to test on.

    >>> [int(members.sum()) for members in shuffled_split(25, seed=0)]
    [20, 2, 3]
    """
    order = np.random.default_rng(seed).permutation(num_graphs)
    bounds = [round(0.8 * num_graphs), round(0.9 * num_graphs)]
    return _split(num_graphs, *np.split(order, bounds))


def scaffold_split(scaffolds: np.ndarray) -> Split:
    """About 80, 10 and 10 % of the graphs, where no scaffold is in two of the sets.

    Scaffolds are taken by size, the largest first, of equals the later one first. One
    goes whole into training where it fits, else into validation, else into test. There
    is no chance in it. Raises `ValueError` if a set stays empty.

    Source: Wu et al., MoleculeNet, 2018; the order is that of DeepChem's
    ``ScaffoldSplitter``.

    >>> split = scaffold_split(np.array([0] * 7 + [1, 2, 3]))
    >>> np.flatnonzero(split.val_mask), np.flatnonzero(split.test_mask)
    (array([8]), array([7]))
    """
    num_graphs = len(scaffolds)
    groups = [np.flatnonzero(scaffolds == name) for name in np.unique(scaffolds)]
    sets: tuple[list[int], list[int], list[int]] = ([], [], [])
    train, val, test = sets
    for group in sorted(groups, key=lambda g: (len(g), g[0]), reverse=True):
        if len(train) + len(group) <= 0.8 * num_graphs:
            train.extend(group)
        elif len(train) + len(val) + len(group) <= 0.9 * num_graphs:
            val.extend(group)
        else:
            test.extend(group)
    if not all(sets):
        raise ValueError(f"{len(groups)} scaffolds are too few for three sets")
    return _split(num_graphs, *sets)


def graph_splits(
    data: GraphData, kind: str, seeds: Sequence[int], num_folds: int = 10
) -> tuple[str, list[Split]]:
    """Splits of many graphs: for each seed one, or of classes one for each fold.

    ``kind`` is ``"folds"`` for classes, ``"random"`` or ``"scaffold"`` for values; auto
    is the first that fits. Returns the kind, too. By scaffold all seeds have the same.
    Raises `DataError` for a kind that the data cannot have, and for too few graphs.

    >>> from seqgraph_jax.data.synthetic import draw_molecules
    >>> kind, splits = graph_splits(draw_molecules(True), "auto", [0, 500], num_folds=3)
    >>> kind, len(splits)
    ('folds', 6)
    """
    fits = ("folds",) if data.num_classes else ("random", "scaffold")
    kind = fits[0] if kind == "auto" else kind
    if kind not in fits:
        what = "classes" if data.num_classes else "values"
        raise DataError(
            f"{data.name} has {what}: its split must be {' or '.join(fits)}, not {kind}"
        )
    fewest = num_folds if kind == "folds" else 10
    if data.num_graphs < fewest:
        raise DataError(
            f"{data.name} has {data.num_graphs} graphs: a split needs {fewest}"
        )
    if kind == "folds":
        of_seeds = [fold_splits(data.targets, num_folds, seed) for seed in seeds]
        return kind, [split for folds in of_seeds for split in folds]
    if kind == "random":
        return kind, [shuffled_split(data.num_graphs, seed) for seed in seeds]
    if data.scaffolds is None:
        raise DataError(f"{data.name} has no scaffolds: its split must be random")
    try:
        return kind, [scaffold_split(data.scaffolds)] * len(seeds)
    except ValueError as error:
        raise DataError(f"{data.name}: {error}") from error
