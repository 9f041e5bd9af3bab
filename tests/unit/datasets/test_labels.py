"""Labels that stand for no concept (255 for "ignore", floats) are refused, not learned as the last concept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gandissect import Concept
from segmenters import PaletteSegmenter, SegmenterSettings, evaluate, train_segmenter
from segmenters.datasets import LabeledPictures
from segmenters.datasets.combining import remap, require_labels
from segmenters.evaluation import confusion_matrix
from segmenters.unet import UNetArchitecture

CONCEPTS = (Concept(0, "dark", (0, 0, 0)), Concept(1, "light", (255, 255, 255)))
SMALL = SegmenterSettings(1, 2, architecture=UNetArchitecture(decoder_channels=(8, 8, 8, 8, 8), input_size=32))


class Custom:
    """A custom source: pictures in two halves, whose labels are changed."""

    name, size, concepts = "custom", 32, CONCEPTS

    def __init__(self, change: Callable[[Tensor], Tensor] = lambda labels: labels) -> None:
        self.change = change

    def __len__(self) -> int:
        return 2

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        labels = torch.zeros(len(indices), 32, 32, dtype=torch.int64)
        labels[..., 16:] = 1
        images = (labels * 255).to(torch.uint8)[:, None].repeat(1, 3, 1, 1)
        return LabeledPictures(images, self.change(labels))


WRONG = {
    "255": (lambda labels: labels * 255, "from 0 to 1, or -1 for unlabeled pixels; got 255"),
    "255.0": (lambda labels: labels * 255.0, r"must be int64 \[\d, 32, 32\]; got torch.float32"),
    "1.0": (lambda labels: labels.float(), "must be int64"),
    "-2": (lambda labels: labels - 2, "got -2"),
    "bool": (lambda labels: labels > 0, "got torch.bool"),
    "size": (lambda labels: labels[:, ::2], r"got torch.int64 \[\d, 16, 32\]"),
}


@pytest.mark.wrong_shape
@pytest.mark.parametrize("kind", WRONG)
def test_labels_that_are_no_concepts_are_refused_wherever_labels_are_read(kind: str, tmp_path: Path) -> None:
    change, message = WRONG[kind]
    source = Custom(change)
    for call in (
        lambda: train_segmenter(SMALL, [source], Custom(), tmp_path / "learned", device="cpu"),
        lambda: train_segmenter(SMALL, [Custom()], source, tmp_path / "judged", device="cpu"),
        lambda: evaluate(PaletteSegmenter(CONCEPTS), source),
        lambda: remap(source, CONCEPTS, {"dark": "light"}).batch([0, 1]),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_labels_of_concepts_groups_and_nothing_pass() -> None:
    grouped = remap(Custom(), CONCEPTS, {"dark": ("dark", "light")})
    assert require_labels(grouped, grouped.batch([0])).unique().tolist() == [-1, 2]
    assert evaluate(PaletteSegmenter(CONCEPTS), Custom(lambda labels: labels - 1)).accuracy == 0
    assert evaluate(PaletteSegmenter(CONCEPTS), Custom()).accuracy == 1


@pytest.mark.wrong_shape
@pytest.mark.parametrize("predicted", [[0.0, 1.0], [0, 2], [-2, 0]])
def test_predictions_that_are_no_concepts_are_refused(predicted: list[float]) -> None:
    with pytest.raises(ValueError, match="predictions must be int64 from -1 to 1; got torch"):
        confusion_matrix(torch.tensor([0, 1]), torch.tensor(predicted), 2)
