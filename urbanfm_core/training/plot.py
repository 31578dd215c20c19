"""The curve of the losses as a picture."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from urbanfm_core.errors import MissingDependencyError

_NOT_LOSSES = ("epoch", "learning_rate", "samples_per_s", "phase")


def plot_losses(history: Sequence[Mapping[str, Any]], best_epoch: int = 0, title: str = "") -> str:
    """Losses over epochs as SVG; the same history gives the same text.

    Args:
        history: One record per epoch with 'epoch' and named losses.
        best_epoch: Epoch whose weights are kept, to be marked; 0 for none.
        title: Heading.
    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "The plot of the losses", "plots") from error
    epochs = [record["epoch"] for record in history]
    # Phases have losses of their own; each line runs where its loss was learned.
    names = [name for name in dict.fromkeys(name for record in history for name in record) if name not in _NOT_LOSSES]
    # Fixed salt and no date: the picture is a function of its numbers.
    with mpl.rc_context({"svg.hashsalt": "urbanfm", "svg.fonttype": "path"}):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for name in names:
            values = [record.get(name, math.nan) for record in history]
            heavy = name == "loss"
            axes.plot(
                epochs,
                values,
                label=name.replace("_", "-"),
                linewidth=2.2 if heavy else 1.3,
                color="#1b1b1b" if heavy else None,
                marker="o" if len(epochs) < 2 else None,
            )
        if best_epoch:
            # The words stand on the side that has room.
            side, offset = ("right", -4) if 2 * best_epoch > len(epochs) else ("left", 4)
            axes.axvline(best_epoch, color="#999999", linewidth=0.8, linestyle="--")
            axes.annotate(
                f"kept: epoch {best_epoch}",
                (best_epoch, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(offset, -4),
                textcoords="offset points",
                ha=side,
                va="top",
                fontsize=8,
                color="#666666",
            )
        axes.set_title(title or "Training losses", loc="left", fontsize=11)
        axes.set_xlabel("epoch")
        axes.set_ylabel("mean loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
        if names:
            axes.legend(frameon=False, fontsize=9)
        text = io.StringIO()
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})
    return text.getvalue()
