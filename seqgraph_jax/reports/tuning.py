"""What a sweep says of its arms, in sentences."""

import itertools
from collections.abc import Sequence

import numpy as np

from seqgraph_jax.reports import paired
from seqgraph_jax.reports.intervals import ALPHA, FEWEST
from seqgraph_jax.reports.pages import Section
from seqgraph_jax.reports.sweeps import Tuned, chosen_table, grid_table
from seqgraph_jax.training.metrics import counted
from seqgraph_jax.training.ranges import join_words


def sections(tuned: Tuned) -> list[Section]:
    """What was chosen, the whole grid, and what more trials bring."""
    from seqgraph_jax.reports.plots import sweeps as plots  # matplotlib takes a second

    of = counted(len(tuned.seeds), "tuning seed")
    return [
        Section("Settings chosen", chosen_table(tuned).turned(), printed=True),
        Section(f"Every setting and {of}", None, plots.plot_grid(tuned), "sweep"),
        Section(
            "Expected best result against settings tried",
            None,
            plots.plot_expected(tuned),
            "trials",
        ),
        Section("Every setting", grid_table(tuned)),
    ]


def said_of_choice(tuned: Tuned) -> list[str]:
    """How settings were chosen, and what to know of the choice."""
    chosen = {arm: tuned.words(arm, tuned.chosen(arm)) for arm in tuned.values}
    each = "; ".join(f"{arm} with {words}" for arm, words in chosen.items())
    said = [
        f"Every arm has the best of {len(tuned.points)} settings, chosen on "
        f"{counted(len(tuned.seeds), 'other seed')} by {tuned.metric.words_for_it}: "
        f"{each}."
    ]
    for arm, idle in tuned.idle.items():
        if idle:
            kinds = len(tuned.distinct[arm])
            said.append(
                f"{arm}: {join_words(idle)} changes nothing in it, so {kinds} of its "
                f"{len(tuned.points)} settings differ."
            )
    for arm in tuned.values:
        said += [
            f"{arm}: the chosen {name} is the {end} of the grid; what lies beyond may "
            "be better."
            for name, end in at_an_end(tuned, arm)
        ]
    return said


def at_an_end(tuned: Tuned, arm: str) -> list[tuple[str, str]]:
    """Settings of three values or more that were chosen at an end, and which end."""
    found: list[tuple[str, str]] = []
    point = tuned.points[tuned.chosen(arm)]
    means = tuned.values[arm].mean(1)
    if means[tuned.chosen(arm)] == means[tuned.others(arm)[0]]:
        return found  # no better than another
    for name, value in point.items():
        values = {other[name] for other in tuned.points}
        numbers = all(isinstance(v, int | float) for v in values)
        if numbers and len(values) > 2 and name not in tuned.idle[arm]:
            for end, words in ((min(values), "smallest"), (max(values), "largest")):
                if value == end:
                    found.append((name, words))
    return found


def leaders(tuned: Tuned, a: str, b: str) -> tuple[list[int], list[float]]:
    """Who is ahead after 1 to G trials, and the p-value of each difference.

    1 where a is ahead of b, -1 where b is, 0 where neither is: by the mean of what the
    tuning seeds are expected to reach.
    """
    ahead, p_values = [], []
    for one, two in zip(tuned.expected(a), tuned.expected(b), strict=True):
        [c] = paired.compare({a: one, b: two}, tuned.metric)
        sign = 1 if tuned.metric.better == "higher" else -1
        ahead.append(sign * int(np.sign(c.difference)))
        p_values.append(c.p_value)
    return ahead, p_values


def said_of_budgets(tuned: Tuned) -> list[str]:
    """From how many trials on which arm is ahead, pair by pair."""
    said, most = [], len(tuned.points)
    for a, b in itertools.combinations(tuned.values, 2):
        ahead, p_values = leaders(tuned, a, b)
        parted = [
            (who, [n for n, _ in group])
            for who, group in itertools.groupby(
                enumerate(ahead, 1), key=lambda item: item[1]
            )
        ]
        names = {1: f"{a} is ahead of {b}", -1: f"{b} is ahead of {a}"}
        names[0] = f"{a} and {b} are level"
        if len(parted) == 1:
            claim = (
                f"However much is tuned, {names[ahead[0]]} on the tuning seeds (1 to "
                f"{most} trials)"
            )
        else:
            parts = [
                f"{names[who]} {_trials(ns[0], ns[-1], most)}" for who, ns in parted
            ]
            claim = (
                "How much is tuned decides who is ahead on the tuning seeds: "
                f"{', '.join(parts)}"
            )
        told = f"; {_told(p_values, len(tuned.seeds))}" if any(ahead) else ""
        said.append(f"{claim}{told}.")
    return said


def _trials(first: int, last: int, most: int) -> str:
    """A stretch of numbers of trials in words.

    >>> _trials(1, 2, 6), _trials(3, 6, 6), _trials(4, 4, 6)
    ('up to 2 trials', 'from 3 trials on', 'at 4 trials')
    """
    if last == most and first > 1:
        return f"from {first} trials on"
    if first == 1 and last > 1:
        return f"up to {last} trials"
    return f"at {counted(first, 'trial')}"


def _told(p_values: Sequence[float], num_seeds: int) -> str:
    """Where the difference is told from chance, each number of trials alone."""
    if num_seeds < FEWEST:
        return f"{counted(num_seeds, 'tuning seed')} cannot tell that from chance"
    told = [n for n, p in enumerate(p_values, 1) if p < ALPHA]
    if len(told) == len(p_values):
        return f"{num_seeds} seeds tell that from chance at each of these (p < 0.05)"
    if not told:
        return f"{num_seeds} seeds tell that from chance at none of these"
    return (
        f"{num_seeds} seeds tell that from chance at {join_words(stretches(told))} of "
        "these (p < 0.05, each alone)"
    )


def stretches(numbers: Sequence[int]) -> list[str]:
    """Rising numbers in words, those that follow one another together.

    >>> stretches([1, 3, 4, 5])
    ['1', '3 to 5']
    """
    groups = itertools.groupby(enumerate(numbers), key=lambda item: item[1] - item[0])
    found = [[n for _, n in group] for _, group in groups]
    return [f"{g[0]} to {g[-1]}" if len(g) > 1 else f"{g[0]}" for g in found]
