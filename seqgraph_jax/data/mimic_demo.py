"""The open demo of MIMIC-III: found on this machine or downloaded, and checked."""

import contextlib
import hashlib
import os
from pathlib import Path

from seqgraph_jax.data.checks import DataError
from seqgraph_jax.data.mimic import COLUMNS, Codes, read_mimic, table
from seqgraph_jax.data.origins import cache_directory
from seqgraph_jax.data.patients import PatientData

NAME = "mimic3_demo"
URL = "https://physionet.org/files/mimiciii-demo/1.4/{}.csv"
#: SHA-256 of what is read of the tables, in whatever order, case and packing they are.
KNOWN = "a828dbe88ec62659557d581cbc6a4ba204a58d20a19ce3be3fa216a2a8d67ded"


def load_demo(codes: Codes = "name") -> PatientData:
    """Stays of the 100 patients of the demo of MIMIC-III 1.4, see `read_mimic`.

    Tables are looked for in ``$SEQGRAPH_DATA/mimic3_demo/``, then in the user's cache,
    then downloaded from PhysioNet, under the Open Data Commons Open Database License.
    All of these patients died, dates are shifted, and orders are not what was given.

    Raises `DataError` if they cannot be had, or are not the known ones.

    Source: Johnson, Pollard and Mark, MIMIC-III Clinical Database Demo, 2019.
    """
    places = (os.environ.get("SEQGRAPH_DATA"), cache_directory())
    folders = [Path(place) / NAME for place in places if place]
    here = (folder for folder in folders if any(folder.glob("*.csv*")))
    folder = next(here, None) or _downloaded(folders[-1])
    if digest_of(folder) != KNOWN:
        raise DataError(
            f"{folder} does not hold the tables of the demo that are known: remove it, "
            "and they are downloaded again"
        )
    return read_mimic(folder, codes, NAME)


def digest_of(folder: Path) -> str:
    """SHA-256 of the rows of all tables, sorted, and of the columns that are read."""
    digest = hashlib.sha256()
    for name, columns in COLUMNS.items():
        read, rows = columns.split(), table(folder, name)
        cells = ("\x1f".join(row[column] for column in read) for row in rows)
        digest.update("\n".join([name, *sorted(cells)]).encode())
    return digest.hexdigest()


def _downloaded(folder: Path) -> Path:
    import pooch

    pooch.get_logger().setLevel("ERROR")
    for name in COLUMNS:
        try:
            pooch.retrieve(URL.format(name), None, f"{name}.csv", folder)
        except (ValueError, OSError) as error:
            for path in folder.glob("*.csv"):  # all or none
                with contextlib.suppress(OSError):
                    path.unlink()
            raise DataError(
                f"{NAME} is not on this machine and cannot be downloaded from "
                f"{URL.format(name)}: put its tables into {folder}, or set "
                f"SEQGRAPH_DATA to the folder that holds {NAME}/"
            ) from error
    return folder
