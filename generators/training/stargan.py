"""Training of a StarGAN: one generator that translates pictures to any of several domains, without pairs.

With pictures x of domains c and other domains c' that are drawn for them:

    discriminator  E[D(G(x, c'))] - E[D(x)] + g P + k C(c | x)
    generator      -E[D(G(x, c'))] + k C(c' | G(x, c')) + r E|x - G(G(x, c'), c)|

with the mean logit of a picture's patches D, the gradient penalty P of this mean, the cross-entropy C of the domains
that the discriminator names, and ``g = penalty_weight``, ``k = domain_weight`` and ``r = cycle_weight``.

Source: Choi et al. 2018, arXiv 1711.09020, Eq. 2, 3, 4, 6 and 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from gandissect.core.pictures import PictureSubset

from ..architectures.base import LayeredGenerator
from ..architectures.stargan import DomainJudgment, StarGAN
from .engine import TrainingTask
from .losses import gradient_penalty, mean_generator, wasserstein_discriminator
from .stargan_settings import StarGANSettings
from .translation_grid import draw_translations, load_shown
from .turns import Figures, Moment, Turn


class StarGANTask(TrainingTask[StarGANSettings]):
    """The generator and the discriminator of a StarGAN; see `TrainingTask` for the arguments."""

    def make_turns(self) -> Sequence[Turn]:
        """Return the discriminator's turn, as often as the settings say, and the generator's."""
        return (
            Turn(("discriminator",), self.discriminator_loss, self.settings.discriminator_turns),
            Turn(("generator",), self.generator_loss),
        )

    def discriminator_loss(self, moment: Moment) -> tuple[Float[Tensor, ""], Figures]:
        """Return the discriminator's loss on real pictures and their translations."""
        settings, network = self.settings, self.connected["discriminator"]
        images, classes = self._load(moment.number)
        with torch.no_grad():
            fake = self.translate(self.network, images, self._draw_targets("discriminator", moment), moment)
        real_judgment, fake_judgment = self.judge(network, images), self.judge(network, fake)
        penalty = gradient_penalty(
            lambda between: cast(DomainJudgment, network(between)).logits,
            images,
            fake,
            self.make_draws("penalty", moment.number),
        )
        named = functional.cross_entropy(real_judgment.domains, classes)
        loss = wasserstein_discriminator(real_judgment.logits, fake_judgment.logits)
        loss = loss + settings.penalty_weight * penalty + settings.domain_weight * named
        return loss, {
            "loss_discriminator": loss,
            "logit_real": real_judgment.logits.mean(),
            "logit_fake": fake_judgment.logits.mean(),
            "domains_real": named,
        }

    def generator_loss(self, moment: Moment) -> tuple[Float[Tensor, ""], Figures]:
        """Return the generator's loss on pictures that the discriminator has seen in this step."""
        settings, network = self.settings, self.connected["generator"]
        images, classes = self._load(moment.number * settings.discriminator_turns)
        targets = self._draw_targets("generator", moment)
        fake = self.translate(network, images, targets, moment)
        judgment = self.judge(self.networks["discriminator"], fake)
        cycle = functional.l1_loss(self.translate(network, fake, classes, moment), images)
        named = functional.cross_entropy(judgment.domains, targets)
        loss = mean_generator(judgment.logits) + settings.domain_weight * named + settings.cycle_weight * cycle
        return loss, {"loss_generator": loss, "domains_fake": named, "cycle": cycle}

    def translate(
        self,
        network: nn.Module,
        images: Float[Tensor, "batch 3 H W"],
        classes: Int64[Tensor, " batch"],
        moment: Moment,
    ) -> Float[Tensor, "batch 3 H W"]:
        """Return translations of images, float32; ``network`` is the generator in training or its connected form."""
        rows = self.generator.join_row(images.flatten(1), classes)
        return self.generate(network, rows, "translate", moment.number, moment.growth)

    def judge(self, network: nn.Module, images: Float[Tensor, "batch 3 H W"]) -> DomainJudgment:
        """Return what a discriminator says about images, float32."""
        with self.autocast():
            judgment: DomainJudgment = network(images)
        return DomainJudgment(*(logits.float() for logits in judgment))

    def place(self, generator: LayeredGenerator) -> LayeredGenerator:
        """Return the averaged generator on held-out pictures, which it translates to domains that are drawn."""
        shown = self.held_out or self.source
        return cast(StarGAN, generator).on(PictureSubset(shown, range(len(shown))))  # not inputs, if it has any

    def draw_samples(self, generator: LayeredGenerator, path: Path) -> None:
        """Write a picture with a row for each of a few pictures: itself, and its translation to each domain."""
        images, domains = load_shown(self.held_out or self.source, self.device)
        columns = [torch.full_like(domains, index) for index in range(len(generator.classes))]
        draw_translations(generator, images, columns, path)

    def _load(self, number: int) -> tuple[Float[Tensor, "batch 3 H W"], Int64[Tensor, " batch"]]:
        """Return the real pictures of a turn with their domains."""
        batch = self.pictures.load(number)
        return batch.images, cast(Tensor, batch.classes)  # the engine has checked that there are classes

    def _draw_targets(self, stream: str, moment: Moment) -> Int64[Tensor, " batch"]:
        """Draw the domain that each picture is translated to, uniformly."""
        draws = self.make_draws(f"targets-{stream}", moment.number)
        return draws.integers(0, len(self.generator.classes)).to(self.device)
