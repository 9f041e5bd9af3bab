"""Settings of the trainings of translators with discriminators of patches: pix2pix and CycleGAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gandissect.core.ranges import Range

from .settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class TranslationSettings(TrainingSettings):
    """Settings of every training with discriminators of patches.

    Args:
        discriminator_width: Units of the first layer of a discriminator, doubled from layer to layer.
        halvings: Halvings of a discriminator's grid, which make its patches 16, 34 or 70 pixels wide with 1, 2 or 3.
    """

    discriminator_width: int = 32
    halvings: int = 2

    RANGES: ClassVar[dict[str, Range]] = TrainingSettings.RANGES | {
        "discriminator_width": Range(1, 8192, whole=True),
        "halvings": Range(1, 8, whole=True),
    }

    def __post_init__(self) -> None:
        TrainingSettings.__post_init__(self)  # super() does not work in a dataclass with slots before Python 3.14
        if self.resolution < 2 ** (self.halvings + 2):
            raise ValueError(
                f"halvings (--halvings) must be at most {self.resolution.bit_length() - 3} for {self.resolution} px; "
                f"got {self.halvings}"
            )


@dataclass(frozen=True, slots=True)
class Pix2PixSettings(TranslationSettings):
    """Settings of the training of a pix2pix.

    Args:
        architecture: Family of the generator, which determines its discriminator.
        resolution: Height and width of a picture in pixels.
        width: Units of the generator's first layer; they double each time the grid is halved, up to eight times as
            many.
        z_dim: Not used: a translator has no latent vector.
        seed: Seed of the initial weights and of every random draw; the same seed gives the same training.
        batch_size: Pairs per batch, over all processes together.
        images: Total number of pairs shown, counting repetitions; a larger number extends a training.
        optimizer: Optimizer of both networks: adam or rmsprop.
        learning_rate: Learning rate of both networks.
        beta1: Decay of Adam's running mean of gradients; RMSProp has none.
        beta2: Decay of the running mean of squared gradients.
        clip_gradient: Largest norm of a network's gradient, to which larger ones are scaled; 0 disables clipping.
        ema_half_life: Half-life of the averaged generator, which is the one that is saved, in pairs.
        decay_from: Share of the training after which the learning rate falls linearly to zero; 1 keeps it constant
            and allows extending the training later.
        resident: Decode every picture once and keep all of them on the device, cropped at the center and flipped at
            random; otherwise each picture is decoded when it is needed and cropped at random.
        bf16: Compute in bfloat16 where that is safe, which is faster on most hardware.
        discriminator_width: Units of the discriminator's first layer, doubled from layer to layer.
        halvings: Halvings of the discriminator's grid, which make its patches 16, 34 or 70 pixels wide with 1, 2 or 3.
        adversarial_weight: Weight of the discriminator in the generator's loss; 0 trains without one.
        l1_weight: Weight of the absolute error of the generator's images, in [-1, 1].

    Raises:
        ValueError: If a number is out of range; the message names the setting, its range and its option.
    """

    adversarial_weight: float = 1.0
    l1_weight: float = 100.0

    RANGES: ClassVar[dict[str, Range]] = TranslationSettings.RANGES | {
        "adversarial_weight": Range(0),
        "l1_weight": Range(0),
    }

    def __post_init__(self) -> None:
        TranslationSettings.__post_init__(self)
        if not (self.adversarial_weight or self.l1_weight):
            raise ValueError(
                "adversarial_weight (--adversarial-weight) or l1_weight (--l1-weight) must be above 0; got 0 for both"
            )


@dataclass(frozen=True, slots=True)
class CycleGANSettings(TranslationSettings):
    """Settings of the training of a CycleGAN.

    Args:
        architecture: Family of the generators, which determines their discriminators.
        resolution: Height and width of a picture in pixels.
        width: Units of a generator's first layer; they double each time the grid is halved.
        z_dim: Not used: a translator has no latent vector.
        seed: Seed of the initial weights and of every random draw; the same seed gives the same training.
        batch_size: Pictures of each domain per batch.
        images: Total number of pictures of each domain shown, counting repetitions; a larger number extends a training.
        optimizer: Optimizer of every network: adam or rmsprop.
        learning_rate: Learning rate of every network.
        beta1: Decay of Adam's running mean of gradients; RMSProp has none.
        beta2: Decay of the running mean of squared gradients.
        clip_gradient: Largest norm of a network's gradient, to which larger ones are scaled; 0 disables clipping.
        ema_half_life: Half-life of the averaged generators, which are the ones that are saved, in pictures.
        decay_from: Share of the training after which the learning rate falls linearly to zero; 1 keeps it constant
            and allows extending the training later.
        resident: Decode every picture once and keep all of them on the device, cropped at the center and flipped at
            random; otherwise each picture is decoded when it is needed and cropped at random.
        bf16: Compute in bfloat16 where that is safe, which is faster on most hardware.
        discriminator_width: Units of the first layer of a discriminator, doubled from layer to layer.
        halvings: Halvings of a discriminator's grid, which make its patches 16, 34 or 70 pixels wide with 1, 2 or 3.
        blocks: Number of residual blocks of a generator.
        cycle_weight: Weight of the absolute error of a picture that is translated and translated back.
        identity_weight: Weight of the absolute error of a picture of the domain that a generator translates to; 0
            omits it.
        pool_size: Number of earlier translations to each domain that are kept for its discriminator; 0 keeps none.

    Raises:
        ValueError: If a number is out of range; the message names the setting, its range and its option.
    """

    blocks: int = 6
    cycle_weight: float = 10.0
    identity_weight: float = 5.0
    pool_size: int = 50

    RANGES: ClassVar[dict[str, Range]] = TranslationSettings.RANGES | {
        "blocks": Range(1, 64, whole=True),
        "cycle_weight": Range(0),
        "identity_weight": Range(0),
        "pool_size": Range(0, 10_000, whole=True),
    }
