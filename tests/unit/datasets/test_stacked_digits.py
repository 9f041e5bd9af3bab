"""Stacked digits: which digits a picture consists of, and the mode it belongs to."""

from collections.abc import Sequence

import pytest
import torch

from segmenters.datasets import LabeledPictures, StackedDigits


class Marks:
    """Four pictures whose gray value is 10 times their class, of three classes."""

    name, size, concepts = "marks", 4, ()
    classes: tuple[str, ...] = ("a", "b", "c")
    class_indices = torch.tensor([0, 1, 2, 1])

    def __len__(self) -> int:
        return 4

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        values = 10 * self.class_indices[list(indices)].to(torch.uint8)
        return LabeledPictures(values[:, None, None, None].expand(-1, 3, 4, 4).contiguous(), None)


def test_every_channel_is_one_digit_and_the_class_names_all_three() -> None:
    stacked = StackedDigits(Marks(), num_pictures=200)
    images = stacked.batch(range(200)).images
    assert images.shape == (200, 3, 4, 4)
    for image, index in zip(images, stacked.class_indices.tolist(), strict=True):
        digits = [int(channel.unique().item()) // 10 for channel in image]
        assert stacked.classes[index] == " ".join("abc"[digit] for digit in digits)


def test_channels_are_drawn_independently_and_reproducibly() -> None:
    stacked = StackedDigits(Marks(), num_pictures=9_000)
    counts = torch.bincount(stacked.class_indices, minlength=27).reshape(3, 3, 3).double() / 9_000
    frequency = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
    expected = torch.einsum("i,j,k->ijk", frequency, frequency, frequency)
    assert (counts - expected).abs().max() < 0.02  # five standard deviations of the largest share
    again = StackedDigits(Marks(), num_pictures=9_000)
    assert torch.equal(again.class_indices, stacked.class_indices)
    assert not torch.equal(StackedDigits(Marks(), 9_000, seed=1).class_indices, stacked.class_indices)


def test_digits_without_classes_are_refused() -> None:
    marks = Marks()
    marks.classes = ()
    with pytest.raises(ValueError, match="must have classes; marks has none"):
        StackedDigits(marks)
