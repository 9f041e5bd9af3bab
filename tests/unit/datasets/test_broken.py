"""Broken pictures are all named before any work, or left out; what is left is as if they had never been there."""

from __future__ import annotations

import json
import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segmenters.datasets import Photos, open_labeled_pictures, open_pictures, open_sources
from segmenters.datasets.broken import MAX_NAMED, BrokenPicturesError


def fill(folder: Path, count: int = 12) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        pixels = np.random.default_rng(index).integers(0, 256, (20, 20, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02}.png")
    return folder


def break_some(folder: Path) -> dict[str, str]:
    """Break pictures of a folder in every way, and return what is wrong with each."""
    whole = (folder / "01.png").read_bytes()
    (folder / "01.png").write_bytes(whole[: len(whole) // 2])
    (folder / "04.png").write_bytes(b"<html>not found</html>")
    (folder / "06.png").write_bytes(b"")
    (folder / "08.png").unlink()
    (folder / "08.png").symlink_to(folder / "gone.png")
    Image.new("1", (1_300_000, 1)).save(folder / "09.png")
    return {
        "01.png": "is broken or truncated",
        "04.png": "is not a picture",
        "06.png": "is not a picture",
        "08.png": "No such file",
        "09.png": "too narrow",
    }


@pytest.mark.parametrize("memory", [2**30, 0], ids=["in memory", "decoded on demand"])
def test_all_broken_pictures_are_named_at_once(tmp_path: Path, memory: int) -> None:
    folder = fill(tmp_path / "a")
    problems = break_some(folder)
    with pytest.raises(BrokenPicturesError) as caught:
        Photos(folder, 8, max_resident_bytes=memory)
    message = str(caught.value)
    for name, problem in problems.items():
        assert re.search(rf"{name}[^;]*{problem}|{problem}[^;]*{name}", message), name
    assert "5 pictures cannot be used: " in message and "\n" not in message
    assert "repair or remove them, or skip them (--skip-broken, or skip_broken=True)" in message
    assert not any(f"{index:02}.png" in message for index in (0, 2, 3, 5, 7, 10, 11))


@pytest.mark.parametrize("memory", [2**30, 0], ids=["in memory", "decoded on demand"])
def test_without_the_broken_pictures_the_folder_is_as_if_it_had_none(tmp_path: Path, memory: int, caplog) -> None:
    folder = fill(tmp_path / "a")
    problems = break_some(folder)
    with caplog.at_level(logging.WARNING):
        photos = Photos(folder, 8, max_resident_bytes=memory, skip_broken=True)
    assert "skipped 5 of 12 pictures of a: " in caplog.text and all(name in caplog.text for name in problems)
    clean = tmp_path / "clean"
    shutil.copytree(folder, clean, ignore=lambda *_: set(problems))
    whole = Photos(clean, 8)
    assert photos.names == whole.names and len(whole) == 7
    everything = range(len(whole))
    assert torch.equal(photos.batch(everything).images, whole.batch(everything).images)
    for mine, theirs in zip(photos.hold_out(0.4), whole.hold_out(0.4), strict=True):
        assert mine._indices == theirs._indices


def test_broken_pictures_of_several_folders_are_named_together(tmp_path: Path, caplog) -> None:
    folders = [fill(tmp_path / name) for name in "ab"]
    for folder in folders:
        (folder / "03.png").write_bytes(b"")
    specs = [str(folder) for folder in folders]
    for opened in (lambda: open_pictures([*specs, "scenes:4"], 16, 0.3), lambda: open_sources(specs, 16)):
        with pytest.raises(BrokenPicturesError, match=r"2 pictures .*a/03\.png .*b/03\.png"):
            opened()
    with pytest.raises(BrokenPicturesError, match=r"2 pictures .*a/03\.png .*b/03\.png"):
        open_labeled_pictures(specs[:1], specs[1], 16)
    train, held_out = open_pictures(specs, 16, 0.3, skip_broken=True)
    assert held_out is not None and len(train) + len(held_out) == 22
    assert caplog.text.count("skipped 1 of 12 pictures") == 2


def test_a_picture_with_a_broken_label_map_is_a_broken_picture(tmp_path: Path) -> None:
    fill(tmp_path / "images", 6)
    (tmp_path / "labels").mkdir()
    (tmp_path / "classes.json").write_text(json.dumps([{"index": 1, "name": "wall"}]))
    for index in range(1, 6):
        side, label = (15 if index == 2 else 20), (7 if index == 3 else 1)
        Image.new("L", (side, side), label).save(tmp_path / "labels" / f"{index:02}.png")
    (tmp_path / "labels" / "05.png").write_bytes(b"\x89PNG")
    with pytest.raises(BrokenPicturesError) as caught:
        Photos(tmp_path, 8)
    for name, problem in (("00", "missing"), ("02", "15 x 15"), ("03", "class index 7"), ("05", "not a picture")):
        assert re.search(rf"{name}\.png[^;]*{problem}", str(caught.value)), name
    photos = Photos(tmp_path, 8, skip_broken=True)
    assert photos.names == ("images/01.png", "images/04.png")
    labels = photos.batch([0, 1]).labels
    assert labels is not None and not labels.any()


def test_a_folder_of_broken_pictures_only_is_refused_and_not_all_are_named(tmp_path: Path) -> None:
    for index in range(MAX_NAMED + 2):
        (tmp_path / f"{index:03}.png").write_bytes(b"")
    for skip in (False, True):
        with pytest.raises(BrokenPicturesError, match=r"102 pictures .*; and 2 more; repair") as caught:
            Photos(tmp_path, 8, skip_broken=skip)
        assert str(caught.value).count(".png") == MAX_NAMED
