"""Rank the units of a layer by how much they cause a concept, and compare rankings.

There are three rankings: by IoU, from a `Dissection`; by single effects, the share of the concept's pixels that
ablating one unit alone removes; and by optimization (`optimize`), the only one that finds units that act jointly.

Source: Bau et al. 2019, Sec. 3.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch

from ..core.lookup import check_choice, lookup
from ..core.network_id import NetworkId
from ..core.protocols import Generator, Segmenter, check_protocols
from ..core.rows import limit_rows
from ..core.sampling import check_seed, make_rng
from ..core.types import UnitSet, check_type, concept_index
from ..dissection.results import Dissection
from ..inference.areas import ConceptAreas
from ..inference.batches import check_counts
from ..inference.bench import Bench
from ..interventions.edits import Ablation
from ..stats.intervals import summarize_shares
from ..stats.streaming import AreaMoments
from .optimize import SoftSegmenter, optimize_units
from .results import EffectCurves, UnitEffects, UnitRanking

BATCH = 32
"""Images per batch."""

CausalMethod = Literal["optimization", "effect"]

MIN_ALPHA = 0.5
"""Minimum ``alpha`` of a unit that the optimization selects."""


def find_causal_units(
    generator: Generator,
    segmenter: Segmenter,
    layer: str,
    concept: str,
    num_units: int = 20,
    seed: int = 0,
    *,
    method: CausalMethod | None = None,
    num_samples: int | None = None,
    progress: bool = True,
) -> UnitSet:
    """Find the units of a layer that together cause a concept.

    Args:
        generator: Generator whose units are ranked; for ``"optimization"``, gradients must flow through its ``tail``.
        segmenter: Segmenter for the generator's images; for ``"optimization"``, a `SoftSegmenter`.
        layer: Name of the layer.
        concept: Name of the concept.
        num_units: Maximum number of units, at least 1.
        seed: Seed of the images; evaluate the units on another.
        method: ``"optimization"``, the default if the segmenter is differentiable, or ``"effect"``.
        num_samples: Number of images; by default 1,600 for the optimization and 100 for single effects.
        progress: Show a progress bar.

    Returns:
        The units, best first; with the optimization, only units with an ``alpha`` of at least 0.5.

    Raises:
        KeyError: If there is no such layer, concept or method.
        TypeError: If the generator or the segmenter does not implement its protocol.
        ValueError: If a number is out of range, or no unit alone changes the concept in these images.

    Examples:
        >>> import gandissect, generators, segmenters
        >>> G = generators.PlantedGenerator()
        >>> S = segmenters.PaletteSegmenter(G.concepts)
        >>> gandissect.find_causal_units(G, S, "layer2", "green", 1, num_samples=50, method="effect", progress=False)
        UnitSet(layer='layer2', units=(1,))

    Source: Bau et al. 2019, Sec. 3.2.
    """
    seed = check_seed(seed)
    if num_units < 1:
        raise ValueError(f"num_units must be at least 1; got {num_units}")
    chosen = method or ("optimization" if isinstance(segmenter, SoftSegmenter) else "effect")
    check_choice(chosen, CausalMethod, "method")
    if chosen == "effect":
        count = 100 if num_samples is None else num_samples
        effects = measure_unit_effects(generator, segmenter, layer, count, seed, progress=progress)
        by_effect = effects.ranking(concept)
        if not bool(by_effect.scores.any()):
            raise ValueError(f"no unit of {layer!r} alone changes {concept!r} in {count} images; raise num_samples")
        return by_effect.top(num_units)
    count = 1_600 if num_samples is None else num_samples
    ranking = optimize_units(generator, segmenter, layer, concept, count, seed, progress=progress)
    return ranking.top(min(num_units, int((ranking.scores >= MIN_ALPHA).sum())))


@torch.inference_mode()
def measure_unit_effects(
    generator: Generator,
    segmenter: Segmenter,
    layer: str,
    num_samples: int = 100,
    seed: int = 0,
    *,
    batch_size: int = 32,
    progress: bool = True,
) -> UnitEffects:
    """Measure the effect of ablating each unit of a layer alone.

    The generator runs once up to the layer, and from there once for each unit that is not 0 in all images of a batch.

    Args:
        generator: Generator whose units are measured.
        segmenter: Segmenter for the generator's images.
        layer: Name of the layer.
        num_samples: Number of images, at least 2; all pictures of a translator that has fewer.
        seed: Seed of the latent vectors.
        batch_size: Images per batch, at least 1.
        progress: Show a progress bar.

    Raises:
        KeyError: If there is no such layer.
        TypeError: If the generator or the segmenter does not implement its protocol.
        ValueError: If a number is out of range.

    Examples:
        >>> import gandissect, generators, segmenters
        >>> G = generators.PlantedGenerator()
        >>> S = segmenters.PaletteSegmenter(G.concepts)
        >>> effects = gandissect.measure_unit_effects(G, S, "layer2", 50, progress=False)
        >>> effects.ranking("green").top(1)
        UnitSet(layer='layer2', units=(1,))

    Source: Bau et al. 2019, Sec. 3.2.
    """
    seed, num_samples = check_seed(seed), limit_rows(generator, num_samples)
    check_protocols(generator, segmenter)
    check_counts(num_samples, batch_size)
    units = lookup(generator.layers, layer, "layer").units
    areas = ConceptAreas.of(generator, segmenter)
    bench = Bench(generator, layer, areas.count, progress)
    moments = [AreaMoments(areas.num_concepts, areas.num_pixels) for _ in range(units)]
    for block, z, activation in bench.heads([range(num_samples)], seed, batch_size, f"units of {layer}"):
        base = bench.measure_edited(block, z, activation)
        active = (activation != 0).any(3).any(2).any(0).tolist()
        for unit, moment in enumerate(moments):
            if not active[unit]:
                moment.update(torch.zeros_like(base))
                continue
            moment.update(base - bench.measure_edited(block, z, activation, Ablation(UnitSet(layer, (unit,)))))
    tables = [summarize_shares(moment) for moment in moments]
    return UnitEffects(
        layer=layer,
        concepts=tuple(concept.name for concept in segmenter.concepts),
        mean=torch.stack([table.mean for table in tables]),
        stderr=torch.stack([table.stderr for table in tables]),
        num_samples=num_samples,
        seed=seed,
    )


def rank_units_by_iou(dissection: Dissection, layer: str, concept: str) -> UnitRanking:
    """Rank the units of a layer by their IoU with a concept.

    Args:
        dissection: Dissection that holds the layer.
        layer: Name of the layer.
        concept: Name of the concept.

    Raises:
        KeyError: If there is no such layer or concept.
    """
    check_type("dissection", dissection, Dissection, "pass the result of dissect or Dissection.load")
    dissected, provenance = dissection[layer], dissection.provenance
    scores = dissected.iou[dissected.concept_index(concept)].clone()
    return UnitRanking(layer, concept, "iou", scores, provenance.num_samples, provenance.seed)


@torch.inference_mode()
def select_units_by_ablation(
    generator: Generator,
    segmenter: Segmenter,
    dissection: Dissection,
    concept: str,
    num_units: int = 20,
    num_samples: int = 100,
    seed: int = 1,
    *,
    progress: bool = True,
) -> UnitSet:
    """Select the units of highest IoU in the layer where ablating that many units removes most of the concept.

    Args:
        generator: Generator that was dissected.
        segmenter: Segmenter for the generator's images.
        dissection: Dissection that ranks the units; only its layers are considered.
        concept: Name of the concept.
        num_units: Number of units, at least 1; half of the units of a layer that has fewer than twice this number.
        num_samples: Number of images that the layer is chosen on, at least 2; all pictures of a translator that has
            fewer.
        seed: Seed of these images; evaluate the units on another.
        progress: Show progress bars.

    Raises:
        KeyError: If there is no such concept.
        ValueError: If a number is out of range.
    """
    seed = check_seed(seed)
    check_protocols(generator, segmenter)
    check_type("dissection", dissection, Dissection, "pass the result of dissect or Dissection.load")
    num_samples = limit_rows(generator, num_samples)
    if num_units < 1 or num_samples < 2:
        raise ValueError(f"num_units must be at least 1 and num_samples at least 2; got {num_units} and {num_samples}")
    column = concept_index(segmenter.concepts, concept)
    areas = ConceptAreas.of(generator, segmenter)
    best, most = None, -1.0
    for layer in dissection:
        units = rank_units_by_iou(dissection, layer.name, concept).top(min(num_units, max(1, layer.info.units // 2)))
        bench = Bench(generator, layer.name, areas.count, progress)
        removed = AreaMoments(1, areas.num_pixels)
        for block, z, activation in bench.heads([range(num_samples)], seed, BATCH, f"{concept}, {layer.name}"):
            change = bench.measure_edited(block, z, activation) - bench.measure_edited(
                block, z, activation, Ablation(units)
            )
            removed.update(change[:, [column]])
        effect = float(summarize_shares(removed).mean)
        if best is None or effect > most:
            best, most = units, effect
    if best is None:
        raise ValueError("the dissection has no layers")
    return best


@torch.inference_mode()
def measure_effect_curves(
    generator: Generator,
    segmenter: Segmenter,
    rankings: Mapping[str, UnitRanking],
    counts: Sequence[int] = (1, 2, 5, 10, 20, 50),
    num_samples: int = 200,
    seed: int = 1,
    *,
    num_controls: int = 3,
    progress: bool = True,
) -> EffectCurves:
    """Measure the effect of ablating the top units of rankings, compared with the same number of random units.

    Args:
        generator: Generator whose units are ablated.
        segmenter: Segmenter for the generator's images.
        rankings: Rankings by name, at least one, all for the same layer and concept.
        counts: Numbers of units to ablate, each at least 1; numbers above the layer's number of units are dropped.
        num_samples: Number of images, at least 2; all pictures of a translator that has fewer.
        seed: Seed of the latent vectors; it must differ from the seeds of the rankings.
        num_controls: Number of random orders of the layer's units, at least 1.
        progress: Show a progress bar.

    Raises:
        KeyError: If there is no such layer or concept.
        ValueError: If a number is out of range, or the rankings differ in layer or concept, or share the seed.

    Source: Bau et al. 2019, Sec. 3.2, Fig. 4.
    """
    seed = check_seed(seed)
    check_protocols(generator, segmenter)
    check_type("rankings", rankings, Mapping, "pass a dictionary of rankings by name")
    for ranking in rankings.values():
        check_type("each ranking", ranking, UnitRanking, "pass what rank_units_by_iou returns")
    if len({(ranking.layer, ranking.concept) for ranking in rankings.values()}) != 1:
        raise ValueError("rankings must all be for one layer and one concept")
    if any(ranking.seed == seed for ranking in rankings.values()):
        raise ValueError(f"seed must differ from the seeds of the rankings; got {seed}")
    first, num_samples = next(iter(rankings.values())), limit_rows(generator, num_samples)
    num_units = lookup(generator.layers, first.layer, "layer").units
    sizes = sorted({count for count in counts if count <= num_units})
    if num_samples < 2 or num_controls < 1 or not sizes or sizes[0] < 1:
        raise ValueError(
            f"num_samples must be at least 2, num_controls at least 1, and counts in [1, {num_units}]; "
            f"got {num_samples}, {num_controls} and {list(counts)}"
        )
    index = concept_index(segmenter.concepts, first.concept)
    orders = [ranking.top(sizes[-1]).units for ranking in rankings.values()]
    for draw in range(num_controls):
        rng = make_rng(seed, "random units", first.layer, draw)
        orders.append(tuple(torch.randperm(num_units, generator=rng, device="cpu").tolist()))
    areas = ConceptAreas.of(generator, segmenter)
    bench = Bench(generator, first.layer, areas.count, progress)
    share, moments = AreaMoments(1, areas.num_pixels), [AreaMoments(len(sizes), areas.num_pixels) for _ in orders]
    for block, z, activation in bench.heads([range(num_samples)], seed, BATCH, "curves"):
        base = bench.measure_edited(block, z, activation)[:, [index]]
        share.update(base)
        for order, moment in zip(orders, moments, strict=True):
            edits = [Ablation(UnitSet(first.layer, order[:size])) for size in sizes]
            left = torch.cat([bench.measure_edited(block, z, activation, edit)[:, [index]] for edit in edits], 1)
            moment.update(base - left)
    tables = list(map(summarize_shares, moments))
    return EffectCurves(
        generator=NetworkId.of(generator),
        segmenter=NetworkId.of(segmenter),
        layer=first.layer,
        concept=first.concept,
        share=float(summarize_shares(share).mean),
        counts=tuple(sizes),
        taken=dict(zip(rankings, tables, strict=False)),
        control=tuple(tables[len(rankings) :]),
        num_samples=num_samples,
        seed=seed,
    )
