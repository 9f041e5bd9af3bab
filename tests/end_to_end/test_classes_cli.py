"""The option --classes: samples of some classes, and one clear line where there are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torchvision.io import ImageReadMode, read_image

import generators
from gandissect import Dissection
from generators import DCGAN, ConditionalDCGAN


@pytest.fixture
def model(tmp_path: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = ConditionalDCGAN(size=16, width=4, noise_dim=6, classes=["cat", "dog", "owl"]).eval()
        plain = DCGAN(size=16, width=4, z_dim=6).eval()
    generators.save(generator, tmp_path / "model.safetensors", half=False)
    generators.save(plain, tmp_path / "plain.safetensors")
    return tmp_path / "model.safetensors"


def test_sample_draws_the_classes_that_are_named(gandissect, model: Path) -> None:
    out = model.with_name("samples.png")
    status, _, error = gandissect("sample", model, "--out", out, "--num-samples", 2, "--classes", "owl", "cat")
    assert status == 0, error
    G = generators.load(model, device="cpu")
    expected = (G(G.sample_z(2, seed=1, classes=["cat", "owl"]))[0].clamp(-1, 1) + 1) * 127.5
    picture = read_image(str(out), ImageReadMode.RGB)[:, 2:18, 2:18]
    assert float((picture - expected).abs().max()) <= 1


def test_a_dissection_of_one_class_is_not_taken_for_another_ones(gandissect, model: Path) -> None:
    out = model.with_name("dissection")
    command = ["dissect", model, "--segmenter", "palette", "--num-samples", 20, "--out", out]
    assert gandissect(*command, "--classes", "dog")[0] == 0
    network = Dissection.load(out).provenance.generator
    assert network.fingerprint == generators.load(model, device="cpu").of_classes("dog").fingerprint
    assert network.name.endswith("model.safetensors of dog")
    assert gandissect(*command, "--classes", "dog")[0] == 0, "it is finished"
    status, _, error = gandissect(*command, "--classes", "owl")
    assert status == 2
    assert "holds a dissection with a different generator" in error


def test_interpolation_needs_one_class(gandissect, model: Path) -> None:
    out = model.with_name("strip.png")
    command = ["interpolate", model, "--pictures", 0, 1, 2, 3, 4, 5, "--out", out, "--json"]
    status, _, error = gandissect(*command)
    assert status == 2
    assert "holds the class" in error
    assert not out.exists()
    status, output, error = gandissect(*command, "--classes", "cat")
    assert status == 0, error
    assert json.loads(output)["generator"].endswith("of cat")


@pytest.mark.parametrize(
    ("name", "classes", "message"),
    [
        ("plain", "cat", "has no classes to draw from; omit --classes"),
        ("model", "cta", "did you mean 'cat'? known: cat, dog, owl"),
    ],
)
def test_classes_that_there_are_not_are_refused_in_one_line(
    gandissect, model: Path, name: str, classes: str, message: str
) -> None:
    path = model.with_name(f"{name}.safetensors")
    status, _, error = gandissect("sample", path, "--out", model.with_name("x.png"), "--classes", classes)
    assert status == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1
