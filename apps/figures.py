"""Write figures to files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gandissect.storage.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(figure: Figure, path: Path, dpi: float | None = None, *, overwrite: bool = False) -> Path:
    """Write a figure atomically, and return its path.

    Args:
        figure: Figure to write.
        path: File to write; its suffix determines the format.
        dpi: Dots per inch; by default those of the figure.
        overwrite: Replace an existing file.

    Raises:
        FileExistsError: If the file exists and `overwrite` is false.
    """
    with atomic_path(path, overwrite=overwrite) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi="figure" if dpi is None else dpi)
    return path
