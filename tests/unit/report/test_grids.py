"""Grids of images and label maps, and figures that notebooks display."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from public_functions import plain_result

import gandissect
from gandissect import Concept
from gandissect.core import to_uint8

GAP, BAND = 2, 18
CONCEPTS = (Concept(0, "sky", (10, 20, 30)), Concept(1, "tree", (40, 50, 60)))


def _images(count: int, side: int = 100) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


def _tile(grid: Image.Image, row: int, column: int, side: int, band: int = 0) -> np.ndarray:
    x, y = GAP + column * (side + GAP), GAP + row * (side + GAP + band)
    return np.asarray(grid.crop((x, y, x + side, y + side)))


def test_each_image_is_at_its_place() -> None:
    images = _images(5)
    grid = gandissect.show(images, columns=3)
    assert grid.size == (GAP + 3 * 102, GAP + 2 * 102)
    for index, pixels in enumerate(to_uint8(images)):
        assert np.array_equal(_tile(grid, index // 3, index % 3, 100), pixels.permute(1, 2, 0).numpy())
    assert np.asarray(grid)[110, 210].tolist() == [255, 255, 255]  # there is no sixth


def test_small_images_are_enlarged_and_one_image_is_a_grid() -> None:
    image = _images(1, side=32)[0]
    tile = _tile(gandissect.show(image), 0, 0, 96)
    assert np.array_equal(tile, to_uint8(image).permute(1, 2, 0).numpy().repeat(3, 0).repeat(3, 1))


def test_rows_stay_rows() -> None:
    images = _images(6).reshape(2, 3, 3, 100, 100)
    assert gandissect.show(images).tobytes() == gandissect.show(images.flatten(0, 1), columns=3).tobytes()


def test_pixels_are_shown_like_their_images() -> None:
    images = _images(2)
    assert gandissect.show(to_uint8(images)).tobytes() == gandissect.show(images).tobytes()


def test_label_maps_have_the_colors_of_their_concepts() -> None:
    labels = torch.tensor([[-1, 0], [1, 1]]).repeat_interleave(48, 0).repeat_interleave(48, 1)
    tile = _tile(gandissect.show(labels, concepts=CONCEPTS), 0, 0, 96)
    assert tile[0, 0].tolist() == [0, 0, 0]
    assert tile[0, 95].tolist() == [10, 20, 30]
    assert tile[95, 0].tolist() == tile[95, 95].tolist() == [40, 50, 60]


def test_captions_are_below_their_image_and_no_wider() -> None:
    grid = gandissect.show(_images(2), captions=["", "W" * 500])
    pixels = np.asarray(grid)
    assert grid.size[1] == GAP + 100 + GAP + BAND
    assert (pixels[102:120, :104] == 255).all()
    assert (pixels[102:120, 104:204] < 100).any()
    assert (pixels[102:120, 204:] == 255).all()


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (torch.zeros(2, 4, 8, 8), {}, r"show takes images .* got torch.float32 \[2, 4, 8, 8\]"),
        (torch.zeros(0, 3, 8, 8), {}, r"got torch.float32 \[0, 3, 8, 8\]"),
        (torch.zeros(2, 8, 8, dtype=torch.int32), {}, "got torch.int32"),
        (torch.zeros(2, 8, 8, dtype=torch.int64), {}, "label maps need concepts, such as concepts=segmenter.concepts"),
        (torch.full((8, 8), 2), {"concepts": CONCEPTS}, "labels must be -1 to 1; got 2 to 2"),
        (torch.zeros(2, 3, 8, 8), {"captions": ["a"]}, "captions must be one for each of the 2 images; got 1"),
        (torch.zeros(2, 3, 8, 8), {"columns": 0}, "columns must be at least 1; got 0"),
    ],
)
def test_what_is_no_grid_is_refused(value: torch.Tensor, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gandissect.show(value, **options)


@pytest.mark.wrong_shape
def test_a_list_is_refused() -> None:
    with pytest.raises(TypeError, match="images must be of type Tensor; got list"):
        gandissect.show([torch.zeros(3, 8, 8)])  # type: ignore[arg-type]


def test_a_figure_of_a_dissection_counts_what_the_dissection_counts() -> None:
    dissection = plain_result("gandissect.dissect")
    figure = gandissect.draw_dissection(dissection, min_iou=0.01)
    for axes, layer in zip(figure.axes, dissection, strict=True):
        count = sum(match.is_interpretable(0.01) for match in layer.matches)
        assert axes.get_title() == f"{layer.name}: {count} of {layer.info.units} units"
        assert sum(bar.get_width() for bar in axes.patches) == count


def test_notebooks_display_figures() -> None:
    result = plain_result("gandissect.find_repair")
    for figure in (
        gandissect.draw_dissection(plain_result("gandissect.dissect")),
        gandissect.draw_repair_curve(result.curve),
    ):
        assert Image.open(io.BytesIO(figure._repr_png_())).size == tuple(map(round, figure.bbox.size))


def test_drawing_leaves_pyplot_alone() -> None:
    code = "import sys, torch, gandissect; from gandissect.report.figures import NotebookFigure; NotebookFigure()._repr_png_()"
    code += "; gandissect.show(torch.zeros(3, 8, 8)); assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
