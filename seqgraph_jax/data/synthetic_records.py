"""Records of stays drawn at random."""

import numpy as np
from scipy import sparse

from seqgraph_jax.data.patients import Events, Orders, PatientData


def draw_records(num_stays: int, seed: int = 0) -> PatientData:
    rng = np.random.default_rng(seed)
    num_days = rng.integers(2, 9, num_stays).astype(np.int32)
    orders, flags = [], []
    for s, days in enumerate(num_days):
        for _ in range(rng.integers(3, 8)):
            first = rng.integers(0, days)
            last = min(days - 1, first + rng.integers(0, 4))
            orders.append((s, rng.integers(0, 12), first, last))
        for day in range(days):
            flags.append((s, rng.integers(0, 6), day))
    known = sparse.csr_array(rng.random((num_stays, 5)) < 0.4)
    return PatientData(
        name="synthetic",
        patient=(np.arange(num_stays) * 3 // 4).astype(np.int32),
        num_days=num_days,
        orders=Orders(*np.array(orders, np.int32).T),
        flags=Events(*np.array(flags, np.int32).T),
        known=known,
        drug_names=tuple(f"drug {k}" for k in range(12)),
        flag_names=tuple(f"flag {k}" for k in range(6)),
        known_names=tuple(f"fact {k}" for k in range(5)),
    )
