"""Training of UNIT: encoders and decoders of several domains that share a code, without pairs.

Pictures x of domains c have codes ``m = E(x, c)``, of which ``z = m + noise`` is decoded, once to their own domain and
once to another, c', which is drawn for them: ``x' = G(z, c')``, whose code is m' with ``z' = m' + noise'``. The losses
are

    discriminators  [E(D(x, c) - 1)^2 + E D(x', c')^2] / 2  (+ C(c | m))
    generator       a E(D(x', c') - 1)^2 / 2 + k [E m^2 + E m'^2] / 2 + r E|x - G(z, c)| + y E|x - G(z', c)|
                    (+ h C(uniform | m) + s E|m - m'|)

with ``a = adversarial_weight``, ``k = divergence_weight``, ``r = reconstruction_weight`` and ``y = cycle_weight``. The
terms in parentheses are options: the cross-entropy C of a classifier that names the domain of a code, from which the
encoders hide it (``h = domain_weight``), and the semantic consistency of codes (``s = semantic_weight``).

Source: Liu et al. 2017, arXiv 1703.00848, Eq. 3 to 7, with least squares for the adversarial loss, as in later code of
the authors; Royer et al. 2017, arXiv 1711.05139, Eq. 2 and 3 (the options); Tzeng et al. 2015, arXiv 1510.02192, Eq. 3
(the uniform distribution as the encoders' goal).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from ..architectures.base import LayeredGenerator
from ..architectures.unit import UNIT, UNITDiscriminator
from .engine import TrainingTask
from .growth import Growth
from .losses import least_squares_discriminator, least_squares_generator
from .translation import pick_domain
from .translation_grid import draw_translations, load_shown
from .turns import Figures, Moment, Turn
from .unit_settings import UNITSettings


class UNITTask(TrainingTask[UNITSettings]):
    """The generator and the discriminators of UNIT; see `TrainingTask` for the arguments."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.processes.count > 1:
            raise ValueError("unit must be trained in one process; got several")

    @property
    def translator(self) -> UNIT:
        """The generator in training."""
        return cast(UNIT, self.generator)

    @property
    def discriminator(self) -> UNITDiscriminator:
        """The discriminators, with the classifier of codes if there is one."""
        return cast(UNITDiscriminator, self.networks["discriminator"])

    def make_turns(self) -> Sequence[Turn]:
        """Return the turns of the discriminators and of the generator."""
        return Turn(("discriminator",), self.discriminator_loss), Turn(("generator",), self.generator_loss)

    def discriminator_loss(self, moment: Moment) -> tuple[Float[Tensor, ""], Figures]:
        """Return the discriminators' loss on real pictures and their translations."""
        images, domains, targets = self._load(moment)
        with torch.no_grad():
            codes = self.encode(images, domains)
            fake = self.decode(codes, targets, "translation", moment)
        loss = least_squares_discriminator(self.judge(images, domains), self.judge(fake, targets))
        figures = {"loss_discriminator": loss}
        if self.discriminator.codes is not None:
            figures["domains_named"] = functional.cross_entropy(self.name_domains(codes), domains)
            loss = loss + figures["domains_named"]
        return loss, figures

    def generator_loss(self, moment: Moment) -> tuple[Float[Tensor, ""], Figures]:
        """Return the generator's loss: the terms of its formula above, by name, and their weighted sum."""
        settings, (images, domains, targets) = self.settings, self._load(moment)
        codes = self.encode(images, domains)
        fake = self.decode(codes, targets, "translation", moment)
        fake_codes = self.encode(fake, targets)
        reconstructed = self.decode(codes, domains, "reconstruction", moment)
        terms = {
            "adversarial": least_squares_generator(self.judge(fake, targets)),
            "divergence": standard_divergence(codes) + standard_divergence(fake_codes),
            "reconstruction": functional.l1_loss(reconstructed, images),
        }
        if settings.cycle_weight:
            back = self.decode(fake_codes, domains, "cycle", moment)
            terms["cycle"] = functional.l1_loss(back, images)
        if self.discriminator.codes is not None:
            terms["domain"] = confusion(self.name_domains(codes))
        if settings.semantic_weight:
            terms["semantic"] = functional.l1_loss(fake_codes, codes)
        weighted = [getattr(settings, f"{name}_weight") * term for name, term in terms.items()]
        return torch.stack(weighted).sum(), terms

    def encode(
        self, images: Float[Tensor, "batch 3 H W"], domains: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the means of the distributions of images' codes, float32."""
        with self.autocast():
            return self.translator.encode(images, domains).float()

    def decode(
        self, codes: Float[Tensor, "batch unit h w"], domains: Int64[Tensor, " batch"], stream: str, moment: Moment
    ) -> Float[Tensor, "batch 3 H W"]:
        """Return the images of codes that are drawn around means, float32."""
        noise = self.make_draws(f"code-{stream}", moment.number).normal(*codes.shape[1:])
        with self.autocast():
            return self.translator.decode(codes + noise.to(self.device), domains).float()

    def judge(self, images: Float[Tensor, "batch 3 H W"], domains: Int64[Tensor, " batch"]) -> Float[Tensor, " patch"]:
        """Return the logits of all patches of images, float32."""
        with self.autocast():
            logits: Tensor = self.discriminator(images, domains)
        return logits.float().flatten()

    def name_domains(self, codes: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch domain"]:
        """Return the logits of the classifier of codes, float32."""
        assert self.discriminator.codes is not None
        with self.autocast():
            logits: Tensor = self.discriminator.codes(codes)
        return logits.float()

    def place(self, generator: LayeredGenerator) -> LayeredGenerator:
        """Return the averaged generator on held-out pictures of the first domain, which it translates to the second."""
        translator = cast(UNIT, generator)
        return translator.on(pick_domain(self.held_out or self.source, translator.domains[0]))

    def draw_samples(self, generator: LayeredGenerator, path: Path) -> None:
        """Write a picture with a row for each of a few pictures: itself, and its image in each domain."""
        images, sources = load_shown(self.held_out or self.source, self.device)
        count = len(self.translator.domains)
        draw_translations(generator, images, [sources * count + target for target in range(count)], path)

    def _make_average(self, growth: Growth) -> LayeredGenerator:
        """Return the averaged generator, which by default translates from the first domain to the second."""
        return cast(UNIT, super()._make_average(growth)).of_classes(1)

    def _load(self, moment: Moment) -> tuple[Tensor, Int64[Tensor, " batch"], Int64[Tensor, " batch"]]:
        """Return the real pictures of a turn, their domains, and other domains, drawn for them."""
        batch, count = self.pictures.load(moment.number), len(self.translator.domains)
        domains = cast(Tensor, batch.classes)  # the engine has checked that there are classes
        steps = self.make_draws("targets", moment.number).integers(1, count).to(self.device)
        return batch.images, domains, (domains + steps) % count


def standard_divergence(means: Float[Tensor, "batch unit h w"]) -> Float[Tensor, ""]:
    """Return the Kullback-Leibler divergence of N(mean, 1) from N(0, 1) in nats, averaged over entries and batch.

    Source: Liu et al. 2017, Sec. 3; Kingma and Welling 2013, Appendix B.
    """
    return means.square().mean() / 2


def confusion(logits: Float[Tensor, "batch class"]) -> Float[Tensor, ""]:
    """Return the cross-entropy of the uniform distribution with a classifier's: least where no class is preferred.

    Source: Tzeng et al. 2015, Eq. 3.
    """
    return -logits.log_softmax(1).mean()
