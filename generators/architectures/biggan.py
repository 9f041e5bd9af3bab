"""BigGAN: residual blocks that all see the noise and a shared embedding of the class.

``noise -> layer1 [c, 4, 4] -> layer2 [c', 8, 8] -> ... -> output [3, size, size]``

The noise is cut into parts. The first makes the first grid. Each later layer, a residual block that doubles the grid,
has a part of its own, which with the embedding of the class gives the gains and offsets of the block's two batch norms
by linear maps. A layer may end with self-attention. The class acts through its embedding only, linearly, so a row whose
class is a mixture has a mixed embedding.

Source: Brock et al. 2019, arXiv 1809.11096, Sec. 3 and Appendix B; self-attention: Zhang et al. 2019, arXiv 1805.08318.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gandissect.core.defaults import float32_factories

from .attentive import AttentiveGenerator
from .blocks import double, spread_channels, units_of
from .generator_base import Latent
from .resnet import Attention
from .sagan import ATTENTIVE, Halving, ProjectionDiscriminator
from .spectral_norm import NORMALIZED, normalize_spectrally

Conditions: TypeAlias = tuple[Float[Tensor, "batch condition"], ...]
"""What each block after the first layer is given: the embedding of the class, then the block's part of the noise."""


class BigGAN(AttentiveGenerator):
    """The generator of a BigGAN, without the spectral norm that it is trained with.

    Args:
        noise_dim: Length of the noise; hierarchical noise needs one entry per layer at least.
        units: Numbers of units of the layers, the linear one first; each at least 1.
        embedding_dim: Length of the embedding of a class, at least 1.
        classes: Names of the classes.
        drawn: Names of the classes that `sample_z` draws from; all by default.
        side: Height and width of the first grid, at least 1.
        attention: Numbers of the layers that end with self-attention, at least 2.
        hierarchical: Give every layer a part of the noise; otherwise the first layer has all of it. The parts of all
            layers but the first have length ``noise_dim // len(units)``, and the first has the rest.

    Raises:
        KeyError: If a drawn class is unknown.
        ValueError: If a number is out of range, or the classes are not distinct names.

    Source: Brock et al. 2019, Sec. 3 and Appendix B.
    """

    architecture = "biggan"
    mixes_classes = True

    def __init__(
        self,
        noise_dim: int,
        units: Sequence[int],
        embedding_dim: int = 32,
        classes: Sequence[str] = ("0", "1"),
        drawn: Sequence[str] | None = None,
        side: int = 4,
        attention: Sequence[int] = (),
        hierarchical: bool = True,
    ) -> None:
        settings: dict[str, Any] = {"units": list(units), "embedding_dim": embedding_dim, "side": side}
        settings |= {"attention": list(attention), "hierarchical": hierarchical}
        super().__init__(noise_dim, classes, drawn, settings)
        _check_layers(units, side, embedding_dim, attention)
        if hierarchical and noise_dim < len(units):
            raise ValueError(
                f"noise_dim (--z-dim) must be at least {len(units)}, one entry per layer, for hierarchical noise; "
                f"got {noise_dim}"
            )
        length = noise_dim // len(units) if hierarchical else 0
        stops = [noise_dim - length * later for later in reversed(range(len(units)))]
        self.parts = tuple(slice(start, stop) for start, stop in pairwise([0, *stops]))
        self.embedding = nn.Parameter(torch.empty(len(self.classes), embedding_dim))
        linear = nn.Linear(stops[0], units[0] * side**2)
        self.layer1 = nn.Sequential(nn.Flatten(), linear, nn.Unflatten(1, (units[0], side, side)))
        for index, (before, after) in enumerate(pairwise(units), start=2):
            block = BigGANBlock(before, after, embedding_dim + length, index in attention)
            self.add_module(f"layer{index}", block)
        self.attentive_layer = f"layer{min(attention)}" if attention else ""
        image = nn.Conv2d(units[-1], 3, 3, padding=1)
        self.output = nn.Sequential(nn.BatchNorm2d(units[-1]), nn.ReLU(), image, nn.Tanh())
        if not self.embedding.is_meta:
            nn.init.orthogonal_(self.embedding)
        self.apply(_initialize)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of an image."""
        side: int = self.settings["side"] * 2 ** (len(self.settings["units"]) - 1)
        return side, side

    def input(self, z: Latent) -> Float[Tensor, "batch noise 1 1"]:
        """Return the first layer's part of the noise of rows ``[batch, z_dim]``."""
        return z[:, self.parts[0], None, None]

    def context(self, z: Latent) -> Conditions:
        """Return what each block is given for rows ``[batch, z_dim]``."""
        embedding = z[:, self.noise_dim :] @ self.embedding
        return tuple(torch.cat([embedding, z[:, part]], dim=1) for part in self.parts[1:])

    def stage(
        self, index: int, x: Float[Tensor, "batch before _ _"], context: Conditions
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the output of a stage for the output of the previous one."""
        name, module = self._stages[index]
        output: Tensor = module(x) if name in {"layer1", "output"} else module(x, self.condition_of(context, index))
        return output

    def condition_of(self, context: Conditions, position: int) -> Float[Tensor, "batch condition"]:
        """Return what the block at a position, counted from 0 at the first layer, is given."""
        return context[position - 1]

    def latent_maps(self) -> tuple[Float[Tensor, "output z"]]:
        """Return the first linear maps of a row, ``[output, z_dim]``, which ignore the class.

        They are those of the first grid, then of each block's gains and offsets.
        """
        maps = [self.find_part("layer1", "1", nn.Linear).weight]
        for layer in list(self.layers)[1:]:
            norms = [self.find_part(layer, name, ProjectedBatchNorm) for name in ("norm1", "norm2")]
            weights = torch.cat([linear.weight for norm in norms for linear in (norm.gain, norm.offset)])
            maps.append(weights[:, self.embedding.shape[1] :])
        sides = [(part.start, self.z_dim - part.stop) for part in self.parts]
        return (torch.cat([functional.pad(each.detach(), side) for each, side in zip(maps, sides, strict=True)]),)


class ProjectedBatchNorm(nn.Module):
    """Batch normalization with gains and offsets that are linear in a condition.

    Args:
        units: Number of units.
        condition_dim: Length of the condition.

    Attributes:
        gain: Linear map from the condition to what the gain of each unit has beyond 1.
        offset: Linear map from the condition to the offset of each unit.

    Source: Brock et al. 2019, Sec. 3 and Appendix B.
    """

    def __init__(self, units: int, condition_dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(units, affine=False)
        self.gain = nn.Linear(condition_dim, units, bias=False)
        self.offset = nn.Linear(condition_dim, units, bias=False)

    def forward(
        self, x: Float[Tensor, "batch unit h w"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch unit h w"]:
        """Return normalized activations of the same shape."""
        normalized: Tensor = self.norm(x)
        gain, offset = (spread_channels(linear(condition), normalized) for linear in (self.gain, self.offset))
        return normalized * (1 + gain) + offset


class BigGANBlock(nn.Module):
    """A residual block that doubles the grid, whose batch norms see a condition.

    Its first convolution has no bias, which the batch norm after it would subtract.

    Args:
        before: Number of input units.
        after: Number of output units.
        condition_dim: Length of the condition.
        attention: Apply self-attention to the output.

    Source: Brock et al. 2019, Appendix B, Fig. 15.
    """

    def __init__(self, before: int, after: int, condition_dim: int, attention: bool) -> None:
        super().__init__()
        self.norm1 = ProjectedBatchNorm(before, condition_dim)
        self.norm2 = ProjectedBatchNorm(after, condition_dim)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1, bias=False)
        self.attention = Attention(after) if attention else nn.Identity()

    def forward(
        self, x: Float[Tensor, "batch before _ _"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the sum of both branches, with self-attention if the block has it."""
        output: Tensor = self.attention(self.add_branches(x, condition))
        return output

    def add_branches(
        self, x: Float[Tensor, "batch before _ _"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the sum of both branches, before self-attention."""
        residual = self.conv1(double(self.norm1(x, condition).relu()))
        residual = self.conv2(self.norm2(residual, condition).relu())
        total: Tensor = residual + double(self.skip(x))  # a 1 x 1 convolution of the doubled grid is the same
        return total


class BigGANDiscriminator(ProjectionDiscriminator):
    """The discriminator of a BigGAN: one logit per image and class, with spectral norm.

    Its blocks halve the grid down to 4 x 4; one more keeps it.

    Args:
        size: Height and width of an image, a power of two from 8 to 1024.
        width: Units of the first block; they double at each halving of the grid.
        max_width: Maximum number of units of a block.
        num_classes: Number of classes.

    Source: Brock et al. 2019, Appendix B.
    """

    @float32_factories()
    def __init__(self, size: int, width: int, max_width: int, num_classes: int) -> None:
        super().__init__()
        units = [min(max_width, width * 2**level) for level in range(len(units_of(size, width, max_width)))]
        stages: list[nn.Module] = [Halving(3, units[0], rectified=False)]
        for level, (before, after) in enumerate(pairwise(units[:-1]), start=1):
            if size >> level == min(ATTENTIVE, size // 2):
                stages.append(Attention(before))
            stages.append(Halving(before, after))
        self.stages = nn.Sequential(*stages, Keeping(units[-2], units[-1]), nn.ReLU())
        self.vectors = nn.Embedding(num_classes, units[-1])
        self.logit = nn.Linear(units[-1], 1)
        self.apply(_initialize)
        normalize_spectrally(self)


class Keeping(nn.Module):
    """A residual block that keeps the grid.

    Args:
        before: Number of input units.
        after: Number of output units; if it is the same, the skip connection is the identity.

    Source: Brock et al. 2019, Appendix B, Fig. 15.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(before, after, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1),
        )
        self.skip = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, x: Float[Tensor, "batch before h w"]) -> Float[Tensor, "batch unit h w"]:
        """Return the sum of both branches."""
        total: Tensor = self.residual(x) + self.skip(x)
        return total


def _check_layers(units: Sequence[int], side: int, embedding_dim: int, attention: Sequence[int]) -> None:
    if len(units) < 2 or min(*units, side, embedding_dim) < 1:
        raise ValueError(
            "units must be at least two numbers, all of them, side and embedding_dim at least 1; got "
            f"{list(units)}, {side} and {embedding_dim}"
        )
    if any(not 2 <= layer <= len(units) for layer in attention):
        raise ValueError(f"attention must be numbers of layers in [2, {len(units)}]; got {list(attention)}")


@torch.no_grad()
def _initialize(module: nn.Module) -> None:
    """Draw an orthogonal weight; biases are zero at first (Brock et al. 2019, Sec. 2)."""
    if isinstance(module, NORMALIZED) and not module.weight.is_meta:
        nn.init.orthogonal_(module.weight)
        if isinstance(bias := getattr(module, "bias", None), Tensor):
            nn.init.zeros_(bias)
