"""Pairs of pictures, for networks that translate pictures: of the same things, or of two collections at random."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gandissect.core.protocols import may_flip
from gandissect.core.sampling import check_seed, derive_seed

from .combining import check_indices
from .source import ImageSource, PicturePairs, describe_source


class Paired:
    """Source of the pictures of a source, each with the picture of the same index in another one.

    The training view crops and flips both alike, so pictures of a pair must have the same size in their files.

    Args:
        inputs: Source of the inputs.
        targets: Source of the targets, with as many pictures.
        label_maps: Whether the inputs are the label maps of the source rather than its pictures.

    Attributes:
        concepts: Concepts of the targets.

    Raises:
        ValueError: If the sources differ in length or size, or there are no label maps.

    Examples:
        >>> from segmenters.datasets import Paired, Scenes
        >>> pairs = Paired(Scenes(64, 10, mood="noon"), Scenes(64, 10, mood="dusk"))
        >>> batch = pairs.batch([3, 4])
        >>> batch.inputs.images.shape, batch.images.shape
        (torch.Size([2, 3, 64, 64]), torch.Size([2, 3, 64, 64]))
        >>> bool((batch.inputs.labels == batch.labels).all())
        True
    """

    def __init__(self, inputs: ImageSource, targets: ImageSource, *, label_maps: bool = False) -> None:
        _check_sides(inputs, targets, label_maps)
        if len(inputs) != len(targets):
            raise ValueError(
                f"inputs and targets must be equally many; got {len(inputs)} of {inputs.name} and {len(targets)} of "
                f"{targets.name}"
            )
        self.inputs, self.targets, self.label_maps = inputs, targets, label_maps
        self.name, self.size, self.concepts = f"{inputs.name} to {targets.name}", targets.size, targets.concepts
        self.may_flip = may_flip(inputs) and may_flip(targets)

    def __repr__(self) -> str:
        return describe_source(self)

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> PicturePairs:
        """Return targets and their inputs.

        Args:
            indices: Indices of the pairs.
            rng: Random number generator of the training view, the same of both; None returns the evaluation view.
        """
        twin = None if rng is None else torch.Generator(rng.device).set_state(rng.get_state())
        inputs, targets = self.inputs.batch(indices, twin), self.targets.batch(indices, rng)
        return PicturePairs(targets.images, targets.labels, inputs)


class Unpaired:
    """Source of the pictures of a source, each with a picture of another one that is drawn at random.

    A training view draws the target of each input from its random number generator, so that no epoch repeats the pairs
    of another. In the evaluation view a pair depends on the seed and its index only.

    Args:
        inputs: Source of the inputs, which give the source its length.
        targets: Source of the targets.
        label_maps: Whether the inputs are the label maps of the source rather than its pictures.
        seed: Seed of the pairs of the evaluation view.

    Attributes:
        concepts: Concepts of the targets.

    Raises:
        ValueError: If the sources differ in size, or there are no label maps.
    """

    def __init__(self, inputs: ImageSource, targets: ImageSource, *, label_maps: bool = False, seed: int = 0) -> None:
        _check_sides(inputs, targets, label_maps)
        self.inputs, self.targets, self.label_maps, self._seed = inputs, targets, label_maps, check_seed(seed)
        self.name, self.size, self.concepts = f"{inputs.name} to any {targets.name}", targets.size, targets.concepts
        self.may_flip = may_flip(inputs) and may_flip(targets)

    def __repr__(self) -> str:
        return describe_source(self)

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> PicturePairs:
        """Return inputs, and a target that is drawn for each of them.

        Args:
            indices: Indices of the inputs.
            rng: Random number generator of the targets and of the training views; None returns the evaluation view.

        Raises:
            IndexError: If an index is out of range, or there are no indices.
        """
        check_indices(indices, len(self))
        if rng is None:
            drawn = [derive_seed(self._seed, "unpaired", index) % len(self.targets) for index in indices]
        else:
            drawn = torch.randint(len(self.targets), (len(indices),), generator=rng, device=rng.device).tolist()
        inputs, targets = self.inputs.batch(indices, rng), self.targets.batch(drawn, rng)
        return PicturePairs(targets.images, targets.labels, inputs)


def _check_sides(inputs: ImageSource, targets: ImageSource, label_maps: bool) -> None:
    if inputs.size != targets.size:
        raise ValueError(f"inputs and targets must have one size; got {inputs.size} and {targets.size} pixels")
    if label_maps and not inputs.concepts:
        raise ValueError(f"inputs must have labels to be label maps; {inputs.name} has none")
