from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gandissect.core import load_pictures
from segmenters.datasets import photos
from segmenters.datasets.open import open_labeled_pictures, open_pictures, open_source, open_sources


def _folder(path: Path, count: int) -> Path:
    path.mkdir()
    for index in range(count):
        pixels = np.full((20, 20, 3), index * 5, dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{index}.png")
    return path


def test_scenes_to_judge_by_are_not_those_to_learn_from() -> None:
    train, held_out = open_pictures(["scenes:20"], 32, 0.05)
    assert (len(train), len(held_out)) == (20, 1000)
    assert not (load_pictures(train, 5) == held_out.batch(range(5)).images).all()


def test_a_folder_is_parted_and_a_split_is_taken_whole(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "a@b", 40)
    (folder / "some.txt").write_text("1\n2\n3\n")
    train, held_out = open_pictures([str(folder)], 16, 0.3)
    assert len(train) + len(held_out) == 40
    seen = {int(image[0, 0, 0]) for source in (train, held_out) for image in load_pictures(source, 100)}
    assert len(seen) == 40
    train, held_out = open_pictures([f"{folder}@some"], 16, 0.3)
    assert (len(train), held_out) == (3, None)


def test_folders_that_are_missing_are_named_before_others_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _folder(tmp_path / "a", 4)
    monkeypatch.setattr(photos, "read_picture", lambda *_: pytest.fail("pictures were decoded first"))
    for missing in (str(tmp_path / "b"), f"{folder}@train"):
        for opened in (
            lambda spec=missing: open_pictures([str(folder), spec], 16, 0.3),
            lambda spec=missing: open_sources([str(folder), spec], 16),
            lambda spec=missing: open_labeled_pictures([str(folder)], spec, 16),
        ):
            with pytest.raises(FileNotFoundError, match=r"no folder|unknown split"):
                opened()


def test_scenes_of_two_ranges_are_other_scenes_and_judged_by_the_same() -> None:
    whole, _ = open_pictures(["scenes:6@noon"], 16)
    first, held_out = open_pictures(["scenes:4@noon"], 16)
    second, also_held_out = open_pictures(["scenes:4-6@noon"], 16)
    assert (len(first), len(second)) == (4, 2)
    assert (load_pictures(second, 2) == load_pictures(whole, 6)[4:]).all()
    assert (held_out.batch(range(3)).images == also_held_out.batch(range(3)).images).all()
    for spec in ("scenes:4-4", "scenes:x-4", "scenes:-4", "scenes:5-4"):
        with pytest.raises(ValueError, match=r"FIRST must be below END in scenes:FIRST-END"):
            open_source(spec, 16)


def test_what_is_no_source_is_named() -> None:
    with pytest.raises(ValueError, match="COUNT in scenes:COUNT must be at least 1"):
        open_source("scenes:many", 16)
    with pytest.raises(ValueError, match="name the training pictures"):
        open_pictures([], 16, 0.05)
