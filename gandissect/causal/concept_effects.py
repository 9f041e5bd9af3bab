"""The units of each concept, chosen on some samples, and what they cause, measured on others.

Source: Bau et al. 2019, Sec. 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..core.lookup import lookup, unique_names
from ..core.protocols import Generator, Segmenter, check_protocols
from ..core.sampling import check_num_samples, check_seed
from ..core.types import UnitSet, check_type, concept_index
from ..dissection.dissect import dissect
from ..dissection.results import Dissection
from .effect import average_causal_effect
from .optimize import SoftSegmenter, optimize_units
from .results import CausalEffect, EffectCurves
from .units import (
    find_causal_units,
    measure_effect_curves,
    measure_unit_effects,
    rank_units_by_iou,
    select_units_by_ablation,
)

CHOICE_SEED = 1_000_003
"""Units are chosen on samples of the seed plus this, and judged on those of the seed."""

EFFECT_SEED = 1
"""The seed by default: another than that of a dissection by default, which may be the one that units are chosen by."""

NUM_DISSECTED = 500
"""Samples of the dissection that units are chosen by, where none is given."""


@dataclass(frozen=True, slots=True, eq=False)
class ConceptEffects:
    """What the units of several concepts cause.

    Args:
        effects: The effect of each concept's units.
        curves: For each concept, what ablating more and more units takes away; empty if curves were not asked for.
    """

    effects: tuple[CausalEffect, ...]
    curves: tuple[EffectCurves, ...] = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self.effects))


def measure_concept_effects(
    generator: Generator,
    segmenter: Segmenter,
    concepts: Sequence[str] | str,
    *,
    layer: str | None = None,
    units: UnitSet | None = None,
    num_units: int = 20,
    optimize: bool = False,
    dissection: Dissection | None = None,
    num_samples: int = 1_000,
    seed: int = EFFECT_SEED,
    curves: bool = False,
    progress: bool = True,
) -> ConceptEffects:
    """Choose the units of each concept and measure what they cause, on other samples than they are chosen on.

    By default the units are those of highest IoU in the layer where ablating them takes most of the concept away
    (`select_units_by_ablation`). Each effect is what `average_causal_effect` measures; `draw_effects` and
    `draw_effect_curves` draw the results.

    Args:
        generator: A `Generator`.
        segmenter: A `Segmenter` for its images.
        concepts: Names of concepts, or one name.
        layer: Name of the layer; by default the layer of most effect, for each concept.
        units: The units, if they are known; nothing is chosen then.
        num_units: How many units to choose for each concept.
        optimize: Choose the units by gradient descent (`optimize_units`) instead of by IoU; this needs ``layer``.
        dissection: The dissection to choose by, of any segmenter that names the concepts; by default the generator is
            dissected on 500 samples.
        num_samples: Images to measure the effects on, 2 or more.
        seed: Seed of these images. Units are chosen on images of ``seed + 1_000_003``.
        curves: Measure too what ablating more and more units takes away, ranked by IoU, by the effect of each unit
            alone, and, if the segmenter can be differentiated, by gradient descent: minutes for each concept.
        progress: Whether progress bars are shown.

    Returns:
        The effects, and the curves if they were asked for, in the order of the concepts.

    Raises:
        KeyError: If there is no such layer or concept.
        TypeError: If generator or segmenter lack something of their protocol.
        ValueError: If arguments contradict each other, a number is out of range, or the dissection belongs to another
            generator or looked at the images of ``seed``.

    Source: Bau et al. 2019, Sec. 4.2.
    """
    seed = check_seed(seed)
    check_protocols(generator, segmenter)
    check_type("concepts", concepts, Sequence, "give a name, or a list of names")
    names = unique_names(concepts)
    _check_concepts(segmenter, names)
    layer = _check_units(generator, units, layer, optimize=optimize)
    if dissection is not None and (units is not None or optimize) and not curves:
        raise ValueError("a dissection is what units are chosen by; leave out the dissection, or units and optimize")
    if num_samples < 2 or num_units < 1:
        raise ValueError(f"need 2 samples and 1 unit or more; got {num_samples} and {num_units}")
    check_num_samples(num_samples)
    if dissection is not None:
        _check_dissection(dissection, generator, seed)
    choice = _UnitChoice(generator, segmenter, layer, num_units, optimize, dissection, seed + CHOICE_SEED, progress)
    chosen = {name: choice.choose(name) if units is None else units for name in names}
    effects = tuple(
        average_causal_effect(generator, segmenter, chosen[name], name, num_samples, seed, progress=progress)
        for name in names
    )
    if not curves:
        return ConceptEffects(effects)
    return ConceptEffects(effects, _measure_curves(choice, chosen, seed))


@dataclass(frozen=True, eq=False)
class _UnitChoice:
    """How the units of a concept are chosen; the generator is dissected once, and only where this is needed."""

    generator: Generator
    segmenter: Segmenter
    layer: str | None
    num_units: int
    optimize: bool
    known_dissection: Dissection | None
    seed: int
    progress: bool

    @cached_property
    def dissection(self) -> Dissection:
        """The dissection to choose by."""
        if self.known_dissection is not None:
            return self.known_dissection
        return dissect(
            self.generator,
            self.segmenter,
            self.layer,
            NUM_DISSECTED,
            self.seed,
            top_images=0,
            progress=self.progress,
        )

    def choose(self, concept: str) -> UnitSet:
        """Return the units of a concept."""
        networks, count, seed, progress = (self.generator, self.segmenter), self.num_units, self.seed, self.progress
        if self.layer is None:
            return select_units_by_ablation(*networks, self.dissection, concept, count, seed=seed, progress=progress)
        if self.optimize:
            return find_causal_units(
                *networks, self.layer, concept, count, seed, method="optimization", progress=progress
            )
        return self.dissection[self.layer].units_for(concept, 0.0, count)


def _check_concepts(segmenter: Segmenter, names: Sequence[str]) -> None:
    """Raise ValueError if no concept is named, and KeyError if one is unknown."""
    if not names:
        raise ValueError(f"name one concept or more: {', '.join(concept.name for concept in segmenter.concepts)}")
    for name in names:
        concept_index(segmenter.concepts, name)


def _check_units(generator: Generator, units: UnitSet | None, layer: str | None, *, optimize: bool) -> str | None:
    """Return the layer that is named, itself or by its units.

    Raises:
        KeyError: If there is no such layer.
        TypeError: If the units are no `UnitSet`.
        ValueError: If units, layer and optimize contradict each other.
    """
    if units is not None and not isinstance(units, UnitSet):
        raise TypeError(f"units must be a UnitSet(layer, units); got {type(units).__name__}")
    if units is not None and optimize:
        raise ValueError("units are either given or optimized; leave out units or optimize")
    if units is not None and layer not in {None, units.layer}:
        raise ValueError(f"units of {units.layer!r} are given, and layer is {layer!r}; leave layer out")
    if layer is None and units is None and optimize:
        raise ValueError("units are optimized in one layer; name the layer")
    named = layer if units is None else units.layer
    if named is not None:
        lookup(generator.layers, named, "layer")
    return named


def _check_dissection(dissection: Dissection, generator: Generator, seed: int) -> None:
    """Raise ValueError if a dissection is of another generator, or looked at the images to measure on."""
    dissection.provenance.generator.check(generator, "the dissection")
    if dissection.provenance.seed == seed:
        raise ValueError(
            f"the dissection looked at the images of seed {seed} too; measure on those of another one, such as "
            f"seed={seed + 1} (--seed {seed + 1})"
        )


def _measure_curves(choice: _UnitChoice, chosen: Mapping[str, UnitSet], seed: int) -> tuple[EffectCurves, ...]:
    """Return, for each concept, what ablating more and more units of its layer takes away."""
    generator, segmenter, progress = choice.generator, choice.segmenter, choice.progress
    layers = dict.fromkeys(units.layer for units in chosen.values())
    single = {
        layer: measure_unit_effects(generator, segmenter, layer, seed=choice.seed, progress=progress)
        for layer in layers
    }
    curves = []
    for concept, units in chosen.items():
        rankings = {
            "by IoU": rank_units_by_iou(choice.dissection, units.layer, concept),
            "by effect alone": single[units.layer].ranking(concept),
        }
        if isinstance(segmenter, SoftSegmenter):
            rankings["by optimization"] = optimize_units(
                generator, segmenter, units.layer, concept, seed=choice.seed, progress=progress
            )
        curves.append(measure_effect_curves(generator, segmenter, rankings, seed=seed, progress=progress))
    return tuple(curves)
