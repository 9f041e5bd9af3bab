"""Use a folder of photographs, labeled or not, as a source of square pictures.

A labeled folder holds ``images/NAME.jpg``, ``labels/NAME.png`` (one class index per pixel), ``classes.json`` (a list of
``{"index": 3, "name": "door", "color": [128, 128, 0]}``, the color optional) and split files (``train.txt``: one name
per line). Any other folder, with its subfolders, is a source of unlabeled pictures.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int16, Int64, UInt8
from torch import Tensor
from tqdm import tqdm

from gandissect.core.lookup import unknown_name_message
from gandissect.core.types import UNLABELED, Concept
from gandissect.storage.files import read_bytes, read_json

from ..colors import index_color
from .broken import report_problems, try_each
from .combining import Subset, check_indices, check_size, split_by_name
from .decoding import MARGIN, picture_size, read_labels, read_picture, scale_short_side
from .folders import list_pictures, normalize_name
from .source import LabeledPictures, describe_source

PictureAndLabels = tuple[UInt8[Tensor, "3 H W"], Int16[Tensor, "H W"] | None]
"""Picture and its labels, None without labels."""

MAX_RESIDENT_BYTES = 8 * 2**30
"""Default memory limit up to which decoded pictures stay in memory."""

CUSTOMARY_UNLABELED = ("unlabelled", "unlabeled", "void", "ignore", "various")
"""Names that data sets use for the class of unlabeled pixels."""


class Photos:
    """Source of square views of the photographs in a folder.

    Each picture is resized so that its short side has ``size * margin`` pixels (Lanczos; labels by nearest neighbor).
    The training view is a random crop with a random flip, the evaluation view the center crop. Every picture is decoded
    once when the source is created, so that broken ones are found early. If all fit into ``max_resident_bytes`` they
    stay in memory as uint8; otherwise they are decoded again for every batch, which is slow.

    Args:
        folder: Folder of the photographs, labeled or not.
        size: Height and width of the views in pixels, 1 to 4096.
        split: Name of a split file without ``.txt``, e.g. ``"train"``; None uses all pictures.
        pattern: Pattern of the names of files, as for `list_photos`; None uses all of the split.
        margin: Ratio of the short side to ``size``, 1 to 4, which leaves room for the random crop.
        unlabeled: Names of classes whose pixels count as unlabeled; by default those of `CUSTOMARY_UNLABELED` that
            occur.
        max_resident_bytes: Memory limit up to which decoded pictures stay in memory.
        skip_broken: Skip pictures that are broken, or whose labels are missing, broken or of another size, with a
            warning that names them; by default they raise.

    Raises:
        FileNotFoundError: If the folder, its split file, or a picture that the split file names is missing.
        ValueError: If pictures, label maps or other files are missing or broken; the message names all pictures.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> from segmenters.datasets import Photos
        >>> with TemporaryDirectory() as folder:
        ...     for index in range(3):
        ...         Image.new("RGB", (80, 60)).save(Path(folder) / f"{index}.png")
        ...     photos = Photos(folder, size=32)
        >>> photos.names
        ('0.png', '1.png', '2.png')
        >>> photos.batch([0, 2]).images.shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(
        self,
        folder: Path | str,
        size: int,
        split: str | None = None,
        *,
        pattern: str | None = None,
        margin: float = MARGIN,
        unlabeled: Iterable[str] | None = None,
        max_resident_bytes: int = MAX_RESIDENT_BYTES,
        skip_broken: bool = False,
    ) -> None:
        check_size(size)
        if not 1 <= margin <= 4:
            raise ValueError(f"margin must be in [1, 4]; got {margin}")
        self._folder, self._size, self._split, self._pattern = Path(folder), size, split, pattern
        self._short = round(size * margin)
        self._labeled = is_labeled(self._folder)
        self._concepts, self._table = self._read_concepts(None if unlabeled is None else tuple(unlabeled))
        self._open(list_photos(self._folder, split, pattern), max_resident_bytes, skip_broken)

    def _open(self, files: Sequence[Path], max_resident_bytes: int, skip_broken: bool) -> None:
        """Decode each picture once, and keep them if they fit into memory."""
        problems: dict[Path, str] = {}
        self._sizes = try_each(files, self._measure, problems)
        scaled = (scale_short_side(size, self._short, file) for file, size in self._sizes.items())
        self._resident = sum((4 if self._labeled else 3) * w * h for w, h in scaled) <= max_resident_bytes
        progress = tqdm(self._sizes, desc=f"decoding {self.name}", unit="picture", leave=False, delay=2, disable=None)
        self._decoded = try_each(progress, self._read, problems, keep=self._resident)
        report_problems(problems, len(files), self.name, skip=skip_broken)
        self._files = [file for file in files if file not in problems]

    def _measure(self, file: Path) -> tuple[int, int]:
        """Return the width and height of a picture, after checking that it can be resized."""
        size = picture_size(file)
        scale_short_side(size, self._short, file)
        return size

    @property
    def name(self) -> str:
        """Name of the folder, followed by the split and the pattern."""
        name = f"{self._folder.name}/{self._split}" if self._split else self._folder.name
        return f"{name} ({self._pattern})" if self._pattern else name

    @property
    def size(self) -> int:
        """Height and width of the views in pixels."""
        return self._size

    def __repr__(self) -> str:
        parts = (str(self._folder), self._split, self._pattern)
        return describe_source(self, "@".join(part for part in parts if part))

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """Concepts, numbered from 0 without gaps; empty without labels."""
        return self._concepts

    @property
    def names(self) -> tuple[str, ...]:
        """Paths of the pictures relative to the folder, in order."""
        return tuple(file.relative_to(self._folder).as_posix() for file in self._files)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the subfolders, if the pictures have no labels and all are in two or more subfolders."""
        names = {name.split("/")[0] if "/" in name else "" for name in self.names}
        return () if self._labeled or "" in names or len(names) < 2 else tuple(sorted(names))

    @property
    def class_indices(self) -> Int64[Tensor, " picture"]:
        """Index of every picture's class."""
        order = {name: index for index, name in enumerate(self.classes)}
        return torch.tensor([order[name.split("/")[0]] for name in self.names], dtype=torch.int64, device="cpu")

    @property
    def resident(self) -> bool:
        """Whether the decoded pictures are in memory."""
        return self._resident

    def __len__(self) -> int:
        return len(self._files)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        """Return a batch of pictures and labels.

        Args:
            indices: Indices of the pictures, from 0 to ``len(self) - 1``.
            rng: Random number generator of the training view; None returns the evaluation view.

        Raises:
            IndexError: If an index is out of range, or there are no indices.
        """
        check_indices(indices, len(self))
        draws = torch.full((len(indices), 3), 0.5, dtype=torch.float32, device="cpu")
        if rng is not None:
            draws.uniform_(generator=rng)
        views = [self._cut_view(index, *draw) for index, draw in zip(indices, draws.tolist(), strict=True)]
        labels = torch.stack([view[1] for view in views if view[1] is not None]).long() if self._labeled else None
        return LabeledPictures(torch.stack([view[0] for view in views]), labels)

    def hold_out(self, fraction: float, seed: int = 0) -> tuple[Subset, Subset]:
        """Split into training pictures and held-out pictures.

        A picture's part depends only on the seed and its path inside the folder, so it does not change when pictures
        are added, or on systems that encode file names differently.

        Args:
            fraction: Expected share of the held-out part, between 0 and 1.
            seed: Seed of the split.

        Raises:
            ValueError: If the fraction is out of range or leaves a part empty.
        """
        return split_by_name(self, [normalize_name(name) for name in self.names], fraction, seed)

    def _cut_view(self, index: int, down: float, across: float, flip: float) -> PictureAndLabels:
        file = self._files[index]
        image, labels = self._decoded[file] if self._resident else self._read(file)
        top = min(int(down * (image.shape[1] - self._size + 1)), image.shape[1] - self._size)
        left = min(int(across * (image.shape[2] - self._size + 1)), image.shape[2] - self._size)
        area = (..., slice(top, top + self._size), slice(left, left + self._size))
        crop = [part[area].flip(-1) if flip > 0.5 else part[area] for part in (image, labels) if part is not None]
        return crop[0], crop[1] if labels is not None else None

    def _read(self, file: Path) -> PictureAndLabels:
        image = torch.from_numpy(read_picture(file, self._short)).permute(2, 0, 1).contiguous()
        if not self._labeled:
            return image, None
        path = self._find_labels(file)
        stored = read_labels(path, self._sizes[file], self._short)
        inside = (stored >= 0) & (stored < len(self._table))
        known = inside & (self._table[np.where(inside, stored, 0)] != _NO_CLASS)
        if not known.all():
            raise ValueError(f"{path} has the class index {stored[~known][0]}, which is not in classes.json")
        return image, torch.from_numpy(self._table[stored])

    def _find_labels(self, file: Path) -> Path:
        """Return the label map of a picture, whose file name may be encoded differently (NFC or NFD)."""
        stems = dict.fromkeys((file.stem, *(unicodedata.normalize(form, file.stem) for form in ("NFC", "NFD"))))
        paths = [self._folder / "labels" / f"{stem}.png" for stem in stems]
        existing = [path for path in paths if path.exists()]
        if not existing:
            raise FileNotFoundError(f"{file} has no labels: {paths[0]} is missing")
        return existing[0]

    def _read_concepts(
        self, unlabeled: tuple[str, ...] | None
    ) -> tuple[tuple[Concept, ...], Int16[np.ndarray, " index"]]:
        if not self._labeled:
            if unlabeled:
                raise ValueError(
                    f"{self._folder} has no classes.json, so unlabeled must be empty; got {unlabeled[0]!r}"
                )
            return (), np.empty(0, np.int16)
        classes = _read_classes(self._folder / "classes.json")
        if unlabeled is None:
            unlabeled = tuple({concept.name for concept in classes} & set(CUSTOMARY_UNLABELED))
        for name in unlabeled:
            if name not in {concept.name for concept in classes}:
                raise ValueError(unknown_name_message("class", name, [concept.name for concept in classes]))
        table = np.full(max(concept.index for concept in classes) + 1, _NO_CLASS, np.int16)
        kept = [concept for concept in classes if concept.name not in unlabeled]
        table[[concept.index for concept in classes]] = UNLABELED
        for index, concept in enumerate(kept):
            table[concept.index] = index
        return tuple(Concept(index, concept.name, concept.color) for index, concept in enumerate(kept)), table


_NO_CLASS = -2


def list_photos(folder: Path, split: str | None = None, pattern: str | None = None) -> list[Path]:
    """Return the pictures that `Photos` would read, without opening any.

    Args:
        folder: Folder of the photographs.
        split: Name of a split file without ``.txt``; None lists all pictures.
        pattern: Pattern that the names of the files match, with the wildcards ``*``, ``?`` and ``[...]``; after an
            exclamation mark, one that they do not match. None lists all of the split.

    Raises:
        FileNotFoundError: If the folder, its split file, or a picture that the split file names is missing.
        ValueError: If there are no pictures, none matches, or two pictures of a labeled folder share a name.
    """
    files = list_pictures(pictures_folder(folder))
    if is_labeled(folder):
        _refuse_twins(files)
    files = files if split is None else _select_split(files, folder, split)
    return files if pattern is None else _select_names(files, folder, pattern)


def is_labeled(folder: Path) -> bool:
    """Return whether a folder holds labeled pictures."""
    return (folder / "classes.json").exists()


def pictures_folder(folder: Path) -> Path:
    """Return the folder of the picture files: ``images`` inside a labeled folder, else the folder itself."""
    return folder / "images" if is_labeled(folder) else folder


def _refuse_twins(files: Sequence[Path]) -> None:
    by_stem: dict[str, Path] = {}
    for file in files:
        stem = normalize_name(file.stem)
        if stem in by_stem:
            raise ValueError(f"{by_stem[stem]} and {file} must not share a name, and so a label map; rename one")
        by_stem[stem] = file


def _select_split(files: Sequence[Path], folder: Path, split: str) -> list[Path]:
    path = folder / f"{split}.txt"
    if not path.exists():
        raise FileNotFoundError(
            f"{folder}: {unknown_name_message('split', split, sorted(file.stem for file in folder.glob('*.txt')))}"
        )
    by_name = {normalize_name(key): file for file in files for key in (file.stem, file.name)}
    try:
        lines = [
            line.strip() for line in read_bytes(path).decode("utf-8-sig").splitlines()
        ]  # with Windows' byte order mark
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}") from error
    names = [normalize_name(line) for line in lines if line]
    missing = [name for name in names if name not in by_name]
    if missing:
        raise FileNotFoundError(f"{path} names {missing[0]!r}, but there is no such picture ({len(missing)} missing)")
    chosen = [by_name[name] for name in names]
    if not chosen or len(set(chosen)) != len(chosen):
        raise ValueError(f"{path} {'names a picture twice' if chosen else 'is empty'}")
    return chosen


def _select_names(files: Sequence[Path], folder: Path, pattern: str) -> list[Path]:
    wanted = normalize_name(pattern.removeprefix("!"))
    excluded = pattern.startswith("!")
    chosen = [file for file in files if fnmatchcase(normalize_name(file.name), wanted) != excluded]
    if not chosen:
        raise ValueError(f"{folder} must have pictures whose names match {pattern!r}; got none among {len(files)}")
    return chosen


def _read_classes(path: Path) -> list[Concept]:
    entries = read_json(path)
    try:
        classes = [Concept(entry["index"], entry["name"], _read_color(entry)) for entry in entries]
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{path} must be a list of entries with index, name and optionally color; got {error}"
        ) from error
    for key in ("index", "name"):
        if not classes or len({getattr(concept, key) for concept in classes}) != len(classes):
            raise ValueError(
                f"{path} {f'contains the same {key} twice' if classes else 'must list at least one class'}"
            )
    if max(concept.index for concept in classes) > 65535:
        raise ValueError(f"indices in {path} must be at most 65535, the limit of label maps")
    return sorted(classes, key=lambda concept: concept.index)


def _read_color(entry: dict[str, object]) -> tuple[int, int, int]:
    color = entry.get("color")
    if isinstance(color, (list, tuple)):
        red, green, blue = (int(value) for value in color)
        return red, green, blue
    return index_color(int(str(entry["index"])))
