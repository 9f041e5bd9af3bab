"""Base class of all generators: architectures of this package and wrapped third-party modules."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import chain
from typing import Self, TypeAlias

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from gandissect.core.lookup import lookup
from gandissect.core.sampling import sample_z
from gandissect.core.types import LayerInfo, UnitSet, check_type

from .forced import ForcedUnits, check_forced, describe_forced

Latent: TypeAlias = Float[Tensor, "batch z"] | Float[Tensor, "batch num_ws w_dim"]
"""Latent vectors ``z``, or layer-wise ``ws`` for generators that have them."""


class GeneratorBase(nn.Module):
    """A generator with named layers: sampling and checks of latent vectors, and forced units.

    Attributes:
        z_dim: Length of a latent vector.
        name: Name of the generator.
    """

    z_dim: int
    name: str

    @property
    @abstractmethod
    def layers(self) -> Mapping[str, LayerInfo]:
        """The layers in order from input to output."""

    @abstractmethod
    def add_forced_units(self, layer: str, num_units: int) -> ForcedUnits:
        """Replace the module of a layer by one that can force units, and return it.

        Raises:
            KeyError: If there is no such layer.
        """

    @property
    def device(self) -> torch.device:
        """Device of the parameters and buffers."""
        tensors = (tensor for child in self.children() for tensor in chain(child.parameters(), child.buffers()))
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    def sample_z(self, num_samples: int, seed: int = 0, start: int = 0) -> Float32[Tensor, "batch z"]:
        """Draw standard normal latent vectors.

        Args:
            num_samples: Number of latent vectors, at least 0.
            seed: Seed of the latent vectors.
            start: Index of the first latent vector; row ``i`` depends only on ``(seed, start + i)``.

        Returns:
            float32 ``[num_samples, z_dim]`` on CPU.
        """
        return sample_z(num_samples, self.z_dim, seed, start)

    def forcing(self, units: UnitSet, values: Sequence[float]) -> Self:
        """Return a copy of this generator in which units of a layer are permanently forced to values.

        The copy can be saved and loaded like any generator. Forcing a unit again replaces its value.

        Args:
            units: Layer and units to force.
            values: One finite number per unit, in the same order; 0 switches a unit off.

        Raises:
            KeyError: If there is no such layer.
            TypeError: If torch cannot copy the generator.
            ValueError: If the layer has no such unit, or the values are not one finite number per unit.
        """
        num_units = lookup(self.layers, units.layer, "layer").units
        check_forced(units, values, num_units)
        copy = self._copy()
        if len(units):
            copy.add_forced_units(units.layer, num_units).force(units.units, values)
            copy.name = f"{self.name} {describe_forced(units, values)}"
        return copy

    def _copy(self) -> Self:
        return deepcopy(self)

    def _prepare_z(self, z: Tensor) -> Tensor:
        """Return latent vectors on the generator's device.

        Raises:
            ValueError: If they have another shape, are not floats, or contain NaN or infinity.
        """
        check_type("z", z, Tensor, "convert an array with torch.as_tensor")
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"{self.name} takes z of shape [batch, {self.z_dim}]; got {list(z.shape)}")
        self._check_finite(z)
        return self._place(z)

    def _check_finite(self, latents: Tensor) -> None:
        """Check that latent vectors are finite, except while the generator is traced or compiled.

        Raises:
            ValueError: If a latent vector is not finite; the message names the first such row.
        """
        if torch._C._get_tracing_state() or torch.compiler.is_compiling() or latents.is_meta:
            return
        finite = latents.isfinite().flatten(1).all(1)
        if not bool(finite.all()):
            row = int((~finite).nonzero()[0])
            raise ValueError(f"latent vectors must be finite; got NaN or infinity in row {row} for {self.name}")

    def _check_activation(self, activation: Tensor, layer: str, batch: int) -> None:
        """Check the shape of a layer's activation for a batch size.

        Raises:
            KeyError: If there is no such layer.
            ValueError: If it has another shape.
        """
        info = lookup(self.layers, layer, "layer")
        check_type("the activation", activation, Tensor, "convert an array with torch.as_tensor")
        expected = (batch, info.units, info.height, info.width)
        if tuple(activation.shape) != expected:
            raise ValueError(f"{layer!r} must have activations {expected} for {batch} z; got {tuple(activation.shape)}")

    def _place(self, x: Tensor) -> Tensor:
        """Return a tensor on the generator's device; float64, NumPy's default, becomes float32."""
        own = next((parameter.dtype for parameter in self.parameters()), torch.float32)
        if x.dtype not in {torch.float32, torch.float64, own}:
            raise ValueError(f"{self.name} takes float32; got {x.dtype}; convert it with .float()")
        return x.to(self.device, torch.float32 if x.dtype == torch.float64 else x.dtype)
