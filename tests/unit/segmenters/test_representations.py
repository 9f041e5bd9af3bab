"""Segmenters and sources of pictures print what they are, in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segmenters
from segmenters.datasets import ImageSource, Photos, Scenes
from segmenters.datasets.combining import UnlabeledSource, concat, remap
from segmenters.palette import BASIC_CONCEPTS


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    folder = tmp_path / "streets"
    folder.mkdir()
    for index in range(6):
        Image.fromarray(np.full((20, 24, 3), index, np.uint8)).save(folder / f"{index}.png")
    (folder / "train.txt").write_text("0\n3\n")
    return Photos(folder, 16)


def test_segmenters_show_their_name_and_concepts() -> None:
    assert repr(segmenters.load("palette")) == "PaletteSegmenter('palette', 8 concepts)"
    assert repr(segmenters.load("unet-scenes", "cpu")) == "UNetSegmenter('unet-scenes', 17 concepts)"
    assert repr(segmenters.PaletteSegmenter(BASIC_CONCEPTS[:1], name="x")) == "PaletteSegmenter('x', 1 concept)"


def test_torchvision_segmenters_show_their_name_and_concepts() -> None:
    torch = pytest.importorskip("torch")
    from segmenters.torchvision import TorchvisionSegmenter

    network = TorchvisionSegmenter(torch.nn.Conv2d(3, 3, 1), torch.nn.Identity(), ["background", "a", "b"], "tv", "cpu")
    assert repr(network) == "TorchvisionSegmenter('tv', 2 concepts)"


def test_folders_show_their_path_split_and_sizes(photos: Photos, tmp_path: Path) -> None:
    folder = str(tmp_path / "streets")
    assert repr(photos) == f"Photos({folder!r}, size=16, num_images=6, concepts=0)"
    assert repr(Photos(folder, 8, "train")) == f"Photos({folder + '@train'!r}, size=8, num_images=2, concepts=0)"


def test_scenes_show_the_call_that_makes_them() -> None:
    scenes = Scenes(32, num_images=5, seed=7)
    assert repr(scenes) == "Scenes(32, num_images=5, seed=7)"
    again = eval(repr(scenes), {"Scenes": Scenes})
    assert (again.batch([4]).images == scenes.batch([4]).images).all()


def test_combined_sources_show_their_name_and_sizes(photos: Photos) -> None:
    scenes = Scenes(16, num_images=3)
    train, held_out = photos.hold_out(0.5)
    sources: dict[ImageSource, str] = {
        train: f"Subset('streets (trained on)', size=16, num_images={6 - len(held_out)}, concepts=0)",
        UnlabeledSource(scenes): "UnlabeledSource('scenes', size=16, num_images=3, concepts=0)",
        concat([photos, UnlabeledSource(scenes)]): (
            "Concatenation('streets + scenes', size=16, num_images=9, concepts=0)"
        ),
        remap(scenes, BASIC_CONCEPTS, {"sky": "blue"}): ("RemappedSource('scenes', size=16, num_images=3, concepts=8)"),
    }
    for source, text in sources.items():
        assert repr(source) == text
