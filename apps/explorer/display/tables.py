"""The explorer's tables; independent of Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int64
from pandas.io.formats.style import Styler
from torch import Tensor

from gandissect import Concept, LayerDissection
from gandissect.dissection.comparison import ComparedLayer

from .changes import measure_shares


def unit_table(dissection: LayerDissection, units: Sequence[int], concept: str | None = None) -> pd.DataFrame:
    """Return a row for each unit: ``unit``, its best ``concept``, ``IoU`` and ``threshold``.

    Args:
        dissection: Dissection of the layer.
        units: Units to list, in this order.
        concept: Concept whose IoU is shown; each unit's best concept if None.

    Raises:
        KeyError: If the concept does not exist.
    """
    iou = dissection.iou.amax(0) if concept is None else dissection.iou[dissection.concept_index(concept)]
    matches = [dissection.matches[unit] for unit in units]
    return pd.DataFrame(
        {
            "unit": list(units),
            "concept": [match.concept or "none" for match in matches],
            "IoU": iou[list(units)].tolist(),
            "threshold": [match.threshold for match in matches],
        }
    )


def share_table(concepts: Sequence[Concept], labeled: Mapping[str, Int64[Tensor, "H W"]]) -> pd.DataFrame:
    """Return the share of pixels of each concept in label maps, in percent, largest first.

    Args:
        concepts: Concepts of the labels.
        labeled: Label maps, int64 ``[H, W]``, by name; the others are compared with the first.

    Returns:
        Columns ``concept``, one per map, and for each map but the first ``± NAME``, its change in percentage points;
        the index is the concept's own, or the number of concepts for unlabeled pixels. Concepts that occur in no map
        are left out.
    """
    percent = {name: 100 * measure_shares(labels, len(concepts)).numpy() for name, labels in labeled.items()}
    first, *others = percent
    frame = pd.DataFrame({"concept": [*(concept.name for concept in concepts), "unlabeled"], first: percent[first]})
    for name in others:
        frame[name], frame["± " + name] = percent[name], percent[name] - percent[first]
    present = np.stack(list(percent.values())).max(0) > 0
    rows: pd.DataFrame = frame[present]
    return rows.sort_values(first, ascending=False, kind="stable")


def concept_table(labels: Sequence[str], layers: Sequence[ComparedLayer], concepts: Sequence[Concept]) -> pd.DataFrame:
    """Return the number of interpretable units per concept and layer, most first.

    Args:
        labels: Labels of the layers.
        layers: Layers of one comparison.
        concepts: Concepts of the comparison.

    Returns:
        Columns ``concept`` and one per layer; concepts without a unit are left out.
    """
    counts = {label: layer.units_by_concept for label, layer in zip(labels, layers, strict=True)}
    frame = pd.DataFrame({"concept": [concept.name for concept in concepts], **counts})
    total = frame[list(counts)].sum(axis=1)
    order = total[total > 0].sort_values(ascending=False, kind="stable").index
    return frame.loc[order]


def add_colors(frame: pd.DataFrame, concepts: Sequence[Concept]) -> Styler:
    """Return a table of `share_table` with a first column, named with a space, in the concepts' colors."""
    colors = [*(concept.hex for concept in concepts), "#808080"]
    frame = frame.copy()
    frame.insert(0, " ", "")
    return frame.style.apply(
        lambda cells: [f"background-color: {colors[index]}" for index in cells.index], subset=[" "]
    )
