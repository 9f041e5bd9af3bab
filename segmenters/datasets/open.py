"""Opening pictures by a short specification.

``scenes`` or ``scenes:COUNT`` are rendered scenes; anything else is a folder of photographs, with ``@SPLIT`` for one of
its split files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .combining import UnlabeledSource, concat
from .photos import Photos
from .scenes import Scenes
from .source import ImageSource

NUM_SCENES, NUM_HELD_OUT_SCENES = 50_000, 1_000


SCENES_SEED, HELD_OUT_SCENES_SEED = 0, 2
"""Scenes to learn from and scenes to judge by have different seeds."""


def open_source(spec: str, size: int, *, held_out: bool = False) -> Scenes | Photos:
    """Return the pictures that a specification names, with their labels.

    Args:
        spec: ``scenes``, ``scenes:COUNT``, ``FOLDER`` or ``FOLDER@SPLIT``.
        size: Height and width of the pictures.
        held_out: Render scenes of the seed that nothing learns from.

    Raises:
        ValueError: If the specification or a file is wrong.
        FileNotFoundError: If there is no such folder or split.
    """
    if spec.partition(":")[0] == "scenes":
        count = _read_count(spec, NUM_HELD_OUT_SCENES if held_out else NUM_SCENES)
        return Scenes(size, count, HELD_OUT_SCENES_SEED if held_out else SCENES_SEED)
    folder, split = _split_spec(spec)
    return Photos(folder, size, split)


def open_pictures(specs: Sequence[str], size: int, hold_out: float) -> tuple[ImageSource, ImageSource | None]:
    """Return pictures to learn from and pictures to judge by (None if nothing is held out), without labels.

    Of a folder without split the share ``hold_out`` is set aside, by a hash of the files' names; a folder with a split
    is learned from wholly; scenes to judge by are rendered with a seed of their own.

    Args:
        specs: What to learn from, as `open_source` reads it.
        size: Height and width of the pictures.
        hold_out: Between 0 and 1.

    Raises:
        ValueError: If a specification or a file is wrong, or none is given.
        FileNotFoundError: If there is no such folder or split.
    """
    parts = [_open_parts(spec, size, hold_out) for spec in specs]
    if not parts:
        raise ValueError("name pictures to learn from: scenes, scenes:COUNT, FOLDER or FOLDER@SPLIT")
    held_out = [source for _, source in parts if source is not None]
    return _join([source for source, _ in parts]), _join(held_out) if held_out else None


def _open_parts(spec: str, size: int, hold_out: float) -> tuple[ImageSource, ImageSource | None]:
    """Return the pictures of one specification to learn from, and those to judge by."""
    source = open_source(spec, size)
    if isinstance(source, Scenes):
        return source, open_source("scenes", size, held_out=True)
    if _split_spec(spec)[1] is None:
        return source.hold_out(hold_out)
    return source, None


def _join(sources: Sequence[ImageSource]) -> ImageSource:
    return concat([UnlabeledSource(source) for source in sources])


def _split_spec(spec: str) -> tuple[Path, str | None]:
    """Take ``FOLDER@SPLIT`` apart; a folder that is really called so is itself."""
    folder, at, split = spec.rpartition("@")
    if not at or Path(spec).expanduser().is_dir():
        return Path(spec).expanduser(), None
    return Path(folder).expanduser(), split


def _read_count(spec: str, default: int) -> int:
    _, colon, count = spec.partition(":")
    if colon and not (count.isdecimal() and int(count) > 0):
        raise ValueError(f"{spec!r}: after 'scenes:' comes a number of scenes, 1 or more")
    return int(count) if colon else default
