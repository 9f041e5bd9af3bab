"""Settings of the training of UNIT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gandissect.core.ranges import Range

from .settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class UNITSettings(TrainingSettings):
    """Settings of the training of UNIT.

    Args:
        architecture: Family of the generator, which determines its discriminators.
        resolution: Height and width of a picture in pixels.
        width: Units of the generator's first layer; they double each time the grid is halved.
        z_dim: Not used: a translator has no latent vector.
        seed: Seed of the initial weights and of every random draw; the same seed gives the same training.
        batch_size: Pictures per batch, of all domains together.
        images: Total number of real pictures shown, counting repetitions; a larger number extends a training.
        optimizer: Optimizer of both networks: adam or rmsprop.
        learning_rate: Learning rate of both networks.
        beta1: Decay of Adam's running mean of gradients; RMSProp has none.
        beta2: Decay of the running mean of squared gradients.
        clip_gradient: Largest norm of a network's gradient, to which larger ones are scaled; 0 disables clipping.
        ema_half_life: Half-life of the averaged generator, which is the one that is saved, in pictures.
        decay_from: Share of the training after which the learning rate falls linearly to zero; 1 keeps it constant
            and allows extending the training later.
        resident: Decode every picture once and keep all of them on the device, cropped at the center and flipped at
            random; otherwise each picture is decoded when it is needed and cropped at random.
        bf16: Compute in bfloat16 where that is safe, which is faster on most hardware.
        blocks: Number of residual blocks of a domain's own, in its encoder and again in its decoder.
        discriminator_width: Units of the first layer of the discriminators.
        adversarial_weight: Weight of the discriminators of pictures in the generator's loss.
        divergence_weight: Weight of the Kullback-Leibler divergence of codes from N(0, 1), averaged over their entries.
        reconstruction_weight: Weight of the error of a picture that is encoded and decoded.
        cycle_weight: Weight of the error of a picture that is translated and translated back; 0 omits it.
        domain_weight: Weight of hiding a picture's domain from a classifier of codes, which is trained too; 0 omits
            both.
        semantic_weight: Weight of the distance between the codes of a picture and of its translation; 0 omits it.

    Raises:
        ValueError: If a number is out of range; the message names the setting, its range and its option.
    """

    blocks: int = 2
    discriminator_width: int = 32
    adversarial_weight: float = 1.0
    divergence_weight: float = 0.02
    reconstruction_weight: float = 10.0
    cycle_weight: float = 10.0
    domain_weight: float = 0.0
    semantic_weight: float = 0.0

    RANGES: ClassVar[dict[str, Range]] = TrainingSettings.RANGES | {
        "blocks": Range(0, 64, whole=True),
        "discriminator_width": Range(1, 8192, whole=True),
        "adversarial_weight": Range(0),
        "divergence_weight": Range(0),
        "reconstruction_weight": Range(0),
        "cycle_weight": Range(0),
        "domain_weight": Range(0),
        "semantic_weight": Range(0),
    }
