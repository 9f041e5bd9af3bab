"""How far generated pictures are from real ones, over the features of a network that the caller names.

The distances are those of `distances`, the Frechet distance and the kernel distance, which is not larger for fewer
pictures. Beside them stand the figures of `neighbors`, which tell pictures that are wrong from pictures that are
missing, and copies from inventions. Each has the same figure of training pictures, in the place of generated ones,
beside it: the floor of a distance, the ceiling of a share. The name of the network belongs to every figure.

Source: Dowson and Landau 1982; Heusel et al. 2017, Sec. 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from ..core.images import from_uint8
from ..core.pictures import check_pixels, load_pictures, pick_evenly
from ..core.protocols import Features, Generator, PictureSource, Segmenter
from ..core.sampling import check_num_samples, check_seed, make_rng
from ..core.types import check_type
from ..inference.batches import sample_blocks
from .distances import frechet_distance, kernel_distance
from .features import Encoder, encoder_features
from .inception import Inception
from .neighbors import density_coverage, nearest_ratio, precision_recall
from .results import INCEPTION_DIMS, Fidelity, Scores, SetScores

BATCH = 64

MAX_TRAIN, MAX_HELD_OUT = 10_000, 1_000
"""Real pictures that are looked at, at most."""

NUM_DIMS = 64
"""Dimensions of a segmenter's features that are kept."""

MIN_HELD_OUT = 8
"""Held-out pictures at least, with which two dimensions of the features are kept."""


class Yardstick:
    """Real pictures as features, to measure generators against.

    Features are projected to ``num_dims`` dimensions by a fixed random rotation and divided by their standard
    deviation over the held-out pictures, since a covariance needs several times as many pictures as dimensions.

    Args:
        network: The feature network's name.
        features: The feature network.
        train: Training pictures, uint8 ``[n, 3, H, W]``, more than held out; copies of any others go unseen.
        held_out: Held-out pictures, uint8 ``[n, 3, H, W]``.
        num_dims: Dimensions to keep; at most a quarter of the number of held-out pictures is used. None leaves the
            features as they are, as the definitions of FID and KID want it.

    Attributes:
        train: Features of the training pictures, float64 ``[n, d]``.
        held_out: Features of the held-out pictures, float64 ``[n, d]``.

    Raises:
        ValueError: If there are fewer than `MIN_HELD_OUT` held-out pictures, or not more training pictures.
    """

    def __init__(
        self,
        network: str,
        features: Features,
        train: UInt8[Tensor, "train 3 H W"],
        held_out: UInt8[Tensor, "held_out 3 H W"],
        num_dims: int | None = NUM_DIMS,
    ) -> None:
        check_pixels(train)
        check_pixels(held_out)
        _check_counts(len(train), len(held_out))
        self.network, self._network = network, features
        raw = self._run_network(_scale_batches(held_out))
        self._projection = None if num_dims is None else _Projection(raw, num_dims)
        self.held_out, self.train = self._project(raw), self._project(self._run_network(_scale_batches(train)))
        # The kernel is not the same from every origin: far from the pictures it would see little but their mean.
        self._origin = 0 if num_dims is None else self.held_out.mean(dim=0)

    @classmethod
    def of(
        cls,
        network: Segmenter | Encoder | Inception,
        train: PictureSource | UInt8[Tensor, "train 3 H W"],
        held_out: PictureSource | UInt8[Tensor, "held_out 3 H W"],
        *,
        max_train: int = MAX_TRAIN,
        max_held_out: int = MAX_HELD_OUT,
    ) -> Yardstick:
        """Return real pictures as features of a segmenter's encoder, or of Inception.

        Of a segmenter the coarsest features of its encoder are taken, averaged over the picture, and 64 random
        dimensions of them are kept, or a quarter as many as there are held-out pictures if that is fewer: hold out 256
        pictures or more. The features of Inception are left as they are.

        Args:
            network: A segmenter with an encoder, such as ``segmenters.load("unet-scenes")``, or an `Inception`.
            train: Pictures that the generator was trained on; copies of those that are not looked at go unseen.
            held_out: Pictures that it was not trained on, `MIN_HELD_OUT` or more.
            max_train: Evenly spaced pictures of ``train`` that are looked at, at most.
            max_held_out: Evenly spaced pictures of ``held_out`` that are looked at, at most.

        Raises:
            TypeError: If the pictures are neither a source nor a tensor.
            ValueError: If the segmenter has no encoder, or there are too few pictures.
        """
        for name, pictures in (("train", train), ("held_out", held_out)):
            check_type(name, pictures, (PictureSource, Tensor), "segmenters.datasets.Photos is such a source")
        features = network if isinstance(network, Inception) else encoder_features(network)
        num_train, num_held_out = len(pick_evenly(train, max_train)), len(pick_evenly(held_out, max_held_out))
        if num_train <= num_held_out < len(train):
            raise ValueError(
                f"more pictures to train on are needed than are held out; got {num_train} and {num_held_out}; look at "
                "more of those to train on (max_train; num_real, --num-real, of a repair), or at fewer held-out ones "
                "(max_held_out; num_held_out, --num-held-out)"
            )
        _check_counts(num_train, num_held_out)
        real = load_pictures(train, max_train), load_pictures(held_out, max_held_out)
        return cls(network.name, features, *real, num_dims=None if isinstance(network, Inception) else NUM_DIMS)

    def extract_features(self, images: Float[Tensor, "batch 3 H W"]) -> Float64[Tensor, "batch feature"]:
        """Return what stands for images in `compare`: their features, projected and scaled.

        Args:
            images: float ``[n, 3, H, W]``; what is beyond [-1, 1] is cut off.

        Returns:
            float64 ``[n, d]``, on CPU.

        Raises:
            ValueError: If they are no images of that kind.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(f"need float images [n, 3, H, W] in [-1, 1]; got {images.dtype} {list(images.shape)}")
        return self._project(self._run_network(torch.split(images, BATCH)))

    def compare(
        self, features: Float[Tensor, "batch feature"], train: Float[Tensor, "train feature"] | None = None
    ) -> SetScores:
        """Score a set of pictures against the held-out ones.

        The kernel distance has the mean of the held-out features as its origin, unless they are left as they are.

        Args:
            features: What `extract_features` makes of them, ``[n, d]``, n at least 4.
            train: Features of the training pictures among which the nearest is looked for, ``[m, d]``; by default all.

        Raises:
            ValueError: If the shapes do not fit, or a feature is not finite.
        """
        manifold, balls = precision_recall(self.held_out, features), density_coverage(self.held_out, features)
        kernel = kernel_distance(features - self._origin, self.held_out - self._origin)
        return SetScores(
            distance=frechet_distance(features, self.held_out),
            kernel_distance=kernel.value,
            kernel_stderr=kernel.stderr,
            precision=manifold.precision,
            recall=manifold.recall,
            density=balls.density,
            coverage=balls.coverage,
            nearest_ratio=nearest_ratio(features, self.train if train is None else train, self.held_out),
        )

    def measure(self, generator: Generator, seed: int = 0, num_sets: int = 5) -> Fidelity:
        """Measure a generator.

        Args:
            generator: Any generator that makes pictures of the same size.
            seed: Seed of its pictures.
            num_sets: How many sets of pictures, each as large as the held-out one; 2 or more.

        Raises:
            ValueError: If there are fewer than 2 sets.
        """
        seed = check_seed(seed)
        if num_sets < 2:
            raise ValueError(f"num_sets is 2 or more; got {num_sets}")
        count = len(self.held_out)
        check_num_samples(num_sets * count)
        fake = [self._generate_features(generator, seed, count, start=index * count) for index in range(num_sets)]
        real, rest = zip(*(self._split_train(seed, count, index) for index in range(num_sets)), strict=True)
        return Fidelity(
            network=self.network,
            generated=Scores.of(list(map(self.compare, fake, rest))),
            real=Scores.of(list(map(self.compare, real, rest))),
            num_images=count,
            num_sets=num_sets,
            num_train=len(rest[0]),
            num_dims=self.held_out.shape[1],
            seed=seed,
        )

    def _split_train(self, seed: int, count: int, index: int) -> tuple[Tensor, Tensor]:
        """Return ``count`` training pictures to stand for generated ones, and all the others."""
        order = torch.randperm(len(self.train), generator=make_rng(seed, "fidelity", index), device="cpu")
        return self.train[order[:count]], self.train[order[count:]]

    def _generate_features(self, generator: Generator, seed: int, count: int, start: int) -> Tensor:
        sets = [range(start, start + count)]
        images = (generator(z) for _, z in sample_blocks(generator, sets, seed, BATCH, "samples", progress=False))
        return self._project(self._run_network(images))

    @torch.inference_mode()
    def _run_network(self, batches: Iterable[Tensor]) -> Tensor:
        return torch.cat([self._network(images.clamp(-1, 1)).cpu().double() for images in batches])

    def _project(self, raw: Tensor) -> Tensor:
        # A copy made here may be changed and differentiated, what inference mode made may not.
        return raw.clone() if self._projection is None else self._projection(raw)


@torch.inference_mode()
def count_dims(
    network: Segmenter | Encoder | Inception,
    held_out: PictureSource | UInt8[Tensor, "held_out 3 H W"],
    max_held_out: int = MAX_HELD_OUT,
) -> int:
    """Return how many dimensions the features of a `Yardstick` of some pictures have, from one of the pictures.

    Args:
        network: As for `Yardstick.of`.
        held_out: As for `Yardstick.of`.
        max_held_out: As for `Yardstick.of`.
    """
    if isinstance(network, Inception):
        return INCEPTION_DIMS
    num_dims = encoder_features(network)(from_uint8(load_pictures(held_out, 1))).shape[1]
    return min(NUM_DIMS, num_dims, len(pick_evenly(held_out, max_held_out)) // 4)


class _Projection:
    """A fixed random rotation to fewer dimensions, each with standard deviation 1 over the features given."""

    def __init__(self, raw: Tensor, num_dims: int) -> None:
        num_dims = min(num_dims, raw.shape[1], len(raw) // 4)
        mixing = torch.randn(
            raw.shape[1], num_dims, generator=make_rng(0, "fidelity"), dtype=torch.float64, device="cpu"
        )
        self._rotation = torch.linalg.qr(mixing).Q
        self._scale = (raw @ self._rotation).std(dim=0).clamp(min=1e-9)

    def __call__(self, raw: Tensor) -> Tensor:
        projected: Tensor = (raw @ self._rotation) / self._scale
        return projected


def _check_counts(num_train: int, num_held_out: int) -> None:
    """Raise ValueError with the remedy if there are too few pictures, before anything is computed."""
    if num_held_out < MIN_HELD_OUT:
        raise ValueError(
            f"{num_held_out} pictures are held out to judge by, and {MIN_HELD_OUT} are needed; give more pictures, or "
            "hold out a larger share (--hold-out)"
        )
    if num_train <= num_held_out:
        raise ValueError(
            f"more pictures to train on are needed than are held out; got {num_train} and {num_held_out}; give more "
            "pictures to train on (of scenes, scenes:1001 or more), or hold out a smaller share of folders (--hold-out)"
        )


def _scale_batches(pictures: Tensor) -> Iterator[Tensor]:
    """Yield uint8 pictures in batches, as float32 in [-1, 1]."""
    return map(from_uint8, torch.split(pictures, BATCH))
