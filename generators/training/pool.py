"""A pool of earlier translations, some of which a discriminator sees in place of new ones.

Source: Shrivastava et al. 2017, arXiv 1612.07828, Sec. 2.3; Zhu et al. 2017, arXiv 1703.10593, Sec. 4.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .draws import Draws


class PicturePool:
    """A pool of pictures.

    Args:
        size: Largest number of pictures that it keeps; 0 keeps none.
    """

    def __init__(self, size: int) -> None:
        self.size, self.pictures = size, list[Tensor]()

    def exchange(self, pictures: Float[Tensor, "batch 3 H W"], draws: Draws) -> Float[Tensor, "batch 3 H W"]:
        """Return each picture, or with probability 1/2 an earlier one, whose place it takes in the pool.

        Until the pool is full, each picture is kept and returned.

        Args:
            pictures: Pictures, which are taken in order.
            draws: Draws the choices, for as many pictures.
        """
        if not self.size:
            return pictures
        replaces, places = (draws.uniform() < 0.5).tolist(), draws.integers(0, self.size).tolist()
        chosen = [self._exchange_one(*each) for each in zip(pictures.detach(), replaces, places, strict=True)]
        return torch.stack(chosen).contiguous(memory_format=torch.channels_last)

    def state_dict(self) -> dict[str, Any]:
        """Return the pictures."""
        return {"pictures": list(self.pictures)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.pictures = list(state["pictures"])

    def _exchange_one(self, picture: Tensor, replaces: bool, place: int) -> Tensor:
        if len(self.pictures) < self.size:
            self.pictures.append(picture.clone())
            return picture
        if not replaces:
            return picture
        earlier, self.pictures[place] = self.pictures[place], picture.clone()
        return earlier
