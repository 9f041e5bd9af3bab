"""Combine sources of pictures: subsets, concatenations, and sources relabeled with other concepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import cast

import torch
from jaxtyping import Int64
from torch import Tensor

from gandissect.core.lookup import lookup
from gandissect.core.protocols import ClassedSource, PictureSource, as_classed, may_flip
from gandissect.core.ranges import Range, check_number
from gandissect.core.sampling import check_seed, derive_seed
from gandissect.core.types import UNLABELED, Concept, concept_index

from .source import ImageSource, LabeledPictures, describe_source


def check_size(size: int) -> None:
    """Check the size of pictures.

    Raises:
        ValueError: If it is not from 1 to 4096.
    """
    if not 1 <= size <= 4096:
        raise ValueError(f"size must be 1 to 4096 pixels; got {size}")


def check_indices(indices: Sequence[int], length: int) -> None:
    """Check the indices of a batch.

    Args:
        indices: Indices of pictures.
        length: Number of pictures in the source.

    Raises:
        IndexError: If an index is out of range, or there are no indices.
    """
    if not indices:
        raise IndexError("a batch needs at least one picture; got no indices")
    if wrong := [index for index in indices if not 0 <= index < length]:
        raise IndexError(f"indices must be 0 to {length - 1}; got {wrong[0]}")


def _class_names(source: PictureSource) -> tuple[str, ...]:
    """Return the names of a source's classes; none where its pictures have no classes."""
    return () if (classed := as_classed(source)) is None else classed.classes


def _class_indices(source: PictureSource) -> Int64[Tensor, " picture"]:
    return cast(ClassedSource, source).class_indices


class Subset:
    """Subset of a source's pictures.

    Args:
        source: Source of the pictures.
        indices: Indices of the pictures in the source, in order.
        label: Text to append to the source's name, in parentheses.
    """

    def __init__(self, source: ImageSource, indices: Sequence[int], label: str) -> None:
        check_indices(indices, len(source))
        self._source, self._indices = source, tuple(indices)
        self.name, self.size, self.concepts = f"{source.name} ({label})", source.size, source.concepts
        self.groups: tuple[tuple[int, ...], ...] = groups_of(source)
        self.classes, self.may_flip = _class_names(source), may_flip(source)

    @cached_property
    def class_indices(self) -> Int64[Tensor, " picture"]:
        """Index of every picture's class, if pictures have classes."""
        return _class_indices(self._source)[list(self._indices)]

    def __repr__(self) -> str:
        return describe_source(self)

    def __len__(self) -> int:
        return len(self._indices)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        """Return pictures by their index in the subset."""
        check_indices(indices, len(self))
        return self._source.batch([self._indices[index] for index in indices], rng)

    def hold_out(self, fraction: float, seed: int = 0) -> tuple[Subset, Subset]:
        """Split the subset again; the side of a picture depends on its index in the subset and the seed only.

        Args:
            fraction: Expected share of the second part, between 0 and 1.
            seed: Seed of the split.

        Raises:
            ValueError: If the fraction is out of range or leaves a part empty.
        """
        return split_by_name(self, [str(index) for index in range(len(self))], fraction, seed)


def split_by_name(source: ImageSource, names: Sequence[str], fraction: float, seed: int) -> tuple[Subset, Subset]:
    """Split a source into training pictures and held-out pictures.

    A picture's part depends only on its name and the seed.

    Args:
        source: Source to split.
        names: Name of each picture.
        fraction: Expected share of the held-out part, between 0 and 1.
        seed: Seed of the split.

    Raises:
        ValueError: If the fraction is out of range or leaves a part empty.
    """
    seed = check_seed(seed)
    check_number("the share held out (--hold-out)", fraction, Range(0, 1, above=True, below=True))
    held = [derive_seed(seed, "hold out", name) < fraction * 2**63 for name in names]
    parts = [[index for index, out in enumerate(held) if out is side] for side in (False, True)]
    if not all(parts):
        raise ValueError(
            f"holding out {fraction} of the {len(source)} pictures of {source.name} leaves a part empty; use more "
            "pictures or another share (--hold-out)"
        )
    return Subset(source, parts[0], "trained on"), Subset(source, parts[1], "held out")


def pick_classes(source: ImageSource, classes: Sequence[str]) -> Subset:
    """Return the pictures of some classes.

    Args:
        source: Source whose pictures have classes.
        classes: Names of the classes, one or more.

    Raises:
        KeyError: If a class is unknown; the message suggests the nearest one and lists all of them.
        ValueError: If the pictures have no classes, or no picture is of one that is named.
    """
    if (classed := as_classed(source)) is None:
        raise ValueError(f"the pictures of {source.name} have no classes; got {', '.join(classes)}")
    indices = {name: index for index, name in enumerate(classed.classes)}
    chosen = {lookup(indices, name, f"class of {source.name}") for name in classes}
    rows = [row for row, index in enumerate(classed.class_indices.tolist()) if index in chosen]
    if not rows:
        raise ValueError(f"{source.name} has no pictures of the classes {', '.join(classes)}")
    return Subset(source, rows, f"of {', '.join(classes)}")


class Concatenation:
    """Concatenation of several sources; see `concat`."""

    def __init__(self, sources: Sequence[ImageSource]) -> None:
        first = sources[0]
        self.name, self.size, self.concepts = " + ".join(source.name for source in sources), first.size, first.concepts
        self._sources = tuple(sources)
        self.groups: tuple[tuple[int, ...], ...] = next((groups for s in sources if (groups := groups_of(s))), ())
        names = {_class_names(source) for source in sources}
        self.classes = names.pop() if len(names) == 1 else ()
        self.may_flip = all(map(may_flip, sources))

    @cached_property
    def class_indices(self) -> Int64[Tensor, " picture"]:
        """Index of every picture's class, if pictures have classes."""
        return torch.cat([_class_indices(source) for source in self._sources])

    def __repr__(self) -> str:
        return describe_source(self)

    def __len__(self) -> int:
        return sum(len(source) for source in self._sources)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        """Return pictures by their index in the concatenation."""
        check_indices(indices, len(self))
        parts = [self._locate(index) for index in indices]
        batches = [self._sources[number].batch([index], rng) for number, index in parts]
        labels = [batch.labels for batch in batches if batch.labels is not None]
        images = torch.cat([batch.images for batch in batches])
        return LabeledPictures(images, torch.cat(labels) if labels else None)

    def _locate(self, index: int) -> tuple[int, int]:
        for number, source in enumerate(self._sources):
            if index < len(source):
                return number, index
            index -= len(source)
        raise IndexError(index)


class UnlabeledSource:
    """Pictures of a source without their labels.

    Args:
        source: Source of the pictures.
    """

    def __init__(self, source: ImageSource) -> None:
        self._source, self.concepts = source, ()
        self.name, self.size = source.name, source.size
        self.classes, self.may_flip = _class_names(source), may_flip(source)

    @cached_property
    def class_indices(self) -> Int64[Tensor, " picture"]:
        """Index of every picture's class, if pictures have classes."""
        return _class_indices(self._source)

    def __repr__(self) -> str:
        return describe_source(self)

    def __len__(self) -> int:
        return len(self._source)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        """Return the source's pictures without their labels."""
        return LabeledPictures(self._source.batch(indices, rng).images, None)


class RemappedSource:
    """Source relabeled with other concepts; see `remap`."""

    def __init__(
        self, source: ImageSource, concepts: Sequence[Concept], mapping: Mapping[str, str | tuple[str, ...]]
    ) -> None:
        self._source = source
        self.name, self.size, self.concepts = source.name, source.size, tuple(concepts)
        self.groups: tuple[tuple[int, ...], ...] = ()
        length = len(source.concepts) + 1  # the last entry is that of index -1
        self._table = torch.full((length,), UNLABELED, dtype=torch.int64, device="cpu")
        for name, targets in mapping.items():
            names = (targets,) if isinstance(targets, str) else targets
            row = concept_index(source.concepts, name)
            self._table[row] = self._assign_label(tuple(concept_index(concepts, target) for target in names))

    def __repr__(self) -> str:
        return describe_source(self)

    def _assign_label(self, targets: tuple[int, ...]) -> int:
        if len(targets) == 1:
            return targets[0]
        if targets not in self.groups:
            self.groups = (*self.groups, targets)
        return len(self.concepts) + self.groups.index(targets)

    def __len__(self) -> int:
        return len(self._source)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        """Return the source's pictures with relabeled pixels."""
        batch = self._source.batch(indices, rng)
        return LabeledPictures(batch.images, self._table[require_labels(self._source, batch)])


def groups_of(source: ImageSource) -> tuple[tuple[int, ...], ...]:
    """Return the groups of a source: the label ``len(concepts) + g`` means "one of the concepts ``groups[g]``"."""
    groups: tuple[tuple[int, ...], ...] = getattr(source, "groups", ())
    return groups


def require_labels(source: ImageSource, batch: LabeledPictures) -> Int64[Tensor, "batch H W"]:
    """Return the labels of a batch.

    Args:
        source: Source of the batch.
        batch: Pictures of the source.

    Raises:
        ValueError: If the source has no labels, or a label is neither a concept, nor a group, nor -1.
    """
    labels, known = batch.labels, len(source.concepts) + len(groups_of(source))
    if labels is None:
        raise ValueError(f"{source.name} has no labels; use labeled pictures")
    if labels.dtype != torch.int64 or labels.shape != (len(batch.images), *batch.images.shape[2:]):
        expected = [len(batch.images), *batch.images.shape[2:]]
        raise ValueError(f"labels of {source.name} must be int64 {expected}; got {labels.dtype} {list(labels.shape)}")
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < UNLABELED or highest >= known:
        raise ValueError(
            f"labels of {source.name} must be from 0 to {known - 1}, or {UNLABELED} for unlabeled pixels; got "
            f"{lowest if lowest < UNLABELED else highest}"
        )
    return labels


def concat(sources: Sequence[ImageSource]) -> ImageSource:
    """Concatenate sources, in order.

    Args:
        sources: Sources with the same size, concepts and groups.

    Raises:
        ValueError: If there are no sources, or their sizes, concepts or groups differ.
    """
    if not sources:
        raise ValueError("sources must contain at least one source of pictures; got none")
    for source in sources[1:]:
        for key in ("size", "concepts"):
            if getattr(source, key) != getattr(sources[0], key):
                raise ValueError(f"{sources[0].name} and {source.name} differ in {key}; remap or resize one")
    if len({groups for source in sources if (groups := groups_of(source))}) > 1:
        raise ValueError("sources must have the same groups of concepts; remap them in the same way")
    return Concatenation(sources)


def remap(
    source: ImageSource, concepts: Sequence[Concept], mapping: Mapping[str, str | tuple[str, ...]]
) -> ImageSource:
    """Relabel a source with other concepts.

    Args:
        source: Source with labels.
        concepts: Concepts of the relabeled source.
        mapping: Name in ``concepts`` for each concept's name in ``source``. Several names mean that one of them is
            correct, but not known which; such pixels get a label of ``len(concepts)`` or more (`groups_of`), which the
            training and `evaluate` take into account. Concepts without an entry become unlabeled.

    Raises:
        KeyError: If a name is unknown; the message suggests the nearest match.
        ValueError: If the source has no labels.
    """
    if not source.concepts:
        raise ValueError(f"{source.name} has no labels to remap; use labeled pictures")
    return RemappedSource(source, concepts, mapping)
