"""The explorer's tables, without Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from pandas.io.formats.style import Styler
from torch import Tensor

from gandissect import Concept, LayerDissection
from gandissect.dissection.comparison import ComparedLayer

from .changes import measure_shares


def unit_table(found: LayerDissection, units: Sequence[int], concept: str | None = None) -> pd.DataFrame:
    """Return a row for each unit: ``unit``, its best ``concept``, ``IoU`` and ``threshold``.

    Args:
        found: The layer's dissection.
        units: Which units, in this order.
        concept: The concept whose IoU is shown; that of the unit's best concept if None.

    Raises:
        KeyError: If there is no such concept.
    """
    iou = found.iou.amax(0) if concept is None else found.iou[found.concept_index(concept)]
    matches = [found.matches[unit] for unit in units]
    return pd.DataFrame(
        {
            "unit": list(units),
            "concept": [match.concept or "none" for match in matches],
            "IoU": iou[list(units)].tolist(),
            "threshold": [match.threshold for match in matches],
        }
    )


def share_table(concepts: Sequence[Concept], labelled: Mapping[str, Tensor]) -> pd.DataFrame:
    """Return the share of pixels of each concept in label maps, in percent, largest first.

    Args:
        concepts: What the labels mean.
        labelled: Label maps, int64 ``[H, W]``, by name; the first is what the others are compared with.

    Returns:
        Columns ``concept``, one for each map, and for each but the first ``± NAME``, its change in percentage points;
        the index is the concept's own, or the number of concepts for pixels that are not labelled. Concepts of
        none of the maps are left out.
    """
    percent = {name: 100 * measure_shares(labels, len(concepts)) for name, labels in labelled.items()}
    first, *others = percent
    frame = pd.DataFrame({"concept": [*(each.name for each in concepts), "not labelled"], first: percent[first]})
    for name in others:
        frame[name], frame["± " + name] = percent[name], percent[name] - percent[first]
    seen = torch.stack(list(percent.values())).amax(0) > 0
    return frame[seen.numpy()].sort_values(first, ascending=False, kind="stable")


def concept_table(labels: Sequence[str], layers: Sequence[ComparedLayer], concepts: Sequence[Concept]) -> pd.DataFrame:
    """Return how many units of layers are interpretable as each concept, most first.

    Args:
        labels: What to call the layers.
        layers: Of one comparison.
        concepts: The comparison's concepts.

    Returns:
        Columns ``concept`` and one for each layer; concepts of none of the layers are left out.
    """
    counts = {label: layer.units_by_concept for label, layer in zip(labels, layers, strict=True)}
    frame = pd.DataFrame({"concept": [each.name for each in concepts], **counts})
    total = frame[list(counts)].sum(axis=1)
    order = total[total > 0].sort_values(ascending=False, kind="stable").index
    return frame.loc[order]


def with_colors(frame: pd.DataFrame, concepts: Sequence[Concept]) -> Styler:
    """Return a table of `share_table` with a first column, named by a space, in the concepts' colours."""
    colors = [*(each.hex for each in concepts), "#808080"]
    frame = frame.copy()
    frame.insert(0, " ", "")
    return frame.style.apply(
        lambda cells: [f"background-color: {colors[index]}" for index in cells.index], subset=[" "]
    )
