"""Read pictures in the idx format of MNIST, as color pictures with classes and labels.

A folder holds pairs of files, ``NAME-images-idx3-ubyte.gz`` and ``NAME-labels-idx1-ubyte.gz``, compressed or not, where
NAME is the split, such as ``train`` or ``t10k``. The gray pictures are repeated over three channels. A pixel's label is
the picture's class if the pixel is ink, and ``background`` otherwise.

Source: LeCun et al. 1998 (format and MNIST); Xiao et al. 2017 (Fashion-MNIST).
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.nn import functional

from gandissect.core.lookup import unknown_name_message
from gandissect.core.types import Concept

from ..colors import index_color
from .combining import Subset, check_indices, check_size, split_by_name
from .source import LabeledPictures

IMAGES, LABELS = "-images-idx3-ubyte", "-labels-idx1-ubyte"
DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
INK = 128
"""Smallest gray value of ink."""
MAX_BYTES = 1 << 30
"""Maximum size of an uncompressed idx file, in bytes; MNIST's has 47 MB."""


class IdxPictures:
    """Source of the pictures in idx files: MNIST, Fashion-MNIST, USPS and others in their format.

    Pictures larger than half of ``size`` are padded with black to it; all others are resized bilinearly.

    Args:
        folder: Folder of the files.
        size: Height and width of the pictures in pixels.
        split: Name of the split, such as ``"train"``; None uses all splits, sorted by name.
        classes: Names of the classes; by default the ten digits, or Fashion-MNIST's names if the folder's name contains
            "fashion".

    Raises:
        FileNotFoundError: If the folder or the split does not exist.
        ValueError: If a file is damaged, or a pair of files does not match.
    """

    def __init__(
        self, folder: Path | str, size: int, split: str | None = None, classes: Sequence[str] | None = None
    ) -> None:
        check_size(size)
        self._folder, self.size = Path(folder), size
        self.may_flip = False
        splits = list_splits(self._folder)
        if split is not None and split not in splits:
            raise FileNotFoundError(f"{folder}: {unknown_name_message('split', split, splits)}")
        default_names = CLOTHES if "fashion" in self._folder.resolve().name.lower() else DIGITS
        self.classes = tuple(default_names if classes is None else classes)
        self.name = f"{self._folder.name}/{split}" if split else self._folder.name
        parts = [_read_pair(path) for name, path in splits.items() if split in (None, name)]
        self._pixels = torch.cat([_fit(pixels, size) for pixels, _ in parts])
        self.class_indices: Int64[Tensor, " picture"] = torch.cat([labels for _, labels in parts])
        if int(self.class_indices.max()) >= len(self.classes):
            raise ValueError(
                f"classes must name all {int(self.class_indices.max()) + 1} classes of {folder}; got "
                f"{len(self.classes)} names"
            )
        names = [*self.classes, "background"]
        self.concepts = tuple(Concept(index, name, index_color(index)) for index, name in enumerate(names))

    def __repr__(self) -> str:
        return f"IdxPictures({str(self._folder)!r}, size={self.size}, num_images={len(self)})"

    def __len__(self) -> int:
        return len(self._pixels)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:  # noqa: ARG002
        """Return a batch of pictures and labels, in a single view, because mirrored digits change their meaning.

        Args:
            indices: Indices of the pictures, from 0 to ``len(self) - 1``.
            rng: Ignored.

        Raises:
            IndexError: If an index is out of range, or there are no indices.
        """
        check_indices(indices, len(self))
        pixels = self._pixels[list(indices)]
        labels = torch.where(pixels >= INK, self.class_indices[list(indices), None, None], len(self.classes))
        return LabeledPictures(pixels[:, None].expand(-1, 3, -1, -1).contiguous(), labels)

    def hold_out(self, fraction: float, seed: int = 0) -> tuple[Subset, Subset]:
        """Split into training pictures and held-out pictures; a picture's part depends only on its index and the seed.

        Args:
            fraction: Expected share of the held-out part, between 0 and 1.
            seed: Seed of the split.

        Raises:
            ValueError: If the fraction is out of range or leaves a part empty.
        """
        return split_by_name(self, [str(index) for index in range(len(self))], fraction, seed)


def list_splits(folder: Path) -> dict[str, Path]:
    """Return the image files of a folder by the name of their split, sorted; empty without idx files.

    Args:
        folder: Folder to list.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}")
    paths = sorted(path for path in folder.iterdir() if path.name.removesuffix(".gz").endswith(IMAGES))
    return {path.name.removesuffix(".gz").removesuffix(IMAGES): path for path in paths}


def _read_pair(path: Path) -> tuple[UInt8[Tensor, "picture h w"], Int64[Tensor, " picture"]]:
    pixels = _read_idx(path, 3)
    stem = path.name.removesuffix(".gz").removesuffix(IMAGES) + LABELS
    candidates = [path.with_name(stem + end) for end in (".gz", "")]
    labels_path = next((candidate for candidate in candidates if candidate.exists()), None)
    if labels_path is None:
        raise FileNotFoundError(f"{path} has no labels: {candidates[0]} is missing")
    labels = _read_idx(labels_path, 1)
    if len(labels) != len(pixels) or not len(labels):
        raise ValueError(
            f"{labels_path} must have one label per picture of {path.name}, {len(pixels)}; got {len(labels)}"
        )
    return pixels, labels.long()


def _read_idx(path: Path, num_axes: int) -> UInt8[Tensor, "*axis"]:
    """Read an idx file of bytes.

    Raises:
        ValueError: If it is damaged, too large, or has another type or number of axes.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    start = 4 + 4 * num_axes
    if len(data) > MAX_BYTES or data[:4] != bytes((0, 0, 8, num_axes)) or len(data) < start:
        raise ValueError(f"{path} must be an idx file of bytes with {num_axes} axes, of at most {MAX_BYTES} bytes")
    shape = struct.unpack(f">{num_axes}I", data[4:start])
    if len(data) - start != math.prod(shape):
        raise ValueError(f"{path} is damaged: it must hold {math.prod(shape)} bytes of data; got {len(data) - start}")
    return torch.frombuffer(bytearray(data[start:]), dtype=torch.uint8).reshape(shape)


def _fit(pixels: UInt8[Tensor, "picture h w"], size: int) -> UInt8[Tensor, "picture H W"]:
    height, width = pixels.shape[1:]
    if height == width and size / 2 < height <= size and (size - height) % 2 == 0:
        margin = (size - height) // 2
        return functional.pad(pixels, (margin,) * 4)
    resized = functional.interpolate(
        pixels[:, None].float(), (size, size), mode="bilinear", antialias=height > size, align_corners=False
    )
    return resized[:, 0].round().clamp(0, 255).to(torch.uint8)
