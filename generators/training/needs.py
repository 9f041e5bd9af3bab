"""What families need of pictures: classes or captions."""

from __future__ import annotations

from collections.abc import Sequence

from gandissect.core.lookup import lookup
from gandissect.core.protocols import PictureSource, as_captioned_source

from .families import FAMILIES


def check_classes(architecture: str, shown: Sequence[str]) -> None:
    """Check that pictures are of as many classes as a family needs.

    Args:
        architecture: Architecture of the family.
        shown: Names of the classes that at least one picture is of.

    Raises:
        KeyError: If the architecture is unknown.
        ValueError: If the family needs classes, and there are fewer than two.
    """
    if lookup(FAMILIES, architecture, "architecture").conditional and len(shown) < 2:
        only = f" ({shown[0]})" if shown else " (several sources of pictures must have classes of the same names)"
        raise ValueError(
            f"{architecture} needs pictures of at least two classes; got {len(shown)}{only}: use a folder with one "
            "subfolder per class, name domains (--data day=FOLDER night=FOLDER), or use another architecture"
        )


def check_captions(architecture: str, source: PictureSource) -> None:
    """Check that pictures have captions where a family needs them.

    Args:
        architecture: Architecture of the family.
        source: The pictures.

    Raises:
        KeyError: If the architecture is unknown.
        ValueError: If the family needs captions, and the pictures have none.
    """
    if lookup(FAMILIES, architecture, "architecture").captioned and as_captioned_source(source) is None:
        raise ValueError(
            f"{architecture} needs pictures with captions, such as captions:scenes:20000 (--data), or "
            f"segmenters.datasets.Captioned; got {source.name}"
        )


def names_of(source: PictureSource) -> tuple[str, ...]:
    """Return the names that networks are built with: words of captions, or of classes, where pictures have any."""
    captioned = as_captioned_source(source)
    return getattr(source, "classes", ()) if captioned is None else captioned.vocabulary
