"""What the noise in a style generator's layers does: its own, none, another, and each layer's effect on pixels.

Source: Karras et al. 2019, Sec. 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ..core.network_id import NetworkId
from ..core.protocols import Generator, check_mode
from ..core.sampling import check_seed, make_rng
from ..storage.saved import SavedResult, check_all_finite, check_tensor
from .spaces import Latents, as_w, capabilities


@dataclass(frozen=True, slots=True, eq=False)
class NoiseEffects(SavedResult):
    """How much pixels vary with the noise of each layer, all other noise being the generator's own.

    Args:
        layers: Names.
        stds: Standard deviation of each pixel over draws of a layer's noise, as the root mean square over images and
            colors, float32 ``[layer, H, W]``; pixels are in [-1, 1].
        num_images: Images.
        num_draws: Draws of the noise, for each.
        seed: Of the noise.
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
            raise ValueError("standard deviations are 0 or more, one map for each layer")
        if self.num_images < 1 or self.num_draws < 2:
            raise ValueError(f"need 2 draws or more of 1 image or more; got {self.num_draws} of {self.num_images}")

    @property
    def of_layers(self) -> dict[str, float]:
        """The root mean square over the pixels, by layer."""
        return dict(zip(self.layers, self.stds.double().square().mean(dim=(1, 2)).sqrt().tolist(), strict=True))


@torch.no_grad()
def images_with_noise(
    generator: Generator, latents: Latents, seed: int | None, *, start: int = 0
) -> Float[Tensor, "batch 3 H W"]:
    """Return images with other noise than the generator's own.

    Args:
        generator: One that has noise.
        latents: z ``[batch, z_dim]`` or w ``[batch, num_ws, w_dim]``.
        seed: Of the noise, drawn for each image; None is no noise at all.
        start: Index of the first image; the noise of image ``i`` depends on ``(seed, start + i)`` only.

    Returns:
        float32 ``[batch, 3, H, W]`` on the generator's device.

    Raises:
        ValueError: If the generator has no noise, or the latent vectors are none of it.
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
        generator: One that has noise.
        latents: Of the images, 1 or more: z ``[batch, z_dim]`` or w ``[batch, num_ws, w_dim]``.
        num_draws: Draws of each layer's noise, 2 or more; all images share a draw.
        seed: Of the noise; a draw depends on the seed, the layer and its own index only.

    Raises:
        ValueError: If the generator has no noise, the latent vectors are none of it, or there are too few.

    Source: Karras et al. 2019, Fig. 4c and 5.
    """
    seed = check_seed(seed)
    model, w = _require_noise(generator), as_w(generator, latents)
    if num_draws < 2 or not len(w):
        raise ValueError(f"need 2 draws or more of 1 image or more; got {num_draws} of {len(w)}")
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
        change = generator.synthesis(w, noise).cpu().double() - plain  # small, so that squares do not cancel
        total += change
        squares += change.square()
    variance = (squares - total.square() / num_draws) / (num_draws - 1)
    return variance.clamp(min=0).mean(dim=(0, 1)).sqrt()


def _require_noise(generator: Generator) -> Any:
    """Return a generator that has noise.

    Raises:
        ValueError: If it has none, or is in training mode.
    """
    check_mode(generator)
    if not capabilities(generator).has_noise:
        raise ValueError(f"{generator.name} adds no noise to its layers; a stylegan or a stylegan2 does")
    return generator
