"""pix2pix and CycleGAN in training: the losses against their papers, pairs and pools, and which way a step moves them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_gans import Noise, draws, noise_for, tiny, tiny_task
from torch import Tensor
from torchvision.io import read_image

import generators
from gandissect.storage.files import load_tensors
from generators.hub import FORMAT, VERSION
from generators.training import make_task, train_generator
from generators.training.growth import Growth
from generators.training.pool import PicturePool
from generators.training.turns import Moment

MOMENT = Moment(0, Growth(16, 1.0))
SLOW = {"learning_rate": 1e-4, "beta1": 0.0}


def _softplus(x: Tensor) -> Tensor:
    return (1 + x.double().exp()).log().mean()


def _pair(task: Any, images: Tensor) -> Tensor:
    """Return the discriminator's logits of images beside one plane per concept of their label maps."""
    labels = task.pictures.load(0).inputs[:, 0]
    planes = torch.stack([(labels == index).float() for index in range(3)], 1)
    return task.networks["discriminator"](torch.cat([planes, images], 1))


def _translate(task: Any) -> Tensor:
    return task.generator(task.pictures.load(0).inputs.flatten(1))


def test_the_losses_of_pix2pix_are_those_of_the_paper() -> None:
    task = tiny_task("pix2pix", l1_weight=7.0, adversarial_weight=2.0)
    real, fake = task.pictures.load(0).images, _translate(task)
    wanted = (_softplus(-_pair(task, real)) + _softplus(_pair(task, fake))) / 2
    torch.testing.assert_close(task.discriminator_loss(MOMENT)[0].double(), wanted, rtol=1e-5, atol=1e-6)
    wanted = 2 * _softplus(-_pair(task, fake)) + 7 * (real - fake).double().abs().mean()
    torch.testing.assert_close(task.generator_loss(MOMENT)[0].double(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "updates"),
    [
        ({"adversarial_weight": 0.0}, [("generator",)]),
        ({"l1_weight": 0.0}, [("discriminator",), ("generator",)]),
    ],
)
def test_a_step_of_pix2pix_lowers_the_term_that_it_has(weights: dict[str, float], updates: list[Any]) -> None:
    task = tiny_task("pix2pix", **weights, **SLOW)
    assert [turn.updates for turn in task.turns] == updates

    @torch.no_grad()
    def term() -> float:
        fake = _translate(task)
        return float(
            (task.pictures.load(0).images - fake).abs().mean() if len(updates) == 1 else -_pair(task, fake).mean()
        )

    before = term()
    task.turns[-1].take(task, 0, MOMENT.growth)
    assert term() < before


def test_a_step_of_pix2pix_s_discriminator_raises_real_over_translated_pictures() -> None:
    task = tiny_task("pix2pix", **SLOW)
    real, fake = task.pictures.load(0).images, _translate(task).detach()

    @torch.no_grad()
    def gap() -> float:
        return float(_pair(task, real).mean() - _pair(task, fake).mean())

    before = gap()
    task.turns[0].take(task, 0, MOMENT.growth)
    assert gap() > before


@pytest.mark.parametrize("resident", [False, True])
def test_an_input_is_cropped_and_flipped_as_its_picture_is(resident: bool) -> None:
    class Twins(Noise):
        """Inputs that are label maps of the pictures themselves, flipped alike."""

        def batch(self, indices: Any, rng: Any = None) -> Any:
            batch = super().batch(indices, rng)
            batch.inputs.labels = batch.images[:, 0].long()
            return batch

    task = make_task(tiny("pix2pix", resident=resident), Twins(), device="cpu")
    flipped = set[bool]()
    for number in range(4):
        batch = task.pictures.load(number)
        levels = (batch.images[:, 0] + 1) * 127.5
        torch.testing.assert_close(batch.inputs[:, 0], levels, rtol=0, atol=0.01)
        known = {tuple(picture[0, 0].tolist()) for picture in Noise().batch(range(20)).images}
        flipped |= {tuple(row.round().long().tolist()) in known for row in levels[:, 0]}
    assert flipped == {True, False}


def test_pictures_without_inputs_are_refused() -> None:
    class Alone(Noise):
        inputs = None

    with pytest.raises(
        ValueError, match=r"pix2pix needs pictures with inputs: name these too, .*--inputs labels:scenes"
    ):
        make_task(tiny("pix2pix"), Alone(), device="cpu")


def _cycle_pictures(task: Any) -> tuple[Tensor, Tensor]:
    x, y = (pictures.load(0).images for pictures in task.pictures_of)
    return x, y


def test_the_losses_of_cyclegan_are_those_of_the_paper() -> None:
    task = tiny_task("cyclegan", cycle_weight=3.0, identity_weight=2.0, pool_size=0)
    G, F = (task.networks[name].generator for name in ("generator", "back"))
    D, E = (task.networks[name] for name in ("discriminator", "discriminator_back"))
    x, y = _cycle_pictures(task)
    to_y, to_x = G(x.flatten(1)), F(y.flatten(1))

    def square(logits: Tensor, goal: float) -> Tensor:
        return (logits - goal).double().pow(2).mean() / 2

    def l1(one: Tensor, other: Tensor) -> Tensor:
        return (one - other).double().abs().mean()

    wanted = square(D(to_y), 1) + square(E(to_x), 1)
    wanted = wanted + 3 * (l1(F(to_y.flatten(1)), x) + l1(G(to_x.flatten(1)), y))
    wanted = wanted + 2 * (l1(G(y.flatten(1)), y) + l1(F(x.flatten(1)), x))
    torch.testing.assert_close(task.generators_loss(MOMENT)[0].double(), wanted, rtol=1e-5, atol=1e-6)
    wanted = square(D(y), 1) + square(D(to_y), 0) + square(E(x), 1) + square(E(to_x), 0)
    torch.testing.assert_close(task.discriminators_loss(MOMENT)[0].double(), wanted, rtol=1e-5, atol=1e-6)


def test_the_domains_of_a_batch_are_those_that_are_named_and_never_pairs() -> None:
    class Twins(Noise):
        """Pictures 2i and 2i + 1, one of each domain, are a pair; each has the number of its pair in all pixels."""

        def batch(self, indices: Any, rng: Any = None) -> Any:
            batch = super().batch(indices)
            batch.images = torch.stack(
                [torch.full((3, 16, 16), 10 * (i // 2) + i % 2, dtype=torch.uint8) for i in indices]
            )
            return batch

    task = make_task(tiny("cyclegan"), Twins(count=40, classes=("summer", "autumn")), device="cpu")
    same = 0
    for number in range(10):
        x, y = (
            ((pictures.load(number).images[:, 0, 0, 0] + 1) * 127.5).round().long() for pictures in task.pictures_of
        )
        assert (x % 10 == 0).all()
        assert (y % 10 == 1).all()
        same += int((x // 10 == y // 10).sum())
    assert same < 16, "of 80, 4 by chance"


@pytest.mark.parametrize("count", [1, 3])
def test_a_cyclegan_needs_two_domains(count: int) -> None:
    names = ("summer", "autumn", "winter")[:count]
    with pytest.raises(ValueError, match=rf"got {count}"):
        make_task(tiny("cyclegan"), Noise(classes=names, count=30), device="cpu")


def test_both_translators_are_written_with_their_direction(tmp_path: Path) -> None:
    settings = tiny("cyclegan", images=16)
    train_generator(settings, noise_for("cyclegan"), tmp_path, held_out=noise_for("cyclegan", count=9), device="cpu")
    found = {}
    for name, direction in (("generator", "plain to rough"), ("back-generator", "rough to plain")):
        path = tmp_path / f"{name}.safetensors"
        assert load_tensors(path, FORMAT, VERSION)[1]["facts"]["direction"] == direction
        found[name] = generators.load(path, device="cpu").fingerprint
    assert found["generator"] != found["back-generator"]
    assert read_image(str(tmp_path / "samples-00000016.png")).shape[1:] == (4 * 18 + 2, 6 * 18 + 2)


def test_a_pool_shows_earlier_pictures_half_of_the_time_and_keeps_new_ones_in_their_place() -> None:
    """Against a plain loop over the paper's rule, with the same draws."""
    pool, kept = PicturePool(5), list[Tensor]()
    for number in range(40):
        pictures = torch.full((4, 3, 2, 2), 0.0) + torch.arange(4)[:, None, None, None] + 10 * number
        shown = pool.exchange(pictures, draws(4, number))
        again = draws(4, number)
        replaces, places = again.uniform(), again.integers(0, 5)
        for picture, out, replace, place in zip(pictures, shown, replaces, places, strict=True):
            if len(kept) < 5:
                kept.append(picture)
                assert torch.equal(out, picture)
            elif replace < 0.5:
                assert torch.equal(out, kept[place])
                kept[place] = picture
            else:
                assert torch.equal(out, picture)
    other = PicturePool(5)
    other.load_state_dict(pool.state_dict())
    pictures = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    assert torch.equal(pool.exchange(pictures, draws(4, 99)), other.exchange(pictures, draws(4, 99)))
    assert torch.equal(PicturePool(0).exchange(pictures, draws(4)), pictures)


def test_half_of_what_a_pool_shows_is_old() -> None:
    pool, old, rng = PicturePool(50), 0, random.Random(0)
    for number in range(300):
        pictures = torch.full((4, 3, 1, 1), float(number))
        shown = pool.exchange(pictures, draws(4, rng.randrange(2**31)))
        old += int((shown[:, 0, 0, 0] < number).sum()) if number >= 100 else 0
    assert old / 800 == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"halvings": 3}, r"halvings \(--halvings\) must be at most 2 for 16 px; got 3"),
        ({"l1_weight": 0.0, "adversarial_weight": 0.0}, r"must be above 0; got 0 for both"),
        ({"l1_weight": -1.0}, r"l1_weight \(--l1-weight\)"),
    ],
)
def test_settings_that_cannot_be_are_explained(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny("pix2pix", **changes)


def test_samples_show_input_image_and_target(tmp_path: Path) -> None:
    settings = tiny("pix2pix", images=8)
    train_generator(settings, Noise(), tmp_path, device="cpu")
    shown = read_image(str(tmp_path / "samples-00000008.png"))
    assert shown.shape[1:] == (5 * 18 + 2, 6 * 18 + 2)
    targets = Noise().batch(range(0, 20, 2)).images
    assert torch.equal(shown[:, 2:18, 38:54], targets[0])
    labels = Noise().batch([0]).inputs.labels[0]
    assert torch.equal(shown[0, 2:18, 2:18] == 9, labels >= 0)
