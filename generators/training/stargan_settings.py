"""Settings of a StarGAN's training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gandissect.core.ranges import POSITIVE, Range, check_settings

from .settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class StarGANSettings(TrainingSettings):
    """Settings of a StarGAN's training.

    Args:
        architecture: Family of the generator, which determines its discriminator.
        resolution: Height and width of a picture in pixels.
        width: Units of the generator's first layer; they double each time the grid is halved.
        z_dim: Not used: a translator has no latent vector.
        seed: Seed of the initial weights and of every random draw; the same seed gives the same training.
        batch_size: Pictures per batch, of all domains, over all processes together.
        images: Total number of real pictures shown, counting repetitions; a larger number extends a training.
        optimizer: Optimizer of both networks: adam or rmsprop.
        learning_rate: Learning rate of both networks, unless the discriminator has its own.
        beta1: Decay of Adam's running mean of gradients; RMSProp has none.
        beta2: Decay of the running mean of squared gradients.
        clip_gradient: Largest norm of a network's gradient, to which larger ones are scaled; 0 disables clipping.
        ema_half_life: Half-life of the averaged generator, which is the one that is saved, in pictures.
        decay_from: Share of the training after which the learning rate falls linearly to zero; 1 keeps it constant
            and allows extending the training later.
        resident: Decode every picture once and keep all of them on the device, cropped at the center and flipped at
            random; otherwise each picture is decoded when it is needed and cropped at random.
        bf16: Compute in bfloat16 where that is safe, which is faster on most hardware.
        blocks: Number of residual blocks of the generator (6 in the paper).
        discriminator_width: Units of the discriminator's first layer, doubled from layer to layer.
        discriminator_learning_rate: Learning rate of the discriminator, if it differs.
        discriminator_turns: Updates of the discriminator per update of the generator, each on its own pictures (5 in
            the paper).
        penalty_weight: Weight of the penalty on the discriminator's gradient (10 in the paper).
        domain_weight: Weight of the classification of domains, in the losses of both networks (1 in the paper).
        cycle_weight: Weight of the error of a picture that is translated and translated back (10 in the paper).

    Raises:
        ValueError: If a number is out of range; the message names the setting, its range and its option.
    """

    blocks: int = 4
    discriminator_width: int = 32
    discriminator_learning_rate: float | None = None
    discriminator_turns: int = 1
    penalty_weight: float = 10.0
    domain_weight: float = 1.0
    cycle_weight: float = 10.0

    RANGES: ClassVar[dict[str, Range]] = TrainingSettings.RANGES | {
        "blocks": Range(1, 64, whole=True),
        "discriminator_width": Range(1, 8192, whole=True),
        "discriminator_turns": POSITIVE,
        "penalty_weight": Range(0),
        "domain_weight": Range(0),
        "cycle_weight": Range(0),
    }

    def __post_init__(self) -> None:
        TrainingSettings.__post_init__(self)  # super() does not work in a dataclass with slots before Python 3.14
        if self.discriminator_learning_rate is not None:
            check_settings(self, {"discriminator_learning_rate": TrainingSettings.RANGES["learning_rate"]})

    @property
    def images_per_step(self) -> int:
        """Real pictures that one step shows, over all turns of the discriminator."""
        return self.batch_size * self.discriminator_turns

    def learning_rate_of(self, network: str) -> float:
        """Return the learning rate of a network at the start."""
        own = self.discriminator_learning_rate if network == "discriminator" else None
        return self.learning_rate if own is None else own


STARGAN = StarGANSettings(
    architecture="stargan",
    width=16,
    batch_size=8,
    learning_rate=1e-3,  # the paper's 1e-4 is for 200,000 steps
    discriminator_learning_rate=5e-4,
    ema_half_life=2_000.0,
    resident=True,
)
"""Settings to begin with."""
