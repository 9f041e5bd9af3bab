"""Forcing units off, on, or to a multiple of what they are.

An edit is a value. With the units' activations ``a``, what they are forced to ``t(a)``, and a region ``m`` in [0, 1] on
the layer's grid (1 everywhere if there is none), it makes

    a <- (1 - m) a + m t(a),    t(a) = (1 - strength) a  (ablation),   v  (insertion),   factor a  (scaling).

Edits are handed to `generate`, which is a pure function, or to `intervene` for any torch module; nothing is changed or
registered on the network, so that threads may share it.

Source: Bau et al. 2019, Sec. 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Shaped
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

from ..core.sampling import check_seed, make_rng
from ..core.types import UnitSet

Size = tuple[int, int]


class Edit:
    """What `Ablation`, `Insertion` and `Scaling` have in common: some units of one layer, and a region.

    A region is a mask, bool or floats in [0, 1], ``[h, w]`` on the layer's grid or ``[H, W]`` on the image (then a cell
    has the largest value of its pixels), or one for each image, ``[batch, h, w]``; None is everywhere. It is copied.
    """

    __slots__ = ()
    units: UnitSet
    region: Shaped[Tensor, "*batch rows columns"] | None

    def __post_init__(self) -> None:
        if not isinstance(self.units, UnitSet):
            raise TypeError(f"an edit is of a UnitSet(layer, units); got {type(self.units).__name__}")
        if self.region is not None:
            object.__setattr__(self, "region", check_region(self.region))

    def target(self, chosen: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "... unit #h #w"]:
        """Return what activations ``[batch, unit, h, w]`` of the units are forced to."""
        raise NotImplementedError

    def apply(
        self, activation: Float[Tensor, "batch unit h w"], image_size: Size | None = None
    ) -> Float[Tensor, "batch unit h w"]:
        """Return a layer's edited activations; those given stay as they are.

        Args:
            activation: ``[batch, unit, h, w]``.
            image_size: Height and width of the images, if a region may be on them.

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


@dataclass(frozen=True, slots=True, eq=False)
class Ablation(Edit):
    """Units switched off.

    Args:
        units: Which units of which layer.
        region: Where, as for every `Edit`; everywhere if None.
        strength: How far, 0 (not at all) to 1 (to zero).

    Raises:
        TypeError: If the units are no `UnitSet`.
        ValueError: If a number is out of range, or the region is no such mask.
    """

    units: UnitSet
    region: Shaped[Tensor, "*batch rows columns"] | None = None
    strength: float = 1.0

    def __post_init__(self) -> None:
        Edit.__post_init__(self)
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength is 0 to 1; got {self.strength}")

    def target(self, chosen: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit h w"]:
        """Return the damped activations."""
        return torch.zeros_like(chosen) if self.strength == 1 else chosen * (1 - self.strength)


@dataclass(frozen=True, slots=True, eq=False)
class Insertion(Edit):
    """Units forced to given values.

    Args:
        units: Which units of which layer.
        values: One number for all units, or one for each, in their order.
        region: Where, as for every `Edit`; everywhere if None.

    Raises:
        TypeError: If the units are no `UnitSet`.
        ValueError: If a number is out of range, or the region is no such mask.
    """

    units: UnitSet
    values: float | Sequence[float] | Shaped[Tensor, "*unit"]
    region: Shaped[Tensor, "*batch rows columns"] | None = None

    def __post_init__(self) -> None:
        Edit.__post_init__(self)
        values = torch.as_tensor(self.values, dtype=torch.float32, device="cpu")
        if values.ndim > 1 or values.numel() not in (1, len(self.units)) or not bool(values.isfinite().all()):
            raise ValueError(
                f"values are finite: one number, or one for each of the {len(self.units)} units; got {self.values}"
            )
        object.__setattr__(self, "values", tuple(values.reshape(-1).expand(len(self.units)).tolist()))

    def target(self, chosen: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "unit 1 1"]:
        """Return the values."""
        return torch.tensor(self.values, dtype=chosen.dtype, device=chosen.device)[:, None, None]


@dataclass(frozen=True, slots=True, eq=False)
class Scaling(Edit):
    """Units boosted or damped.

    Args:
        units: Which units of which layer.
        factor: What they are multiplied by, finite.
        region: Where, as for every `Edit`; everywhere if None.

    Raises:
        TypeError: If the units are no `UnitSet`.
        ValueError: If a number is out of range, or the region is no such mask.
    """

    units: UnitSet
    factor: float
    region: Shaped[Tensor, "*batch rows columns"] | None = None

    def __post_init__(self) -> None:
        Edit.__post_init__(self)
        if not math.isfinite(self.factor):
            raise ValueError(f"factor is a finite number; got {self.factor}")

    def target(self, chosen: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit h w"]:
        """Return the multiplied activations."""
        return chosen * self.factor


def check_units(units: UnitSet, num_units: int) -> None:
    """Refuse units that a layer does not have.

    Raises:
        ValueError: Naming them.
    """
    if wrong := [unit for unit in units.units if unit >= num_units]:
        raise ValueError(f"{units.layer!r} has the units 0 to {num_units - 1}; got {', '.join(map(str, wrong))}")


def check_region(region: Tensor) -> Float32[Tensor, "*batch rows columns"]:
    """Return a copy of a region as float32, so that nobody can change it later.

    Raises:
        ValueError: If it is no mask ``[h, w]`` or ``[batch, h, w]`` in [0, 1].
    """
    mask = torch.as_tensor(region, device="cpu")
    if mask.ndim not in {2, 3} or not mask.numel() or mask.is_complex():
        raise ValueError(f"a region is a mask [h, w] or [batch, h, w]; got {mask.dtype} {list(mask.shape)}")
    mask = mask.detach().to(torch.float32, copy=True)
    if not bool(((mask >= 0) & (mask <= 1)).all()):
        raise ValueError(f"a region lies in [0, 1]; got {float(mask.min()):g} to {float(mask.max()):g}")
    return mask


def region_mask(
    region: Float32[Tensor, "*batch rows columns"],
    layer: str,
    activation: Float[Tensor, "batch unit h w"],
    image_size: Size | None,
) -> Float32[Tensor, "#batch 1 h w"]:
    """Return a region on a layer's grid.

    Args:
        region: What `check_region` returned.
        layer: What to call the layer in a message.
        activation: Its activations, ``[batch, unit, h, w]``.
        image_size: Height and width of the images, if the region may be on them.

    Returns:
        float32 ``[batch or 1, 1, h, w]``.

    Raises:
        ValueError: If the region fits neither the grid nor the image, or the batch.
    """
    masks = region[:, None] if region.ndim == 3 else region[None, None]
    grid, size = tuple(activation.shape[2:]), tuple(region.shape[-2:])
    if len(masks) not in (1, len(activation)) or size not in (grid, image_size):
        image = "" if image_size is None else f" or the image, {list(image_size)}"
        raise ValueError(
            f"a region is on the grid of {layer!r}, {list(grid)}{image}, one for all images or one for "
            f"each of the {len(activation)}; got {list(region.shape)}"
        )
    return masks if size == grid else adaptive_max_pool2d(masks, grid)


def control_units(units: UnitSet, num_units: int, seed: int = 0) -> UnitSet:
    """Return as many random units of the layer, none of the given ones while there are enough others.

    Args:
        units: The units that need a control.
        num_units: How many units the layer has.
        seed: Of the draw.
    """
    seed = check_seed(seed)
    rng = make_rng(seed, "control", units.layer, len(units))
    order = torch.randperm(num_units, generator=rng, device="cpu").tolist()
    others = [unit for unit in order if unit not in set(units.units)]
    return UnitSet(units.layer, tuple([*others, *units.units][: len(units)]))
