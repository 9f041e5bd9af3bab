"""Comparing dissections: how many units of each layer are interpretable, in which concepts, in each model.

A unit is interpretable if its best concept has IoU >= min_iou and that is beyond chance. Of the n units of a layer k
are; the share p = k / n has the 95 % interval of Wilson, with the normal quantile z, which holds near 0 and 1 too:

    (p + z^2 / 2n  +-  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n).

It takes the units for independent draws, and their IoU as given: that more samples would move the IoU is not in it. The
models may be different generators, different seeds, or snapshots of one training.

Source: Bau et al. 2019, Sec. 4.1; Wilson 1927.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from ..core.lookup import lookup
from ..core.network_id import NetworkId, is_same_network, shorten_fingerprint
from ..core.types import Concept, check_type
from ..stats.intervals import wilson_interval
from .results import MIN_IOU, Dissection, LayerDissection, Provenance, count_units_by_concept

COMPARABLE = ("segmenter", "quantile", "num_samples")
"""What must be the same in all dissections, and where it stands in their provenance."""


@dataclass(frozen=True, slots=True)
class ComparedLayer:
    """One layer of one model.

    Args:
        model: The model's label.
        layer: The layer's name.
        units: How many it has.
        grid: Height and width of its activations.
        units_by_concept: How many are interpretable as each concept, in the comparison's order of concepts.
    """

    model: str
    layer: str
    units: int
    grid: tuple[int, int]
    units_by_concept: tuple[int, ...]

    @property
    def interpretable(self) -> int:
        """How many units match a concept."""
        return sum(self.units_by_concept)

    @property
    def share(self) -> float:
        """Share of the units that match a concept, 0 to 1."""
        return self.interpretable / self.units

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share (low, high)."""
        return wilson_interval(self.interpretable, self.units)

    @property
    def num_concepts(self) -> int:
        """How many different concepts the units match."""
        return sum(count > 0 for count in self.units_by_concept)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The interpretable units of several models, layer by layer.

    Args:
        models: The models' labels, in the order given.
        layers: All layers of the first model from input to output, then those of the second, ...
        concepts: What the segmenter names.
        min_iou: The IoU from which a unit counts as interpretable, 0 to 1.
        provenance: What produced each model's dissection.
        notes: What to keep in mind when reading the numbers, a sentence each.
    """

    models: tuple[str, ...]
    layers: tuple[ComparedLayer, ...]
    concepts: tuple[Concept, ...]
    min_iou: float
    provenance: tuple[Provenance, ...]
    notes: tuple[str, ...]

    @property
    def counts(self) -> Int64[Tensor, "layer concept"]:
        """Units by concept, int64 ``[layer, concept]``, in the order of ``layers`` and ``concepts``."""
        return torch.tensor([layer.units_by_concept for layer in self.layers], dtype=torch.int64, device="cpu")

    def layers_of(self, model: str) -> tuple[ComparedLayer, ...]:
        """Return one model's layers, from input to output.

        Raises:
            KeyError: If no model is called so, naming the nearest match.
        """
        lookup(dict.fromkeys(self.models), model, "model")
        return tuple(layer for layer in self.layers if layer.model == model)

    def records(self) -> list[dict[str, Any]]:
        """Return one plain dictionary a layer of a model, ready for JSON or a table.

        Keys: ``model generator num_samples seed layer units interpretable share share_low share_high num_concepts
        units_by_concept``; the last has the concepts that some unit matches, most units first.
        """
        provenance = dict(zip(self.models, self.provenance, strict=True))
        return [_record(layer, provenance[layer.model], self.concepts) for layer in self.layers]


def compare(
    dissections: Sequence[Dissection], min_iou: float = MIN_IOU, labels: Sequence[str] | None = None
) -> Comparison:
    """Count the interpretable units of several dissections by model, layer and concept.

    Numbers compare only if one segmenter, one quantile and one number of samples stand behind them; generators, seeds
    and layers may differ. Concepts are aligned by name; one that a model's dissection does not know counts 0 there.

    Args:
        dissections: One a model, fresh or loaded.
        min_iou: The IoU from which a unit counts as interpretable, 0 to 1.
        labels: What to call the models, e.g. ``["50,000 images", "100,000 images"]``; by default the generators' names,
            with seed or number where these repeat.

    Raises:
        TypeError: If something else than dissections is given.
        ValueError: If there are none, one has no layers, labels do not fit, ``min_iou`` is out of range, or settings
            differ that must not.

    Source: Bau et al. 2019, Sec. 4.1.
    """
    check_type("dissections", dissections, Iterable, "give a list of what dissect or Dissection.load returns")
    dissections = tuple(dissections)
    _check(dissections, min_iou)
    models = _default_labels(dissections) if labels is None else tuple(labels)
    _check_labels(models, len(dissections))
    provenance = tuple(dissection.provenance for dissection in dissections)
    _check_settings(models, provenance)
    concepts = _join_concepts(dissections)
    layers = [
        ComparedLayer(
            model,
            layer.name,
            layer.info.units,
            (layer.info.height, layer.info.width),
            _count_units(layer, concepts, min_iou),
        )
        for model, dissection in zip(models, dissections, strict=True)
        for layer in dissection
    ]
    notes = tuple(_notes(models, dissections, concepts))
    return Comparison(models, tuple(layers), concepts, min_iou, provenance, notes)


def _count_units(layer: LayerDissection, concepts: Sequence[Concept], min_iou: float) -> tuple[int, ...]:
    """Return how many units match each concept."""
    num_units = count_units_by_concept(layer.matches, min_iou)
    return tuple(num_units.get(concept.name, 0) for concept in concepts)


def _record(layer: ComparedLayer, provenance: Provenance, concepts: Sequence[Concept]) -> dict[str, Any]:
    """Return one layer as plain values."""
    pairs = [(concept.name, count) for concept, count in zip(concepts, layer.units_by_concept, strict=True) if count]
    low, high = layer.interval
    return {
        "model": layer.model,
        "generator": provenance.generator.name,
        "num_samples": provenance.num_samples,
        "seed": provenance.seed,
        "layer": layer.layer,
        "units": layer.units,
        "interpretable": layer.interpretable,
        "share": layer.share,
        "share_low": low,
        "share_high": high,
        "num_concepts": layer.num_concepts,
        "units_by_concept": dict(sorted(pairs, key=lambda pair: -pair[1])),
    }


def _check(dissections: Sequence[Dissection], min_iou: float) -> None:
    """Raise TypeError or ValueError unless there is something to compare."""
    for dissection in dissections:
        if not isinstance(dissection, Dissection):
            raise TypeError(
                f"compare takes a list of dissections, compare([D1, D2]); it holds a {type(dissection).__name__}"
            )
    if not dissections:
        raise ValueError("name at least one dissection to compare")
    if not 0 <= min_iou <= 1:
        raise ValueError(f"min_iou is between 0 and 1; got {min_iou}")
    if any(not len(dissection) for dissection in dissections):
        raise ValueError("a dissection has no layers; there is nothing to compare")


def _check_labels(labels: Sequence[str], count: int) -> None:
    """Raise ValueError unless each dissection has a label of its own."""
    if len(labels) != count:
        raise ValueError(f"give one label a dissection: {count} dissections, {len(labels)} labels")
    if len(set(labels)) < count or not all(isinstance(label, str) and label.strip() for label in labels):
        raise ValueError(
            f"labels tell the models apart, so each is a text of its own; got {', '.join(map(repr, labels))}"
        )


def _check_settings(labels: Sequence[str], provenance: Sequence[Provenance]) -> None:
    """Raise ValueError if settings differ without which numbers cannot be compared, naming them."""
    first = provenance[0]
    for label, other in zip(labels, provenance, strict=True):
        differ = [
            f"{setting} is {_describe(other, setting)}, not {_describe(first, setting)}"
            for setting in COMPARABLE
            if not _agree(getattr(other, setting), getattr(first, setting))
        ]
        if differ:
            wrong = f"{label!r} cannot be compared with {labels[0]!r}: {'; '.join(differ)}"
            raise ValueError(f"{wrong}; dissect one of them again with the other's settings")


def _agree(value: object, other: object) -> bool:
    """Tell whether two values of a setting are the same; a segmenter is known by its weights, whatever it is called."""
    if isinstance(value, NetworkId) and isinstance(other, NetworkId):
        return is_same_network(value.fingerprint, other.fingerprint)
    return value == other


def _describe(provenance: Provenance, setting: str) -> str:
    """Return a setting's value as text; of a segmenter the name too."""
    value = getattr(provenance, setting)
    return f"{value.name!r} ({shorten_fingerprint(value.fingerprint)})" if isinstance(value, NetworkId) else repr(value)


def _default_labels(dissections: Sequence[Dissection]) -> tuple[str, ...]:
    """Return the generators' names, with the seed where they repeat, and the place in the list where that does."""
    sources = [dissection.provenance for dissection in dissections]
    names = [source.generator.name for source in sources]
    seeded = [f"{source.generator}, seed {source.seed}" for source in sources]
    labels = [full if names.count(name) > 1 else name for name, full in zip(names, seeded, strict=True)]
    places = [f"{label} ({place})" for place, label in enumerate(labels, start=1)]
    return tuple(full if labels.count(label) > 1 else label for label, full in zip(labels, places, strict=True))


def _join_concepts(dissections: Sequence[Dissection]) -> tuple[Concept, ...]:
    """Return all concepts, each name once, as and in the order in which they are first met."""
    by_name: dict[str, Concept] = {}
    for concept in (concept for dissection in dissections for concept in dissection.concepts):
        by_name.setdefault(concept.name, replace(concept, index=len(by_name)))
    return tuple(by_name.values())


def _notes(models: Sequence[str], dissections: Sequence[Dissection], concepts: Sequence[Concept]) -> Iterator[str]:
    """Yield what differs between dissections that are compared all the same."""
    first, all_names = dissections[0].provenance.label_size, [concept.name for concept in concepts]
    for model, dissection in zip(models, dissections, strict=True):
        size, names = dissection.provenance.label_size, [concept.name for concept in dissection.concepts]
        missing = ", ".join(name for name in all_names if name not in names)
        if any(layer.chance is None for layer in dissection):
            yield f"{model!r} has too few samples to tell agreement from chance, so that no unit of it counts"
        if size != first:
            sizes = f"{size[1]} x {size[0]} pixels, {models[0]!r} at {first[1]} x {first[0]}"
            yield f"{model!r} was labeled at {sizes}; IoU depends on it"
        if missing:
            yield f"concepts are aligned by name: {model!r} does not know {missing}, which count 0 there"
        elif names != all_names:
            yield f"concepts are aligned by name: {model!r} has them in another order"
