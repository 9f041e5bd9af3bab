"""How a generator is trained: the settings of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

from gandissect.core.lookup import check_choice, lookup
from gandissect.core.ranges import POSITIVE, Range, check_settings

from ..architectures.blocks import SIZES
from ..architectures.cogan import check_own_layers
from ..architectures.dcgan import SIZES as DCGAN_SIZES
from ..architectures.mlp import SIZES as MLP_SIZES
from ..architectures.stylegan import MAX_DEPTH
from .augmentation import POLICIES

Loss = Literal["logistic", "minimax", "least-squares", "hinge", "wasserstein", "wgan-gp"]
OptimizerName = Literal["adam", "rmsprop"]

GROWING = frozenset({"progan", "stylegan"})
"""Architectures that can begin with small images."""
BOUNDED = frozenset({"biggan", "gan", "progan", "sagan", "stylegan", "stylegan2"})
"""Architectures whose layers have at most ``max_width`` units."""
STYLED = ("stylegan", "stylegan2")
USED_BY: Mapping[str, tuple[str, ...]] = {
    "gray": ("agecgan", "gan", "cgan", "cogan"),
    "own_layers": ("cogan",),
    "mapping_depth": STYLED,
    "mixing": STYLED,
    "embedding_dim": ("biggan",),
    "orthogonal_weight": ("sagan", "biggan"),
    "feature_matching": ("gan", "dcgan"),
    "minibatch_kernels": ("gan", "dcgan", "egan"),
    "virtual_batch_norm": ("gan", "dcgan", "egan"),
}
"""Architectures that use a setting, if not all do."""


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Settings that every training has, whatever its losses.

    Args:
        architecture: Family of the generator, which determines the other networks.
        resolution: Height and width of an image in pixels.
        width: Units of the generator's last layer; they double each time the grid is halved.
        z_dim: Length of a latent vector z.
        seed: Seed of the initial weights and of every random draw; the same seed gives the same run.
        batch_size: Images per batch, over all processes together.
        images: Total number of real images shown, counting repetitions; a larger number extends a training run.
        optimizer: Optimizer of every network: adam or rmsprop.
        learning_rate: Learning rate of every network.
        beta1: Decay of Adam's running mean of gradients; RMSProp has none.
        beta2: Decay of the running mean of squared gradients.
        clip_gradient: Largest norm of a network's gradient, to which larger ones are scaled; 0 disables clipping.
        ema_half_life: Half-life of the averaged generator, which is the one that is saved, in images.
        decay_from: Share of the training after which the learning rate falls linearly to zero; 1 keeps it constant
            and allows extending the training later.
        resident: Decode every picture once and keep all of them on the device, cropped at the center and flipped at
            random; otherwise each picture is decoded when it is needed and cropped at random.
        bf16: Compute in bfloat16 where that is safe, which is faster on most hardware.

    Raises:
        ValueError: If a number is out of range; the message names the setting, its range and its option.
        KeyError: If a choice is unknown.
    """

    architecture: str = "dcgan"
    resolution: int = 64
    width: int = 64
    z_dim: int = 128
    seed: int = 0
    batch_size: int = 64
    images: int = 1_000_000
    optimizer: OptimizerName = "adam"
    learning_rate: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    clip_gradient: float = 0.0
    ema_half_life: float = 10_000.0
    decay_from: float = 1.0
    resident: bool = False
    bf16: bool = True

    RANGES: ClassVar[dict[str, Range]] = {
        "resolution": POSITIVE,
        "width": Range(1, 8192, whole=True),
        "z_dim": Range(1, 65536, whole=True),
        "seed": Range(whole=True),
        "batch_size": POSITIVE,
        "images": POSITIVE,
        "learning_rate": Range(0, 1, above=True),
        "beta1": Range(0, 1, below=True),
        "beta2": Range(0, 1, below=True),
        "clip_gradient": Range(0),
        "ema_half_life": Range(0, above=True),
        "decay_from": Range(0, 1),
    }

    SWITCHES: ClassVar[tuple[str, ...]] = ()
    """Further settings that are True or False."""

    def __post_init__(self) -> None:
        check_choice(self.optimizer, OptimizerName, "optimizer")
        check_settings(self, self.RANGES)
        for name in ("resident", "bf16", *self.SWITCHES):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(
                    f"{name} (--{name.replace('_', '-')}) must be True or False; got {getattr(self, name)!r}"
                )
        if self.resolution not in (sizes := self.sizes):
            raise ValueError(
                f"resolution (--resolution) must be one of {', '.join(map(str, sizes))} for {self.architecture}; "
                f"got {self.resolution}"
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Resolutions that the architecture has."""
        return DCGAN_SIZES

    @property
    def images_per_step(self) -> int:
        """Real images that one step shows."""
        return self.batch_size

    @property
    def num_steps(self) -> int:
        """Number of steps of the whole training."""
        return -(-self.images // self.images_per_step)

    def learning_rate_of(self, network: str) -> float:  # noqa: ARG002
        """Return the learning rate of a network at the start."""
        return self.learning_rate


@dataclass(frozen=True, slots=True)
class GANSettings(TrainingSettings):
    """Settings of a GAN's training.

    Args:
        architecture: Family of the generator, which determines its discriminator.
        resolution: Height and width of an image in pixels.
        width: Units of the generator's last layer and of the discriminator's first; they double each time the grid is
            halved.
        z_dim: Length of a latent vector z, without the class; in architectures with styles, of w too.
        seed: Seed of the initial weights and of every random draw; the same seed gives the same run.
        batch_size: Images per batch, over all processes together.
        images: Total number of real images shown, counting repetitions; a larger number extends a training run.
        optimizer: Optimizer of both networks: adam or rmsprop.
        learning_rate: Learning rate of both networks, unless the discriminator has its own.
        beta1: Decay of Adam's running mean of gradients; RMSProp has none.
        beta2: Decay of the running mean of squared gradients.
        clip_gradient: Largest norm of a network's gradient, to which larger ones are scaled; 0 disables clipping.
        ema_half_life: Half-life of the averaged generator, which is the one that is saved, in images.
        decay_from: Share of the training after which the learning rate falls linearly to zero; 1 keeps it constant
            and allows extending the training later.
        resident: Decode every picture once and keep all of them on the device, cropped at the center and flipped at
            random; otherwise each picture is decoded when it is needed and cropped at random.
        bf16: Compute in bfloat16 where that is safe, which is faster on most hardware.
        max_width: Largest number of units of a layer, whatever its grid; DCGAN has no such bound.
        gray: Generate and judge gray images, in the architectures gan, cgan, cogan and agecgan.
        own_layers: Last layers that each domain has of its own, besides the output, in the architecture cogan.
        mapping_depth: Layers of the mapping network from z to w, in architectures with styles.
        loss: Loss of both networks: logistic (non-saturating), minimax, least-squares, hinge, wasserstein (with clipped
            weights), or wgan-gp (Wasserstein with a gradient penalty).
        discriminator_learning_rate: Learning rate of the discriminator, if it differs.
        discriminator_turns: Updates of the discriminator per update of the generator, each on its own pictures.
        discriminator_norm: Normalization of DCGAN's discriminator: batch or none; the gradient penalty of
            wgan-gp is defined per image, which batch norm contradicts.
        clip_weights: Bound to which every weight of the discriminator is clipped after its update, with the loss
            wasserstein.
        penalty_weight: Weight of the gradient penalty of wgan-gp.
        drift_weight: Weight of the drift penalty of wgan-gp, the mean squared logit of real images.
        r1_gamma: Weight of the R1 penalty on the discriminator's gradient at full resolution, less in proportion to the
            pixels of smaller ones; 0 omits the penalty.
        r1_every: Steps from one R1 penalty to the next; each is scaled up accordingly.
        augmentation: Policies of DiffAugment that change real and generated images alike, in order: color, translation,
            cutout; none leaves images unchanged.
        mixing: Share of images that are generated from two latent vectors, in architectures with styles.
        start_resolution: Height and width of the images that a growing network starts with; None disables growth.
        hold_images: Images shown at each resolution but the last after it has been faded in.
        fade_images: Images during which a new resolution is faded in.
        feature_matching: Train the generator to match the mean of the discriminator's last hidden layer over real
            images, instead of its loss; in the architectures gan and dcgan.
        minibatch_kernels: Number of kernels of minibatch discrimination, which shows the discriminator how similar
            the images of a batch are (100 in the paper); 0 omits it. In the architectures gan, dcgan and egan.
        label_smoothing: Amount by which the discriminator's target for real images is below 1 (0.1 in the paper), with
            the losses logistic and minimax.
        historical_averaging: Weight of the squared distance of each network's weights from their mean over the past;
            0 omits it.
        virtual_batch_norm: Normalize each generated image by a fixed reference batch and itself instead of its batch,
            in the architectures gan, dcgan and egan.
        embedding_dim: Length of the embedding of a class, in the architecture biggan.
        orthogonal_weight: Weight of the penalty on inner products between the weights of a layer's units in the
            generator (1e-4 in the paper); 0 omits it. In the architectures sagan and biggan.

    Raises:
        ValueError: If a number is out of range; the message names the setting, its range and its option.
        KeyError: If an architecture, a loss or a policy is unknown.
    """

    max_width: int = 512
    gray: bool = False
    own_layers: int = 1
    mapping_depth: int = 8
    loss: Loss = "logistic"
    discriminator_learning_rate: float | None = None
    discriminator_turns: int = 1
    discriminator_norm: Literal["batch", "none"] = "batch"
    clip_weights: float = 0.01
    penalty_weight: float = 10.0
    drift_weight: float = 1e-3
    r1_gamma: float = 0.0
    r1_every: int = 16
    augmentation: tuple[str, ...] = ("color", "translation")
    mixing: float = 0.0
    start_resolution: int | None = None
    hold_images: int = 0
    fade_images: int = 0
    feature_matching: bool = False
    minibatch_kernels: int = 0
    label_smoothing: float = 0.0
    historical_averaging: float = 0.0
    virtual_batch_norm: bool = False
    embedding_dim: int = 32
    orthogonal_weight: float = 0.0

    RANGES: ClassVar[dict[str, Range]] = TrainingSettings.RANGES | {
        "max_width": Range(1, 8192, whole=True),
        "own_layers": Range(0, 8, whole=True),
        "mapping_depth": Range(1, MAX_DEPTH, whole=True),
        "discriminator_turns": POSITIVE,
        "clip_weights": Range(0, above=True),
        "penalty_weight": Range(0),
        "drift_weight": Range(0),
        "r1_gamma": Range(0),
        "r1_every": POSITIVE,
        "mixing": Range(0, 1),
        "hold_images": Range(0, whole=True),
        "fade_images": Range(0, whole=True),
        "minibatch_kernels": Range(0, 1024, whole=True),
        "label_smoothing": Range(0, 0.5),
        "historical_averaging": Range(0),
        "embedding_dim": Range(1, 65536, whole=True),
        "orthogonal_weight": Range(0),
    }

    SWITCHES: ClassVar[tuple[str, ...]] = ("gray", "feature_matching", "virtual_batch_norm")

    def __post_init__(self) -> None:
        check_choice(self.loss, Loss, "loss")
        policies: object = self.augmentation
        if isinstance(policies, str):
            raise ValueError(
                f"augmentation (--augmentation) must be a tuple of {', '.join(POLICIES)}; got {policies!r}"
            )
        for policy in self.augmentation:
            lookup(POLICIES, policy, "augmentation")
        TrainingSettings.__post_init__(self)  # super() does not work in a dataclass with slots before Python 3.14
        if self.discriminator_learning_rate is not None:
            check_settings(self, {"discriminator_learning_rate": TrainingSettings.RANGES["learning_rate"]})
        if self.architecture in BOUNDED and self.width > self.max_width:
            raise ValueError(
                f"width (--width) must be at most max_width (--max-width); got width {self.width}, max_width "
                f"{self.max_width}"
            )
        if self.architecture == "cogan":
            check_own_layers(self.resolution, self.own_layers)
        self._check_growth()
        self._check_techniques()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Resolutions that the architecture has."""
        if self.architecture == "gan":
            return MLP_SIZES
        return SIZES if self.architecture in BOUNDED else DCGAN_SIZES

    @property
    def images_per_step(self) -> int:
        """Real images that one step shows, over all turns of the discriminator."""
        return self.batch_size * self.discriminator_turns

    def learning_rate_of(self, network: str) -> float:
        """Return the learning rate of a network at the start."""
        own = self.discriminator_learning_rate if network == "discriminator" else None
        return self.learning_rate if own is None else own

    def _check_techniques(self) -> None:
        """Check that the architecture and the loss use the settings that are not at their defaults."""
        defaults = {field.name: field.default for field in fields(GANSettings)}
        for name, architectures in USED_BY.items():
            if getattr(self, name) != defaults[name] and self.architecture not in architectures:
                raise ValueError(
                    f"{name} (--{name.replace('_', '-')}) needs the architecture {' or '.join(architectures)}; got "
                    f"{self.architecture}"
                )
        if self.label_smoothing and self.loss not in ("logistic", "minimax"):
            raise ValueError(f"label_smoothing (--label-smoothing) needs the loss logistic or minimax; got {self.loss}")
        if self.virtual_batch_norm and self.resolution == 1:
            raise ValueError(
                "virtual_batch_norm (--virtual-batch-norm) needs images; the generator of points has no norm"
            )

    def _check_growth(self) -> None:
        if self.start_resolution is None:
            return
        if self.architecture not in GROWING:
            raise ValueError(f"{self.architecture} does not grow; omit start_resolution (--start-resolution)")
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
                f"{self.resolution} px takes; got {self.images}; use more images, or smaller hold_images and "
                "fade_images (--hold-images, --fade-images)"
            )
