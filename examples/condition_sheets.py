"""Draw what conditions change in rendered scenes: ``python examples/condition_sheets.py [docs/img]``.

Writes three sheets: seasons and moods of the same scenes beside their common label map, hours of the day, and captions.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from gandissect.storage import atomic_path
from segmenters.datasets import ImageSource, LabelMaps, Scenes

SEED, SIZE, GAP, HEADER = 2024, 96, 4, 22
PAPER, INK = (250, 248, 243), (40, 40, 48)
CONDITIONS: dict[str, dict[str, Any]] = {
    "summer": {"season": "summer"},
    "spring": {"season": "spring"},
    "autumn": {"season": "autumn"},
    "winter": {"season": "winter"},
    "noon": {"mood": "noon"},
    "overcast": {"mood": "overcast"},
    "mist": {"mood": "mist"},
    "dusk": {"mood": "dusk"},
    "winter, dusk": {"season": "winter", "mood": "dusk"},
}
SHOWN = (3, 7, 14, 22, 25, 31)
HOURS = [step / 8 for step in range(9)]


def draw_conditions() -> Image.Image:
    """Return a sheet of scenes under several conditions, one row per scene, after their label maps."""
    count = max(SHOWN) + 1
    columns: dict[str, ImageSource] = {"labels": LabelMaps(Scenes(SIZE, count, SEED))}
    columns |= {name: Scenes(SIZE, count, SEED, **names) for name, names in CONDITIONS.items()}
    return _draw_columns(columns, SHOWN)


def draw_hours() -> Image.Image:
    """Return a sheet of scenes from the morning to dusk, one row per scene."""
    count = max(SHOWN) + 1
    return _draw_columns({f"{hour:g}": Scenes(SIZE, count, SEED, hour=hour) for hour in HOURS}, SHOWN)


def draw_captions() -> Image.Image:
    """Return a sheet of 16 scenes, each with two of its captions."""
    rows, columns, size, width = 8, 2, 120, 480
    scenes = Scenes(size, rows * columns, SEED)
    page = Image.new("RGB", (columns * (size + width), rows * (size + GAP) + GAP), PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for index, image in enumerate(scenes.batch(range(rows * columns)).images):
        row, column = divmod(index, columns)
        x, y = GAP + column * (size + width), GAP + row * (size + GAP)
        page.paste(Image.fromarray(image.permute(1, 2, 0).numpy()), (x, y))
        texts = [textwrap.fill(scenes.caption(index, number).text, 58) for number in range(2)]
        draw.text((x + size + 10, y), "\n\n".join(texts), fill=INK, font=font)
    return page


def _draw_columns(columns: dict[str, ImageSource], shown: Sequence[int]) -> Image.Image:
    """Return a sheet with the same pictures of several sources, one column per source under its name."""
    step = SIZE + GAP
    page = Image.new("RGB", (len(columns) * step + GAP, HEADER + len(shown) * step), PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for column, (name, source) in enumerate(columns.items()):
        x = GAP + column * step
        draw.text((x + SIZE / 2, HEADER / 2), name, fill=INK, font=font, anchor="mm")
        for row, image in enumerate(source.batch(shown).images):
            page.paste(Image.fromarray(image.permute(1, 2, 0).numpy()), (x, HEADER + row * step))
    return page


SHEETS: dict[str, Callable[[], Image.Image]] = {
    "scenes-conditions.jpg": draw_conditions,
    "scenes-hours.jpg": draw_hours,
    "scenes-captions.jpg": draw_captions,
}


def main(folder: Path) -> None:
    """Write the sheets as JPEG."""
    for name, draw in SHEETS.items():
        with atomic_path(folder / name, overwrite=True) as temporary:
            draw().save(temporary, "JPEG", quality=88, optimize=True)
        print(f"{folder / name}: {(folder / name).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/img"))
