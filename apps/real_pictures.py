"""Open the real pictures named on the command line, which are translated or compared with generated images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from segmenters.datasets import ImageSource, LabelMaps, check_specs, open_pictures, open_source
from segmenters.datasets.combining import UnlabeledSource, concat
from segmenters.datasets.domains import Edges
from segmenters.datasets.specs import View, parse_spec

T = TypeVar("T")

VIEWS: Mapping[View, Callable[[ImageSource], ImageSource]] = {
    "pictures": lambda source: source,
    "edges": Edges,
    "labels": LabelMaps,
}
"""Views of a source's pictures."""


def open_with_held_out(
    specs: Sequence[str], size: int, hold_out: float, *, skip_broken: bool = False
) -> tuple[ImageSource, ImageSource]:
    """Return training pictures and held-out pictures, as `segmenters.datasets.open_pictures` does.

    Args:
        specs: Picture sources, each ``scenes``, ``scenes:COUNT``, ``FOLDER`` or ``FOLDER@SPLIT``.
        size: Height and width of the pictures, in pixels.
        hold_out: Share held out of each folder without a split.
        skip_broken: Skip unusable pictures, with a warning that names them.

    Raises:
        ValueError: If nothing is held out, or a specification or a file is invalid.
        FileNotFoundError: If there is no such folder or split.
    """
    train, held_out = open_pictures(specs, size, hold_out, skip_broken=skip_broken)
    return train, require_held_out(held_out)


def open_inputs(specs: Sequence[str], size: int, *, label_maps: bool = False) -> ImageSource:
    """Open the pictures that a translator is put on, all of them; scenes are rendered with the evaluation seed.

    Args:
        specs: Specifications, each ``scenes``, ``scenes:COUNT``, ``FOLDER`` or ``FOLDER@SPLIT``; or ``edges:`` or
            ``labels:`` and one of these, for edges or for label maps in the colors of their concepts.
        size: Height and width of the pictures, in pixels.
        label_maps: Whether the translator takes label maps, whatever the view.

    Raises:
        ValueError: If a specification or a file is invalid, or names a domain.
        FileNotFoundError: If there is no such folder or split.
    """
    check_specs(specs)
    parsed = [parse_spec(spec) for spec in specs]
    if any(spec.domain for spec in parsed):
        raise ValueError(f"pictures to translate have no domain; omit NAME=; got {' '.join(specs)}")
    sources = [open_source(spec.pictures, size, held_out=True) for spec in parsed]
    views = [source if label_maps else VIEWS[spec.view](source) for spec, source in zip(parsed, sources, strict=True)]
    return views[0] if len(views) == 1 else concat(views if label_maps else [UnlabeledSource(view) for view in views])


def require_held_out(held_out: T | None) -> T:
    """Return the held-out pictures.

    Args:
        held_out: Held-out pictures, or None if nothing is held out.

    Raises:
        ValueError: If nothing is held out.
    """
    if held_out is None:
        raise ValueError("no pictures are held out for evaluation; name at least one folder without @SPLIT, or scenes")
    return held_out
