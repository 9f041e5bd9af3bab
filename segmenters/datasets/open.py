"""Open sources of pictures from short specifications.

``scenes`` and ``scenes:COUNT`` are rendered scenes, all of one mood, season or place with ``@NAME`` after it, or of
several with ``@NAME@NAME``; ``scenes:FIRST-END`` are those from index FIRST to before END, for domains that share no
scene. ``ring8`` and ``grid25`` are points in the plane. Anything else is a folder of photographs, with ``@SPLIT`` for
the pictures listed in one of its split files and ``@PATTERN`` for those whose names match, or a folder of idx files
such as MNIST's, with ``@SPLIT`` for one of its pairs of files.

Where pictures need no labels, ``edges:PICTURES`` are their edges, ``labels:PICTURES`` their label maps, and
``NAME=PICTURES`` makes all of them one class. ``captions:scenes`` are scenes with captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from gandissect.core.lookup import unknown_name_message
from gandissect.core.protocols import PictureSource

from .broken import open_each
from .captioned import Captioned
from .combining import Subset, UnlabeledSource, concat
from .domains import Domain, Edges, LabelMaps
from .folders import check_outside
from .idx import IdxPictures, list_splits
from .pairs import Paired, Unpaired
from .photos import Photos, list_photos, pictures_folder
from .points import MIXTURES, Points
from .scenes import Scenes
from .source import ImageSource
from .specs import FolderSpec, Spec, names_scenes, parse_spec, parse_specs, read_scenes, split_folder

Pictures = Scenes | Subset | Photos | IdxPictures
"""Source of pictures, with or without labels."""

NUM_SCENES, NUM_HELD_OUT_SCENES, NUM_HELD_OUT_POINTS = 50_000, 1_000, 10_000


SCENES_SEED, HELD_OUT_SCENES_SEED = 0, 2
"""Seeds of the scenes for training and for evaluation."""


def open_source(spec: str, size: int, *, held_out: bool = False, skip_broken: bool = False) -> Pictures:
    """Open the labeled pictures of a specification.

    Args:
        spec: Specification: ``scenes``, ``scenes:COUNT``, ``scenes:FIRST-END``, ``scenes:COUNT@NAME@...``, ``FOLDER``,
            ``FOLDER@SPLIT`` or ``FOLDER@SPLIT@PATTERN``.
        size: Height and width of the pictures in pixels.
        held_out: Render scenes with the evaluation seed.
        skip_broken: Skip unusable pictures, with a warning that names them.

    Raises:
        ValueError: If the specification is invalid, or pictures cannot be used; the message names them all.
        KeyError: If scenes of an unknown mood, season or place are asked for.
        FileNotFoundError: If there is no such folder or split.
    """
    if parse_spec(spec) != Spec(spec):
        raise ValueError(f"domains, edges and label maps must be left out; name labeled pictures; got {spec!r}")
    if names_scenes(spec):
        indices, setting = read_scenes(spec, NUM_HELD_OUT_SCENES if held_out else NUM_SCENES)
        scenes = Scenes(size, indices.stop, HELD_OUT_SCENES_SEED if held_out else SCENES_SEED, **setting.given)
        return Subset(scenes, indices, f"{indices.start} to {indices.stop - 1}") if indices.start else scenes
    parts = split_folder(spec)
    if list_splits(parts.folder):
        _refuse_pattern(parts)
        return IdxPictures(parts.folder, size, parts.split)
    return Photos(parts.folder, size, parts.split, pattern=parts.pattern, skip_broken=skip_broken)


def _refuse_pattern(parts: FolderSpec) -> None:
    if parts.pattern is not None:
        raise ValueError(f"{parts.folder} has idx files, whose pictures can have no pattern; got {parts.pattern!r}")


def open_sources(specs: Sequence[str], size: int, *, skip_broken: bool = False) -> list[Pictures]:
    """Open the labeled pictures of several specifications, as `open_source` does.

    Args:
        specs: Specifications of the pictures.
        size: Height and width of the pictures in pixels.
        skip_broken: Skip unusable pictures, with a warning that names them.

    Raises:
        ValueError: If a specification is invalid, or pictures cannot be used; the message names those of all folders.
        FileNotFoundError: If there is no such folder or split.
    """
    check_specs(specs)  # before any picture is decoded
    return open_each(partial(open_source, spec, size, skip_broken=skip_broken) for spec in specs)


def open_labeled_pictures(
    specs: Sequence[str], held_out: str, size: int, *, skip_broken: bool = False
) -> tuple[list[Pictures], Pictures]:
    """Open labeled pictures to train a segmenter on, and labeled pictures to evaluate it on.

    Args:
        specs: Specifications of the training pictures, as for `open_source`.
        held_out: Specification of the evaluation pictures; scenes are rendered with the evaluation seed.
        size: Height and width of the pictures in pixels.
        skip_broken: Skip unusable pictures, with a warning that names them.

    Raises:
        ValueError: If a specification is invalid, or pictures cannot be used; the message names those of all folders.
        FileNotFoundError: If there is no such folder or split.
    """
    check_specs([*specs, held_out])  # before any picture is decoded
    open_spec = partial(open_source, size=size, skip_broken=skip_broken)
    *sources, evaluation = open_each(
        [*(partial(open_spec, spec) for spec in specs), partial(open_spec, held_out, held_out=True)]
    )
    return sources, evaluation


def open_training_data(
    specs: Sequence[str], size: int, hold_out: float = 0.05, *, skip_broken: bool = False
) -> tuple[PictureSource, PictureSource | None]:
    """Open the training data of a generator, pictures or points, and held-out data (None if nothing is held out).

    Args:
        specs: Specifications of the training data: ``ring8`` or ``grid25`` at size 1, else as for `open_pictures`.
        size: Height and width of the pictures in pixels; 1 for points.
        hold_out: Share held out of each folder without a split, between 0 and 1.
        skip_broken: Skip unusable pictures, with a warning that names them.

    Raises:
        ValueError: If there are no specifications, one is invalid, the size of points is not 1, or pictures cannot be
            used; the message names those of all folders.
        FileNotFoundError: If there is no such folder or split.
    """
    if points := [spec for spec in specs if spec in MIXTURES]:
        if len(specs) > 1 or size != 1:
            raise ValueError(
                f"{points[0]} must be the only data, with resolution (--resolution) 1; got {', '.join(specs)} with "
                f"{size}"
            )
        return Points(points[0]), Points(points[0], NUM_HELD_OUT_POINTS, seed=1)
    if size == 1:
        raise ValueError(
            f"the data must be points ({', '.join(MIXTURES)}) at resolution (--resolution) 1; got {', '.join(specs)}"
        )
    return open_pictures(specs, size, hold_out, skip_broken=skip_broken)


def check_specs(specs: Sequence[str]) -> None:
    """Check that the pictures of specifications exist, without opening any.

    Args:
        specs: Specifications, as for `open_pictures`.

    Raises:
        ValueError: If a specification is invalid, or a folder contains no pictures.
        FileNotFoundError: If there is no such folder or split.
    """
    for spec in (parts.pictures for parts in parse_specs(specs)):
        if names_scenes(spec):
            read_scenes(spec, NUM_SCENES)
            continue
        parts = split_folder(spec)
        splits = list_splits(parts.folder)
        if not splits:
            list_photos(parts.folder, parts.split, parts.pattern)
        elif parts.split not in (None, *splits):
            raise FileNotFoundError(f"{parts.folder}: {unknown_name_message('split', str(parts.split), splits)}")
        else:
            _refuse_pattern(parts)


def check_output(out: Path, specs: Sequence[str]) -> None:
    """Check that a folder for results is separate from the pictures of specifications.

    Args:
        out: Folder for the results.
        specs: Specifications, as for `open_pictures`.

    Raises:
        ValueError: If pictures are in the folder for results, or a specification is invalid.
        FileNotFoundError: If there is no such folder of pictures.
    """
    for spec in (parts.pictures for parts in parse_specs(specs)):
        if names_scenes(spec) or spec in MIXTURES or list_splits(folder := split_folder(spec).folder):
            continue
        check_outside(out, pictures_folder(folder))


def open_pictures(
    specs: Sequence[str], size: int, hold_out: float = 0.05, *, skip_broken: bool = False
) -> tuple[ImageSource, ImageSource | None]:
    """Open unlabeled training pictures and held-out pictures (None if nothing is held out).

    A folder without a split is divided by a hash of the file names, with the share ``hold_out`` held out; a folder with
    a split is used for training only; held-out scenes are rendered with the evaluation seed.

    Args:
        specs: Specifications of the pictures, as for `open_source`; or ``edges:`` or ``labels:`` and a specification,
            for its edges or label maps; or a name, ``=`` and any of these, for pictures that are all of the class of
            this name. Or only one, ``captions:`` and a specification of scenes, for scenes with captions.
        size: Height and width of the pictures in pixels.
        hold_out: Share held out of each folder without a split, between 0 and 1.
        skip_broken: Skip unusable pictures, with a warning that names them.

    Raises:
        ValueError: If there are no specifications, one is invalid, or pictures cannot be used; the message names those
            of all folders.
        FileNotFoundError: If there is no such folder or split.
    """
    if not specs:
        raise ValueError("name the training pictures: scenes, scenes:COUNT, FOLDER or FOLDER@SPLIT; got none")
    parsed = parse_specs(specs)
    if any(spec.view == "captions" for spec in parsed):
        return _open_captioned(parsed, size)
    sources = open_sources([spec.pictures for spec in parsed], size, skip_broken=skip_broken)
    domains = tuple(dict.fromkeys(spec.domain for spec in parsed if spec.domain is not None))
    train, held_out = list[ImageSource](), list[ImageSource]()
    for spec, source in zip(parsed, sources, strict=True):
        seen, unseen = _part(spec.pictures, source, hold_out)
        train.append(_without_labels(seen, spec, domains))
        held_out += [] if unseen is None else [_without_labels(unseen, spec, domains)]
    return concat(train), concat(held_out) if held_out else None


def _open_captioned(parsed: Sequence[Spec], size: int) -> tuple[Captioned, Captioned]:
    """Return scenes with captions, and held-out ones."""
    spec = parsed[0]
    if len(parsed) > 1 or spec.domain is not None or not names_scenes(spec.pictures):
        names = " ".join(parts.pictures for parts in parsed)
        raise ValueError(f"pictures with captions must be scenes only, such as captions:scenes:20000; got {names}")
    indices, setting = read_scenes(spec.pictures, NUM_SCENES)
    if indices.start:
        raise ValueError(f"scenes with captions must begin at index 0 (captions:scenes:COUNT); got {spec.pictures}")
    train, held_out = (
        Captioned(Scenes(size, number, seed, **setting.given))
        for number, seed in ((indices.stop, SCENES_SEED), (NUM_HELD_OUT_SCENES, HELD_OUT_SCENES_SEED))
    )
    return train, held_out


def open_pairs(
    inputs: Sequence[str],
    targets: Sequence[str],
    size: int,
    hold_out: float = 0.05,
    *,
    paired: bool = True,
    skip_broken: bool = False,
) -> tuple[Paired | Unpaired, Paired | Unpaired | None]:
    """Open pairs of pictures to train a translator on, and held-out pairs (None if nothing is held out).

    Pictures are held out as in `open_pictures`, those of a pair together. They keep their labels.

    Args:
        inputs: Specifications of the inputs, as for `open_pictures`, without names of domains. Where they are
            ``labels:PICTURES``, the pairs state that their inputs are label maps.
        targets: Specifications of the targets.
        size: Height and width of the pictures in pixels.
        hold_out: Share held out of each folder without a split, between 0 and 1.
        paired: Whether pictures of the same index are a pair; otherwise targets are drawn at random.
        skip_broken: Skip unusable pictures, with a warning that names them.

    Raises:
        ValueError: If a specification is missing or invalid, pictures cannot be used, or paired pictures differ in
            number or in the names of their files.
        FileNotFoundError: If there is no such folder or split.
    """
    sides = [parse_specs(inputs), parse_specs(targets)]
    _check_sides(inputs, targets, sides)
    names = list(dict.fromkeys(spec.pictures for side in sides for spec in side))
    opened = dict(zip(names, open_sources(names, size, skip_broken=skip_broken), strict=True))
    if paired:
        for given, wanted in zip(*sides, strict=False):
            _check_names(opened[given.pictures], opened[wanted.pictures])
    parts = {name: _part(name, source, hold_out) for name, source in opened.items()}
    label_maps, pair = sides[0][0].view == "labels", Paired if paired else Unpaired
    seen, unseen = [
        [[_view(source, spec) for spec in side if (source := parts[spec.pictures][k]) is not None] for side in sides]
        for k in (0, 1)
    ]
    train = pair(concat(seen[0]), concat(seen[1]), label_maps=label_maps)
    return train, pair(concat(unseen[0]), concat(unseen[1]), label_maps=label_maps) if all(unseen) else None


def open_inputs(specs: Sequence[str], size: int, *, label_maps: bool = False) -> ImageSource:
    """Open the pictures that a translator is put on, all of them; scenes are rendered with the evaluation seed.

    Args:
        specs: Specifications, as for `open_pictures`, without names of domains.
        size: Height and width of the pictures in pixels.
        label_maps: Whether the translator takes label maps, whatever the view.

    Raises:
        ValueError: If a specification or a file is invalid, or names a domain.
        FileNotFoundError: If there is no such folder or split.
    """
    check_specs(specs)
    parsed = parse_specs(specs)
    if any(spec.domain for spec in parsed):
        raise ValueError(f"pictures to translate have no domain; omit NAME=; got {' '.join(specs)}")
    sources = [open_source(spec.pictures, size, held_out=True) for spec in parsed]
    if label_maps:
        return sources[0] if len(sources) == 1 else concat(sources)
    views = [_view(source, spec) for spec, source in zip(parsed, sources, strict=True)]
    return views[0] if len(views) == 1 else concat([UnlabeledSource(view) for view in views])


def _check_sides(inputs: Sequence[str], targets: Sequence[str], sides: Sequence[Sequence[Spec]]) -> None:
    """Raise ValueError if inputs or targets are missing, name domains, or are label maps in part."""
    for kind, side, specs in zip(("inputs", "targets"), sides, (inputs, targets), strict=True):
        if not specs:
            raise ValueError(f"{kind} must name pictures, such as scenes, scenes:COUNT or FOLDER; got none")
        if any(spec.domain is not None for spec in side):
            raise ValueError(f"{kind} must be pictures without names of domains; got {', '.join(specs)}")
    if len({spec.view == "labels" for spec in sides[0]}) > 1:
        raise ValueError(f"all inputs must be label maps (labels:PICTURES), or none; got {', '.join(inputs)}")


def _check_names(given: Pictures, wanted: Pictures) -> None:
    """Raise ValueError if the pictures of two folders cannot be pairs, because their files have other names."""
    if not (isinstance(given, Photos) and isinstance(wanted, Photos)):
        return
    for first, second in zip(given.names, wanted.names, strict=False):
        if Path(first).stem != Path(second).stem:
            raise ValueError(f"files of a pair must have the same name; got {first} and {second}")


def _part(spec: str, source: Pictures, hold_out: float) -> tuple[ImageSource, ImageSource | None]:
    """Return the training pictures and the held-out pictures of a specification."""
    if names_scenes(spec):
        return source, open_source("@".join(["scenes", *spec.split("@")[1:]]), source.size, held_out=True)
    assert not isinstance(source, Scenes | Subset)
    if split_folder(spec).split is None:
        return source.hold_out(hold_out)
    return source, None


def _view(source: ImageSource, spec: Spec) -> ImageSource:
    """Return a source's pictures, edges or label maps."""
    match spec.view:
        case "edges":
            return Edges(source)
        case "labels":
            return LabelMaps(source)
        case "captions":
            raise ValueError(f"captions (captions:{spec.pictures}) are for training stackgan; omit captions:")
        case _:
            return source


def _without_labels(source: ImageSource, spec: Spec, domains: tuple[str, ...]) -> ImageSource:
    """Return what is meant of a source, without labels, and all of one class if the spec names a domain."""
    pictures = UnlabeledSource(_view(source, spec))
    return pictures if spec.domain is None else Domain(pictures, domains, spec.domain)
