"""Compare dissections: how many units of each layer are interpretable, and which concepts they match, in each model.

A unit is interpretable if its IoU with its best concept is at least min_iou and beyond chance. If k of the n units of a
layer are interpretable, the share p = k / n has the 95% Wilson interval, which remains valid near 0 and 1:

    (p + z^2 / 2n  +-  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n),

with z the quantile of the standard normal distribution. The interval treats units as independent draws and their IoU as
fixed: it does not include the sampling error of the IoU. The models may be different generators, different seeds, or
snapshots of one training run.

Source: Bau et al. 2019, Sec. 4.1; Wilson 1927.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from ..core.display import Displayed, Tabular
from ..core.lookup import lookup
from ..core.network_id import NetworkId, is_same_network, shorten_fingerprint
from ..core.types import Concept, check_type
from ..stats.intervals import wilson_interval
from .results import MIN_IOU, Dissection, LayerDissection, Provenance, count_units_by_concept

COMPARABLE = ("segmenter", "quantile", "num_samples")
"""Fields of the provenance that must be the same in all dissections."""


@dataclass(frozen=True, slots=True, repr=False)
class ComparedLayer(Displayed):
    """One layer of one model.

    Args:
        model: Label of the model.
        layer: Name of the layer.
        units: Number of units of the layer.
        grid: Height and width of the layer's activations.
        units_by_concept: Number of interpretable units of each concept, in the comparison's order of concepts.
    """

    model: str
    layer: str
    units: int
    grid: tuple[int, int]
    units_by_concept: tuple[int, ...]

    @property
    def interpretable(self) -> int:
        """Number of units that match a concept."""
        return sum(self.units_by_concept)

    @property
    def share(self) -> float:
        """Share of the units that match a concept, 0 to 1."""
        return self.interpretable / self.units

    @property
    def interval(self) -> tuple[float, float]:
        """95% confidence interval of the share, (low, high)."""
        return wilson_interval(self.interpretable, self.units)

    @property
    def num_concepts(self) -> int:
        """Number of distinct concepts that the units match."""
        return sum(count > 0 for count in self.units_by_concept)

    def _summarize(self) -> str:
        return f"{self.model}, {self.layer}: {self.interpretable} of {self.units} units interpretable"


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Tabular):
    """The interpretable units of several models, layer by layer.

    Args:
        models: Labels of the models, in the order in which they were passed.
        layers: All layers of the first model from input to output, then those of the second model, and so on.
        concepts: Concepts of the segmenter.
        min_iou: Minimum IoU of an interpretable unit, 0 to 1.
        provenance: Provenance of each model's dissection.
        notes: Caveats about the numbers, one sentence each.
    """

    models: tuple[str, ...]
    layers: tuple[ComparedLayer, ...]
    concepts: tuple[Concept, ...]
    min_iou: float
    provenance: tuple[Provenance, ...]
    notes: tuple[str, ...]

    @property
    def counts(self) -> Int64[Tensor, "layer concept"]:
        """Number of units by concept, int64 ``[layer, concept]``, in the order of ``layers`` and ``concepts``."""
        return torch.tensor([layer.units_by_concept for layer in self.layers], dtype=torch.int64, device="cpu")

    def layers_of(self, model: str) -> tuple[ComparedLayer, ...]:
        """Return one model's layers, from input to output.

        Raises:
            KeyError: If no model has this label; the message names the nearest match.
        """
        lookup(dict.fromkeys(self.models), model, "model")
        return tuple(layer for layer in self.layers if layer.model == model)

    def records(self) -> list[dict[str, Any]]:
        """Return one plain dictionary per model and layer, ready for JSON or a table.

        The keys are ``model generator num_samples seed layer units interpretable share share_low share_high
        num_concepts units_by_concept``. ``units_by_concept`` has every concept that at least one unit matches, most
        units first.
        """
        provenance = dict(zip(self.models, self.provenance, strict=True))
        return [_record(layer, provenance[layer.model], self.concepts) for layer in self.layers]

    def _summarize(self) -> str:
        counts = {
            model: f"{sum(layer.interpretable for layer in layers)} of {sum(layer.units for layer in layers)}"
            for model in self.models
            for layers in [self.layers_of(model)]
        }
        return "interpretable units: " + "; ".join(f"{model}, {count}" for model, count in counts.items())

    def _html_parts(self) -> Iterable[str]:
        from ..core.rich import draw_records

        hidden = {"generator", "num_samples", "seed"}
        records = [{name: value for name, value in record.items() if name not in hidden} for record in self.records()]
        return (draw_records(records, max_rows=max(len(records), 1)),)


def compare(
    dissections: Sequence[Dissection], min_iou: float = MIN_IOU, labels: Sequence[str] | None = None
) -> Comparison:
    """Count the interpretable units of several dissections by model, layer and concept.

    All dissections must have the same segmenter, quantile and number of samples; generators, seeds and layers may
    differ. Concepts are aligned by name; a concept that a model's dissection lacks counts as 0 units there.

    Args:
        dissections: One dissection per model.
        min_iou: Minimum IoU of an interpretable unit, 0 to 1.
        labels: Names of the models in the comparison, e.g. ``["50,000 images", "100,000 images"]``; by default the
            generators' names, with a seed or a number where names repeat.

    Raises:
        TypeError: If ``dissections`` holds anything but dissections.
        ValueError: If there are no dissections, a dissection has no layers, ``labels`` has the wrong length or repeats
            a label, ``min_iou`` is out of range, or settings that must agree differ.

    Examples:
        >>> import gandissect, generators, segmenters
        >>> G = generators.PlantedGenerator()
        >>> S = segmenters.PaletteSegmenter(G.concepts)
        >>> dissections = [gandissect.dissect(G, S, num_samples=100, seed=seed, progress=False) for seed in (0, 1)]
        >>> gandissect.compare(dissections, labels=["seed 0", "seed 1"])
        Comparison(interpretable units: seed 0, 10 of 12; seed 1, 10 of 12)

    Source: Bau et al. 2019, Sec. 4.1.
    """
    check_type("dissections", dissections, Iterable, "pass a list of results of dissect or Dissection.load")
    dissections = tuple(dissections)
    _check_dissections(dissections, min_iou)
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
    notes = tuple(_describe_differences(models, dissections, concepts))
    return Comparison(models, tuple(layers), concepts, min_iou, provenance, notes)


def _count_units(layer: LayerDissection, concepts: Sequence[Concept], min_iou: float) -> tuple[int, ...]:
    """Return how many units match each concept."""
    num_units = count_units_by_concept(layer.matches, min_iou)
    return tuple(num_units.get(concept.name, 0) for concept in concepts)


def _record(layer: ComparedLayer, provenance: Provenance, concepts: Sequence[Concept]) -> dict[str, Any]:
    """Return one layer as a plain dictionary."""
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


def _check_dissections(dissections: Sequence[Dissection], min_iou: float) -> None:
    """Raise TypeError or ValueError unless the dissections can be compared at ``min_iou``."""
    for dissection in dissections:
        if not isinstance(dissection, Dissection):
            raise TypeError(
                "dissections must be a list of dissections, as in compare([D1, D2]); "
                f"it holds a {type(dissection).__name__}"
            )
    if not dissections:
        raise ValueError("name at least one dissection to compare")
    if not 0 <= min_iou <= 1:
        raise ValueError(f"min_iou must be in [0, 1]; got {min_iou}")
    if any(not len(dissection) for dissection in dissections):
        raise ValueError("a dissection has no layers to compare")


def _check_labels(labels: Sequence[str], count: int) -> None:
    """Raise ValueError unless each dissection has a distinct label."""
    if len(labels) != count:
        raise ValueError(f"labels must have one label per dissection; got {len(labels)} for {count} dissections")
    if len(set(labels)) < count or not all(isinstance(label, str) and label.strip() for label in labels):
        raise ValueError(f"labels must be distinct, non-empty strings; got {', '.join(map(repr, labels))}")


def _check_settings(labels: Sequence[str], provenance: Sequence[Provenance]) -> None:
    """Raise ValueError, naming the settings, if settings differ that must be the same."""
    first = provenance[0]
    for label, other in zip(labels, provenance, strict=True):
        differ = [
            f"{setting} is {_describe(other, setting)}, not {_describe(first, setting)}"
            for setting in COMPARABLE
            if not _is_same_setting(getattr(other, setting), getattr(first, setting))
        ]
        if differ:
            raise ValueError(
                f"{label!r} cannot be compared with {labels[0]!r}: {'; '.join(differ)}; dissect one of them again with "
                "the other's settings"
            )


def _is_same_setting(value: object, other: object) -> bool:
    """Return whether two values of a setting are equal; segmenters are compared by fingerprint, not by name."""
    if isinstance(value, NetworkId) and isinstance(other, NetworkId):
        return is_same_network(value.fingerprint, other.fingerprint)
    return value == other


def _describe(provenance: Provenance, setting: str) -> str:
    """Return a setting's value as text: a segmenter as its name and fingerprint."""
    value = getattr(provenance, setting)
    return f"{value.name!r} ({shorten_fingerprint(value.fingerprint)})" if isinstance(value, NetworkId) else repr(value)


def _default_labels(dissections: Sequence[Dissection]) -> tuple[str, ...]:
    """Return the generators' names, with the seed where names repeat, and with the position where seeds do too."""
    sources = [dissection.provenance for dissection in dissections]
    names = [source.generator.name for source in sources]
    seeded = [f"{source.generator}, seed {source.seed}" for source in sources]
    labels = [full if names.count(name) > 1 else name for name, full in zip(names, seeded, strict=True)]
    numbered = [f"{label} ({position})" for position, label in enumerate(labels, start=1)]
    return tuple(full if labels.count(label) > 1 else label for label, full in zip(labels, numbered, strict=True))


def _join_concepts(dissections: Sequence[Dissection]) -> tuple[Concept, ...]:
    """Return the union of all concepts by name, in order of first appearance."""
    by_name: dict[str, Concept] = {}
    for concept in (concept for dissection in dissections for concept in dissection.concepts):
        by_name.setdefault(concept.name, replace(concept, index=len(by_name)))
    return tuple(by_name.values())


def _describe_differences(
    models: Sequence[str], dissections: Sequence[Dissection], concepts: Sequence[Concept]
) -> Iterator[str]:
    """Yield a sentence for each difference that does not prevent the comparison."""
    first, all_names = dissections[0].provenance.label_size, [concept.name for concept in concepts]
    for model, dissection in zip(models, dissections, strict=True):
        size, names = dissection.provenance.label_size, [concept.name for concept in dissection.concepts]
        missing = ", ".join(name for name in all_names if name not in names)
        if any(layer.chance is None for layer in dissection):
            yield f"{model!r} has too few samples to rule out chance, so none of its units counts as interpretable"
        if size != first:
            sizes = f"{size[1]} x {size[0]} pixels, {models[0]!r} at {first[1]} x {first[0]}"
            yield f"{model!r} was labeled at {sizes}; IoU depends on the label size"
        if missing:
            yield f"concepts are aligned by name: {model!r} lacks {missing}, which count as 0 units there"
        elif names != all_names:
            yield f"concepts are aligned by name: {model!r} lists them in a different order"
