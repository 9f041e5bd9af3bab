"""Divide samples into groups for the jackknife, and pair them for the exchange of label maps."""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor

NUM_GROUPS = 32
"""Number of groups, if there are at least as many pairs: enough for p-values down to 1e-7, few enough for memory."""


def partner_of(samples: Int64[Tensor, " sample"], num_samples: int) -> Int64[Tensor, " sample"]:
    """Return the partner of each sample: samples 2i and 2i + 1 exchange label maps.

    If the number of samples is odd, the last sample keeps its own label map, which pulls the null IoU toward the IoU by
    that sample's share.

    Args:
        samples: Indices of samples, int64 ``[sample]``, 0 to ``num_samples - 1``.
        num_samples: Number of samples of the whole dissection, even if it is divided into shards.
    """
    partner = samples ^ 1
    return torch.where(partner < num_samples, partner, samples)


def group_of(samples: Int64[Tensor, " sample"], num_samples: int) -> Int64[Tensor, " sample"]:
    """Return the group of each sample: a run of consecutive pairs; group sizes differ by at most one pair.

    Args:
        samples: Indices of samples, int64 ``[sample]``, 0 to ``num_samples - 1``.
        num_samples: Number of samples of the whole dissection, even if it is divided into shards.
    """
    return samples // 2 * num_groups(num_samples) // ((num_samples + 1) // 2)


def num_groups(num_samples: int) -> int:
    """Return the number of groups of ``num_samples`` samples: `NUM_GROUPS`, or the number of pairs if that is less."""
    return min(NUM_GROUPS, (num_samples + 1) // 2)
