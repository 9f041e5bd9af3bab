"""Small DCGANs as pytorch/examples has them, whose images torch itself makes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

Z = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))


class SmallDCGAN(nn.Module):
    """A generator of 16 x 16 pixels, by a class that a reader of its file cannot know."""

    def __init__(self) -> None:
        super().__init__()
        shapes = [(5, 8, 1, 0), (8, 4, 2, 1)]
        layers = [
            (nn.ConvTranspose2d(a, b, 4, s, p, bias=False), nn.BatchNorm2d(b), nn.ReLU(True)) for a, b, s, p in shapes
        ]
        last = [nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*[part for layer in layers for part in layer], *last)

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.main(z[:, :, None, None])
        return images


def small_dcgan(seed: int) -> SmallDCGAN:
    """One with random weights, statistics too."""
    rng = torch.Generator().manual_seed(seed)
    network = SmallDCGAN().eval().requires_grad_(False)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=rng) * (1 if "var" in name else 0.6) + 0.1)
            value.sub_(0 if "var" in name or value.ndim == 1 else 0.4)
    return network


def small_state(seed: int) -> dict[str, Tensor]:
    return dict(small_dcgan(seed).state_dict())


def small_images(state: dict[str, Tensor]) -> Tensor:
    """The images of `Z`, by torch."""
    network = SmallDCGAN().eval()
    network.load_state_dict(state)
    with torch.no_grad():
        images: Tensor = network(Z)
    return images
