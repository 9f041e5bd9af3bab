"""Training of a variational autoencoder: one turn, in which encoder and decoder learn together."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gandissect.core.pictures import load_pictures
from gandissect.storage.runs import update_ema

from ..architectures.base import LayeredGenerator
from ..architectures.decoder import Decoder
from ..architectures.encoder import Encoder, Posterior
from ..hub import save
from .engine import Stateful, TrainingTask
from .growth import Growth
from .measured import NUM_FITTED, NUM_MEASURED, encode_pictures, measure_autoencoder
from .turns import Figures, Moment, Turn
from .variational import aggregate, divergence, optimal_nll, warm_up
from .variational_settings import VAESettings, VariationalSettings

V = TypeVar("V", bound=VariationalSettings)


class VariationalTask(TrainingTask[V], Generic[V]):
    """A decoder, which is the generator, and an encoder; see `TrainingTask` for the arguments."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.average_encoder = deepcopy(self.encoder).eval().requires_grad_(False)

    @property
    def encoder(self) -> Encoder:
        """The encoder in training."""
        return cast(Encoder, self.networks["encoder"])

    @property
    def state(self) -> dict[str, Stateful]:
        """The averaged encoder."""
        return {"average_encoder": self.average_encoder}

    def encode(self, network: nn.Module, images: Float[Tensor, "batch 3 H W"]) -> Posterior:
        """Return the posterior of images, float32; ``network`` is the encoder or its connected form."""
        with self.autocast():
            posterior: Posterior = network(images)
        return posterior

    def reconstruct(
        self, network: nn.Module, posterior: Posterior, moment: Moment, stream: str
    ) -> Float[Tensor, "batch 3 H W"]:
        """Return images of latent vectors drawn from a posterior; ``network`` is the decoder or its connected form."""
        noise = self.make_draws(f"posterior-{stream}", moment.number).normal(self.generator.noise_dim)
        rows = posterior.sample(noise.to(self.device))
        return self.generate(network, rows, stream, moment.number, moment.growth)

    def warm_up(self, moment: Moment) -> float:
        """Return the weight of the divergence."""
        settings, images_seen = self.settings, moment.number * self.images_per_step
        return warm_up(images_seen, settings.warm_up_images, settings.first_weight)

    def update_averages(self, decay: float) -> None:
        """Move the averaged decoder and encoder towards the ones in training."""
        super().update_averages(decay)
        update_ema(self.average_encoder, self.encoder, decay)

    def write(self, generator: LayeredGenerator, path: Path, facts: dict[str, Any]) -> None:
        """Write the averaged decoder and encoder to one file."""
        save(generator, path, facts, encoder=self.make_encoder(generator), overwrite=True)

    def make_encoder(self, generator: LayeredGenerator) -> Encoder:
        """Return the averaged encoder with the prior of a decoder."""
        encoder = deepcopy(self.average_encoder)
        encoder.prior.load_state_dict(cast(Decoder, generator).prior.state_dict())
        return encoder

    def measure(self, generator: LayeredGenerator, growth: Growth) -> dict[str, float]:  # noqa: ARG002
        """Return the bound, its parts, and the active units on held-out pictures.

        See `Measured`.
        """
        if self.held_out is None:
            return {}
        pictures = load_pictures(self.held_out, NUM_MEASURED)
        encoder = self.make_encoder(generator)
        return measure_autoencoder(generator, encoder, pictures, self.settings.seed, self.device).figures


class VAETask(VariationalTask[VAESettings]):
    """A variational autoencoder; see `TrainingTask` for the arguments."""

    @cached_property
    def fitted_pictures(self) -> UInt8[Tensor, "picture 3 H W"]:
        """Training pictures that the prior is fitted to."""
        return load_pictures(self.source, NUM_FITTED)

    def _make_average(self, growth: Growth) -> LayeredGenerator:
        """Return the averaged decoder, with the prior fitted to the latent vectors of training pictures."""
        generator = super()._make_average(growth)
        cast(Decoder, generator).prior.set(
            *aggregate(encode_pictures(self.average_encoder, self.fitted_pictures, self.device))
        )
        return generator

    def make_turns(self) -> Sequence[Turn]:
        """Return the single turn of encoder and decoder."""
        return (Turn(("generator", "encoder"), self.loss),)

    def loss(self, moment: Moment) -> tuple[Float[Tensor, ""], Figures]:
        """Return the negative evidence lower bound, with the divergence weighted."""
        images = self.pictures.load(moment.number).images
        posterior = self.encode(self.connected["encoder"], images)
        means = self.reconstruct(self.connected["generator"], posterior, moment, "vae")
        likelihood, error = optimal_nll(images, means)
        nats = divergence(posterior).mean()
        loss = likelihood + self.warm_up(moment) * nats
        return loss, {"loss": loss, "learned_divergence": nats, "learned_mse": error}
