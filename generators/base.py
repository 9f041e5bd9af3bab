"""What every generator here has in common: a chain of named stages.

The image is ``stage_n(... stage_1(input(z)))``. Each stage but the last is a *layer*: its output is what
`head` returns, and what `tail` continues from. Splitting the chain changes no operation, so
``tail(head(z, layer), layer, z)`` equals ``G(z)`` bit for bit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from copy import deepcopy
from functools import cached_property
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gandissect.files import hash_tensors
from gandissect.names import lookup
from gandissect.sampling import sample_z
from gandissect.types import LayerInfo


class LayeredGenerator(nn.Module):
    """A generator that runs its child modules one after the other.

    A subclass registers its stages as children, in order, and says what the first of them is given
    (`input`). The last child makes the image and is not a layer.

    Args:
        z_dim: Length of a latent vector, 1 or more.
        settings: The keyword arguments that make the same architecture again, JSON values.
    """

    architecture: str
    """The name under which the hub knows this family."""

    def __init__(self, z_dim: int, settings: Mapping[str, Any]) -> None:
        super().__init__()
        if z_dim < 1:
            raise ValueError(f"z_dim is 1 or more; got {z_dim}")
        self.z_dim = z_dim
        self.settings = dict(settings)
        self.name = self.architecture

    def input(self, z: Float[Tensor, "batch z"]) -> Float[Tensor, "batch unit h w"]:
        """Return what the first stage is given for latent vectors ``[batch, z_dim]``."""
        return z[:, :, None, None]

    @property
    def layers(self) -> Mapping[str, LayerInfo]:
        """The layers in order from input to output."""
        return MappingProxyType({name: self._shapes[name] for name, _ in self._stages[:-1]})

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of an image."""
        image = self._shapes[self._stages[-1][0]]
        return image.height, image.width

    @cached_property
    def _shapes(self) -> dict[str, LayerInfo]:
        """What each stage returns for one sample, found by running a copy, so that this one stays as it is."""
        unhooked = {id(module._forward_hooks): OrderedDict() for module in self.modules()}  # those of an open trace
        chain = deepcopy(self, unhooked).eval()
        x = chain.input(torch.zeros(1, self.z_dim, device=self.device))
        shapes = {}
        with torch.no_grad():
            for name, stage in chain._stages:
                x = stage(x)
                shapes[name] = LayerInfo(*x.shape[1:])
        return shapes

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.parameters()).device

    @property
    def fingerprint(self) -> str:
        """SHA-256 of architecture, settings and weights, hexadecimal."""
        return hash_tensors(self.state_dict(), {"architecture": self.architecture, "settings": self.settings})

    def sample_z(self, num_samples: int, seed: int = 0, start: int = 0) -> Float[Tensor, "batch z"]:
        """Draw standard normal latent vectors.

        Args:
            num_samples: How many, 0 or more.
            seed: Which sequence.
            start: Index of the first; row ``i`` depends on ``(seed, start + i)`` only.

        Returns:
            float32 ``[num_samples, z_dim]`` on CPU.
        """
        return sample_z(num_samples, self.z_dim, seed, start)

    def forward(self, z: Tensor) -> Float[Tensor, "batch 3 H W"]:
        """Return the images of ``z``.

        Args:
            z: float32 ``[batch, z_dim]``, on any device.

        Returns:
            float32 ``[batch, 3, H, W]``, nominally in [-1, 1], on the generator's device.

        Raises:
            ValueError: If ``z`` has another shape or holds no floating-point numbers.
        """
        return self._run(self._start(z), 0, len(self._stages))

    def head(self, z: Tensor, layer: str) -> Float[Tensor, "batch unit h w"]:
        """Return the activations of a layer.

        Args:
            z: float32 ``[batch, z_dim]``.
            layer: One of `layers`.

        Returns:
            float32 ``[batch, unit, h, w]``.

        Raises:
            KeyError: If there is no such layer.
            ValueError: If ``z`` has another shape.
        """
        return self._run(self._start(z), 0, self._position(layer) + 1)

    def tail(self, activation: Tensor, layer: str, z: Tensor) -> Float[Tensor, "batch 3 H W"]:
        """Return the images that a layer's activations lead to.

        Args:
            activation: float32 ``[batch, unit, h, w]`` of that layer.
            layer: One of `layers`.
            z: The latent vectors, ``[batch, z_dim]``; architectures with styles carry them along.

        Returns:
            float32 ``[batch, 3, H, W]``; ``tail(head(z, layer), layer, z)`` equals ``G(z)`` bit for bit.

        Raises:
            KeyError: If there is no such layer.
            ValueError: If the shapes do not fit.
        """
        position = self._position(layer)
        info = self.layers[layer]
        expected = (len(z), info.units, info.height, info.width)
        if tuple(activation.shape) != expected:
            raise ValueError(f"{layer!r} has activations {expected} for {len(z)} z; got {tuple(activation.shape)}")
        return self._run(self._placed(activation), position + 1, len(self._stages))

    @property
    def _stages(self) -> list[tuple[str, nn.Module]]:
        return list(self.named_children())

    def _position(self, layer: str) -> int:
        return lookup({name: index for index, (name, _) in enumerate(self._stages[:-1])}, layer, "layer")

    def _start(self, z: Tensor) -> Tensor:
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"{self.name} takes z of shape [batch, {self.z_dim}]; got {list(z.shape)}")
        return self.input(self._placed(z))

    def _placed(self, x: Tensor) -> Tensor:
        """Return a tensor on the generator's device; float64, which numpy makes, becomes float32."""
        if not x.is_floating_point():
            raise ValueError(f"{self.name} takes float32 numbers; got {x.dtype}")
        return x.to(self.device, torch.float32 if x.dtype == torch.float64 else x.dtype)

    def _run(self, x: Tensor, start: int, stop: int) -> Tensor:
        for _, stage in self._stages[start:stop]:
            x = stage(x)
        return x
