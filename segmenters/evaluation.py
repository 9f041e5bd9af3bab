"""How well a segmenter labels pictures whose labels are known: one confusion matrix, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from gandissect.core.images import from_uint8
from gandissect.core.lookup import lookup
from gandissect.core.protocols import Segmenter
from gandissect.core.sampling import blocks
from gandissect.core.types import UNLABELED

from .datasets.combining import groups_of, require_labels
from .datasets.source import ImageSource
from .images import reduce_and_enlarge


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Agreement with the truth over all labeled pixels of some pictures.

    Args:
        concepts: Names, in order.
        confusion: int64 ``[truth, prediction]``; one more column than rows: its last counts pixels left unlabeled.
        num_images: Pictures.
        source: Where they are from.
    """

    concepts: tuple[str, ...]
    confusion: Int64[Tensor, "concept concept+1"]
    num_images: int
    source: str

    @property
    def iou(self) -> dict[str, float]:
        """Intersection over union of each concept that the truth or the prediction has anywhere.

        ``IoU_c = n_cc / (sum_j n_cj + sum_i n_ic - n_cc)``; a concept absent from both has none.
        """
        hits = self.confusion.diagonal()
        union = self.confusion.sum(1) + self.confusion[:, :-1].sum(0) - hits
        return {
            name: hit / either
            for name, hit, either in zip(self.concepts, hits.tolist(), union.tolist(), strict=True)
            if either
        }

    @property
    def absent(self) -> tuple[str, ...]:
        """The concepts that neither truth nor prediction has; the mean leaves them out."""
        return tuple(name for name in self.concepts if name not in self.iou)

    @property
    def mean_iou(self) -> float:
        """The mean of `iou`, 0 where nothing is labeled."""
        return sum(self.iou.values()) / max(1, len(self.iou))

    @property
    def accuracy(self) -> float:
        """The share of labeled pixels that are labeled rightly."""
        return int(self.confusion.diagonal().sum()) / max(1, int(self.confusion.sum()))

    def merge_concepts(self, names: Sequence[str]) -> Evaluation:
        """Return the evaluation as if some concepts were one, called as the first of them.

        Args:
            names: Concepts, each once, e.g. building, door and window where the truth has buildings only.

        Raises:
            KeyError: If a name is unknown, with the nearest match.
        """
        positions = {name: index for index, name in enumerate(self.concepts)}
        members = [lookup(positions, name, "concept") for name in names]
        kept = [index for index in range(len(self.concepts)) if index not in members[1:]]
        target = {old: new for new, old in enumerate([*kept, len(self.concepts)])} | {
            member: kept.index(members[0]) for member in members
        }
        joined = torch.zeros(len(kept), len(kept) + 1, dtype=torch.int64, device="cpu")
        for truth, row in enumerate(self.confusion.tolist()):
            for predicted, count in enumerate(row):
                joined[target[truth], target[predicted]] += count
        return replace(self, concepts=tuple(self.concepts[index] for index in kept), confusion=joined)

    def record(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {
            "source": self.source,
            "num_images": self.num_images,
            "mean_iou": round(self.mean_iou, 4),
            "accuracy": round(self.accuracy, 4),
            "iou": {name: round(value, 4) for name, value in self.iou.items()},
            "absent": list(self.absent),
        }


def confusion_matrix(
    truth: Int64[Tensor, "*pixels"], predicted: Int64[Tensor, "*pixels"], num_concepts: int
) -> Int64[Tensor, "concept concept+1"]:
    """Count the pixels of each pair of true and predicted concept.

    Args:
        truth: int64, any shape; what lies outside ``0 .. num_concepts - 1`` does not count.
        predicted: int64, the same shape; -1 where nothing is named.
        num_concepts: How many, 1 or more.

    Returns:
        int64 ``[num_concepts, num_concepts + 1]``; the last column counts predictions of -1.

    Raises:
        ValueError: If the shapes differ, or a prediction is no such number.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth is {list(truth.shape)}, the prediction {list(predicted.shape)}")
    lowest, highest = (predicted.min(), predicted.max()) if predicted.numel() else (-1, -1)
    if predicted.dtype != torch.int64 or lowest < UNLABELED or highest >= num_concepts:
        expected = f"int64 from {UNLABELED} to {num_concepts - 1}"
        raise ValueError(f"predictions must be {expected}; got {predicted.dtype} from {lowest:g} to {highest:g}")
    counted = (truth >= 0) & (truth < num_concepts)
    named = torch.where(predicted == UNLABELED, num_concepts, predicted)
    pairs = truth[counted] * (num_concepts + 1) + named[counted]
    return torch.bincount(pairs, minlength=num_concepts * (num_concepts + 1)).view(num_concepts, num_concepts + 1)


def evaluate(
    segmenter: Segmenter,
    source: ImageSource,
    *,
    max_images: int | None = None,
    reduced_to: int | None = None,
    batch_size: int = 16,
) -> Evaluation:
    """Compare a segmenter with the labels of pictures (their evaluation view: the center crop).

    A pixel of which the truth only says "one of these concepts" counts as the one predicted if that is among them,
    else as the first of them.

    Args:
        segmenter: Has the concepts of ``source``.
        source: Labeled pictures that it was not trained on.
        max_images: Take the first so many; None takes all.
        reduced_to: Reduce pictures to this many pixels a side and enlarge them again before labeling: how well it
            does on the enlarged samples of a small generator. The truth stays as fine as it is.
        batch_size: Pictures at a time.

    Raises:
        ValueError: If the concepts differ or there is no labeled picture.
    """
    names, wanted = ([concept.name for concept in part.concepts] for part in (source, segmenter))
    if names != wanted:
        raise ValueError(f"{segmenter.name} names {wanted}, {source.name} is labeled with {names}: remap one")
    count = len(source) if max_images is None else min(max_images, len(source))
    if count < 1:
        raise ValueError("an evaluation needs at least one picture")
    confusion = torch.zeros(len(names), len(names) + 1, dtype=torch.int64, device="cpu")
    for block in blocks(count, batch_size):
        batch = source.batch(block)
        truth = require_labels(source, batch)
        images = from_uint8(batch.images)
        predicted = segmenter(images if reduced_to is None else reduce_and_enlarge(images, reduced_to)).cpu()
        confusion += confusion_matrix(_settle(truth, predicted, source), predicted, len(names))
    return Evaluation(tuple(names), confusion, count, source.name)


def _settle(
    truth: Int64[Tensor, "batch H W"], predicted: Int64[Tensor, "batch H W"], source: ImageSource
) -> Int64[Tensor, "batch H W"]:
    for number, group in enumerate(groups_of(source)):
        undecided = truth == len(source.concepts) + number
        among = torch.isin(predicted, torch.tensor(group, dtype=torch.int64, device="cpu"))
        truth = torch.where(undecided, torch.where(among, predicted, group[0]), truth)
    return truth
