"""Compare what a translator's units agree with: the true labels of its inputs, or the segmented outputs.

A unit's concept c is the one with the highest IoU in either dissection. With d = input IoU[c, u] - output IoU[c, u],
the unit follows the input if d is significantly above 0, and the output if d is significantly below 0: a unit that
draws what the input does not have follows the output. Where both label maps agree, no unit can follow one of them. The
standard error of d is that of the jackknife over groups of samples, with the same groups left out of both IoU; p is
two-sided, from Student's t with G - 1 degrees of freedom.

Source: Efron and Tibshirani 1993, Sec. 11.2 (the jackknife).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from ..core.display import Displayed, Tabular
from ..core.lookup import lookup
from ..core.network_id import is_same_network
from ..core.types import Concept, check_type
from ..stats.significance import benjamini_hochberg
from .chance import jackknife_difference
from .results import MIN_IOU, Dissection, LayerDissection, Provenance

SAME = ("num_samples", "seed", "quantile", "padding", "label_size")
"""Fields of the provenance, besides the networks, that must be the same in both dissections."""

Follows = Literal["input", "output", "both", "neither"]
"""What a unit follows: the input, the output, both alike, or neither, if it matches no concept of either."""


@dataclass(frozen=True, slots=True, repr=False)
class UnitAgreement:
    """A unit's agreement with the inputs and with the outputs, for its best concept.

    Args:
        layer: Name of the layer.
        unit: Channel index of the unit.
        concept: Name of the concept; None if the unit overlaps no concept.
        input_iou: IoU with the true labels of the inputs, 0 to 1.
        output_iou: IoU with the segmented outputs, 0 to 1.
        difference: Input IoU minus output IoU.
        low: Lower end of the 95% confidence interval of the difference.
        high: Upper end of that interval.
        follows: What the unit follows.
    """

    layer: str
    unit: int
    concept: str | None
    input_iou: float
    output_iou: float
    difference: float
    low: float
    high: float
    follows: Follows

    def __repr__(self) -> str:
        return (
            f"UnitAgreement(layer={self.layer!r}, unit={self.unit}, concept={self.concept!r}, "
            f"input_iou={self.input_iou:.3g}, output_iou={self.output_iou:.3g}, difference={self.difference:.3g}, "
            f"low={self.low:.3g}, high={self.high:.3g}, follows={self.follows!r})"
        )


@dataclass(frozen=True, slots=True, repr=False)
class LabelComparison(Tabular, Displayed):
    """The units of a translator, with their agreement with inputs and outputs side by side.

    Args:
        units: All units of all layers, from input to output.
        concepts: Concepts of the segmenter.
        min_iou: Minimum IoU of a match, 0 to 1.
        provenance: Provenance of the dissection by outputs.
    """

    units: tuple[UnitAgreement, ...]
    concepts: tuple[Concept, ...]
    min_iou: float
    provenance: Provenance

    def units_of(self, layer: str) -> tuple[UnitAgreement, ...]:
        """Return the units of a layer.

        Raises:
            KeyError: If the layer was not dissected; the message names the nearest match.
        """
        lookup(dict.fromkeys(unit.layer for unit in self.units), layer, "layer")
        return tuple(unit for unit in self.units if unit.layer == layer)

    def records(self) -> list[dict[str, Any]]:
        """Return one plain dictionary per unit, ready for JSON or a table.

        The keys are ``layer unit concept input_iou output_iou difference low high follows``.
        """
        return [asdict(unit) for unit in self.units]

    def layer_records(self) -> list[dict[str, Any]]:
        """Return one plain dictionary per layer: its units by what they follow.

        The keys are ``layer units input output both neither``.
        """
        layers = dict.fromkeys(unit.layer for unit in self.units)
        return [_count_layer(name, self.units_of(name)) for name in layers]

    def _summarize(self) -> str:
        counts = Counter(unit.follows for unit in self.units)
        parts = ", ".join(f"{counts[kind]} {kind}" for kind in ("input", "output", "both", "neither"))
        return f"{self.provenance.generator}: {len(self.units)} units follow: {parts}"

    def _html_parts(self) -> Iterable[str]:
        from ..core.rich import draw_records

        return (draw_records(self.layer_records()), draw_records(self.records()))


def compare_labels(output: Dissection, inputs: Dissection, min_iou: float = MIN_IOU) -> LabelComparison:
    """Compare the agreement of a translator's units with its outputs and with its inputs.

    Args:
        output: Dissection with the segmented outputs, `dissect` with ``labels="output"``.
        inputs: Dissection of the same layers and samples with ``labels="input"``.
        min_iou: Minimum IoU of a unit that follows anything; it must also be beyond chance.

    Raises:
        TypeError: If an argument is not a dissection.
        ValueError: If the dissections differ in more than the labels, ``min_iou`` is out of range, or there are too few
            samples for a standard error.

    Examples:
        >>> import gandissect, generators, segmenters, torch
        >>> from segmenters.datasets import Scenes
        >>> G = generators.ResNetTranslator(size=16, width=4, blocks=1).eval().on(Scenes(16, 20))
        >>> S = segmenters.load("unet-scenes", device="cpu")
        >>> output, inputs = (
        ...     gandissect.dissect(G, S, "block1", num_samples=20, labels=labels, progress=False)
        ...     for labels in ("output", "input")
        ... )
        >>> len(gandissect.compare_labels(output, inputs).units)
        16
    """
    for name, dissection in (("output", output), ("inputs", inputs)):
        check_type(name, dissection, Dissection, "pass what dissect or Dissection.load returns")
    if not 0 <= min_iou <= 1:
        raise ValueError(f"min_iou must be in [0, 1]; got {min_iou}")
    _check_same(output, inputs)
    pairs = zip(output, inputs, strict=True)
    units = tuple(unit for first, second in pairs for unit in _compare_layer(first, second, min_iou))
    return LabelComparison(units, output.concepts, min_iou, output.provenance)


def _compare_layer(output: LayerDissection, inputs: LayerDissection, min_iou: float) -> Iterator[UnitAgreement]:
    """Yield the units of a layer."""
    estimate = jackknife_difference(inputs.groups, output.groups)
    best = torch.maximum(inputs.iou, output.iou)
    rows, units = best.argmax(0), torch.arange(output.info.units, device="cpu")
    significant = benjamini_hochberg(estimate.p[rows, units])
    for unit, row in enumerate(rows.tolist()):
        at = (row, unit)
        difference = float(estimate.difference[at])
        better = inputs if difference > 0 else output
        follows: Follows = "both"
        if not better.matches[unit].is_interpretable(min_iou):
            follows = "neither"
        elif significant[unit]:
            follows = "input" if difference > 0 else "output"
        yield UnitAgreement(
            layer=output.name,
            unit=unit,
            concept=output.concepts[row].name if best[at] > 0 else None,
            input_iou=float(inputs.iou[at]),
            output_iou=float(output.iou[at]),
            difference=difference,
            low=float(estimate.low[at]),
            high=float(estimate.high[at]),
            follows=follows,
        )


def _count_layer(name: str, units: tuple[UnitAgreement, ...]) -> dict[str, Any]:
    counts = Counter(unit.follows for unit in units)
    return {
        "layer": name,
        "units": len(units),
        **{kind: counts[kind] for kind in ("input", "output", "both", "neither")},
    }


def _check_same(output: Dissection, inputs: Dissection) -> None:
    """Raise ValueError unless the dissections differ only in their labels."""
    first, second = output.provenance, inputs.provenance
    if (first.labels, second.labels) != ("output", "input"):
        raise ValueError(
            f"pass a dissection with labels='output' and one with labels='input'; got {first.labels!r} and "
            f"{second.labels!r}"
        )
    differ = [name for name in SAME if getattr(first, name) != getattr(second, name)]
    for name in ("generator", "segmenter"):
        if not is_same_network(getattr(first, name).fingerprint, getattr(second, name).fingerprint):
            differ.append(name)
    if [layer.name for layer in output] != [layer.name for layer in inputs]:
        differ.append("layers")
    if differ:
        raise ValueError(f"the dissections must differ only in their labels; they also differ in {', '.join(differ)}")
    if any(len(layer.groups.unit_area) < 2 for layer in output):
        raise ValueError(f"a comparison needs at least 3 samples; got {first.num_samples}")
