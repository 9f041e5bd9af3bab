"""How good translations of pictures are, where the truth is known: labels, targets, and the way back.

- The FCN-score: a segmenter labels the translations, which should show what the inputs' labels say. The targets' score
  is the ceiling, that of other pictures' labels the floor.
- The paired error: the distance of translations from the true pictures in the other domain.
- The cycle error: the distance of pictures from themselves, translated and translated back. Where rounding or faint
  noise in between raises it, the translation hides what the way back needs.

Source: Isola et al. 2017, arXiv 1611.07004, Sec. 3.4 (FCN-score); Zhu et al. 2017, arXiv 1703.10593, Eq. 2 (cycle);
Chu et al. 2017, arXiv 1712.02950 (hidden information).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ..core.display import Displayed
from ..core.images import from_uint8, to_uint8
from ..core.protocols import (
    Generator,
    LabeledInputs,
    PictureSource,
    Segmenter,
    Translation,
    as_translation,
    check_generator,
    check_protocols,
)
from ..core.rows import limit_rows
from ..core.sampling import make_rng
from ..inference.batches import check_counts, sample_blocks
from ..stats.intervals import CONFIDENCE, half_width

NUM_RESAMPLES = 1_000
LEVELS = 127.5
"""Levels of 0 to 255 per unit of [-1, 1]."""
SCORES = ("pixel_accuracy", "class_accuracy", "mean_iou")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LabelScore(Displayed):
    """Agreement of the labels of images with label maps.

    Args:
        confusion: Pixels of each image by true concept (row) and predicted concept (column), int64
            ``[image, concept, concept + 1]``; the last column counts pixels without a prediction.
    """

    confusion: Int64[Tensor, "image concept predicted"]

    @property
    def pixel_accuracy(self) -> float:
        """Share of the labeled pixels of all images with the right concept."""
        return float(_scores(self.confusion.sum(0))[0])

    @property
    def class_accuracy(self) -> float:
        """Mean over concepts of the share of their pixels with the right concept."""
        return float(_scores(self.confusion.sum(0))[1])

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the concepts that are in the label maps or the predictions, over the pixels of all images."""
        return float(_scores(self.confusion.sum(0))[2])

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95% interval of each score, by name: percentiles over sets of images that are drawn with replacement.

        Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, Sec. 13.3.
        """
        count, rng = len(self.confusion), make_rng(0, "bootstrap")
        drawn = torch.randint(count, (NUM_RESAMPLES, count), generator=rng, device="cpu")
        weights = torch.zeros(NUM_RESAMPLES, count, dtype=torch.float64, device="cpu")
        weights.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))
        summed = (weights @ self.confusion.flatten(1).double()).reshape(-1, *self.confusion.shape[1:])
        tails = torch.tensor([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], dtype=torch.float64, device="cpu")
        low, high = _scores(summed).quantile(tails, dim=0).tolist()
        return dict(zip(SCORES, zip(low, high, strict=True), strict=True))

    def _summarize(self) -> str:
        scores = (f"{name.replace('_', ' ')} {getattr(self, name):.3f}" for name in SCORES)
        return f"{', '.join(scores)}, n={len(self.confusion)}"


@dataclass(frozen=True, slots=True)
class FCNScore:
    """The FCN-score of translations, between its floor and its ceiling.

    Args:
        translated: Score of the translations with their inputs' labels.
        others: Score of the translations with the labels of the next input, the floor.
        real: Score of the targets with the inputs' labels, the ceiling; None without targets.
    """

    translated: LabelScore
    others: LabelScore
    real: LabelScore | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PictureErrors(Displayed):
    """Mean absolute errors of pictures, in levels of 0 to 255.

    Args:
        values: Error of each picture, float64 ``[picture]``.
    """

    values: Float64[Tensor, " picture"]

    @property
    def mean(self) -> float:
        """Mean over pictures."""
        return float(self.values.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the mean, by Student's t."""
        reach = half_width(float(self.values.std()) / len(self.values) ** 0.5, len(self.values) - 1)
        return self.mean - reach, self.mean + reach

    def _summarize(self) -> str:
        low, high = self.interval
        return f"{self.mean:.2f} ({low:.2f} to {high:.2f}) levels, n={len(self.values)}"


@dataclass(frozen=True, slots=True)
class PairedErrors:
    """Distances from the true pictures in the other domain.

    Args:
        translated: Errors of translations.
        untranslated: Errors of the inputs as they are; None where the inputs are not pictures of the same size.
        others: Distances of each translation from the target of the next input.
    """

    translated: PictureErrors
    untranslated: PictureErrors | None
    others: PictureErrors


@dataclass(frozen=True, slots=True)
class CycleErrors:
    """Distances of pictures from themselves, translated and translated back.

    Args:
        clean: With the translation as it is.
        rounded: With the translation rounded to 256 levels.
        noisy: With normal noise added to the translation.
    """

    clean: PictureErrors
    rounded: PictureErrors
    noisy: PictureErrors


@torch.inference_mode()
def measure_fcn_score(
    generator: Generator,
    segmenter: Segmenter,
    targets: PictureSource | None = None,
    num_samples: int = 1_000,
    *,
    batch_size: int = 64,
    progress: bool = True,
) -> FCNScore:
    """Measure how far the translations of labeled pictures, or of label maps, show what the labels say.

    Args:
        generator: Translator on pictures with labels.
        segmenter: Segmenter with the concepts of these labels.
        targets: True translations of the pictures, in their order, for the ceiling.
        num_samples: Number of pictures from the first on, at least 2; all where there are fewer.
        batch_size: Pictures per batch, at least 1.
        progress: Show a progress bar.

    Raises:
        TypeError: If the generator or the segmenter does not implement its protocol.
        ValueError: If the generator is not on labeled pictures, the concepts differ, or a number is out of range.

    Source: Isola et al. 2017, Sec. 3.4.
    """
    check_protocols(generator, segmenter)
    pictures, count = _check_labeled(generator, segmenter), limit_rows(generator, num_samples)
    check_counts(count, batch_size)
    found: tuple[list[Tensor], ...] = ([], [], [])
    for block, z in sample_blocks(generator, [range(count)], 0, batch_size, "FCN-score", progress=progress):
        truth, after = (pictures.labels([(i + shift) % count for i in block]) for shift in (0, 1))
        predicted = segmenter(generator(z).clamp(-1, 1)).cpu()
        found[0].append(_count(truth, predicted, len(segmenter.concepts)))
        found[1].append(_count(after, predicted, len(segmenter.concepts)))
        if targets is not None:
            real = from_uint8(targets.batch(block).images).to(z.device)
            found[2].append(_count(truth, segmenter(real).cpu(), len(segmenter.concepts)))
    scores = [LabelScore(torch.cat(parts)) if parts else None for parts in found]
    return FCNScore(cast(LabelScore, scores[0]), cast(LabelScore, scores[1]), scores[2])


@torch.inference_mode()
def measure_paired_errors(
    generator: Generator,
    targets: PictureSource,
    num_samples: int = 1_000,
    *,
    batch_size: int = 64,
    progress: bool = True,
) -> PairedErrors:
    """Measure how far translations are from the true pictures in the other domain.

    Args:
        generator: Translator on pictures.
        targets: True translations of the pictures, in their order.
        num_samples: Number of pictures from the first on, at least 2; all where there are fewer.
        batch_size: Pictures per batch, at least 1.
        progress: Show a progress bar.

    Raises:
        TypeError: If the generator does not implement its protocol.
        ValueError: If the generator is no translator on pictures, there are fewer targets, or a number is out of range.
    """
    translation, count = _check_translation(generator), limit_rows(generator, num_samples)
    check_counts(count, batch_size)
    if len(targets) < count:
        raise ValueError(f"there must be a target for each of {count} pictures; got {len(targets)} of {targets.name}")
    start = translation.noise_dim
    stop = start + 3 * generator.image_size[0] * generator.image_size[1]
    shown = len(getattr(generator, "input_concepts", ())) == 0 and stop <= generator.z_dim
    found: tuple[list[Tensor], ...] = ([], [], [])
    for block, z in sample_blocks(generator, [range(count)], 0, batch_size, "paired error", progress=progress):
        images = generator(z)
        wanted, after = (
            from_uint8(targets.batch([(i + shift) % count for i in block]).images).to(z.device) for shift in (0, 1)
        )
        found[0].append(_distance(images, wanted))
        found[2].append(_distance(images, after))
        if shown:
            found[1].append(_distance(z[:, start:stop].reshape(len(z), 3, *generator.image_size), wanted))
    errors = [PictureErrors(torch.cat(parts)) if parts else None for parts in found]
    return PairedErrors(cast(PictureErrors, errors[0]), errors[1], cast(PictureErrors, errors[2]))


@torch.inference_mode()
def measure_cycle_errors(
    generator: Generator,
    back: Callable[[Float[Tensor, "batch 3 H W"]], Float[Tensor, "batch 3 H W"]],
    num_samples: int = 1_000,
    seed: int = 0,
    *,
    noise: float = 2.0,
    batch_size: int = 64,
    progress: bool = True,
) -> CycleErrors:
    """Measure how far pictures are from themselves, translated and translated back.

    Args:
        generator: Translator on pictures in color, whose rows are these pictures.
        back: Function from images in [-1, 1] to their translations back.
        num_samples: Number of pictures from the first on, at least 2; all where there are fewer.
        seed: Seed of the noise, of which each picture has its own.
        noise: Standard deviation of the noise, in levels of 0 to 255.
        batch_size: Pictures per batch, at least 1.
        progress: Show a progress bar.

    Raises:
        TypeError: If the generator does not implement its protocol.
        ValueError: If the generator is no translator on pictures in color, or a number is out of range.

    Source: Chu et al. 2017, Sec. 4.
    """
    translation, count = _check_translation(generator), limit_rows(generator, num_samples)
    check_counts(count, batch_size)
    start, size = translation.noise_dim, generator.image_size
    found: tuple[list[Tensor], ...] = ([], [], [])
    for block, z in sample_blocks(generator, [range(count)], 0, batch_size, "cycle error", progress=progress):
        pictures = z[:, start : start + 3 * size[0] * size[1]].reshape(len(z), 3, *size)
        between = generator(z)
        drawn = [
            torch.randn(3, *size, generator=make_rng(seed, "cycle", i), dtype=torch.float32, device="cpu")
            for i in block
        ]
        noisy = between + noise / LEVELS * torch.stack(drawn).to(between)
        for kept, images in zip(found, (between, from_uint8(to_uint8(between)), noisy), strict=True):
            kept.append(_distance(back(images), pictures))
    return CycleErrors(*(PictureErrors(torch.cat(parts)) for parts in found))


def _check_translation(generator: Generator) -> Translation:
    check_generator(generator)
    if (translation := as_translation(generator)) is None:
        raise ValueError(f"{generator.name} must be a translator on pictures, T.on(pictures)")
    return translation


def _check_labeled(generator: Generator, segmenter: Segmenter) -> LabeledInputs:
    """Return the pictures of a translation, whose labels are the segmenter's concepts."""
    pictures = _check_translation(generator).pictures
    wanted = tuple(concept.name for concept in segmenter.concepts)
    if not isinstance(pictures, LabeledInputs) or pictures.concepts != wanted:
        got = ", ".join(getattr(pictures, "concepts", ())) or "no labels"
        raise ValueError(f"the pictures of {generator.name} must have the labels of {segmenter.name}; got {got}")
    return pictures


def _count(truth: Tensor, predicted: Tensor, num_concepts: int) -> Int64[Tensor, "image concept predicted"]:
    """Count the pixels of each image by true and predicted concept; pixels without a true one are left out."""
    if predicted.shape != truth.shape:
        raise ValueError(
            f"the segmenter must return one label per pixel, {list(truth.shape)}; got {list(predicted.shape)}"
        )
    columns = num_concepts + 1
    known = (truth >= 0) & (truth < num_concepts)
    pairs = truth * columns + predicted.where(predicted >= 0, num_concepts)
    pairs = torch.where(known, pairs, num_concepts * columns).flatten(1)
    counts = torch.zeros(len(truth), num_concepts * columns + 1, dtype=torch.int64, device="cpu")
    counts.scatter_add_(1, pairs, torch.ones_like(pairs))
    return counts[:, :-1].reshape(len(truth), num_concepts, columns)


def _scores(confusion: Tensor) -> Float64[Tensor, "*set score"]:
    """Return the three scores of each set of images."""
    hits = confusion.diagonal(dim1=-2, dim2=-1).double()
    truth, predicted = confusion.sum(-1).double(), confusion[..., :-1].sum(-2).double()
    union = truth + predicted - hits
    pixel = hits.sum(-1) / truth.sum(-1).clamp(min=1)
    recall = (hits / truth.clamp(min=1)).sum(-1) / (truth > 0).sum(-1).clamp(min=1)
    iou = (hits / union.clamp(min=1)).sum(-1) / (union > 0).sum(-1).clamp(min=1)
    return torch.stack([pixel, recall, iou], dim=-1)


def _distance(images: Tensor, others: Tensor) -> Float64[Tensor, " batch"]:
    """Return the mean absolute difference of each pair of images, in levels."""
    return LEVELS * (images - others).double().abs().flatten(1).mean(1).cpu()
