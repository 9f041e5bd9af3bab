"""Counting the modes of stacked digits: by a judge that reads planted values, against counts made by hand."""

import math

import pytest
import torch
from torch import Tensor

from gandissect.fidelity import count_stacked_modes


def read_value(images: Tensor) -> Tensor:
    """Name the class -1, 0 or 1 of a plain picture; of a picture that is not plain, nothing for sure."""
    assert torch.equal(images[:, 0], images[:, 2])  # gray, in three channels
    value = images.flatten(1).mean(1).round().long() + 1
    plain = images.flatten(1).std(1) == 0
    return torch.nn.functional.one_hot(value, 3) * torch.where(plain, 50.0, 0.1)[:, None]


def make_stack(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None].expand(3, 4, 4)


def test_modes_are_combinations_of_the_three_channels() -> None:
    images = torch.stack([make_stack(-1, 0, 1)] * 20 + [make_stack(1, 0, -1)] * 5 + [make_stack(0, 0, 0)] * 15)
    coverage = count_stacked_modes(images.split(7), read_value)
    assert (coverage.num_modes, coverage.num_covered, coverage.num_well_covered) == (27, 3, 1)
    shares = (20 / 40, 5 / 40, 15 / 40)
    assert coverage.divergence == pytest.approx(sum(share * math.log(27 * share) for share in shares))
    assert (coverage.share_good, coverage.num_points) == (1.0, 40)


def test_all_combinations_once_are_uniform_and_one_unsure_channel_spoils_a_sample() -> None:
    values = (-1, 0, 1)
    images = torch.stack([make_stack(red, green, blue) for red in values for green in values for blue in values])
    coverage = count_stacked_modes([images], read_value)
    assert (coverage.num_covered, coverage.divergence) == (27, pytest.approx(0.0, abs=1e-12))
    images[:9, 1, 0, 0] += 0.4
    spoiled = count_stacked_modes([images], read_value)
    assert (spoiled.num_covered, spoiled.share_good) == (27, 18 / 27)


def test_no_images_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one image; got none"):
        count_stacked_modes([], read_value)


def test_gray_digits_have_a_mode_per_class() -> None:
    images = torch.stack([make_stack(1, 1, 1)] * 30 + [make_stack(-1, -1, -1)] * 10)
    coverage = count_stacked_modes(images.split(8), read_value, stacked=1)
    assert (coverage.num_modes, coverage.num_covered, coverage.num_well_covered) == (3, 2, 1)
    assert coverage.divergence == pytest.approx(0.75 * math.log(3 * 0.75) + 0.25 * math.log(3 * 0.25))


def test_more_digits_than_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="stacked must be"):
        count_stacked_modes([], read_value, stacked=4)


@pytest.mark.parametrize(
    ("logits", "got"),
    [(torch.zeros(3), r"\[3\]"), (torch.zeros(1, 9), r"\[1, 9\]"), (torch.full((3, 9), math.nan), "NaN")],
)
def test_a_judge_without_logits_per_class_is_refused(logits: Tensor, got: str) -> None:
    with pytest.raises(ValueError, match=rf"the judge must return finite logits \[3, classes\]; got {got}"):
        count_stacked_modes([make_stack(0, 0, 0)[None]], lambda images: logits)
