"""Change the noise in a StyleGAN's layers, and measure each layer's effect on pixels.

Source: Karras et al. 2019, Sec. 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ..core.display import Tabular, count_things
from ..core.network_id import NetworkId
from ..core.protocols import Generator, check_mode
from ..core.sampling import check_seed, make_rng
from ..storage.saved import SavedResult, check_all_finite, check_tensor
from .spaces import Latents, as_w, capabilities


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class NoiseEffects(SavedResult, Tabular):
    """How much pixels vary with the noise of one layer, while the other layers keep the generator's own noise.

    Args:
        layers: Names of the layers.
        stds: Standard deviation of each pixel over draws of a layer's noise, as the root mean square over images and
            colors, float32 ``[layer, H, W]``; pixels are in [-1, 1].
        num_images: Number of images.
        num_draws: Number of draws of each layer's noise.
        seed: Seed of the noise.
        generator: The generator's name and fingerprint.
    """

    FILE_NAME: ClassVar[str] = "noise_effects.safetensors"
    VERSION: ClassVar[int] = 1

    layers: tuple[str, ...]
    stds: Float32[Tensor, "layer H W"]
    num_images: int
    num_draws: int
    seed: int
    generator: NetworkId

    def __post_init__(self) -> None:
        check_tensor("stds", self.stds, torch.float32, (len(self.layers), None, None))
        check_all_finite("stds", self.stds)
        if bool((self.stds < 0).any()) or len(set(self.layers)) < len(self.layers):
            raise ValueError("stds must be at least 0, and layers must not repeat")
        if self.num_images < 1 or self.num_draws < 2:
            raise ValueError(f"need at least 2 draws and 1 image; got {self.num_draws} and {self.num_images}")

    @property
    def of_layers(self) -> dict[str, float]:
        """The root mean square of the standard deviations over pixels, by layer."""
        return dict(zip(self.layers, self.stds.double().square().mean(dim=(1, 2)).sqrt().tolist(), strict=True))

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dictionary for each layer: the root mean square over the pixels."""
        return [{"layer": layer, "std": std} for layer, std in self.of_layers.items()]

    def _summarize(self) -> str:
        draws = f"{self.num_draws} draws, {count_things(self.num_images, 'image')}"
        return f"{len(self.layers)} layers of {self.generator}, {draws}, seed={self.seed}"


@torch.no_grad()
def images_with_noise(
    generator: Generator, latents: Latents, seed: int | None, *, start: int = 0
) -> Float[Tensor, "batch 3 H W"]:
    """Return images with random noise, or none, in place of the generator's own.

    Args:
        generator: Generator that has noise.
        latents: z ``[batch, z_dim]`` or w ``[batch, num_ws, w_dim]``.
        seed: Seed of the noise, which is drawn separately for each image; None removes all noise.
        start: Index of the first image; the noise of image ``i`` depends on ``(seed, start + i)`` only.

    Returns:
        float32 ``[batch, 3, H, W]`` on the generator's device.

    Raises:
        ValueError: If the generator has no noise, or the latent vectors do not fit it.
    """
    model, w = _require_noise(generator), as_w(generator, latents)
    if seed is None:
        sides = [(info.height, info.width) for info in generator.layers.values()]
        noise = [torch.zeros(1, 1, *side, dtype=torch.float32, device="cpu") for side in sides]
    else:
        draws = [model.random_noise(1, make_rng(seed, "noise", start + index)) for index in range(len(w))]
        noise = [torch.cat(layer) for layer in zip(*draws, strict=True)]
    images: Tensor = model.synthesis(w, noise)
    return images


@torch.no_grad()
def noise_effects(generator: Generator, latents: Latents, num_draws: int = 16, seed: int = 0) -> NoiseEffects:
    """Measure how much pixels vary with the noise of each layer.

    Args:
        generator: Generator that has noise.
        latents: Latent vectors of one or more images: z ``[batch, z_dim]`` or w ``[batch, num_ws, w_dim]``.
        num_draws: Number of draws of each layer's noise, at least 2; all images share a draw.
        seed: Seed of the noise; a draw depends only on the seed, the layer and the draw's index.

    Raises:
        ValueError: If the generator has no noise, the latent vectors do not fit it, or there are too few of them or of
            the draws.

    Source: Karras et al. 2019, Fig. 4c and 5.
    """
    seed = check_seed(seed)
    model, w = _require_noise(generator), as_w(generator, latents)
    if num_draws < 2 or not len(w):
        raise ValueError(f"need at least 2 draws and 1 image; got {num_draws} and {len(w)}")
    stds = [_std(model, w, layer, num_draws, seed) for layer in generator.layers]
    settings = (len(w), num_draws, seed, NetworkId.of(generator))
    return NoiseEffects(tuple(generator.layers), torch.stack(stds).float(), *settings)


def _std(generator: Any, w: Tensor, layer: str, num_draws: int, seed: int) -> Tensor:
    """Return the standard deviation of pixels over draws of a layer's noise, float64 ``[H, W]`` on CPU."""
    info = generator.layers[layer]
    plain = generator.synthesis(w).cpu().double()
    total, squares = torch.zeros_like(plain), torch.zeros_like(plain)
    for index in range(num_draws):
        rng = make_rng(seed, "noise of a layer", layer, index)
        noise_map = generator.draw_noise(1, info.height, rng)
        noise = [noise_map if name == layer else None for name in generator.layers]
        change = (
            generator.synthesis(w, noise).cpu().double() - plain
        )  # deviations from plain are small, so the variance loses no digits
        total += change
        squares += change.square()
    variance = (squares - total.square() / num_draws) / (num_draws - 1)
    return variance.clamp(min=0).mean(dim=(0, 1)).sqrt()


def _require_noise(generator: Generator) -> Any:
    """Return a generator after checking that it has noise.

    Raises:
        ValueError: If it has no noise, or is in training mode.
    """
    check_mode(generator)
    if not capabilities(generator).has_noise:
        raise ValueError(f"{generator.name} adds no noise to its layers; use a stylegan or a stylegan2")
    return generator
