"""What families need of pictures besides themselves: classes, captions, or inputs that belong to them."""

from __future__ import annotations

from collections.abc import Sequence

from gandissect.core.lookup import lookup
from gandissect.core.protocols import PictureSource, as_captioned_source, as_paired

from .families import FAMILIES


def check_pictures(architecture: str, source: PictureSource, shown: Sequence[str]) -> None:
    """Check that pictures have what a family needs.

    Args:
        architecture: Architecture of the family.
        source: The pictures.
        shown: Names of the classes that at least one picture is of.

    Raises:
        KeyError: If the architecture is unknown.
        ValueError: If the family needs classes, and there are fewer than two; captions, and the pictures have none; or
            inputs, and the pictures have none.
    """
    family = lookup(FAMILIES, architecture, "architecture")
    if family.conditional and len(shown) < 2:
        only = f" ({shown[0]})" if shown else " (several sources of pictures must have classes of the same names)"
        raise ValueError(
            f"{architecture} needs pictures of at least two classes; got {len(shown)}{only}: use a folder with one "
            "subfolder per class, name domains (--data day=FOLDER night=FOLDER), or use another architecture"
        )
    if family.captioned and as_captioned_source(source) is None:
        raise ValueError(
            f"{architecture} needs pictures with captions, such as captions:scenes:20000 (--data), or "
            f"segmenters.datasets.Captioned; got {source.name}"
        )
    if family.paired and as_paired(source) is None:
        raise ValueError(
            f"{architecture} needs pictures with inputs: name these too, such as --inputs labels:scenes:20000 for "
            f"--data scenes:20000, or use segmenters.datasets.Paired; got {source.name}"
        )


def names_of(architecture: str, source: PictureSource) -> tuple[str, ...]:
    """Return the names that a family's networks are built with: words of captions, concepts of label maps, or classes.

    Args:
        architecture: Architecture of the family.
        source: The pictures, which have what the family needs.
    """
    family = FAMILIES[architecture]
    if family.captioned and (captioned := as_captioned_source(source)) is not None:
        return captioned.vocabulary
    if family.paired and (paired := as_paired(source)) is not None:
        return tuple(concept.name for concept in getattr(paired.inputs, "concepts", ())) if paired.label_maps else ()
    classes: tuple[str, ...] = getattr(source, "classes", ())
    return classes
