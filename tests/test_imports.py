"""Imports run one way, and the heavy ones wait until they are needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "seqgraph_jax"

#: From the bottom up: a module may import those before it, and no other.
ORDER = (
    *("steps", "cells", "recurrent", "gates", "formulas"),
    *("networks", "sampling", "gradients"),
    *("adjacency", "propagation", "features", "graphs", "attention"),
    *("graph_networks", "receptive_fields"),
    *("binary", "tasks", "delay_tasks", "text", "graph_tasks"),
    *("graph_data", "graph_files", "tu_data", "planetoid", "molecule_data"),
    *("datasets", "graph_splits", "graph_batches"),
    *("train_config", "training", "lanes", "runs", "seeds"),
    *("statistics", "proportions", "results", "plots", "class_plots"),
    *("graph_plots", "gate_plots", "flow_plots"),
    *("reporting", "checkpoints"),
    *("text_models", "text_measures", "torch_weights"),
)
SEQUENCES = {"steps", "cells", "recurrent", "gates", "formulas"}
SEQUENCES |= {"networks", "sampling", "gradients"}
GRAPHS = {"adjacency", "propagation", "features", "graphs", "attention"}
GRAPHS |= {"graph_networks", "receptive_fields"}
DATA = {"graph_data", "graph_files", "tu_data", "planetoid", "molecule_data"}
DATA |= {"datasets", "graph_splits", "graph_batches"}
APART = {
    "formulas": SEQUENCES,
    "sampling": SEQUENCES,
    "gradients": set(ORDER),
    **dict.fromkeys(GRAPHS, SEQUENCES),
    "tasks": SEQUENCES | GRAPHS,
    "delay_tasks": SEQUENCES | GRAPHS | {"binary"},
    "text": SEQUENCES | GRAPHS,
    "graph_tasks": SEQUENCES | {"graphs", "attention", "graph_networks", "text"},
    **dict.fromkeys(DATA, set(ORDER) - DATA - {"graph_tasks"}),
    "graph_batches": set(ORDER) - DATA - {"adjacency", "graph_tasks", "tasks"},
    "text_measures": set(ORDER),
    "torch_weights": set(ORDER),
    "train_config": set(ORDER),
    "training": SEQUENCES | GRAPHS | DATA | {"tasks", "text", "graph_tasks"},
    "lanes": set(ORDER),
    "statistics": set(ORDER),
    "proportions": set(ORDER),
    "checkpoints": set(ORDER),
}


def imported(path):
    """Modules of the package that a module imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "seqgraph_jax":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module.startswith("seqgraph_jax."):
                yield node.module.split(".")[1]
            assert not node.level, f"{path}: imports are absolute"
            assert not node.module.startswith("experiments")


def test_the_order_names_every_module():
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert modules == set(ORDER)


@pytest.mark.smoke
@pytest.mark.parametrize("name", ORDER)
def test_imports_run_one_way(name):
    below = set(ORDER[: ORDER.index(name)]) - APART.get(name, set())
    assert set(imported(PACKAGE / f"{name}.py")) <= below


def test_modules_are_short():
    for path in PACKAGE.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 300, path


def test_heavy_libraries_are_not_imported_with_the_package():
    program = (
        "import sys, seqgraph_jax; "
        "print([m for m in ('matplotlib', 'orbax', 'scipy.stats', 'tyro', 'jinja2',"
        " 'networkx') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_public_names_exist_and_are_documented():
    import seqgraph_jax as sg

    for name in sg.__all__:
        value = getattr(sg, name)
        assert getattr(value, "__doc__", None), name
