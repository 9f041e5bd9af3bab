"""What do single-unit effects cost compared with the networks that they run? ``python benchmarks/effect_speed.py``.

The floor is the unavoidable work: one head per batch and, for each unit and for the unedited images, one tail and one
segmentation, in the same batches, without autograd. The floor and `measure_unit_effects` alternate; the ratio is that
of the medians.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import torch
import tyro
from dissect_speed import load_pair, measure_seconds
from scenes_speed import name_processor

from gandissect import Generator, Segmenter, measure_unit_effects
from gandissect.core import blocks, resolve_device


@dataclass(frozen=True)
class Options:
    """Print the time of the effects of all units of a layer as a multiple of the time of tails and segmentations.

    Args:
        model: Name of a bundled generator or of an untrained one.
        layer: Name of the layer; by default the second.
        num_samples: Number of images.
        batch_size: Number of images per batch.
        repeats: Number of runs for the median.
        device: Device to run on: auto, cpu, cuda or mps.
        threads: Number of CPU threads; by default torch's choice.
    """

    model: tyro.conf.Positional[str] = "dcgan-scenes64"
    layer: str | None = None
    num_samples: int = 100
    batch_size: int = 32
    repeats: int = 3
    device: str = "auto"
    threads: int | None = None


@torch.inference_mode()
def run_floor(generator: Generator, segmenter: Segmenter, layer: str, options: Options) -> None:
    """Run the networks once per unit, and once without an edit."""
    for samples in blocks(options.num_samples, options.batch_size):
        z = generator.sample_z(len(samples), 0, samples.start).to(generator.device)
        activation = generator.head(z, layer)
        for _ in range(generator.layers[layer].units + 1):
            segmenter(generator.tail(activation, layer, z))


def main(options: Options) -> None:
    """Print the times and their ratio."""
    if options.threads:
        torch.set_num_threads(options.threads)
    generator, segmenter, layer = load_pair(options.model, options.device)
    layer = options.layer or layer
    info, device = generator.layers[layer], resolve_device(options.device)

    def effects() -> None:
        measure_unit_effects(
            generator, segmenter, layer, options.num_samples, batch_size=options.batch_size, progress=False
        )

    calls = {"floor": lambda: run_floor(generator, segmenter, layer, options), "effects": effects}
    times: dict[str, list[float]] = {title: [] for title in calls}
    for _ in range(options.repeats):
        for title, call in calls.items():
            times[title].append(measure_seconds(call, device))
    floor, whole = (statistics.median(times[title]) for title in calls)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else name_processor()
    print(
        f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}: {options.model}, {layer}, "
        f"{info.units} units, {options.num_samples} images, batches of {options.batch_size}, "
        f"median of {options.repeats}: "
        f"floor {floor:.1f} s, effects {whole:.1f} s, {whole / floor:.2f} times the floor"
    )


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
