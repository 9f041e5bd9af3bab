"""How long does importing take? ``python benchmarks/import_time.py``.

New interpreters alternately import torch, import gandissect and print the help of the command line, so that other work
on the machine affects all of them. Ratios are to the median time of importing torch.
"""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

import tyro

PROGRAMS = {
    "import torch": "import torch",
    "import gandissect": "import torch, gandissect",
    "gandissect --help": "from apps.cli import main; main(['--help'])",
}


def main(repeats: int = 11) -> None:
    """Measure how long imports take.

    Args:
        repeats: Number of rounds, at least 1; each program runs once per round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(repeats):
        for name, program in PROGRAMS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, check=True)
            seconds[name].append(time.perf_counter() - start)
    base = median(seconds["import torch"])
    for name, times in seconds.items():
        print(f"{name:20} {median(times):6.2f} s  {median(times) / base:5.2f} x importing torch  (n = {repeats})")


if __name__ == "__main__":
    tyro.cli(main)
