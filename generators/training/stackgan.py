"""Training of a StackGAN, in three phases.

First, encoders of captions and pictures learn to match; then stage I; then stage II, on the pictures of stage I. What a
phase has trained is averaged over its steps, and the phases after it use that average, which never changes again.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchvision.utils import save_image

from gandissect.core.protocols import CaptionedSource, PictureSource
from gandissect.storage.files import atomic_path
from gandissect.storage.runs import update_ema

from ..architectures.base import LayeredGenerator
from ..architectures.blocks import double
from ..architectures.stackgan import SKETCH, PairDiscriminator, StackGAN
from .augmentation import diff_augment
from .calibration import calibrate_batch_norm
from .captions import find_wrong, load_captions, load_fits, match_logits, matching_loss, pick_captions
from .engine import TrainingTask
from .growth import Growth, shrink
from .losses import logistic_generator, pair_discriminator
from .pictures import to_images
from .stackgan_settings import Phase, StackGANSettings
from .turns import Figures, Moment, Turn
from .variational import divergence

NUM_CAPTIONS = 512
"""Number of captions that a trained generator draws from."""
NUM_MEASURED = 64
"""Number of held-out captions among which those of pictures are found, at snapshots."""


class StackGANTask(TrainingTask[StackGANSettings]):
    """Both stages of a generator with their discriminators, and encoders of captions and pictures.

    See `TrainingTask` for the arguments.
    """

    def __init__(self, settings: StackGANSettings, source: PictureSource, *others: Any, **options: Any) -> None:
        super().__init__(settings, source, *others, **options)
        if self.processes.count > 1:
            raise ValueError("stackgan matches captions over whole batches; train in one process")
        self.phase = settings.phase_at(0)
        captions = pick_captions(self.captioned, NUM_CAPTIONS, settings.seed)
        for network in (self.network, self.average):
            cast(StackGAN, network.generator).draw_from(captions)

    @property
    def captioned(self) -> CaptionedSource:
        """The real pictures, with their captions."""
        return cast(CaptionedSource, self.source)

    @property
    def stacked(self) -> StackGAN:
        """The generator in training."""
        return cast(StackGAN, self.generator)

    @property
    def averaged(self) -> StackGAN:
        """The averaged generator, whose parts of earlier phases do not change."""
        return cast(StackGAN, self.average.generator)

    def make_turns(self) -> Sequence[Turn]:
        """Return the turn of the encoders, and a discriminator's and the generator's for either stage."""
        return (
            Turn(("generator", "picture_encoder"), self.matching_loss),
            Turn(("discriminator_first",), partial(self.discriminator_loss, "first")),
            Turn(("generator",), partial(self.generator_loss, "first")),
            Turn(("discriminator_second",), partial(self.discriminator_loss, "second")),
            Turn(("generator",), partial(self.generator_loss, "second")),
        )

    def turns_at(self, index: int) -> Sequence[Turn]:
        """Return the turns of the phase that a step is in."""
        phase = self.settings.phase_at(index * self.images_per_step)
        return {"captions": self.turns[:1], "first": self.turns[1:3], "second": self.turns[3:]}[phase]

    def learning_rate_at(self, name: str, index: int) -> float:
        """Return the learning rate of a network in a step."""
        images_seen = index * self.images_per_step
        if self.settings.phase_at(images_seen) == "second":
            return super().learning_rate_at(name, index)
        return self.settings.rate_at(images_seen)

    def growth(self, images_seen: int) -> Growth:
        """Return the size of the pictures that are trained: that of stage I before stage II learns."""
        is_second = self.settings.phase_at(images_seen) == "second"
        return Growth(self.settings.resolution if is_second else self.settings.resolution // 2, 1.0)

    def step(self, index: int) -> dict[str, float]:
        """Take the turns of the step's phase; return their figures."""
        self.phase = self.settings.phase_at(index * self.images_per_step)
        return super().step(index)

    def update_averages(self, decay: float) -> None:
        """Move the averages of what the phase trains."""
        parts = dict(self.stacked.named_children())
        for name, average in self.averaged.named_children():
            if _phase_of(name) == self.phase:
                update_ema(average, parts[name], decay)

    def matching_loss(self, moment: Moment) -> tuple[Float[Tensor, ""], Figures]:
        """Return the loss of matching the captions and pictures of a batch."""
        with self.autocast():
            pictures = self.connected["picture_encoder"](self.pictures.load(moment.number).images)
        texts = _encode(self.stacked, self._load_captions(moment.number))
        logits, fits = match_logits(pictures.float(), texts), self._load_fits(moment.number)
        loss = matching_loss(logits, fits)
        return loss, {"loss_matching": loss, "matched": _share_matched(logits, fits)}

    def discriminator_loss(self, stage: Phase, moment: Moment) -> tuple[Float[Tensor, ""], Figures]:
        """Return a discriminator's loss on real and generated pictures, and on real ones with wrong captions."""
        settings, number = self.settings, moment.number
        with torch.no_grad():
            texts = _encode(self.averaged, self._load_captions(number))
            fake = self.make_pictures(stage, self._make_rows(texts, stage, "discriminator", number))
        real = shrink(self.pictures.load(number).images, Growth(fake.shape[3], 1.0))
        real = diff_augment(real, settings.augmentation, self.make_draws("augment-real", number))
        fake = diff_augment(fake, settings.augmentation, self.make_draws("augment-fake", number))
        judge = cast(PairDiscriminator, self.networks[f"discriminator_{stage}"])
        with self.autocast():
            features = judge.features(real)
            real_logits = judge.judge(features, texts).float()
            wrong_logits = judge.judge(features, texts[find_wrong(self._load_fits(number))]).float()
            fake_logits = judge(fake, texts).float()
        loss = pair_discriminator(real_logits, fake_logits, wrong_logits)
        logits = {"real": real_logits, "fake": fake_logits, "wrong": wrong_logits}
        return loss, {f"loss_discriminator_{stage}": loss} | {
            f"logit_{name}_{stage}": value.mean() for name, value in logits.items()
        }

    def generator_loss(self, stage: Phase, moment: Moment) -> tuple[Float[Tensor, ""], Figures]:
        """Return a stage's loss on the captions of a batch."""
        number = moment.number
        with torch.no_grad():
            texts = _encode(self.averaged, self._load_captions(number))
        fake = self.make_pictures(stage, self._make_rows(texts, stage, "generator", number))
        fake = diff_augment(fake, self.settings.augmentation, self.make_draws("augment-generator", number))
        with self.autocast():
            logits = self.networks[f"discriminator_{stage}"](fake, texts).float()
        conditioning = self.stacked.first_code if stage == "first" else self.stacked.second_code
        nats = divergence(conditioning(texts)).mean()
        loss = logistic_generator(logits) + self.settings.divergence_weight * nats
        return loss, {f"loss_generator_{stage}": loss, f"learned_divergence_{stage}": nats}

    def make_pictures(self, stage: Phase, rows: Float[Tensor, "batch z"]) -> Float[Tensor, "batch 3 H W"]:
        """Return a stage's pictures of rows; those of stage I are the averaged generator's where stage II learns."""
        with self.autocast():
            if stage == "first":
                return self.stacked.head(rows, SKETCH).float()
            with torch.no_grad():
                sketches = self.averaged.head(rows, SKETCH).float()
            return self.stacked.tail(sketches, SKETCH, rows).float()

    @torch.no_grad()
    def measure(self, generator: LayeredGenerator, growth: Growth) -> dict[str, float]:
        """Return for how many held-out captions the picture encoder matches a real and a generated picture to them."""
        if self.held_out is None:
            return {}
        stacked, held_out = cast(StackGAN, generator), cast(CaptionedSource, self.held_out)
        order = list(range(min(NUM_MEASURED, len(held_out))))
        texts = _encode(stacked, load_captions(held_out, order, self.settings.seed, 0))
        fits = load_fits(held_out, order, self.settings.seed, 0).to(self.device)
        images = {"held_out": to_images(held_out.batch(order).images.to(self.device))}
        if self.phase != "captions":
            noise = stacked.sample_z(len(order), seed=1)[:, : stacked.noise_dim].to(self.device)
            rows = stacked.join_embedding(noise, texts)
            is_second = growth.size == self.settings.resolution
            images["generated"] = stacked(rows) if is_second else double(stacked.head(rows, SKETCH))
        encoder = deepcopy(self.networks["picture_encoder"]).eval()
        return {
            f"matched_{kind}": float(_share_matched(match_logits(encoder(part), texts), fits))
            for kind, part in images.items()
        }

    def draw_samples(self, generator: LayeredGenerator, path: Path) -> None:
        """Write a picture of samples, with one row per caption; those of stage I before stage II learns."""
        stacked = cast(StackGAN, generator)
        texts = [caption for caption in stacked.captions[:8] for _ in range(8)]
        rows = stacked.join_embedding(
            stacked.sample_z(len(texts), seed=1)[:, : stacked.noise_dim], stacked.encode(texts)
        )
        with torch.inference_mode():
            images = stacked(rows) if self.phase == "second" else stacked.head(rows, SKETCH)
        with atomic_path(path, overwrite=True) as temporary:
            save_image(images, temporary, nrow=8, normalize=True, value_range=(-1, 1), format="png")

    def _make_average(self, growth: Growth) -> LayeredGenerator:  # noqa: ARG002
        generator = self.average.export(self.settings.resolution)
        calibrate_batch_norm(generator, self.settings.seed)
        return generator

    def _load_captions(self, number: int) -> tuple[str, ...]:
        return load_captions(self.captioned, self.pictures.choose(number), self.settings.seed, number)

    def _load_fits(self, number: int) -> Bool[Tensor, "picture caption"]:
        return load_fits(self.captioned, self.pictures.choose(number), self.settings.seed, number).to(self.device)

    def _make_rows(self, texts: Tensor, stage: Phase, stream: str, number: int) -> Float[Tensor, "batch z"]:
        noise = self.make_draws(f"z-{stage}-{stream}", number).normal(self.stacked.noise_dim)
        return self.stacked.join_embedding(noise.to(self.device), texts)


def _encode(generator: StackGAN, captions: Sequence[str]) -> Float[Tensor, "batch embedding"]:
    """Return the embeddings of captions, all at once, on the generator's device."""
    encoder = generator.text
    embeddings: Tensor = encoder([encoder.read(caption) for caption in captions])
    return embeddings


def _phase_of(name: str) -> Phase:
    """Return the phase that trains a child of the generator."""
    if name == "text":
        return "captions"
    return "first" if name.startswith("first") or name == SKETCH else "second"


@torch.no_grad()
def _share_matched(logits: Tensor, fits: Tensor) -> Float[Tensor, ""]:
    """Return the share of pictures whose own caption has the largest logit, among itself and those that do not fit."""
    own = logits.diagonal()
    return (logits.masked_fill(fits, -torch.inf).amax(1) < own).float().mean()
