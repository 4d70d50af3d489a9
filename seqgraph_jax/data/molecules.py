"""Molecules as graphs: MUTAG (Debnath et al., 1991) and ESOL (Delaney, 2004)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqgraph_jax.data.arrays import flat_graphs
from seqgraph_jax.data.checks import DataError
from seqgraph_jax.data.files import read_rows
from seqgraph_jax.data.records import GraphData

_DGCNN = (
    "https://raw.githubusercontent.com/muhanzhang/pytorch_DGCNN/"
    "50f504131ca66382f3f078ae98e59aa3ae35b795/data/MUTAG/"
)
_DEEPCHEM = (
    "https://raw.githubusercontent.com/deepchem/deepchem/"
    "fbe3b911a94a6eb8c84c1a9e7ac67a472c49ea80/datasets/"
)
#: SHA-256 of the file at each address.
MUTAG_FILES = {
    f"{_DGCNN}MUTAG.txt": (
        "5897dae243f6c773aab54ec99e86551c3b1e8601acef254714073042c632d30e"
    ),
}
ESOL_FILES = {
    f"{_DEEPCHEM}delaney-processed.csv": (
        "8c06a76f0c6487d29ab0f903e6a7a7139f189ab3c1178f159c8be8964602f189"
    ),
}
ATOMS = ("Br", "Cl", "C", "F", "I", "N", "O")  # MUTAG's labels 0 to 6
ELEMENTS = {
    6: "C",
    7: "N",
    8: "O",
    9: "F",
    15: "P",
    16: "S",
    17: "Cl",
    35: "Br",
    53: "I",
}
HYBRIDIZATIONS = {2: "sp", 3: "sp2", 4: "sp3"}  # the codes of rdkit
SOLUBILITY = "measured log solubility in mols per litre"


def one_hot(codes: np.ndarray, size: int) -> np.ndarray:
    """Columns ``[..., size]``, float32, of codes in 0 to ``size`` - 1."""
    return (codes[..., None] == np.arange(size)).astype(np.float32)


def mutag(arrays: Mapping[str, np.ndarray], name: str = "mutag") -> GraphData:
    """188 molecules, mutagenic or not, from the arrays of an ``.npz``.

    Nodes are one-hot atoms. ``edges`` are 11 one-hot labels whose meaning is documented
    nowhere, ``folds`` the published test folds (-1: in none); None if arrays lack them.
    """
    edges, folds = arrays.get("edge_label"), arrays.get("fold")
    return flat_graphs(
        name,
        arrays["n_node"],
        one_hot(arrays["node_label"], len(ATOMS)),
        arrays["senders"],
        arrays["receivers"],
        arrays["graph_label"].astype(np.int32),
        edges=None if edges is None else one_hot(edges, int(edges.max()) + 1),
        class_names=("not mutagenic", "mutagenic"),
        target_name="class",
        feature_names=ATOMS,
        folds=None if folds is None else folds.astype(np.int32),
    )


def mutag_arrays(files: Sequence[Path]) -> dict[str, np.ndarray]:
    """MUTAG from the text of DGCNN, which has neither labels of edges nor folds.

    Its lines: the number of graphs; for each graph "nodes label", and for each node
    "label degree neighbour ...". The larger label of graphs is mutagenic.
    """
    numbers = iter(_whole_numbers(files[0]))
    n_node: list[int] = []
    graph_label, node_label, senders, receivers = [], [], [], []
    try:
        for _ in range(next(numbers)):
            first = sum(n_node)
            n_node.append(next(numbers))
            graph_label.append(next(numbers))
            for node in range(n_node[-1]):
                node_label.append(next(numbers))
                for _ in range(next(numbers)):
                    senders.append(first + node)
                    receivers.append(first + next(numbers))
    except StopIteration:
        raise DataError(f"{files[0]} ends in the middle of a graph") from None
    arrays = {
        "n_node": np.array(n_node),
        "node_label": np.unique(node_label, return_inverse=True)[1],
        "senders": np.array(senders),
        "receivers": np.array(receivers),
        "graph_label": np.unique(graph_label, return_inverse=True)[1],
    }
    return {key: value.astype(np.int32) for key, value in arrays.items()}


def _whole_numbers(path: Path) -> list[int]:
    try:
        return [int(word) for word in path.read_text("ascii").split()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a text of whole numbers: {error}") from error


def esol(arrays: Mapping[str, np.ndarray], name: str = "esol") -> GraphData:
    """1,128 molecules and their solubility in water, from the arrays of an ``.npz``.

    ``nodes``: what ``feature_names`` says. ``edges``: single, double, triple, aromatic
    (one-hot), conjugated, in a ring.
    """
    atoms, bonds = arrays["atom_feat"].astype(int), arrays["bond_feat"].astype(int)
    return flat_graphs(
        name,
        arrays["n_node"],
        np.hstack(
            [
                _known(atoms[:, 0], ELEMENTS),
                atoms[:, 1:6],
                _known(atoms[:, 6], HYBRIDIZATIONS),
            ]
        ),
        arrays["senders"],
        arrays["receivers"],
        arrays["target"].astype(np.float32),
        edges=np.hstack([one_hot(bonds[:, 0], 4), bonds[:, 1:]]),
        target_name="log solubility (log10 mol/L)",
        feature_names=(
            *ELEMENTS.values(),
            "other element",
            *("degree", "formal charge", "hydrogens", "aromatic", "in a ring"),
            *HYBRIDIZATIONS.values(),
            "other hybridization",
        ),
        scaffolds=arrays["scaffold_id"].astype(np.int32),
    )


def _known(codes: np.ndarray, names: Mapping[int, str]) -> np.ndarray:
    """One-hot columns of the codes with names, and one of all others."""
    columns = (codes[:, None] == np.array(list(names))).astype(np.float32)
    return np.hstack([columns, 1 - columns.sum(axis=1, keepdims=True)])


def esol_arrays(files: Sequence[Path]) -> dict[str, np.ndarray]:
    """ESOL from its table of SMILES, with rdkit.

    Columns of ``atom_feat``: atomic number, degree, formal charge, hydrogens, aromatic,
    in a ring, rdkit's code of hybridization; of ``bond_feat``: type, conjugated, in a
    ring. Scaffolds (Bemis-Murcko) are numbered by their sorted SMILES. Raises
    `DataError` without rdkit, and for a line that it cannot read.
    """
    path = files[0]
    try:
        from rdkit import Chem
        from rdkit.Chem.Scaffolds import MurckoScaffold
    except ImportError as error:
        raise DataError(
            f"{path} has molecules as SMILES, which need rdkit: pip install rdkit, or "
            f"put esol_graphs.npz into $SEQGRAPH_DATA/esol"
        ) from error
    _, rows = read_rows(path, ("smiles", SOLUBILITY), None)
    atoms: list[list[int]] = []
    n_node, bonds, ends, scaffolds, targets = [], [], [], [], []
    for line, row in rows:
        molecule = Chem.MolFromSmiles(row["smiles"])
        if molecule is None:
            raise DataError(f"{path}, line {line}: {row['smiles']!r} is no molecule")
        first = len(atoms)
        n_node.append(molecule.GetNumAtoms())
        atoms += [_atom(atom) for atom in molecule.GetAtoms()]
        for bond in molecule.GetBonds():
            pair = first + bond.GetBeginAtomIdx(), first + bond.GetEndAtomIdx()
            ends += [pair, pair[::-1]]
            bonds += [_bond(bond)] * 2
        scaffolds.append(MurckoScaffold.MurckoScaffoldSmiles(mol=molecule))
        targets.append(float(row[SOLUBILITY]))
    senders, receivers = np.array(ends, np.int32).reshape(-1, 2).T
    return {
        "n_node": np.array(n_node, np.int32),
        "atom_feat": np.array(atoms, np.int8),
        "senders": senders,
        "receivers": receivers,
        "bond_feat": np.array(bonds, np.int8).reshape(-1, 3),
        "target": np.array(targets, np.float32),
        "scaffold_id": np.unique(scaffolds, return_inverse=True)[1].astype(np.int32),
    }


def _atom(atom: Any) -> list[int]:
    return [
        atom.GetAtomicNum(),
        atom.GetDegree(),
        atom.GetFormalCharge(),
        atom.GetTotalNumHs(),
        int(atom.GetIsAromatic()),
        int(atom.IsInRing()),
        int(atom.GetHybridization()),
    ]


def _bond(bond: Any) -> list[int]:
    kinds = {"SINGLE": 0, "DOUBLE": 1, "TRIPLE": 2, "AROMATIC": 3}
    kind = kinds[str(bond.GetBondType())]
    return [kind, int(bond.GetIsConjugated()), int(bond.IsInRing())]
