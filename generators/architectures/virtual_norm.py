"""Virtual batch norm: each image is normalized by a fixed reference batch and itself, never by its batch.

A generator with virtual batch norm makes the same image of a row in every batch, in training as after it, so that its
statistics need no calibration.

Source: Salimans et al. 2016, arXiv 1606.03498, Sec. 3.5.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .base import LayeredGenerator
from .dcgan import DCGAN
from .generator_base import Latent
from .mlp import MLP

NUM_REFERENCES = 64
"""Number of rows of the reference batch."""
EPSILON = 1e-5


class Moments(NamedTuple):
    """Mean and mean square of each unit over the reference batch, ``[unit]``."""

    mean: Float[Tensor, " unit"]
    square: Float[Tensor, " unit"]


class VirtualBatchNorm(nn.Module):
    """Normalization of each image by the reference batch and the image itself, then a scale and a bias per unit.

    Args:
        num_units: Number of units.

    Source: Salimans et al. 2016, Sec. 3.5.
    """

    def __init__(self, num_units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_units, dtype=torch.float32))
        self.bias = nn.Parameter(torch.zeros(num_units, dtype=torch.float32))

    def forward(self, x: Float[Tensor, "batch unit *grid"], reference: Moments) -> Float[Tensor, "batch unit *grid"]:
        """Return normalized activations; each image has the weight of one image of the reference batch."""
        x = x.float()
        own = x.flatten(2) if x.ndim > 2 else x[:, :, None]
        share = 1 / (NUM_REFERENCES + 1)
        mean = torch.lerp(reference.mean, own.mean(2), share)
        square = torch.lerp(reference.square, own.square().mean(2), share)
        shape = (*mean.shape, *[1] * (x.ndim - 2))
        scale = self.weight * torch.rsqrt((square - mean.square()).clamp(min=0) + EPSILON)
        return (x - mean.view(shape)) * scale.view(shape) + self.bias.view(1, -1, *[1] * (x.ndim - 2))


class ReferenceStage(nn.Sequential):
    """A stage of a generator with virtual in place of batch norm, if it has one.

    Args:
        stage: Stage with batch norm, whose other parts are kept.
    """

    def __init__(self, stage: nn.Sequential) -> None:
        norms = nn.modules.batchnorm._BatchNorm
        super().__init__(*(VirtualBatchNorm(part.num_features) if isinstance(part, norms) else part for part in stage))
        for part, old in zip(self, stage, strict=True):
            if isinstance(part, VirtualBatchNorm) and isinstance(old, norms):
                part.weight, part.bias = old.weight, old.bias

    def forward(self, x: Tensor, reference: Moments | None) -> Tensor:  # type: ignore[override]  # nn.Sequential takes x only
        """Return the stage's activations of images, given those of the reference batch."""
        for part in self:
            x = part(x, reference) if isinstance(part, VirtualBatchNorm) else part(x)
        return x

    def measure(self, x: Tensor) -> Moments | None:
        """Return the moments of the reference batch, where they are needed; None without a norm."""
        for part in self:
            if isinstance(part, VirtualBatchNorm):
                x = x.float().transpose(0, 1).flatten(1)
                return Moments(x.mean(1), x.square().mean(1))
            x = part(x)
        return None


class VirtualNormGenerator(LayeredGenerator):
    """A generator whose stages have virtual batch norm; subclasses draw the ``reference`` batch, rows of ``z``."""

    reference: Float[Tensor, "row z"]

    def add_virtual_norm(self) -> None:
        """Replace every batch norm."""
        for name, stage in self._stages[:-1]:
            assert isinstance(stage, nn.Sequential)
            setattr(self, name, ReferenceStage(stage))

    def context(self, z: Latent) -> list[Moments | None]:  # noqa: ARG002
        """Return the reference batch's moments in each stage; hooks and forced units do not see that batch."""
        x, found = self.input(self.reference), []
        for name, _ in self._stages[:-1]:
            stage = self.find_stage(name)
            assert isinstance(stage, ReferenceStage)
            found.append(stage.measure(x))
            x = stage.forward(x, found[-1])
        return found

    def stage(
        self, index: int, x: Float[Tensor, "batch before _ _"], context: list[Moments | None]
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the output of a stage for the output of the previous one."""
        module = self._stages[index][1]
        output: Tensor = module(x, context[index]) if index < len(context) else module(x)
        return output


class VirtualNormDCGAN(VirtualNormGenerator, DCGAN):
    """DCGAN's generator with virtual in place of batch norm.

    Args:
        size: Height and width of an image: 16, 32, 64, 128 or 256.
        width: Number of units in the last layer; each earlier layer has twice as many as the next.
        z_dim: Length of a latent vector.

    Raises:
        ValueError: If a number is out of range.

    Source: Salimans et al. 2016, Sec. 3.5.
    """

    architecture = "dcgan-virtual-norm"

    def __init__(self, size: int = 64, width: int = 64, z_dim: int = 128) -> None:
        super().__init__(size, width, z_dim)
        self.add_virtual_norm()
        self.register_buffer("reference", torch.randn(NUM_REFERENCES, z_dim))


class VirtualNormMLP(VirtualNormGenerator, MLP):
    """The multilayer perceptron with virtual in place of batch norm.

    Args:
        size: Height and width of an image: 8, 16, 32 or 64; points have no norm.
        width: Units of the first layer; each further layer has twice as many.
        max_width: Largest number of units of a layer.
        z_dim: Length of a latent vector.
        gray: Make one channel and repeat it.

    Raises:
        ValueError: If a number is out of range.

    Source: Salimans et al. 2016, Sec. 3.5.
    """

    architecture = "gan-virtual-norm"

    def __init__(
        self, size: int = 32, width: int = 256, max_width: int = 1024, z_dim: int = 64, gray: bool = False
    ) -> None:
        super().__init__(size, width, max_width, z_dim, gray)
        self.add_virtual_norm()
        self.register_buffer("reference", torch.randn(NUM_REFERENCES, z_dim))
