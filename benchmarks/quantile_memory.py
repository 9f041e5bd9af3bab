"""Does the memory of `quantile_values` grow with the number of its values? ``python benchmarks/quantile_memory.py``.

Each run is a separate process, whose peak resident memory is measured.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import torch
import tyro
from dissect_memory import read_peak
from scenes_speed import name_processor

import generators
from gandissect import UnitSet, quantile_values


@dataclass(frozen=True)
class Options:
    """Print the peak memory of `quantile_values` for all units of a layer, and its ratio to the size of the values.

    Args:
        generator: Name of a bundled generator.
        layer: Name of the layer.
        num_samples: Number of samples in each run.
        one: Perform a single run with this number of samples, and print this process's peak memory in MiB before and
            after it.
    """

    generator: str = "dcgan-scenes64"
    layer: str = "layer4"
    num_samples: tuple[int, ...] = (256, 2_048)
    one: int | None = None


def main(options: Options) -> None:
    """Print one row per number of samples, as Markdown."""
    generator = generators.load(options.generator, "cpu")
    info = generator.layers[options.layer]
    if options.one is not None:
        before = read_peak()
        quantile_values(generator, UnitSet(options.layer, tuple(range(info.units))), num_samples=options.one)
        print(f"{before:.0f} {read_peak():.0f}")
        return
    print(f"{name_processor()}, torch {torch.__version__}; {options.generator}, {options.layer}, all units")
    print("| samples | MiB of values | MiB used | ratio |\n|---|---|---|---|")
    for count in options.num_samples:
        names = ["--generator", options.generator, "--layer", options.layer, "--one", str(count)]
        command = [sys.executable, __file__, *names]
        before, after = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        values, used = 4 * count * info.units * info.height * info.width / 2**20, int(after) - int(before)
        print(f"| {count:,} | {values:.0f} | {used} | {used / values:.2f} |", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
