"""StarGAN and UNIT in training: the losses against their papers, and which way a step moves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_gans import Noise, tiny, tiny_task
from tiny_generators import draw_pictures
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torchvision.io import read_image

import generators
from generators.training import make_task, train_generator
from generators.training.growth import Growth
from generators.training.turns import Moment
from generators.training.unit import confusion, standard_divergence

MOMENT = Moment(0, Growth(16, 1.0))
SLOW = {"learning_rate": 1e-4, "beta1": 0.0}


def _targets(task: Any, stream: str) -> Tensor:
    return task.make_draws(f"targets-{stream}", 0).integers(0, 3)


def _apply(task: Any, images: Tensor, classes: Tensor) -> Tensor:
    return task.generator(task.generator.join_row(images.flatten(1), classes))


def _cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    return torch.stack([-row.softmax(0)[index].log() for row, index in zip(logits, classes, strict=True)]).mean()


def test_the_losses_of_stargan_are_those_of_the_paper() -> None:
    task = tiny_task("stargan", penalty_weight=7.0, domain_weight=2.0, cycle_weight=5.0)
    batch, judge = task.pictures.load(0), task.networks["discriminator"]
    x, c = batch.images, batch.classes
    fake = _apply(task, x, _targets(task, "discriminator")).detach()
    weight = task.make_draws("penalty", 0).uniform(1, 1, 1)
    lengths = []
    for between in x + weight * (fake - x):
        point = between[None].clone().requires_grad_(True)
        judge(point).patches.mean().backward()
        lengths.append(point.grad.norm())
    penalty = torch.stack([(length - 1) ** 2 for length in lengths]).mean()
    wanted = judge(fake).patches.mean() - judge(x).patches.mean() + 7 * penalty
    wanted = wanted + 2 * _cross_entropy(judge(x).domains, c)
    torch.testing.assert_close(task.discriminator_loss(MOMENT)[0], wanted, rtol=1e-4, atol=1e-5)

    targets = _targets(task, "generator")
    fake = _apply(task, x, targets)
    wanted = -judge(fake).patches.mean() + 2 * _cross_entropy(judge(fake).domains, targets)
    wanted = wanted + 5 * (x - _apply(task, fake, c)).abs().mean()
    torch.testing.assert_close(task.generator_loss(MOMENT)[0], wanted, rtol=1e-4, atol=1e-5)


def test_a_step_of_stargans_generator_raises_the_logits_and_the_share_of_the_domain_of_its_images() -> None:
    task = tiny_task("stargan", domain_weight=1.0, cycle_weight=0.0, **SLOW)
    x, targets = task.pictures.load(0).images, _targets(task, "generator")

    @torch.no_grad()
    def figures() -> tuple[float, float]:
        judgment = task.networks["discriminator"](_apply(task, x, targets))
        return float(judgment.logits.mean()), float(_cross_entropy(judgment.domains, targets))

    before = figures()
    task.turns[1].take(task, 0, MOMENT.growth)
    after = figures()
    assert after[0] - before[0] > after[1] - before[1], "the loss falls"
    for weights, index, sign in (({"domain_weight": 0.0}, 0, 1), ({"domain_weight": 1e3}, 1, -1)):
        task = tiny_task("stargan", cycle_weight=0.0, **weights, **SLOW)
        x = task.pictures.load(0).images
        before = figures()
        task.turns[1].take(task, 0, MOMENT.growth)
        assert sign * (figures()[index] - before[index]) > 0


def test_a_step_of_stargans_discriminator_raises_real_over_translated_pictures() -> None:
    task = tiny_task("stargan", domain_weight=0.0, penalty_weight=0.0, **SLOW)
    x, judge = task.pictures.load(0).images, task.networks["discriminator"]
    fake = _apply(task, x, _targets(task, "discriminator")).detach()

    @torch.no_grad()
    def gap() -> float:
        return float(judge(x).logits.mean() - judge(fake).logits.mean())

    before = gap()
    task.turns[0].take(task, 0, MOMENT.growth)
    assert gap() > before


def test_the_losses_of_unit_are_those_of_the_paper_with_both_options() -> None:
    weights = {"adversarial": 2.0, "divergence": 0.3, "reconstruction": 5.0, "cycle": 7.0}
    weights |= {"domain": 1.5, "semantic": 0.7}
    task = tiny_task("unit", **{f"{name}_weight": value for name, value in weights.items()})
    judge, T = task.networks["discriminator"], task.generator
    x, c = task.pictures.load(0).images, task.pictures.load(0).classes
    other = (c + task.make_draws("targets", 0).integers(1, 3)) % 3
    assert bool((other != c).all())

    def noisy(means: Tensor, stream: str) -> Tensor:
        return means + task.make_draws(f"code-{stream}", 0).normal(16, 4, 4)

    mean = T.encode(x, c)
    fake = T.decode(noisy(mean, "translation"), other)
    mean_back = T.encode(fake, other)
    real_logits, fake_logits = judge(x, c), judge(fake, other)
    named = judge.codes(mean)
    wanted = ((real_logits - 1) ** 2).mean() / 2 + (fake_logits**2).mean() / 2 + _cross_entropy(named, c)
    torch.testing.assert_close(task.discriminator_loss(MOMENT)[0], wanted, rtol=1e-4, atol=1e-5)

    back = T.decode(noisy(mean_back, "cycle"), c)
    wanted = 2 * ((fake_logits - 1) ** 2).mean() / 2
    wanted = wanted + 0.3 * ((mean**2).mean() / 2 + (mean_back**2).mean() / 2)
    wanted = wanted + 5 * (x - T.decode(noisy(mean, "reconstruction"), c)).abs().mean() + 7 * (x - back).abs().mean()
    wanted = wanted - 1.5 * named.softmax(1).log().mean() + 0.7 * (mean - mean_back).abs().mean()
    torch.testing.assert_close(task.generator_loss(MOMENT)[0], wanted, rtol=1e-4, atol=1e-5)


def test_the_divergence_of_codes_is_that_of_normal_distributions() -> None:
    means = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2
    wanted = kl_divergence(Normal(means, 1.0), Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(standard_divergence(means), wanted)


def test_confusion_is_least_where_no_domain_is_preferred() -> None:
    assert confusion(torch.full((4, 3), 2.5)).item() == pytest.approx(torch.tensor(3.0).log().item())
    logits = torch.tensor([[1.0, -0.5], [0.2, 0.3]])
    wanted = -(logits.softmax(1).log() * 0.5).sum(1).mean()
    torch.testing.assert_close(confusion(logits), wanted)
    assert confusion(logits) > confusion(logits / 2) > confusion(logits * 0)


def test_a_step_of_unit_raises_the_logits_of_its_translations() -> None:
    others = {f"{name}_weight": 0.0 for name in ("divergence", "reconstruction", "cycle")}
    task = tiny_task("unit", **others, **SLOW)
    x, c, targets = task._load(MOMENT)

    @torch.no_grad()
    def logit() -> float:
        fake = task.decode(task.encode(x, c), targets, "translation", MOMENT)
        return float(task.judge(fake, targets).mean())

    before = logit()
    assert before < 1, "least squares pulls the logits to 1"
    task.turns[1].take(task, 0, MOMENT.growth)
    assert logit() > before


def test_a_step_of_units_encoders_hides_the_domain_from_the_classifier_of_codes() -> None:
    others = {f"{name}_weight": 0.0 for name in ("adversarial", "divergence", "reconstruction", "cycle")}
    task = tiny_task("unit", domain_weight=1.0, **others, **SLOW)
    x, c, _ = task._load(MOMENT)

    @torch.no_grad()
    def figures() -> float:
        return float(confusion(task.name_domains(task.encode(x, c))))

    before = figures()
    task.turns[1].take(task, 0, MOMENT.growth)
    assert figures() < before


@pytest.mark.parametrize(("architecture", "columns"), [("stargan", 4), ("unit", 4)])
def test_a_snapshot_shows_pictures_beside_their_translations(architecture: str, columns: int, tmp_path: Path) -> None:
    train_generator(tiny(architecture, images=8), Noise(16), tmp_path, device="cpu")
    (path,) = tmp_path.glob("samples-*.png")
    assert tuple(read_image(str(path)).shape) == (3, 2 + 8 * 18, 2 + columns * 18)
    trained = generators.load(tmp_path, device="cpu").on(draw_pictures(6))
    assert trained(trained.sample_z(6)).shape == (6, 3, 16, 16)
    placed = (task := make_task(tiny(architecture), Noise(16), device="cpu")).place(task.average.export(16))
    assert placed(placed.sample_z(3)).isfinite().all()
    pixels = read_image(str(path))[:, 2:18, 2:18].float()
    assert (pixels - Noise().batch([0]).images[0].float()).abs().max() <= 1, "the first column is the pictures"
