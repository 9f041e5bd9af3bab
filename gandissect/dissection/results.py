"""The results of a dissection: pixel counts, and the quantities computed from them.

For unit u with threshold t_u and concept c, over the pixels p of all samples,

    IoU[c, u] = |{p : a_u(p) > t_u and label(p) = c}| / |{p : a_u(p) > t_u or label(p) = c}|,

where a_u is the unit's activation, upsampled to the label map. The IoU is 0 where the union is empty.

Source: Bau et al. 2019, Sec. 3.1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from ..core.display import Displayed, Tabular
from ..core.drawn import Drawn
from ..core.lookup import check_choice, lookup
from ..core.network_id import NetworkId
from ..core.types import Concept, LayerInfo, UnitSet, check_concepts, check_type, concept_index
from ..inference.labels import LabelSource
from ..inference.upsampling import Padding
from ..stats.significance import FALSE_DISCOVERY_RATE, benjamini_hochberg, q_values
from ..storage.saved import SavedResult, check_tensor
from .chance import ChanceComparison, IouEstimate, compare_with_chance, jackknife_iou
from .counting.tally import TALLY
from .counting.top_images import Thumbnails, TopImages
from .curves import QualityMatch, UnitCurves
from .iou import GroupCounts, intersection_over_union
from .records import list_units

MIN_IOU = 0.04
"""Minimum IoU of a unit that matches a concept. Source: Bau et al. 2017 (arXiv 1704.05796), Sec. 2."""

ENOUGH_SAMPLES = 500
"""Number of samples with which moderate agreement can be distinguished from chance."""


@dataclass(frozen=True, slots=True, repr=False)
class UnitMatch:
    """A unit's best concept by IoU.

    Args:
        layer: Name of the layer.
        unit: Channel index of the unit.
        concept: Name of the concept; None if the unit overlaps no concept.
        iou: IoU with the concept, 0 to 1.
        threshold: Activation above which the unit is on.
        null_iou: IoU with the label maps of other samples, 0 to 1; None if there are too few samples to estimate it.
        iou_ci: 95% confidence interval of the IoU over images, (low, high); None if there are too few samples.
        beyond_chance: Whether the IoU is significantly above ``null_iou``; None if there are too few samples.
        q_value: Lowest false discovery rate, over all units and concepts of the layer, at which the IoU is
            significantly above ``null_iou``, 0 to 1; None if there are too few samples.
    """

    layer: str
    unit: int
    concept: str | None
    iou: float
    threshold: float
    null_iou: float | None = None
    iou_ci: tuple[float, float] | None = None
    beyond_chance: bool | None = None
    q_value: float | None = None

    def is_interpretable(self, min_iou: float = MIN_IOU) -> bool:
        """Return whether the IoU is at least ``min_iou`` and beyond chance; False if there are too few samples."""
        return self.concept is not None and self.iou >= min_iou and bool(self.beyond_chance)

    def __repr__(self) -> str:
        interval = None if self.iou_ci is None else tuple(float(f"{end:.3g}") for end in self.iou_ci)
        null_iou, q_value = (
            None if value is None else float(f"{value:.3g}") for value in (self.null_iou, self.q_value)
        )
        return (
            f"UnitMatch(layer={self.layer!r}, unit={self.unit}, concept={self.concept!r}, iou={self.iou:.3g}, "
            f"threshold={self.threshold:.4g}, null_iou={null_iou}, iou_ci={interval}, "
            f"beyond_chance={self.beyond_chance}, q_value={q_value})"
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LayerDissection(Tabular):
    """The dissection of one layer: the IoU of its units with the concepts.

    Args:
        name: Name of the layer.
        info: Shape of the layer's output.
        concepts: Concepts of the segmenter, in the order of the rows.
        thresholds: Threshold of each unit, float32 ``[unit]``; a unit is on where its upsampled activation is strictly
            above its threshold.
        groups: Pixel counts in groups of samples.
        num_pixels: Number of pixels of all samples, including unlabeled pixels.
        top: Images that activate each unit most.
        curves: IoU at many thresholds; None if the layer was dissected without curves.

    Attributes:
        intersection: Pixels where the unit is on and the concept is present, int64 ``[concept, unit]``.
        unit_area: Pixels where the unit is on, int64 ``[unit]``.
        concept_area: Pixels where the concept is present, int64 ``[concept]``.
        iou: IoU over all samples, float64 ``[concept, unit]``.
        estimate: Standard error and confidence interval of the IoU; None if there are fewer than two groups.
        chance: Comparison with the IoU expected by chance; None if there are fewer than two groups.
        matches: Best concept of each unit, in the order of the units; ties go to the earlier concept.
    """

    name: str
    info: LayerInfo
    concepts: tuple[Concept, ...]
    thresholds: Float32[Tensor, " unit"]
    groups: GroupCounts
    num_pixels: int
    top: TopImages
    curves: UnitCurves | None = None
    intersection: Int64[Tensor, "concept unit"] = field(init=False, repr=False)
    unit_area: Int64[Tensor, " unit"] = field(init=False, repr=False)
    concept_area: Int64[Tensor, " concept"] = field(init=False, repr=False)
    iou: Float64[Tensor, "concept unit"] = field(init=False, repr=False)
    estimate: IouEstimate | None = field(init=False, repr=False)
    chance: ChanceComparison | None = field(init=False, repr=False)
    matches: tuple[UnitMatch, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        units, counts = self.info.units, self.groups
        check_tensor(f"thresholds of {self.name!r}", self.thresholds, torch.float32, (units,))
        if not bool(torch.isfinite(self.thresholds).all()):
            raise ValueError(f"thresholds of {self.name!r} must be finite")
        check_tensor(f"top samples of {self.name!r}", self.top.samples, torch.int64, (units, None))
        counts.check(self.name, len(self.concepts), units, self.num_pixels)
        if self.curves is not None and self.curves.iou.shape[:2] != (len(self.concepts), units):
            raise ValueError(f"curves of {self.name!r} have a different number of concepts or units")
        sums = {name: getattr(counts, name).sum(0) for name in ("intersection", "unit_area", "concept_area")}
        enough, areas = len(counts.unit_area) >= 2, (counts.unit_area, counts.concept_area)
        derived = sums | {
            "iou": intersection_over_union(**sums),
            "estimate": jackknife_iou(counts.intersection, *areas) if enough else None,
            "chance": compare_with_chance(counts.intersection, counts.exchanged, *areas) if enough else None,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "matches", tuple(_find_best_matches(self)))

    @property
    def quality_matches(self) -> tuple[QualityMatch, ...]:
        """Best concept and threshold of each unit by information quality ratio, in the order of the units.

        Raises:
            ValueError: If the layer was dissected without curves.
        """
        if self.curves is None:
            raise ValueError(f"{self.name!r} was dissected without curves; dissect it again with curves=True")
        return self.curves.matches(self.name, tuple(concept.name for concept in self.concepts))

    def concept_index(self, concept: str) -> int:
        """Return the row of a concept.

        Raises:
            KeyError: If the segmenter has no such concept.
        """
        return concept_index(self.concepts, concept)

    def units_for(self, concept: str, min_iou: float = MIN_IOU, top: int | None = None) -> UnitSet:
        """Return the units whose IoU with a concept is at least ``min_iou``.

        The concept need not be the best one of a unit, nor the IoU beyond chance.

        Args:
            concept: Name of the concept.
            min_iou: Minimum IoU, 0 to 1.
            top: Maximum number of units, at least 0; None for all.

        Returns:
            The units in descending order of IoU; ties in the order of the units.

        Raises:
            KeyError: If the segmenter has no such concept.
            ValueError: If ``top`` is negative or ``min_iou`` is out of range.
        """
        if not 0 <= min_iou <= 1:
            raise ValueError(f"min_iou must be in [0, 1]; got {min_iou}")
        if top is not None and top < 0:
            raise ValueError(f"top must be at least 0; got {top}")
        scores = self.iou[self.concept_index(concept)]
        order = torch.sort(scores, descending=True, stable=True).indices.tolist()
        units = [unit for unit in order if scores[unit] >= min_iou and scores[unit] > 0]
        return UnitSet(self.name, tuple(units[:top]))

    def beyond_chance(self, rate: float = FALSE_DISCOVERY_RATE) -> Bool[Tensor, "concept unit"]:
        """Return which IoU values are beyond chance, bool ``[concept, unit]``; all False if there are too few samples.

        The test corrects for multiple comparisons over all concepts and units of the layer.

        Args:
            rate: False discovery rate, the maximum expected share of chance findings among those returned as True;
                above 0 and below 1.

        Raises:
            ValueError: If ``rate`` is out of range.

        Source: Benjamini and Hochberg 1995, Sec. 3.1.
        """
        p = torch.ones_like(self.iou) if self.chance is None else self.chance.p
        return benjamini_hochberg(p, rate)

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dictionary for each unit, as `Dissection.records` does."""
        return list(list_units(self))

    def _summarize(self) -> str:
        info, num_interpretable = self.info, sum(match.is_interpretable() for match in self.matches)
        return f"{self.name!r}: {info.units} units, {info.height} x {info.width}, {num_interpretable} interpretable"

    def _html_parts(self) -> Iterable[str]:
        from .display import show_layer

        return show_layer(self)


def count_units_by_concept(matches: Iterable[UnitMatch], min_iou: float = MIN_IOU) -> dict[str, int]:
    """Return the number of interpretable units of each concept, most units first; ties by name."""
    counts = Counter(match.concept for match in matches if match.concept and match.is_interpretable(min_iou))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _find_best_matches(layer: LayerDissection) -> Iterator[UnitMatch]:
    """Yield each unit's best concept; argmax breaks ties in favor of the first concept."""
    best, concept = layer.iou.max(0)
    concept = (layer.iou == best).int().argmax(0)
    units = torch.arange(layer.info.units, device="cpu")
    estimate, chance = layer.estimate, layer.chance
    significant = None if chance is None else layer.beyond_chance()[concept, units].tolist()
    rates = None if chance is None else q_values(chance.p)[concept, units].tolist()
    for unit, row in enumerate(concept.tolist()):
        yield UnitMatch(
            layer=layer.name,
            unit=unit,
            concept=layer.concepts[row].name if best[unit] > 0 else None,
            iou=float(best[unit]),
            threshold=float(layer.thresholds[unit]),
            null_iou=None if chance is None else float(chance.null_iou[row, unit]),
            iou_ci=None if estimate is None else (float(estimate.low[row, unit]), float(estimate.high[row, unit])),
            beyond_chance=None if significant is None else significant[unit],
            q_value=None if rates is None else rates[unit],
        )


@dataclass(frozen=True, slots=True, repr=False)
class Provenance(Displayed):
    """The networks, settings and software versions that produced a dissection.

    Args:
        generator: Name and fingerprint of the generator.
        segmenter: Name and fingerprint of the segmenter.
        seed: Seed of the latent vectors.
        num_samples: Number of samples; their indices start at 0.
        quantile: Maximum share of all pixels where a unit is on, above 0 and below 1.
        batch_size: Samples per batch.
        label_size: Height and width of the label maps.
        padding: Values beyond the border of a layer's grid, ``"edge"`` or ``"zeros"``.
        device: Device of the computation.
        versions: Versions of the packages, by name.
        duration: Duration of the computation in seconds.
        labels: Source of the label maps: ``"output"``, the images, or ``"input"``, the true labels of inputs.
        drawn: Classes, pictures or captions that the samples were drawn from.
    """

    generator: NetworkId
    segmenter: NetworkId
    seed: int
    num_samples: int
    quantile: float
    batch_size: int
    label_size: tuple[int, int]
    padding: Padding
    device: str = field(compare=False)
    versions: Mapping[str, str] = field(compare=False)
    duration: float = field(compare=False)
    labels: LabelSource = field(default="output", metadata={"is_optional": True})
    drawn: Drawn = field(default_factory=Drawn)

    def __post_init__(self) -> None:
        counts = (self.num_samples, self.batch_size, *self.label_size)
        if not (0 < self.quantile < 1 and 0 <= self.duration < math.inf and min(counts) > 0):
            raise ValueError(f"provenance has a number out of range: {self}")
        check_choice(self.padding, Padding, "padding")
        check_choice(self.labels, LabelSource, "labels")

    @property
    def num_pixels(self) -> int:
        """Number of pixels of the label maps of all samples."""
        return self.num_samples * self.label_size[0] * self.label_size[1]

    def _summarize(self) -> str:
        setting = f"{self.num_samples} samples, seed={self.seed}, quantile={self.quantile:g}"
        labels = "the true labels of the inputs" if self.labels == "input" else self.segmenter
        return f"{self.generator} by {labels}: {setting}, on {self.device}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Dissection(SavedResult, Tabular):
    """A dissection: the IoU of the units of a generator's layers with a segmenter's concepts.

    ``D["layer4"]`` is the `LayerDissection` of that layer, ``for layer in D`` iterates over all layers in the
    generator's order, and ``"layer4" in D`` is whether the layer was dissected.

    Args:
        layers: Dissected layers, from input to output.
        concepts: Concepts of the segmenter.
        thumbnails: Thumbnails of the samples in the layers' `TopImages`.
        provenance: Networks, settings and software versions that produced the dissection.
    """

    FILE_NAME: ClassVar[str] = "dissection.safetensors"
    VERSION: ClassVar[int] = 3

    layers: tuple[LayerDissection, ...]
    concepts: tuple[Concept, ...]
    thumbnails: Thumbnails
    provenance: Provenance

    def __post_init__(self) -> None:
        known = self.thumbnails.samples
        if len({layer.name for layer in self.layers}) != len(self.layers):
            raise ValueError("a layer is dissected more than once")
        check_concepts(self.concepts)
        if len({layer.curves is None for layer in self.layers}) > 1:
            raise ValueError("either all layers or no layer must have curves")
        for layer in self.layers:
            if layer.concepts != self.concepts:
                raise ValueError(f"the concepts of {layer.name!r} are not those of the dissection")
            if layer.num_pixels != self.provenance.num_pixels:
                raise ValueError(
                    f"{layer.name!r} has counts of {layer.num_pixels} pixels, but the samples have "
                    f"{self.provenance.num_pixels}"
                )
            if not bool(torch.isin(layer.top.samples, known).all()) or layer.top.size != self.thumbnails.size:
                raise ValueError(f"some top images of {layer.name!r} have no thumbnail, or one of the wrong size")

    def __getitem__(self, layer: str) -> LayerDissection:
        """Return the dissection of one layer.

        Raises:
            KeyError: If the layer was not dissected; the message names the nearest match.
        """
        return lookup({dissected.name: dissected for dissected in self.layers}, layer, "layer")

    def __iter__(self) -> Iterator[LayerDissection]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __contains__(self, layer: object) -> bool:
        return any(dissected.name == layer for dissected in self.layers)

    def records(self) -> list[dict[str, Any]]:
        """Return one plain dictionary per unit, layer by layer, ready for JSON or a table.

        The keys are ``layer unit concept category iou threshold null_iou iou_low iou_high q_value beyond_chance
        unit_area peak top_samples``, and with curves also ``iqr_concept iqr iqr_threshold iqr_share iqr_iou
        iqr_null_iou``.
        """
        return [record for layer in self.layers for record in list_units(layer)]

    @classmethod
    def load(cls, place: Path | str) -> Self:
        """Read a dissection that `save` wrote.

        Args:
            place: The folder, or the file in it.

        Raises:
            FileNotFoundError: If there is no dissection; if the folder only holds counts, with the remedy.
            ValueError: If the file is damaged; the message names the file and the damage.
        """
        check_type("place", place, (str, Path))
        path = Path(place)
        if path.is_dir() and not (path / cls.FILE_NAME).exists() and (path / TALLY).exists():
            raise FileNotFoundError(
                f"{path} holds the counts of a shard or of an unfinished dissection ({TALLY}), but no finished "
                "dissection; merge shards with gandissect merge (merge_shards), or rerun the command of an unfinished "
                "dissection to resume it"
            )
        return super(Dissection, cls).load(path)

    def _summarize(self) -> str:
        networks = f"{self.provenance.generator} by {self.provenance.segmenter}"
        names = ", ".join(layer.name for layer in self.layers) or "none"
        return f"{networks}: {self.provenance.num_samples} samples, layers {names}"

    def _html_parts(self) -> Iterable[str]:
        from .display import show_dissection

        return show_dissection(self)
