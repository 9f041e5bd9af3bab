"""Which units of a layer cause a concept.

Three rankings. By IoU, which a `Dissection` has. By single effects: what ablating one unit alone takes away of the
concept. And by optimisation of a vector ``alpha`` in [0, 1], one number a unit, that says how far all are forced off,
or on to ``k``, at once,

    minimise   E[p_c | r (1 - alpha)] - E[p_c | r (1 - alpha) + k alpha] + weight |alpha|^2,

where ``p_c`` is the segmenter's probability of the concept; in the first term where the concept is, in the second one
at a random place. Units that only work together are found by the last only.

Source: Bau et al. 2019, Sec. 3.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d, interpolate

from .causal import Bench, Patches, shares_of
from .causal_results import Shares
from .interventions import Ablation
from .names import lookup
from .protocols import Generator, Segmenter, check_protocols
from .results import Dissection
from .sampling import derive_seed, make_rng
from .stats import AreaMoments
from .store import check_tensor
from .types import UnitSet
from .unit_values import present_values

Method = Literal["optimisation", "effect"]

LEARNING_RATE, BATCH = 0.02, 8
"""Of Adam, and images a step."""

MIN_ALPHA = 0.5
"""A unit counts as chosen by the optimisation from here on."""


@runtime_checkable
class SoftSegmenter(Segmenter, Protocol):
    """A segmenter whose answer can be differentiated."""

    def logits(self, images: Tensor) -> Tensor:
        """Return scores ``[batch, concept, H, W]`` whose softmax are probabilities; gradients flow to the images."""


@dataclass(frozen=True, slots=True, eq=False)
class UnitRanking:
    """Units of a layer by how much they cause a concept.

    Args:
        layer: The layer.
        concept: The concept's name.
        method: How it was found.
        scores: float64 ``[unit]``: ``alpha``, or the share of all pixels that ablating the unit takes away.
        num_samples: Images that it was found with.
        seed: Theirs; judge the ranking on another.
    """

    layer: str
    concept: str
    method: str
    scores: Tensor
    num_samples: int
    seed: int

    def __post_init__(self) -> None:
        check_tensor("scores", self.scores, torch.float64, (None,))
        if not bool(self.scores.isfinite().all()):
            raise ValueError("scores are finite")

    def top(self, count: int) -> UnitSet:
        """Return the first units, best first; of equals the first in the layer."""
        order = self.scores.argsort(descending=True, stable=True)[:count]
        return UnitSet(self.layer, tuple(order.tolist()))


@dataclass(frozen=True, slots=True, eq=False)
class EffectCurve:
    """What ablating the first few units of a ranking takes away of the concept.

    Args:
        name: The ranking's.
        counts: Numbers of units.
        effect: Share of all pixels; one entry for each number.
    """

    name: str
    counts: tuple[int, ...]
    effect: Shares


def find_causal_units(
    generator: Generator,
    segmenter: Segmenter,
    layer: str,
    concept: str,
    num_units: int = 20,
    seed: int = 0,
    *,
    method: Method | None = None,
    num_samples: int | None = None,
    progress: bool = True,
) -> UnitSet:
    """Find the units of a layer that together cause a concept.

    Args:
        generator: A `Generator`; for the optimisation, one through whose ``tail`` gradients flow.
        segmenter: A `Segmenter`; for the optimisation, a `SoftSegmenter`.
        layer: The layer's name.
        concept: The concept's name.
        num_units: How many at most, 1 or more.
        seed: Of the images; judge the units on another.
        method: ``optimisation`` (by default where the segmenter can be differentiated) or ``effect``.
        num_samples: Images to look at: by default 1,600 for the optimisation, 100 for single effects.
        progress: Show a progress bar.

    Returns:
        Units, best first; by optimisation only those whose alpha is at least 0.5.

    Raises:
        KeyError: If there is no such layer, concept or method.
        TypeError: If generator or segmenter lack something of their protocol.
        ValueError: If a number is out of range, or the concept is in none of the images.

    Source: Bau et al. 2019, Sec. 3.2.
    """
    if num_units < 1:
        raise ValueError(f"num_units is 1 or more; got {num_units}")
    chosen = method or ("optimisation" if isinstance(segmenter, SoftSegmenter) else "effect")
    lookup({name: name for name in get_args(Method)}, chosen, "method")
    if chosen == "effect":
        effects = unit_effects(generator, segmenter, layer, num_samples or 100, seed, progress=progress)
        return effects.ranking(concept).top(num_units)
    ranking = optimise_units(generator, segmenter, layer, concept, num_samples or 1_600, seed, progress=progress)
    return ranking.top(min(num_units, int((ranking.scores >= MIN_ALPHA).sum())))


@dataclass(frozen=True, slots=True, eq=False)
class UnitEffects:
    """What ablating each unit of a layer alone takes away of each concept.

    Args:
        layer: The layer.
        concepts: Names.
        mean: float64 ``[unit, concept]``, shares of all pixels.
        stderr: float64 ``[unit, concept]``, standard errors over images.
        num_samples: Images.
        seed: Theirs.
    """

    layer: str
    concepts: tuple[str, ...]
    mean: Tensor
    stderr: Tensor
    num_samples: int
    seed: int

    def ranking(self, concept: str) -> UnitRanking:
        """Return the units by what they take away of a concept.

        Raises:
            KeyError: If there is no such concept.
        """
        column = lookup({name: index for index, name in enumerate(self.concepts)}, concept, "concept")
        scores = self.mean[:, column].clone()
        return UnitRanking(self.layer, concept, "effect", scores, self.num_samples, self.seed)


@torch.inference_mode()
def unit_effects(
    generator: Generator,
    segmenter: Segmenter,
    layer: str,
    num_samples: int = 100,
    seed: int = 0,
    *,
    batch_size: int = 32,
    progress: bool = True,
) -> UnitEffects:
    """Ablate each unit of a layer alone.

    The network is run up to the layer once; from there once for each unit that is not 0 in all images of a batch.

    Args:
        generator: A `Generator`.
        segmenter: A `Segmenter` for its images.
        layer: The layer's name.
        num_samples: Latent vectors, 2 or more.
        seed: Theirs.
        batch_size: Images at once, 1 or more.
        progress: Show a progress bar.

    Raises:
        KeyError: If there is no such layer.
        TypeError: If generator or segmenter lack something of their protocol.
        ValueError: If a number is out of range.

    Source: Bau et al. 2019, Sec. 3.2.
    """
    check_protocols(generator, segmenter)
    if num_samples < 2 or batch_size < 1:
        raise ValueError(f"need 2 samples and 1 at once or more; got {num_samples} and {batch_size}")
    units = lookup(generator.layers, layer, "layer").units
    bench = Bench.of(generator, segmenter, layer, progress=progress)
    moments = [AreaMoments(len(segmenter.concepts), bench.num_pixels) for _ in range(units)]
    for block, z, activation in bench.heads(num_samples, seed, batch_size, f"units of {layer}"):
        base = bench.areas(block, z, activation, [])
        active = (activation != 0).any(3).any(2).any(0).tolist()
        for unit, moment in enumerate(moments):
            if not active[unit]:
                moment.update(torch.zeros_like(base))
                continue
            moment.update(base - bench.areas(block, z, activation, [Ablation(UnitSet(layer, (unit,)))]))
    tables = [shares_of(moment) for moment in moments]
    return UnitEffects(
        layer=layer,
        concepts=tuple(concept.name for concept in segmenter.concepts),
        mean=torch.stack([table.mean for table in tables]),
        stderr=torch.stack([table.stderr for table in tables]),
        num_samples=num_samples,
        seed=seed,
    )


def optimise_units(
    generator: Generator,
    segmenter: Segmenter,
    layer: str,
    concept: str,
    num_samples: int = 1_600,
    seed: int = 0,
    *,
    weight: float = 0.005,
    values: Sequence[float] | None = None,
    progress: bool = True,
) -> UnitRanking:
    """Find by gradient descent how far each unit of a layer is to be forced, as the module's formula says.

    Adam, projected to [0, 1], one step every 8 images; it begins with 0.5 everywhere.

    Args:
        generator: A `Generator` through whose ``tail`` gradients flow.
        segmenter: A `SoftSegmenter`.
        layer: The layer's name.
        concept: The concept's name.
        num_samples: Latent vectors, 8 or more.
        seed: Theirs, and that of the places.
        weight: Of ``|alpha|^2``, 0 or more.
        values: What the units are forced on to, one number for each unit of the layer; by default their means where
            the concept is (`present_values`).
        progress: Show a progress bar.

    Raises:
        KeyError: If there is no such layer or concept.
        TypeError: If generator or segmenter lack something of their protocol.
        ValueError: If a number is out of range, or the concept is in none of the images.

    Source: Bau et al. 2019, Sec. 3.2.
    """
    check_protocols(generator, segmenter)
    if not isinstance(segmenter, SoftSegmenter):
        raise TypeError(f"{segmenter.name} has no logits(images) to differentiate; rank by method 'effect'")
    if num_samples < BATCH or not weight >= 0:
        raise ValueError(f"need {BATCH} samples or more and a weight of 0 or more; got {num_samples} and {weight}")
    info = lookup(generator.layers, layer, "layer")
    index = lookup({each.name: each.index for each in segmenter.concepts}, concept, "concept")
    every = UnitSet(layer, tuple(range(info.units)))
    if values is None:
        values = present_values(generator, segmenter, every, concept, seed=seed)
    if len(values) != info.units:
        raise ValueError(f"values are one for each of the {info.units} units; got {len(values)}")
    on = torch.tensor(values, dtype=torch.float32, device=generator.device)[:, None, None]
    alpha = torch.full((info.units, 1, 1), 0.5, device=generator.device, requires_grad=True)
    adam = torch.optim.Adam([alpha], LEARNING_RATE)
    patches = Patches.of(info, None, derive_seed(seed, "optimisation"))
    bench = Bench.of(generator, segmenter, layer, progress=progress)
    probability = _Probability(generator, segmenter, layer, index)
    for block, z, activation in bench.heads(num_samples, seed, BATCH, f"causes of {concept}"):
        present, places = probability.present(z, activation), patches.draw(block)[0].to(generator.device)
        loss = weight * alpha.square().sum()
        if bool(present.any()):
            cells = adaptive_max_pool2d(present.float(), (info.height, info.width))[:, None]
            loss = loss + probability(torch.lerp(activation, activation * (1 - alpha), cells), z, present)
        there = interpolate(places[:, None], generator.image_size)[:, 0] > 0
        loss = loss - probability(torch.lerp(activation, torch.lerp(activation, on, alpha), places[:, None]), z, there)
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        with torch.no_grad():
            alpha.clamp_(0, 1)
    scores = alpha.detach().flatten().double().cpu()
    return UnitRanking(layer, concept, "optimisation", scores, num_samples, seed)


@dataclass(frozen=True, slots=True)
class _Probability:
    """How probable a concept is in images that continue from a layer."""

    generator: Generator
    segmenter: SoftSegmenter
    layer: str
    concept: int

    def __call__(self, activation: Tensor, z: Tensor, where: Tensor) -> Tensor:
        """Return the mean probability over some pixels, bool ``[batch, H, W]``."""
        images = self.generator.tail(activation, self.layer, z).clamp(-1, 1)
        return self.segmenter.logits(images).softmax(1)[:, self.concept][where].mean()

    @torch.no_grad()
    def present(self, z: Tensor, activation: Tensor) -> Tensor:
        """Return where the concept is, bool ``[batch, H, W]``."""
        labels = self.segmenter(self.generator.tail(activation, self.layer, z).clamp(-1, 1))
        return labels == self.concept


def iou_ranking(dissection: Dissection, layer: str, concept: str) -> UnitRanking:
    """Return the units of a layer by their IoU with a concept.

    Raises:
        KeyError: If there is no such layer or concept.
    """
    found, facts = dissection[layer], dissection.provenance
    scores = found.iou[found.concept_index(concept)].clone()
    return UnitRanking(layer, concept, "iou", scores, facts.num_samples, facts.seed)


@torch.inference_mode()
def best_units(
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
    """Return the units of highest IoU in the layer where ablating so many takes most of the concept away.

    Args:
        generator: The one that was dissected.
        segmenter: A `Segmenter` for its images.
        dissection: Says what units agree with; only its layers are looked at.
        concept: The concept's name.
        num_units: How many units; of a layer that has fewer than twice as many, half.
        num_samples: Latent vectors to choose the layer with, 2 or more.
        seed: Theirs; judge the units on another.
        progress: Show progress bars.

    Raises:
        KeyError: If there is no such concept.
        ValueError: If a number is out of range.
    """
    if num_units < 1 or num_samples < 2:
        raise ValueError(f"need 1 unit and 2 samples or more; got {num_units} and {num_samples}")
    column = lookup({each.name: each.index for each in segmenter.concepts}, concept, "concept")
    best, most = None, -1.0
    for layer in dissection:
        units = iou_ranking(dissection, layer.name, concept).top(min(num_units, max(1, layer.info.units // 2)))
        bench = Bench.of(generator, segmenter, layer.name, progress=progress)
        taken = AreaMoments(1, bench.num_pixels)
        for block, z, activation in bench.heads(num_samples, seed, 32, f"{concept}, {layer.name}"):
            pair = (bench.areas(block, z, activation, edits)[:, [column]] for edits in ([], [Ablation(units)]))
            taken.update(next(pair) - next(pair))
        effect = float(shares_of(taken).mean)
        if best is None or effect > most:
            best, most = units, effect
    if best is None:
        raise ValueError("the dissection has no layers")
    return best


@torch.inference_mode()
def effect_curves(
    generator: Generator,
    segmenter: Segmenter,
    rankings: Mapping[str, UnitRanking],
    counts: Sequence[int] = (1, 2, 5, 10, 20, 50),
    num_samples: int = 200,
    seed: int = 1,
    *,
    progress: bool = True,
) -> tuple[EffectCurve, ...]:
    """Measure what ablating the first units of rankings takes away, and as many random units.

    Args:
        generator: A `Generator`.
        segmenter: A `Segmenter` for its images.
        rankings: Of one layer and concept, by name.
        counts: Numbers of units, rising, 1 or more.
        num_samples: Latent vectors, 2 or more.
        seed: Theirs; another than the rankings'.
        progress: Show a progress bar.

    Returns:
        A curve for each ranking, in order, and one named ``random``.

    Raises:
        ValueError: If a number is out of range, rankings are of several layers or concepts, or of these very samples.

    Source: Bau et al. 2019, Sec. 4.2.
    """
    first = next(iter(rankings.values()))
    if any((each.layer, each.concept) != (first.layer, first.concept) for each in rankings.values()):
        raise ValueError("rankings are of one layer and one concept")
    if any(each.seed == seed for each in rankings.values()):
        raise ValueError(f"rankings were found on seed {seed}; judge them on another")
    if num_samples < 2 or min(counts) < 1:
        raise ValueError(f"need 2 samples and 1 unit or more; got {num_samples} and {list(counts)}")
    index = lookup({each.name: each.index for each in segmenter.concepts}, first.concept, "concept")
    sizes = [count for count in counts if count <= len(first.scores)]
    names = [*rankings, "random"]
    bench = Bench.of(generator, segmenter, first.layer, progress=progress)
    moments = {name: AreaMoments(len(sizes), bench.num_pixels) for name in names}
    sets = {name: [ranking.top(size) for size in sizes] for name, ranking in rankings.items()}
    order = torch.randperm(len(first.scores), generator=make_rng(seed, "random units", first.layer)).tolist()
    sets["random"] = [UnitSet(first.layer, tuple(order[:size])) for size in sizes]
    for block, z, activation in bench.heads(num_samples, seed, 32, "curves"):
        base = bench.areas(block, z, activation, [])[:, index]
        for name in names:
            taken = [base - bench.areas(block, z, activation, [Ablation(units)])[:, index] for units in sets[name]]
            moments[name].update(torch.stack(taken, 1))
    return tuple(EffectCurve(name, tuple(sizes), shares_of(moments[name])) for name in names)
