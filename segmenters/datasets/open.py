"""Opening pictures by a short specification.

``scenes`` or ``scenes:COUNT`` are rendered scenes; anything else is a folder of photographs, with ``@SPLIT`` for one of
its split files.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from .broken import open_each
from .combining import UnlabeledSource, concat
from .folders import check_outside
from .photos import Photos, list_photos, pictures_folder
from .scenes import Scenes
from .source import ImageSource

NUM_SCENES, NUM_HELD_OUT_SCENES = 50_000, 1_000


SCENES_SEED, HELD_OUT_SCENES_SEED = 0, 2
"""Scenes to learn from and scenes to judge by have different seeds."""


def open_source(spec: str, size: int, *, held_out: bool = False, skip_broken: bool = False) -> Scenes | Photos:
    """Return the pictures that a specification names, with their labels.

    Args:
        spec: ``scenes``, ``scenes:COUNT``, ``FOLDER`` or ``FOLDER@SPLIT``.
        size: Height and width of the pictures.
        held_out: Render scenes of the seed that nothing learns from.
        skip_broken: Leave out the pictures of a folder that cannot be used, with a warning that names them.

    Raises:
        ValueError: If the specification is wrong, or pictures cannot be used, naming all of them.
        FileNotFoundError: If there is no such folder or split.
    """
    if _names_scenes(spec):
        count = _read_count(spec, NUM_HELD_OUT_SCENES if held_out else NUM_SCENES)
        return Scenes(size, count, HELD_OUT_SCENES_SEED if held_out else SCENES_SEED)
    folder, split = _split_spec(spec)
    return Photos(folder, size, split, skip_broken=skip_broken)


def open_sources(specs: Sequence[str], size: int, *, skip_broken: bool = False) -> list[Scenes | Photos]:
    """Return the pictures that each specification names, with their labels, as `open_source` does.

    Raises:
        ValueError: If a specification is wrong, or pictures of any folder cannot be used, naming all of them.
        FileNotFoundError: If there is no such folder or split.
    """
    check_specs(specs)  # before pictures are decoded
    return open_each(partial(open_source, spec, size, skip_broken=skip_broken) for spec in specs)


def open_labeled_pictures(
    specs: Sequence[str], held_out: str, size: int, *, skip_broken: bool = False
) -> tuple[list[Scenes | Photos], Scenes | Photos]:
    """Return labeled pictures for a segmenter to learn from, and others to judge it by.

    Args:
        specs: What to learn from, as `open_source` reads it.
        held_out: What to judge by; scenes are rendered with a seed of their own.
        size: Height and width of the pictures.
        skip_broken: Leave out the pictures of a folder that cannot be used, with a warning that names them.

    Raises:
        ValueError: If a specification is wrong, or pictures of any folder cannot be used, naming all of them.
        FileNotFoundError: If there is no such folder or split.
    """
    check_specs([*specs, held_out])  # before pictures are decoded
    open_spec = partial(open_source, size=size, skip_broken=skip_broken)
    *sources, judged = open_each(
        [*(partial(open_spec, spec) for spec in specs), partial(open_spec, held_out, held_out=True)]
    )
    return sources, judged


def check_specs(specs: Sequence[str]) -> None:
    """Check that there are the pictures that specifications name, without opening any.

    Raises:
        ValueError: If a specification is wrong, or a folder holds no pictures.
        FileNotFoundError: If there is no such folder or split.
    """
    for spec in specs:
        if _names_scenes(spec):
            _read_count(spec, NUM_SCENES)
        else:
            list_photos(*_split_spec(spec))


def check_output(out: Path, specs: Sequence[str]) -> None:
    """Check that results in a folder would be apart from the pictures that specifications name.

    Raises:
        ValueError: If pictures are in that folder.
        FileNotFoundError: If there is no such folder of pictures.
    """
    for spec in specs:
        if not _names_scenes(spec):
            check_outside(out, pictures_folder(_split_spec(spec)[0]))


def open_pictures(
    specs: Sequence[str], size: int, hold_out: float, *, skip_broken: bool = False
) -> tuple[ImageSource, ImageSource | None]:
    """Return pictures to learn from and pictures to judge by (None if nothing is held out), without labels.

    Of a folder without split the share ``hold_out`` is set aside, by a hash of the files' names; a folder with a split
    is learned from wholly; scenes to judge by are rendered with a seed of their own.

    Args:
        specs: What to learn from, as `open_source` reads it.
        size: Height and width of the pictures.
        hold_out: Between 0 and 1.
        skip_broken: Leave out the pictures of a folder that cannot be used, with a warning that names them.

    Raises:
        ValueError: If a specification is wrong, none is given, or pictures of any folder cannot be used, naming all of
            them.
        FileNotFoundError: If there is no such folder or split.
    """
    if not specs:
        raise ValueError("name pictures to learn from: scenes, scenes:COUNT, FOLDER or FOLDER@SPLIT")
    sources = open_sources(specs, size, skip_broken=skip_broken)
    parts = [_part(spec, source, hold_out) for spec, source in zip(specs, sources, strict=True)]
    held_out = [source for _, source in parts if source is not None]
    return _join([source for source, _ in parts]), _join(held_out) if held_out else None


def _part(spec: str, source: Scenes | Photos, hold_out: float) -> tuple[ImageSource, ImageSource | None]:
    """Return those of a specification's pictures to learn from, and pictures to judge by."""
    if isinstance(source, Scenes):
        return source, open_source("scenes", source.size, held_out=True)
    if _split_spec(spec)[1] is None:
        return source.hold_out(hold_out)
    return source, None


def _join(sources: Sequence[ImageSource]) -> ImageSource:
    return concat([UnlabeledSource(source) for source in sources])


def _names_scenes(spec: str) -> bool:
    return spec.partition(":")[0] == "scenes"


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
