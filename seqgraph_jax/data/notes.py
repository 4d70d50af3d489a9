"""What the reader of a result must know of the data, in sentences."""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from seqgraph_jax.data.features import features_kind
from seqgraph_jax.data.records import NodeData

SCALES = {
    "raw": "as they stand in the data",
    "rows": "each node's divided by their sum",
    "standard": "each column less its mean and divided by its standard deviation over",
    "identity": "one of its own for each node",
    "degree": "the number of edges that come in, one-hot",
}
ONE_WAY = (
    "No edge has its opposite, so edges are taken as directed: a node hears the first "
    "nodes of its edges alone."
)
#: Of strings as paths, by the form of their edges.
PATHS = {
    "forward": "An edge leads from each digit to the next: graph networks are told the "
    "direction, as recurrent ones are by reading.",
    "both": "Edges lead both ways, and no network has positions: graph networks are "
    "not told the direction, which recurrent ones have by reading. A string read "
    "backwards has the same label.",
}
PAIRS = (
    "A pair is a string of label 1 and the one of label 0 that has a zero more in its "
    "longest run: who does not tell the parity of that run is right in half of all."
)
WALKS = (
    "Of the test accuracy: that of seeds without what walks add to it, and that of "
    "walks drawn again for the same networks."
)


def notes_on_molecules(
    num_graphs: int, forms: Collection[str], num_orders: int
) -> Iterator[str]:
    """On splits, and on the forms that molecules are read in.

    >>> [note.partition(":")[0] for note in notes_on_molecules(188, {"dfs"}, 4)]
    ['All seeds share the same 188 molecules, split anew', 'Depth-first orders']
    """
    few = " Of so few, each is much of a test set: small differences stay unseen."
    yield (
        f"All seeds share the same {num_graphs:,} molecules, split anew: intervals and "
        "tests say what another split would give, not what other molecules would."
        + few
        * (num_graphs < 500)
    )
    if "dfs" in forms:
        yield (
            "Depth-first orders: roots and the order of neighbours are drawn, "
            f"{num_orders} for each molecule, of which an update takes any and an "
            "evaluation the first."
        )


def notes_on_nodes(data: NodeData, kind: str, own_splits: bool) -> Iterator[str]:
    """On features, of a kind as for `node_features`, on edges, and on labels.

    With ``own_splits`` every seed has its own split, else all that of the data.
    """
    kind = features_kind(data, kind)
    over = "all nodes" if own_splits else "the training nodes"
    yield f"Features: {SCALES[kind]}{f' {over}' if kind == 'standard' else ''}."
    if data.one_way:
        yield f"{ONE_WAY} --undirected adds the opposites."
    masks: tuple[Any, ...] = (data.train_mask, data.val_mask, data.test_mask)
    if own_splits:
        yield (
            "Every seed has a split of its own, so the spread over seeds holds that of "
            "the splits, and published numbers for one split are not beside it."
        )
    elif data.train_mask is not None:
        without: list[Any] = [int((m & (data.labels < 0)).sum()) for m in masks]
        if np.any(without):
            yield (
                "Nodes without a label count nowhere: left out are "
                "{} for training, {} for validation, {} for the test.".format(*without)
            )
