"""What is prescribed tomorrow, as a task: a network adds to log-odds of rates."""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from seqgraph_jax.data.splits import Split
from seqgraph_jax.tasks.classification import Batch
from seqgraph_jax.tasks.prescriptions import DayPairs, Rates, odds_of
from seqgraph_jax.tasks.stays import DayFacts, PackedStays, StayDays
from seqgraph_jax.training.metrics import FROM_ZERO, Metric, Metrics

NATS = Metric("loss", "loss", unit="nats a day", better="lower", bounds=FROM_ZERO)


class LogRates(NamedTuple):
    """Logarithms of odds and of factors; see `Rates`."""

    start: Any  # [V]
    stop: Any
    start_day: Any  # [G]
    stop_day: Any
    again: Any  # [2]


class Asked(NamedTuple):
    """Targets: what is known beside the days, which days count, and where to start."""

    facts: DayFacts
    counted: Any  # [C, R] bool
    rates: LogRates
    seen: Any  # [V] bool, drugs that training patients have had


def log_rates(of: Rates) -> LogRates:
    """Rates as a network is added to them."""
    odds = (np.log(odds_of(p)) for p in (of.start, of.stop))
    factors = (np.log(f) for f in (of.start_day, of.stop_day, of.again))
    return LogRates(*(np.asarray(leaf, np.float32) for leaf in (*odds, *factors)))


def judge_stays(outputs: jax.Array, asked: Asked) -> dict[str, jax.Array]:
    r"""Nats a day: the log-loss of what is active tomorrow, summed over drugs.

    .. math:: -\frac{1}{D} \sum_{t, j} \log P(\text{active}_{t+1, j}), \qquad
        \mathrm{logit}_{t,j} = \ell_{t,j} + 1[j \text{ seen}]\, y_{t,j}

    over the D days that count and V drugs, where l are the log-odds of the rates
    (`prescriptions.log_odds`) and y the ``outputs [C, R, V]``. Raises `ValueError` for
    outputs of another shape.
    """
    active, earlier = (_bits(bits, outputs) for bits in asked.facts[:2])
    then = jnp.concatenate([active[:, 1:], active[:, -1:]], axis=1)
    rates, group = asked.rates, asked.facts.group
    again = jnp.where(earlier, rates.again[1], rates.again[0])
    start, stop, seen = (of[None, None] for of in (rates.start, rates.stop, asked.seen))
    start = again + start + rates.start_day[group][..., None]
    stop = stop + rates.stop_day[group][..., None]
    logits = jnp.where(active, -stop, start) + jnp.where(seen, outputs, 0)
    nats = jax.nn.softplus(jnp.where(then, -logits, logits)).sum(-1)
    number = asked.counted.sum().clip(1)
    return {"loss": jnp.where(asked.counted, nats, 0).sum() / number}


def _bits(bits: Any, outputs: jax.Array) -> jax.Array:
    *where, num_drugs = outputs.shape
    if [*where, -(-num_drugs // 8)] != [*bits.shape]:
        raise ValueError(
            f"outputs have shape {list(outputs.shape)}, and days with their drugs' "
            f"bits {list(bits.shape)}: outputs are [C, R, V]"
        )
    return jnp.unpackbits(bits, axis=-1, count=num_drugs).astype(bool)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PrescriptionTask:
    """What is active on the next day? A batch is some chunks of stays, at random.

    ``train`` and ``val`` say which days count, in training and in an evaluation, which
    has as many chunks as it is asked for, evenly spread, or all.
    """

    inputs: StayDays
    facts: DayFacts
    train: Any  # [C, R] bool
    val: Any
    rates: LogRates
    seen: Any  # [V] bool
    num_drugs: int = field(metadata={"static": True})

    metrics = Metrics(
        judge_stays, (replace(NATS, label="validation loss"), NATS.of_training())
    )

    def chunks(self, chosen: Any, counted: Any) -> Batch:
        """Some chunks ``[C']``, with the days that count in them."""

        def of(leaf: Any) -> jax.Array:
            return jnp.asarray(leaf)[chosen]

        inputs, facts = jax.tree.map(of, (self.inputs, self.facts))
        return Batch(inputs, Asked(facts, of(counted), self.rates, self.seen))

    def sample(self, key: jax.Array, batch_size: int) -> Batch:
        chosen = jax.random.randint(key, (batch_size,), 0, len(self.train))
        return self.chunks(chosen, self.train)

    def evaluation(self, key: jax.Array, size: int) -> Batch:
        number = len(self.val)
        chosen = np.arange(min(size, number)) * number // min(size, number)
        return self.chunks(chosen, self.val)


def prescription_tasks(
    packed: PackedStays,
    pairs: DayPairs,
    rows: np.ndarray,
    splits: list[Split],
    baseline: Any,
) -> list[PrescriptionTask]:
    """A task for each split of patients ``[P]``, of one shape.

    ``rows [R]`` are those of the day pairs in the record; ``baseline`` makes `Rates` of
    the training patients' days, which a network is added to.

    >>> from seqgraph_jax.data.splits import patient_splits
    >>> from seqgraph_jax.data.synthetic_records import draw_records
    >>> from seqgraph_jax.tasks.prescriptions import day_pairs, rates
    >>> from seqgraph_jax.tasks.stays import pack_stays
    >>> data = draw_records(50)
    >>> pairs = day_pairs(data)
    >>> splits = patient_splits(pairs.num_patients, num_folds=5, seed=0)
    >>> [task, *_] = prescription_tasks(
    ...     pack_stays(data), pairs, data.pairs(), splits, rates)
    >>> batch = task.evaluation(jax.random.key(0), 1)
    >>> nothing = jnp.zeros((1, batch.targets.counted.shape[1], data.num_drugs))
    >>> round(float(task.metrics(nothing, batch.targets)["loss"]), 2)
    6.71
    """
    places = packed.places(rows)
    tasks = []
    for split in splits:
        train = split.train_mask[pairs.patient]
        counted = []
        for part in (train, split.val_mask[pairs.patient]):
            mask = np.zeros(packed.row.size, bool)
            mask[places[part]] = True
            counted.append(mask.reshape(packed.row.shape))
        of_training = pairs.rows(train)
        task = PrescriptionTask(
            inputs=packed.inputs,
            facts=packed.facts,
            train=counted[0],
            val=counted[1],
            rates=log_rates(baseline(of_training)),
            seen=(of_training.active | of_training.then).any(0),
            num_drugs=packed.num_codes[0],
        )
        tasks.append(task)
    return tasks
