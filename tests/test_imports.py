"""Imports run one way, and the heavy ones wait until they are needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "seqgraph_jax"

#: Of each wing the wings that it may import; four of them know nothing of the others.
WINGS = {
    "recurrent": set(),
    "graph": set(),
    "data": set(),
    "training": set(),
    "tasks": {"graph", "data", "training"},
    "text": {"recurrent", "data", "training", "tasks"},
    "analysis": {"recurrent", "graph"},
    "joined": {"recurrent", "graph"},
    "reports": {"training", "analysis"},
}
#: Of another wing's modules the only ones that a wing may import.
ONLY = {
    ("tasks", "training"): {"metrics", "task"},
    ("reports", "analysis"): {"gates"},  # whose pictures it has
}
MODULES = sorted(
    path.relative_to(ROOT) for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE
)


def imported(path):
    """Wing and module of everything that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            assert not name.startswith("experiments"), path
            if name.startswith("seqgraph_jax"):
                _, wing, module, *_ = [*name.split("."), ""]
                yield wing, module


@pytest.mark.smoke
@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_run_one_way(module):
    wing = module.parts[1]
    for other, name in imported(ROOT / module):
        assert other == wing or other in WINGS[wing], (other, name)
        allowed = ONLY.get((wing, other))
        assert allowed is None or name in allowed, (other, name)


def test_modules_of_a_wing_do_not_import_in_a_circle():
    below = {}
    for path in MODULES:
        name = ".".join(path.with_suffix("").parts[1:])
        below[name] = {f"{wing}.{module}" for wing, module in imported(ROOT / path)} - {
            name
        }
    done = set()
    while len(done) < len(below):
        ready = {
            name
            for name, needs in below.items()
            if name not in done and not (needs & below.keys()) - done
        }
        assert ready, sorted(below.keys() - done)
        done |= ready


def test_every_module_lies_in_a_wing_and_is_short():
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py"}
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {
        "__pycache__"
    } == set(WINGS)
    for path in MODULES:
        assert len((ROOT / path).read_text().splitlines()) <= 300, path


def test_importing_the_package_imports_nothing_heavy():
    heavy = ("jax", "flax", "matplotlib", "orbax", "scipy", "tyro", "jinja2")
    program = (
        "import sys, seqgraph_jax as sg; sg.TrainConfig(); "
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_training_imports_no_library_for_pictures_or_pages():
    heavy = ("matplotlib", "scipy.stats", "tyro", "jinja2", "networkx")
    program = (
        "import sys, seqgraph_jax as sg; [getattr(sg, name) for name in sg.__all__]; "
        f"print([m for m in {heavy} if m in sys.modules])"
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
