"""Training of a pix2pix: a translator that learns from pairs of an input x and its picture y.

    discriminator  [E softplus(-D(x, y)) + E softplus(D(x, G(x)))] / 2
    generator      a E softplus(-D(x, G(x))) + l E|y - G(x)|

with a logit D for each patch, ``a = adversarial_weight`` and ``l = l1_weight``. Without ``a`` there is no turn of the
discriminator.

Source: Isola et al. 2017, arXiv 1611.07004, Eq. 1 to 4 and Sec. 3.3; the non-saturating loss, and the discriminator's
halved.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gandissect.core.pictures import pick_evenly
from gandissect.core.protocols import PairedSource, as_paired

from ..architectures.base import LayeredGenerator
from ..architectures.translator import Translator
from .engine import TrainingTask
from .growth import Growth
from .losses import logistic_discriminator, logistic_generator
from .pictures import RealBatch, read_views, to_images
from .translation import NUM_MEASURED, NUM_SHOWN, draw_columns, show_inputs
from .translation_settings import Pix2PixSettings
from .turns import Figures, Moment, Turn


class Pix2PixTask(TrainingTask[Pix2PixSettings]):
    """The generator and the discriminator of a pix2pix; see `TrainingTask` for the arguments."""

    @property
    def translator(self) -> Translator:
        """The generator in training."""
        return cast(Translator, self.generator)

    def make_turns(self) -> Sequence[Turn]:
        """Return the discriminator's turn, unless its weight is 0, and the generator's."""
        judge = (Turn(("discriminator",), self.discriminator_loss),) if self.settings.adversarial_weight else ()
        return (*judge, Turn(("generator",), self.generator_loss))

    def discriminator_loss(self, moment: Moment) -> tuple[Float[Tensor, ""], Figures]:
        """Return the discriminator's loss on pairs, and on their inputs with the generator's images."""
        batch, network = self.pictures.load(moment.number), self.connected["discriminator"]
        rows = self.rows_of(batch)
        with torch.no_grad():
            fake = self.generate(self.network, rows, "translate", moment.number, moment.growth)
        real_logits = self.judge(network, rows, batch.images)
        fake_logits = self.judge(network, rows, fake)
        loss = logistic_discriminator(real_logits, fake_logits) / 2
        return loss, {
            "loss_discriminator": loss,
            "logit_real": real_logits.mean(),
            "logit_fake": fake_logits.mean(),
        }

    def generator_loss(self, moment: Moment) -> tuple[Float[Tensor, ""], Figures]:
        """Return the generator's loss on the inputs of the same pairs."""
        settings, batch = self.settings, self.pictures.load(moment.number)
        rows = self.rows_of(batch)
        fake = self.generate(self.connected["generator"], rows, "translate", moment.number, moment.growth)
        error = functional.l1_loss(fake, batch.images)
        loss, figures = settings.l1_weight * error, {"l1": error}
        if settings.adversarial_weight:
            figures["adversarial"] = logistic_generator(self.judge(self.networks["discriminator"], rows, fake))
            loss = loss + settings.adversarial_weight * figures["adversarial"]
        return loss, figures | {"loss_generator": loss}

    def rows_of(self, batch: RealBatch) -> Float[Tensor, "batch z"]:
        """Return the generator's rows for the inputs of a batch."""
        return self.translator.to_rows(cast(Tensor, batch.inputs))  # the engine has checked that there are inputs

    def judge(self, network: nn.Module, rows: Tensor, images: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, " patch"]:
        """Return a discriminator's logits of all patches of images, beside the inputs of rows, float32."""
        pair = torch.cat([self.translator.input(rows), images], dim=1)
        with self.autocast():
            logits: Tensor = network(pair.contiguous(memory_format=torch.channels_last))
        return logits.float().flatten()

    def place(self, generator: LayeredGenerator) -> LayeredGenerator:
        """Return the averaged generator on held-out inputs, or on those that it learned from."""
        return cast(Translator, generator).on(self.held_out or self.source)

    def measure(self, generator: LayeredGenerator, growth: Growth) -> dict[str, float]:  # noqa: ARG002
        """Return the mean absolute error of the images of a few held-out inputs, in [-1, 1]."""
        if self.held_out is None:
            return {}
        images, targets, _ = self._translate_shown(generator, NUM_MEASURED)
        return {"l1_held_out": functional.l1_loss(images, targets).item()}

    def draw_samples(self, generator: LayeredGenerator, path: Path) -> None:
        """Write a picture of inputs, each beside its image and its target."""
        images, targets, maps = self._translate_shown(generator, NUM_SHOWN)
        source = cast(PairedSource, as_paired(self.held_out or self.source))
        draw_columns([show_inputs(source, maps), images, targets], path)

    @torch.inference_mode()
    def _translate_shown(self, generator: LayeredGenerator, limit: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the images, the targets and the inputs of a few held-out pairs, evenly spaced."""
        source = self.held_out or self.source
        targets, maps = (to_images(part.to(self.device)) for part in read_views(source, pick_evenly(source, limit)))
        return generator(cast(Translator, generator).to_rows(maps)), targets, maps
