"""Figures of shares of concepts, which show what a generator under- or over-produces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.types import check_type
from ..fidelity.results import ConceptShare, ConceptShares
from ..stats.intervals import Z_95
from .style import CONTROL, INK, UNITS
from .text import finish_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CONCEPTS = 40
"""Maximum number of concepts in the figure; those with the largest real shares are shown."""


def draw_shares(shares: ConceptShares) -> Figure:
    """Draw the shares of concepts in generated and in real images, largest real share first.

    Args:
        shares: Result of `measure_concept_shares`.

    Returns:
        A figure without window or global state; write it with ``savefig``. Error bars are 95% intervals.
    """
    from .figures import NotebookFigure

    check_type("shares", shares, ConceptShares, "pass what measure_concept_shares or ConceptShares.load returns")
    shown = sorted(shares, key=lambda share: (share.real, share.generated), reverse=True)
    shown = [share for share in shown if max(share.real, share.generated) > 0][:MAX_CONCEPTS]
    figure = NotebookFigure(figsize=(10, 1.6 + 0.34 * len(shown)), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    _draw_shares(left, shown)
    _draw_differences(right, shown)
    left.set_yticks(range(len(shown)), [share.concept for share in shown])
    left.set_ylim(len(shown) - 0.4, -0.6)
    about = shares.provenance
    figure.suptitle(f"{about.generator}: shares of concepts, labeled by {about.segmenter}\n{shares}", fontsize="medium")
    return finish_text(figure)


def _draw_shares(axes: Axes, shown: Sequence[ConceptShare]) -> None:
    """Draw pairs of bars on a logarithmic axis, where rare concepts remain visible."""
    rows = range(len(shown))
    for name, color, offset in (("real", CONTROL, -0.2), ("generated", UNITS, 0.2)):
        means = [100 * getattr(share, name) for share in shown]
        reaches = [100 * Z_95 * getattr(share, f"{name}_stderr") for share in shown]
        places = [row + offset for row in rows]
        axes.barh(places, means, 0.38, color=color, label=name, xerr=reaches, error_kw={"lw": 1, "ecolor": INK})
    from matplotlib.ticker import LogFormatter

    least = min((mean for share in shown for mean in (share.real, share.generated) if mean > 0), default=1)
    axes.set_xscale("log")
    axes.set_xlim(max(100 * least / 3, 1e-4), 100)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(LogFormatter())  # the default formatter writes formulas
    axes.set_xlabel("share of the pixels, %, with 95% intervals")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    axes.grid(axis="x", alpha=0.3)


def _draw_differences(axes: Axes, shown: Sequence[ConceptShare]) -> None:
    """Draw the differences with their intervals."""
    rows = range(len(shown))
    ends = [100 * (share.interval[1] - share.difference) for share in shown]
    axes.axvline(0, color=INK, lw=1)
    axes.errorbar([100 * share.difference for share in shown], rows, xerr=ends, fmt="o", ms=4, color=UNITS)
    axes.set_xlabel("generated minus real, percentage points")
    axes.grid(axis="x", alpha=0.3)
