"""Training of a CycleGAN: two translators between two domains, without pairs.

With the generators G and F, pictures x and y of the two domains, and a logit for each patch of the discriminators D of
the second and E of the first domain:

    generators      [mean (D(G(x)) - 1)^2 + mean (E(F(y)) - 1)^2] / 2
                    + c [mean |F(G(x)) - x| + mean |G(F(y)) - y|] + i [mean |G(y) - y| + mean |F(x) - x|]
    discriminators  [mean (D(y) - 1)^2 + mean D(y')^2] / 2, the same for E

with ``c = cycle_weight`` and ``i = identity_weight``. A pool replaces some of the translations y' by earlier ones.

Source: Zhu et al. 2017, arXiv 1703.10593, Eq. 1 to 3, Sec. 4 and Sec. 5.2 (identity); the factor 1/2 of the generators'
least-squares loss is that of Mao et al. 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gandissect.core.pictures import load_pictures
from gandissect.core.protocols import PictureSource
from gandissect.core.sampling import derive_seed
from gandissect.storage.runs import update_ema

from ..architectures.base import LayeredGenerator
from ..architectures.translator import Translator
from ..hub import save
from .engine import Stateful, TrainingTask
from .growth import Growth
from .losses import least_squares_discriminator, least_squares_generator
from .networks import TrainedGenerator
from .pictures import RealPictures, to_images
from .pool import PicturePool
from .translation import NUM_MEASURED, NUM_SHOWN, draw_columns, pick_domain
from .translation_settings import CycleGANSettings
from .turns import Figures, Moment, Turn

BACK = "back-"
"""Prefix of the names of files with the generator from the second domain to the first."""


class CycleGANTask(TrainingTask[CycleGANSettings]):
    """The generators and the discriminators of a CycleGAN; see `TrainingTask` for the arguments.

    The generator of the first domain's pictures is written as other families' are; the one back is written beside it.
    """

    def __init__(self, settings: CycleGANSettings, source: PictureSource, *others: Any, **options: Any) -> None:
        super().__init__(settings, source, *others, **options)
        if self.processes.count > 1:
            raise ValueError(f"cyclegan must be trained in one process, since it has pools; got {self.processes.count}")
        self.domains = self.pictures.classes
        if len(self.domains) != 2:
            raise ValueError(
                f"cyclegan needs pictures of two domains; got {len(self.domains)}: {', '.join(self.domains)}"
            )
        seeds = settings.seed, derive_seed(settings.seed, "second domain")  # two orders, which never pair pictures
        self.pictures_of = [
            RealPictures(replace(settings, seed=seed), pick_domain(source, name), self.rows, self.device)
            for name, seed in zip(self.domains, seeds, strict=True)
        ]
        self.average_back = deepcopy(self.back).eval().requires_grad_(False)
        self.pools = [PicturePool(settings.pool_size) for _ in self.domains]
        self._translated: list[Tensor] = []

    @property
    def back(self) -> TrainedGenerator:
        """The generator in training that translates the second domain's pictures."""
        return cast(TrainedGenerator, self.networks["back"])

    @property
    def state(self) -> dict[str, Stateful]:
        """The averaged generator back, and the pools."""
        first, second = self.pools
        return {"average_back": self.average_back, "pool": first, "pool_back": second}

    def make_turns(self) -> Sequence[Turn]:
        """Return the turns of the generators and of the discriminators."""
        return (
            Turn(("generator", "back"), self.generators_loss),
            Turn(("discriminator", "discriminator_back"), self.discriminators_loss),
        )

    def generators_loss(self, moment: Moment) -> tuple[Float[Tensor, ""], Figures]:
        """Return the loss of both generators, and keep their translations for the discriminators."""
        settings = self.settings
        forth, back = (self.networks[name] for name in ("generator", "back"))
        x, y = self._load(moment)
        to_y, to_x = self.translate(forth, x, moment), self.translate(back, y, moment)
        self._translated = [to_y.detach(), to_x.detach()]
        terms = {
            "adversarial": least_squares_generator(self.judge("discriminator", to_y))
            + least_squares_generator(self.judge("discriminator_back", to_x)),
            "cycle": functional.l1_loss(self.translate(back, to_y, moment), x)
            + functional.l1_loss(self.translate(forth, to_x, moment), y),
        }
        loss = terms["adversarial"] + settings.cycle_weight * terms["cycle"]
        if settings.identity_weight:
            same_y, same_x = self.translate(forth, y, moment), self.translate(back, x, moment)
            terms["identity"] = functional.l1_loss(same_y, y) + functional.l1_loss(same_x, x)
            loss = loss + settings.identity_weight * terms["identity"]
        return loss, terms | {"loss_generators": loss}

    def discriminators_loss(self, moment: Moment) -> tuple[Float[Tensor, ""], Figures]:
        """Return the loss of both discriminators on pictures, and on translations of this step or earlier ones."""
        losses, figures = list[Tensor](), dict[str, Tensor]()
        x, y = self._load(moment)
        for name, real, made, pool in zip(
            ("discriminator", "discriminator_back"), (y, x), self._translated, self.pools, strict=True
        ):
            fake = pool.exchange(made, self.make_draws(f"pool-{name}", moment.number))
            real_logits, fake_logits = self.judge(name, real), self.judge(name, fake)
            losses.append(least_squares_discriminator(real_logits, fake_logits))
            figures |= {f"loss_{name}": losses[-1]}
        return losses[0] + losses[1], figures

    def translate(
        self, network: nn.Module, images: Float[Tensor, "batch 3 H W"], moment: Moment
    ) -> Float[Tensor, "batch 3 H W"]:
        """Return translations of images by a generator in training, float32."""
        return self.generate(network, images.flatten(1), "translate", moment.number, moment.growth)

    def judge(self, name: str, images: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, " patch"]:
        """Return a discriminator's logits of all patches of images, float32."""
        with self.autocast():
            logits: Tensor = self.networks[name](images)
        return logits.float().flatten()

    def update_averages(self, decay: float) -> None:
        """Move both averaged generators towards the ones in training."""
        super().update_averages(decay)
        update_ema(self.average_back, self.back, decay)

    def write(self, generator: LayeredGenerator, path: Path, facts: dict[str, Any]) -> None:
        """Write both averaged generators, each to a file of its own that states its direction."""
        first, second = self.domains
        save(generator, path, facts | {"direction": f"{first} to {second}"}, overwrite=True)
        back = self.average_back.export(self.settings.resolution)
        save(back, path.with_name(BACK + path.name), facts | {"direction": f"{second} to {first}"}, overwrite=True)

    def place(self, generator: LayeredGenerator) -> LayeredGenerator:
        """Return the averaged generator on held-out pictures of the first domain."""
        return cast(Translator, generator).on(pick_domain(self.held_out or self.source, self.domains[0]))

    def measure(self, generator: LayeredGenerator, growth: Growth) -> dict[str, float]:  # noqa: ARG002
        """Return the mean absolute error of held-out pictures that are translated and translated back, in [-1, 1]."""
        if self.held_out is None:
            return {}
        (x, _, x_again), (y, _, y_again) = self._translate_shown(generator, NUM_MEASURED)
        return {"cycle_held_out": (functional.l1_loss(x_again, x) + functional.l1_loss(y_again, y)).item() / 2}

    def draw_samples(self, generator: LayeredGenerator, path: Path) -> None:
        """Write a picture of both domains' pictures, each beside its translation and the translation of that back."""
        draw_columns([picture for part in self._translate_shown(generator, NUM_SHOWN) for picture in part], path, 1)

    @torch.inference_mode()
    def _translate_shown(self, generator: LayeredGenerator, limit: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return held-out pictures of both domains, their translations, and the translations of these back."""
        shown, back = self.held_out or self.source, self.average_back.export(self.settings.resolution)
        found = []
        for name, first, second in zip(self.domains, (generator, back), (back, generator), strict=True):
            pictures = to_images(load_pictures(pick_domain(shown, name), limit).to(self.device))
            translated = first(pictures.flatten(1))
            found.append((pictures, translated, second(translated.flatten(1))))
        return found

    def _load(self, moment: Moment) -> tuple[Float[Tensor, "batch 3 H W"], Float[Tensor, "batch 3 H W"]]:
        """Return the real pictures of both domains."""
        first, second = (pictures.load(moment.number).images for pictures in self.pictures_of)
        return first, second
