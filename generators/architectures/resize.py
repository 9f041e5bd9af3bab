"""A generator of resize-convolutions: nearest-neighbor upsampling followed by convolution.

``z [z_dim] -> layer1 [c, side, side] -> layer2 [c', 2 side, 2 side] -> ... -> output [3, size, size]``

Layer 1 is linear, with batch normalization. Each later layer is upsampling, convolution, batch normalization and leaky
ReLU; the image is a convolution of the last layer, followed by tanh.

Source: Odena et al. 2016, doi 10.23915/distill.00003; batch normalization as in Radford et al. 2016, arXiv 1511.06434.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from .base import LayeredGenerator


class ResizeConv(LayeredGenerator):
    """A generator of resize-convolutions.

    Args:
        z_dim: Length of a latent vector.
        units: Numbers of units of the layers, the linear one first; each at least 1.
        side: Height and width of the first grid, at least 1.
        slope: Negative slope of leaky ReLU, in [0, 1).

    Raises:
        ValueError: If there are fewer than two layers, or a setting is out of range.

    Source: Odena et al. 2016.
    """

    architecture = "resize"

    def __init__(self, z_dim: int, units: Sequence[int], side: int = 8, slope: float = 0.2) -> None:
        super().__init__(z_dim, {"z_dim": z_dim, "units": list(units), "side": side, "slope": slope})
        if len(units) < 2 or min(*units, side) < 1 or not 0 <= slope < 1:
            raise ValueError(
                "units must be at least two numbers, all of them and side at least 1, and slope in [0, 1); "
                f"got {list(units)}, {side} and {slope}"
            )
        linear, grid = nn.Linear(z_dim, units[0] * side**2), nn.Unflatten(1, (units[0], side, side))
        self.layer1 = nn.Sequential(nn.Flatten(), linear, grid, nn.BatchNorm2d(units[0]))
        for index, (before, after) in enumerate(pairwise(units), start=2):
            double, convolution = nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1)
            stage = nn.Sequential(double, convolution, nn.BatchNorm2d(after), nn.LeakyReLU(slope))
            self.add_module(f"layer{index}", stage)
        self.output = nn.Sequential(nn.Conv2d(units[-1], 3, 3, padding=1), nn.Tanh())

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of an image."""
        side: int = self.settings["side"] * 2 ** (len(self.settings["units"]) - 1)
        return side, side

    def latent_maps(self) -> tuple[Float[Tensor, "output z"]]:
        """Return the matrix of the first linear map of ``z``, ``[units * side * side, z_dim]``."""
        return (self.find_part("layer1", "1", nn.Linear).weight.detach(),)
