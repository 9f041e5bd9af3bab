"""Training of a VAE-GAN: a variational autoencoder whose likelihood is that of a discriminator's features.

A step has three turns, each of which updates one network by its own terms only:

    encoder        KL + L            (no adversarial loss)
    decoder        g L + (1 - g) A
    discriminator  D                 (not L, which would make its features constant)

with the features' likelihood L, the adversarial losses D and A, and ``g = likelihood_weight``. There are two kinds of
generated images, reconstructions and samples. Each has half the weight of the real ones.

A discriminator that wins too clearly waits for the decoder: it skips its update while its loss is below
``min_discriminator_loss``.

Source: Larsen et al. 2016, arXiv 1512.09300, Algorithm 1; A is the non-saturating loss. Waiting is in the code of the
authors, not in the paper. There the loss on either kind of images decides. Here that ended in a discriminator that
calls every image real and waits forever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..architectures.vaegan import Judgment
from .losses import logistic_discriminator, logistic_generator
from .turns import Figures, Moment, Turn
from .vae import VariationalTask
from .variational import divergence
from .variational_settings import VAEGANSettings


def feature_nll(
    real: Float[Tensor, "batch unit h w"], reconstructed: Float[Tensor, "batch unit h w"]
) -> Float[Tensor, ""]:
    """Return ``E[|real - reconstructed|^2] / 2``: features are normal with variance 1, up to a constant.

    Source: Larsen et al. 2016, Eq. 7.
    """
    return (real - reconstructed).square().flatten(1).sum(1).mean() / 2


class VAEGANTask(VariationalTask[VAEGANSettings]):
    """Encoder, decoder and discriminator; see `TrainingTask` for the arguments."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._last_batch: tuple[int, Tensor] | None = None
        self._waits = False
        super().__init__(*arguments, **options)

    def make_turns(self) -> Sequence[Turn]:
        """Return the turns of encoder, decoder and discriminator."""
        return (
            Turn(("encoder",), self.encoder_loss),
            Turn(("generator",), self.decoder_loss),
            Turn(("discriminator",), self.discriminator_loss),
        )

    def encoder_loss(self, moment: Moment) -> tuple[Float[Tensor, ""], Figures]:
        """Return the divergence and the likelihood of the features."""
        images = self._load(moment.number)
        posterior = self.encode(self.connected["encoder"], images)
        reconstructed = self.reconstruct(self.network, posterior, moment, "encoder")
        nats = divergence(posterior).mean()
        likelihood = feature_nll(self._judge_frozen(images).features, self._judge(reconstructed).features)
        loss = self.warm_up(moment) * nats + likelihood
        return loss, {"loss_encoder": loss, "learned_divergence": nats}

    def decoder_loss(self, moment: Moment) -> tuple[Float[Tensor, ""], Figures]:
        """Return the likelihood of the features and the adversarial loss of both kinds of generated images."""
        images = self._load(moment.number)
        reconstructed, sampled = self._generate_both(self.connected["generator"], images, moment, "decoder")
        judged = self._judge(reconstructed)
        likelihood = feature_nll(self._judge_frozen(images).features, judged.features)
        logits = self._judge(sampled).logits
        adversarial = (logistic_generator(judged.logits) + logistic_generator(logits)) / 4
        weight = self.settings.likelihood_weight
        loss = weight * likelihood + (1 - weight) * adversarial
        return loss, {"loss_decoder": loss, "learned_likelihood": likelihood}

    def discriminator_loss(self, moment: Moment) -> tuple[Float[Tensor, ""], Figures]:
        """Return the adversarial loss: 1/2 for real images, 1/4 for reconstructions, and 1/4 for samples."""
        images = self._load(moment.number)
        with torch.no_grad():
            reconstructed, sampled = self._generate_both(self.network, images, moment, "discriminator")
        network = self.connected["discriminator"]
        real, *fake = (self._judge(batch, network).logits for batch in (images, reconstructed, sampled))
        loss = sum((logistic_discriminator(real, logits) for logits in fake), start=real.new_zeros(())) / 4
        self._waits = self.processes.average({"loss": loss})["loss"] < self.settings.min_discriminator_loss
        return loss, {
            "discriminator_waits": loss.new_tensor(float(self._waits)),
            "loss_discriminator": loss,
            "logit_real": real.mean(),
            "logit_reconstructed": fake[0].mean(),
            "logit_sampled": fake[1].mean(),
        }

    def descend(self, names: Sequence[str], loss: Float[Tensor, ""]) -> None:
        """Take a step with some optimizers, unless it is the discriminator's and the discriminator waits."""
        if not ("discriminator" in names and self._waits):
            super().descend(names, loss)

    def _load(self, number: int) -> Float[Tensor, "batch 3 H W"]:
        """Return the real images of a step, read once for its three turns."""
        if self._last_batch is None or self._last_batch[0] != number:
            self._last_batch = (number, self.pictures.load(number).images)
        return self._last_batch[1]

    def _generate_both(self, network: nn.Module, images: Tensor, moment: Moment, stream: str) -> tuple[Tensor, Tensor]:
        """Return reconstructions and samples; the encoder has no part in their gradients."""
        with torch.no_grad():
            posterior = self.encode(self.encoder, images)
        reconstructed = self.reconstruct(network, posterior, moment, stream)
        rows = self.draw_rows(stream, moment.number)
        return reconstructed, self.generate(network, rows, stream, moment.number, moment.growth)

    def _judge(self, images: Tensor, network: nn.Module | None = None) -> Judgment:
        with self.autocast():
            judgment: Judgment = (network or self.networks["discriminator"])(images)
        return judgment

    @torch.no_grad()
    def _judge_frozen(self, images: Tensor) -> Judgment:
        return self._judge(images)
