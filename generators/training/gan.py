"""Training of a GAN: the discriminator's turns, then the generator's, whatever the architecture and the loss."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gandissect.core.pictures import load_pictures, pick_evenly
from gandissect.core.protocols import PictureSource, as_classed

from ..architectures.base import LayeredGenerator
from ..architectures.dcgan import DCGANDiscriminator
from ..architectures.minibatch import MinibatchDiscriminator
from ..architectures.mlp import MLPDiscriminator
from .augmentation import diff_augment
from .engine import Stateful, TrainingTask
from .growth import Growth, shrink
from .losses import LOSSES, drift, gradient_penalty, orthogonal_penalty, r1_penalty
from .pictures import to_images
from .settings import GANSettings
from .techniques import History, match_features, smoothed_logistic_discriminator
from .turns import Figures, Moment, Turn, clip_weights

Judge = partial[Float[Tensor, " batch"]]


class GANTask(TrainingTask[GANSettings]):
    """A generator and a discriminator, trained in turns; see `TrainingTask` for the arguments."""

    def __init__(self, settings: GANSettings, source: PictureSource, *others: Any, **options: Any) -> None:
        self.loss = LOSSES[settings.loss]
        if settings.label_smoothing:
            smoothed = partial(smoothed_logistic_discriminator, smoothing=settings.label_smoothing)
            self.loss = replace(self.loss, discriminator=smoothed)
        self.history = History()
        super().__init__(settings, source, *others, **options)
        if settings.minibatch_kernels and self.processes.count > 1:
            raise ValueError("minibatch discrimination needs whole batches; train in one process")

    @property
    def discriminator(self) -> nn.Module:
        """The discriminator."""
        return self.networks["discriminator"]

    def make_turns(self) -> Sequence[Turn]:
        """Return the discriminator's turn, as often as the settings say, and the generator's."""
        clip = (clip_weights(self.discriminator, self.settings.clip_weights),) if self.loss.clipped else ()
        return (
            Turn(
                ("discriminator",),
                self.discriminator_loss,
                self.settings.discriminator_turns,
                (*clip, partial(self.observe_history, "discriminator")),
            ),
            Turn(
                ("generator",), self.generator_loss, after=(self._observe, partial(self.observe_history, "generator"))
            ),
        )

    @property
    def state(self) -> dict[str, Stateful]:
        """The means of past weights, with historical averaging."""
        return {"history": self.history} if self.settings.historical_averaging else {}

    def discriminator_loss(self, moment: Moment) -> tuple[Float[Tensor, ""], Figures]:
        """Return the discriminator's loss on a batch of real and one of generated images, with its penalties."""
        settings, number, growth = self.settings, moment.number, moment.growth
        batch = self.pictures.load(number)
        rows = self.draw_rows("discriminator", number)
        with torch.no_grad():
            fake = self.make_fakes(rows, moment)
        real = diff_augment(
            shrink(batch.images, growth), settings.augmentation, self.make_draws("augment-real", number)
        )
        fake = diff_augment(fake, settings.augmentation, self.make_draws("augment-fake", number))
        judge = partial(_judge, self.connected["discriminator"], growth)
        classes = batch.classes if self.generator.classes else None
        judge_real, judge_fake = partial(judge, classes), partial(judge, self.classes_of(rows))
        with self.autocast():
            real_logits, fake_logits = judge_real(real).float(), judge_fake(fake).float()
        loss = self.loss.discriminator(real_logits, fake_logits) + self.history_loss("discriminator")
        if self.loss.penalized:
            penalty = gradient_penalty(judge_real, real, fake, self.make_draws("penalty", number))
            loss = loss + settings.penalty_weight * penalty + settings.drift_weight * drift(real_logits)
        if settings.r1_gamma and number % settings.r1_every == 0:
            gamma = settings.r1_gamma * (growth.size / settings.resolution) ** 2  # the penalty sums over pixels
            loss = loss + gamma * settings.r1_every * r1_penalty(judge_real, real)
        return loss, {
            "loss_discriminator": loss,
            "logit_real": real_logits.mean(),
            "logit_fake": fake_logits.mean(),
        }

    def generator_loss(self, moment: Moment) -> tuple[Float[Tensor, ""], Figures]:
        """Return the generator's loss on a batch of generated images."""
        number, growth = moment.number, moment.growth
        rows = self.draw_rows("generator", number)
        fake = self.generate(self.connected["generator"], rows, "generator", number, growth)
        fake = diff_augment(fake, self.settings.augmentation, self.make_draws("augment-generator", number))
        if self.settings.feature_matching:
            loss = self._match_features(fake, number)
        else:
            with self.autocast():
                logits = _judge(self.discriminator, growth, self.classes_of(rows), fake).float()
            loss = self.loss.generator(logits)
        loss = loss + self.history_loss("generator")
        if self.settings.orthogonal_weight:
            loss = loss + self.settings.orthogonal_weight * orthogonal_penalty(self.generator)
        return loss, {"loss_generator": loss}

    def make_fakes(self, rows: Tensor, moment: Moment) -> Tensor:
        """Return images for the discriminator."""
        return self.generate(self.network, rows, "discriminator", moment.number, moment.growth)

    def history_loss(self, name: str) -> Tensor | float:
        """Return the weighted distance of a network's weights from their past mean; 0 without historical averaging."""
        weight = self.settings.historical_averaging
        return weight * self.history.distance(name, self.networks[name]) if weight else 0.0

    def observe_history(self, name: str, _moment: Moment) -> None:
        """Add a network's weights to their past, with historical averaging."""
        if self.settings.historical_averaging:
            self.history.observe(name, self.networks[name])

    def measure(self, generator: LayeredGenerator, growth: Growth) -> dict[str, float]:  # noqa: ARG002
        """Return how real the discriminator finds pictures that it was trained on, and held-out ones."""
        if self.held_out is None or (self.generator.classes and as_classed(self.held_out) is None):
            return {}
        discriminator = deepcopy(self.discriminator)  # batch norm would learn from what it sees
        batch = min(self.settings.batch_size, len(self.held_out), len(self.source))
        means = []
        for source in (self.source, self.held_out):
            pictures, classes = self._load_views(source, limit=512)
            count = len(pictures) // batch * batch
            conditions = [None] * len(pictures) if classes is None else torch.split(classes[:count], batch)
            with torch.no_grad():
                logits = [
                    _judge(discriminator, growth, condition, shrink(to_images(part.to(self.device)), growth))
                    for part, condition in zip(torch.split(pictures[:count], batch), conditions, strict=False)
                ]
            means.append(torch.cat(logits).mean().item())
        return {"logit_learned": means[0], "logit_held_out": means[1]}

    def _match_features(self, fake: Tensor, number: int) -> Tensor:
        """Return the loss of feature matching, on real images that the discriminator has seen in this step."""
        batch = self.pictures.load(number * self.settings.discriminator_turns)
        real = diff_augment(batch.images, self.settings.augmentation, self.make_draws("augment-matched", number))
        discriminator = cast(MLPDiscriminator | DCGANDiscriminator | MinibatchDiscriminator, self.discriminator)
        with self.autocast():
            with torch.no_grad():
                real_features = discriminator.features(real)
            fake_features = discriminator.features(fake)
        return match_features(real_features.float(), fake_features.float())

    def _load_views(self, source: PictureSource, limit: int) -> tuple[Tensor, Tensor | None]:
        """Return evenly spaced pictures, uint8, with their classes where the discriminator takes classes."""
        pictures, classed = load_pictures(source, limit), as_classed(source)
        if classed is None or not self.generator.classes:
            return pictures, None
        return pictures, classed.class_indices[list(pick_evenly(source, limit))].to(self.device)

    def _observe(self, moment: Moment) -> None:
        self.network.observe(self.draw_rows("generator", moment.number, everyone=True))


def _judge(discriminator: nn.Module, growth: Growth, classes: Tensor | None, images: Tensor) -> Tensor:
    """Return logits; only networks that grow take ``alpha``, only conditional ones classes."""
    arguments = [] if classes is None else [classes]
    if growth.alpha < 1:
        arguments.append(growth.alpha)  # type: ignore[arg-type]
    logits: Tensor = discriminator(images, *arguments)
    return logits
