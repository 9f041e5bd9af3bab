"""What does importing cost? ``python benchmarks/import_time.py``.

Fresh interpreters import torch, import gandissect, and print the help of the command line, in turns, so that other work
on the machine disturbs all of them alike. Medians are divided by the median of importing torch.
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
        repeats: Rounds, 1 or more; each program runs once in each.
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
