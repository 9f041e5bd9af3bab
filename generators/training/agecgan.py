"""Training of an Age-cGAN: a conditional GAN, then an encoder that returns the noise of its images.

The encoder learns from generated images of every class:

    E_z,y |z - E(G(z, y))|^2

with the averaged generator, which no longer changes. It thus never sees a real picture.

Source: Antipov et al. 2017, arXiv 1702.01983, Sec. 2.1 (the GAN) and 2.2.1 (the encoder).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from gandissect.storage.runs import update_ema

from ..architectures.base import LayeredGenerator
from ..architectures.encoder import Encoder
from ..hub import save
from .agecgan_settings import AgeCGANSettings
from .engine import Stateful
from .gan import GANTask
from .growth import Growth
from .turns import Figures, Moment, Turn

NUM_MEASURED = 256
"""Number of samples on which a snapshot measures the encoder."""


class AgeCGANTask(GANTask):
    """A conditional GAN, and an encoder of its images; see `TrainingTask` for the arguments."""

    settings: AgeCGANSettings

    def __init__(self, settings: AgeCGANSettings, *others: Any, **options: Any) -> None:
        super().__init__(settings, *others, **options)
        self.average_encoder = deepcopy(self.encoder).eval().requires_grad_(False)
        self._teacher: LayeredGenerator | None = None
        self._is_gan_phase = True

    @property
    def encoder(self) -> Encoder:
        """The encoder in training."""
        return cast(Encoder, self.networks["encoder"])

    @property
    def state(self) -> dict[str, Stateful]:
        """The averaged encoder, beside what a GAN has."""
        return super().state | {"average_encoder": self.average_encoder}

    def make_turns(self) -> Sequence[Turn]:
        """Return the turns of a GAN, and the encoder's."""
        return (*super().make_turns(), Turn(("encoder",), self.encoder_loss))

    def turns_at(self, index: int) -> Sequence[Turn]:
        """Return the turns of the phase that a step is in."""
        return self.turns[:-1] if self.settings.is_gan_phase(index * self.images_per_step) else self.turns[-1:]

    def learning_rate_at(self, name: str, index: int) -> float:
        """Return the learning rate of a network in a step."""
        return self.settings.learning_rate_of(name) * self.settings.decay_after(index * self.images_per_step)

    def step(self, index: int) -> dict[str, float]:
        """Take the turns of the step's phase; return their figures."""
        self._is_gan_phase = self.settings.is_gan_phase(index * self.images_per_step)
        return super().step(index)

    def update_averages(self, decay: float) -> None:
        """Move the average of what the phase trains."""
        if self._is_gan_phase:
            super().update_averages(decay)
        else:
            update_ema(self.average_encoder, self.encoder, decay)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        super().load_state_dict(state)
        self._teacher = None

    def encoder_loss(self, moment: Moment) -> tuple[Float[Tensor, ""], Figures]:
        """Return the mean squared error of the noise of generated images."""
        if self._teacher is None:
            self._teacher = self._make_average(moment.growth)
        rows = self.draw_rows("encoder", moment.number)
        with self.autocast():
            with torch.no_grad():
                images = self._teacher(rows)
            mean = self.connected["encoder"](images.float()).mean
        loss = (mean - self._noise_of(rows)).square().mean()
        return loss, {"loss_encoder": loss}

    @torch.no_grad()
    def measure(self, generator: LayeredGenerator, growth: Growth) -> dict[str, float]:
        """Return a GAN's figures, and the mean squared error of the noise of further generated images."""
        rows = generator.sample_z(NUM_MEASURED, seed=1).to(self.device)
        error = (self.average_encoder.encode(generator(rows)) - self._noise_of(rows)).square().mean()
        return super().measure(generator, growth) | {"encoder_error": float(error)}

    def write(self, generator: LayeredGenerator, path: Path, facts: dict[str, Any]) -> None:
        """Write the averaged generator and encoder to one file."""
        save(generator, path, facts, encoder=self.average_encoder, overwrite=True)

    def _noise_of(self, rows: Float[Tensor, "batch z"]) -> Float[Tensor, "batch noise"]:
        return rows[:, : self.generator.noise_dim]
