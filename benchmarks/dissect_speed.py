"""What does a dissection cost compared with the networks that it runs? ``python benchmarks/dissect_speed.py``.

The floor is one pass of generator and segmenter over the same samples, in the same batches, without autograd. The
floor, a dissection of one layer and a dissection of all layers alternate, so that other work on the machine affects all
three; the ratios are those of the medians. A separate run measures the stages of a dissection.

``untrained`` models have sizes that are common elsewhere, with random weights: DCGANs of width 64, and a U-Net on
ResNet-18 that sees the image at its original size.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
import tyro
from scenes_speed import name_processor

import generators
import segmenters
from gandissect import Concept, Generator, Segmenter, dissect
from gandissect.core import blocks, resolve_device
from gandissect.dissection.counting import passes
from gandissect.dissection.counting.layer_counts import LayerCount
from gandissect.dissection.counting.top_images import ThumbnailCollector, TopSamples
from segmenters.unet import UNetArchitecture, UNetSegmenter, build_network

UNTRAINED = {"untrained dcgan64": (64, "layer2"), "untrained dcgan128": (128, "layer2")}
BUNDLED = {"unet-scenes": "-scenes", "unet-streets": "-streets"}
WARM_UP = 32


@dataclass(frozen=True)
class Options:
    """Print the time of a dissection as a multiple of the time of generator and segmenter.

    Args:
        models: Names of bundled generators or of untrained ones; all by default.
        num_samples: Number of samples per run.
        batch_size: Number of samples per batch.
        repeats: Number of runs for the median.
        device: Device to run on: auto, cpu, cuda or mps.
        threads: Number of CPU threads; by default torch's choice.
    """

    models: tyro.conf.Positional[tuple[str, ...]] = ()
    num_samples: int = 1_000
    batch_size: int = 32
    repeats: int = 5
    device: str = "auto"
    threads: int | None = None


def load_pair(name: str, device: str) -> tuple[Generator, Segmenter, str]:
    """Return a generator, the segmenter for its images, and the layer to dissect, its second."""
    if name in UNTRAINED:
        size, layer = UNTRAINED[name]
        torch.manual_seed(0)
        generator = generators.DCGAN(size=size, width=64).eval().requires_grad_(False)
        concepts = [Concept(index, f"concept {index}", (index, index, index)) for index in range(7)]
        shape = UNetArchitecture("resnet18", (256, 128, 64, 32, 16), input_size=None)
        network = build_network(shape, len(concepts))
        return generator.to(resolve_device(device)), UNetSegmenter(network, shape, concepts, device=device), layer
    segmenter = next(segmenter for segmenter, ending in BUNDLED.items() if ending in name)
    generator = generators.load(name, device)
    return generator, segmenters.load(segmenter, device), list(generator.layers)[1]


def run_floor(generator: Generator, segmenter: Segmenter, options: Options) -> None:
    """Generate and label all images."""
    with torch.inference_mode():
        for samples in blocks(options.num_samples, options.batch_size):
            z = generator.sample_z(len(samples), 0, samples.start).to(generator.device)
            segmenter(generator(z))


def measure_seconds(call: Callable[[], Any], device: torch.device) -> float:
    """Return the seconds that a call takes, until the device has finished."""
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


@contextmanager
def measure_stages(device: torch.device) -> Iterator[Counter[str]]:
    """Measure the seconds of each stage of the dissections that run in the block."""
    spent: Counter[str] = Counter()

    def timed(title: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            results: list[Any] = []
            spent[title] += measure_seconds(lambda: results.append(function(*arguments, **named)), device)  # type: ignore[call-overload]
            return results[0]

        return call

    parts = {
        "pilot": (passes, "guess"),
        "counting": (LayerCount, "update"),
        "top samples": (TopSamples, "update"),
        "thumbnails": (ThumbnailCollector, "update"),
        "thresholds": (LayerCount, "settle"),
    }
    patches = [
        mock.patch.object(place, name, timed(title, getattr(place, name))) for title, (place, name) in parts.items()
    ]
    for patch in patches:
        patch.start()
    try:
        yield spent
    finally:
        for patch in patches:
            patch.stop()


def measure(name: str, options: Options) -> str:
    """Return a row of the table."""
    generator, segmenter, layer = load_pair(name, options.device)
    device = generator.device

    def bind_dissection(layers: str | None, num_samples: int = options.num_samples) -> Callable[[], Any]:
        return lambda: dissect(generator, segmenter, layers, num_samples, batch_size=options.batch_size, progress=False)

    def floor() -> None:
        run_floor(generator, segmenter, options)

    for warm_up in (bind_dissection(layer, WARM_UP), bind_dissection(None, WARM_UP)):
        warm_up()
    calls = {"floor": floor, "one": bind_dissection(layer), "all": bind_dissection(None)}
    times: dict[str, list[float]] = {title: [] for title in calls}
    for _ in range(options.repeats):
        for title, call in calls.items():
            times[title].append(measure_seconds(call, device))
    middle = {title: statistics.median(values) for title, values in times.items()}
    with measure_stages(device) as spent:
        bind_dissection(None)()
    parts = ", ".join(f"{title} {1000 * spent[title] / options.num_samples:.2f}" for title in sorted(spent))
    info = generator.layers[layer]
    units = sum(layer_info.units for layer_info in generator.layers.values())
    return (
        f"| {name} | {len(segmenter.concepts)} | {1000 * middle['floor'] / options.num_samples:.1f} | "
        f"{layer}: {info.units} x {info.height} x {info.width} | {middle['one'] / middle['floor']:.2f} | "
        f"{len(generator.layers)}: {units} | {middle['all'] / middle['floor']:.2f} | {parts} |"
    )


def main(options: Options) -> None:
    """Print one row per model, as Markdown."""
    if options.threads:
        torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else name_processor()
    print(
        f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}; n = {options.num_samples} samples, "
        f"batches of {options.batch_size}, median of {options.repeats}"
    )
    print(
        "| generator | concepts | floor, ms per sample | one layer | ratio to floor | all layers: units | ratio to "
        "floor | stages, ms per sample |\n|---|---|---|---|---|---|---|---|"
    )
    known = [*UNTRAINED, *(name for name in generators.names() if any(ending in name for ending in BUNDLED.values()))]
    for name in options.models or known:
        print(measure(name, options), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
