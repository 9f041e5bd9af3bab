"""How samples are cut into groups for the jackknife, and paired for the exchange of label maps."""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor

NUM_GROUPS = 32
"""Groups of samples, if there are as many pairs: enough that p-values reach 1e-7, few enough to keep counts of."""


def partner_of(samples: Int64[Tensor, " sample"], num_samples: int) -> Int64[Tensor, " sample"]:
    """Return the samples whose label maps stand in for those of the given ones: 2i and 2i + 1 exchange theirs.

    An odd last sample keeps its own, which draws the null IoU towards the IoU by one sample's share.

    Args:
        samples: int64 ``[sample]``, indices from 0 to ``num_samples - 1``.
        num_samples: Of the whole dissection, however it is divided.
    """
    partner = samples ^ 1
    return torch.where(partner < num_samples, partner, samples)


def group_of(samples: Int64[Tensor, " sample"], num_samples: int) -> Int64[Tensor, " sample"]:
    """Return the group of each sample: consecutive pairs, cut into groups whose sizes differ by one pair at most.

    Args:
        samples: int64 ``[sample]``, indices from 0 to ``num_samples - 1``.
        num_samples: Of the whole dissection, however it is divided.
    """
    return samples // 2 * num_groups(num_samples) // ((num_samples + 1) // 2)


def num_groups(num_samples: int) -> int:
    """Return how many groups so many samples are cut into: `NUM_GROUPS`, or the number of pairs if that is less."""
    return min(NUM_GROUPS, (num_samples + 1) // 2)
