"""Which units of a layer cause a concept together: the optimization.

A vector ``alpha`` in [0, 1], one number a unit, says how far all are forced off, or on to ``k``, at once,

    minimize   E[p_c | r (1 - alpha)] - E[p_c | r (1 - alpha) + k alpha] + weight |alpha|^2,

where ``p_c`` is the segmenter's probability of the concept; in the first term where the concept is, in the second one
at a random place.

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
from ..core.sampling import check_seed, derive_seed
from ..core.types import UnitSet, concept_index
from ..inference.batches import sample_blocks
from ..inference.checks import check_labels, describe
from .effect import Patches
from .results import UnitRanking
from .values import present_values

LEARNING_RATE, BATCH = 0.02, 8
"""Of Adam, and images a step."""


@runtime_checkable
class SoftSegmenter(Segmenter, Protocol):
    """A segmenter whose answer can be differentiated."""

    def logits(self, images: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch category H W"]:
        """Return scores whose softmax are probabilities; gradients flow to the images.

        Returns:
            One channel for each concept in their order, ``[batch, concept, H, W]``; or one more, ``[batch, 1 + concept,
            H, W]``, the first of which is that of pixels that belong to no concept.
        """


def concept_probabilities(
    segmenter: SoftSegmenter, images: Float[Tensor, "batch 3 H W"]
) -> Float[Tensor, "batch concept H W"]:
    """Return how probable each concept is at each pixel; a background takes its share, and is left out.

    Args:
        segmenter: A `SoftSegmenter`.
        images: ``[batch, 3, H, W]`` in [-1, 1].

    Returns:
        ``[batch, concept, H, W]`` on the images' device; gradients flow to the images.

    Raises:
        ValueError: If the scores are not of the concepts, with or without a background before them.
    """
    scores, count = segmenter.logits(images), len(segmenter.concepts)
    channels = scores.shape[1] if isinstance(scores, Tensor) and scores.ndim == 4 else 0
    if channels not in (count, count + 1) or scores.shape[2:] != images.shape[2:]:
        expected = f"[{len(images)}, {count}, {images.shape[2]}, {images.shape[3]}]"
        raise ValueError(
            f"{segmenter.name}.logits(images) must be {expected}, or have a background before them; "
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
    """Find by gradient descent how far each unit of a layer is to be forced, as the module's formula says.

    Adam, projected to [0, 1], one step every 8 images; it begins with 0.5 everywhere.

    Args:
        generator: A `Generator` through whose ``tail`` gradients flow.
        segmenter: A `SoftSegmenter`.
        layer: The layer's name.
        concept: The concept's name.
        num_samples: Latent vectors, 8 or more.
        seed: Theirs, and that of the places.
        weight: Of ``|alpha|^2``, 0 or more.
        values: What the units are forced on to, one number for each unit of the layer; by default their means where
            the concept is (`present_values`).
        progress: Show a progress bar.

    Raises:
        KeyError: If there is no such layer or concept.
        TypeError: If generator or segmenter lack something of their protocol.
        ValueError: If a number is out of range, the concept is in none of the images, no gradients flow, or the
            segmenter's scores do not agree with its labels.

    Source: Bau et al. 2019, Sec. 3.2.
    """
    seed = check_seed(seed)
    check_protocols(generator, segmenter)
    if not isinstance(segmenter, SoftSegmenter):
        raise TypeError(f"{segmenter.name} has no logits(images) to differentiate; rank by method 'effect'")
    if num_samples < BATCH or not weight >= 0:
        raise ValueError(f"need {BATCH} samples or more and a weight of 0 or more; got {num_samples} and {weight}")
    info = lookup(generator.layers, layer, "layer")
    index = concept_index(segmenter.concepts, concept)
    every = UnitSet(layer, tuple(range(info.units)))
    if values is None:
        values = present_values(generator, segmenter, every, concept, seed=seed)
    if len(values) != info.units:
        raise ValueError(f"values are one for each of the {info.units} units; got {len(values)}")
    patches = Patches.of(info, None, derive_seed(seed, "optimisation"))
    probability = _Probability(generator, segmenter, layer, index)
    batches = sample_blocks(generator, [range(num_samples)], seed, BATCH, f"causes of {concept}", progress=progress)
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
    """Return alpha after one step of Adam for each batch.

    Raises:
        ValueError: If no gradients flow, or the segmenter's scores do not agree with its labels.
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
    """How probable a concept is in images that continue from a layer, and where it is."""

    generator: Generator
    segmenter: SoftSegmenter
    layer: str
    concept: int

    def __call__(
        self, activation: Float[Tensor, "batch unit h w"], z: Float[Tensor, "batch z"], where: Bool[Tensor, "batch H W"]
    ) -> Float[Tensor, ""]:
        """Return the mean probability over some pixels, bool ``[batch, H, W]``."""
        images = self.generator.tail(activation, self.layer, z).clamp(-1, 1)
        return concept_probabilities(self.segmenter, images)[:, self.concept][where].mean()

    @torch.no_grad()
    def present(
        self, z: Float[Tensor, "batch z"], activation: Float[Tensor, "batch unit h w"]
    ) -> Bool[Tensor, "batch H W"]:
        """Return where the concept is, bool ``[batch, H, W]``.

        Raises:
            ValueError: If the labels are not what the protocol promises.
        """
        return (self._label(z, activation) == self.concept).any(1)

    @torch.no_grad()
    def check_scores(self, z: Float[Tensor, "batch z"], activation: Float[Tensor, "batch unit h w"]) -> None:
        """Refuse scores whose order is not that of the concepts: the label of a pixel is the likeliest concept.

        Raises:
            ValueError: If they agree for less than half of the labeled pixels.
        """
        labels = self._label(z, activation)
        images = self.generator.tail(activation, self.layer, z).clamp(-1, 1)
        likeliest = concept_probabilities(self.segmenter, images).argmax(1, keepdim=True)
        named, agreed = (labels >= 0).any(1).sum(), (labels == likeliest).any(1).sum()
        if 2 * agreed < named:
            raise ValueError(
                f"{self.segmenter.name}.logits(images) must give one channel for each concept in the order of its "
                f"concepts, after a background if it has one; they agree with its labels in {int(agreed)} of "
                f"{int(named)} pixels"
            )

    def check_gradients(self, z: Float[Tensor, "batch z"], activation: Float[Tensor, "batch unit h w"]) -> None:
        """Refuse networks that let no gradients through.

        Raises:
            ValueError: With the remedy.
        """
        changeable = activation.clone().requires_grad_()
        try:
            images = self.generator.tail(changeable, self.layer, z).clamp(-1, 1)
            torch.autograd.grad(concept_probabilities(self.segmenter, images).sum(), changeable)
        except RuntimeError as error:
            raise ValueError(
                f"gradients must flow through {self.generator.name} and {self.segmenter.name}; load both outside "
                "torch.inference_mode and let their tail and logits run without no_grad, or rank by method 'effect' "
                f"({str(error).splitlines()[0]})"
            ) from error

    def _label(
        self, z: Float[Tensor, "batch z"], activation: Float[Tensor, "batch unit h w"]
    ) -> Int64[Tensor, "batch channel H W"]:
        """Return the labels of the images that continue from a layer."""
        images = self.generator.tail(activation, self.layer, z).clamp(-1, 1)
        labels = self.segmenter(images)
        channels = labels.shape[1] if isinstance(labels, Tensor) and labels.ndim == 4 else 1
        return check_labels(labels, (len(z), channels, *images.shape[2:]), len(self.segmenter.concepts)).to(z.device)
