"""Sheets of images, films and figures of shares, pixel by pixel where that can be said."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gandissect.core.images import to_uint8
from gandissect.report import draw_columns, draw_table, save_gif, save_png, stack_images, write_grid, write_pairs


def _constant(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None, None].expand(-1, 3, 8, 8).clone()


def _pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def test_a_table_has_each_image_in_its_row_and_column() -> None:
    top, side = _constant(-1, -0.5), _constant(0.25, 0.5, 0.75)
    block = torch.stack([_constant(row / 10, row / 10 + 0.05) for row in range(3)])
    pixels = _pixels(draw_table(top, side, {"first": block, "second": -block}))
    left, upper = 2 + 10 + 6, 2 + 10 + 18  # behind the images of rows and columns, a gap, and the heading
    for row in range(3):
        assert (pixels[upper + 10 * row + 4, 2 + 4] == to_uint8(side)[row, :, 4, 4].numpy()).all()
        for column in range(2):
            wanted = to_uint8(block)[row, column, :, 4, 4].numpy()
            assert (pixels[upper + 10 * row + 4, left + 10 * column + 4] == wanted).all()
    second = upper + 30 + 18
    assert (pixels[second + 24, left + 14] == to_uint8(-block)[2, 1, :, 4, 4].numpy()).all()
    assert (pixels[6, left + 14] == to_uint8(top)[1, :, 4, 4].numpy()).all()


def test_columns_have_headings_above_and_notes_beside() -> None:
    rows = torch.stack([_constant(-1, 1), _constant(0, -0.5)])
    plain, noted = draw_columns(["a", "b"], rows), draw_columns(["a", "b"], rows, ["x", "y"])
    assert plain.size == (22, 18 + 2 + 20) and noted.size == (22 + 56, 40)
    assert (_pixels(noted)[:, :22] == _pixels(plain)).all()
    assert (_pixels(plain)[18 + 10 + 4, 12 + 4] == to_uint8(rows)[1, 1, :, 4, 4].numpy()).all()
    stacked = _pixels(stack_images([plain, noted]))
    assert (stacked[:40, :22] == _pixels(plain)).all() and (stacked[40:] == _pixels(noted)).all()
    assert (stacked[:40, 22:] == 255).all()


def test_pairs_are_rows_of_unchanged_images_with_the_edited_ones_below(tmp_path: Path) -> None:
    unchanged, edited = _constant(-1, -0.5, 0), _constant(0.25, 0.5, 0.75)
    write_pairs(unchanged, edited, tmp_path / "pairs.png", columns=2)
    file = io.BytesIO()
    write_pairs(unchanged, edited, file, columns=2)
    assert (tmp_path / "pairs.png").read_bytes() == file.getvalue()
    write_grid(torch.cat([unchanged[:2], edited[:2], unchanged[2:], _constant(1), edited[2:], _constant(1)]), file, 2)
    with Image.open(tmp_path / "pairs.png") as image:
        pixels = _pixels(image)
    assert pixels.shape == (42, 22, 3)
    wanted = [[-1, -0.5], [0.25, 0.5], [0, 1], [0.75, 1]]
    assert np.abs(pixels[6::10, 6::10, 0] - (np.array(wanted) + 1) * 127.5).max() <= 1


@pytest.mark.parametrize("fps", range(1, 51))
def test_a_film_lasts_as_long_as_its_frames_a_second_say(tmp_path: Path, fps: int) -> None:
    frames = 61
    save_gif(torch.linspace(-1, 1, frames)[:, None, None, None].expand(-1, 3, 2, 2), tmp_path / "film.gif", fps)
    durations = []
    with Image.open(tmp_path / "film.gif") as film:
        for frame in range(film.n_frames):
            film.seek(frame)
            durations.append(film.info["duration"])
    assert len(durations) == frames and min(durations) >= 20, "shorter frames are shown slowly"
    for count in range(1, frames + 1):
        assert abs(sum(durations[:count]) - 1000 * count / fps) <= 5, "rounding errors do not add up"


@pytest.mark.parametrize(("frames", "fps"), [(1, 0), (1, 51), (0, 10)])
def test_a_film_that_cannot_be_is_refused(tmp_path: Path, frames: int, fps: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 50 frames per second; got {frames} and {fps}"):
        save_gif(torch.zeros(frames, 3, 2, 2), tmp_path / "film.gif", fps)
    assert not (tmp_path / "film.gif").exists()


def test_a_film_has_its_frames_and_begins_again(tmp_path: Path) -> None:
    save_gif(_constant(-1, 0, 1), tmp_path / "film.gif", fps=10)
    with Image.open(tmp_path / "film.gif") as film:
        assert (film.n_frames, film.info["loop"], film.info["duration"]) == (3, 0, 100)
    picture = draw_columns(["a"], _constant(0)[None])
    save_png(picture, tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        assert (_pixels(image) == _pixels(picture)).all()
