"""How pictures look: the same whatever the reader's matplotlib is set to.

They are drawn in matplotlib's default style, and names are drawn as they are, never
read as formulas.
"""

import re
from typing import Literal

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatterSciNotation

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LONGEST = 40  # characters of a name in a picture

#: For ``with`` and as a decorator: what is drawn inside has this style.
own_style = matplotlib.style.context(["default", {"text.parse_math": False}])


class _LogLabels(LogFormatterSciNotation):
    """Labels of a log scale as plain text: those of matplotlib are formulas."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        text = str(super().__call__(x, pos))
        text = re.sub(r"\^\{(.*?)\}", lambda found: found[1].translate(_RAISED), text)
        text = re.sub(r"^\$\\mathdefault\{(.*)\}\$$", r"\1", text)
        return text.replace(r"\times", "×")


def log_scale(axes: Axes, along: Literal["x", "y"] = "y") -> None:
    """A log scale, upwards or to the right."""
    axis = axes.yaxis if along == "y" else axes.xaxis
    axes.set(**{f"{along}scale": "log"})
    axis.set_major_formatter(_LogLabels())
    axis.set_minor_formatter(_LogLabels())


def drawn(name: str) -> str:
    """A name as a picture has room for it; a legend leaves those out that start with _.

    >>> drawn("_base"), len(drawn(50 * "x"))
    (' _base', 40)
    """
    name = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
    return f" {name}" if name.startswith("_") else name
