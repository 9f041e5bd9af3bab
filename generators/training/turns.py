"""What a training step consists of: turns, each of which updates some networks by one loss.

A GAN's step has two turns: the discriminator's, which may be repeated, and the generator's. Others have more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from .growth import Growth

if TYPE_CHECKING:
    from .engine import TrainingTask

Figures: TypeAlias = Mapping[str, Float[Tensor, ""]]
"""Scalars to log, by name."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The moment at which a turn is taken; all of its random draws derive from it.

    Attributes:
        number: Number of times that this turn was taken before, over the whole training.
        growth: How far the networks have grown.
    """

    number: int
    growth: Growth


@dataclass(frozen=True, slots=True)
class Turn:
    """One update of some networks.

    Attributes:
        updates: Names of the networks whose optimizers take a step; all others are frozen meanwhile.
        loss: Returns the loss to descend and the figures to log.
        times: Number of times that the turn is taken per step, each with its own pictures and draws.
        after: Actions after the optimizers' steps, such as clipping weights.
    """

    updates: tuple[str, ...]
    loss: Callable[[Moment], tuple[Float[Tensor, ""], Figures]]
    times: int = 1
    after: tuple[Callable[[Moment], None], ...] = ()

    def take(self, task: TrainingTask[Any], step: int, growth: Growth) -> dict[str, Float[Tensor, ""]]:
        """Take the turn `times` times and return its figures, averaged over them."""
        taken = [self._take_once(task, Moment(step * self.times + repeat, growth)) for repeat in range(self.times)]
        return {name: torch.stack([figures[name] for figures in taken]).mean() for name in taken[0]}

    def _take_once(self, task: TrainingTask[Any], moment: Moment) -> dict[str, Float[Tensor, ""]]:
        frozen = [network for name, network in task.networks.items() if name not in self.updates]
        for network in frozen:
            network.requires_grad_(False)
        loss, figures = self.loss(moment)
        task.descend(self.updates, loss)
        for network in frozen:
            network.requires_grad_(True)
        for act in self.after:
            act(moment)
        return {name: figure.detach().float() for name, figure in figures.items()}


def clip_weights(network: torch.nn.Module, bound: float) -> Callable[[Moment], None]:
    """Return an action that clips every weight of a network to [-bound, bound].

    Source: Arjovsky et al. 2017, Algorithm 1.
    """

    @torch.no_grad()
    def clip(_moment: Moment) -> None:
        for weight in network.parameters():
            weight.clamp_(-bound, bound)

    return clip
