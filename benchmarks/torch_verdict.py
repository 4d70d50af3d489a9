"""The LSTM against the GRU on Baum-Sweet numbers, as one would write it with PyTorch.

The settings are those of ``python -m experiments.lstm_vs_gru``: numbers up to a million
as 24 symbols, embedding 16, 32 units, batches of 128, Adam with learning rate 5e-3,
clipping at 10, an evaluation of 1024 numbers every ten updates, until ten in a row are
all right. Every network is then tested on all numbers with label 1 and on 100,000 with
label 0. A seed is trained as a loop of updates, one after another, or seeds in
processes of one thread each.
"""

import argparse
import multiprocessing
import statistics

import numpy as np
import torch
from torch.nn import functional

LOW, HIGH, LENGTH, TESTS = 10, 10**6, 24, 100_000
KEEP_ZERO = 0.016724
HIDDEN, EMBEDDING, BATCH, EVALUATED, EVERY, HOLD = 32, 16, 128, 1024, 10, 10
RATE, NORM, UPDATES = 5e-3, 10.0, 500


def labels() -> np.ndarray:
    """Of all numbers below or at HIGH, whether all runs of zeros are even."""
    label = np.zeros(HIGH + 1, bool)
    level = np.array([1])
    while level.size:
        label[level] = True
        level = np.concatenate([2 * level + 1, 4 * level])
        level = level[level <= HIGH]
    return label


def symbols(numbers: np.ndarray) -> torch.Tensor:
    """Digits ``[T, B]``: 0 before the number, 1 for zero, 2 for one."""
    shifted = numbers[None] >> np.arange(LENGTH - 1, -1, -1)[:, None]
    return torch.from_numpy(np.where(shifted > 0, (shifted & 1) + 1, 0))


class Numbers:
    """Numbers by their label, and batches of both."""

    def __init__(self) -> None:
        self.label = labels()
        every = np.arange(LOW, HIGH + 1)
        self.ones = every[self.label[LOW:]]
        self.zeros = every[~self.label[LOW:]]
        kept = KEEP_ZERO * len(self.zeros)
        self.share = len(self.ones) / (len(self.ones) + kept)

    def batch(
        self, rng: np.random.Generator, size: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        one = rng.random(size) < self.share
        drawn = np.where(one, rng.choice(self.ones, size), rng.choice(self.zeros, size))
        return symbols(drawn), torch.from_numpy(one.astype(np.int64))


class Classifier(torch.nn.Module):
    """Embedding, one recurrent layer, a linear layer on its last state."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        layer = torch.nn.LSTM if cell == "lstm" else torch.nn.GRU
        self.embedding = torch.nn.Embedding(3, EMBEDDING)
        self.layer = layer(EMBEDDING, HIDDEN)
        self.head = torch.nn.Linear(HIDDEN, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(self.embedding(tokens))[0][-1])


def train(cell: str, seed: int, numbers: Numbers) -> tuple[int, float, float]:
    """Updates to converge, and the share of right answers on both test sets."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Classifier(cell)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    tokens, answers = numbers.batch(np.random.default_rng(0), EVALUATED)
    held, converged = 0, UPDATES
    for update in range(1, UPDATES + 1):
        inputs, targets = numbers.batch(rng, BATCH)
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), NORM)
        optimizer.step()
        if update % EVERY == 0:
            with torch.no_grad():
                right = (model(tokens).argmax(1) == answers).all()
            held = held + 1 if right else 0
            if held == HOLD:
                converged = update - EVERY * (HOLD - 1)
                break
    drawn = np.random.default_rng(1).choice(numbers.zeros, TESTS, replace=False)
    reached = []
    with torch.no_grad():
        for tests, label in ((numbers.ones, 1), (drawn, 0)):
            parts = [symbols(part) for part in np.array_split(tests, 100)]
            right = [(model(part).argmax(1) == label).sum().item() for part in parts]
            reached.append(sum(right) / len(tests))
    return converged, reached[0], reached[1]


def train_all(jobs: list[tuple[str, int]]) -> list[tuple[int, float, float]]:
    numbers = Numbers()
    return [train(cell, seed, numbers) for cell, seed in jobs]


def _on_one_thread(jobs: list[tuple[str, int]]) -> list[tuple[int, float, float]]:
    torch.set_num_threads(1)
    return train_all(jobs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    seeds = range(0, 500 * options.seeds, 500)
    jobs = [(cell, seed) for seed in seeds for cell in ("lstm", "gru")]
    if options.processes == 1:
        found = dict(zip(jobs, train_all(jobs), strict=True))
    else:
        parts = [jobs[k :: options.processes] for k in range(options.processes)]
        with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
            done = pool.map(_on_one_thread, parts)
        found = {
            job: values
            for part, results in zip(parts, done, strict=True)
            for job, values in zip(part, results, strict=True)
        }
    for cell in ("lstm", "gru"):
        times, ones, zeros = zip(*[found[cell, seed] for seed in seeds], strict=True)
        print(
            f"{cell}: converged after {statistics.mean(times):.1f} updates, "
            f"SD {statistics.stdev(times):.1f}; right on ones "
            f"{statistics.mean(ones):.2%}, on zeros {statistics.mean(zeros):.2%}"
        )
    gaps = [found["lstm", seed][0] - found["gru", seed][0] for seed in seeds]
    print(f"lstm - gru: {statistics.mean(gaps):.1f} updates")


if __name__ == "__main__":
    main()
