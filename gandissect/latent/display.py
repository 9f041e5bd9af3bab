"""What notebooks show of directions and inversions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jaxtyping import UInt8
from torch import Tensor

from ..core.rich import draw_picture, draw_records, draw_table, join_markup
from .directions.direction import Direction
from .inversion.results import Inversion

NUM_ROWS, NUM_COLUMNS = 8, 9
"""Maximum number of rows of pictures, and of pictures in a row."""


def show_direction(direction: Direction) -> Iterator[str]:
    """Yield what a step along a direction does to the concepts of its labels.

    Args:
        direction: Direction to show.
    """
    if direction.labels:
        yield draw_records(
            [
                {"concept": label.concept, "a step adds": label.slope, "a step adds_stderr": label.stderr}
                | {"segmenter": label.segmenter, "images": label.num_samples}
                for label in direction.labels
            ]
        )


def show_rows(images: UInt8[Tensor, "row column 3 H W"], names: Sequence[str] = ()) -> Iterator[str]:
    """Yield rows of pictures.

    Args:
        images: uint8 ``[row, column, 3, H, W]``.
        names: Name of each column, shown as a tooltip; none by default.
    """
    for row in images[:NUM_ROWS, :NUM_COLUMNS]:
        yield f"<div>{join_markup(map(draw_picture, row, names or [''] * len(row)))}</div>"
    if len(images) > NUM_ROWS:
        yield f"<div>{len(images) - NUM_ROWS:,} more rows</div>"


def show_inversion(inversion: Inversion) -> Iterator[str]:
    """Yield each picture beside its reconstruction, with the PSNR.

    Args:
        inversion: Inversion to show.
    """
    pairs = zip(inversion.pictures[:NUM_ROWS], inversion.reconstructions[:NUM_ROWS], strict=True)
    psnr = inversion.psnr.tolist()
    rows = [
        [draw_picture(picture), draw_picture(copy), f"{psnr[row]:.1f} dB"] for row, (picture, copy) in enumerate(pairs)
    ]
    note = f"{len(inversion) - NUM_ROWS:,} more pictures" if len(inversion) > NUM_ROWS else ""
    yield draw_table(("picture", "reconstruction", "PSNR"), rows, note)
