"""Evaluate a segmenter on labeled pictures: a confusion matrix, and the measures derived from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from gandissect.core.display import Tabular
from gandissect.core.images import from_uint8
from gandissect.core.lookup import lookup
from gandissect.core.protocols import Segmenter
from gandissect.core.sampling import blocks
from gandissect.core.types import UNLABELED

from .datasets.combining import groups_of, require_labels
from .datasets.source import ImageSource
from .images import reduce_and_enlarge


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation(Tabular):
    """Agreement of predictions with the ground truth over all labeled pixels.

    Args:
        concepts: Names of the concepts, in order.
        confusion: Pixel counts, int64 ``[truth, prediction]``; an extra last column counts pixels without a prediction.
        num_images: Number of pictures.
        source: Name of the pictures' source.
    """

    concepts: tuple[str, ...]
    confusion: Int64[Tensor, "concept concept+1"]
    num_images: int
    source: str

    @property
    def iou(self) -> dict[str, float]:
        """IoU of each concept that occurs in the ground truth or the predictions.

        ``IoU_c = n_cc / (sum_j n_cj + sum_i n_ic - n_cc)``; concepts absent from both are left out.
        """
        hits = self.confusion.diagonal()
        union = self.confusion.sum(1) + self.confusion[:, :-1].sum(0) - hits
        return {
            name: hit / total
            for name, hit, total in zip(self.concepts, hits.tolist(), union.tolist(), strict=True)
            if total
        }

    @property
    def absent(self) -> tuple[str, ...]:
        """Concepts in neither the ground truth nor the predictions, which `mean_iou` leaves out."""
        return tuple(name for name in self.concepts if name not in self.iou)

    @property
    def mean_iou(self) -> float:
        """Mean of `iou`; 0 if no pixel is labeled."""
        return sum(self.iou.values()) / max(1, len(self.iou))

    @property
    def accuracy(self) -> float:
        """Share of labeled pixels with the correct prediction."""
        return int(self.confusion.diagonal().sum()) / max(1, int(self.confusion.sum()))

    def merge_concepts(self, names: Sequence[str]) -> Evaluation:
        """Return the evaluation with some concepts merged into the first of them.

        Args:
            names: Distinct concepts, e.g. building, door and window if the ground truth has only buildings.

        Raises:
            KeyError: If a name is unknown; the message suggests the nearest match.
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
        """Return the measures as JSON values."""
        return {
            "source": self.source,
            "num_images": self.num_images,
            "mean_iou": round(self.mean_iou, 4),
            "accuracy": round(self.accuracy, 4),
            "iou": {name: round(value, 4) for name, value in self.iou.items()},
            "absent": list(self.absent),
        }

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dictionary for each concept of `iou`."""
        return [{"concept": concept, "iou": iou} for concept, iou in self.iou.items()]

    def _summarize(self) -> str:
        return f"{self.source}: mIoU {self.mean_iou:.3f} over {len(self.iou)} concepts, n={self.num_images}"


def confusion_matrix(
    truth: Int64[Tensor, "*pixels"], predicted: Int64[Tensor, "*pixels"], num_concepts: int
) -> Int64[Tensor, "concept concept+1"]:
    """Count the pixels of each pair of true and predicted concepts.

    Args:
        truth: True labels, int64, any shape; labels outside ``0 .. num_concepts - 1`` are ignored.
        predicted: Predicted labels, int64, the same shape; -1 where no concept is predicted.
        num_concepts: Number of concepts, at least 1.

    Returns:
        Pixel counts, int64 ``[num_concepts, num_concepts + 1]``; the last column counts predictions of -1.

    Raises:
        ValueError: If the shapes differ, or a prediction is out of range.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"predictions must have the truth's shape, {list(truth.shape)}; got {list(predicted.shape)}")
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
    """Compare a segmenter's predictions with the labels of pictures, in their evaluation view (the center crop).

    If the ground truth of a pixel is a group of concepts, the prediction counts as correct if it is in the group;
    otherwise the pixel counts as the group's first concept.

    Args:
        segmenter: Segmenter to evaluate, with the concepts of ``source``.
        source: Labeled pictures that the segmenter was not trained on.
        max_images: Number of pictures to use, from the first on; None uses all.
        reduced_to: Size in pixels to reduce pictures to, and enlarge them from, before labeling, which imitates the
            enlarged images of a small generator; the ground truth keeps its resolution.
        batch_size: Number of pictures per batch.

    Raises:
        ValueError: If the concepts differ or there is no labeled picture.
    """
    names, predicted_names = ([concept.name for concept in part.concepts] for part in (source, segmenter))
    if names != predicted_names:
        raise ValueError(
            f"{segmenter.name} and {source.name} must have the same concepts; got {predicted_names} and {names}; "
            "remap one"
        )
    count = len(source) if max_images is None else min(max_images, len(source))
    if count < 1:
        raise ValueError(f"an evaluation needs at least one picture; got {count}")
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
