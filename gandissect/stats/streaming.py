"""Streaming statistics that merge: however the data are cut up, the result is the same bit for bit.

Counts are int64. Memory depends on the number of units and concepts, not on the number of samples.
"""

from __future__ import annotations

from typing import Any, Protocol, Self

import torch
from jaxtyping import Float64, Int64
from torch import Tensor


class Statistic(Protocol):
    """Something that is fed in parts, put together, kept and read out."""

    def merge(self, other: Self) -> None:
        """Add what another one of the same kind and settings has seen."""

    def compute(self) -> Any:
        """Return the result."""

    def state(self) -> dict[str, Tensor]:
        """Return everything seen so far."""

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Replace what was seen by what `state` returned."""


class TensorState:
    """A statistic whose state is a few tensors of fixed shape."""

    _names: tuple[str, ...]

    def state(self) -> dict[str, Tensor]:
        """Return copies of the tensors, by name."""
        return {name: getattr(self, name).clone() for name in self._names}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over copies of such tensors.

        Raises:
            ValueError: If they do not fit.
        """
        for name in self._names:
            mine, tensor = getattr(self, name), state.get(name)
            if tensor is None or tensor.shape != mine.shape or tensor.dtype != mine.dtype:
                actual = "none" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"
                raise ValueError(f"state {name!r} should be {mine.dtype} {list(mine.shape)}; got {actual}")
            setattr(self, name, tensor.to(mine.device).clone())


class AreaMoments(TensorState):
    """Mean and covariance of the shares of an image that the concepts take up.

    With a_c(x) the pixels of image x that belong to concept c, out of P pixels, over n images,

        mean_c = sum_x a_c / (n P),    covariance_cd = (n sum_x a_c a_d - sum_x a_c sum_x a_d) / (n (n - 1) P^2);

    the sums are whole numbers, so both come out exact, rounded once.

    Args:
        num_concepts: Concepts.
        num_pixels: P, pixels of one image.
    """

    _names = ("num_images", "areas", "products")

    def __init__(self, num_concepts: int, num_pixels: int) -> None:
        self.num_pixels = num_pixels
        self.num_images = torch.zeros((), dtype=torch.int64, device="cpu")
        self.areas = torch.zeros(num_concepts, dtype=torch.int64, device="cpu")
        self.products = torch.zeros(num_concepts, num_concepts, dtype=torch.int64, device="cpu")

    def update(self, areas: Int64[Tensor, "image concept"]) -> None:
        """Take in some images' areas, int64 ``[image, concept]``, in pixels.

        Raises:
            ValueError: If there are more images than 64 bits can sum up.
        """
        areas = areas.cpu()  # where whole numbers can be multiplied as matrices
        self._add(torch.tensor(len(areas), dtype=torch.int64, device="cpu"), areas.sum(0), areas.T @ areas)

    def merge(self, other: AreaMoments) -> None:
        """Add another one's sums.

        Raises:
            ValueError: If it is of images of another size, or together they are more than 64 bits can sum up.
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
            raise ValueError(f"a covariance needs 2 images or more; got {count}")
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
        """Add sums over other images."""
        total = self.num_images + num_images
        if int(total) * self.num_pixels**2 >= 2**63:
            raise ValueError(f"{int(total)} images of {self.num_pixels} pixels are more than 64 bits can sum up")
        self.num_images, self.areas, self.products = total, self.areas + areas, self.products + products


def prepare_merge(mine: Tensor, other: Tensor) -> Tensor:
    """Return ``other`` on the device of ``mine``.

    Raises:
        ValueError: If it has another shape.
    """
    if mine.shape != other.shape:
        raise ValueError(f"statistics of shapes {list(mine.shape)} and {list(other.shape)} cannot be merged")
    return other.to(mine.device)
