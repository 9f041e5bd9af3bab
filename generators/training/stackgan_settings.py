"""Settings of a StackGAN's training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from gandissect.core.lookup import lookup
from gandissect.core.ranges import POSITIVE, Range

from ..architectures.stackgan import SIZES
from .augmentation import POLICIES
from .settings import TrainingSettings

Phase = Literal["captions", "first", "second"]


@dataclass(frozen=True, slots=True)
class StackGANSettings(TrainingSettings):
    """Settings of a StackGAN's training, in three phases: encoders of captions and pictures, stage I, stage II.

    Args:
        architecture: Family of the generator, which determines the other networks.
        resolution: Height and width of an image in pixels; stage I makes half of it.
        width: Units of each stage's last layer and of the first layer of the picture encoder and the discriminator of
            stage II; that of stage I, whose pictures are smaller, has twice as many.
        z_dim: Length of z, the noise beside that of the codes.
        seed: Seed of the initial weights and of every random draw; the same seed gives the same training.
        batch_size: Images per batch.
        images: Total number of real images shown, counting repetitions, over all phases; a larger number extends the
            last phase.
        optimizer: Optimizer of every network: adam or rmsprop.
        learning_rate: Learning rate of every network, except in the first phase.
        beta1: Decay of Adam's running mean of gradients; RMSProp has none.
        beta2: Decay of the running mean of squared gradients.
        clip_gradient: Largest norm of a network's gradient, to which larger ones are scaled; 0 disables clipping.
        ema_half_life: Half-life of the averaged generator, which is the one that is saved, in images.
        decay_from: Share after which the learning rate falls linearly to zero, of each of the first two phases and, in
            the last one, of the whole training; 1 keeps it constant and allows extending the training later.
        resident: Decode every picture once and keep all of them on the device, flipped at random; otherwise each
            picture is decoded when it is needed.
        bf16: Compute in bfloat16 where that is safe, which is faster on most hardware.
        caption_dim: Length of the embedding of a caption.
        code_dim: Length of a code of conditioning augmentation, and of its noise eps.
        text_dim: Length to which discriminators compress the embedding of a caption.
        caption_images: Images of the first phase, in which the encoders of captions and pictures learn to match.
        caption_learning_rate: Learning rate of the first phase.
        first_images: Images of the second phase, in which stage I learns; stage II learns from the rest.
        divergence_weight: Weight of the Kullback-Leibler divergence of codes from N(0, 1), which is summed over their
            entries.
        augmentation: Policies of DiffAugment that change real and generated images alike, in order: color, translation,
            cutout; captions name colors, which color changes.

    Raises:
        ValueError: If a number is out of range; the message names the setting, its range and its option.
        KeyError: If a choice is unknown.
    """

    caption_dim: int = 128
    code_dim: int = 32
    text_dim: int = 32
    caption_images: int = 100_000
    caption_learning_rate: float = 1e-3
    first_images: int = 300_000
    divergence_weight: float = 0.02
    augmentation: tuple[str, ...] = ("translation",)

    RANGES: ClassVar[dict[str, Range]] = TrainingSettings.RANGES | {
        "caption_dim": Range(1, 65536, whole=True),
        "code_dim": Range(1, 65536, whole=True),
        "text_dim": Range(1, 65536, whole=True),
        "caption_images": POSITIVE,
        "caption_learning_rate": Range(0, 1, above=True),
        "first_images": POSITIVE,
        "divergence_weight": Range(0),
    }

    def __post_init__(self) -> None:
        for policy in self.augmentation:
            lookup(POLICIES, policy, "augmentation")
        TrainingSettings.__post_init__(self)  # super() does not work in a dataclass with slots before Python 3.14
        if self.images <= self.second_from:
            raise ValueError(
                f"images (--images) must be more than {self.second_from}, which the phases before stage II take; got "
                f"{self.images}; use more images, or smaller caption_images and first_images (--caption-images, "
                "--first-images)"
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Resolutions that the architecture has."""
        return SIZES

    @property
    def second_from(self) -> int:
        """Number of images after which stage II learns."""
        return self.caption_images + self.first_images

    def phase_at(self, images_seen: int) -> Phase:
        """Return the phase after a number of images."""
        if images_seen < self.caption_images:
            return "captions"
        return "first" if images_seen < self.second_from else "second"

    def rate_at(self, images_seen: int) -> float:
        """Return the learning rate of all networks after a number of images, in the first two phases."""
        is_first = images_seen < self.caption_images
        into = images_seen - (0 if is_first else self.caption_images)
        left = 1 - into / (self.caption_images if is_first else self.first_images)
        rate = self.caption_learning_rate if is_first else self.learning_rate
        return rate * (1.0 if self.decay_from == 1 else min(1.0, left / (1 - self.decay_from)))
