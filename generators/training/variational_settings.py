"""Settings of the trainings with an encoder of distributions: VAE and VAE-GAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gandissect.core.ranges import Range

from .settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class VariationalSettings(TrainingSettings):
    """Settings of every training with an encoder of distributions.

    Args:
        warm_up_images: Images during which the weight of the Kullback-Leibler divergence moves to 1.
        first_weight: Weight of the divergence at the start; above 1, the encoder begins with few, independent latent
            units.
    """

    warm_up_images: int = 0
    first_weight: float = 0.0

    RANGES: ClassVar[dict[str, Range]] = TrainingSettings.RANGES | {
        "warm_up_images": Range(0, whole=True),
        "first_weight": Range(0),
    }


@dataclass(frozen=True, slots=True)
class VAESettings(VariationalSettings):
    """Settings of a variational autoencoder's training.

    Args:
        architecture: Family of the generator, which determines the other networks.
        resolution: Height and width of an image in pixels.
        width: Units of the decoder's last layer and of the encoder's first; they double each time the grid is halved.
        z_dim: Length of a latent vector z.
        seed: Seed of the initial weights and of every random draw; the same seed gives the same training.
        batch_size: Images per batch, over all processes together.
        images: Total number of real images shown, counting repetitions; a larger number extends a training.
        optimizer: Optimizer of every network: adam or rmsprop.
        learning_rate: Learning rate of every network.
        beta1: Decay of Adam's running mean of gradients; RMSProp has none.
        beta2: Decay of the running mean of squared gradients.
        clip_gradient: Largest norm of a network's gradient, to which larger ones are scaled; 0 disables clipping.
        ema_half_life: Half-life of the averaged networks, which are the ones that are saved, in images.
        decay_from: Share of the training after which the learning rate falls linearly to zero; 1 keeps it constant
            and allows extending the training later.
        resident: Decode every picture once and keep all of them on the device, cropped at the center and flipped at
            random; otherwise each picture is decoded when it is needed and cropped at random.
        bf16: Compute in bfloat16 where that is safe, which is faster on most hardware.
        warm_up_images: Images during which the weight of the Kullback-Leibler divergence moves to 1.
        first_weight: Weight of the divergence at the start; above 1, the encoder begins with few, independent latent
            units.

    Raises:
        ValueError: If a number is out of range; the message names the setting, its range and its option.
    """


@dataclass(frozen=True, slots=True)
class VAEGANSettings(VariationalSettings):
    """Settings of a VAE-GAN's training.

    Args:
        architecture: Family of the generator, which determines the other networks.
        resolution: Height and width of an image in pixels.
        width: Units of the decoder's last layer, and of the encoder's and the discriminator's first; they double each
            time the grid is halved.
        z_dim: Length of a latent vector z.
        seed: Seed of the initial weights and of every random draw; the same seed gives the same training.
        batch_size: Images per batch, over all processes together.
        images: Total number of real images shown, counting repetitions; a larger number extends a training.
        optimizer: Optimizer of every network: adam or rmsprop.
        learning_rate: Learning rate of every network.
        beta1: Decay of Adam's running mean of gradients; RMSProp has none.
        beta2: Decay of the running mean of squared gradients.
        clip_gradient: Largest norm of a network's gradient, to which larger ones are scaled; 0 disables clipping.
        ema_half_life: Half-life of the averaged networks, which are the ones that are saved, in images.
        decay_from: Share of the training after which the learning rate falls linearly to zero; 1 keeps it constant
            and allows extending the training later.
        resident: Decode every picture once and keep all of them on the device, cropped at the center and flipped at
            random; otherwise each picture is decoded when it is needed and cropped at random.
        bf16: Compute in bfloat16 where that is safe, which is faster on most hardware.
        warm_up_images: Images during which the weight of the Kullback-Leibler divergence moves to 1.
        first_weight: Weight of the divergence at the start; above 1, the encoder begins with few, independent latent
            units.
        likelihood_weight: Weight of the likelihood of the discriminator's features in the decoder's loss; the rest is
            the weight of the adversarial loss.
        min_discriminator_loss: Loss in nats below which the discriminator skips its update; 0 skips none, and log 2 is
            the loss of a discriminator that sees no difference.

    Raises:
        ValueError: If a number is out of range; the message names the setting, its range and its option.
    """

    likelihood_weight: float = 3e-3
    min_discriminator_loss: float = 0.4

    RANGES: ClassVar[dict[str, Range]] = VariationalSettings.RANGES | {
        "likelihood_weight": Range(0, 1),
        "min_discriminator_loss": Range(0),
    }
