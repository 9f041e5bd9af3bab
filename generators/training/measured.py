"""What a variational autoencoder is worth on pictures: the bound on their log density, its parts, and its errors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from gandissect.core.images import from_uint8
from gandissect.core.sampling import make_rng

from ..architectures.base import LayeredGenerator
from ..architectures.encoder import Encoder, Posterior
from .draws import Draws
from .pictures import to_images
from .variational import Bound, active_units, bound, divergence, divergence_from

BATCH = 64
NUM_MEASURED = 1_000
"""Held-out pictures that an autoencoder is measured on."""
NUM_FITTED = 5_000
"""Training pictures that the prior is fitted to."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of an autoencoder on pictures.

    Attributes:
        bound: Evidence lower bound, with the most likely variance of the pixels, and one draw of the latent
            vector per picture.
        divergence: Mean Kullback-Leibler divergence of the posteriors from the prior, in nats.
        standard_divergence: The same from the standard normal distribution.
        reconstruction_mse: Mean squared error of the posterior means' images, in [-1, 1].
        mean_picture_mse: Mean squared error of the mean picture, which a reconstruction must be well below.
        active_units: Latent units, in rows, that depend on the picture.
    """

    bound: Bound
    divergence: float
    standard_divergence: float
    reconstruction_mse: float
    mean_picture_mse: float
    active_units: int

    @property
    def figures(self) -> dict[str, float]:
        """The figures by their names in metrics and on cards."""
        return {
            "elbo": self.bound.nats,
            "bits_per_dim": self.bound.bits_per_dim,
            "divergence": self.divergence,
            "standard_divergence": self.standard_divergence,
            "reconstruction_mse": self.reconstruction_mse,
            "mean_picture_mse": self.mean_picture_mse,
            "active_units": self.active_units,
        }


@torch.inference_mode()
def measure_autoencoder(
    generator: LayeredGenerator,
    encoder: Encoder,
    pictures: UInt8[Tensor, "picture 3 H W"],
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Measured:
    """Return an autoencoder's figures on pictures.

    Args:
        generator: Decoder in eval mode.
        encoder: Encoder in eval mode.
        pictures: Pictures, which for an honest bound were not trained on.
        seed: Seed of the draws from the posteriors.
        device: Device of both networks.
    """
    noise = Draws(make_rng(seed, "measure"), len(pictures)).normal(generator.noise_dim)
    rows, drawn, direct, divergences, standard = [], [], [], [], []
    for part, numbers in zip(torch.split(pictures, BATCH), torch.split(noise, BATCH), strict=True):
        images = to_images(part.to(device))
        posterior = encoder(images)
        divergences.append(divergence_from(posterior, encoder.prior).double())
        standard.append(divergence(posterior).double())
        rows.append(encoder.prior.to_rows(posterior.mean))
        latents = encoder.prior.to_rows(posterior.sample(numbers.to(device)))
        drawn.append(_squared_errors(generator(latents), images))
        direct.append(_squared_errors(generator(rows[-1]), images))
    nats = float(torch.cat(divergences).mean())
    return Measured(
        bound=bound(float(torch.cat(drawn).mean()), nats, pictures[0].numel()),
        divergence=nats,
        standard_divergence=float(torch.cat(standard).mean()),
        reconstruction_mse=float(torch.cat(direct).mean()),
        mean_picture_mse=float(from_uint8(pictures).double().var(0, correction=0).mean()),
        active_units=active_units(torch.cat(rows)),
    )


@torch.inference_mode()
def encode_pictures(
    encoder: Encoder, pictures: UInt8[Tensor, "picture 3 H W"], device: torch.device | str = "cpu"
) -> Posterior:
    """Return the posteriors of pictures.

    Args:
        encoder: Encoder in eval mode.
        pictures: Pictures.
        device: Device of the encoder.
    """
    parts = [encoder(to_images(part.to(device))) for part in torch.split(pictures, BATCH)]
    return Posterior(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _squared_errors(images: Tensor, targets: Tensor) -> Tensor:
    return (images - targets).double().square().flatten(1).mean(1)
