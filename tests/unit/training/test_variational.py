"""VAE and VAE-GAN: terms against closed forms, the bound of a linear model, and which loss reaches which network."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_gans import Noise, tiny, tiny_task
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

import generators
from gandissect.core import from_uint8
from generators.architectures.encoder import Encoder, Posterior
from generators.architectures.prior import NormalPrior
from generators.architectures.vaegan import FeatureDiscriminator, Judgment
from generators.training import RECIPES, make_task, train_generator
from generators.training.growth import Growth
from generators.training.measured import measure_autoencoder
from generators.training.turns import Moment
from generators.training.variational import (
    Bound,
    active_units,
    aggregate,
    divergence,
    divergence_from,
    normal_nll,
    optimal_nll,
    warm_up,
)

MOMENT = Moment(3, Growth(16, 1.0))


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_divergence_is_its_closed_form_and_what_sampling_estimates() -> None:
    posterior = Posterior(_draw(5, 3), _draw(5, 3, seed=1))
    normal, prior = Normal(posterior.mean, (posterior.log_variance / 2).exp()), Normal(0.0, 1.0)
    torch.testing.assert_close(divergence(posterior), kl_divergence(normal, prior).sum(1))
    noise = _draw(20_000, 5, 3, seed=2)
    z = torch.stack([posterior.sample(rows) for rows in noise])
    ratios = (normal.log_prob(z) - prior.log_prob(z)).sum(2)
    z_scores = (ratios.mean(0) - divergence(posterior)) / (ratios.std(0) / math.sqrt(len(ratios)))
    assert z_scores.abs().max() < 4
    assert not divergence(Posterior(torch.zeros(2, 3), torch.zeros(2, 3))).any()


def test_the_optimal_variance_gives_the_smallest_negative_log_likelihood() -> None:
    images, means = _draw(4, 3, 2, 2), _draw(4, 3, 2, 2, seed=1)
    loss, error = optimal_nll(images, means)
    torch.testing.assert_close(error, ((images - means) ** 2).mean())

    def plain(sigma: float) -> float:
        return float(-Normal(means, sigma).log_prob(images).sum() / len(images))

    assert float(loss) == pytest.approx(plain(math.sqrt(float(error))))
    assert all(float(loss) < plain(factor * math.sqrt(float(error))) for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2))


def test_the_gradient_is_that_of_a_variance_held_at_its_optimum() -> None:
    images, means = _draw(4, 3, 2, 2), _draw(4, 3, 2, 2, seed=1).requires_grad_()
    loss, error = optimal_nll(images, means)
    held = normal_nll((images - means).square().mean(), error.detach(), 12)
    for one, other in zip(torch.autograd.grad(loss, means), torch.autograd.grad(held, means), strict=True):
        torch.testing.assert_close(one, other)


def test_a_uniform_density_over_8_bits_has_8_bits_per_value() -> None:
    uniform = Bound(12 * math.log(1 / 2), 12)  # one half on [-1, 1]
    assert uniform.bits_per_dim == pytest.approx(math.log2(255))
    assert Bound(uniform.nats - 12 * math.log(2), 12).bits_per_dim == pytest.approx(math.log2(255) + 1)


def test_active_units_are_those_whose_mean_depends_on_the_picture() -> None:
    scales = torch.tensor([1.0, 0.2, 0.05, 0.0, 3.0])  # variances 1, 0.04, 0.0025, 0, 9
    assert active_units(_draw(500, 5) * scales + 7) == 3


def test_the_divergence_warms_up_with_the_images_seen() -> None:
    assert [warm_up(seen, 100) for seen in (0, 25, 100, 1000)] == [0, 0.25, 1, 1]
    assert warm_up(0, 0) == 1
    assert [warm_up(seen, 100, 21) for seen in (0, 25, 100, 1000)] == [21, 16, 1, 1]
    assert warm_up(0, 0, 21) == 1
    task = tiny_task("vae", warm_up_images=80, first_weight=0.0)
    assert task.warm_up(Moment(5, MOMENT.growth)) == 0.5, "5 batches of 8 of 80 images"


def _fit_linear_model(x: Tensor, num_units: int) -> tuple[Tensor, Tensor, float]:
    """Return mean, loadings and variance of the most likely linear model of vectors (probabilistic PCA).

    Source: Tipping and Bishop 1999, Eq. 7 and 8.
    """
    mean = x.mean(0)
    values, vectors = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    values, vectors = values.flip(0), vectors.flip(1)
    variance = float(values[num_units:].mean())
    return mean, vectors[:, :num_units] * (values[:num_units] - variance).sqrt(), variance


def test_the_bound_of_a_linear_model_is_its_log_likelihood() -> None:
    """With the exact posterior the bound is tight, and the model's variance is the most likely one."""
    pictures = Noise().batch(range(20)).images
    x = from_uint8(pictures).flatten(1).double()
    mean, loadings, variance = _fit_linear_model(x, 3)
    precision = loadings.square().sum(0) + variance  # of the posterior times the variance; loadings are orthogonal

    class Exact(nn.Module):
        def __init__(self, shift: float) -> None:
            """Move latent vectors from a prior of another mean and covariance, which must change nothing."""
            super().__init__()
            self.prior, self.shift = NormalPrior(3), shift
            self.prior.set(torch.full((3,), shift), torch.eye(3) * (1 + shift) ** 2)

        def forward(self, images: Tensor) -> Posterior:
            means = (images.flatten(1).double() - mean) @ loadings / precision
            scale = 1 + self.shift
            variances = (variance / precision * scale**2).log().expand_as(means)
            return Posterior((means * scale + self.shift).float(), variances.float())

    def decode(rows: Tensor) -> Tensor:
        return (mean + rows.double() @ loadings.T).view(-1, 3, 16, 16)

    decode.noise_dim = 3
    covariance = loadings @ loadings.T + variance * torch.eye(768, dtype=torch.float64)
    expected = float(MultivariateNormal(mean, covariance).log_prob(x).mean())
    direct = decode((x - mean) @ loadings / precision).flatten(1)
    for shift in (0.0, 0.5):
        figures = measure_autoencoder(decode, Exact(shift), pictures)
        assert figures.bound.nats == pytest.approx(expected, rel=2e-3), "one draw of z per picture"
        assert figures.bound.bits_per_dim == pytest.approx(-expected / 768 / math.log(2) + math.log2(255 / 2), rel=2e-3)
        assert figures.active_units == 3
        assert (figures.standard_divergence > figures.divergence + 0.01) == (shift > 0)
        assert figures.reconstruction_mse == pytest.approx(float((direct - x).square().mean()))
        assert figures.mean_picture_mse == pytest.approx(float((x - x.mean(0)).square().mean()))


def _random_prior() -> tuple[NormalPrior, Tensor, Tensor]:
    factor, mean = _draw(4, 4, seed=3), _draw(4, seed=4)
    covariance = factor @ factor.T + torch.eye(4, dtype=torch.float64) / 2
    prior = NormalPrior(4).double()
    prior.set(mean, covariance)
    return prior, mean, covariance


def test_rows_are_standard_normal_when_latent_vectors_follow_the_prior() -> None:
    prior, mean, covariance = _random_prior()
    latents = prior(_draw(50_000, 4, seed=5))
    torch.testing.assert_close(latents.mean(0), mean, atol=0.05, rtol=0.05)
    torch.testing.assert_close(torch.cov(latents.T), covariance, atol=0.1, rtol=0.05)
    torch.testing.assert_close(prior.to_rows(latents), _draw(50_000, 4, seed=5))
    standard = NormalPrior(4)
    rows = _draw(3, 4).float()
    assert torch.equal(standard(rows), rows)
    assert torch.equal(standard.to_rows(rows), rows)


def test_the_divergence_from_a_normal_prior_is_that_of_multivariate_normals() -> None:
    prior, mean, covariance = _random_prior()
    posterior = Posterior(_draw(5, 4), _draw(5, 4, seed=1))
    expected = [
        kl_divergence(MultivariateNormal(m, torch.diag(v.exp())), MultivariateNormal(mean, covariance))
        for m, v in zip(*posterior, strict=True)
    ]
    torch.testing.assert_close(divergence_from(posterior, prior), torch.stack(expected))
    standard = NormalPrior(4).double()
    torch.testing.assert_close(divergence_from(posterior, standard), divergence(posterior))


def test_no_normal_prior_is_nearer_to_the_posteriors_than_the_one_with_their_moments() -> None:
    posterior = Posterior(_draw(200, 4) @ _draw(4, 4, seed=6), _draw(200, 4, seed=1) - 1)
    mean, covariance = aggregate(posterior)
    sampled = torch.cat([posterior.sample(_draw(200, 4, seed=seed)) for seed in range(50, 150)])
    torch.testing.assert_close(mean, sampled.mean(0), atol=0.05, rtol=0.05)
    torch.testing.assert_close(covariance, torch.cov(sampled.T), atol=0.1, rtol=0.05)

    def average(mean: Tensor, covariance: Tensor) -> float:
        prior = NormalPrior(4).double()
        prior.set(mean, covariance)
        return float(divergence_from(posterior, prior).mean())

    best = average(mean, covariance)
    for seed in range(20):
        tilt = torch.eye(4, dtype=torch.float64) + _draw(4, 4, seed=seed) / 30
        assert best < average(mean, tilt @ covariance @ tilt.T)
        assert best < average(mean + _draw(4, seed=seed) / 30, covariance)


def test_the_prior_of_a_vae_is_fitted_to_its_training_pictures_and_changes_no_reconstruction(tmp_path: Path) -> None:
    path = train_generator(tiny("vae", images=24), Noise(), tmp_path, device="cpu")
    generator, encoder = generators.load(path, device="cpu"), generators.load_encoder(path, device="cpu")
    images = from_uint8(Noise().batch(range(20)).images)
    posterior = encoder(images)
    mean, covariance = aggregate(posterior)
    torch.testing.assert_close(generator.prior.mean.double(), mean, rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(
        (generator.prior.scale @ generator.prior.scale.T).double(), covariance, rtol=1e-2, atol=1e-2
    )
    x = posterior.mean[:, :, None, None]
    for stage in (generator.layer1, generator.layer2, generator.output):
        x = stage(x)
    torch.testing.assert_close(generator(encoder.encode(images)), x, rtol=1e-3, atol=1e-3)


def test_the_prior_of_a_vaegan_stays_standard_normal_since_its_decoder_learns_from_samples() -> None:
    task = tiny_task("vaegan")
    prior = task._make_average(MOMENT.growth).prior
    assert not prior.mean.any()
    assert torch.equal(prior.scale, torch.eye(6))


def test_the_loss_of_a_vae_is_the_negative_bound_of_one_draw() -> None:
    task = tiny_task("vae", warm_up_images=48, first_weight=0.0)
    images = task.pictures.load(3).images
    posterior = task.encoder(images)
    sigma = (posterior.log_variance / 2).exp()
    eps = task.make_draws("posterior-vae", 3).normal(6)
    assert eps.std() > 0.5
    means = task.generator(posterior.mean + sigma * eps)
    pixels = Normal(means, (images - means).square().mean().sqrt()).log_prob(images).sum() / 8
    prior = kl_divergence(Normal(posterior.mean, sigma), Normal(0.0, 1.0)).sum() / 8
    loss, figures = task.loss(MOMENT)
    torch.testing.assert_close(loss, -pixels + 0.5 * prior, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(figures["learned_divergence"], prior)


def test_an_encoder_treats_each_image_alone() -> None:
    encoder = Encoder(16, 4, 6)
    images = _draw(5, 3, 16, 16).float()
    alone = torch.cat([encoder.encode(image[None]) for image in images])
    torch.testing.assert_close(encoder.encode(images), alone)
    with pytest.raises(ValueError, match="size must be one of 16, 32, 64, 128, 256; got 8"):
        Encoder(8)
    with pytest.raises(ValueError, match="width and z_dim must be at least 1; got 4 and 0"):
        Encoder(16, 4, 0)


@pytest.mark.parametrize("architecture", ["vae", "vaegan"])
def test_the_file_of_a_generator_holds_its_averaged_encoder(architecture: str, tmp_path: Path) -> None:
    settings = tiny(architecture, images=24)
    path = train_generator(settings, Noise(), tmp_path, device="cpu")
    images = _draw(3, 3, 16, 16).float()
    task = make_task(settings, Noise(), device="cpu")
    task.load_state_dict(torch.load(tmp_path / "checkpoint.pt", weights_only=True)["task"])
    for name in (path, tmp_path):
        encoder = generators.load_encoder(name, device="cpu")
        torch.testing.assert_close(encoder(images), task.average_encoder(images), rtol=1e-2, atol=1e-2)
        assert not torch.equal(encoder(images).mean, task.encoder(images).mean)
        assert not any(weight.requires_grad for weight in encoder.parameters())
    generator = generators.load(path, device="cpu")
    alone = tmp_path / "alone.safetensors"
    generators.save(generator, alone)
    assert generators.load(alone, device="cpu").fingerprint == generator.fingerprint
    with pytest.raises(ValueError, match=r"alone.safetensors was trained without an encoder; use a generator with one"):
        generators.load_encoder(alone)


def test_a_file_with_a_damaged_encoder_is_refused(tmp_path: Path) -> None:
    task = tiny_task("vae")
    encoder, path = task.average_encoder, tmp_path / "G.safetensors"
    encoder.stages[0].bias.fill_(torch.nan)
    generators.save(task.generator, path, encoder=encoder)
    with pytest.raises(ValueError, match=r"does not describe an encoder of this version: .* contains NaN"):
        generators.load_encoder(path)


def _has_gradient(network: nn.Module) -> bool:
    return any(weight.grad is not None and bool(weight.grad.any()) for weight in network.parameters())


def test_the_encoder_of_a_vaegan_learns_nothing_from_the_adversarial_loss() -> None:
    """Neither does the decoder's turn reach it, nor does its own loss depend on logits."""
    task = tiny_task("vaegan")
    task.decoder_loss(MOMENT)[0].backward()
    assert _has_gradient(task.network)
    assert not _has_gradient(task.encoder)
    task.networks["discriminator"].zero_grad()
    task.encoder_loss(MOMENT)[0].backward()
    assert _has_gradient(task.encoder)
    assert _has_gradient(task.networks["discriminator"].lower)
    assert not _has_gradient(task.networks["discriminator"].upper), "the layers above the features"


def test_the_discriminator_of_a_vaegan_learns_nothing_from_the_likelihood() -> None:
    """Its gradient is that of an adversarial loss that is written out here."""
    task = tiny_task("vaegan")
    discriminator = task.networks["discriminator"]
    images = task.pictures.load(3).images
    with torch.no_grad():
        posterior = task.encoder(images)
        eps = task.make_draws("posterior-discriminator", 3).normal(6)
        reconstructed = task.generator(posterior.sample(eps))
        sampled = task.generator(task.draw_rows("discriminator", 3))
    real, first, second = (torch.sigmoid(discriminator(batch).logits) for batch in (images, reconstructed, sampled))
    expected = -real.log().mean() / 2 - (1 - first).log().mean() / 4 - (1 - second).log().mean() / 4
    loss, _ = task.discriminator_loss(MOMENT)
    torch.testing.assert_close(loss, expected)
    weights = list(discriminator.parameters())
    for one, other in zip(torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
    assert not _has_gradient(task.network)
    assert not _has_gradient(task.encoder)


class _Judge(nn.Module):
    """A discriminator whose logits are given, in the order of its calls, and whose features are the images."""

    def __init__(self, logits: list[Tensor]) -> None:
        super().__init__()
        self.logits = iter(logits)

    def forward(self, images: Tensor) -> Judgment:
        return Judgment(next(self.logits), images)


def _replace_discriminator(task: Any, judge: nn.Module) -> None:
    task.networks["discriminator"] = task.connected["discriminator"] = judge


def test_real_images_weigh_as_much_as_both_kinds_of_generated_ones() -> None:
    """The slope of softplus at 0 is 1/2, so that of the loss is half of each kind's weight."""
    task = tiny_task("vaegan")
    logits = [torch.zeros(8, requires_grad=True) for _ in range(3)]
    _replace_discriminator(task, _Judge(logits))
    loss, _ = task.discriminator_loss(MOMENT)
    slopes = [float(slope.sum()) for slope in torch.autograd.grad(loss, logits)]
    assert slopes == pytest.approx([-1 / 4, 1 / 8, 1 / 8])


def test_the_decoder_weighs_the_likelihood_against_both_kinds_of_generated_images() -> None:
    task = tiny_task("vaegan", likelihood_weight=0.25)
    logits = [torch.zeros(8, requires_grad=True) for _ in range(3)]  # reconstructions, real (for features), samples
    _replace_discriminator(task, _Judge(logits))
    loss, figures = task.decoder_loss(MOMENT)
    slopes = torch.autograd.grad(loss, [logits[0], logits[2]])
    assert [float(slope.sum()) for slope in slopes] == pytest.approx([-0.75 / 8, -0.75 / 8])
    images = task.pictures.load(3).images
    posterior = task.encoder(images)
    reconstructed = task.generator(posterior.sample(task.make_draws("posterior-decoder", 3).normal(6)))
    likelihood = (images - reconstructed).square().sum() / 2 / 8
    torch.testing.assert_close(figures["learned_likelihood"], likelihood, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(loss, 0.25 * likelihood + 0.75 * math.log(2) / 2, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("real", "generated", "waits"),
    [(0.5, -0.5, False), (4.0, -0.5, True), (0.5, -4.0, True), (-4.0, 4.0, False), (4.0, 4.0, False)],
)
def test_the_discriminator_waits_while_it_wins_too_clearly(real: float, generated: float, waits: bool) -> None:
    """Its losses at these logits are softplus(-0.5) = 0.47, softplus(-4) = 0.02, softplus(4) = 4.02, and their means."""
    task = tiny_task("vaegan", min_discriminator_loss=0.3)
    judge = _Judge([torch.full((8,), logit, requires_grad=True) for logit in (real, generated, generated)])
    _replace_discriminator(task, judge)
    weight = nn.Parameter(torch.ones(()))
    task.optimizers["discriminator"] = torch.optim.SGD([weight], lr=0.1)
    loss, figures = task.discriminator_loss(MOMENT)
    task.descend(("discriminator",), loss * weight)
    assert (float(figures["discriminator_waits"]), float(weight.detach()) == 1) == (waits, waits)
    weight.data.fill_(1.0)
    task.optimizers["encoder"] = torch.optim.SGD([weight], lr=0.1)
    task.descend(("encoder",), weight * 2)
    assert float(weight.detach()) != 1, "no other network waits"


def test_features_are_those_after_the_third_of_four_convolutions() -> None:
    network = FeatureDiscriminator(64, 4)
    judgment = network(torch.zeros(2, 3, 64, 64))
    assert judgment.features.shape == (2, 16, 8, 8)
    assert judgment.logits.shape == (2,)
    assert sum(isinstance(stage, nn.Conv2d) for stage in network.lower) == 3


def test_a_step_of_a_vaegan_reads_its_pictures_once() -> None:
    task, seen = tiny_task("vaegan"), []
    load = task.pictures.load
    task.pictures = SimpleNamespace(
        load=lambda number: seen.append(number) or load(number), class_frequencies=task.pictures.class_frequencies
    )
    task.step(0)
    task.step(1)
    assert seen == [0, 1]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("warm_up_images", -1, "an integer of at least 0"),
        ("first_weight", -1, "a number of at least 0"),
        ("likelihood_weight", 1.5, "a number in [0, 1]"),
        ("min_discriminator_loss", -0.1, "a number of at least 0"),
        ("width", 0, "an integer in [1, 8192]"),
    ],
)
def test_settings_out_of_range_are_named(name: str, value: float, words: str) -> None:
    with pytest.raises(ValueError) as refusal:
        replace(RECIPES["vaegan"], **{name: value})
    assert str(refusal.value) == f"{name} (--{name.replace('_', '-')}) must be {words}; got {value}"
