"""Settings of an Age-cGAN's training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gandissect.core.ranges import POSITIVE, Range

from .settings import GANSettings


@dataclass(frozen=True, slots=True)
class AgeCGANSettings(GANSettings):
    """Settings of an Age-cGAN's training: those of a GAN in the first phase, and of the encoder in the second.

    Args:
        gan_images: Images of the first phase, in which generator and discriminator learn; in the second phase, the
            encoder learns from generated images, one per image that remains. The learning rate falls from the share
            ``decay_from`` of either phase; a training is extended in its second phase.
        encoder_width: Units of the encoder's first layer, which double each time the grid is halved.
        encoder_learning_rate: Learning rate of the encoder.

    Raises:
        ValueError: If a number is out of range; the message names the setting, its range and its option.
        KeyError: If an architecture, a loss or a policy is unknown.
    """

    gan_images: int = 300_000
    encoder_width: int = 32
    encoder_learning_rate: float = 1e-3

    RANGES: ClassVar[dict[str, Range]] = GANSettings.RANGES | {
        "gan_images": POSITIVE,
        "encoder_width": Range(1, 8192, whole=True),
        "encoder_learning_rate": Range(0, 1, above=True),
    }

    def __post_init__(self) -> None:
        GANSettings.__post_init__(self)
        if self.images <= self.gan_images:
            raise ValueError(
                "images (--images) must be more than gan_images (--gan-images), so that the encoder learns; got "
                f"images {self.images}, gan_images {self.gan_images}"
            )

    def learning_rate_of(self, network: str) -> float:
        """Return the learning rate of a network at the start."""
        return self.encoder_learning_rate if network == "encoder" else GANSettings.learning_rate_of(self, network)

    def is_gan_phase(self, images_seen: int) -> bool:
        """Return whether the GAN learns after a number of images, and not yet the encoder."""
        return images_seen < self.gan_images

    def decay_after(self, images_seen: int) -> float:
        """Return the share of the learning rate after a number of images; it falls to zero in either phase."""
        first, last = (0, self.gan_images) if self.is_gan_phase(images_seen) else (self.gan_images, self.images)
        left = (last - images_seen) / (last - first)
        return 1.0 if self.decay_from == 1 else min(1.0, left / (1 - self.decay_from))
