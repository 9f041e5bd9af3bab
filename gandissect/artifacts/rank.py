"""Rank units by the artifacts that they draw, without human labels.

The top images of a unit ``u`` are the ``num_top`` images in which its activation is highest. They are compared with
real pictures, and so is the same number of random images:

    excess_u = d(top_u, real) - mean d(random, real),

where ``d`` is the Fréchet distance between features. A unit that is active where images go wrong has top images that
are farther from real pictures than random images are. A second score is the rank correlation, over all images, of the
unit's activation with the realism of the image (`neighbors.realism`), which is negative for such a unit.

Both scores measure association: a unit that is active at night has unusual top images, however good they are. The
causal effect of a unit is measured by ablating it alone in the same images:

    effect_u = d(all, real) - d(all with u at 0, real),

which takes one additional image per unit and image.

Only training pictures are used here, never the held-out ones, with which a repair is measured.

Source: Bau et al. 2019, Sec. 4.2, who rank by the FID of each unit's top images.
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
"""Images per batch."""

NUM_DRAWS = 20
"""Number of random draws of images, or of real pictures, for the reference distances."""

NUM_SHOWN = 16
"""Number of top images per unit that a ranking keeps."""

NUM_GROUPS = 8
"""Number of groups of images in the jackknife, which estimates the standard error."""

TOP_SHARE = 0.1
"""Default share of the images that are a unit's top images."""

TOP_PER_DIM = 2
"""Minimum number of top images per dimension of the features, needed to estimate their covariance."""


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
    """Rank the units of a layer by their relation to unrealistic images.

    An image's score for a unit is the unit's peak activation on the layer's grid, as for top images elsewhere:
    artifacts are local, and the mean of a normalized layer is uninformative. Features and scores of all images are held
    in memory, ``num_samples x (8 num_dims + 4 units)`` bytes; the effect adds the features of ``num_effect x units``
    images.

    Args:
        generator: Generator whose units are ranked.
        layer: Name of the layer.
        yardstick: Real pictures as features; only its training pictures are used.
        num_samples: Number of latent vectors. They differ from ``generator.sample_z(n, seed)``, and from those that
            `choose_num_units` and `measure_repair` draw with the same seed.
        seed: Seed of the latent vectors and of the choice of random images.
        top_share: Share of the images that are a unit's top images, in (0, 1); they must be at least two images per
            dimension of the features.
        method: Score to rank by: ``distance`` (the excess) or ``realism`` (negative correlation), which are always
            computed, or ``effect``, which is computed only on request.
        num_effect: Number of images that the effect is measured on, at least 16.
        progress: Show a progress bar.

    Returns:
        The ranking, with the scores of all units.

    Raises:
        KeyError: If there is no such layer or method.
        ValueError: If a number is out of range, there are too few images, or one is not finite.

    Examples:
        >>> import gandissect, generators, torch
        >>> G = generators.PlantedGenerator()
        >>> real = gandissect.core.to_uint8(G(G.sample_z(300, seed=5)))
        >>> features = lambda images: torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)
        >>> yardstick = gandissect.Yardstick("pixels", features, real[:200], real[200:], num_dims=4)
        >>> gandissect.rank_artifact_units(
        ...     G, "layer2", yardstick, num_samples=200, method="distance", progress=False
        ... ).top(2)
        UnitSet(layer='layer2', units=(0, 4))

    Source: Bau et al. 2019, Sec. 4.2; realism: Kynkäänniemi et al. 2019, Sec. 5.
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
    """Rank the units of several layers in one pass over the images, each as `rank_artifact_units` does.

    Args:
        generator: Generator whose units are ranked.
        layers: Names of the layers.
        yardstick: Real pictures as features; only its training pictures are used.
        num_samples: Number of latent vectors.
        seed: Seed of the latent vectors and of the choice of random images.
        top_share: Share of the images that are a unit's top images, in (0, 1).
        method: Score to rank by: ``distance``, ``realism`` or ``effect``.
        num_effect: Number of images that the effect is measured on, at least 16.
        progress: Show progress bars.

    Returns:
        One ranking per layer, in the order of ``layers``.

    Raises:
        KeyError: If there is no such layer or method.
        ValueError: If a number is out of range, there are too few images, or one is not finite.
    """
    rankings = iter_rankings(
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
def iter_rankings(
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
    """Yield the rankings of `rank_artifact_layers`, each as soon as it is finished.

    A layer's ranking does not depend on which other layers are ranked.

    Args:
        generator: Generator whose units are ranked.
        layers: Names of the layers.
        yardstick: Real pictures as features; only its training pictures are used.
        num_samples: Number of latent vectors.
        seed: Seed of the latent vectors and of the choice of random images.
        top_share: Share of the images that are a unit's top images, in (0, 1).
        method: Score to rank by: ``distance``, ``realism`` or ``effect``.
        num_effect: Number of images that the effect is measured on, at least 16.
        progress: Show progress bars.

    Yields:
        The ranking of each layer, in the order of ``layers``.

    Raises:
        KeyError: If there is no such layer or method.
        ValueError: If a number is out of range, there are too few images, or one is not finite.
    """
    seed = check_seed(seed)
    check_generator(generator)
    check_type("yardstick", yardstick, Yardstick, "create one with Yardstick.of(network, train, held_out)")
    for layer in layers:
        lookup(generator.layers, layer, "layer")
    check_choice(method, RankingMethod, "method")
    if num_effect < 2 * NUM_GROUPS:
        raise ValueError(f"num_effect must be at least {2 * NUM_GROUPS}; got {num_effect}")
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
    """Return the Fréchet distance between ``count`` random real pictures, at most half of them, and the others.

    Args:
        real: Features of real pictures, ``[real, feature]``.
        count: Number of pictures that take the place of generated images.
        seed: Seed of the random draws.

    Returns:
        Mean and standard deviation over 20 draws.
    """
    count, distances = min(count, len(real) // 2), []
    for draw in range(NUM_DRAWS):
        order = torch.randperm(len(real), generator=make_rng(seed, "artifact floor", draw), device="cpu")
        distances.append(Normal.of(real[order[count:]]).distance(real[order[:count]]))
    return Estimate.of(distances)


def rank_correlation(
    table: Float[Tensor, "sample column"], values: Float[Tensor, " sample"]
) -> Float64[Tensor, " column"]:
    """Return Spearman's rank correlation of each column with the values; 0 if either is constant.

    Args:
        table: Columns to correlate, ``[sample, column]``.
        values: Values to correlate them with, ``[sample]``; may be infinite.

    Returns:
        float64 ``[column]``, in [-1, 1].
    """
    against = _rank(values)
    columns = torch.stack([_rank(column) for column in table.unbind(1)], dim=1)
    columns, against = columns - columns.mean(dim=0), against - against.mean()
    scale = columns.square().sum(dim=0).sqrt() * against.square().sum().sqrt()
    return torch.where(scale > 0, (columns * against[:, None]).sum(dim=0) / scale.clamp(min=1e-300), 0)


def _rank(values: Tensor) -> Tensor:
    """Return ascending ranks, float64 ``[n]``; equal values get their mean rank."""
    _, place, counts = torch.unique(values, return_inverse=True, return_counts=True)
    ranks: Tensor = counts.cumsum(0).double() - (counts - 1) / 2
    return ranks[place]


def count_top(num_samples: int, top_share: float, num_dims: int) -> int:
    """Return the number of top images per unit.

    Args:
        num_samples: Number of images.
        top_share: Share of the images that are top images, in (0, 1).
        num_dims: Dimensions of the features.

    Raises:
        ValueError: If the share is out of range, or there are too few images to estimate a covariance of these
            dimensions.
    """
    if not 0 < top_share < 1:
        raise ValueError(f"top_share must be in (0, 1); got {top_share}")
    num_top = round(top_share * num_samples)
    if num_top < TOP_PER_DIM * num_dims:
        raise ValueError(
            f"features of {num_dims} dimensions need {TOP_PER_DIM * num_dims} top images; got {num_top}, the top "
            f"{top_share:g} of {num_samples}; use at least {math.ceil(TOP_PER_DIM * num_dims / top_share)} samples "
            "(num_samples, --num-samples), or fewer held-out pictures (num_held_out, --num-held-out)"
        )
    return num_top


def _pick_random(num_samples: int, count: int, seed: int, draw: int) -> Tensor:
    """Return the indices of random images."""
    return torch.randperm(num_samples, generator=make_rng(seed, "random images", draw), device="cpu")[:count]


def _read_images(source: LayerSampler, yardstick: Yardstick, num_samples: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the images' features, float64 ``[n, d]``, and each layer's peak activations, float32 ``[n, unit]``."""
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
    """Return how much ablating each unit lowers the distance, and the jackknife standard error."""
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
    """Return how much closer to ``real`` sets of features ``[set, n, d]`` are than the first, with standard errors."""
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
    """Return a function that checks a generator's images and computes the yardstick's features ``[batch, d]``."""

    def read_features(images: Tensor, samples: range) -> Tensor:
        check_images(images, len(samples), generator.image_size)
        check_pixels(images, samples)
        return yardstick.extract_features(images)

    return read_features
