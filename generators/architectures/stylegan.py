"""StyleGAN: a learned constant, modulated layer by layer with styles computed from ``z``.

``z -> mapping -> ws [num_ws, w_dim]``; ``constant -> layer1 [c, 4, 4] -> layer2 -> layer3 [c', 8, 8] -> ... -> output``

Layer ``i`` is convolution (omitted in the first layer; doubling the grid in every other layer from the third), blur,
noise, bias, leaky ReLU and adaptive instance normalization with the style of ``ws[:, i - 1]``; its activation is the
output of that normalization.

Source: Karras et al. 2019, arXiv 1812.04948, Fig. 1b, Sec. 2 and Appendix B, C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional

from .base import LayeredGenerator
from .blocks import (
    NORM_EPS,
    Blur,
    EqualizedConv2d,
    EqualizedLinear,
    PixelNorm,
    adaptive_instance_norm,
    depth_of,
    draw_normal,
    spread_channels,
    units_of,
)
from .generator_base import Latent

MAX_DEPTH = 64
"""Maximum number of layers of a mapping network, since a file could ask for any number."""

Noise: TypeAlias = Sequence[Float[Tensor, "#batch 1 _ _"] | None]
"""One tensor per layer; None selects the layer's fixed noise."""


@dataclass(slots=True)
class Styles:
    """Inputs of a style generator's layers besides activations.

    Args:
        ws: Latent vectors of the layers, ``[batch, num_ws, w_dim]``.
        noise: One tensor per layer, ``[batch or 1, 1, h, w]``; None, for one or all, selects a layer's fixed noise.
        image: Sum of the images so far, in generators that add images; None before the first.
        residual: Skip connection to the second layer of a grid, or None.
    """

    ws: Float[Tensor, "batch num_ws w_dim"]
    noise: Noise | None = None
    image: Float[Tensor, "batch 3 H W"] | None = None
    residual: Float[Tensor, "batch unit h w"] | None = None

    def of(self, index: int) -> tuple[Float[Tensor, "batch w_dim"], Float[Tensor, "#batch 1 _ _"] | None]:
        """Return the latent vectors and the noise of the layer at ``index``."""
        return self.ws[:, index], None if self.noise is None else self.noise[index]


class MappingNetwork(nn.Module):
    """The network from ``z`` to ``w``.

    Args:
        z_dim: Length of ``z``.
        w_dim: Length of ``w``.
        depth: Number of layers.
        num_ws: Number of copies of ``w``.

    Source: Karras et al. 2019, Sec. 2; truncation: Appendix B.
    """

    w_avg: Float[Tensor, " w_dim"]

    def __init__(self, z_dim: int, w_dim: int, depth: int, num_ws: int) -> None:
        super().__init__()
        if w_dim < 1 or not 1 <= depth <= MAX_DEPTH:
            raise ValueError(f"w_dim must be at least 1, mapping_depth in [1, {MAX_DEPTH}]; got {w_dim} and {depth}")
        self.z_dim, self.num_ws = z_dim, num_ws
        lengths = [z_dim, *[w_dim] * depth]
        layers = [
            nn.Sequential(EqualizedLinear(before, after, rate=0.01), nn.LeakyReLU(0.2))
            for before, after in pairwise(lengths)
        ]
        self.network = nn.Sequential(PixelNorm(), *layers)
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self, z: Float[Tensor, "batch z"], truncation_psi: float = 1.0, truncation_cutoff: int | None = None
    ) -> Float[Tensor, "batch num_ws w_dim"]:
        """Return the latent vectors of every layer, ``w_avg + psi (w - w_avg)``.

        Args:
            z: float32 ``[batch, z_dim]``.
            truncation_psi: Truncation factor; 1 means no truncation, 0 yields ``w_avg``.
            truncation_cutoff: Number of layers to truncate, counted from the input; all by default.

        Raises:
            ValueError: If ``z`` has another shape, psi is not finite, or the cutoff is not in [0, number of layers].
        """
        cutoff = self.num_ws if truncation_cutoff is None else truncation_cutoff
        if not 0 <= cutoff <= self.num_ws:
            raise ValueError(f"truncation_cutoff must be in [0, {self.num_ws}]; got {cutoff}")
        if not math.isfinite(truncation_psi):
            raise ValueError(f"truncation_psi must be finite, usually in [0, 1]; got {truncation_psi}")
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"z must have shape [batch, {self.z_dim}]; got {list(z.shape)}")
        w: Tensor = self.network(z.to(self.w_avg))
        truncated = torch.lerp(self.w_avg.to(w.dtype), w, truncation_psi)
        return torch.stack([truncated] * cutoff + [w] * (self.num_ws - cutoff), dim=1)


class StyleGenerator(LayeredGenerator):
    """Base class of the StyleGANs.

    All methods that take ``z`` also accept ``ws [batch, num_ws, w_dim]``.
    """

    beside = frozenset({"mapping", "constant"})
    has_w = has_noise = normalizes_z = True
    mapping: MappingNetwork
    constant: nn.Parameter

    def input(self, z: Latent) -> Float[Tensor, "batch unit h w"]:
        """Return the learned constant, repeated for each image."""
        return self.constant.expand(len(z), -1, -1, -1)

    def context(self, z: Latent) -> Styles:
        """Return the styles of ``z`` or ``ws``."""
        return Styles(self.mapping(z) if z.ndim == 2 else z)

    def synthesis(
        self,
        ws: Float[Tensor, "batch num_ws w_dim"],
        noise: Noise | None = None,
    ) -> Float[Tensor, "batch 3 H W"]:
        """Return the images of layer-wise latent vectors.

        Args:
            ws: float32 ``[batch, num_ws, w_dim]``, as `mapping` returns.
            noise: One tensor per layer, ``[batch or 1, 1, h, w]``, such as from `random_noise`, or None for a layer's
                fixed noise. By default all noise is fixed, so the image depends only on ``ws``.

        Raises:
            ValueError: If a shape does not match.
        """
        if ws.ndim != 3:
            raise ValueError(
                f"ws must be [batch, {self.mapping.num_ws}, {len(self.mapping.w_avg)}], as returned by mapping; "
                f"got {list(ws.shape)}"
            )
        latent = self._prepare_z(ws)
        if noise is not None:
            self._check_noise(noise, len(latent))
        placed = None if noise is None else [None if tensor is None else self._place(tensor) for tensor in noise]
        return self.run(self.input(latent), Styles(self.context(latent).ws, placed), 0, len(self._stages))

    def latent_maps(self) -> tuple[Float[Tensor, "_ w_dim"], ...]:
        """Return the matrix of the first linear map of each entry of ``ws``, ``[output, w_dim]``."""
        groups = [self.affines(index) for index in range(self.mapping.num_ws)]
        return tuple(torch.cat([affine.matrix.detach() for affine in group]) for group in groups)

    def affines(self, index: int) -> list[EqualizedLinear]:
        """Return the linear maps that compute styles from ``ws[:, index]``."""
        return [self.find_part(self._stages[index][0], "affine", EqualizedLinear)]

    def own_noise(self) -> list[Float[Tensor, "_ 1 _ _"]]:
        """Return the fixed noise of every layer, ``[1, 1, h, w]``."""
        return [self.find_stage(name).get_buffer("noise") for name, _ in self._stages[:-1]]

    def with_noise(self, noise: Sequence[Float[Tensor, "_ 1 _ _"]]) -> StyleGenerator:
        """Return a copy of this generator with other fixed noise; noise for a batch fixes the batch size.

        Args:
            noise: One tensor per layer, ``[batch or 1, 1, h, w]``.

        Raises:
            ValueError: If a shape does not match.
        """
        self._check_noise(noise, max((len(tensor) for tensor in noise), default=1))
        copy = deepcopy(self)
        for (name, _), tensor in zip(copy._stages, noise, strict=False):
            copy.find_stage(name).noise = self._place(tensor)
        return copy

    def _check_noise(self, noise: Sequence[Tensor | None], batch: int) -> None:
        sides = [info.height for info in self.layers.values()]
        fits = [
            tensor is None or (tensor.shape[1:] == (1, side, side) and len(tensor) in {1, batch})
            for tensor, side in zip(noise, sides, strict=False)
        ]
        if len(noise) != len(sides) or not all(fits):
            raise ValueError(
                f"noise must be one tensor [{batch} or 1, 1, side, side] per layer, with sides {sides}; "
                f"got {[None if tensor is None else list(tensor.shape) for tensor in noise]}"
            )

    def random_noise(self, num_samples: int, rng: torch.Generator) -> list[Float32[Tensor, "batch 1 _ _"]]:
        """Draw noise of every layer for `synthesis`, standard normal.

        Args:
            num_samples: Number of images.
            rng: Source of randomness, such as ``torch.Generator().manual_seed(0)``.

        Returns:
            One float32 tensor ``[num_samples, 1, h, w]`` per layer, on CPU.

        Raises:
            TypeError: If ``rng`` is not a torch.Generator, such as a seed.
        """
        if not isinstance(rng, torch.Generator):
            raise TypeError(f"rng must be a torch.Generator, such as torch.Generator().manual_seed(0); got {rng!r}")
        return [self.draw_noise(num_samples, info.height, rng) for info in self.layers.values()]

    @staticmethod
    def draw_noise(num_samples: int, side: int, rng: torch.Generator) -> Float32[Tensor, "batch 1 side side"]:
        """Draw noise of one grid, standard normal, float32 ``[num_samples, 1, side, side]`` on CPU."""
        return torch.randn((num_samples, 1, side, side), generator=rng, dtype=torch.float32, device="cpu")

    def _prepare_z(self, z: Tensor) -> Tensor:
        if z.ndim == 3:
            expected = (self.mapping.num_ws, len(self.mapping.w_avg))
            if tuple(z.shape[1:]) != expected:
                raise ValueError(
                    f"{self.name} takes ws of shape [batch, {expected[0]}, {expected[1]}]; got {list(z.shape)}"
                )
            self._check_finite(z)
            return self._place(z)
        return super()._prepare_z(z)


class StyleGAN(StyleGenerator):
    """The StyleGAN generator.

    Args:
        size: Height and width of an image, a power of two from 8 to 1024.
        width: Number of units of the last two layers, doubled at each halving of the grid toward the input; or a list
            of the numbers at 4 x 4, 8 x 8, ...
        max_width: Maximum number of units of a layer.
        z_dim: Length of ``z``.
        w_dim: Length of ``w``.
        mapping_depth: Number of layers of the mapping network.
        bias_before_blur: In layers that double the grid, add the bias before the blur, which changes the border.
        norm_eps: Constant above 0 that adaptive instance normalization adds to variances.
        blur: Blur doubled grids, as in the paper.

    Raises:
        ValueError: If a number is out of range.

    Source: Karras et al. 2019, Fig. 1b.
    """

    architecture = "stylegan"

    def __init__(
        self,
        size: int = 64,
        width: int | Sequence[int] = 32,
        max_width: int = 512,
        z_dim: int = 128,
        w_dim: int = 128,
        mapping_depth: int = 8,
        *,
        bias_before_blur: bool = False,
        norm_eps: float = NORM_EPS,
        blur: bool = True,
    ) -> None:
        settings: dict[str, Any] = {"size": size, "width": width, "max_width": max_width, "z_dim": z_dim}
        settings |= {"w_dim": w_dim, "mapping_depth": mapping_depth}
        settings |= ({"bias_before_blur": True} if bias_before_blur else {}) | ({} if blur else {"blur": False})
        super().__init__(z_dim, settings | ({} if norm_eps == NORM_EPS else {"norm_eps": norm_eps}))
        if not norm_eps > 0:
            raise ValueError(f"norm_eps must be above 0; got {norm_eps}")
        units = units_of(size, width, max_width)
        self.mapping = MappingNetwork(z_dim, w_dim, mapping_depth, num_ws=2 * depth_of(size) + 2)
        self.constant = nn.Parameter(draw_normal(1, units[0], 4, 4))  # ones would have no variance
        self.layer1 = StyleLayer(None, units[0], 4, w_dim, norm_eps)
        same = EqualizedConv2d(units[0], units[0], 3, 1, bias=False)
        self.layer2 = StyleLayer(same, units[0], 4, w_dim, norm_eps)
        for level in range(1, len(units)):
            before, after, side = units[level - 1], units[level], 4 * 2**level
            up = EqualizedConv2d(before, after, 3, 1, resample="up", bias=bias_before_blur)
            same = EqualizedConv2d(after, after, 3, 1, bias=False)
            first = StyleLayer(nn.Sequential(up, *[Blur()] * blur), after, side, w_dim, norm_eps)
            self.add_module(f"layer{2 * level + 1}", first)
            self.add_module(f"layer{2 * level + 2}", StyleLayer(same, after, side, w_dim, norm_eps))
        self.output = self.to_rgb(units[-1])

    @staticmethod
    def to_rgb(units: int) -> nn.Module:
        """Return the module that converts a layer's activations to an image."""
        return EqualizedConv2d(units, 3, 1, gain=1)

    def stage(
        self, index: int, x: Float[Tensor, "batch before _ _"], context: Styles
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the output of a stage for the output of the previous one."""
        name, module = self._stages[index]
        output: Tensor = module(x) if name == "output" else module(x, *context.of(index))
        return output


class StyleLayer(nn.Module):
    """Convolution, noise, bias, leaky ReLU, adaptive instance normalization.

    Args:
        convolution: First module; None in the layer that starts from the constant.
        units: Number of output units.
        side: Height and width of the grid.
        w_dim: Length of ``w``.
        norm_eps: Constant that the normalization adds to variances.

    Source: Karras et al. 2019, Fig. 1b; AdaIN: Eq. 1.
    """

    noise: Float[Tensor, "_ 1 side side"]

    def __init__(
        self, convolution: nn.Module | None, units: int, side: int, w_dim: int, norm_eps: float = NORM_EPS
    ) -> None:
        super().__init__()
        self.convolution = convolution
        self.bias = nn.Parameter(torch.zeros(units))
        self.noise_strength = nn.Parameter(torch.zeros(units))
        self.register_buffer("noise", draw_normal(1, 1, side, side))
        self.affine = EqualizedLinear(w_dim, 2 * units, gain=1)
        self.norm_eps = norm_eps

    def forward(
        self,
        x: Float[Tensor, "batch before _ _"],
        w: Float[Tensor, "batch w_dim"],
        noise: Float[Tensor, "#batch 1 _ _"] | None,
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the layer's activations.

        Args:
            x: Activations of the previous layer.
            w: Latent vectors, ``[batch, w_dim]``.
            noise: ``[batch or 1, 1, side, side]``; None selects the layer's fixed noise.
        """
        if self.convolution is not None:
            x = self.convolution(x)
        noise = self.noise if noise is None else noise
        shift = noise.to(x.dtype) * spread_channels(self.noise_strength, x) + spread_channels(self.bias, x)
        scale, offset = self.affine(w).chunk(2, dim=1)
        return adaptive_instance_norm(functional.leaky_relu(x + shift, 0.2), scale + 1, offset, self.norm_eps)
