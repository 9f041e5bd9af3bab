"""How many scenes per second does one core render? ``python benchmarks/scenes_speed.py``.

Processor time (time.process_time) is measured, so that other work on the machine does not count. The first pictures,
which create the shared textures, are not timed.
"""

from __future__ import annotations

import platform
import statistics
import time
from pathlib import Path

import numpy as np

from segmenters.scenes.rendering import render

RUNS, WARM_UP = 7, 10
PICTURES = {64: 150, 128: 80, 256: 30}


def measure_render_rate(size: int, count: int, run: int) -> float:
    """Return the pictures per second at which one process renders ``count`` pictures, new ones in each run."""
    start = time.process_time()
    for index in range(count):
        render(run, index, size)
    return count / (time.process_time() - start)


def name_processor() -> str:
    """Return the processor's name, or the machine type if it is unknown."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    """Print the median rate for each size."""
    print(f"{name_processor()}, Python {platform.python_version()}, numpy {np.__version__}, one process")
    for size, count in PICTURES.items():
        for index in range(WARM_UP):
            render(-1, index, size)
        rates = [measure_render_rate(size, count, run) for run in range(RUNS)]
        print(
            f"{size:4d} px: median {statistics.median(rates):6.0f} pictures/s, "
            f"{min(rates):.0f} to {max(rates):.0f} over {RUNS} runs of n={count}"
        )


if __name__ == "__main__":
    main()
