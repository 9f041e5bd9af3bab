"""Force units off, force them on, or multiply their activations.

An edit is a value. Let ``a`` be the units' activations, ``t(a)`` their target, and ``m`` a region in [0, 1] on the
layer's grid (1 everywhere without a region). The edit computes

    a <- (1 - m) a + m t(a),    t(a) = (1 - strength) a  (ablation),   v  (insertion),   factor a  (scaling).

Pass edits to `generate`, a pure function, or to `intervene`, which works for any torch module. The network itself is
not modified, and nothing is registered on it, so threads may share it.

Source: Bau et al. 2019, Sec. 3.2.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Shaped
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

from ..core.display import Displayed, count_units
from ..core.sampling import check_seed, make_rng
from ..core.types import UnitSet

Size = tuple[int, int]


class Edit(Displayed, ABC):
    """Base class of `Ablation`, `Insertion` and `Scaling`: units of one layer, and a region.

    A region is a mask, bool or float in [0, 1]: ``[h, w]`` on the layer's grid, ``[H, W]`` on the image (a cell takes
    the maximum over its pixels), or one mask per image, ``[batch, h, w]``. None means everywhere. The mask is copied.
    """

    __slots__ = ()
    units: UnitSet
    region: Shaped[Tensor, "*batch rows columns"] | None

    def __post_init__(self) -> None:
        if not isinstance(self.units, UnitSet):
            raise TypeError(f"units must be a UnitSet(layer, units); got {type(self.units).__name__}")
        if self.region is not None:
            object.__setattr__(self, "region", check_region(self.region))

    @abstractmethod
    def target(self, chosen: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "... unit #h #w"]:
        """Return the values that the units' activations ``[batch, unit, h, w]`` are forced to."""

    def apply(
        self, activation: Float[Tensor, "batch unit h w"], image_size: Size | None = None
    ) -> Float[Tensor, "batch unit h w"]:
        """Return a layer's edited activations without changing the original ones.

        Args:
            activation: Activations of the layer, ``[batch, unit, h, w]``.
            image_size: Height and width of the images; None if a region cannot be on the image.

        Raises:
            ValueError: If the layer has no such unit, or the region fits neither its grid nor the image.
        """
        check_units(self.units, activation.shape[1])
        if not self.units.units:
            return activation
        index = torch.tensor(self.units.units, dtype=torch.int64, device=activation.device)
        chosen = activation[:, index]
        forced = self.target(chosen).to(chosen).expand_as(chosen)
        if self.region is not None:
            mask = region_mask(self.region, self.units.layer, activation, image_size)
            mask = mask.to(chosen)
            partly = torch.where(mask == 1, forced, torch.lerp(chosen, forced, mask))
            forced = torch.where(mask == 0, chosen, partly)  # 0 times infinity is not 0
        return activation.index_copy(1, index, forced)

    def _summarize(self) -> str:
        region = "" if self.region is None else f", region {list(self.region.shape)}"
        return f"{count_units(len(self.units), self.units.layer)}{region}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Ablation(Edit):
    """Switch units off.

    Args:
        units: Units to switch off.
        region: Mask of the region to edit (see `Edit`); everywhere if None.
        strength: Strength of the ablation, from 0 (no change) to 1 (to zero).

    Raises:
        TypeError: If ``units`` is not a `UnitSet`.
        ValueError: If the strength is out of range, or the region is not a valid mask.

    Examples:
        >>> from gandissect import Ablation, UnitSet
        >>> Ablation(UnitSet("layer4", (3, 7)), strength=0.5)
        Ablation(2 units of layer4, strength=0.5)
    """

    units: UnitSet
    region: Shaped[Tensor, "*batch rows columns"] | None = None
    strength: float = 1.0

    def __post_init__(self) -> None:
        Edit.__post_init__(self)
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must be in [0, 1]; got {self.strength}")

    def target(self, chosen: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit h w"]:
        """Return the attenuated activations."""
        return torch.zeros_like(chosen) if self.strength == 1 else chosen * (1 - self.strength)

    def _summarize(self) -> str:
        return f"{Edit._summarize(self)}, strength={self.strength:g}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Insertion(Edit):
    """Force units to given values.

    Args:
        units: Units to force.
        values: One number for all units, or one per unit in the order of ``units``.
        region: Mask of the region to edit (see `Edit`); everywhere if None.

    Raises:
        TypeError: If ``units`` is not a `UnitSet`.
        ValueError: If a value is not finite, the number of values is wrong, or the region is not a valid mask.

    Examples:
        >>> from gandissect import Insertion, UnitSet
        >>> Insertion(UnitSet("layer4", (3, 7)), values=(2.5, 4.0))
        Insertion(2 units of layer4, values 2.5 to 4)
    """

    units: UnitSet
    values: float | Sequence[float] | Shaped[Tensor, "*unit"]
    region: Shaped[Tensor, "*batch rows columns"] | None = None

    def __post_init__(self) -> None:
        Edit.__post_init__(self)
        values = torch.as_tensor(self.values, dtype=torch.float32, device="cpu")
        if values.ndim > 1 or values.numel() not in (1, len(self.units)) or not bool(values.isfinite().all()):
            raise ValueError(
                f"values must be finite: one number, or one for each of the {len(self.units)} units; got {self.values}"
            )
        object.__setattr__(self, "values", tuple(values.reshape(-1).expand(len(self.units)).tolist()))

    def target(self, chosen: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "unit 1 1"]:
        """Return the values."""
        return torch.tensor(self.values, dtype=chosen.dtype, device=chosen.device)[:, None, None]

    def _summarize(self) -> str:
        values = self.values if isinstance(self.values, tuple) else ()
        reach = f", values {min(values):.3g} to {max(values):.3g}" if values else ""
        return f"{Edit._summarize(self)}{reach}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Scaling(Edit):
    """Multiply the activations of units by a factor.

    Args:
        units: Units to scale.
        factor: Finite factor.
        region: Mask of the region to edit (see `Edit`); everywhere if None.

    Raises:
        TypeError: If ``units`` is not a `UnitSet`.
        ValueError: If the factor is not finite, or the region is not a valid mask.
    """

    units: UnitSet
    factor: float
    region: Shaped[Tensor, "*batch rows columns"] | None = None

    def __post_init__(self) -> None:
        Edit.__post_init__(self)
        if not math.isfinite(self.factor):
            raise ValueError(f"factor must be finite; got {self.factor}")

    def target(self, chosen: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit h w"]:
        """Return the multiplied activations."""
        return chosen * self.factor

    def _summarize(self) -> str:
        return f"{Edit._summarize(self)}, factor={self.factor:g}"


def check_units(units: UnitSet, num_units: int) -> None:
    """Check that a layer has the units.

    Raises:
        ValueError: If it lacks some of them; the message lists them.
    """
    if wrong := [unit for unit in units.units if unit >= num_units]:
        raise ValueError(f"{units.layer!r} has units 0 to {num_units - 1}; got {', '.join(map(str, wrong))}")


def check_region(region: Tensor) -> Float32[Tensor, "*batch rows columns"]:
    """Return a float32 copy of a region, which later changes to the original do not affect.

    Raises:
        ValueError: If the region is not a mask ``[h, w]`` or ``[batch, h, w]`` in [0, 1].
    """
    mask = torch.as_tensor(region, device="cpu")
    if mask.ndim not in {2, 3} or not mask.numel() or mask.is_complex():
        raise ValueError(f"region must be a mask [h, w] or [batch, h, w]; got {mask.dtype} {list(mask.shape)}")
    mask = mask.detach().to(torch.float32, copy=True)
    if not bool(((mask >= 0) & (mask <= 1)).all()):
        raise ValueError(f"region must be in [0, 1]; got values from {float(mask.min()):g} to {float(mask.max()):g}")
    return mask


def region_mask(
    region: Float32[Tensor, "*batch rows columns"],
    layer: str,
    activation: Float[Tensor, "batch unit h w"],
    image_size: Size | None,
) -> Float32[Tensor, "#batch 1 h w"]:
    """Return a region as a mask on a layer's grid.

    Args:
        region: Region from `check_region`.
        layer: Name of the layer, for messages.
        activation: Activations of the layer, ``[batch, unit, h, w]``.
        image_size: Height and width of the images; None if the region cannot be on the image.

    Returns:
        float32 ``[batch or 1, 1, h, w]``.

    Raises:
        ValueError: If the region fits neither the grid nor the image, or the batch.
    """
    masks = region[:, None] if region.ndim == 3 else region[None, None]
    grid, size = tuple(activation.shape[2:]), tuple(region.shape[-2:])
    if len(masks) not in (1, len(activation)) or size not in (grid, image_size):
        image = "" if image_size is None else f", or of the image, {list(image_size)}"
        raise ValueError(
            f"region must have the size of the grid of {layer!r}, {list(grid)}{image}, with one mask for all images or "
            f"one for each of the {len(activation)}; got {list(region.shape)}"
        )
    return masks if size == grid else adaptive_max_pool2d(masks, grid)


def control_units(units: UnitSet, num_units: int, seed: int = 0) -> UnitSet:
    """Return the same number of random units of the layer, excluding the given units if enough others exist.

    Args:
        units: Units that need a control.
        num_units: Number of units in the layer.
        seed: Seed of the random draw.
    """
    seed = check_seed(seed)
    rng = make_rng(seed, "control", units.layer, len(units))
    order = torch.randperm(num_units, generator=rng, device="cpu").tolist()
    others = [unit for unit in order if unit not in set(units.units)]
    return UnitSet(units.layer, tuple([*others, *units.units][: len(units)]))
