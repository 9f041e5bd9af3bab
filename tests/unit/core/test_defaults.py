"""Nothing depends on what torch makes by default: on `torch.set_default_dtype` and `torch.set_default_device`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from public_functions import (
    CALLS,
    NOT_CALLED,
    ColorSegmenter,
    Pictures,
    assert_equal_results,
    make_networks,
    plain_result,
)
from style_files import nvlabs, rosinality
from tiny_gans import Noise, tiny
from tiny_generators import FAMILIES

import gandissect
import generators
import segmenters
from gandissect import latent
from gandissect.core import from_uint8
from generators import DCGANDiscriminator, ResidualDiscriminator
from generators.training import train_generator
from segmenters import SegmenterSettings
from segmenters.augmentation import Augmentation
from segmenters.datasets import LabeledPictures
from segmenters.unet import UNetArchitecture

ROOT = Path(__file__).parents[3]


@contextmanager
def other_defaults() -> Iterator[None]:
    """Twice as many bits, on a device without numbers: whatever is made there by mistake cannot give a result."""
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", CALLS)
def test_a_public_function_gives_what_it_gives_without(name: str, tmp_path: Path) -> None:
    wanted, networks = plain_result(name), make_networks()
    with other_defaults():
        result = CALLS[name](networks, tmp_path)
    assert_equal_results(result, wanted)


def test_every_public_function_is_called() -> None:
    functions = {f"gandissect.{name}" for name in gandissect.__all__ if _is_function(getattr(gandissect, name))}
    functions |= {f"gandissect.latent.{name}" for name in latent.__all__ if _is_function(getattr(latent, name))}
    assert functions - {name.split(",")[0] for name in CALLS} == set(NOT_CALLED)


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, type)


@pytest.mark.parametrize("name", ["dcgan-scenes64", "stylegan-scenes64"])
def test_a_bundled_generator_is_loaded_as_without(name: str) -> None:
    wanted = generators.load(name, device="cpu")
    with other_defaults():
        loaded = generators.load(name, device="cpu")
        z = loaded.sample_z(2, seed=4)
        images = loaded(z)
        wrapped = generators.wrap(loaded, loaded.z_dim)
        layer = next(iter(wrapped.layers))
        again = wrapped.tail(wrapped.head(z, layer), layer, z)
    assert loaded.fingerprint == wanted.fingerprint
    assert torch.equal(images, wanted(wanted.sample_z(2, seed=4)))
    assert torch.equal(images, again)


@pytest.mark.parametrize("layout", ["nvlabs", "rosinality"])
def test_a_checkpoint_is_imported_as_without(layout: str, tmp_path: Path) -> None:
    tensors = nvlabs([8, 4, 3], depth=8)
    states = {"nvlabs": tensors, "rosinality": rosinality(tensors)}
    path = tmp_path / "checkpoint.pth"
    torch.save(states[layout], path)
    wanted = generators.import_checkpoint(path)
    with other_defaults():
        imported = generators.import_checkpoint(path)
        images = imported(imported.sample_z(2, seed=4))
    assert imported.fingerprint == wanted.fingerprint
    assert torch.equal(images, wanted(wanted.sample_z(2, seed=4)))


def test_a_bundled_segmenter_labels_as_without() -> None:
    images = from_uint8(Noise(size=64).batch([0]).images)
    wanted = segmenters.load("unet-scenes", device="cpu")
    with other_defaults():
        segmenter = segmenters.load("unet-scenes", device="cpu")
        labels = segmenter(images)
    assert segmenter.fingerprint == wanted.fingerprint
    assert torch.equal(labels, wanted(images))


def test_networks_are_built_of_float32_where_torch_says() -> None:
    with other_defaults():
        networks = [*(make() for make in FAMILIES.values()), DCGANDiscriminator(16, 4), ResidualDiscriminator(16, 4)]
    for network in networks:
        floats = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
        assert {tensor.dtype for tensor in floats} == {torch.float32}
        assert all(tensor.is_meta for tensor in floats)


@pytest.mark.parametrize("architecture", ["dcgan", "stylegan", "stylegan2"])
def test_a_training_ends_where_it_ends_without(architecture: str, tmp_path: Path) -> None:
    settings = tiny(architecture, images=56)
    wanted = train_generator(settings, Pictures(20), tmp_path / "plain", device="cpu")
    with other_defaults():
        trained = train_generator(settings, Pictures(20), tmp_path / "other", device="cpu")
    assert generators.load(trained, device="cpu").fingerprint == generators.load(wanted, device="cpu").fingerprint


class Labeled(Pictures):
    """Pictures labeled by their brightest color."""

    concepts = ColorSegmenter.concepts

    def batch(self, indices: Sequence[int], _rng: torch.Generator | None = None) -> LabeledPictures:
        images = self.pixels[list(indices)]
        return LabeledPictures(images, images.argmax(1))


def test_a_segmenters_training_ends_where_it_ends_without(tmp_path: Path) -> None:
    architecture = UNetArchitecture("resnet18", (8, 8, 8), 16)
    settings = SegmenterSettings(num_steps=2, batch_size=4, architecture=architecture, augmentation=Augmentation())
    wanted = segmenters.train_segmenter(settings, [Labeled(12)], Labeled(4), tmp_path / "plain", device="cpu")
    with other_defaults():
        trained = segmenters.train_segmenter(settings, [Labeled(12)], Labeled(4), tmp_path / "other", device="cpu")
        evaluation = segmenters.evaluate(segmenters.load(trained, device="cpu"), Labeled(4))
    segmenter = segmenters.load(wanted, device="cpu")
    assert segmenters.load(trained, device="cpu").fingerprint == segmenter.fingerprint
    assert_equal_results(evaluation, segmenters.evaluate(segmenter, Labeled(4)))


# --- in the source

FLOATS = {"empty", "eye", "full", "kaiser_window", "linspace", "ones", "rand", "randn", "tensor", "zeros"}
WHOLE = {"arange", "as_tensor", "randint", "randperm"}
"""Of integers, or of what they are given."""
BUILDERS = {"__init__", "draw_normal", "lowpass", "_color"}
"""Functions that build networks: those of `generators.architectures` stand where torch.device says."""


def test_every_factory_names_device_and_dtype() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for package in ("gandissect", "generators", "segmenters", "apps")
        for path in sorted((ROOT / package).rglob("*.py"))
        for line in _unnamed(path)
    ]
    assert found == []


def _unnamed(path: Path) -> Iterator[int]:
    """Yield the lines of factories of torch that are not told what to make, and where."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    building: set[ast.AST] = set()
    if path.parent.name == "architectures":
        functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in BUILDERS)
        building = {inner for function in functions for inner in ast.walk(function)}
    for node in ast.walk(tree):
        if node not in building and isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            home, name = node.func.value, node.func.attr
            needed = {"device", "dtype"} if name in FLOATS else {"device"} if name in WHOLE else set()
            is_torch = isinstance(home, ast.Name) and home.id == "torch"
            if is_torch and needed - {keyword.arg for keyword in node.keywords}:
                yield node.lineno
