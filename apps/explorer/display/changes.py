"""Shares of concepts and changes of pixels; independent of Streamlit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from gandissect import UNLABELED, Concept


def measure_shares(labels: Int64[Tensor, "H W"], num_concepts: int) -> Float64[Tensor, " concept"]:
    """Return the share of pixels of each concept, then of unlabeled pixels: float64 ``[concept + 1]``, of sum 1."""
    labels = torch.where(labels == UNLABELED, num_concepts, labels)
    return torch.bincount(labels.flatten(), minlength=num_concepts + 1).cpu().double() / labels.numel()


def list_concepts(labels: Int64[Tensor, "H W"], concepts: Sequence[Concept]) -> str:
    """Return the names of the concepts in a label map, separated by commas, or ``nothing``."""
    shares = measure_shares(labels, len(concepts)).tolist()
    return ", ".join(concept.name for concept in concepts if shares[concept.index]) or "nothing"


def measure_change(before: Float[Tensor, "3 H W"], after: Float[Tensor, "3 H W"]) -> Float[Tensor, "H W"]:
    """Return the change of each pixel, ``[H, W]``: mean over red, green, blue; 1 is from black to white."""
    return (before.clamp(-1, 1) - after.clamp(-1, 1)).abs().mean(0) / 2


def split_change(change: Float[Tensor, "H W"], region: Bool[Tensor, "H W"]) -> tuple[float | None, float | None]:
    """Return the mean of a map of changes ``[H, W]`` inside and outside a region; None for an empty part."""
    inside, outside = change[region], change[~region]
    return (
        float(inside.mean()) if inside.numel() else None,
        float(outside.mean()) if outside.numel() else None,
    )
