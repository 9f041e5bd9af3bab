"""Count the pixels where units are on, where concepts are present, and where both are true; compute IoU from them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ..core.display import Displayed
from ..storage.saved import check_tensor


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class GroupCounts(Displayed):
    """Pixel counts in each group of samples, as assigned by `groups.group_of`.

    Args:
        intersection: Pixels where the unit is on and the concept is present, int64 ``[group, concept, unit]``.
        exchanged: The same pixels counted with the label maps of `groups.partner_of`, int64
            ``[group, concept, unit]``.
        unit_area: Pixels where the unit is on, int64 ``[group, unit]``.
        concept_area: Pixels where the concept is present, int64 ``[group, concept]``.
    """

    intersection: Int64[Tensor, "group concept unit"]
    exchanged: Int64[Tensor, "group concept unit"]
    unit_area: Int64[Tensor, "group unit"]
    concept_area: Int64[Tensor, "group concept"]

    def check(self, layer: str, num_concepts: int, units: int, num_pixels: int) -> None:
        """Raise ValueError if no pixels could have these counts.

        Args:
            layer: Name of the layer, for the message.
            num_concepts: Number of concepts.
            units: Number of units of the layer.
            num_pixels: Number of pixels of all samples.
        """
        groups = len(self.unit_area)
        check_tensor(f"intersection of {layer!r}", self.intersection, torch.int64, (groups, num_concepts, units))
        check_tensor(f"exchanged counts of {layer!r}", self.exchanged, torch.int64, (groups, num_concepts, units))
        check_tensor(f"unit areas of {layer!r}", self.unit_area, torch.int64, (None, units))
        check_tensor(f"concept areas of {layer!r}", self.concept_area, torch.int64, (groups, num_concepts))
        possible = (
            groups > 0
            and all(self._fits(counts) for counts in (self.intersection, self.exchanged))
            and bool((self.unit_area.sum(0) <= num_pixels).all())
            and bool((self.concept_area.sum(0) <= num_pixels).all())
        )
        if not possible:
            raise ValueError(f"counts of {layer!r} contradict each other")

    def _fits(self, counts: Tensor) -> bool:
        """Return whether every intersection is nonnegative and no larger than either area."""
        return (
            bool((counts >= 0).all())
            and bool((counts <= self.concept_area[:, :, None]).all())
            and bool((counts <= self.unit_area[:, None, :]).all())
        )

    def _summarize(self) -> str:
        groups, concepts, units = self.intersection.shape
        return f"{groups} groups, {concepts} concepts, {units} units"


def intersection_over_union(
    intersection: Int64[Tensor, "concept unit"],
    unit_area: Int64[Tensor, " unit"],
    concept_area: Int64[Tensor, " concept"],
) -> Float64[Tensor, "concept unit"]:
    """Return IoU = intersection / (unit_area + concept_area - intersection), 0 where the union is empty.

    Args:
        intersection: Pixels where the unit is on and the concept is present, int64 ``[concept, unit]``.
        unit_area: Pixels where the unit is on, int64 ``[unit]``.
        concept_area: Pixels where the concept is present, int64 ``[concept]``.

    Returns:
        float64 ``[concept, unit]``.

    Source: Bau et al. 2019, Sec. 3.1.
    """
    union = unit_area[None, :] + concept_area[:, None] - intersection
    return intersection.double() / union.clamp(min=1).double()


def information_quality_ratio(
    intersection: Int64[Tensor, "*table"],
    unit_area: Int64[Tensor, "*#table"],
    concept_area: Int64[Tensor, "*#table"],
    num_pixels: Int64[Tensor, "*#table"],
) -> Float64[Tensor, "*table"]:
    """Return the information quality ratio I(U; C) / H(U, C).

    At a pixel, U is whether the unit is on and C whether the concept is present. The ratio is 1 where U and C determine
    each other, 0 where they are independent, and 0 where both are constant.

    Args:
        intersection: Pixels where the unit is on and the concept is present, int64.
        unit_area: Pixels where the unit is on, int64, of a shape that broadcasts.
        concept_area: Pixels where the concept is present, int64, of a shape that broadcasts.
        num_pixels: Number of all pixels, int64, of a shape that broadcasts.

    Returns:
        float64, 0 to 1.

    Source: Bau et al. 2019, Sec. 3.1.
    """
    neither = num_pixels - unit_area - concept_area + intersection
    cells = (intersection, unit_area - intersection, concept_area - intersection, neither)
    total = num_pixels.clamp(min=1).double()
    joint = sum((_entropy_term(cell, total) for cell in cells), torch.zeros_like(total))
    unit = _entropy_term(unit_area, total) + _entropy_term(num_pixels - unit_area, total)
    concept = _entropy_term(concept_area, total) + _entropy_term(num_pixels - concept_area, total)
    return torch.where(joint > 0, (unit + concept - joint) / joint.clamp(min=1e-300), 0.0).clamp(0, 1)


def _entropy_term(count: Tensor, total: Tensor) -> Tensor:
    """Return ``-p log p`` of a share."""
    term: Tensor = torch.special.entr(count / total)
    return term
