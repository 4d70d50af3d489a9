"""Series at nodes by their name, or by the path of yours."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from seqgraph_jax.data.checks import DataError
from seqgraph_jax.data.origins import load_source, source
from seqgraph_jax.data.signal_files import MINUTES_A_DAY, read_signals
from seqgraph_jax.data.signals import SignalData, draw_signals, from_signal

_TGCN = (
    "https://raw.githubusercontent.com/lehaifeng/T-GCN/"
    "219a2346f5bf68d54d91a948e7a41a08f9edc46b/T-GCN/T-GCN-PyTorch/data/"
)
_PYGT = (
    "https://raw.githubusercontent.com/benedekrozemberczki/"
    "pytorch_geometric_temporal/adefe44265ad8faf239fd6cf3b59b95ca3ee60aa/dataset/"
)


def los_loop_arrays(paths: Sequence[Path]) -> dict[str, np.ndarray]:
    """Speeds and adjacency of T-GCN's two tables; the first line names the sensors."""
    with open(paths[0], encoding="utf-8", newline="") as file:
        ids, *rows = csv.reader(file)
    return {
        "speed": np.array(rows, np.float32),
        "adj": np.loadtxt(paths[1], delimiter=",", dtype=np.float32),
        "sensor_ids": np.array(ids, np.int32),
    }


def chickenpox_arrays(paths: Sequence[Path]) -> dict[str, np.ndarray]:
    """Series, edges and names of the one JSON file."""
    found = json.loads(paths[0].read_text(encoding="utf-8"))
    ends = np.array(found["edges"], np.int32)
    return {
        "signal": np.array(found["FX"]),
        "senders": ends[:, 0],
        "receivers": ends[:, 1],
        "node_names": np.array(sorted(found["node_ids"], key=found["node_ids"].get)),
    }


def _los_loop(arrays: Mapping[str, np.ndarray], name: str, path: Path) -> SignalData:
    senders, receivers = arrays["adj"].nonzero()
    return from_signal(
        arrays["speed"],
        senders,
        receivers,
        arrays["adj"][senders, receivers],
        node_names=tuple(map(str, arrays["sensor_ids"])),
        name=name,
        step_minutes=5.0,
        season=MINUTES_A_DAY // 5,
        season_name="day",
        unit="mph",
    )


def _chickenpox(arrays: Mapping[str, np.ndarray], name: str, path: Path) -> SignalData:
    return from_signal(
        arrays["signal"],
        arrays["senders"],
        arrays["receivers"],
        node_names=tuple(map(str, arrays["node_names"])),
        name=name,
        step_minutes=7.0 * MINUTES_A_DAY,
        season=52,
        season_name="year",
    )


#: Speeds on highways of Los Angeles, a week in March 2012 (Zhao et al., T-GCN, 2020, a
#: part of METR-LA), and weekly cases of chickenpox in Hungary, 2005 to 2015,
#: differenced and standardised over all weeks by those who gave them (Rozemberczki et
#: al., 2021).
SIGNALS = {
    "los_loop": (
        source(
            "los_loop.npz",
            "2efd0a394ffe17c07c855e2e17299a24d2b09cdadb1f1b2968fdc0c772179b2d",
            {
                f"{_TGCN}los_speed.csv": "7b732d86ae32b2930595becba28aff39"
                "dacbfb2197e250fc0332e1744ce2cbf4",
                f"{_TGCN}los_adj.csv": "7a6eb41e10677992b5af50f5ab187c6c"
                "05c5c3a92cb973950cfddbf857361e76",
            },
            los_loop_arrays,
        ),
        _los_loop,
    ),
    "chickenpox": (
        source(
            "chickenpox.npz",
            "3c0eebbf6c300df6272540a2fa2377bc998f188afdf9f0069a14cc38bcf21c86",
            {
                f"{_PYGT}chickenpox.json": "724b48cfb274b2ecbb855bdb99b970b5"
                "ef9dd3671694fa477435dc1e08293735"
            },
            chickenpox_arrays,
        ),
        _chickenpox,
    ),
}


def load_signals(name: str | Path, missing: float | None = None) -> SignalData:
    """Series on a graph by their name, or those in a folder of yours.

    Names: los_loop, chickenpox, and synthetic (`draw_signals`). A folder holds
    ``edges.csv`` and ``signal.csv``, ``.npz`` or ``.h5`` (see `read_signals`).
    ``missing`` is the value that stands for none in it. Raises `DataError` that says
    what is wrong and what to do.

    >>> load_signals("synthetic").num_nodes
    12
    """
    if name == "synthetic":
        return draw_signals()
    if isinstance(name, str) and name in SIGNALS:
        where, record = SIGNALS[name]
        return load_source(name, where, record)
    if Path(name).is_dir():
        return read_signals(Path(name), missing)
    raise DataError(
        f"{str(name)!r} is neither one of {', '.join(SIGNALS)}, synthetic nor the path "
        "of a folder with edges.csv and signal.csv"
    )
