"""Does the memory of a dissection grow with the number of samples? ``python benchmarks/dissect_memory.py``.

Each run is a separate process, whose peak resident memory is measured.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from dataclasses import dataclass

import torch
import tyro
from scenes_speed import name_processor

import generators
import segmenters
from gandissect import dissect


@dataclass(frozen=True)
class Options:
    """Print the peak memory of dissections of all layers.

    Args:
        generator: Name of a bundled generator.
        segmenter: Name of a bundled segmenter.
        num_samples: Number of samples in each run.
        one: Perform a single run with this number of samples, and print this process's peak memory in MiB before and
            after it.
    """

    generator: str = "dcgan-scenes64"
    segmenter: str = "unet-scenes"
    num_samples: tuple[int, ...] = (1_000, 20_000)
    one: int | None = None


def read_peak() -> float:
    """Return the peak resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(options: Options) -> None:
    """Print one row per number of samples, as Markdown."""
    if options.one is not None:
        networks = (generators.load(options.generator, "cpu"), segmenters.load(options.segmenter, "cpu"))
        before = read_peak()
        dissect(*networks, num_samples=options.one, progress=False)
        print(f"{before:.0f} {read_peak():.0f}")
        return
    print(
        f"{name_processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}; "
        f"{options.generator}, all layers"
    )
    print("| samples | MiB before | peak MiB |\n|---|---|---|")
    for count in options.num_samples:
        names = ["--generator", options.generator, "--segmenter", options.segmenter]
        command = [sys.executable, __file__, *names, "--one", str(count)]
        before, after = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        print(f"| {count:,} | {before} | {after} |", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
