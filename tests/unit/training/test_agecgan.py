"""Age-cGAN: first the GAN, then an encoder of its images, from which inversions start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_gans import Noise, tiny, tiny_task
from torch import Tensor

import generators
from gandissect.latent import invert
from generators import ConditionalGenerator
from generators.training import train_generator
from generators.training.agecgan import AgeCGANTask
from generators.training.calibration import calibrate_batch_norm
from generators.training.turns import Moment

SETTINGS: dict[str, Any] = {"gan_images": 16, "images": 40}


def _weights(task: Any) -> dict[str, dict[str, Tensor]]:
    parts = task.networks | {"average": task.average, "average_encoder": task.average_encoder}
    return {name: {key: value.clone() for key, value in part.state_dict().items()} for name, part in parts.items()}


def _changed(before: dict[str, dict[str, Tensor]], after: dict[str, dict[str, Tensor]]) -> set[str]:
    return {
        name for name in before if any(not torch.equal(before[name][key], after[name][key]) for key in before[name])
    }


def test_a_phase_changes_its_own_networks_only() -> None:
    task, seen = tiny_task("agecgan", **SETTINGS), []
    for index in range(4):
        before = _weights(task)
        task.step(index)
        seen.append(_changed(before, _weights(task)))
    gan, encoder = {"generator", "discriminator", "average"}, {"encoder", "average_encoder"}
    assert seen == [gan, gan, encoder, encoder]


def test_the_encoder_learns_the_noise_of_the_averaged_generators_images() -> None:
    task = tiny_task("agecgan", **SETTINGS)
    for index in range(2):
        task.step(index)
    loss, figures = task.encoder_loss(Moment(2, task.growth(16)))
    rows = task.draw_rows("encoder", 2)
    teacher = task.average.export(16)
    calibrate_batch_norm(teacher, task.settings.seed)
    with torch.no_grad():
        guesses = task.encoder(teacher(rows)).mean
    squares = [(guess - row[:6]).square().sum() / 6 for guess, row in zip(guesses, rows, strict=True)]
    torch.testing.assert_close(loss, sum(squares) / 8)
    assert torch.equal(figures["loss_encoder"], loss)
    assert len(set(rows[:, 6:].argmax(1).tolist())) == 3, "of all classes"


def test_the_encoders_error_falls() -> None:
    settings = {**SETTINGS, "gan_images": 8, "images": 8_000, "encoder_width": 16, "width": 8}
    task = tiny_task("agecgan", **settings)
    task.step(0)
    generator = task.average.export(16)
    calibrate_batch_norm(generator, 0)
    before = task.measure(generator, task.growth(8))["encoder_error"]
    for index in range(1, 61):
        task.step(index)
    assert before > 0.9, "before it learns, about the variance of the noise"
    assert task.measure(generator, task.growth(8))["encoder_error"] < 0.85 * before


@pytest.mark.parametrize(("decay_from", "rates"), [(1.0, (1, 1, 1, 1, 1, 1)), (0.5, (1, 1, 0.5, 1, 1, 0.5))])
def test_the_learning_rate_falls_in_either_phase(decay_from: float, rates: tuple[float, ...]) -> None:
    settings = tiny("agecgan", gan_images=32, images=64, decay_from=decay_from)
    assert tuple(settings.decay_after(images) for images in (0, 16, 24, 32, 48, 56)) == rates
    task = tiny_task("agecgan", gan_images=32, images=64, decay_from=decay_from)
    assert task.learning_rate_at("encoder", 7) == pytest.approx(1e-3 * rates[5])
    assert task.learning_rate_at("generator", 3) == pytest.approx(2e-4 * rates[2])


def test_a_run_that_stops_while_the_encoder_learns_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, learn, turns = tiny("agecgan", **SETTINGS, decay_from=0.5), AgeCGANTask.encoder_loss, []

    def stop(task: AgeCGANTask, moment: Moment) -> Any:
        turns.append(moment.number)
        if moment.number == 4:
            raise KeyboardInterrupt
        return learn(task, moment)

    train_generator(settings, Noise(), tmp_path / "whole", device="cpu")
    with monkeypatch.context() as patched:
        patched.setattr(AgeCGANTask, "encoder_loss", stop)
        with pytest.raises(KeyboardInterrupt):
            train_generator(settings, Noise(), tmp_path / "resumed", checkpoint_images=8, device="cpu")
    assert turns == [2, 3, 4]
    train_generator(settings, Noise(), tmp_path / "resumed", checkpoint_images=8, device="cpu")
    first, second = (torch.load(tmp_path / run / "checkpoint.pt", weights_only=True) for run in ("whole", "resumed"))
    for name in ("encoder", "average_encoder", "generator", "average"):
        for key, value in first["task"][name].items():
            assert torch.equal(value, second["task"][name][key]), (name, key)


def test_the_file_holds_the_encoder_from_which_inversions_start(tmp_path: Path) -> None:
    path = train_generator(tiny("agecgan", **SETTINGS), Noise(), tmp_path, held_out=Noise(), device="cpu")
    generator, encoder = generators.load(path, device="cpu"), generators.load_encoder(path, device="cpu")
    assert isinstance(generator, ConditionalGenerator)
    images = generator(generator.sample_z(3, seed=2, classes="rough")).clamp(-1, 1)
    posterior = encoder(images)
    assert posterior.mean.shape == (3, 6)
    assert torch.equal(posterior.sample(torch.ones(3, 6)), posterior.mean), "it has no variance"
    chosen = generator.of_classes("rough")
    start = invert(chosen, images, encoder=encoder.encode, num_starts=1, num_steps=0, progress=False)
    assert torch.equal(start.latents[:, :6], encoder.encode(images))
    assert generator.classes_of(start.latents) == ("rough",) * 3
    moved = generator.change_class(start.latents, "wild")
    assert torch.equal(moved[:, :6], start.latents[:, :6])
    assert generator.classes_of(moved) == ("wild",) * 3


def test_without_images_for_the_encoder_the_settings_say_so() -> None:
    with pytest.raises(ValueError, match=r"images \(--images\) must be more than gan_images .* got images 16"):
        tiny("agecgan", gan_images=16, images=16)
