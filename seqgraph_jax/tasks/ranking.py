"""How well scores rank what happens: average precision, recall of the first k."""

from typing import Any

import numpy as np


def average_precision(scores: np.ndarray, happens: np.ndarray) -> float:
    r"""Average precision of scores for what happens, any shape.

    .. math:: \mathrm{AP} = \sum_k (R_k - R_{k-1})\, P_k

    over the different scores from the highest down, where R_k and P_k are recall and
    precision of all that score so high: what scores alike comes together, in whatever
    order it stands. NaN if nothing happens.

    >>> average_precision(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
    0.8333333333333333
    """
    scores, happens = np.ravel(scores), np.ravel(happens)
    order = np.argsort(-scores, kind="stable")
    scores, happens = scores[order], happens[order]
    last = np.append(scores[1:] != scores[:-1], True)  # of those that score alike
    found = np.cumsum(happens)[last]
    if not len(found) or not found[-1]:
        return float("nan")
    precision = found / (np.flatnonzero(last) + 1)
    return float(np.sum(np.diff(found, prepend=0) * precision) / found[-1])


def recall_at(k: int, scores: np.ndarray, happens: np.ndarray) -> np.ndarray:
    """Share of what happens that is among the k highest scores of its row, ``[R]``.

    Shapes: scores and happens ``[R, V]``; a score of minus infinity is never among
    them. NaN for a row in which nothing happens. Where scores at the border are alike,
    each of these counts by the share of them that still has room.

    >>> scores = np.array([[3.0, 2.0, 2.0], [1.0, 2.0, 3.0]])
    >>> recall_at(2, scores, np.array([[False, True, False], [False] * 3])).tolist()
    [0.5, nan]
    """
    k = min(k, scores.shape[1])
    border = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]  # [R, 1]
    above = scores > border
    alike = (scores == border) & np.isfinite(scores)
    room = (k - above.sum(1)) / np.maximum(1, alike.sum(1))
    found = (above & happens).sum(1) + room * (alike & happens).sum(1)
    total = happens.sum(1)
    return np.where(total > 0, found / np.maximum(1, total), np.nan)


def average_precisions(
    scores: np.ndarray,
    happens: np.ndarray,
    group: np.ndarray,
    weights: np.ndarray,
    most: int = 2000,
) -> np.ndarray:
    """`average_precision` where each value counts as often as its group does, ``[D]``.

    Shapes: scores, happens and group ``[N]``, groups 0 to G - 1; weights ``[D, G]``.
    With weights drawn as counts of groups it is a bootstrap of groups. NaN where
    nothing that happens has a weight. Of more than ``most`` different scores of what
    happens so many quantiles are told apart, and what lies between two is alike; fewer
    than these, 200 at least, where there are so many groups that tables of all would
    have more than 2^25 cells.

    >>> scores, happens = np.array([3.0, 2.0, 1.0]), np.array([True, False, True])
    >>> weights = np.array([[1, 1], [0, 2]])
    >>> average_precisions(scores, happens, np.array([0, 1, 1]), weights).round(3)
    array([0.833, 0.5  ])
    """
    borders = np.unique(scores[happens])[::-1]
    if not len(borders):
        return np.full(len(weights), np.nan)
    groups, group = np.unique(group, return_inverse=True)
    most = min(most, max(200, 2**25 // len(groups)))
    if len(borders) > most:
        places = np.linspace(0, len(borders) - 1, most).round().astype(int)
        borders = borders[places]  # the highest and the lowest among them
    place = np.searchsorted(-borders, -scores)  # the first border that lets it in
    shape = (len(groups), len(borders) + 1)
    tables = []
    for which in (np.ones_like(happens), happens):
        flat = group[which] * shape[1] + place[which]
        table = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
        tables.append(np.cumsum(table[:, :-1], axis=1, dtype=float))
    number = max(1, len(weights) * len(borders) >> 21)
    parts = np.array_split(weights[:, groups], number)
    return np.concatenate([_precisions(part, *tables) for part in parts])


def _precisions(weights: np.ndarray, of_all: np.ndarray, of_found: np.ndarray) -> Any:
    """From counts at or above each border ``[G, K]``; in parts, to bound the memory."""
    chosen, found = weights @ of_all, weights @ of_found  # [D, K]
    total = found[:, -1]
    precision = found / np.maximum(chosen, 1e-9)
    summed = (np.diff(found, prepend=0) * precision).sum(1)
    return np.where(total > 0, summed / np.maximum(total, 1e-9), np.nan)
