"""Mergeable streaming statistics: however the data are split, the result is the same bit for bit.

Counts are int64. Memory depends on the number of units and concepts, not on the number of samples.
"""

from __future__ import annotations

from typing import Any, Protocol, Self

import torch
from jaxtyping import Float64, Int64
from torch import Tensor


class Statistic(Protocol):
    """A statistic that can be updated in parts, merged, saved and computed."""

    def merge(self, other: Self) -> None:
        """Add the data of another statistic with the same class and settings."""

    def compute(self) -> Any:
        """Return the result."""

    def state(self) -> dict[str, Tensor]:
        """Return the accumulated state."""

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Replace the accumulated state with one that `state` returned."""


class TensorState:
    """Base class of statistics whose state is a few tensors of fixed shape."""

    _names: tuple[str, ...]

    def state(self) -> dict[str, Tensor]:
        """Return copies of the state's tensors by name."""
        return {name: getattr(self, name).clone() for name in self._names}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Replace the state with copies of tensors that `state` returned.

        Raises:
            ValueError: If a tensor is missing or has another shape or dtype.
        """
        for name in self._names:
            mine, tensor = getattr(self, name), state.get(name)
            if tensor is None or tensor.shape != mine.shape or tensor.dtype != mine.dtype:
                actual = "none" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"
                raise ValueError(f"state {name!r} must be {mine.dtype} {list(mine.shape)}; got {actual}")
            setattr(self, name, tensor.to(mine.device).clone())


class AreaMoments(TensorState):
    """Mean and covariance of the share of an image that each concept occupies.

    Let a_c(x) be the number of pixels of image x that belong to concept c, out of P pixels. Over n images,

        mean_c = sum_x a_c / (n P),    covariance_cd = (n sum_x a_c a_d - sum_x a_c sum_x a_d) / (n (n - 1) P^2);

    The sums are integers, so both are exact up to a single rounding.

    Args:
        num_concepts: Number of concepts.
        num_pixels: Number of pixels per image, P.
    """

    _names = ("num_images", "areas", "products")

    def __init__(self, num_concepts: int, num_pixels: int) -> None:
        self.num_pixels = num_pixels
        self.num_images = torch.zeros((), dtype=torch.int64, device="cpu")
        self.areas = torch.zeros(num_concepts, dtype=torch.int64, device="cpu")
        self.products = torch.zeros(num_concepts, num_concepts, dtype=torch.int64, device="cpu")

    def update(self, areas: Int64[Tensor, "image concept"]) -> None:
        """Add the areas of some images, int64 ``[image, concept]``, in pixels.

        Raises:
            ValueError: If the sums would overflow 64 bits.
        """
        areas = areas.cpu()  # only the CPU multiplies integer matrices
        self._add(torch.tensor(len(areas), dtype=torch.int64, device="cpu"), areas.sum(0), areas.T @ areas)

    def merge(self, other: AreaMoments) -> None:
        """Add the sums of another statistic.

        Raises:
            ValueError: If its images have another size, or the sums would overflow 64 bits.
        """
        if other.num_pixels != self.num_pixels:
            raise ValueError(f"areas of {self.num_pixels} and of {other.num_pixels} pixels cannot be merged")
        self._add(
            other.num_images, prepare_merge(self.areas, other.areas), prepare_merge(self.products, other.products)
        )

    def compute(self) -> dict[str, Float64[Tensor, "*_"]]:
        """Return ``mean`` ``[concept]`` and the unbiased ``covariance`` ``[concept, concept]``, float64.

        Raises:
            ValueError: If there are fewer than 2 images.
        """
        count, pixels = int(self.num_images), self.num_pixels
        if count < 2:
            raise ValueError(f"a covariance needs at least 2 images; got {count}")
        areas, products = (sums.numpy().astype(object) for sums in (self.areas, self.products))  # unbounded integers
        mean = areas / (count * pixels)
        covariance = (count * products - areas[:, None] * areas) / (count * (count - 1) * pixels**2)
        return {
            name: torch.tensor(table.tolist(), dtype=torch.float64, device="cpu")
            for name, table in (("mean", mean), ("covariance", covariance))
        }

    def _add(
        self,
        num_images: Int64[Tensor, ""],
        areas: Int64[Tensor, " concept"],
        products: Int64[Tensor, "concept concept"],
    ) -> None:
        """Add sums over more images."""
        total = self.num_images + num_images
        if int(total) * self.num_pixels**2 >= 2**63:
            raise ValueError(f"{int(total)} images of {self.num_pixels} pixels overflow the 64-bit sums")
        self.num_images, self.areas, self.products = total, self.areas + areas, self.products + products


def prepare_merge(mine: Tensor, other: Tensor) -> Tensor:
    """Return ``other`` on the device of ``mine``.

    Raises:
        ValueError: If the shapes differ.
    """
    if mine.shape != other.shape:
        raise ValueError(f"statistics of shapes {list(mine.shape)} and {list(other.shape)} cannot be merged")
    return other.to(mine.device)
