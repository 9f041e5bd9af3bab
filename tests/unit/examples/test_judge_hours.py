"""What ``examples/judge_hours.py`` measures: mistakes in hours, hours that rise, and what is kept of scenes."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from gandissect.core import from_uint8
from gandissect.fidelity import ClassAccuracy
from generators.architectures.cgan import ConditionalDCGAN
from segmenters.scenes.hours import HOURS


@pytest.fixture(scope="module")
def example() -> ModuleType:
    folder = Path(__file__).parents[3] / "examples"
    spec = importlib.util.spec_from_file_location("judge_hours", folder / "judge_hours.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["judge_hours"] = module
    sys.path.insert(0, str(folder))  # the example imports others
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


def test_mistakes_are_counted_in_hours(example: ModuleType) -> None:
    confusion = torch.tensor([[3, 1, 0], [0, 2, 0], [4, 0, 0]])
    assert example.mean_error(ClassAccuracy(("a", "b", "c"), confusion)) == (1 * 1 + 4 * 2) / 10


def test_an_expected_hour_is_that_of_the_judges_chances(example: ModuleType) -> None:
    expected = example.expect_hours(
        lambda images: images[:, 0, 0, :3].log(), torch.tensor([[0.2, 0.3, 0.5, 9.0]])[:, None, None]
    )
    assert expected.tolist() == pytest.approx([0.3 + 2 * 0.5])


def test_hours_rise_only_if_every_step_does(example: ModuleType) -> None:
    expected = torch.tensor([[0.0, 1, 2, 3], [0, 1, 1, 3], [0, 2, 1, 3], [3, 2, 1, 0]])
    assert example.share_rising(expected) == 0.25


def test_what_is_kept_has_a_mean_and_students_interval(example: ModuleType) -> None:
    found = example.Kept(torch.tensor([0.2, 0.4, 0.9], dtype=torch.float64)).describe()
    reach = 4.302653 * math.sqrt(0.13 / 3)  # 97.5% quantile of t with 2 degrees of freedom; variance 0.13
    assert found["iou"] == pytest.approx(0.5)
    assert found["interval"] == pytest.approx((0.5 - reach, 0.5 + reach))
    assert found["num_scenes"] == 3


def test_masks_are_those_of_the_labels(example: ModuleType) -> None:
    masks = example.one_hot(torch.tensor([[[0, 2], [-1, 1]]]), 3)
    assert masks.tolist() == [
        [[[True, False], [False, False]], [[False, False], [False, True]], [[False, True], [False, False]]]
    ]


def test_the_scenes_of_all_hours_have_the_same_labels_and_are_in_the_middle_of_their_hours(example: ModuleType) -> None:
    sources = example.scenes_by_hour(16, 3)
    assert [float(source.hours[0]) for source in sources] == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    batches = [source.batch(range(3)) for source in sources]
    assert all(torch.equal(batch.labels, batches[0].labels) for batch in batches)
    assert len({batch.images.sum().item() for batch in batches}) == 5
    assert torch.equal(torch.cat(list(example.read(sources[1]))), from_uint8(batches[1].images))


def test_samples_are_judged_in_each_hour_and_with_the_same_noise(example: ModuleType) -> None:
    """A judge of brightness, and a generator that is brighter the later it is, but not for every noise."""
    generator = ConditionalDCGAN(16, 4, 6, HOURS).eval()
    seen = []

    def draw(z: Tensor) -> Tensor:
        seen.append(z)
        light = (
            z[:, 6:].argmax(1) / 4 - ((z[:, 0] > 0) & (z[:, 8] == 1)).float()
        )  # golden light is dark for half of the noises
        return light[:, None, None, None].expand(-1, 3, 16, 16)

    generator.forward = draw
    centers = torch.arange(5) / 4
    judge = lambda images: -1000 * (images.mean((1, 2, 3))[:, None] - centers).square()  # noqa: E731
    found = example.judge_samples(generator, judge, example.Options("", num_samples=50))
    noise = generator.sample_z(10, 0)
    assert found["rising"] == float((noise[:, 0] <= 0).double().mean())
    assert (found["num_images"], found["num_noises"]) == (50, 10)
    assert all(torch.equal(z[:, :6], noise[:, :6]) for z in seen[-5:])
