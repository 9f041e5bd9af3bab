"""Find the units of a layer that jointly cause a concept, by gradient descent.

A vector ``alpha`` in [0, 1], with one entry per unit, sets how far all units are forced, off or to the values ``k``.
It minimizes

    E[p_c | r (1 - alpha)] - E[p_c | r (1 - alpha) + k alpha] + weight |alpha|^2,

where ``r`` is the layer's activation and ``p_c`` the segmenter's probability of the concept. In the first term, units
are forced and ``p_c`` is averaged where the concept is present; in the second, inside a square at a random place.

Source: Bau et al. 2019, Sec. 3.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d, interpolate

from ..core.lookup import lookup
from ..core.protocols import Generator, Segmenter, check_protocols
from ..core.rows import repeat_rows
from ..core.sampling import check_seed, derive_seed
from ..core.types import UnitSet, concept_index
from ..inference.batches import sample_blocks
from ..inference.checks import check_labels, describe
from .effect import Patches
from .results import UnitRanking
from .values import present_values

LEARNING_RATE, BATCH = 0.02, 8
"""Learning rate of Adam, and number of images per step."""


@runtime_checkable
class SoftSegmenter(Segmenter, Protocol):
    """A differentiable segmenter."""

    def logits(self, images: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch category H W"]:
        """Return scores whose softmax is the probability of each concept; gradients flow to the images.

        Returns:
            One channel per concept, in their order, ``[batch, concept, H, W]``; or ``[batch, 1 + concept, H, W]``, with
                a first channel for the background: pixels that belong to no concept.
        """


def concept_probabilities(
    segmenter: SoftSegmenter, images: Float[Tensor, "batch 3 H W"]
) -> Float[Tensor, "batch concept H W"]:
    """Return the probability of each concept at each pixel; a background enters the softmax and is then dropped.

    Args:
        segmenter: Differentiable segmenter.
        images: Images, float ``[batch, 3, H, W]`` in [-1, 1].

    Returns:
        Probabilities, float ``[batch, concept, H, W]``, on the images' device; gradients flow to the images.

    Raises:
        ValueError: If the scores do not have one channel per concept, optionally after a background.
    """
    scores, count = segmenter.logits(images), len(segmenter.concepts)
    channels = scores.shape[1] if isinstance(scores, Tensor) and scores.ndim == 4 else 0
    if channels not in (count, count + 1) or scores.shape[2:] != images.shape[2:]:
        expected = f"[{len(images)}, {count}, {images.shape[2]}, {images.shape[3]}]"
        raise ValueError(
            f"{segmenter.name}.logits(images) must be {expected}, or have one more channel, first, for the background; "
            f"got {describe(scores)}"
        )
    return scores.softmax(1)[:, channels - count :].to(images.device)


def optimize_units(
    generator: Generator,
    segmenter: Segmenter,
    layer: str,
    concept: str,
    num_samples: int = 1_600,
    seed: int = 0,
    *,
    weight: float = 0.005,
    values: Sequence[float] | None = None,
    progress: bool = True,
) -> UnitRanking:
    """Rank the units of a layer by how far gradient descent forces each of them to cause a concept.

    With ``r`` the layer's activation and ``k`` the ``values``, ``alpha`` in [0, 1] minimizes

        E[p_c | r (1 - alpha)] - E[p_c | r (1 - alpha) + k alpha] + weight |alpha|^2,

    where ``p_c`` is the segmenter's probability of the concept. In the first term, units are forced and ``p_c`` is
    averaged where the concept is present; in the second, inside a square at a random place. Adam starts from 0.5
    everywhere, with one step per 8 images and a projection onto [0, 1].

    Args:
        generator: Generator through whose ``tail`` gradients flow.
        segmenter: Differentiable segmenter for the generator's images.
        layer: Name of the layer.
        concept: Name of the concept.
        num_samples: Number of images, at least 8; pictures of a translator that has fewer are used several times.
        seed: Seed of the latent vectors and of the places.
        weight: Weight of ``|alpha|^2``, at least 0.
        values: Values to force the units on to, one per unit of the layer; by default each unit's mean activation where
            the concept is present (`present_values`).
        progress: Show a progress bar.

    Returns:
        The units of the layer, scored by ``alpha``.

    Raises:
        KeyError: If there is no such layer or concept.
        TypeError: If the generator or the segmenter does not implement its protocol, or the segmenter is not
            differentiable.
        ValueError: If a number is out of range, the concept is absent from all images, no gradients flow, or the
            segmenter's scores disagree with its labels.

    Source: Bau et al. 2019, Sec. 3.2.
    """
    seed = check_seed(seed)
    check_protocols(generator, segmenter)
    if not isinstance(segmenter, SoftSegmenter):
        raise TypeError(f"{segmenter.name} has no logits(images) to differentiate; use method 'effect' instead")
    if num_samples < BATCH or not weight >= 0:
        raise ValueError(f"num_samples must be at least {BATCH} and weight at least 0; got {num_samples} and {weight}")
    info = lookup(generator.layers, layer, "layer")
    index = concept_index(segmenter.concepts, concept)
    all_units = UnitSet(layer, tuple(range(info.units)))
    if values is None:
        values = present_values(generator, segmenter, all_units, concept, seed=seed)
    if len(values) != info.units:
        raise ValueError(f"values must have one value per unit, {info.units}; got {len(values)}")
    patches = Patches.of(info, None, derive_seed(seed, "optimisation"))
    probability = _Probability(generator, segmenter, layer, index)
    batches = sample_blocks(
        generator,
        repeat_rows(generator, num_samples),
        seed,
        BATCH,
        f"optimizing units for {concept}",
        progress=progress,
    )
    with torch.inference_mode(False), torch.enable_grad():
        alpha = _descend(probability, patches, batches, values, weight)
    return UnitRanking(layer, concept, "optimization", alpha.flatten().cpu().double(), num_samples, seed)


def _descend(
    probability: _Probability,
    patches: Patches,
    batches: Iterator[tuple[range, Float32[Tensor, "batch z"]]],
    values: Sequence[float],
    weight: float,
) -> Float32[Tensor, "unit 1 1"]:
    """Return alpha after one step of Adam per batch.

    Raises:
        ValueError: If no gradients flow, or the segmenter's scores disagree with its labels.
    """
    generator, info = probability.generator, patches.info
    on = torch.tensor(values, dtype=torch.float32, device=generator.device)[:, None, None]
    alpha = torch.full((info.units, 1, 1), 0.5, dtype=torch.float32, device=generator.device, requires_grad=True)
    adam = torch.optim.Adam([alpha], LEARNING_RATE)
    for block, z in batches:
        activation = generator.head(z, probability.layer).detach()
        if block.start == 0:
            probability.check_scores(z, activation)
            probability.check_gradients(z, activation)
        present, places = probability.present(z, activation), patches.draw(block)[0].to(generator.device)
        loss = weight * alpha.square().sum()
        if bool(present.any()):
            cells = adaptive_max_pool2d(present.float(), (info.height, info.width))[:, None]
            loss = loss + probability(torch.lerp(activation, activation * (1 - alpha), cells), z, present)
        inside = interpolate(places[:, None], generator.image_size)[:, 0] > 0
        loss = loss - probability(torch.lerp(activation, torch.lerp(activation, on, alpha), places[:, None]), z, inside)
        (alpha.grad,) = torch.autograd.grad(loss, alpha)
        adam.step()
        with torch.no_grad():
            alpha.clamp_(0, 1)
    return alpha.detach()


@dataclass(frozen=True, slots=True)
class _Probability:
    """The probability and the presence of a concept in the images that a layer's activation leads to."""

    generator: Generator
    segmenter: SoftSegmenter
    layer: str
    concept: int

    def __call__(
        self, activation: Float[Tensor, "batch unit h w"], z: Float[Tensor, "batch z"], where: Bool[Tensor, "batch H W"]
    ) -> Float[Tensor, ""]:
        """Return the mean probability over the pixels of a mask, bool ``[batch, H, W]``."""
        images = self.generator.tail(activation, self.layer, z).clamp(-1, 1)
        return concept_probabilities(self.segmenter, images)[:, self.concept][where].mean()

    @torch.no_grad()
    def present(
        self, z: Float[Tensor, "batch z"], activation: Float[Tensor, "batch unit h w"]
    ) -> Bool[Tensor, "batch H W"]:
        """Return where the concept is present, bool ``[batch, H, W]``.

        Raises:
            ValueError: If the segmenter returns an invalid label map.
        """
        return (self._label(z, activation) == self.concept).any(1)

    @torch.no_grad()
    def check_scores(self, z: Float[Tensor, "batch z"], activation: Float[Tensor, "batch unit h w"]) -> None:
        """Check that the channels of the scores are in the order of the concepts: a pixel's label has the top score.

        Raises:
            ValueError: If scores and labels agree at less than half of the labeled pixels.
        """
        labels = self._label(z, activation)
        images = self.generator.tail(activation, self.layer, z).clamp(-1, 1)
        likeliest = concept_probabilities(self.segmenter, images).argmax(1, keepdim=True)
        labeled, agreed = (labels >= 0).any(1).sum(), (labels == likeliest).any(1).sum()
        if 2 * agreed < labeled:
            raise ValueError(
                f"{self.segmenter.name}.logits(images) must have one channel per concept, in the order of its "
                f"concepts, after a background if it has one; its scores agree with its labels at {int(agreed)} of "
                f"{int(labeled)} pixels"
            )

    def check_gradients(self, z: Float[Tensor, "batch z"], activation: Float[Tensor, "batch unit h w"]) -> None:
        """Check that gradients flow through both networks.

        Raises:
            ValueError: If no gradients flow through one of them; the message states the remedy.
        """
        leaf = activation.clone().requires_grad_()
        try:
            images = self.generator.tail(leaf, self.layer, z).clamp(-1, 1)
            torch.autograd.grad(concept_probabilities(self.segmenter, images).sum(), leaf)
        except RuntimeError as error:
            raise ValueError(
                f"gradients must flow through {self.generator.name} and {self.segmenter.name}; load both outside "
                "torch.inference_mode and run their tail and logits without no_grad, or use method 'effect' "
                f"({str(error).splitlines()[0]})"
            ) from error

    def _label(
        self, z: Float[Tensor, "batch z"], activation: Float[Tensor, "batch unit h w"]
    ) -> Int64[Tensor, "batch channel H W"]:
        """Return the labels of the images that the layer's activation leads to."""
        images = self.generator.tail(activation, self.layer, z).clamp(-1, 1)
        labels = self.segmenter(images)
        channels = labels.shape[1] if isinstance(labels, Tensor) and labels.ndim == 4 else 1
        return check_labels(labels, (len(z), channels, *images.shape[2:]), len(self.segmenter.concepts)).to(z.device)
