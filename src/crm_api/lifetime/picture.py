"""Cumulative repeat purchases, actual against expected, as a picture."""

import io
from collections.abc import Mapping
from typing import Any


def draw_cumulative(curve: Mapping[str, Any]) -> bytes:
    """Draw the curve of a model.

    Args:
        curve: ``cumulative`` of a model.

    Returns:
        SVG; its text stays text.

    """
    import matplotlib as mpl  # noqa: PLC0415 - takes half a second, and only pictures need it

    mpl.rcParams["svg.fonttype"] = "none"
    from matplotlib.figure import Figure  # noqa: PLC0415 - without pyplot, which is not made for threads

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(curve["weeks"], curve["actual"], color="#1b4965", label="actual")
    axes.plot(curve["weeks"], curve["expected"], color="#ca6702", linestyle="--", label="expected by the model")
    axes.axvline(curve["calibration_weeks"], color="#999999", linewidth=1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"weeks from {curve['start']}; the line ends the calibration")
    axes.set_ylabel("repeat purchases, added up")
    axes.set_title("Repeat purchases: actual and expected")
    axes.legend(loc="upper left", frameon=False)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()
