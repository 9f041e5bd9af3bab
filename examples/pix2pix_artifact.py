"""Switch off whole layers of a pix2pix, and measure its artifact in the middle of pictures, FCN-score and paired error.

    python examples/pix2pix_artifact.py pix2pix-scenes64 --inputs scenes:760@noon --out runs/artifact.png

The artifact is a patch of noise in the middle of streets. Its roughness is the mean difference of neighboring pixels in
that part of the image, in [-1, 1]. Each change is that of the same pictures, with its 95% interval over pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from jaxtyping import Float
from torch import Tensor
from torchvision.utils import save_image

import generators
import segmenters
from gandissect import Ablation, UnitSet, generate
from gandissect.core import from_uint8
from generators import Translator
from segmenters.datasets import open_source

ROWS, COLUMNS = slice(20, 34), slice(26, 40)
"""Part of a 64 px image in which the artifact is."""

NUM_SHOWN = 6


@dataclass(frozen=True)
class Options:
    """Measure the artifact with layers off.

    Args:
        translator: Bundled name, file or training folder of a translator of label maps at 64 px.
        inputs: Scenes whose label maps are translated.
        out: Picture of the roughest images, with one row for each layer that is off, below the originals.
        layers: Layers to switch off, one at a time.
        segmenter: Segmenter of the FCN-score.
        start: Index of the first picture.
        device: Device to compute on: auto, cpu, cuda or mps.
    """

    translator: tyro.conf.Positional[str]
    inputs: str
    out: Path
    layers: tuple[str, ...] = ("decoder1", "decoder2", "decoder3")
    segmenter: str = "unet-scenes"
    start: int = 600
    device: str = "auto"


def measure_roughness(images: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, " batch"]:
    """Return the mean difference of neighboring pixels, down and across, in the middle of each image."""
    down = (images[..., 1:, :-1] - images[..., :-1, :-1]).abs()
    across = (images[..., :-1, 1:] - images[..., :-1, :-1]).abs()
    return (down + across).mean(1)[:, ROWS, COLUMNS].mean((1, 2))


def format_change(after: Float[Tensor, " batch"], before: Float[Tensor, " batch"]) -> str:
    """Return a mean, and its change with the half-width of its 95% interval."""
    change = after - before
    half = 1.96 * float(change.std()) / math.sqrt(len(change))
    return f"{float(after.mean()):.3f} ({float(change.mean()):+.4f} ± {half:.4f})"


@torch.inference_mode()
def main(options: Options) -> None:
    """Print a table, and write the picture."""
    translator = generators.load(options.translator, options.device)
    segmenter = segmenters.load(options.segmenter, options.device)
    if not isinstance(translator, Translator) or not translator.input_concepts:
        raise ValueError(f"{options.translator} must translate label maps")
    source = open_source(options.inputs, translator.image_size[0], held_out=True)
    generator, rows = translator.on(source), range(options.start, len(source))
    batch = source.batch(rows)
    real, labels = from_uint8(batch.images), batch.labels
    if labels is None:
        raise ValueError(f"{options.inputs} has no labels")
    z = generator.sample_z(len(rows), start=options.start).to(generator.device)

    def judge(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        correct = (segmenter(images.clamp(-1, 1)).cpu() == labels).double().mean((1, 2))
        return measure_roughness(images.cpu()), correct, (images.cpu() - real).abs().mean((1, 2, 3))

    plain = generator(z)
    before, made = judge(plain), [plain.cpu()]
    print(f"real pictures: {', '.join(f'{float(figure.mean()):.3f}' for figure in judge(real)[:2])}; n = {len(rows)}")
    print(f"as translated: {', '.join(f'{float(figure.mean()):.3f}' for figure in before)}")
    for layer in options.layers:
        off = generate(generator, z, [Ablation(UnitSet(layer, tuple(range(generator.layers[layer].units))))])
        made.append(off.cpu())
        print(f"{layer} off: {', '.join(map(format_change, judge(off), before))}", flush=True)
    roughest = before[0].argsort(descending=True)[:NUM_SHOWN]
    sheet = torch.cat([images[roughest] for images in made]).repeat_interleave(2, 2).repeat_interleave(2, 3)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_image(sheet, options.out, nrow=NUM_SHOWN, normalize=True, value_range=(-1, 1))


if __name__ == "__main__":
    main(tyro.cli(Options))
