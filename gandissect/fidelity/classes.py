"""Whether the images of a class-conditional generator are of the class that was asked for.

A judge, a classifier that was trained on other pictures than the generator, names the class of each sample. Its
accuracy on real pictures that neither saw is the ceiling, and the share of the most frequent class is the floor.

Source: Ravuri and Vinyals 2019, arXiv 1905.10887, Sec. 3; Shmelkov et al. 2018, arXiv 1807.09499, Sec. 3 ("GAN-test").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..core.display import Tabular
from ..core.protocols import Generator, as_conditional, check_generator
from ..inference.batches import check_counts, sample_blocks
from ..stats.intervals import wilson_interval

Judge: TypeAlias = Callable[[Float[Tensor, "batch 3 H W"]], Float[Tensor, "batch class"]]
"""Function from images in [-1, 1] to one logit per class."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ClassAccuracy(Tabular):
    """How often a judge names the right class.

    Args:
        classes: Names of the classes.
        confusion: Number of images by right class (row) and by the judge's class (column), int64.
    """

    classes: tuple[str, ...]
    confusion: Int64[Tensor, "right judged"]

    @property
    def num_images(self) -> int:
        """Number of images."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of the images whose class the judge names."""
        return int(self.confusion.diagonal().sum()) / self.num_images

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval of the accuracy."""
        return wilson_interval(int(self.confusion.diagonal().sum()), self.num_images)

    @property
    def chance(self) -> float:
        """Accuracy of a judge that always names the most frequent class."""
        return int(self.confusion.sum(1).max()) / self.num_images

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dictionary for each class: its images, the share that is right, and the likeliest mistake."""
        return [self._record(index) for index in range(len(self.classes))]

    def _record(self, index: int) -> dict[str, Any]:
        counts = self.confusion[index].clone()
        total, right = int(counts.sum()), int(counts[index])
        counts[index] = 0
        mistake = self.classes[int(counts.argmax())] if int(counts.max()) else None
        share = right / total if total else None
        return {"class": self.classes[index], "images": total, "accuracy": share, "mistaken_for": mistake}

    def _summarize(self) -> str:
        low, high = self.interval
        return f"{self.accuracy:.4f} ({low:.4f} to {high:.4f}), chance {self.chance:.3f}, n={self.num_images}"


def count_classes(
    judge: Judge, images: Float[Tensor, "batch channel h w"], right: Int64[Tensor, " batch"], num_classes: int
) -> Int64[Tensor, "right judged"]:
    """Count images by their right class and by the judge's.

    Args:
        judge: Function from images to one logit per class.
        images: Images in [-1, 1], or the activations of a layer if the judge takes these.
        right: Index of each image's class.
        num_classes: Number of classes.

    Raises:
        ValueError: If the judge returns another shape, or a number that is not finite.
    """
    logits = judge(images)
    if tuple(logits.shape) != (len(images), num_classes) or not bool(logits.isfinite().all()):
        got = f"{list(logits.shape)}" if tuple(logits.shape) != (len(images), num_classes) else "NaN or infinity"
        raise ValueError(f"the judge must return finite logits {[len(images), num_classes]}; got {got}")
    pairs = right.cpu() * num_classes + logits.argmax(1).cpu()
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)


@torch.inference_mode()
def measure_class_accuracy(
    generator: Generator,
    judge: Judge,
    num_samples: int = 5_000,
    seed: int = 0,
    *,
    batch_size: int = 64,
    progress: bool = True,
) -> ClassAccuracy:
    """Measure how often a judge names the class that a sample was made for.

    Args:
        generator: Generator whose rows have classes; each is drawn as often as its ``sample_z`` draws it.
        judge: Function from images in [-1, 1] to one logit per class of the generator, such as a classifier in eval
            mode that was trained on other pictures.
        num_samples: Number of samples, at least 2.
        seed: Seed of the samples.
        batch_size: Images per batch, at least 1.
        progress: Show a progress bar.

    Raises:
        TypeError: If the generator does not implement its protocol.
        ValueError: If the generator has no classes, a number is out of range, or the judge returns other shapes.

    Source: Shmelkov et al. 2018, Sec. 3 ("GAN-test").
    """
    check_generator(generator)
    check_counts(num_samples, batch_size)
    if (conditional := as_conditional(generator)) is None:
        raise ValueError(f"{generator.name} has no classes, so none can be right")
    count = len(conditional.classes)
    confusion = torch.zeros(count, count, dtype=torch.int64, device="cpu")
    samples = [range(num_samples)]
    for _, z in sample_blocks(generator, samples, seed, batch_size, "classes", progress=progress):
        confusion += count_classes(judge, generator(z), z[:, -count:].argmax(1), count)
    return ClassAccuracy(conditional.classes, confusion)
