"""IoU and information quality ratio of units and concepts as functions of the threshold.

A pilot sets the levels of each unit in advance; the pixels above each level are then counted, so each curve is exact at
its levels. To save time, only a fixed subset of the pixels of each sample is used (`upsampling.sample_pixels`).

The threshold and the concept that maximize the information quality ratio are chosen on one half of the samples and
scored on the other half, since the maximum of many estimates is biased upward on the samples that it was chosen on.

Source: Bau et al. 2019, Sec. 3.1 (the ratio, and its threshold).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from ..storage.saved import check_tensor
from .iou import information_quality_ratio, intersection_over_union


@dataclass(frozen=True, slots=True)
class QualityMatch:
    """A unit's best concept and threshold by information quality ratio.

    Args:
        layer: Name of the layer.
        unit: Channel index of the unit.
        concept: Name of the concept; None if no concept is more frequent where the unit is on, or there are too few
            samples.
        threshold: Activation above which the unit is on.
        share: Share of pixels where the unit is on, 0 to 1.
        iqr: Information quality ratio, 0 to 1.
        iou: IoU with the concept, 0 to 1.
        null_iou: IoU with the label maps of other samples, 0 to 1.
    """

    layer: str
    unit: int
    concept: str | None
    threshold: float
    share: float
    iqr: float
    iou: float
    null_iou: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UnitCurves:
    """Pixel counts above several levels in each half of the samples, and the curves computed from them.

    Args:
        levels: Levels of each unit, float32 ``[unit, level]``, ascending.
        intersection: Pixels above the level where the concept is present, int64 ``[half, concept, unit, level]``.
        exchanged: The same pixels counted with the label maps of `groups.partner_of`, int64
            ``[half, concept, unit, level]``.
        unit_area: Pixels above the level, int64 ``[half, unit, level]``.
        concept_area: Pixels where the concept is present, int64 ``[half, concept]``.
        exchanged_area: Pixels where the concept is present in the exchanged label maps, int64 ``[half, concept]``.
        num_pixels: Number of pixels counted, int64 ``[half]``.

    Attributes:
        share: Share of pixels above the level in both halves together, float64 ``[unit, level]``.
        iou: IoU over both halves together, float64 ``[concept, unit, level]``.
        null_iou: IoU with the label maps of other samples, float64 ``[concept, unit, level]``.
    """

    levels: Float32[Tensor, "unit level"]
    intersection: Int64[Tensor, "half concept unit level"]
    exchanged: Int64[Tensor, "half concept unit level"]
    unit_area: Int64[Tensor, "half unit level"]
    concept_area: Int64[Tensor, "half concept"]
    exchanged_area: Int64[Tensor, "half concept"]
    num_pixels: Int64[Tensor, " half"]
    share: Float64[Tensor, "unit level"] = field(init=False, repr=False)
    iou: Float64[Tensor, "concept unit level"] = field(init=False, repr=False)
    null_iou: Float64[Tensor, "concept unit level"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        units, num_levels = self.unit_area.shape[1:] if self.unit_area.ndim == 3 else (-1, -1)
        concepts = self.concept_area.shape[1] if self.concept_area.ndim == 2 else -1
        check_tensor("levels of curves", self.levels, torch.float32, (units, num_levels))
        for name in ("intersection", "exchanged"):
            check_tensor(f"{name} of curves", getattr(self, name), torch.int64, (2, concepts, units, num_levels))
        check_tensor("unit areas of curves", self.unit_area, torch.int64, (2, units, num_levels))
        for name in ("concept_area", "exchanged_area"):
            check_tensor(f"{name} of curves", getattr(self, name), torch.int64, (2, concepts))
        check_tensor("pixels of curves", self.num_pixels, torch.int64, (2,))
        self._check_counts()
        area = self.unit_area.sum(0)
        object.__setattr__(self, "iou", _compute_iou(self.intersection.sum(0), area, self.concept_area.sum(0)))
        object.__setattr__(self, "null_iou", _compute_iou(self.exchanged.sum(0), area, self.exchanged_area.sum(0)))
        object.__setattr__(self, "share", self.unit_area.sum(0).double() / self.num_pixels.sum().clamp(min=1))

    def __repr__(self) -> str:
        concepts, units, levels = self.iou.shape
        return f"UnitCurves({concepts} concepts, {units} units, {levels} levels)"

    def _check_counts(self) -> None:
        pairs = ((self.intersection, self.concept_area), (self.exchanged, self.exchanged_area))
        fits = all(
            bool(((counts >= 0) & (counts <= self.unit_area[:, None]) & (counts <= area[:, :, None, None])).all())
            for counts, area in pairs
        )
        unions = (self.unit_area[:, None] + area[:, :, None, None] - counts for counts, area in pairs)
        if not fits or any(bool((union > self.num_pixels[:, None, None, None]).any()) for union in unions):
            raise ValueError("counts of curves contradict each other")
        if not self.levels.numel() or not bool((self.levels.diff(dim=1) >= 0).all() & self.levels.isfinite().all()):
            raise ValueError("levels of curves must be finite and ascending")

    @property
    def iqr(self) -> Float64[Tensor, "half concept unit level"]:
        """Information quality ratio in each half, float64 ``[half, concept, unit, level]``, 0 to 1.

        It is set to 0 where the concept is no more frequent above the level than overall.
        """
        pixels = self.num_pixels[:, None, None, None]
        unit, concept = self.unit_area[:, None], self.concept_area[:, :, None, None]
        ratio = information_quality_ratio(self.intersection, unit, concept, pixels)
        return ratio.where(self.intersection.double() * pixels > unit.double() * concept, 0.0)

    def matches(self, layer: str, concepts: tuple[str, ...]) -> tuple[QualityMatch, ...]:
        """Return each unit's best concept and level by the first half of the samples, scored on the second half.

        Args:
            layer: Name of the layer.
            concepts: Names of the concepts, in the order of the rows.
        """
        iqr = self.iqr
        levels = iqr[0].argmax(2)
        best = iqr[0].amax(2).argmax(0)
        iou = _compute_iou(self.intersection[1], self.unit_area[1], self.concept_area[1])
        null_iou = _compute_iou(self.exchanged[1], self.unit_area[1], self.exchanged_area[1])
        matches = []
        for unit, row in enumerate(best.tolist()):
            at = (row, unit, int(levels[row, unit]))
            matches.append(
                QualityMatch(
                    layer=layer,
                    unit=unit,
                    concept=concepts[row] if iqr[0][at] > 0 and self.num_pixels[1] > 0 else None,
                    threshold=float(self.levels[unit, at[2]]),
                    share=int(self.unit_area[1, unit, at[2]]) / max(1, int(self.num_pixels[1])),
                    iqr=float(iqr[1][at]),
                    iou=float(iou[at]),
                    null_iou=float(null_iou[at]),
                )
            )
        return tuple(matches)


def _compute_iou(
    intersection: Int64[Tensor, "concept unit level"],
    unit_area: Int64[Tensor, "unit level"],
    concept_area: Int64[Tensor, " concept"],
) -> Float64[Tensor, "concept unit level"]:
    """Return the IoU at every level, float64 ``[concept, unit, level]``."""
    flat = intersection_over_union(intersection.flatten(1), unit_area.flatten(), concept_area)
    return flat.reshape(intersection.shape)
