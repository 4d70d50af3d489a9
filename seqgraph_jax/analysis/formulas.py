"""How many parameters each cell has, in closed form."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from seqgraph_jax.recurrent.cells import CELLS


class Formula(NamedTuple):
    """A number of parameters as text, and as a function of F and H.

    >>> FORMULAS["lstm"].text, FORMULAS["lstm"].num_params(16, 32)
    ('4 (F H + H² + H)', 6272)
    """

    text: str
    num_params: Callable[[int, int], int]


def _both_ways(formula: Formula) -> Formula:
    """Two cells, one for each direction, that have nothing in common."""
    return Formula(f"2 [{formula.text}]", lambda F, H: 2 * formula.num_params(F, H))


_ONE_WAY = {
    "rnn": Formula("F H + H² + H", lambda F, H: F * H + H**2 + H),
    "lstm": Formula("4 (F H + H² + H)", lambda F, H: 4 * (F * H + H**2 + H)),
    "gru": Formula("3 (F H + H² + H)", lambda F, H: 3 * (F * H + H**2 + H)),
    "gru-reset-after": Formula(
        "3 (F H + H² + H) + H", lambda F, H: 3 * (F * H + H**2 + H) + H
    ),
    "peephole": Formula("4 (F H + H) + 3 H²", lambda F, H: 4 * (F * H + H) + 3 * H**2),
    "peephole-diagonal": Formula(
        "4 (F H + H² + H) + 3 H", lambda F, H: 4 * (F * H + H**2 + H) + 3 * H
    ),
}

#: By the names of `recurrent.cells.CELLS`, and each of them after ``bi``, for F
#: inputs and H features (of each direction). F H are input weights, H² recurrent ones
#: and H biases, as often as there are gates and candidates. Every one of these has one
#: bias here; PyTorch adds a second one, ``bias_hh``, everywhere, and has 2 H in the
#: place of H in ``rnn`` and ``lstm`` and 3 (F H + H² + 2 H) in its GRU, whose form is
#: ``gru-reset-after``: there the one recurrent bias that no other can replace is that
#: of the candidate, the last H. ``peephole`` has full matrices from the cell state to
#: three gates, and nothing recurrent in its candidate; ``peephole-diagonal`` one weight
#: for each of three gates and unit.
FORMULAS: dict[str, Formula] = {
    **_ONE_WAY,
    **{f"bi{name}": _both_ways(formula) for name, formula in _ONE_WAY.items()},
}


def count_params(cell: str, features_in: int, features: int) -> int:
    """Parameters of a cell of `CELLS` as it is initialised, for F inputs, H features.

    >>> count_params("lstm", 16, 32) == FORMULAS["lstm"].num_params(16, 32)
    True
    """
    module = CELLS[cell](features=features)

    def init(key: jax.Array) -> Any:
        carry = module.initial_carry(1)
        return module.init(key, carry, jnp.zeros((1, features_in)))

    shapes = jax.eval_shape(init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def formula_rows(sizes: Sequence[tuple[int, int]]) -> Iterator[list[str]]:
    """Of every cell of `CELLS` and all F, H: by formula and counted, as a table's rows.

    >>> next(formula_rows([(16, 32)]))
    ['rnn', 'F H + H² + H', '16', '32', '1,568', '1,568']
    """
    for cell in CELLS:
        for of in sizes:
            both = FORMULAS[cell].num_params(*of), count_params(cell, *of)
            counts = (f"{count:,}" for count in both)
            yield [cell, FORMULAS[cell].text, *map(str, of), *counts]
