"""Draw a contact sheet of 64 rendered scenes with labels: ``python examples/contact_sheet.py [docs/scenes.png]``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gandissect.storage import atomic_path
from segmenters.datasets import Scenes

SEED, COLUMNS, ROWS, SIZE, GAP = 2024, 8, 8, 96, 6
PAPER, INK = (250, 248, 243), (40, 40, 48)
LEGEND = 64


def draw_sheet() -> Image.Image:
    """Return a sheet of scenes 0 to 63, each next to its labels, above a legend of the concepts."""
    source = Scenes(SIZE, COLUMNS * ROWS, SEED)
    colors = np.array([concept.color for concept in source.concepts], np.uint8)
    cell_width, cell_height = 2 * SIZE + GAP, SIZE + GAP
    page = Image.new("RGB", (COLUMNS * cell_width + GAP, ROWS * cell_height + GAP + LEGEND), PAPER)
    batch = source.batch(range(COLUMNS * ROWS))
    if batch.labels is None:
        raise ValueError("the scenes have no labels")
    for index, (image, labels) in enumerate(zip(batch.images.numpy(), batch.labels.numpy(), strict=True)):
        pair = np.concatenate([image.transpose(1, 2, 0), colors[labels]], axis=1)
        row, column = divmod(index, COLUMNS)
        page.paste(Image.fromarray(pair), (GAP + column * cell_width, GAP + row * cell_height))
    _draw_legend(page, source)
    return page


def _draw_legend(page: Image.Image, source: Scenes) -> None:
    """Draw the color and name of every concept in two rows at the bottom of the page."""
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(17)
    per_row = (len(source.concepts) + 1) // 2
    step = (page.width - 2 * GAP) // per_row
    for concept in source.concepts:
        row, column = divmod(concept.index, per_row)
        x, y = 2 * GAP + column * step, page.height - LEGEND + 4 + row * 30
        draw.rounded_rectangle((x, y, x + 22, y + 22), 4, fill=concept.color, outline=INK)
        draw.text((x + 30, y + 1), concept.name, fill=INK, font=font)


def main(target: Path) -> None:
    """Write the sheet as a PNG."""
    with atomic_path(target, overwrite=True) as temporary:
        draw_sheet().save(temporary, "PNG", optimize=True)
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/scenes.png"))
