"""Judge whether the images that a CoGAN makes of the same noise in two domains show the same things.

    python examples/judge_pairs.py cogan-scenes64 --data noon=scenes@noon dusk=scenes@dusk --segmenter unet-scenes
    python examples/judge_pairs.py cogan-digits32 --data digits=DATA/mnist10k edges=edges:DATA/mnist10k

With a segmenter, both images are labeled, and the IoU of the labels is averaged over the concepts that are in either.
Without one, the edges of the first image are compared with the second image, where both are lighter than middle gray.
Each figure is a mean over pairs with its 95% interval, beside chance, the IoU of images that are not a pair:

- *samples*: images of the same noise;
- *real*: held-out pictures of the same index, which is the ceiling.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor
from torch.nn import functional

import generators
import segmenters
from gandissect.core import from_uint8
from gandissect.core.protocols import PictureSource, Segmenter, as_classed
from gandissect.fidelity import Masks, PairOverlap, measure_pairs, overlap
from gandissect.storage import write_json
from segmenters.datasets import find_edges, open_pictures

BATCH = 64


@dataclass(frozen=True)
class Options:
    """Judge the pairs of a generator whose classes are domains.

    Args:
        generator: Bundled name, file or training folder of the generator.
        data: Pictures of two of its domains, NAME=PICTURES, of which those of the same index are pairs.
        segmenter: Segmenter of both domains; without one, the second domain must be the edges of the first.
        hold_out: Share of each folder that was held out from training.
        num_samples: Number of pairs.
        seed: Seed of the samples.
        out: JSON file to write.
        device: Device to compute on: auto, cpu, cuda or mps.
    """

    generator: tyro.conf.Positional[str]
    data: tuple[str, str]
    segmenter: str | None = None
    hold_out: float = 0.05
    num_samples: int = 1_000
    seed: int = 0
    out: Path | None = None
    device: str = "auto"


def label_masks(segmenter: Segmenter) -> Masks:
    """Return the function from images to the mask of each concept of a segmenter."""
    count = len(segmenter.concepts)
    return lambda images: functional.one_hot(segmenter(images) + 1, count + 1)[..., 1:].movedim(3, 1).bool()


def light_masks(images: Tensor) -> Tensor:
    """Return where images are lighter than middle gray, ``[batch, 1, H, W]``."""
    return images[:, :1] > 0


def edge_masks(images: Tensor) -> Tensor:
    """Return where the edges of images are lighter than middle gray, ``[batch, 1, H, W]``."""
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return light_masks(from_uint8(find_edges(pixels)))


def compare_real(source: PictureSource, masks: tuple[Masks, Masks], limit: int, device: torch.device) -> PairOverlap:
    """Return the overlap of real pairs, and of each first picture with the second of the next pair."""
    classed = as_classed(source)
    assert classed is not None  # every picture has a domain
    first, second = ((classed.class_indices == index).nonzero().flatten().tolist() for index in (0, 1))
    if len(first) != len(second):
        raise ValueError(f"both domains must have as many pictures; got {len(first)} and {len(second)}")
    pairs, others = list[Tensor](), list[Tensor]()
    count = min(limit, len(first))
    for start in range(0, count, BATCH):
        rows = range(start, min(count, start + BATCH))
        given = masks[0](_load(source, [first[row] for row in rows], device))
        for kept, shift in ((pairs, 0), (others, 1)):
            found = masks[1](_load(source, [second[(row + shift) % count] for row in rows], device))
            kept.append(overlap(given, found).cpu())
    return PairOverlap(torch.cat(pairs), torch.cat(others))


def judge_pairs(options: Options) -> dict[str, PairOverlap]:
    """Return both figures by name."""
    generator = generators.load(options.generator, options.device)
    _, held_out = open_pictures(options.data, generator.image_size[0], options.hold_out)
    if held_out is None:
        raise ValueError("no pictures are held out; name folders without @SPLIT, or scenes")
    masks: tuple[Masks, Masks] = (edge_masks, light_masks)
    if options.segmenter is not None:
        masks = (label_masks(segmenters.load(options.segmenter, options.device)),) * 2
    domains = [spec.partition("=")[0] for spec in options.data]
    return {
        "samples": measure_pairs(generator, domains, masks, options.num_samples, options.seed, batch_size=BATCH),
        "real": compare_real(held_out, masks, options.num_samples, generator.device),
    }


def describe(found: PairOverlap) -> dict[str, Any]:
    """Return a figure as JSON values."""
    return {"iou": found.mean, "interval": found.interval, "chance": found.chance, "num_pairs": len(found.pairs)}


def main(options: Options) -> None:
    """Print the figures, and write them if asked to."""
    figures = judge_pairs(options)
    for name, found in figures.items():
        print(f"{name}: {found!r}")
    if options.out is not None:
        write_json(options.out, {name: describe(found) for name, found in figures.items()}, overwrite=True)


def _load(source: PictureSource, indices: list[int], device: torch.device) -> Tensor:
    return from_uint8(source.batch(indices).images).to(device)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
