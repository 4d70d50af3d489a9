"""How well scores rank what happens: average precision, recall of the first k."""

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
