"""The loss of a segmenter: cross-entropy plus Dice over labeled pixels.

    L = mean_p w(c_p) (-log P_p) + d (1 - mean_c D_c),
    D_c = (2 sum_p P_pc y_pc + 1) / (sum_p P_pc + sum_p y_pc + 1)

over the labeled pixels p with true concept c_p; ``w(c)`` is a power of the inverse frequency of the concept. Where
the ground truth is a group of concepts, one of which is correct, ``P_p`` is the sum of their probabilities and the
pixel is left out of Dice.

Source: Milletari et al. 2016, Sec. 3 (Dice as a loss).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch.nn import functional

from .datasets.combining import require_labels
from .datasets.source import ImageSource


def segmentation_loss(
    logits: Float32[Tensor, "batch concept H W"],
    labels: Int64[Tensor, "batch H W"],
    groups: Sequence[Sequence[int]],
    weights: Float32[Tensor, " concept"],
    dice_weight: float,
) -> tuple[Float32[Tensor, ""], Float32[Tensor, ""]]:
    """Return the cross-entropy and the weighted Dice term.

    Args:
        logits: Scores of the concepts, float32 ``[batch, concept, H, W]``.
        labels: Labels, int64 ``[batch, H, W]``: index of a concept, -1, or number of concepts + index of a group.
        groups: Concepts of each group.
        weights: Weight of each concept's pixels, float32 ``[concept]``.
        dice_weight: Weight ``d`` of the Dice term.
    """
    num_concepts = logits.shape[1]
    log_p = functional.log_softmax(logits, 1)
    chosen = log_p.gather(1, labels.clamp(0, num_concepts - 1)[:, None])[:, 0]
    weight = weights[labels.clamp(0, num_concepts - 1)] * (labels >= 0)
    for number, group in enumerate(groups):
        inside = labels == num_concepts + number
        chosen = torch.where(inside, torch.logsumexp(log_p[:, list(group)], 1), chosen)
        weight = torch.where(inside, weights[group[0]], weight)
    cross_entropy = -(chosen * weight).sum() / weight.sum().clamp(min=1)
    return cross_entropy, dice_weight * dice_loss(log_p.exp(), labels)


def dice_loss(
    probabilities: Float32[Tensor, "batch concept H W"], labels: Int64[Tensor, "batch H W"]
) -> Float32[Tensor, ""]:
    """Return ``1 - mean_c D_c`` over the concepts in the batch's ground truth."""
    num_concepts = probabilities.shape[1]
    counted = (labels >= 0) & (labels < num_concepts)
    truth = functional.one_hot(torch.where(counted, labels, 0), num_concepts).permute(0, 3, 1, 2) * counted[:, None]
    own = (probabilities * truth).sum((0, 2, 3))
    area = truth.sum((0, 2, 3))
    dice = (2 * own + 1) / ((probabilities * counted[:, None]).sum((0, 2, 3)) + area + 1)
    present = area > 0
    return ((1 - dice) * present).sum() / present.sum().clamp(min=1)


def concept_weights(
    sources: Sequence[ImageSource], balance: float, max_images: int = 400
) -> Float32[Tensor, " concept"]:
    """Return the weight of each concept's pixels, ``frequency ** -balance``, normalized to a mean of 1 over pixels.

    Frequencies are counted over the evaluation views of about ``max_images`` evenly spaced pictures per source.

    Raises:
        ValueError: If a source has no labels.
    """
    num_concepts = len(sources[0].concepts)
    counts = torch.zeros(num_concepts, dtype=torch.float32, device="cpu")
    for source in sources:
        step = max(1, len(source) // max_images)
        for index in range(0, len(source), step):
            labels = require_labels(source, source.batch([index]))
            counts += torch.bincount(labels[(labels >= 0) & (labels < num_concepts)], minlength=num_concepts)
    share = (counts / counts.sum().clamp(min=1)).clamp(min=1e-4)  # bounds the weight of an absent concept
    share = share / share.sum()
    weights = share**-balance
    return weights / (weights * share).sum()
