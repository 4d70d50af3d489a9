"""Pictures of predicted values beside measured ones."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from seqgraph_jax.reports.plots.curves import COLOURS, finish_axes
from seqgraph_jax.reports.plots.style import drawn, own_style


@own_style
def plot_predictions(
    predicted: Mapping[str, np.ndarray], measured: np.ndarray, name: str
) -> Figure:
    """Predicted against measured values ``[N]``, a panel for each arm, in one scale.

    ``name`` is that of the values, with their unit. A panel's title says the root of
    the mean squared error; on the dotted line there is none.
    """
    figure = Figure(figsize=(3.2 * len(predicted) + 0.6, 3.6), layout="constrained")
    grid = figure.subplots(1, len(predicted), sharex=True, sharey=True, squeeze=False)[
        0
    ]
    ends = [measured.min(), measured.max()]
    for k, (axes, (arm, values)) in enumerate(
        zip(grid, predicted.items(), strict=True)
    ):
        axes.plot(ends, ends, color="#444444", lw=1, ls=":")
        colour = COLOURS[k % len(COLOURS)]
        axes.scatter(measured, values, s=12, color=colour, alpha=0.6, lw=0)
        rmse = np.sqrt(np.mean((values - measured) ** 2))
        axes.set_title(f"{drawn(arm)}: RMSE {rmse:.3g}")
        finish_axes(axes, "measured", f"predicted {name}" if k == 0 else "")
    return figure
