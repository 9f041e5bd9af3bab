"""New sources from old ones: a part of one, several in a row, the same pictures under other concepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from gandissect.core.types import UNLABELED, Concept, concept_index

from .source import ImageSource, LabeledPictures


def check_size(size: int) -> None:
    """Refuse a size that no picture can have.

    Raises:
        ValueError: If it is not from 1 to 4096.
    """
    if not 1 <= size <= 4096:
        raise ValueError(f"size is 1 to 4096 pixels; got {size}")


def check_indices(indices: Sequence[int], length: int) -> None:
    """Refuse an index that a source of ``length`` pictures does not have.

    Raises:
        IndexError: Naming it.
    """
    wrong = [index for index in indices if not 0 <= index < length]
    if wrong or not indices:
        raise IndexError(f"picture {wrong[0]} of {length}" if wrong else "a batch has at least one picture")


class Subset:
    """Some pictures of a source.

    Args:
        source: The source.
        indices: Which of its pictures, in order.
        label: What to add to the source's name.
    """

    def __init__(self, source: ImageSource, indices: Sequence[int], label: str) -> None:
        check_indices(indices, len(source))
        self._source, self._indices = source, tuple(indices)
        self.name, self.size, self.concepts = f"{source.name} ({label})", source.size, source.concepts
        self.groups: tuple[tuple[int, ...], ...] = groups_of(source)

    def __len__(self) -> int:
        return len(self._indices)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        """Return pictures by their index in the subset."""
        check_indices(indices, len(self))
        return self._source.batch([self._indices[index] for index in indices], rng)


class Concatenation:
    """Several sources in a row; see `concat`."""

    def __init__(self, sources: Sequence[ImageSource]) -> None:
        first = sources[0]
        self.name, self.size, self.concepts = " + ".join(source.name for source in sources), first.size, first.concepts
        self._sources = tuple(sources)
        self.groups: tuple[tuple[int, ...], ...] = next((groups for s in sources if (groups := groups_of(s))), ())

    def __len__(self) -> int:
        return sum(len(source) for source in self._sources)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        """Return pictures by their index in the row."""
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
    """The pictures of a source alone, for trainings that need no labels.

    Args:
        source: Any source.
    """

    def __init__(self, source: ImageSource) -> None:
        self._source, self.concepts = source, ()
        self.name, self.size = source.name, source.size

    def __len__(self) -> int:
        return len(self._source)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        """Return the source's pictures without their labels."""
        return LabeledPictures(self._source.batch(indices, rng).images, None)


class RemappedSource:
    """A source under other concepts; see `remap`."""

    def __init__(
        self, source: ImageSource, concepts: Sequence[Concept], mapping: Mapping[str, str | tuple[str, ...]]
    ) -> None:
        self._source = source
        self.name, self.size, self.concepts = source.name, source.size, tuple(concepts)
        self.groups: tuple[tuple[int, ...], ...] = ()
        length = len(source.concepts) + 1  # the last entry serves the index -1
        self._table = torch.full((length,), UNLABELED, dtype=torch.int64, device="cpu")
        for name, targets in mapping.items():
            names = (targets,) if isinstance(targets, str) else targets
            row = concept_index(source.concepts, name)
            self._table[row] = self._assign_label(tuple(concept_index(concepts, target) for target in names))

    def _assign_label(self, targets: tuple[int, ...]) -> int:
        if len(targets) == 1:
            return targets[0]
        if targets not in self.groups:
            self.groups = (*self.groups, targets)
        return len(self.concepts) + self.groups.index(targets)

    def __len__(self) -> int:
        return len(self._source)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        """Return the source's pictures with their labels renumbered."""
        batch = self._source.batch(indices, rng)
        return LabeledPictures(batch.images, self._table[require_labels(self._source, batch)])


def groups_of(source: ImageSource) -> tuple[tuple[int, ...], ...]:
    """Return the groups of a source: the label ``len(concepts) + g`` says "one of the concepts ``groups[g]``"."""
    groups: tuple[tuple[int, ...], ...] = getattr(source, "groups", ())
    return groups


def require_labels(source: ImageSource, batch: LabeledPictures) -> Int64[Tensor, "batch H W"]:
    """Return the labels of some pictures of a source.

    Raises:
        ValueError: If the source has none, or one is neither of its concepts, nor of its groups, nor -1.
    """
    labels, known = batch.labels, len(source.concepts) + len(groups_of(source))
    if labels is None:
        raise ValueError(f"{source.name} has no labels; give labeled pictures")
    if labels.dtype != torch.int64 or labels.shape != (len(batch.images), *batch.images.shape[2:]):
        expected = [len(batch.images), *batch.images.shape[2:]]
        raise ValueError(f"labels of {source.name} must be int64 {expected}; got {labels.dtype} {list(labels.shape)}")
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < UNLABELED or highest >= known:
        raise ValueError(
            f"labels of {source.name} must be from 0 to {known - 1}, or {UNLABELED} where a pixel has none; got "
            f"{lowest if lowest < UNLABELED else highest}"
        )
    return labels


def concat(sources: Sequence[ImageSource]) -> ImageSource:
    """Put sources in a row, the first one's pictures first.

    Raises:
        ValueError: If there are none, or their sizes, concepts or groups differ.
    """
    if not sources:
        raise ValueError("name one source of pictures or more; got none")
    for source in sources[1:]:
        for key in ("size", "concepts"):
            if getattr(source, key) != getattr(sources[0], key):
                raise ValueError(f"{sources[0].name} and {source.name} differ in {key}; remap or resize one")
    if len({groups for source in sources if (groups := groups_of(source))}) > 1:
        raise ValueError("the sources have different groups of concepts; remap them alike")
    return Concatenation(sources)


def remap(
    source: ImageSource, concepts: Sequence[Concept], mapping: Mapping[str, str | tuple[str, ...]]
) -> ImageSource:
    """Give a labeled source other concepts.

    Args:
        source: A source with labels.
        concepts: The concepts that its labels shall index into.
        mapping: From a concept's name in ``source`` to one in ``concepts``. Several names mean "one of these, which
            is not known": such pixels get a label of ``len(concepts)`` or more (`groups_of`), which the training and
            `evaluate` understand. A concept that is not named here becomes unlabeled.

    Raises:
        KeyError: If a name is unknown, with the nearest match.
        ValueError: If the source has no labels.
    """
    if not source.concepts:
        raise ValueError(f"{source.name} has no labels to remap")
    return RemappedSource(source, concepts, mapping)
