"""Settings of an evolutionary GAN's training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gandissect.core.ranges import POSITIVE, Range

from ..architectures.dcgan import SIZES as DCGAN_SIZES
from .settings import GANSettings

POINTS = 1
"""Resolution of points in the plane, for which the networks are multilayer perceptrons."""


@dataclass(frozen=True, slots=True)
class EvolutionSettings(GANSettings):
    """Settings of an evolutionary GAN's training: those of a GAN, whose ``loss`` is the discriminator's only.

    Args:
        fitness_gamma: Weight of diversity relative to quality in the fitness of a generator.
        survivors: Generators that survive each step; each has one child per loss in the next.

    Raises:
        ValueError: If a number is out of range; the message names the setting, its range and its option.
        KeyError: If an architecture, a loss or a policy is unknown.
    """

    fitness_gamma: float = 0.5
    survivors: int = 1

    RANGES: ClassVar[dict[str, Range]] = GANSettings.RANGES | {"fitness_gamma": Range(0), "survivors": POSITIVE}

    def __post_init__(self) -> None:
        GANSettings.__post_init__(self)
        if self.batch_size % self.survivors:
            raise ValueError(
                f"batch_size (--batch-size) must be a multiple of survivors (--survivors); got batch_size "
                f"{self.batch_size}, survivors {self.survivors}"
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Resolutions that the architecture has."""
        return (POINTS, *DCGAN_SIZES)
