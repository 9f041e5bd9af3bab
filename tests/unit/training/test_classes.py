"""What a training does with classes: drawn as often as among the pictures, passed to the discriminator, one grid row each."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from tiny_gans import Noise, tiny
from torchvision.io import read_image

from generators.training import GANTask
from generators.training.growth import Growth
from generators.training.turns import Moment

MOMENT = Moment(0, Growth(16, 1.0))


class Uneven(Noise):
    """Fifteen pictures of the first class, four of the second and one of the third."""

    def __init__(self) -> None:
        super().__init__(20)
        self.class_indices = torch.tensor([0] * 15 + [1] * 4 + [2])


def _task() -> GANTask:
    return GANTask(tiny("cgan", augmentation=()), Uneven(), device="cpu")


def test_classes_of_generated_images_are_as_frequent_as_those_of_the_pictures() -> None:
    """Each count is within four standard deviations of its mean; rows of a number are the same whenever drawn."""
    task = _task()
    rows = torch.cat([task.draw_rows("generator", number) for number in range(300)])
    assert torch.equal(rows[80:88], task.draw_rows("generator", 10))
    assert not torch.equal(rows[80:88], task.draw_rows("discriminator", 10))
    counts = torch.bincount(rows[:, task.generator.noise_dim :].argmax(1), minlength=3)
    for count, share in zip(counts.tolist(), (0.75, 0.2, 0.05), strict=True):
        assert abs(count - 2400 * share) < 4 * math.sqrt(2400 * share * (1 - share))


def test_the_discriminator_is_given_the_classes_of_pictures_and_of_generated_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task, seen = _task(), []
    forward = task.discriminator.forward
    monkeypatch.setattr(task.discriminator, "forward", lambda x, c: seen.append(c.tolist()) or forward(x, c))
    task.discriminator_loss(MOMENT)
    task.generator_loss(MOMENT)
    batch = task.pictures.load(0)
    own = [
        task.draw_rows(stream, 0)[:, task.generator.noise_dim :].argmax(1) for stream in ("discriminator", "generator")
    ]
    assert batch.classes is not None
    assert seen == [batch.classes.tolist(), *(classes.tolist() for classes in own)]


def test_a_grid_of_samples_has_one_row_per_class(tmp_path: Path) -> None:
    task = _task()
    task.draw_samples(task.average.export(16), tmp_path / "samples.png")
    assert tuple(read_image(str(tmp_path / "samples.png")).shape) == (3, 2 + 3 * 18, 2 + 8 * 18)


def test_pictures_without_classes_are_refused() -> None:
    plain = Noise()
    plain.classes = ()
    with pytest.raises(ValueError, match=r"cgan needs pictures of at least two classes; got 0 \(several sources"):
        GANTask(tiny("cgan"), plain, device="cpu")


def test_pictures_of_one_of_several_classes_are_refused() -> None:
    alike = Uneven()
    alike.class_indices = torch.ones(20, dtype=torch.int64)
    message = re.escape(f"cgan needs pictures of at least two classes; got 1 ({alike.classes[1]}): use a folder")
    with pytest.raises(ValueError, match=message):
        GANTask(tiny("cgan"), alike, device="cpu")
