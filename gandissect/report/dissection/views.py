"""Contents of the page of a dissection: cards of units, layers, concepts and highlights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...core.types import Concept, LayerInfo
from ...dissection.counting.top_images import Thumbnails
from ...dissection.curves import QualityMatch
from ...dissection.label_comparison import LabelComparison, UnitAgreement
from ...dissection.results import Dissection, LayerDissection, UnitMatch, count_units_by_concept
from ..regions import data_uri, unit_strip
from .charts import (
    NO_COLOR,
    Bar,
    CurveFigure,
    Profile,
    bars,
    curve_figure,
    group_by_category,
    profile,
    sort_by_iou,
    stack_bars,
)

NUM_PICTURES = 5
"""Maximum number of pictures in a unit's strip."""

NUM_HIGHLIGHTS = 3
"""Maximum number of units whose pictures are at the top of the page."""

HEIGHTS = ((128, 1_500), (64, 3_600))
"""Heights of strips in pixels, each with the number of strips of that height that fit a page of about 25 MB."""


@dataclass(frozen=True, slots=True)
class UnitCard:
    """A unit on the page.

    Args:
        match: Best concept of the unit.
        color: Color of that concept, ``#rrggbb``.
        category: Category of that concept; empty without a concept.
        is_match: Whether the unit is interpretable.
        area: Share of all pixels on which the unit is on, 0 to 1.
        meter: IoU, in percent of the highest IoU on the page.
        samples: Indices of the samples shown, most active first.
        picture: ``data:`` address of the strip; empty without pictures.
        size: Width and height of the strip, in pixels.
        curve: IoU with that concept by the share of pixels; None without curves.
        quality: Concept and threshold with the highest information quality ratio; None without curves.
        agreement: IoU with the inputs and with the outputs; None if they are not compared.
    """

    match: UnitMatch
    color: str
    category: str
    is_match: bool
    area: float
    meter: float
    samples: tuple[int, ...]
    picture: str
    size: tuple[int, int]
    curve: CurveFigure | None
    quality: QualityMatch | None
    agreement: UnitAgreement | None


@dataclass(frozen=True, slots=True)
class LayerPart:
    """A layer on the page.

    Args:
        name: Name of the layer.
        anchor: Anchor of the layer's section.
        info: Shape of the layer.
        num_matches: Number of units that match a concept.
        stack: Matching units by concept, on the scale of the layer with the most.
        bars: Matching units by concept, on this layer's own scale, most first.
        profile: IoU of all units.
        cards: All units, highest IoU first.
    """

    name: str
    anchor: str
    info: LayerInfo
    num_matches: int
    stack: tuple[Bar, ...]
    bars: tuple[Bar, ...]
    profile: Profile
    cards: tuple[UnitCard, ...]


@dataclass(frozen=True, slots=True)
class ConceptRow:
    """A concept on the page.

    Args:
        name: Name of the concept.
        category: Category of the concept.
        color: Color of the concept, ``#rrggbb``.
        share: The concept's share of all pixels, 0 to 1.
        num_units: Number of units of all layers that match the concept.
        best: Match with the highest IoU.
        anchor: Anchor of that unit's card.
    """

    name: str
    category: str
    color: str
    share: float
    num_units: int
    best: UnitMatch
    anchor: str


@dataclass(frozen=True, slots=True)
class UnitHighlight:
    """A unit at the top of the page.

    Args:
        card: Card of the unit.
        anchor: Anchor of that card.
    """

    card: UnitCard
    anchor: str


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """Settings that the cards of all layers share.

    ``height`` is the height of the strips. Units with an IoU of ``least_pictured`` or less have no strip, which limits
    the size of the page. ``agreements`` has the units by layer and number.
    """

    min_iou: float
    concepts: Mapping[str, Concept]
    highest: float
    thumbnails: Thumbnails
    height: int
    least_pictured: float
    agreements: Mapping[tuple[str, int], UnitAgreement]


def layer_parts(
    dissection: Dissection, min_iou: float, order: Sequence[str], comparison: LabelComparison | None = None
) -> tuple[LayerPart, ...]:
    """Return the layers, from input to output.

    Args:
        dissection: Dissection to report.
        min_iou: Minimum IoU of a match, 0 to 1.
        order: Names of the concepts, in the order in which they are stacked.
        comparison: Agreement of the units with inputs and outputs; None if they are not compared.
    """
    look = _look(dissection, min_iou, comparison)
    counts = [
        group_by_category(count_units_by_concept(layer.matches, min_iou), dissection.concepts) for layer in dissection
    ]
    full = max(1, *(sum(count.values()) for count in counts))
    return tuple(
        LayerPart(
            name=layer.name,
            anchor=anchor(index),
            info=layer.info,
            num_matches=sum(count.values()),
            stack=stack_bars(count, order, look.concepts, full),
            bars=bars(count, look.concepts),
            profile=profile(layer, min_iou, look.concepts),
            cards=_cards(layer, look),
        )
        for index, (layer, count) in enumerate(zip(dissection, counts, strict=True))
    )


def concept_rows(dissection: Dissection, totals: Mapping[str, int], min_iou: float) -> tuple[ConceptRow, ...]:
    """Return the concepts that at least one unit matches.

    Args:
        dissection: Dissection to report.
        totals: Number of units that match each of these concepts, in the order of the rows.
        min_iou: Minimum IoU of a match, 0 to 1.
    """
    places = {layer.name: index for index, layer in enumerate(dissection)}
    matches = [match for layer in dissection for match in layer.matches]
    first = dissection.layers[0]
    rows = []
    for name, number in totals.items():
        interpretable = [match for match in matches if match.concept == name and match.is_interpretable(min_iou)]
        best = max(interpretable, key=lambda match: match.iou)
        concept = dissection.concepts[first.concept_index(name)]
        share = int(first.concept_area[concept.index]) / max(1, first.num_pixels)
        place = anchor(places[best.layer], best.unit)
        rows.append(ConceptRow(name, concept.category, concept.hex, share, number, best, place))
    return tuple(rows)


def pick_highlights(layers: Sequence[LayerPart], concepts: Sequence[ConceptRow]) -> tuple[UnitHighlight, ...]:
    """Return the best matches of the concepts with the highest IoU, or the units with the highest IoU if none matches.

    Units without pictures are left out.
    """
    units = [
        UnitHighlight(card, f"{layer.anchor}-unit-{card.match.unit}")
        for layer in layers
        for card in layer.cards
        if card.picture
    ]
    best = {row.anchor for row in concepts}
    chosen = [unit for unit in units if unit.anchor in best] or units
    return tuple(sorted(chosen, key=lambda unit: -unit.card.match.iou)[:NUM_HIGHLIGHTS])


def anchor(layer: int, unit: int | None = None) -> str:
    """Return the anchor of a layer, or of one of its units."""
    return f"layer-{layer}" if unit is None else f"layer-{layer}-unit-{unit}"


def _look(dissection: Dissection, min_iou: float, comparison: LabelComparison | None) -> _Look:
    scores = sorted((match.iou for layer in dissection for match in layer.matches), reverse=True)
    height, room = next((option for option in HEIGHTS if len(scores) <= option[1]), HEIGHTS[-1])
    return _Look(
        min_iou=min_iou,
        concepts={concept.name: concept for concept in dissection.concepts},
        highest=max(scores[0], min_iou) or 1.0,
        thumbnails=dissection.thumbnails,
        height=height,
        least_pictured=-1.0 if len(scores) <= room else scores[room],
        agreements={(unit.layer, unit.unit): unit for unit in (comparison.units if comparison else ())},
    )


def _cards(layer: LayerDissection, look: _Look) -> tuple[UnitCard, ...]:
    """Return the units of a layer, highest IoU first."""
    quality_matches = None if layer.curves is None else layer.quality_matches
    return tuple(
        _card(layer, match, look, None if quality_matches is None else quality_matches[match.unit])
        for match in sort_by_iou(layer.matches)
    )


def _card(layer: LayerDissection, match: UnitMatch, look: _Look, quality: QualityMatch | None) -> UnitCard:
    samples = tuple(layer.top.samples[match.unit, :NUM_PICTURES].tolist())
    picture, size = "", (0, 0)
    if samples and match.iou > look.least_pictured:
        image = unit_strip(look.thumbnails, layer.top, match.unit, NUM_PICTURES, look.height)
        picture, size = data_uri(image), (int(image.shape[2]), int(image.shape[1]))
    area = int(layer.unit_area[match.unit]) / max(1, layer.num_pixels)
    concept = look.concepts[match.concept] if match.concept else None
    return UnitCard(
        match=match,
        color=concept.hex if concept else NO_COLOR,
        category=concept.category if concept else "",
        is_match=match.is_interpretable(look.min_iou),
        area=area,
        meter=100 * match.iou / look.highest,
        samples=samples,
        picture=picture,
        size=size,
        curve=_curve(layer, match.concept or (quality.concept if quality else None), match.unit, area),
        quality=quality,
        agreement=look.agreements.get((layer.name, match.unit)),
    )


def _curve(layer: LayerDissection, concept: str | None, unit: int, area: float) -> CurveFigure | None:
    """Return a unit's IoU with a concept by the share of pixels."""
    if layer.curves is None or concept is None:
        return None
    at = (layer.concept_index(concept), unit)
    return curve_figure(layer.curves.share[unit], layer.curves.iou[at], layer.curves.null_iou[at], area)
