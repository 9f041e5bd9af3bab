"""Dissections in real processes: killed at random moments, and shared by two under torchrun."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import generators
import segmenters
from gandissect import Dissection, dissect
from gandissect.dissection.counting.tally import TALLY

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
NAMES = {"generator": "dcgan-scenes64", "segmenter": "unet-scenes"}
SCRIPT = """
import sys
import torch
torch.set_num_threads(1)
from gandissect.dissection.counting import passes
passes.SAVE_SECONDS = 0.0
from apps.cli import main
main(sys.argv[1:])
"""


NUM_SAMPLES = 96
"""Three batches: the shares of two are not equal."""


def _whole(num_samples: int) -> Dissection:
    networks = (generators.load(NAMES["generator"], "cpu"), segmenters.load(NAMES["segmenter"], "cpu"))
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes: sums are rounded alike
    try:
        return dissect(*networks, "layer2", num_samples, progress=False)
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole() -> Dissection:
    return _whole(NUM_SAMPLES)


def _command(num_samples: int, out: Path, *more: str) -> list[str]:
    names = [word for name, value in NAMES.items() for word in (f"--{name}", value)]
    wanted = ["--layers", "layer2", "--num-samples", str(num_samples), "--device", "cpu", "--out", str(out)]
    return ["dissect", *names, *wanted, *more]


def _assert_same(one: Dissection, two: Dissection) -> None:
    assert one.records() == two.records()
    for mine, theirs in zip(one, two, strict=True):
        for name in ("intersection", "exchanged", "unit_area", "concept_area"):
            assert torch.equal(getattr(mine.groups, name), getattr(theirs.groups, name)), name


PEAK = """
import resource
import torch
torch.set_num_threads(1)
from gandissect import dissect
from generators import PlantedGenerator
from segmenters import PaletteSegmenter
generator = PlantedGenerator(size=16, cells=8)
for num_samples in (1_000, 20_000):
    dissect(generator, PaletteSegmenter(generator.concepts), num_samples=num_samples, curves=True, progress=False)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_twenty_times_the_samples_need_no_more_memory() -> None:
    few, many = map(int, _run("-c", PEAK).split())
    assert many <= 1.05 * few


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_counts(tmp_path: Path) -> None:
    chance, kills, out = random.Random(5), 0, tmp_path / "out"
    while True:
        with subprocess.Popen([sys.executable, "-c", SCRIPT, *_command(320, out)], env=ENVIRONMENT) as process:
            before = (out / TALLY).stat().st_mtime_ns if (out / TALLY).exists() else 0
            while kills < 4 and process.poll() is None:  # not before this process has come further than the last one
                if (out / TALLY).exists() and (out / TALLY).stat().st_mtime_ns > before:
                    time.sleep(chance.uniform(0, 1))
                    process.kill()
                    kills += 1
                    break
                time.sleep(0.01)
        if process.returncode == 0:
            break
        assert process.returncode == -9
    assert kills == 4
    _assert_same(Dissection.load(out), _whole(320))
    assert not (out / TALLY).exists()


def _run(*words: str) -> str:
    """Run Python with these arguments; return what it prints."""
    command = [sys.executable, *words]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_two_processes_find_what_one_finds(tmp_path: Path, whole: Dissection) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    assert _run(*launcher, *_command(NUM_SAMPLES, tmp_path / "out")).count("report.html") == 1
    _assert_same(Dissection.load(tmp_path / "out"), whole)
    assert not list((tmp_path / "out").glob("shard-*"))


def test_shards_from_the_command_line_merge(gandissect, tmp_path: Path, whole: Dissection) -> None:
    for shard in ("1/2", "2/2"):
        out = tmp_path / shard[0]
        status, printed, error = gandissect(*_command(NUM_SAMPLES, out, "--shard", shard))
        assert (status, printed.strip()) == (0, str(out / TALLY)), error
    assert gandissect("merge", tmp_path / "2", tmp_path / "1", "--out", tmp_path / "out", "--json")[0] == 0
    assert (tmp_path / "out/report.html").exists()
    _assert_same(Dissection.load(tmp_path / "out"), whole)
