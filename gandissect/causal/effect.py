"""Measure the average causal effect of units: the pixels that a concept gains and loses when they are forced on or off.

Let ``s_c(x)`` be the share of the pixels of image ``x`` that belong to concept ``c``, ``x_on`` the image with the units
forced to fixed values inside a square at a random place of the layer's grid, and ``x_off`` the image with the units
forced to 0 everywhere. Then

    ACE_c = E[s_c(x_on) - s_c(x_off)] = E[s_c(x_on) - s_c(x)] + E[s_c(x) - s_c(x_off)],

the sum of the share that insertion adds and the share that ablation removes. All three images are generated from the
same ``z``, so the differences are paired. The control is the same number of other units of the layer, drawn at random.

Source: Bau et al. 2019, Sec. 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from ..core.lookup import lookup
from ..core.network_id import NetworkId
from ..core.protocols import Generator, Segmenter, check_protocols
from ..core.sampling import check_seed, make_rng
from ..core.types import LayerInfo, UnitSet, concept_index
from ..inference.areas import ConceptAreas
from ..inference.batches import check_counts
from ..inference.bench import Bench
from ..interventions.edits import Ablation, Insertion, check_units, control_units
from ..stats.intervals import summarize_shares
from ..stats.streaming import AreaMoments
from .results import EFFECT_KINDS, CausalEffect, EffectsByPlace, UnitEffect
from .values import quantile_values

PLACES = 8
"""Number of squares along the shorter side of the layer's grid, if it has at least as many cells."""


@torch.inference_mode()
def average_causal_effect(
    generator: Generator,
    segmenter: Segmenter,
    units: UnitSet,
    concept: str,
    num_samples: int = 1_000,
    seed: int = 0,
    *,
    values: Sequence[float] | None = None,
    patch: int | None = None,
    batch_size: int = 32,
    progress: bool = True,
) -> CausalEffect:
    """Measure the average causal effect of units of a layer on a concept, and on all other concepts.

    Args:
        generator: Generator whose units are measured.
        segmenter: Segmenter for the generator's images.
        units: Units to force on and off, at least one.
        concept: Name of the concept.
        num_samples: Number of images, at least 2.
        seed: Seed of the latent vectors, the places and the random control units.
        values: Values to force the units to, one per unit; by default each unit's 99th-percentile activation
            (`quantile_values`; see also `present_values`). Control units are always forced to their 99th percentile.
        patch: Side of the square where units are forced on, in cells of the layer's grid; by default an eighth of the
            grid's shorter side, at least 1.
        batch_size: Images per batch, at least 1.
        progress: Show a progress bar.

    Raises:
        KeyError: If there is no such layer or concept.
        TypeError: If the generator or the segmenter does not implement its protocol.
        ValueError: If there is no such unit, or a number is out of range.

    Examples:
        >>> import gandissect, generators, segmenters
        >>> G = generators.PlantedGenerator()
        >>> S = segmenters.PaletteSegmenter(G.concepts)
        >>> green = gandissect.UnitSet("layer2", (1,))
        >>> effect = gandissect.average_causal_effect(G, S, green, "green", num_samples=100, progress=False)
        >>> effect.interval[0] > 0
        True
        >>> float(effect.control.ace.mean[2]) < effect.ace  # random units
        True

    Source: Bau et al. 2019, Sec. 3.2.
    """
    seed = check_seed(seed)
    info = _check_units_of(generator, segmenter, units)
    index = concept_index(segmenter.concepts, concept)
    check_counts(num_samples, batch_size)
    control = control_units(units, info.units, seed)
    values = quantile_values(generator, units, seed=seed) if values is None else values
    on = Insertion(units, values)  # checks the values
    sides = (on, Insertion(control, quantile_values(generator, control, seed=seed)))
    grid = Patches.of(info, patch, seed)
    areas = ConceptAreas.of(generator, segmenter)
    bench = Bench(generator, units.layer, areas.count, progress)
    counts = _EffectSums(areas.num_concepts, areas.num_pixels, grid.shape)
    for block, z, activation in bench.heads([range(num_samples)], seed, batch_size, "causal effect"):
        region, places = grid.draw(block)
        edits = [edit for side in sides for edit in (Insertion(side.units, side.values, region), Ablation(side.units))]
        base = bench.measure_edited(block, z, activation)
        edited = [bench.measure_edited(block, z, activation, edit) for edit in edits]
        counts.update(base, edited, places, index)
    effect, other = (counts.effect(number, side) for number, side in enumerate(sides))
    return CausalEffect(
        generator=NetworkId.of(generator),
        segmenter=NetworkId.of(segmenter),
        concepts=tuple(segmenter.concepts),
        concept=concept,
        num_samples=num_samples,
        seed=seed,
        patch=grid.patch,
        base=summarize_shares(counts.base),
        effect=effect,
        control=other,
        advantage=summarize_shares(counts.advantage),
        by_place=counts.by_place(),
    )


def _check_units_of(generator: Generator, segmenter: Segmenter, units: UnitSet) -> LayerInfo:
    """Check the networks and the units, of which there must be one at least, and return what their layer is."""
    check_protocols(generator, segmenter)
    UnitSet.check(units)
    info = lookup(generator.layers, units.layer, "layer")
    check_units(units, info.units)
    if not len(units):
        raise ValueError(
            f"units must hold at least one unit of {units.layer!r}; if units_for() returned none, lower its min_iou"
        )
    return info


@dataclass(frozen=True, slots=True)
class Patches:
    """The squares of a layer's grid."""

    info: LayerInfo
    patch: int
    seed: int

    @staticmethod
    def of(info: LayerInfo, patch: int | None, seed: int) -> Patches:
        """Return squares with sides of ``patch`` cells, by default an eighth of the grid's shorter side.

        Raises:
            ValueError: If the squares are too large or too small.
        """
        side = min(info.height, info.width)
        chosen = max(1, side // PLACES) if patch is None else patch
        if not 1 <= chosen <= side:
            raise ValueError(f"patch must be in [1, {side}] cells; got {patch}")
        return Patches(info, chosen, seed)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of squares; those at the far edges may be cropped."""
        return -(-self.info.height // self.patch), -(-self.info.width // self.patch)

    def draw(self, block: range) -> tuple[Float32[Tensor, "batch h w"], Int64[Tensor, " batch"]]:
        """Return a random square for each sample, as a mask ``[batch, h, w]`` and as its number ``[batch]``."""
        most = math.prod(self.shape)
        rngs = (make_rng(self.seed, "place", sample) for sample in block)
        numbers = [int(torch.randint(most, (), generator=rng, device="cpu")) for rng in rngs]
        region = torch.zeros(len(block), self.info.height, self.info.width, dtype=torch.float32, device="cpu")
        for mask, number in zip(region, numbers, strict=True):
            row, column = (index * self.patch for index in divmod(number, self.shape[1]))
            mask[row : row + self.patch, column : column + self.patch] = 1
        return region, torch.tensor(numbers, dtype=torch.int64, device="cpu")


class _EffectSums:
    """Sums over images of the differences in area between edited and unchanged images."""

    def __init__(self, num_concepts: int, num_pixels: int, shape: tuple[int, int]) -> None:
        self.num_pixels = num_pixels

        def make_moments() -> AreaMoments:
            return AreaMoments(num_concepts, num_pixels)

        self.base, self.advantage = make_moments(), make_moments()
        self.sides = [{kind: make_moments() for kind in EFFECT_KINDS} for _ in range(2)]
        self.shape = shape
        self.sums = torch.zeros(3, math.prod(shape), dtype=torch.int64, device="cpu")

    def update(
        self,
        base: Int64[Tensor, "batch concept"],
        forced: Sequence[Int64[Tensor, "batch concept"]],
        places: Int64[Tensor, " batch"],
        concept: int,
    ) -> None:
        """Add the areas of a batch.

        Args:
            base: Areas in the unchanged images, int64 ``[batch, concept]``.
            forced: Areas with the units on, the units off, the control units on and the control units off, int64
                ``[batch, concept]`` each.
            places: Number of each image's square, int64 ``[batch]``.
            concept: Index of the concept whose gain is summed by place.
        """
        self.base.update(base)
        for side, on, off in zip(self.sides, forced[::2], forced[1::2], strict=True):
            for kind, difference in zip(EFFECT_KINDS, (on - base, base - off, on - off), strict=True):
                side[kind].update(difference)
        self.advantage.update((forced[0] - forced[1]) - (forced[2] - forced[3]))
        gain = (forced[0] - base)[:, concept]
        self.sums.index_add_(1, places, torch.stack([torch.ones_like(gain), gain, gain**2]))

    def effect(self, number: int, edit: Insertion) -> UnitEffect:
        """Return the effect of the units (0) or of the control units (1)."""
        values = tuple(float(value) for value in edit.values)  # type: ignore[union-attr]  # always a tuple of floats
        return UnitEffect(
            edit.units, values, **{kind: summarize_shares(moments) for kind, moments in self.sides[number].items()}
        )

    def by_place(self) -> EffectsByPlace:
        """Return the effect of insertion on the concept by place."""
        count, total, squares = self.sums.double()
        mean = total / count
        variance = ((squares - total * mean) / (count - 1)).clamp(min=0)
        stderr = torch.where(count > 1, (variance / count).sqrt(), torch.nan)
        tables = [(table / self.num_pixels).reshape(self.shape) for table in (mean, stderr)]
        return EffectsByPlace(tables[0], tables[1], self.sums[0].reshape(self.shape).clone())
