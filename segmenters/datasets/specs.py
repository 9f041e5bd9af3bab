"""Read specifications: ``PICTURES``, ``edges:``, ``labels:`` or ``captions:PICTURES``, and ``NAME=PICTURES``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from gandissect.core.lookup import lookup

from ..scenes.layout import NAMES, Setting

View = Literal["pictures", "edges", "labels", "captions"]
VIEWS: dict[str, View] = {"edges:": "edges", "labels:": "labels", "captions:": "captions"}
WILDCARDS = set("*?[")


@dataclass(frozen=True, slots=True)
class Spec:
    """A specification in parts.

    Attributes:
        pictures: Specification of the pictures, as for `open_source`.
        view: What of them is meant: the pictures themselves, their edges, their label maps, or pictures with captions.
        domain: Name of the class that all pictures are of; None leaves them their own.
    """

    pictures: str
    view: View = "pictures"
    domain: str | None = None


def parse_spec(spec: str) -> Spec:
    """Return the parts of a specification; the full name of an existing folder is that folder.

    Raises:
        ValueError: If the name of a domain, or pictures, are missing, or there are two names or two views.
    """
    if split_folder(spec).folder.is_dir():
        return Spec(spec)
    for prefix, view in VIEWS.items():
        if spec.startswith(prefix):
            return _parse_view(spec, prefix, view)
    name, equals, pictures = spec.partition("=")
    if not equals or set(name) & set("/\\:@"):
        return Spec(spec)
    if not name or not pictures:
        raise ValueError(f"a domain must be NAME=PICTURES, such as dusk=scenes:15000@dusk; got {spec!r}")
    parts = parse_spec(pictures)
    if parts.domain is not None:
        raise ValueError(
            f"pictures must be of one domain (NAME=PICTURES); got the names {name} and {parts.domain}: {spec!r}"
        )
    return replace(parts, domain=name)


def _parse_view(spec: str, prefix: str, view: View) -> Spec:
    """Return the parts of a specification of edges or label maps."""
    pictures = spec.removeprefix(prefix)
    if not pictures:
        raise ValueError(f"{view} must be of pictures, such as {prefix}scenes; got {spec!r}")
    parts = parse_spec(pictures)
    if parts.domain is not None:
        raise ValueError(f"name the domain first, as in {parts.domain}={prefix}{parts.pictures}; got {spec!r}")
    if parts.view != "pictures":
        raise ValueError(f"{view} must be of pictures, not of {parts.view}; got {spec!r}")
    return Spec(pictures, view)


def parse_specs(specs: Sequence[str]) -> list[Spec]:
    """Return the parts of several specifications, of which all or none name a domain.

    Raises:
        ValueError: If only some name a domain, or a name or pictures are missing.
    """
    parsed = [parse_spec(spec) for spec in specs]
    unnamed = [spec for spec, parts in zip(specs, parsed, strict=True) if parts.domain is None]
    if 0 < len(unnamed) < len(specs):
        raise ValueError(
            f"all pictures must name their domain (NAME=PICTURES), or none; got {', '.join(unnamed)} without a name"
        )
    return parsed


def names_scenes(spec: str) -> bool:
    """Return whether a specification names rendered scenes."""
    return spec.partition("@")[0].partition(":")[0] == "scenes"


@dataclass(frozen=True, slots=True)
class FolderSpec:
    """A folder of pictures, and which of them are meant.

    Attributes:
        folder: The folder.
        split: Name of a split file; None for all pictures.
        pattern: Pattern that the names of files match, such as ``0001*``, or do not match, ``!0001*``; None for all.
    """

    folder: Path
    split: str | None = None
    pattern: str | None = None


def split_folder(spec: str) -> FolderSpec:
    """Split ``FOLDER@SPLIT@PATTERN``, unless a folder of that full name exists; split and pattern may be missing.

    A part after ``@`` is a pattern if it has a wildcard, one of ``*?[``, or begins with an exclamation mark.
    """
    rest, at, name = spec.rpartition("@")
    if not at or Path(spec).expanduser().is_dir():
        return FolderSpec(Path(spec).expanduser())
    if not (WILDCARDS & set(name) or name.startswith("!")):
        return FolderSpec(Path(rest).expanduser(), name)
    parts = split_folder(rest)
    if parts.pattern is not None:
        raise ValueError(f"a folder must have one pattern of names; got {parts.pattern} and {name}: {spec!r}")
    return replace(parts, pattern=name)


def read_scenes(spec: str, default: int) -> tuple[range, Setting]:
    """Return the indices of a specification's scenes, and its mood, season, place and hour, as far as it states them.

    Args:
        spec: Specification of scenes.
        default: Number of scenes where it states none.

    Raises:
        KeyError: If a mood, season or place is unknown.
        ValueError: If there is no scene, or two names are of one kind, or the hour is out of range.
    """
    start, *names = spec.split("@")
    _, colon, counts = start.partition(":")
    first, dash, end = counts.rpartition("-")
    if colon and not (end.isdecimal() and int(end) > 0):
        raise ValueError(f"COUNT in scenes:COUNT must be at least 1; got {spec!r}")
    if dash and not (first.isdecimal() and int(first) < int(end)):
        raise ValueError(f"FIRST must be below END in scenes:FIRST-END; got {spec!r}")
    given: dict[str, Any] = {}
    for name in names:
        kind, value = _read_name(name)
        if kind in given:
            raise ValueError(f"scenes must have one {kind}; got {given[kind]} and {value}: {spec!r}")
        given[kind] = value
    scenes = range(int(first) if dash else 0, int(end) if colon else default)
    return scenes, Setting(**given)


def _read_name(name: str) -> tuple[str, str | float]:
    """Return what a name of scenes sets, and to which value."""
    try:
        return "hour", float(name)
    except ValueError:
        kinds = {known: kind for kind, names in NAMES.items() for known in names} | {"hours": "hour"}
        kind = lookup(kinds, name, "mood, season or place of scenes")
        return kind, "drawn" if kind == "hour" else name
