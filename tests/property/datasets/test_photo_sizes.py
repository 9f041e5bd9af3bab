"""Pictures of every size stay beside their labels. The oracle is a picture whose colors say where each pixel was."""

from __future__ import annotations

import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from hypothesis import example, given, settings, strategies
from PIL import Image

from gandissect.core.sampling import make_rng
from segmenters.datasets import Photos
from segmenters.datasets.decoding import picture_size, read_picture, read_sent_picture

SHORT_SIDE, BINS = 12, 10
STORE = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
"""What undoes an EXIF orientation (Exif 2.3, tag 274), so that a picture is stored as a camera held so would store it."""

sides = strategies.integers(20, 420)


def ramp(count: int) -> np.ndarray:
    """The middles of ``count`` equal parts of a line from 0 to 255."""
    return 255 * (np.arange(count) + 0.5) / count


def save_ramps(path: Path, width: int, height: int, orientation: int) -> None:
    """Write a JPEG whose red grows from left to right and whose green grows from top to bottom, seen upright."""
    red, green = np.meshgrid(ramp(width), ramp(height))
    picture = Image.fromarray(np.stack([red, green, np.zeros_like(red)], -1).round().astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    method = STORE[orientation]
    (picture if method is None else picture.transpose(method)).save(path, quality=97, subsampling=0, exif=exif)


def label_ramps(folder: Path, width: int, height: int, orientation: int) -> None:
    """Make a labeled folder of such a picture, whose labels are a board of ``BINS`` x ``BINS`` squares."""
    for part in ("images", "labels"):
        (folder / part).mkdir()
    save_ramps(folder / "images/a.jpg", width, height, orientation)
    columns, rows = (np.arange(side) * BINS // side for side in (width, height))
    Image.fromarray((rows[:, None] * BINS + columns).astype(np.uint8)).save(folder / "labels/a.png")
    classes = [{"index": index, "name": str(index)} for index in range(BINS * BINS)]
    (folder / "classes.json").write_text(json.dumps(classes))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(sides, sides, strategies.sampled_from(sorted(STORE)))
@example(193, 199, 1)
@example(1257, 1200, 1)
@example(393, 199, 6)
def test_a_jpeg_of_any_size_is_resized_as_a_whole(width: int, height: int, orientation: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.jpg"
        save_ramps(path, width, height, orientation)
        assert picture_size(path) == (width, height)
        decoded = read_picture(path, SHORT_SIDE)
        assert np.array_equal(decoded, read_sent_picture(path.read_bytes(), SHORT_SIDE))
    scale = SHORT_SIDE / min(width, height)
    assert decoded.shape[:2] == (round(height * scale), round(width * scale))
    inside = (slice(3, -3), slice(3, -3))  # at the border the filter bends a ramp
    red, green = np.meshgrid(*(ramp(count) for count in decoded.shape[1::-1]))
    assert np.abs(decoded[..., 0] - red)[inside].max() < 3, "from left to right"
    assert np.abs(decoded[..., 1] - green)[inside].max() < 3, "from top to bottom"


@settings(max_examples=40, deadline=None, derandomize=True)
@given(sides, sides, strategies.sampled_from(sorted(STORE)))
@example(1257, 1200, 1)
@example(1200, 1257, 8)
def test_labels_of_a_jpeg_of_any_size_are_where_its_pixels_are(width: int, height: int, orientation: int) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        label_ramps(folder, width, height, orientation)
        photos = Photos(folder, SHORT_SIDE, margin=1.0)
        batch = photos.batch([0])
    assert batch.labels is not None and batch.images.shape[2:] == batch.labels.shape[1:]
    inside = (slice(3, -3), slice(3, -3))
    nearest = BINS / 2 / min(width, height)  # a label is that of the nearest pixel, up to half a pixel away
    for channel, label in ((0, batch.labels[0] % BINS), (1, batch.labels[0] // BINS)):
        place = batch.images[0, channel][inside].numpy() / 255 * BINS
        assert np.abs(place - (label[inside].numpy() + 0.5)).max() < 0.5 + 3 / 255 * BINS + nearest


def test_a_training_draws_crops_of_a_large_photograph_with_their_labels(tmp_path: Path) -> None:
    label_ramps(tmp_path, 1257, 1200, 1)
    batch = Photos(tmp_path, 64).batch([0] * 60, make_rng(0, "view"))
    assert batch.labels is not None and batch.labels.shape == (60, 64, 64)
    place = batch.images[:, :2, 3:-3, 3:-3] / 255 * BINS
    label = torch.stack([batch.labels % BINS, batch.labels // BINS], 1)[:, :, 3:-3, 3:-3]
    assert (place - (label + 0.5)).abs().max() < 0.5 + 3 / 255 * BINS


def test_a_draft_is_what_these_sizes_are_decoded_from() -> None:
    """The properties above would say nothing of drafts if no picture were large enough for one."""
    stored = io.BytesIO()
    Image.new("RGB", (193, 199)).save(stored, "JPEG")
    picture = Image.open(stored)
    picture.draft("RGB", (2 * SHORT_SIDE, 2 * SHORT_SIDE))
    assert picture.size == (25, 25)
