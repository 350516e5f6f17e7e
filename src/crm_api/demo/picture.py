"""The RFM grid as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def draw_rfm(cells: Sequence[dict[str, Any]], currency: str, path: Path) -> None:
    """Draw recency × frequency: the number in a cell is its customers, its colour their turnover.

    Args:
        cells: ``summary.rfm`` of a scoring run; ``monetary`` in minor units.
        currency: of the turnover.
        path: SVG file to write.

    """
    import matplotlib as mpl  # noqa: PLC0415 - takes half a second, and only the demo draws

    mpl.use("svg")
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text
    from matplotlib import pyplot as plt  # noqa: PLC0415

    size = 5
    money = [[0.0] * size for _ in range(size)]
    count = [[0] * size for _ in range(size)]
    for cell in cells:
        money[cell["f"] - 1][cell["r"] - 1] = (cell["monetary"] or 0) / 100
        count[cell["f"] - 1][cell["r"] - 1] = cell["customers"]
    figure, axes = plt.subplots(figsize=(6.4, 5.2), layout="constrained")
    image = axes.imshow(money, origin="lower", cmap="YlGnBu")
    bright = max(max(row) for row in money) * 0.55
    for f in range(size):
        for r in range(size):
            if count[f][r]:
                colour = "white" if money[f][r] > bright else "black"
                axes.text(r, f, f"{count[f][r]:,}", ha="center", va="center", color=colour, fontsize=11)
    axes.set_xticks(range(size), [f"R{score}" for score in range(1, size + 1)])
    axes.set_yticks(range(size), [f"F{score}" for score in range(1, size + 1)])
    axes.set_xlabel("recency: 5 bought most recently")
    axes.set_ylabel("frequency: 5 bought most often")
    axes.set_title("Customers per RFM cell; colour: turnover")
    figure.colorbar(image, ax=axes, label=f"turnover, {currency}")
    figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)
