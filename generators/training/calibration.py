"""Batch-norm statistics of averaged weights."""

from __future__ import annotations

import torch
from torch import nn

from gandissect.core.sampling import make_rng

from ..architectures.base import LayeredGenerator


@torch.no_grad()
def calibrate_batch_norm(generator: LayeredGenerator, seed: int, num_batches: int = 16, batch_size: int = 128) -> None:
    """Measure batch-norm statistics again, in place: the live weights' statistics do not fit averaged weights.

    Args:
        generator: Generator, left in eval mode; one without batch norm does not change.
        seed: Seed of the latent vectors.
        num_batches: Number of batches to average over.
        batch_size: Latent vectors per batch.

    Source: Brock et al. 2019 ("standing statistics").
    """
    norms = [module for module in generator.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    generator.train()
    for index in range(num_batches):
        generator(generator.draw_rows(batch_size, make_rng(seed, "calibrate", index)))
    generator.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
