"""What a variational autoencoder is worth on pictures: the bound on their log density, its parts, and its errors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gandissect.core.sampling import make_rng

from ..architectures.base import LayeredGenerator
from ..architectures.encoder import Encoder
from .draws import Draws
from .pictures import to_images
from .variational import Bound, active_units, bound, divergence

BATCH = 64
NUM_MEASURED = 1_000
"""Held-out pictures that an autoencoder is measured on."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of an autoencoder on pictures.

    Attributes:
        bound: Evidence lower bound, with the most likely variance of the pixels, and one draw of the latent
            vector per picture.
        divergence: Mean Kullback-Leibler divergence of the posteriors from the prior, in nats.
        reconstruction_mse: Mean squared error of the posterior means' images, in [-1, 1].
        active_units: Latent units that depend on the picture.
        posterior_means: Means of the posteriors, float ``[picture, z]``.
        latents: Latent vectors drawn from the posteriors, float ``[picture, z]``.
    """

    bound: Bound
    divergence: float
    reconstruction_mse: float
    active_units: int
    posterior_means: Float[Tensor, "picture z"]
    latents: Float[Tensor, "picture z"]


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
    means, latents, drawn, direct, divergences = [], [], [], [], []
    for part, numbers in zip(torch.split(pictures, BATCH), torch.split(noise, BATCH), strict=True):
        images = to_images(part.to(device))
        posterior = encoder(images)
        latents.append(posterior.sample(numbers.to(device)))
        means.append(posterior.mean)
        divergences.append(divergence(posterior).double())
        drawn.append(_squared_errors(generator(latents[-1]), images))
        direct.append(_squared_errors(generator(means[-1]), images))
    nats = float(torch.cat(divergences).mean())
    return Measured(
        bound=bound(float(torch.cat(drawn).mean()), nats, pictures[0].numel()),
        divergence=nats,
        reconstruction_mse=float(torch.cat(direct).mean()),
        active_units=active_units(torch.cat(means)),
        posterior_means=torch.cat(means).cpu(),
        latents=torch.cat(latents).cpu(),
    )


def _squared_errors(images: Tensor, targets: Tensor) -> Tensor:
    return (images - targets).double().square().flatten(1).mean(1)
