"""Shared networks are loaded once, and again when their file changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import generators
import segmenters
from apps.explorer.background.resources import load_generator, load_segmenter
from generators.hub import BEST, LAST, save
from segmenters.hub import LAST as SEGMENTER
from segmenters.unet import UNetArchitecture, UNetSegmenter, build_network

CONCEPTS = segmenters.PaletteSegmenter(generators.PlantedGenerator.concepts).concepts


def _write_generator(path: Path, seed: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = generators.DCGAN(size=16, width=2, z_dim=4)
    path.unlink(missing_ok=True)
    save(generator, path)
    os.utime(path, (1, 1))  # as on a file system with coarse timestamps


def _write_segmenter(path: Path, seed: int) -> None:
    architecture = UNetArchitecture("resnet18", (8, 8, 8), 32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(architecture, len(CONCEPTS))
    path.unlink(missing_ok=True)
    UNetSegmenter(network, architecture, CONCEPTS, "tiny", "cpu").save(path)
    os.utime(path, (seed, seed))


@pytest.mark.parametrize(
    ("load", "write", "name"),
    [(load_generator, _write_generator, LAST), (load_segmenter, _write_segmenter, SEGMENTER)],
    ids=["generator", "segmenter"],
)
@pytest.mark.parametrize("by_folder", [True, False])
def test_the_next_snapshot_of_a_training_is_shown(
    tmp_path: Path, load: Callable, write: Callable, name: str, by_folder: bool
) -> None:
    asked = str(tmp_path if by_folder else tmp_path / name)
    write(tmp_path / name, 1)
    first = load(asked, "cpu")
    assert load(asked, "cpu") is first, "it is loaded once"
    (tmp_path / name).rename(tmp_path / "kept")
    write(tmp_path / name, 2)
    second = load(asked, "cpu")
    assert second.fingerprint != first.fingerprint
    assert load(asked, "cpu") is second


def test_the_best_snapshot_of_a_training_is_shown_once_it_exists(tmp_path: Path) -> None:
    _write_generator(tmp_path / LAST, 1)
    first = load_generator(str(tmp_path), "cpu")
    _write_generator(tmp_path / BEST, 2)
    assert load_generator(str(tmp_path), "cpu").name == str(tmp_path / BEST)
    assert first.name == str(tmp_path / LAST)
