"""What every experiment shares: flags, seeds, run directory, training, report.

An experiment is a configuration, a function that builds a `Study` from it, and what
only this experiment has: `experiment` makes the command of the three.
"""

from experiments.harness.runner import experiment
from experiments.harness.study import Report, Study, Trained

__all__ = ["Report", "Study", "Trained", "experiment"]
