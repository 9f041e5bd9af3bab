"""Digits of idx files, points in the plane, and the classes of pictures."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gandissect.core.protocols import as_classed
from gandissect.fidelity import measure_modes
from segmenters.datasets import IdxPictures, Photos, Points, open_pictures, open_training_data, pick_classes


def _write(folder: Path, split: str, pixels: np.ndarray, labels: np.ndarray, packed: bool = True) -> None:
    folder.mkdir(exist_ok=True)
    for array, end in ((pixels, "images-idx3-ubyte"), (labels, "labels-idx1-ubyte")):
        data = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
        path = folder / f"{split}-{end}{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(data) if packed else data)


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, count, packed in (("train", 30, True), ("test", 6, False)):
        pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        _write(tmp_path / "digits", split, pixels, (np.arange(count) % 10).astype(np.uint8), packed)
    return tmp_path / "digits"


def test_pictures_of_an_idx_file_are_its_bytes_padded_and_their_ink_has_their_class(digits: Path) -> None:
    source = IdxPictures(digits, 32, "train")
    raw = gzip.decompress((digits / "train-images-idx3-ubyte.gz").read_bytes())[16:]
    pixels = np.frombuffer(raw, np.uint8).reshape(30, 28, 28)
    batch = source.batch([3, 17])
    assert batch.images.shape == (2, 3, 32, 32)
    for image, labels, index in zip(batch.images, batch.labels, (3, 17), strict=True):
        assert np.array_equal(image[1, 2:30, 2:30].numpy(), pixels[index])
        assert int(image[:, :2].sum() + image[:, :, 30:].sum()) == 0
        ink = np.pad(pixels[index], 2) >= 128
        assert np.array_equal(labels.numpy(), np.where(ink, index % 10, 10))
    assert [concept.name for concept in source.concepts] == [*"0123456789", "background"]
    assert torch.equal(source.class_indices, torch.arange(30) % 10)


def test_all_splits_are_read_where_none_is_named(digits: Path) -> None:
    assert len(IdxPictures(digits, 28)) == 36
    assert IdxPictures(digits, 28).name == "digits"
    with pytest.raises(FileNotFoundError, match=r"'trian'.*did you mean 'train'"):
        IdxPictures(digits, 28, "trian")


def test_a_folder_of_idx_files_is_opened_by_its_name_and_held_out_pictures_keep_their_classes(digits: Path) -> None:
    train, held_out = open_pictures([str(digits)], 32, 0.3)
    assert held_out is not None
    assert len(train) + len(held_out) == 36
    for part in (train, held_out):
        classed = as_classed(part)
        assert classed is not None
        brightest = part.batch(range(len(part))).images
        assert brightest.shape[0] == len(classed.class_indices) == len(part)
    assert not train.may_flip
    whole, none = open_pictures([f"{digits}@train"], 32, 0.3)
    assert (len(whole), none) == (30, None)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:100], "is damaged"),
        (lambda data: gzip.compress(gzip.decompress(data)[:-5]), r"is damaged: it must hold \d+ bytes"),
        (lambda data: gzip.compress(b"\0\0\x0d\x03" + gzip.decompress(data)[4:]), "idx file of bytes"),
        (lambda data: gzip.compress(b""), "idx file of bytes"),
    ],
)
def test_a_damaged_idx_file_is_named(damage, message: str, digits: Path) -> None:
    path = digits / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"{path.name} .*{message}"):
        IdxPictures(digits, 32, "train")


def test_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    pixels = np.zeros((3, 8, 8), np.uint8)
    _write(tmp_path / "a", "x", pixels, np.zeros(2, np.uint8))
    with pytest.raises(ValueError, match="one label per picture"):
        IdxPictures(tmp_path / "a", 8)
    _write(tmp_path / "b", "x", pixels, np.array([0, 1, 12], np.uint8))
    with pytest.raises(ValueError, match="classes must name all 13 classes"):
        IdxPictures(tmp_path / "b", 8)


def test_subfolders_of_photographs_are_classes_if_all_pictures_are_in_some(tmp_path: Path) -> None:
    for index, name in enumerate(("sea/a.png", "sea/b.png", "forest/deep/c.png")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (index, 0, 0)).save(tmp_path / name)
    photos = Photos(tmp_path, 16)
    assert photos.classes == ("forest", "sea")
    assert photos.class_indices.tolist() == [("forest", "sea").index(name.split("/")[0]) for name in photos.names]
    Image.new("RGB", (20, 20)).save(tmp_path / "top.png")
    assert Photos(tmp_path, 16).classes == ()


def test_points_are_a_mixture_and_each_depends_on_its_index_only() -> None:
    few, many = Points("grid25", 100), Points("grid25", 9_000)
    assert torch.equal(few.batch(range(100)).images, many.batch(range(100)).images)
    points = many.batch(range(9_000)).images[:, :2, 0, 0]
    coverage = measure_modes(points, many.mixture.centers, many.mixture.sigma)
    assert (coverage.num_covered, coverage.num_well_covered, coverage.num_modes) == (25, 25, 25)
    assert coverage.share_good == pytest.approx(1 - math.exp(-4.5), abs=0.006), "Rayleigh within three deviations"
    assert coverage.divergence < 0.01


def test_the_coverage_of_a_collapsed_generator_is_one_mode() -> None:
    source = Points("ring8", 10)
    stuck = source.mixture.centers[3].expand(2_500, 2)
    coverage = measure_modes(stuck, source.mixture.centers, source.mixture.sigma)
    assert (coverage.num_covered, coverage.share_good) == (1, 1.0)
    assert coverage.divergence == pytest.approx(math.log(8))
    away = measure_modes(stuck + 10, source.mixture.centers, source.mixture.sigma)
    assert (away.num_covered, away.share_good, away.divergence) == (0, 0.0, math.inf)


def test_points_and_pictures_are_told_apart_by_the_resolution(digits: Path) -> None:
    source, held_out = open_training_data(["ring8"], 1, 0.05)
    assert (source.name, held_out is not None) == ("ring8", True)
    with pytest.raises(ValueError, match=r"with resolution \(--resolution\) 1"):
        open_training_data(["ring8"], 32, 0.05)
    with pytest.raises(ValueError, match="must be points"):
        open_training_data([str(digits)], 1, 0.05)


def test_the_pictures_of_some_classes_are_picked_in_order(digits: Path) -> None:
    source = IdxPictures(digits, 32, "train")
    some = pick_classes(source, ["7", "2"])
    assert some.class_indices.tolist() == [2, 7, 2, 7, 2, 7]
    assert torch.equal(some.batch([3]).images, source.batch([17]).images)
    assert some.name == "digits/train (of 7, 2)"
    with pytest.raises(KeyError, match=r"unknown class of digits/train '70'; did you mean '7'\?"):
        pick_classes(source, ["70"])
    with pytest.raises(ValueError, match="the pictures of ring8 have no classes; got 7"):
        pick_classes(Points("ring8"), ["7"])
