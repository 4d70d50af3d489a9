"""Closed formulas of parameters against the cells as Flax initialises them."""

import jax
import jax.numpy as jnp
import pytest

import seqgraph_jax as sg
from seqgraph_jax.analysis.formulas import FORMULAS

from .equations import NUM_PARAMS

SIZES = [(1, 1), (4, 7), (64, 32)]


def test_every_cell_has_a_formula_in_both_forms():
    # A cell added without its formula, or a formula of a cell that is gone.
    assert set(FORMULAS) == {*sg.CELLS, *(f"bi{name}" for name in sg.CELLS)}
    assert all(sg.cell_named(name) for name in FORMULAS)


@pytest.mark.smoke
@pytest.mark.parametrize(("num_inputs", "features"), SIZES)
@pytest.mark.parametrize("name", FORMULAS)
def test_count_is_that_of_the_initialised_layer(name, num_inputs, features):
    # A bias counted twice, a candidate with a recurrence, F and H exchanged.
    constructor, both = sg.cell_named(name)
    cells = [constructor(features=features) for _ in range(1 + both)]
    layer = sg.Bidirectional(*cells) if both else sg.Recurrent(*cells)
    shapes = jax.eval_shape(
        layer.init, jax.random.key(0), jnp.zeros((2, 3, num_inputs))
    )
    assert sg.num_params(shapes) == FORMULAS[name].num_params(num_inputs, features)


@pytest.mark.parametrize(("num_inputs", "features"), SIZES)
@pytest.mark.parametrize("name", FORMULAS)
def test_text_says_what_is_counted(name, num_inputs, features):
    # A text that was not changed with its function.
    python = FORMULAS[name].text.replace("F H", "F * H").replace("H²", "H ** 2")
    for factor in "234":
        python = python.replace(f"{factor} (", f"{factor} * (")
        python = python.replace(f"{factor} H", f"{factor} * H")
    python = python.replace("2 [", "2 * (").replace("]", ")").replace("* * ", "* ")
    value = eval(python, {"F": num_inputs, "H": features})
    assert value == FORMULAS[name].num_params(num_inputs, features)


def test_formulas_agree_with_those_of_the_equations():
    # The one table drifts away from the other.
    for name, count in NUM_PARAMS.items():
        assert FORMULAS[name].num_params(5, 11) == count(5, 11)


def test_a_reset_after_the_product_costs_one_more_bias():
    # Both GRUs taken for one; PyTorch's GRU has 3 H more than reset before, not H.
    before, after = (
        FORMULAS[name].num_params(5, 11) for name in ("gru", "gru-reset-after")
    )
    assert after - before == 11
