"""Measure an autoencoder on held-out pictures, and how far its samples are from real pictures.

    python examples/measure_autoencoder.py vae-scenes64 --data scenes:30000 --segmenter unet-scenes

On held-out pictures: the evidence lower bound, its divergence, the active units, and the mean squared error of
reconstructions, beside that of the mean picture for every picture, which is the floor; the ceiling is 0.

The Fréchet distance, precision and recall of five sets of images separate two causes of bad samples, blur and a prior
that pictures do not follow:

- *prior*: rows from N(0, 1), which are the generator's samples;
- *standard*: latent vectors from N(0, 1), as if no prior had been fitted;
- *posterior*: latent vectors of training pictures, drawn from their posteriors;
- *reconstructed*: the most probable latent vectors of training pictures;
- *blurred*: training pictures that are blurred until their mean squared error is that of the reconstructions.

Source: Ghosh et al. 2020, arXiv 1903.12436; Dai and Wipf 2019, arXiv 1903.05789, Sec. 5.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor
from torch.nn import functional

import generators
import segmenters
from gandissect import Yardstick
from gandissect.core import from_uint8, load_pictures, make_rng
from gandissect.fidelity.results import SetScores
from generators import LayeredGenerator
from generators.training.measured import NUM_MEASURED, encode_pictures, measure_autoencoder
from segmenters.datasets import open_pictures

BATCH = 100


@dataclass(frozen=True)
class Options:
    """Measure an autoencoder.

    Args:
        generator: Bundled name, file or training folder of the decoder with its encoder.
        data: Pictures that the autoencoder was trained on, as for gandissect train generator.
        segmenter: Segmenter whose features are compared.
        hold_out: Share of each folder that was held out from training.
        seed: Seed of all draws.
        out: JSON file to write.
        device: Device to compute on: auto, cpu, cuda or mps.
    """

    generator: tyro.conf.Positional[str]
    data: tuple[str, ...]
    segmenter: str
    hold_out: float = 0.05
    seed: int = 0
    out: Path | None = None
    device: str = "auto"


def measure(options: Options) -> dict[str, float | dict[str, float]]:
    """Return all figures."""
    generator = generators.load(options.generator, options.device)
    encoder = generators.load_encoder(options.generator, options.device)
    size = generator.image_size[0]
    train, held_out = open_pictures(options.data, size, options.hold_out)
    yardstick = Yardstick.of(segmenters.load(options.segmenter, options.device), train, held_out)
    pictures, learned = load_pictures(held_out, NUM_MEASURED), load_pictures(train, NUM_MEASURED)
    own = measure_autoencoder(generator, encoder, pictures, options.seed, generator.device)
    posterior = encode_pictures(encoder, learned, generator.device)
    rng = make_rng(options.seed, "measure autoencoder")
    noise, other = (torch.randn(posterior.mean.shape, generator=rng, device="cpu") for _ in range(2))
    latents = {
        "standard": noise.to(generator.device),
        "posterior": posterior.sample(other.to(generator.device)),
        "reconstructed": posterior.mean,
    }
    rows = {"prior": noise, **{name: encoder.prior.to_rows(z) for name, z in latents.items()}}
    scores = {name: score(yardstick, generate(generator, z)) for name, z in rows.items()}
    scores["blurred"] = score(yardstick, blur_to(from_uint8(learned), own.reconstruction_mse))
    return {
        **own.figures,
        **{name: describe(value) for name, value in scores.items()},
    }


@torch.inference_mode()
def generate(generator: LayeredGenerator, rows: Tensor) -> Tensor:
    """Return the images of rows."""
    return torch.cat([generator(part.to(generator.device)) for part in torch.split(rows, BATCH)])


def score(yardstick: Yardstick, images: Tensor) -> SetScores:
    """Return the scores of images."""
    return yardstick.compare(yardstick.extract_features(images.clamp(-1, 1)))


def blur_to(images: Tensor, error: float) -> Tensor:
    """Return images under the Gaussian blur that gives a mean squared error, found by bisection."""
    low, high = 0.1, images.shape[-1] / 4
    for _ in range(10):
        sigma = (low + high) / 2
        blurred = blur(images, sigma)
        low, high = (low, sigma) if (blurred - images).square().mean() > error else (sigma, high)
    return blurred


def blur(images: Tensor, sigma: float) -> Tensor:
    """Return images under a Gaussian blur, along columns and then along rows."""
    radius = images.shape[-1] // 2 - 1
    kernel = (torch.arange(-radius, radius + 1, device=images.device) / sigma).square().div(-2).exp()
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    padded = functional.pad(images, [radius] * 4, "reflect")
    return functional.conv2d(functional.conv2d(padded, kernel, groups=3), kernel.mT, groups=3)


def describe(scores: SetScores) -> dict[str, float]:
    """Return the scores that the cards have."""
    return {"distance": scores.distance, "precision": scores.precision, "recall": scores.recall}


def main(options: Options) -> None:
    """Print the figures, and write them."""
    text = json.dumps(measure(options), indent=2)
    if options.out is not None:
        options.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
