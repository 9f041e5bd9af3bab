"""StyleGAN3: activations are samples of continuous signals, on canvases larger than the image.

``z -> mapping -> ws [num_ws, w_dim]``; ``positions -> layer1 (waves) -> layer2 -> ... -> output``

Layer 1 mixes waves ``sin(2 pi (f . p + phase))`` of fixed frequencies f at the positions p, rotated and translated
according to ``ws[:, 0]``. Layer ``i`` is a convolution with the style of ``ws[:, i - 1]``, divided by the mean
magnitude of its input, a bias, and a leaky ReLU between two resamplings (`stylegan3_filters.apply_on_finer_grid`).

A layer's grid, which `head` returns and edits change, is the visible part of its canvas (`stylegan3_canvas`).

Source: Karras et al. 2021, arXiv 2106.12423, Sec. 3, Appendix F.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional

from .blocks import SQRT2, EqualizedLinear
from .generator_base import Latent
from .stylegan import MappingNetwork, Noise, StyleGenerator
from .stylegan3_canvas import Filtering, LayerCanvas, check_canvases, rates_of
from .stylegan3_filters import apply_on_finer_grid, lowpass

LIMIT = 256.0
"""Bound on the magnitude of activations, as set for training in half precision."""

BRIGHTNESS = 0.25
"""Factor from the output of the last convolution to the image."""


class StyleGAN3(StyleGenerator):
    """The StyleGAN3 generator, in configuration T or R.

    Args:
        size: Height and width of an image.
        waves: Number of units of the first layer.
        side: Height and width of the first layer's canvas.
        filterings: Arguments of a `Filtering` for each further layer; the last one must have no margin.
        z_dim: Length of ``z``.
        w_dim: Length of ``w``.
        mapping_depth: Number of layers of the mapping network.

    Raises:
        ValueError: If a number is out of range, or the grids do not result in an image of that size.

    Source: Karras et al. 2021, Sec. 3.2, Fig. 4b and 4c.
    """

    architecture = "stylegan3"
    beside = frozenset({"mapping"})
    has_noise = False

    def __init__(
        self,
        size: int,
        waves: int,
        side: int,
        filterings: Sequence[Mapping[str, Any]],
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_depth: int = 2,
    ) -> None:
        settings = {
            "size": size,
            "waves": waves,
            "side": side,
            "filterings": [dict(filtering) for filtering in filterings],
        }
        super().__init__(z_dim, settings | {"z_dim": z_dim, "w_dim": w_dim, "mapping_depth": mapping_depth})
        parts = [Filtering(**filtering) for filtering in filterings]
        rates, sides = rates_of(size, parts), [side, *(filtering.side for filtering in parts)]
        check_canvases(size, rates, sides)
        self.side, self.rate = side, rates[0]
        self._wide = [canvas > rate for canvas, rate in zip(sides, rates, strict=True)]
        self.mapping = MappingNetwork(z_dim, w_dim, mapping_depth, num_ws=len(parts) + 2)
        self.layer1 = Waves(waves, rates[0], w_dim)
        units = [waves, *(filtering.units for filtering in parts)]
        for index, filtering in enumerate(parts):
            self.add_module(f"layer{index + 2}", FilteredLayer(units[index], filtering, rates[index + 1], w_dim))
        self.output = ImageLayer(units[-1], w_dim)

    def input(self, z: Latent) -> Float[Tensor, "batch 2 h w"]:
        """Return the x and y positions of the canvas's samples; the image covers [-0.5, 0.5]."""
        line = (torch.arange(self.side, device=z.device, dtype=torch.float32) + 0.5 - self.side / 2) / self.rate
        return torch.stack(torch.meshgrid(line, line, indexing="xy")).expand(len(z), -1, -1, -1)

    def context(self, z: Latent) -> LayerCanvas:
        """Return the latent vectors of the layers, with an empty canvas."""
        return LayerCanvas(self.mapping(z) if z.ndim == 2 else z)

    def stage(
        self, index: int, x: Float[Tensor, "batch before _ _"], context: LayerCanvas
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the output of a stage for the output of the previous one."""
        output: Tensor = self._stages[index][1](x, context.ws[:, index], context)
        return output

    def context_after(self, z: Latent, position: int) -> LayerCanvas:
        """Return the context with the canvas of the stage at ``position``, recomputed if it has a margin."""
        context = self.context(z)
        if self._wide[position]:
            self.run(self.input(z), context, 0, position + 1)
        return context

    def synthesis(
        self,
        ws: Float[Tensor, "batch num_ws w_dim"],
        noise: Noise | None = None,
    ) -> Float[Tensor, "batch 3 H W"]:
        """Return the images of layer-wise latent vectors.

        Args:
            ws: float32 ``[batch, num_ws, w_dim]``, as `mapping` returns.
            noise: Must be None, since no layer adds noise.

        Raises:
            ValueError: If a shape does not match, or noise is passed.
        """
        if noise is not None or ws.ndim != 3:
            raise ValueError(f"{self.name} takes ws [batch, num_ws, w_dim] and adds no noise; got {list(ws.shape)}")
        images: Tensor = self(ws)
        return images

    def random_noise(self, num_samples: int, rng: torch.Generator) -> list[Float32[Tensor, "batch 1 _ _"]]:
        """Raise an error, since no layer adds noise.

        Args:
            num_samples: Number of images.
            rng: Source of randomness, which is not used.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"{self.name} adds no noise; got num_samples {num_samples}, rng {rng}")


class Waves(nn.Module):
    """Waves at the positions of a canvas, mixed into units.

    Args:
        units: Number of waves, and of units.
        rate: Number of samples across the image.
        w_dim: Length of ``w``.

    Source: Karras et al. 2021, Sec. 3.1 (Fourier features), Sec. 3.2 and Appendix F (the transformation).
    """

    frequencies: Float[Tensor, "unit 2"]
    phases: Float[Tensor, " unit"]
    transform: Float[Tensor, "3 3"]

    def __init__(self, units: int, rate: int, w_dim: int) -> None:
        super().__init__()
        self.rate, self.scale = rate, 1 / math.sqrt(units)
        angles, lengths = torch.rand(2, units)
        waves = torch.stack([torch.cos(2 * math.pi * angles), torch.sin(2 * math.pi * angles)], dim=1)
        self.register_buffer("frequencies", 2 * lengths.sqrt()[:, None] * waves)  # uniform on a disk: f_c = 2, Sec. 3.1
        self.register_buffer("phases", torch.rand(units) - 0.5)
        self.register_buffer("transform", torch.eye(3))
        self.weight = nn.Parameter(torch.randn(units, units))
        self.affine = EqualizedLinear(w_dim, 4, gain=1)
        with torch.no_grad():
            self.affine.weight.zero_()
            self.affine.bias[0] = 1

    def forward(
        self, positions: Float[Tensor, "batch 2 _ _"], w: Float[Tensor, "batch w_dim"], canvas: LayerCanvas
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the layer's activations.

        A position ``p`` is first transformed by ``transform``, which the user can set; then translated by ``-t``, then
        rotated by ``r``, both computed from ``w``: ``(r_c, r_s, t_x, t_y) / sqrt(r_c^2 + r_s^2)``.

        Args:
            positions: ``[batch, 2, h, w]``.
            w: Latent vectors, ``[batch, w_dim]``.
            canvas: Canvas that stores the margin.
        """
        motion = self.affine(w)
        motion = motion / torch.linalg.vector_norm(motion[:, :2], dim=1, keepdim=True)
        cosine, sine, shift = motion[:, 0], motion[:, 1], motion[:, 2:]
        turn = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
        origin = turn @ (self.transform[:2, 2] - shift)[:, :, None]
        frequencies = self.frequencies @ (turn @ self.transform[:2, :2])
        phases = self.phases[:, None] + self.frequencies @ origin
        cycles = frequencies @ positions.flatten(2) + phases
        waves = torch.sin(2 * math.pi * cycles).reshape(len(w), -1, *positions.shape[2:])
        return canvas.show(functional.conv2d(waves, (self.weight * self.scale)[:, :, None, None]), self.rate)


class FilteredLayer(nn.Module):
    """Modulated and demodulated convolution, and a leaky ReLU with gain sqrt(2) on a finer grid.

    Args:
        before: Number of input units.
        filtering: Settings of the layer.
        rate: Height and width of the visible part of its canvas.
        w_dim: Length of ``w``.

    Attributes:
        magnitude: Running mean square of the input during training, ``[]``; the input is divided by its square root.

    Source: Karras et al. 2021, Sec. 3.1, Fig. 4a and 4b; demodulation: Karras et al. 2020, Eq. 1-3.
    """

    magnitude: Float[Tensor, ""]
    up_filter: Float[Tensor, " tap"] | None
    down_filter: Float[Tensor, " tap"] | Float[Tensor, "tap tap"] | None

    def __init__(self, before: int, filtering: Filtering, rate: int, w_dim: int) -> None:
        super().__init__()
        self.filtering, self.rate = filtering, rate
        self.weight = nn.Parameter(torch.randn(filtering.units, before, filtering.kernel, filtering.kernel))
        self.bias = nn.Parameter(torch.zeros(filtering.units))
        self.affine = EqualizedLinear(w_dim, before, gain=1, bias=1.0)
        self.register_buffer("magnitude", torch.ones(()))
        rise, fall = lowpass(filtering.up_taps, filtering.up), lowpass(filtering.down_taps, filtering.down)
        fall = torch.outer(fall, fall) if filtering.radial else fall
        self.register_buffer("up_filter", rise if filtering.up_taps > 1 else None)
        self.register_buffer("down_filter", fall if filtering.down_taps > 1 else None)

    def forward(
        self, x: Float[Tensor, "batch before _ _"], w: Float[Tensor, "batch w_dim"], canvas: LayerCanvas
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the layer's activations.

        Args:
            x: Activations of the previous layer.
            w: Latent vectors, ``[batch, w_dim]``.
            canvas: Canvas with the margin of ``x``, which is replaced by the output's margin.
        """
        style, kernel = self.affine(w), self.filtering.kernel
        x = functional.conv2d(canvas.fill_margin(x) * style[:, :, None, None], self.weight, padding=kernel - 1)
        energy = functional.linear(style.square(), self.weight.square().sum(dim=(2, 3)))
        scale = ((energy + 1e-8) * self.magnitude).rsqrt()
        x = x * scale[:, :, None, None] + self.bias[:, None, None]
        up, down = (self.filtering.up, self.up_filter), (self.filtering.down, self.down_filter)
        x = apply_on_finer_grid(x, _bounded_relu, up, down, self.filtering.side)
        return canvas.show(x, self.rate)


class ImageLayer(nn.Module):
    """A modulated 1 x 1 convolution from the last layer's activations to an image.

    Args:
        units: Number of input units.
        w_dim: Length of ``w``.

    Source: Karras et al. 2021, Fig. 4b (ToRGB).
    """

    magnitude: Float[Tensor, ""]

    def __init__(self, units: int, w_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, units, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.affine = EqualizedLinear(w_dim, units, gain=1, bias=1.0)
        self.register_buffer("magnitude", torch.ones(()))
        self.scale = 1 / math.sqrt(units)

    def forward(
        self, x: Float[Tensor, "batch unit h w"], w: Float[Tensor, "batch w_dim"], canvas: LayerCanvas
    ) -> Float[Tensor, "batch 3 H W"]:
        """Return the images of the last layer's activations ``x`` and latent vectors ``w``."""
        style = self.affine(w) * (self.scale * self.magnitude.rsqrt())
        x = functional.conv2d(canvas.fill_margin(x) * style[:, :, None, None], self.weight, self.bias)
        return (x.clamp(-LIMIT, LIMIT) * BRIGHTNESS).float()


def _bounded_relu(x: Tensor) -> Tensor:
    return (functional.leaky_relu(x, 0.2) * SQRT2).clamp(-LIMIT, LIMIT)
