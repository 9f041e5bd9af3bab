"""What each step of a GAN's training is: which pictures, which rate, which weights of the penalties."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import generators
from gandissect.core import sampling
from generators.training import GANSettings, GANTask, engine, gan, pictures, train_generator
from generators.training.calibration import calibrate_batch_norm

TINY = GANSettings(resolution=16, width=4, z_dim=6, batch_size=8, images=8 * 12, bf16=False)


class Remembers:
    """Noise pictures; remembers which were asked for."""

    name, size = "noise", 16

    def __init__(self, count: int = 20) -> None:
        self.count, self.asked = count, []

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> SimpleNamespace:
        self.asked += indices
        pictures = [torch.randint(0, 256, (3, 16, 16), generator=torch.Generator().manual_seed(i)) for i in indices]
        return SimpleNamespace(images=torch.stack(pictures).to(torch.uint8))


def _task(**changes: Any) -> GANTask:
    return GANTask(replace(TINY, **changes), Remembers(), device="cpu")


def test_every_epoch_shows_every_picture_once_in_an_order_of_its_own() -> None:
    task = _task()
    for step in range(5):  # 40 pictures, two epochs of 20
        task.step(step)
    first, second = task.source.asked[:20], task.source.asked[20:]
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert first != sorted(first)


@pytest.mark.parametrize("decay_from", [0.0, 0.25, 1.0])
def test_the_learning_rate_is_kept_and_then_falls_in_a_line_to_zero(decay_from: float) -> None:
    task = _task(decay_from=decay_from, beta1=0.25, beta2=0.75)
    for step in (0, 2, 3, 4, 9, 11):
        task.step(step)
        done = step / 12
        expected = 2e-4 if done <= decay_from else 2e-4 * (1 - done) / (1 - decay_from)
        for optimizer in task.optimizers.values():
            assert optimizer.param_groups[0]["lr"] == pytest.approx(expected)
            assert optimizer.param_groups[0]["betas"] == (0.25, 0.75)


def test_r1_is_lazy_and_weighs_as_much_as_if_it_were_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a penalty of 1 that has no gradient, the loss differs by gamma times the interval, at each third step."""
    monkeypatch.setattr(gan, "r1_penalty", lambda *_: torch.tensor(1.0))
    plain, penalized = _task(), _task(r1_gamma=0.5, r1_every=3)
    for step in range(6):
        loss, more = (task.step(step)["loss_discriminator"] for task in (plain, penalized))
        assert more - loss == pytest.approx(1.5 if step % 3 == 0 else 0.0, abs=1e-5)


def test_the_gradient_penalty_weighs_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gan, "gradient_penalty", lambda *_: torch.tensor(1.0))
    figures = _task(loss="wgan-gp").step(0)
    expected = figures["logit_fake"] - figures["logit_real"] + 10
    assert figures["loss_discriminator"] == pytest.approx(expected, abs=1e-4)


def test_no_two_uses_of_a_step_share_their_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The average of w is taken of the very latent vectors that the generator is trained on; nothing else repeats."""
    task, streams, trained, observed = _task(loss="wgan-gp"), [], [], []
    forward = task.network.forward
    monkeypatch.setattr(task.network, "forward", lambda z, *more: trained.append(z) or forward(z, *more))
    monkeypatch.setattr(task.network, "observe", observed.append)

    def remember(seed: int, *stream: str | int, **where: object) -> torch.Generator:
        streams.append((seed, *stream))
        return sampling.make_rng(seed, *stream, **where)

    monkeypatch.setattr(engine, "make_rng", remember)
    monkeypatch.setattr(pictures, "make_rng", remember)
    pictures._shuffle.cache_clear()
    for step in range(2):
        task.step(step)
    assert len(streams) > 12
    assert len({stream for stream in streams if stream[1] != "z-generator"}) == len(streams) - 2 * 2
    assert all(torch.equal(z, seen) for z, seen in zip(trained[1::2], observed, strict=True))


def test_the_average_begins_near_the_generator_and_then_lags_behind() -> None:
    """The half-life is a twentieth of the images seen until it reaches its own."""
    for step, half_life in ((0, 0.05 * 8), (7, 0.05 * 64), (1000, 100.0)):
        task = _task(ema_half_life=100.0, images=10**6)
        before = task.average.generator.output[0].weight.clone()
        task.step(step)
        kept = 0.5 ** (8 / half_life)
        expected = kept * before + (1 - kept) * task.generator.output[0].weight
        torch.testing.assert_close(task.average.generator.output[0].weight, expected, rtol=1e-4, atol=1e-7)


def test_a_snapshot_is_the_average_with_statistics_of_its_own(tmp_path: Path) -> None:
    task = _task()
    for step in range(3):
        task.step(step)
    expected = deepcopy(task.average.generator)
    calibrate_batch_norm(expected, task.settings.seed)
    task.snapshot(tmp_path, 24)
    found = generators.load(tmp_path / "generator.safetensors", device="cpu").state_dict()
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(found[name], value.to(torch.float16).to(value.dtype) if value.ndim else value)
    assert not torch.allclose(
        found["layer1.1.running_var"], task.average.generator.state_dict()["layer1.1.running_var"]
    )


def test_calibrating_again_changes_nothing_and_leaves_the_momentum() -> None:
    generator = generators.DCGAN(size=16, width=4, z_dim=6)
    calibrate_batch_norm(generator, seed=3, num_batches=2)
    once = generator.layer1[1].running_var.clone()
    calibrate_batch_norm(generator, seed=3, num_batches=2)
    assert torch.equal(generator.layer1[1].running_var, once)
    assert generator.layer1[1].momentum == 0.1


def test_all_images_are_shown_and_other_pictures_are_another_run(tmp_path: Path) -> None:
    settings = replace(TINY, images=17)
    assert settings.num_steps == 3
    train_generator(settings, Remembers(), tmp_path, device="cpu")
    with pytest.raises(ValueError, match="pictures: 20 there, 19 given"):
        train_generator(settings, Remembers(19), tmp_path, device="cpu")


def test_bfloat16_is_used_where_asked_for() -> None:
    plain, mixed = (_task(bf16=bf16).step(0) for bf16 in (False, True))
    assert plain != mixed
    assert plain["loss_discriminator"] == pytest.approx(mixed["loss_discriminator"], abs=0.05)
