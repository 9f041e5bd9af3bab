from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import generators
from generators.training import RECIPES, GANSettings, GANTask, train_generator
from generators.training.augmentation import POLICIES, cutout, diff_augment, translation
from generators.training.calibration import calibrate_batch_norm
from generators.training.draws import Draws
from generators.training.losses import LOSSES, gradient_penalty, r1_penalty

TINY = GANSettings(
    resolution=16, width=4, z_dim=6, batch_size=8, images=8 * 12, r1_gamma=0.1, r1_every=3, decay_from=0.5
)


class Noise:
    """Coloured noise pictures, the same for the same index."""

    name, size = "noise", 16

    def __len__(self) -> int:
        return 20

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> SimpleNamespace:
        pictures = [torch.randint(0, 256, (3, 16, 16), generator=torch.Generator().manual_seed(i)) for i in indices]
        flips = torch.rand(len(indices), generator=rng) < 0.5
        images = torch.stack([p.flip(2) if f else p for p, f in zip(pictures, flips, strict=True)])
        return SimpleNamespace(images=images.to(torch.uint8))


def _draws(seed: int, total: int) -> Draws:
    return Draws(torch.Generator().manual_seed(seed), total)


def _weights(folder: Path) -> dict[str, Tensor]:
    state = torch.load(folder / "checkpoint.pt", weights_only=True)["task"]
    return {
        f"{part}.{name}": value
        for part in ("generator", "discriminator", "average")
        for name, value in state[part].items()
    }


def _assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


@pytest.mark.parametrize("loss", LOSSES)
def test_an_interrupted_and_resumed_run_ends_bit_equal(loss: str, tmp_path: Path) -> None:
    settings = replace(TINY, loss=loss, augmentation=tuple(POLICIES))
    train_generator(settings, Noise(), tmp_path / "whole", device="cpu")

    class Stop(Noise):
        calls = 0

        def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> SimpleNamespace:
            Stop.calls += 1
            if Stop.calls == 8:
                raise KeyboardInterrupt
            return super().batch(indices, rng)

    with pytest.raises(KeyboardInterrupt):
        train_generator(settings, Stop(), tmp_path / "parts", checkpoint_images=16, device="cpu")
    assert torch.load(tmp_path / "parts/checkpoint.pt", weights_only=True)["steps_done"] == 6
    train_generator(settings, Noise(), tmp_path / "parts", device="cpu")
    _assert_same(_weights(tmp_path / "whole"), _weights(tmp_path / "parts"))
    assert generators.load(tmp_path / "whole/generator.safetensors", device="cpu").fingerprint == (
        generators.load(tmp_path / "parts/generator.safetensors", device="cpu").fingerprint
    )


def test_other_settings_or_a_damaged_checkpoint_are_refused(tmp_path: Path) -> None:
    train_generator(TINY, Noise(), tmp_path, device="cpu")
    with pytest.raises(ValueError, match=r"seed: 0 there, 1 given"):
        train_generator(replace(TINY, seed=1), Noise(), tmp_path, device="cpu")
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged"):
        train_generator(TINY, Noise(), tmp_path, device="cpu")


def test_pictures_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="16 px; the generator makes 32 px"):
        train_generator(replace(TINY, resolution=32), Noise(), tmp_path)


def test_divergence_stops_the_run_with_the_step(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match=r"must be finite; got (nan|inf) at step \d+"):
        train_generator(replace(TINY, r1_gamma=1e39, bf16=False), Noise(), tmp_path, device="cpu")


def test_a_gan_learns_the_color_of_its_pictures() -> None:
    """Half a minute of training would be a GAN; a second must at least move the mean color to the real one."""

    class Plain(Noise):
        def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> SimpleNamespace:
            color = torch.tensor([230, 40, 40], dtype=torch.uint8)[None, :, None, None]
            return SimpleNamespace(images=color.expand(len(indices), 3, 16, 16))

    settings = replace(TINY, images=8 * 150, learning_rate=2e-3, r1_gamma=0.0, augmentation=(), bf16=False)
    task = GANTask(settings, Plain(), device="cpu")
    wanted = torch.tensor([230, 40, 40]) / 127.5 - 1

    def distance() -> float:
        with torch.no_grad():
            return float((task.generator(task.generator.sample_z(16)).mean(dim=(0, 2, 3)) - wanted).abs().mean())

    before = distance()
    for index in range(150):
        task.step(index)
    assert distance() < before / 3


def test_losses_against_the_papers_formulas() -> None:
    real, fake = torch.tensor([2.0, -1.0, 0.3]), torch.tensor([0.5, -3.0, 4.0])
    logistic = -(torch.sigmoid(real).log().mean() + (1 - torch.sigmoid(fake)).log().mean())
    assert torch.allclose(LOSSES["logistic"].discriminator(real, fake), logistic)
    assert torch.allclose(LOSSES["logistic"].generator(fake), -torch.sigmoid(fake).log().mean())
    assert torch.allclose(LOSSES["hinge"].discriminator(real, fake), torch.tensor((0 + 2 + 0.7 + 1.5 + 0 + 5) / 3))
    assert torch.allclose(LOSSES["wgan-gp"].discriminator(real, fake), torch.tensor(1.5 / 3 - 1.3 / 3))
    assert torch.allclose(LOSSES["hinge"].generator(fake), torch.tensor(-0.5))


def test_penalties_of_a_linear_discriminator_are_known() -> None:
    """For ``D(x) = <w, x>`` the gradient is ``w`` everywhere."""
    weight = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0))

    def discriminator(images: Tensor) -> Tensor:
        return (images * weight).sum(dim=(1, 2, 3))

    real, fake = torch.randn(2, 5, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    norm = weight.norm()
    assert torch.allclose(r1_penalty(discriminator, real), norm**2 / 2)
    assert torch.allclose(gradient_penalty(discriminator, real, fake, _draws(0, 5)), (norm - 1) ** 2)


def test_augmentation_is_differentiable_and_follows_its_seed() -> None:
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)).mul(2).sub(1).requires_grad_(True)
    once = diff_augment(images, tuple(POLICIES), _draws(5, 4))
    again = diff_augment(images, tuple(POLICIES), _draws(5, 4))
    assert torch.equal(once, again)
    assert not torch.equal(once, diff_augment(images, tuple(POLICIES), _draws(6, 4)))
    (gradient,) = torch.autograd.grad(once.square().sum(), images)
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0


def test_translation_moves_whole_pixels_and_brings_zeros() -> None:
    images = torch.rand(50, 3, 16, 16, generator=torch.Generator().manual_seed(0)) + 0.1
    moved = translation(images, _draws(1, 50))
    padded = functional.pad(images, (2, 2, 2, 2))
    seen = set()
    for image, result in zip(padded, moved, strict=True):
        shifts = [(y, x) for y in range(5) for x in range(5) if torch.equal(image[:, y : y + 16, x : x + 16], result)]
        assert len(shifts) == 1
        seen.add(shifts[0])
    assert len(seen) > 15, "the shifts are drawn for each image"


def test_cutout_zeroes_one_square_of_half_the_size() -> None:
    kept = cutout(torch.ones(60, 3, 16, 16), _draws(1, 60)).mean(dim=1)
    for mask in kept:
        rows, columns = (mask == 0).any(dim=1), (mask == 0).any(dim=0)
        assert mask.unique().tolist() in ([0.0, 1.0], [1.0])
        assert rows.sum() <= 8
        assert columns.sum() <= 8
        assert (mask == 0).sum() == rows.sum() * columns.sum()
    assert ((kept == 0).sum(dim=(1, 2)) == 64).any()


def test_calibrated_statistics_are_those_of_the_activations() -> None:
    """After calibration each unit, before scale and shift, has mean 0 and variance 1 over many z."""
    generator = generators.DCGAN(size=16, width=4, z_dim=6)
    with torch.no_grad():
        generator.layer1[0].weight.mul_(7)
    calibrate_batch_norm(generator, seed=3, num_batches=32)
    norm = generator.layer1[1]
    with torch.no_grad():
        r = generator.layer1[0](generator.input(generator.sample_z(4000, seed=8)))
    assert not generator.training
    assert torch.allclose(norm.running_mean, r.mean(dim=(0, 2, 3)), atol=0.05 * float(r.std()))
    assert torch.allclose(norm.running_var, r.var(dim=(0, 2, 3)), rtol=0.08)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"loss": "hing"}, "did you mean 'hinge'"), ({"augmentation": ("colour",)}, "did you mean 'color'")],
)
def test_settings_name_the_nearest_match(change: dict, message: str) -> None:
    with pytest.raises(KeyError, match=message):
        replace(TINY, **change)


@pytest.mark.parametrize("name", ["snapshot_images", "checkpoint_images"])
@pytest.mark.parametrize("images", [0, 1.5])
def test_snapshots_every_no_images_are_refused(tmp_path: Path, name: str, images: float) -> None:
    with pytest.raises(ValueError, match=rf"^{name} \(--.*\) must be an integer of at least 1; got {images}$"):
        train_generator(TINY, Noise(), tmp_path / "run", **{name: images}, device="cpu")
    assert not (tmp_path / "run").exists()


def test_what_is_no_source_of_pictures_or_no_settings_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"source must be .*segmenters\.datasets.*; got 'pics'$"):
        train_generator(TINY, "pics", tmp_path / "run")
    with pytest.raises(
        TypeError, match=r"settings must be TrainingSettings, such as RECIPES\['progan'\]; got 'progan'$"
    ):
        train_generator("progan", Noise(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_unknown_recipe_is_named_with_those_that_exist() -> None:
    for name in ("infogan", 0):
        with pytest.raises(
            KeyError, match=f"unknown architecture '?{name}'?; .*gan, dcgan, .*progan, stylegan, stylegan2"
        ):
            RECIPES[name]
    assert "infogan" not in RECIPES
