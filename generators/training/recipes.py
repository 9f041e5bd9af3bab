"""How a GAN is trained: the settings of a run, and for each architecture the ones to begin with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from gandissect.core.lookup import NamedChoices, check_choice, lookup
from gandissect.core.ranges import POSITIVE, Range, check_settings

from ..architectures.blocks import SIZES
from ..architectures.dcgan import SIZES as DCGAN_SIZES
from ..architectures.stylegan import MAX_DEPTH
from .augmentation import POLICIES

Architecture = Literal["dcgan", "progan", "stylegan", "stylegan2"]
Loss = Literal["logistic", "hinge", "wgan-gp"]


@dataclass(frozen=True, slots=True)
class GANSettings:
    """How a GAN is trained.

    Args:
        architecture: Family of the generator, which brings its discriminator.
        resolution: Height and width of an image in pixels.
        width: Units of the generator's last layer and of the discriminator's first; they double as the grid is halved.
        max_width: Most units that a layer has, whatever its grid; DCGAN has no such bound.
        z_dim: Length of a latent vector z; in architectures with styles, of w too.
        mapping_depth: Layers of the mapping network from z to w, in architectures with styles.
        seed: Seed of the first weights and of every random draw; the same seed gives the same training.
        batch_size: Images a step, over all processes together.
        images: Real images that are shown in all, repetitions counted; a larger number extends a training.
        learning_rate: Learning rate of Adam, for both networks.
        beta1: Decay of Adam's running mean of gradients.
        beta2: Decay of Adam's running mean of squared gradients.
        loss: Loss of both networks: ``logistic`` (non-saturating), ``hinge``, or ``wgan-gp`` (Wasserstein's, with a
            gradient penalty and drift).
        r1_gamma: Weight of the R1 penalty on the discriminator's gradient at full resolution, less in proportion to the
            pixels of smaller ones; 0 leaves the penalty out.
        r1_every: Steps from one R1 penalty to the next; each is scaled up by as much.
        augmentation: Policies of DiffAugment that change real and generated images alike, in order, of color,
            translation and cutout; none leaves images as they are.
        mixing: Share of images that are made of two latent vectors, in architectures with styles.
        start_resolution: Height and width of the images that a growing network begins with; None does not grow.
        hold_images: Images that are shown at each resolution but the last after it has been faded in.
        fade_images: Images during which a new resolution is faded in.
        clip_gradient: Largest norm of a network's gradient, to which larger ones are scaled; 0 does not clip.
        ema_half_life: Images after which the averaged generator, which is the one that is saved, has forgotten half.
        decay_from: Share of the training after which the learning rate falls linearly to zero; 1 keeps it, and lets the
            training be extended later.
        resident: Decode every picture once and keep all on the device, cropped at the center and flipped at random;
            otherwise each is decoded when its turn comes, and cropped at random.
        bf16: Compute in bfloat16 where that is safe, which is faster on most hardware.

    Raises:
        ValueError: If a number is out of range, naming the setting, its range and its option.
        KeyError: If an architecture, a loss or a policy is unknown.
    """

    architecture: Architecture = "dcgan"
    resolution: int = 64
    width: int = 64
    max_width: int = 512
    z_dim: int = 128
    mapping_depth: int = 8
    seed: int = 0
    batch_size: int = 64
    images: int = 1_000_000
    learning_rate: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    loss: Loss = "logistic"
    r1_gamma: float = 0.0
    r1_every: int = 16
    augmentation: tuple[str, ...] = ("color", "translation")
    mixing: float = 0.0
    start_resolution: int | None = None
    hold_images: int = 0
    fade_images: int = 0
    clip_gradient: float = 0.0
    ema_half_life: float = 10_000.0
    decay_from: float = 1.0
    resident: bool = False
    bf16: bool = True

    def __post_init__(self) -> None:
        check_choice(self.architecture, Architecture, "architecture")
        check_choice(self.loss, Loss, "loss")
        policies: object = self.augmentation
        if isinstance(policies, str):
            raise ValueError(
                f"augmentation (--augmentation) must be a tuple of {', '.join(POLICIES)}; got {policies!r}"
            )
        for policy in self.augmentation:
            lookup(POLICIES, policy, "augmentation")
        check_settings(self, _RANGES)
        for name in ("resident", "bf16"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} (--{name}) must be True or False; got {getattr(self, name)!r}")
        self._check_sizes()
        self._check_growth()

    def _check_sizes(self) -> None:
        sizes = DCGAN_SIZES if self.architecture == "dcgan" else SIZES
        if self.resolution not in sizes:
            raise ValueError(
                f"resolution (--resolution) must be one of {', '.join(map(str, sizes))} for {self.architecture}; "
                f"got {self.resolution}"
            )
        if self.architecture != "dcgan" and self.width > self.max_width:
            raise ValueError(
                f"width (--width) must be at most max_width (--max-width); got width {self.width}, max_width "
                f"{self.max_width}"
            )

    def _check_growth(self) -> None:
        if self.start_resolution is None:
            return
        if self.architecture not in GROWING:
            raise ValueError(f"{self.architecture} does not grow; leave start_resolution (--start-resolution) out")
        if self.start_resolution not in Range(8, self.resolution, whole=True) or self.start_resolution not in SIZES:
            raise ValueError(
                f"start_resolution (--start-resolution) must be a power of two from 8 to {self.resolution}, the "
                f"resolution; got {self.start_resolution!r}"
            )
        check_settings(self, {"hold_images": POSITIVE, "fade_images": POSITIVE})
        doublings = (self.resolution // self.start_resolution).bit_length() - 1
        grown = doublings * (self.hold_images + self.fade_images)
        if self.images <= grown:
            raise ValueError(
                f"images (--images) must be more than {grown}, which growing from {self.start_resolution} to "
                f"{self.resolution} px takes; got {self.images}; give more, or smaller hold_images and fade_images "
                "(--hold-images, --fade-images)"
            )

    @property
    def num_steps(self) -> int:
        """Steps in all."""
        return -(-self.images // self.batch_size)


_RANGES = {
    "resolution": POSITIVE,
    "width": Range(1, 8192, whole=True),
    "max_width": Range(1, 8192, whole=True),
    "z_dim": Range(1, 65536, whole=True),
    "mapping_depth": Range(1, MAX_DEPTH, whole=True),
    "seed": Range(whole=True),
    "batch_size": POSITIVE,
    "images": POSITIVE,
    "learning_rate": Range(0, 1, above=True),
    "beta1": Range(0, 1, below=True),
    "beta2": Range(0, 1, below=True),
    "r1_gamma": Range(0),
    "r1_every": POSITIVE,
    "mixing": Range(0, 1),
    "hold_images": Range(0, whole=True),
    "fade_images": Range(0, whole=True),
    "clip_gradient": Range(0),
    "ema_half_life": Range(0, above=True),
    "decay_from": Range(0, 1),
}

GROWING = frozenset({"progan", "stylegan"})
"""Architectures that can begin with small images."""

_GROWN = GANSettings(
    architecture="progan",
    width=16,
    max_width=128,
    batch_size=32,
    learning_rate=5e-3,
    beta1=0.0,
    beta2=0.99,
    r1_gamma=0.1,
    start_resolution=8,
    hold_images=6_000,
    fade_images=6_000,
    resident=True,
)
RECIPES: Mapping[str, GANSettings] = NamedChoices(
    "architecture",
    {
        "dcgan": GANSettings(),
        "progan": _GROWN,
        "stylegan": replace(_GROWN, architecture="stylegan", mixing=0.9),
        "stylegan2": replace(_GROWN, architecture="stylegan2", mixing=0.9, start_resolution=None),
    },
)
"""Settings to begin with, sized for a few hours on a CPU; more width wants a GPU, and a smaller learning rate."""
