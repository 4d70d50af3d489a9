from . import plots as plots
from . import statistics as statistics
from .pages import Section as Section
from .pages import Table as Table
from .pages import report as report
from .results import compare as compare
