"""Pictures labeled by their class."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from segmenters.datasets import LabeledByClass, Photos


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 40), (200, 0, 0)).save(path)
    return Photos(tmp_path, 16)


def test_every_pixel_is_labeled_by_the_class(photos: Photos) -> None:
    labeled = LabeledByClass(photos)
    batch = labeled.batch([0, 2])
    assert [concept.name for concept in labeled.concepts] == ["cat", "dog"]
    assert batch.labels is not None and batch.labels.dtype == torch.int64
    assert batch.labels.tolist() == [[[0] * 16] * 16, [[1] * 16] * 16]
    assert torch.equal(batch.images, photos.batch([0, 2]).images)


def test_pictures_without_classes_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "1.png")
    with pytest.raises(ValueError, match="must have classes"):
        LabeledByClass(Photos(tmp_path, 16))
