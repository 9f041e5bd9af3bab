"""Measure how far generated pictures are from real ones, in the feature space of a network of the caller's choice.

The scores are the Fréchet distance and the kernel distance of `distances`, and the scores of `neighbors`, which
distinguish wrong from missing pictures and copies from new pictures. The kernel distance is unbiased even for few
pictures. Every score is also measured for training pictures in place of generated ones: the floor of a distance, the
ceiling of a share. Scores are comparable only within one feature network, whose name is part of every result.

Source: Dowson and Landau 1982; Heusel et al. 2017, Sec. A1 (FID).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor
from torch.nn import functional

from ..core.images import from_uint8
from ..core.pictures import check_pixels, load_pictures, pick_evenly
from ..core.protocols import Features, Generator, PictureSource, Segmenter, as_classed, as_conditional
from ..core.sampling import check_num_samples, check_seed, make_rng
from ..core.types import check_type
from ..inference.batches import sample_blocks
from .distances import frechet_distance, kernel_distance
from .features import Encoder, encoder_features
from .inception import Inception
from .neighbors import density_coverage, nearest_ratio, precision_recall
from .results import INCEPTION_DIMS, Fidelity, Scores, SetScores

BATCH = 64
"""Pictures per batch."""

MAX_TRAIN, MAX_HELD_OUT = 10_000, 1_000
"""Maximum numbers of training pictures and of held-out pictures."""

NUM_DIMS = 64
"""Number of dimensions that a segmenter's features are projected to."""

MIN_HELD_OUT = 8
"""Minimum number of held-out pictures, for which the features keep two dimensions."""


class Yardstick:
    """The features of real pictures, against which generators are measured.

    Features are projected to ``num_dims`` dimensions by a fixed random rotation and divided by their standard deviation
    over the held-out pictures, since a covariance requires several times more pictures than dimensions.

    Args:
        network: Name of the feature network.
        features: Feature network.
        train: Training pictures, uint8 ``[n, 3, H, W]``, more than held-out pictures; copies of other training pictures
            go unnoticed.
        held_out: Held-out pictures, uint8 ``[n, 3, H, W]``.
        num_dims: Number of dimensions to keep, capped at a quarter of the number of held-out pictures. None keeps the
            features unchanged, as the definitions of FID and KID require.
        classes: Name of each held-out picture's class, ``n`` names; none without classes. A generator of these classes
            is then measured on images of the same classes, one for each held-out picture.

    Attributes:
        train: Features of the training pictures, float64 ``[n, d]``.
        held_out: Features of the held-out pictures, float64 ``[n, d]``.

    Raises:
        ValueError: If there are fewer than `MIN_HELD_OUT` held-out pictures, or not more training than held-out
            pictures.
    """

    def __init__(
        self,
        network: str,
        features: Features,
        train: UInt8[Tensor, "train 3 H W"],
        held_out: UInt8[Tensor, "held_out 3 H W"],
        num_dims: int | None = NUM_DIMS,
        classes: Sequence[str] = (),
    ) -> None:
        check_pixels(train)
        check_pixels(held_out)
        _check_counts(len(train), len(held_out))
        if len(classes) not in (0, len(held_out)):
            raise ValueError(f"classes must be one per held-out picture, {len(held_out)}; got {len(classes)}")
        self._classes = tuple(classes)
        self.network, self._network = network, features
        raw = self._run_network(_scale_batches(held_out))
        self._projection = None if num_dims is None else _Projection(raw, num_dims)
        self.held_out, self.train = self._project(raw), self._project(self._run_network(_scale_batches(train)))
        # The kernel depends on the origin: far from the pictures, it would compare little but their means.
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
        """Compute the features of real pictures, by a segmenter's encoder or by Inception.

        The features of a segmenter are the coarsest features of its encoder, averaged over the picture and projected to
        64 random dimensions, or to a quarter of the number of held-out pictures if that is less; hold out 256 pictures
        or more for all 64. The features of Inception are kept unchanged.

        Args:
            network: Segmenter with an encoder, such as ``segmenters.load("unet-scenes")``, or `Inception`.
            train: Pictures that the generator was trained on; copies of training pictures beyond ``max_train`` go
                unnoticed.
            held_out: Pictures that the generator was not trained on, at least `MIN_HELD_OUT`.
            max_train: Maximum number of training pictures, evenly spaced in ``train``.
            max_held_out: Maximum number of held-out pictures, evenly spaced in ``held_out``.

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
                f"there must be more training pictures than held-out pictures; got {num_train} and {num_held_out}; use "
                "more training pictures (max_train; num_real, --num-real, of a repair) or fewer held-out pictures "
                "(max_held_out; num_held_out, --num-held-out)"
            )
        _check_counts(num_train, num_held_out)
        real = load_pictures(train, max_train), load_pictures(held_out, max_held_out)
        num_dims = None if isinstance(network, Inception) else NUM_DIMS
        return cls(network.name, features, *real, num_dims, _name_classes(held_out, max_held_out))

    def extract_features(self, images: Float[Tensor, "batch 3 H W"]) -> Float64[Tensor, "batch feature"]:
        """Return the features of images, projected and scaled, for `compare`.

        Args:
            images: Images, float ``[n, 3, H, W]``, clamped to [-1, 1].

        Returns:
            Features, float64 ``[n, d]``, on CPU.

        Raises:
            ValueError: If ``images`` has the wrong dtype or shape.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(f"images must be float [n, 3, H, W] in [-1, 1]; got {images.dtype} {list(images.shape)}")
        return self._project(self._run_network(torch.split(images, BATCH)))

    def compare(
        self, features: Float[Tensor, "batch feature"], train: Float[Tensor, "train feature"] | None = None
    ) -> SetScores:
        """Score a set of pictures against the held-out pictures.

        The origin of the kernel distance is the mean of the held-out features, unless features are kept unchanged.

        Args:
            features: Features of the set from `extract_features`, float ``[n, d]``, n at least 4.
            train: Features of the training pictures among which the nearest is searched, float ``[m, d]``; by default
                all training pictures.

        Raises:
            ValueError: If the shapes do not match or a feature is not finite.
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
        """Score sets of generated pictures, and sets of training pictures of the same size.

        Args:
            generator: Generator of pictures of the same size as the real ones. If it draws from all classes of the
                held-out pictures, its images have these pictures' classes; otherwise those that ``sample_z`` draws.
            seed: Seed of the generated pictures and of the choice of training pictures.
            num_sets: Number of sets, at least 2; each has the size of the held-out set.

        Raises:
            ValueError: If there are fewer than 2 sets.
        """
        seed = check_seed(seed)
        if num_sets < 2:
            raise ValueError(f"num_sets must be at least 2; got {num_sets}")
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
        """Return the features of ``count`` random training pictures, to be scored, and of all others."""
        order = torch.randperm(len(self.train), generator=make_rng(seed, "fidelity", index), device="cpu")
        return self.train[order[:count]], self.train[order[count:]]

    def _generate_features(self, generator: Generator, seed: int, count: int, start: int) -> Tensor:
        sets = [range(start, start + count)]
        rows = sample_blocks(generator, sets, seed, BATCH, "samples", progress=False)
        images = (generator(self._give_classes(generator, z, block.start - start)) for block, z in rows)
        return self._project(self._run_network(images))

    def _give_classes(self, generator: Generator, z: Float[Tensor, "batch z"], first: int) -> Float[Tensor, "batch z"]:
        """Return rows with the classes of the held-out pictures from the first on, if the generator has these."""
        conditional = as_conditional(generator)
        if conditional is None or not set(self._classes) <= set(conditional.drawn) or not self._classes:
            return z
        indices = [conditional.classes.index(name) for name in self._classes[first : first + len(z)]]
        classes = torch.tensor(indices, dtype=torch.int64, device=z.device)
        one_hot = functional.one_hot(classes, len(conditional.classes)).to(z)
        return torch.cat([z[:, : -len(conditional.classes)], one_hot], dim=1)

    @torch.inference_mode()
    def _run_network(self, batches: Iterable[Tensor]) -> Tensor:
        return torch.cat([self._network(images.clamp(-1, 1)).cpu().double() for images in batches])

    def _project(self, raw: Tensor) -> Tensor:
        # The copy is made outside inference mode, so that it can be modified and differentiated.
        return raw.clone() if self._projection is None else self._projection(raw)

    def __repr__(self) -> str:
        pictures = f"{len(self.train):,} training and {len(self.held_out):,} held-out pictures"
        return f"Yardstick({self.network!r}, {self.train.shape[1]} dims, {pictures})"


@torch.inference_mode()
def count_dims(
    network: Segmenter | Encoder | Inception,
    held_out: PictureSource | UInt8[Tensor, "held_out 3 H W"],
    max_held_out: int = MAX_HELD_OUT,
) -> int:
    """Return the number of dimensions of a yardstick's features, computed from a single picture.

    Args:
        network: Segmenter with an encoder, or `Inception`.
        held_out: Held-out pictures of the yardstick.
        max_held_out: Maximum number of held-out pictures of the yardstick.
    """
    if isinstance(network, Inception):
        return INCEPTION_DIMS
    num_dims = encoder_features(network)(from_uint8(load_pictures(held_out, 1))).shape[1]
    return min(NUM_DIMS, num_dims, len(pick_evenly(held_out, max_held_out)) // 4)


class _Projection:
    """A fixed random rotation to fewer dimensions, each scaled to standard deviation 1 over the features ``raw``."""

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


def _name_classes(pictures: PictureSource | Tensor, limit: int) -> tuple[str, ...]:
    """Return the class of each picture that `load_pictures` returns; none without classes."""
    if isinstance(pictures, Tensor) or (classed := as_classed(pictures)) is None:
        return ()
    return tuple(classed.classes[index] for index in classed.class_indices[list(pick_evenly(pictures, limit))].tolist())


def _check_counts(num_train: int, num_held_out: int) -> None:
    """Raise ValueError with the remedy if there are too few pictures."""
    if num_held_out < MIN_HELD_OUT:
        raise ValueError(
            f"there must be at least {MIN_HELD_OUT} held-out pictures; got {num_held_out}; add pictures, or hold out a "
            "larger share (--hold-out)"
        )
    if num_train <= num_held_out:
        raise ValueError(
            f"there must be more training pictures than held-out pictures; got {num_train} and {num_held_out}; add "
            "training pictures (for scenes, scenes:1001 or more), or hold out a smaller share of folders (--hold-out)"
        )


def _scale_batches(pictures: Tensor) -> Iterator[Tensor]:
    """Yield uint8 pictures in batches, as float32 in [-1, 1]."""
    return map(from_uint8, torch.split(pictures, BATCH))
