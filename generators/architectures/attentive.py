"""Base class of class-conditional generators in which a layer ends with self-attention.

Source: Zhang et al. 2019, arXiv 1805.08318, Sec. 3.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

from jaxtyping import Float
from torch import Tensor

from gandissect.core.ranges import Range, check_number

from .conditional import ConditionalGenerator
from .resnet import Attention


class AttentiveBlock(Protocol):
    """A residual block that ends with self-attention."""

    def add_branches(
        self, x: Float[Tensor, "batch before _ _"], condition: Float[Tensor, "batch condition"], /
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the sum of both branches, before self-attention."""


class AttentiveGenerator(ConditionalGenerator):
    """A class-conditional generator whose blocks may end with self-attention.

    Attributes:
        attentive_layer: Name of the first layer that ends with self-attention; empty if there is none.
    """

    attentive_layer: str

    def condition_of(self, context: Any, position: int) -> Float[Tensor, "batch condition"]:  # noqa: ARG002
        """Return what the block at a position, counted from 0 at the first layer, is given of the context."""
        condition: Tensor = context
        return condition

    def attention_map(self, z: Float[Tensor, "batch z"], row: int, column: int) -> Float[Tensor, "batch key_h key_w"]:
        """Return where a cell of the attentive layer's grid looks.

        Args:
            z: Rows, float32 ``[batch, z_dim]``.
            row: Row of the cell in the grid of ``layers[attentive_layer]``, from 0.
            column: Column of the cell, from 0.

        Returns:
            float32 ``[batch, h / 2, w / 2]``, the share of each cell of a grid of half the height and width in the
                mean that is added to the cell; the shares of an image sum to 1.

        Raises:
            ValueError: If no layer has self-attention, the cell is outside the grid, or ``z`` has another shape.
        """
        if not self.attentive_layer:
            raise ValueError(f"{self.name} has no layer with self-attention; train or import one that has")
        grid = self.layers[self.attentive_layer]
        for name, value, count in (("row", row, grid.height), ("column", column, grid.width)):
            check_number(name, value, Range(0, count - 1, whole=True))
        latent, position = self._prepare_z(z), self._position(self.attentive_layer)
        block, context = cast(AttentiveBlock, self.find_stage(self.attentive_layer)), self.context(latent)
        x = block.add_branches(self.run(self.input(latent), context, 0, position), self.condition_of(context, position))
        attention = self.find_part(self.attentive_layer, "attention", Attention)
        shares = attention.shares(x)[:, row * grid.width + column]
        return shares.reshape(-1, grid.height // 2, grid.width // 2)
