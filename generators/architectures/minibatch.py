"""Minibatch discrimination: a discriminator that also sees how similar the images of a batch are to each other.

Source: Salimans et al. 2016, arXiv 1606.03498, Sec. 3.2.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gandissect.core.defaults import float32_factories

from .dcgan import DCGANDiscriminator
from .mlp import MLPDiscriminator

DIMENSIONS = 5
"""Length of the vector that each kernel makes of an image's features."""
DISTANCE = 3.0
"""Mean distance between two images to which a kernel is scaled on the first batch."""
FAR = 1e6
"""Added to the distance of an image from itself, which does not count."""


class MinibatchDiscrimination(nn.Module):
    """Similarity of each image to the others of its batch, under several kernels.

    ``o_b(i) = sum over j of exp(-|M_b(i) - M_b(j)|)``, where ``M_b(i)`` are `DIMENSIONS` linear functions of the
    features of image i, and j runs over the other images. The first batch that is seen in training sets the scale of
    each kernel and subtracts its mean: without this the exponentials are 0 or 1 for all images, and nothing is learned.
    The authors' code sets the distance of nearest neighbors; where real images form tight clusters, generated ones are
    then infinitely far apart. Here it is the distance of all pairs.

    Args:
        num_features: Number of features of an image.
        num_kernels: Number of kernels b.

    Source: Salimans et al. 2016, Sec. 3.2.
    """

    center: Float[Tensor, " kernel"]
    is_scaled: Bool[Tensor, ""]

    @float32_factories()
    def __init__(self, num_features: int, num_kernels: int) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.empty(DIMENSIONS, num_features, num_kernels).normal_(0, 0.05))
        self.log_scales = nn.Parameter(torch.zeros(DIMENSIONS, num_kernels))
        self.register_buffer("center", torch.zeros(num_kernels))
        self.register_buffer("is_scaled", torch.tensor(False))

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch kernel"]:
        """Return the similarities of each image, float32 ``[batch, kernel]``."""
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            if self.training and not self.is_scaled:
                self._scale(features.detach())
            return self._sum_similarities(features) - self.center

    def _sum_similarities(self, features: Tensor) -> Tensor:
        return torch.exp(-self._distances(features)).sum(1)

    def _distances(self, features: Tensor) -> Float[Tensor, "batch batch kernel"]:
        vectors = torch.einsum("nf,dfk->dnk", features, self.directions)
        vectors = vectors * (self.log_scales.exp() / self.directions.norm(dim=1))[:, None]
        distances = FAR * torch.eye(len(features), dtype=torch.float32, device=features.device)[:, :, None]
        for vector in vectors:  # one dimension at a time is faster than their sum over a larger tensor
            distances = distances + (vector[:, None] - vector[None]).abs()
        return distances

    @torch.no_grad()
    def _scale(self, features: Tensor) -> None:
        others = 1 - torch.eye(len(features), dtype=torch.float32, device=features.device)[:, :, None]
        distance = (others * self._distances(features)).sum((0, 1)) / others.sum().clamp(min=1)
        self.log_scales.add_(math.log(DISTANCE) - distance.clamp(min=1e-8).log())
        self.center.copy_(self._sum_similarities(features).mean(0))
        self.is_scaled.fill_(True)


class MinibatchDiscriminator(nn.Module):
    """A discriminator with minibatch discrimination between its last hidden layer and its logit.

    Features on a grid are averaged over it first. Similarities are divided by the number of other images, without which
    they outweigh the features by far; both contribute to the logit in one linear map, as if they were concatenated.

    Args:
        judge: Discriminator without minibatch discrimination.
        num_kernels: Number of kernels.

    Source: Salimans et al. 2016, Sec. 3.2.
    """

    @float32_factories()
    def __init__(self, judge: MLPDiscriminator | DCGANDiscriminator, num_kernels: int) -> None:
        super().__init__()
        self.judge = judge
        self.similarities = MinibatchDiscrimination(judge.num_features, num_kernels)
        self.to_logit = nn.Linear(num_kernels, 1, bias=False)

    def features(self, images: Float[Tensor, "batch channel H W"]) -> Float[Tensor, "batch ..."]:
        """Return the activations of the last hidden layer."""
        return self.judge.features(images)

    def forward(self, images: Float[Tensor, "batch channel H W"]) -> Float[Tensor, " batch"]:
        """Return logits, float ``[batch]``, positive for images that look real; each depends on the whole batch."""
        features = self.judge.features(images)
        logits: Tensor = self.judge.stages[-1](features).flatten(1)
        pooled = features.flatten(2).mean(2) if features.ndim > 2 else features
        similarities = self.similarities(pooled) / max(1, len(images) - 1)
        logits = logits + self.to_logit(similarities)
        return logits.squeeze(1)
