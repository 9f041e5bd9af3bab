"""Finding the units that draw what is unrealistic, without anybody's labels.

Every unit ``u`` of a layer has the images in which its activation is highest, as many as ``num_top``. Of their features
and those of real pictures, and of as many random images,

    excess_u = d(top_u, real) - mean d(random, real),

with the Frechet distance ``d``: a unit that is on where images go wrong has top images farther from real pictures than
others are. Beside it stands the rank correlation, over all images, of the unit's activation with the image's realism
(`neighbors.realism`), which is negative for such a unit.

Both are association: a unit that is on at night has top images unlike all others, however good they are. What a unit
does is told by switching it off, alone, in the same images,

    effect_u = d(all, real) - d(all with u at 0, real),

which costs as many images as there are units, for each image looked at.

Only the pictures to train on are looked at, never the held-out ones, with which a repair is measured.

Source: Bau et al. 2019, Sec. 4.3, who rank by the FID of each unit's top images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..core.lookup import check_choice, lookup
from ..core.network_id import NetworkId
from ..core.protocols import Generator, check_generator
from ..core.sampling import check_seed, derive_seed, make_rng
from ..core.types import UnitSet, check_type
from ..fidelity.distances import Normal
from ..fidelity.neighbors import realism
from ..fidelity.yardstick import Yardstick
from ..inference.batches import LayerSampler
from ..inference.bench import Bench
from ..inference.checks import check_images, check_pixels
from ..interventions.edits import Ablation
from ..stats.intervals import Estimate
from .ranking import ArtifactRanking, RankingMethod

BATCH = 64

NUM_DRAWS = 20
"""Sets of random images, or of real pictures, that a unit's images are compared with."""

NUM_SHOWN = 16
"""Of each unit's top images, so many are written down."""

NUM_GROUPS = 8
"""Groups of images that are left out in turn, for a standard error."""

TOP_SHARE = 0.1
"""Share of the images that are a unit's top images, by default."""

TOP_PER_DIM = 2
"""Top images for each dimension of the features at least, for their covariance."""


def rank_artifact_units(
    generator: Generator,
    layer: str,
    yardstick: Yardstick,
    num_samples: int = 5_000,
    seed: int = 0,
    *,
    top_share: float = TOP_SHARE,
    method: RankingMethod = "distance",
    num_effect: int = 64,
    progress: bool = True,
) -> ArtifactRanking:
    """Rank the units of a layer by how much they have to do with what is unrealistic.

    An image is scored by the unit's largest activation on the layer's grid, as its top images are elsewhere: artifacts
    are local, and where a layer's output is normalized its mean says nothing about what is drawn. Features and scores
    of all images are held in memory, ``num_samples x (8 num_dims + 4 units)`` bytes; for the effect features of
    ``num_effect x units`` images more.

    Args:
        generator: A `Generator`.
        layer: The layer's name.
        yardstick: Real pictures as features; its held-out pictures are not looked at.
        num_samples: Latent vectors; another sequence than that of ``generator.sample_z(n, seed)``, and than those that
            `choose_num_units` and `measure_repair` draw with the same seed.
        seed: Of the latent vectors and of the random images.
        top_share: Share of the images that are a unit's top images, above 0 and below 1; at least two images for each
            dimension of the features.
        method: What the ranking goes by: ``distance`` (the excess) or ``realism`` (negative correlation), both of which
            are kept, or ``effect``, which is measured then only.
        num_effect: Images that the effect is measured on, 16 or more.
        progress: Show a progress bar.

    Raises:
        KeyError: If there is no such layer or method.
        ValueError: If a number is out of range, there are too few images, or one is not finite.

    Source: Bau et al. 2019, Sec. 4.3; realism: Kynkaanniemi et al. 2019, Sec. 5.
    """
    (ranking,) = rank_artifact_layers(
        generator,
        (layer,),
        yardstick,
        num_samples,
        seed,
        top_share=top_share,
        method=method,
        num_effect=num_effect,
        progress=progress,
    )
    return ranking


def rank_artifact_layers(
    generator: Generator,
    layers: Sequence[str],
    yardstick: Yardstick,
    num_samples: int = 5_000,
    seed: int = 0,
    *,
    top_share: float = TOP_SHARE,
    method: RankingMethod = "distance",
    num_effect: int = 64,
    progress: bool = True,
) -> tuple[ArtifactRanking, ...]:
    """Rank the units of several layers in one pass over the images; otherwise as `rank_artifact_units`.

    Args:
        generator: A `Generator`.
        layers: Names of its layers.
        yardstick: Real pictures as features; its held-out pictures are not looked at.
        num_samples: Latent vectors.
        seed: Of the latent vectors and of the random images.
        top_share: Share of the images that are a unit's top images.
        method: What the rankings go by.
        num_effect: Images that the effect is measured on.
        progress: Show progress bars.

    Returns:
        One ranking for each layer, in the order given.

    Raises:
        KeyError: If there is no such layer or method.
        ValueError: If a number is out of range, there are too few images, or one is not finite.
    """
    rankings = rank_in_turn(
        generator,
        layers,
        yardstick,
        num_samples,
        seed,
        top_share=top_share,
        method=method,
        num_effect=num_effect,
        progress=progress,
    )
    return tuple(rankings)


@torch.inference_mode()
def rank_in_turn(
    generator: Generator,
    layers: Sequence[str],
    yardstick: Yardstick,
    num_samples: int,
    seed: int,
    *,
    top_share: float = TOP_SHARE,
    method: RankingMethod,
    num_effect: int = 64,
    progress: bool,
) -> Iterator[ArtifactRanking]:
    """Yield what `rank_artifact_layers` returns, the ranking of each layer as soon as it is finished.

    A layer's ranking does not depend on which others are ranked.

    Args:
        generator: A `Generator`.
        layers: Names of its layers.
        yardstick: Real pictures as features; its held-out pictures are not looked at.
        num_samples: Number of latent vectors.
        seed: Seed of the latent vectors and of the random images.
        top_share: Share of the images that are a unit's top images.
        method: What the rankings go by.
        num_effect: Number of images that the effect is measured on.
        progress: Whether progress bars are shown.

    Raises:
        KeyError: If there is no such layer or method.
        ValueError: If a number is out of range, there are too few images, or one is not finite.
    """
    seed = check_seed(seed)
    check_generator(generator)
    check_type("yardstick", yardstick, Yardstick, "give Yardstick.of(network, train, held_out)")
    for layer in layers:
        lookup(generator.layers, layer, "layer")
    check_choice(method, RankingMethod, "method")
    if num_effect < 2 * NUM_GROUPS:
        raise ValueError(f"num_effect is {2 * NUM_GROUPS} or more; got {num_effect}")
    num_top = count_top(num_samples, top_share, yardstick.train.shape[1])
    sample_seed, in_order = derive_seed(seed, "artifact ranking"), [name for name in generator.layers if name in layers]
    source = LayerSampler(generator, tuple(in_order), sample_seed, BATCH, progress=progress)
    features, peaks = _read_images(source, yardstick, num_samples)
    real, realistic = Normal.of(yardstick.train), realism(yardstick.train, features)
    random = [real.distance(features[_pick_random(num_samples, num_top, seed, draw)]) for draw in range(NUM_DRAWS)]
    base, floor = Estimate.of(random), measure_floor(yardstick.train, num_top, seed)
    for layer in layers:
        order = peaks[layer].argsort(dim=0, descending=True, stable=True)[:num_top]
        distance = [real.distance(features[rows]) for rows in order.unbind(1)]
        varies = peaks[layer].amax(dim=0) > peaks[layer].amin(dim=0)
        effects = (
            _measure_effects(generator, layer, yardstick, num_effect, seed, progress) if method == "effect" else None
        )
        yield ArtifactRanking(
            generator=NetworkId.of(generator),
            layer=layer,
            network=yardstick.network,
            method=method,
            num_samples=num_samples,
            num_top=num_top,
            num_real=len(yardstick.train),
            num_dims=yardstick.train.shape[1],
            seed=seed,
            sample_seed=sample_seed,
            distance=torch.tensor(distance, dtype=torch.float64, device="cpu").masked_fill(~varies, base.mean),
            realism=rank_correlation(peaks[layer], realistic),
            varies=varies,
            top_samples=order[:NUM_SHOWN].T.contiguous(),
            random=base,
            floor=floor,
            effect=effects and effects[0],
            effect_stderr=effects and effects[1],
            num_effect=num_effect if effects else 0,
        )


def measure_floor(real: Float64[Tensor, "real feature"], count: int, seed: int) -> Estimate:
    """Return the Frechet distance of ``count`` real pictures, half of them at most, from the others.

    Args:
        real: Features ``[n, d]``.
        count: How many stand for generated ones.
        seed: Of the choice.
    """
    count, distances = min(count, len(real) // 2), []
    for draw in range(NUM_DRAWS):
        order = torch.randperm(len(real), generator=make_rng(seed, "artifact floor", draw), device="cpu")
        distances.append(Normal.of(real[order[count:]]).distance(real[order[:count]]))
    return Estimate.of(distances)


def rank_correlation(
    table: Float[Tensor, "sample column"], values: Float[Tensor, " sample"]
) -> Float64[Tensor, " column"]:
    """Return Spearman's correlation of each column with values, 0 where either never changes.

    Args:
        table: ``[n, k]``.
        values: ``[n]``; may be infinite.

    Returns:
        float64 ``[k]``, -1 to 1.
    """
    against = _rank(values)
    columns = torch.stack([_rank(column) for column in table.unbind(1)], dim=1)
    columns, against = columns - columns.mean(dim=0), against - against.mean()
    scale = columns.square().sum(dim=0).sqrt() * against.square().sum().sqrt()
    return torch.where(scale > 0, (columns * against[:, None]).sum(dim=0) / scale.clamp(min=1e-300), 0)


def _rank(values: Tensor) -> Tensor:
    """Return rising ranks, float64 ``[n]``; equal values share the mean of theirs."""
    _, place, counts = torch.unique(values, return_inverse=True, return_counts=True)
    ranks: Tensor = counts.cumsum(0).double() - (counts - 1) / 2
    return ranks[place]


def count_top(num_samples: int, top_share: float, num_dims: int) -> int:
    """Return how many images are a unit's top images.

    Raises:
        ValueError: If there are too few samples for the covariance of these dimensions, naming the number needed.
    """
    if not 0 < top_share < 1:
        raise ValueError(f"top_share is above 0 and below 1; got {top_share}")
    num_top = round(top_share * num_samples)
    if num_top < TOP_PER_DIM * num_dims:
        raise ValueError(
            f"the top {top_share:g} of {num_samples} images are {num_top}, and features of {num_dims} dimensions need "
            f"{TOP_PER_DIM * num_dims}; take {math.ceil(TOP_PER_DIM * num_dims / top_share)} samples or more "
            "(num_samples, --num-samples), or compare with fewer held-out pictures (num_held_out, --num-held-out)"
        )
    return num_top


def _pick_random(num_samples: int, count: int, seed: int, draw: int) -> Tensor:
    """Return the indices of random images."""
    return torch.randperm(num_samples, generator=make_rng(seed, "random images", draw), device="cpu")[:count]


def _read_images(source: LayerSampler, yardstick: Yardstick, num_samples: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the images' features, float64 ``[n, d]``, and layers' largest activations, float32 ``[n, unit]``."""
    infos = source.generator.layers
    features = torch.empty(num_samples, yardstick.train.shape[1], dtype=torch.float64, device="cpu")
    peaks = {
        layer: torch.empty(num_samples, infos[layer].units, dtype=torch.float32, device="cpu")
        for layer in source.layers
    }
    for batch in source.images(range(num_samples), "artifacts"):
        rows = slice(batch.samples.start, batch.samples.stop)
        features[rows] = yardstick.extract_features(batch.images)
        for layer, activation in batch.activations.items():
            peaks[layer][rows] = activation.highest
    return features, peaks


def _measure_effects(
    generator: Generator, layer: str, yardstick: Yardstick, num_samples: int, seed: int, progress: bool
) -> tuple[Tensor, Tensor]:
    """Return how much less the distance is without each unit, and its standard error by the jackknife."""
    units = [UnitSet(layer, (unit,)) for unit in range(generator.layers[layer].units)]
    bench = Bench(generator, layer, make_feature_reader(yardstick, generator), progress)
    parts = []
    heads = bench.heads([range(num_samples)], derive_seed(seed, "artifact effects"), BATCH, f"effects, {layer}")
    for block, z, activation in heads:
        plain = bench.measure_edited(block, z, activation)
        inactive = (activation == 0).transpose(0, 1).flatten(1).all(1).tolist()
        without = (
            plain if inactive[unit] else bench.measure_edited(block, z, activation, Ablation(units[unit]))
            for unit in range(len(units))
        )
        parts.append(torch.stack([plain, *without]).float())
    return _measure_gains(torch.cat(parts, dim=1), Normal.of(yardstick.train))


def _measure_gains(features: Tensor, real: Normal) -> tuple[Tensor, Tensor]:
    """Return how much nearer than the first set of features ``[set, n, d]`` the others are, with standard errors."""
    plain, *without = features
    groups = torch.arange(len(plain), device="cpu") % NUM_GROUPS
    kept = [groups >= 0, *(groups != group for group in range(NUM_GROUPS))]
    base = torch.tensor([real.distance(plain[rows]) for rows in kept], dtype=torch.float64, device="cpu")
    gain = torch.stack(
        [
            base - torch.tensor([real.distance(ablated[rows]) for rows in kept], dtype=torch.float64, device="cpu")
            for ablated in without
        ]
    )
    left_out = gain[:, 1:]
    variance = (left_out - left_out.mean(dim=1, keepdim=True)).square().mean(dim=1) * (NUM_GROUPS - 1)
    return gain[:, 0].clone(), variance.sqrt()


def make_feature_reader(yardstick: Yardstick, generator: Generator) -> Callable[[Tensor, range], Tensor]:
    """Return what reads a yardstick's features ``[batch, d]`` of a generator's images, and checks the images."""

    def read_features(images: Tensor, samples: range) -> Tensor:
        check_images(images, len(samples), generator.image_size)
        check_pixels(images, samples)
        return yardstick.extract_features(images)

    return read_features
