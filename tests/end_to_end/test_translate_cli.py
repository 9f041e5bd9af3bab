"""The command translate, and the option --inputs of sample, dissect, effect and repair."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import json
from pathlib import Path

import pytest
import torch
from torchvision.io import ImageReadMode, read_image, write_png

import generators
from apps import commands
from gandissect import Ablation, Dissection, UnitSet, compare_labels, generate
from gandissect.core import NetworkId
from generators import DCGAN, ResNetTranslator, StarGAN, Translator, UNetTranslator
from segmenters.datasets import Photos, open_inputs, open_source

COUNT = 9


@pytest.fixture
def model(tmp_path: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        networks = {
            "cycle": ResNetTranslator(size=16, width=4, blocks=1),
            "labels": UNetTranslator(size=16, width=4, input_concepts=_scene_concepts()),
            "domains": StarGAN(size=16, width=4, blocks=1, classes=["noon", "dusk"]),
            "plain": DCGAN(size=16, width=4, z_dim=6),
        }
    for name, network in networks.items():
        generators.save(network.eval(), tmp_path / f"{name}.safetensors", half=False)
    return tmp_path / "cycle.safetensors"


def _scene_concepts() -> list[str]:
    return [concept.name for concept in open_source("scenes:2", 16).concepts]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for number in range(COUNT):
        pixels = torch.randint(0, 256, (3, 20, 24), generator=torch.Generator().manual_seed(number), dtype=torch.uint8)
        write_png(pixels, str(folder / ("more" if number % 2 else ".") / f"{number}.png"))
    return folder


def _expected(model: Path, pictures: Path) -> torch.Tensor:
    T = generators.load(model, device="cpu")
    assert isinstance(T, Translator)
    G = T.on(Photos(pictures, 16))
    return (G(G.sample_z(COUNT)).clamp(-1, 1) + 1) * 127.5


def test_translations_have_the_names_of_the_pictures(gandissect, model: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, printed, error = gandissect("translate", model, pictures, "--out", out, "--json")
    assert status == 0, error
    assert json.loads(printed) == {"out": str(out), "generator": f"{model} on pictures", "num_samples": COUNT}
    names = Photos(pictures, 16).names
    assert sorted(path.name for path in out.iterdir()) == sorted(name.replace("/", "-") for name in names)
    for name, wanted in zip(names, _expected(model, pictures), strict=True):
        image = read_image(str(out / name.replace("/", "-")), ImageReadMode.RGB)
        assert image.shape == (3, 16, 16) and float((image - wanted).abs().max()) <= 1
    status, _, error = gandissect("translate", model, pictures, "--out", out)
    assert status == 2 and "holds earlier results" in error
    assert gandissect("translate", model, pictures, "--out", out, "--overwrite")[0] == 0


def test_a_translator_of_several_domains_takes_classes(gandissect, model: Path, tmp_path: Path) -> None:
    domains = model.with_name("domains.safetensors")
    G = generators.load(domains, device="cpu").on(open_source("scenes:3", 16, held_out=True))
    for name in ("noon", "dusk"):
        status, printed, error = gandissect(
            "translate", domains, "scenes:3", "--classes", name, "--out", tmp_path / name, "--json"
        )
        assert status == 0, error
        assert json.loads(printed)["generator"] == f"{domains} of {name} on {G.pictures.name}"
        for number, image in enumerate((G(G.sample_z(3, classes=name)).clamp(-1, 1) + 1) * 127.5):
            pixels = read_image(str(tmp_path / name / f"0000{number}.png"), ImageReadMode.RGB)
            assert float((pixels - image).abs().max()) <= 1
    out = ["--out", tmp_path / "x"]
    status, _, error = gandissect("translate", domains, "scenes:3", "--classes", "duks", *out)
    assert status == 2 and "did you mean 'dusk'" in error
    status, _, error = gandissect("translate", model, "scenes:3", "--classes", "dusk", *out)
    assert status == 2 and "has no classes to draw from; omit --classes" in error
    status, _, error = gandissect(
        "sample", domains, "--inputs", "scenes:3", "--classes", "dusk", "--out", tmp_path / "x.png"
    )
    assert status == 0, error


def test_scenes_edges_and_label_maps_are_numbered(gandissect, model: Path, tmp_path: Path) -> None:
    for network, words in (
        ("cycle", ["scenes:3"]),
        ("cycle", ["edges:scenes:2", "labels:scenes:1"]),
        ("labels", ["scenes:3"]),
    ):
        out = tmp_path / "-".join([network, *words]).replace(":", "")
        path = model.with_name(f"{network}.safetensors")
        status, _, error = gandissect("translate", path, *words, "--out", out, "--num-samples", 5)
        assert status == 0, error
        assert sorted(path.name for path in out.iterdir()) == ["00000.png", "00001.png", "00002.png"]


def test_samples_are_translations(gandissect, model: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "samples.png"
    status, printed, error = gandissect(
        "sample", model, "--inputs", pictures, "--out", out, "--columns", 1, "--start", 2, "--json"
    )
    assert status == 0, error
    assert json.loads(printed)["num_samples"] == COUNT - 2
    image = read_image(str(out), ImageReadMode.RGB)
    assert float((image[:, 2:18, 2:18] - _expected(model, pictures)[2]).abs().max()) <= 1
    status, _, error = gandissect("sample", model, "--inputs", pictures, "--out", tmp_path / "b.png", "--start", 9)
    assert status == 2 and "--start must be below 9, the number of pictures; got 9" in error


def test_dissection_effect_and_repair_take_inputs(gandissect, model: Path, pictures: Path, tmp_path: Path) -> None:
    words = [model, "--segmenter", "palette", "--inputs", pictures]
    status, _, error = gandissect("dissect", *words, "--out", tmp_path / "d", "--layers", "block1")
    assert status == 0, error
    D = Dissection.load(tmp_path / "d")
    T = generators.load(model, device="cpu")
    assert isinstance(T, Translator)
    assert D.provenance.num_samples == COUNT
    assert D.provenance.generator == NetworkId.of(T.on(Photos(pictures, 16)))
    assert gandissect("dissect", *words, "--out", tmp_path / "d", "--layers", "block1")[0] == 0  # already finished
    effect = ["effect", *words, "--concept", "green", "--layer", "block1", "--units", 0, 1, "--json"]
    status, printed, error = gandissect(*effect)
    assert status == 0, error
    assert json.loads(printed)["effects"][0]["num_samples"] == COUNT


MOVING = {
    "directions": ["--out", "directions"],
    "interpolate": ["--pictures", 0, 1, "--out", "walk.png"],
    "invert": ["photo.png", "--out", "inverted"],
    "mix": ["--out", "mixed.png"],
}
"""Commands that move through a latent space, with the arguments that they need."""


def test_every_command_takes_inputs_or_refuses_a_translator(gandissect, model: Path) -> None:
    modules = [
        importlib.import_module(f"apps.commands.{path.stem}") for path in Path(commands.__path__[0]).glob("*.py")
    ]
    fields = {
        module.__name__.rpartition(".")[2]: {field.name for field in dataclasses.fields(module.Options)}
        for module in modules
        if hasattr(module, "Options")
    }
    loading = {name for name, names in fields.items() if "generator" in names}
    assert {name for name in loading if "inputs" not in fields[name]} == set(MOVING)
    for name, words in MOVING.items():
        status, _, error = gandissect(name, model, *words)
        assert status == 2 and "which this command does not take; use translate" in error and error.count("\n") == 1


def test_concepts_of_translations_are_compared_with_those_of_pictures(gandissect, model: Path) -> None:
    words = ["shares", model, "--inputs", "scenes:24", "--data", "scenes:48", "--segmenter", "palette", "--json"]
    status, printed, error = gandissect(*words)
    assert status == 0, error
    assert json.loads(printed)["num_samples"] == 24


def test_repair_takes_inputs(gandissect, model: Path, tiny_unet: Path, tmp_path: Path) -> None:
    words = ["repair", model, "--data", "scenes:40", "--segmenter", tiny_unet, "--layer", "block1", "--units", 0, 1]
    sizes = ["--num-real", 16, "--num-held-out", 8, "--num-images", 8, "--num-sets", 2, "--num-samples", 12]
    out = tmp_path / "repair"
    status, _, error = gandissect(*words, *sizes, "--inputs", "scenes:40", "--out", out)
    assert status == 0, error
    repaired, T = generators.load(out / "repaired.safetensors", device="cpu"), generators.load(model, device="cpu")
    assert isinstance(repaired, Translator) and isinstance(T, Translator)
    scenes = open_inputs(["scenes:4"], 16)
    wanted = generate(T.on(scenes), T.on(scenes).sample_z(4), [Ablation(UnitSet("block1", (0, 1)))])
    assert torch.allclose(repaired.on(scenes)(repaired.on(scenes).sample_z(4)), wanted, atol=0.02)  # in half precision
    status, _, error = gandissect(*words, *sizes, "--out", tmp_path / "none")
    assert status == 2 and "name them with --inputs" in error


def test_units_are_compared_with_inputs_and_outputs(gandissect, model: Path, tmp_path: Path) -> None:
    words = [model.with_name("labels.safetensors"), "--segmenter", "unet-scenes", "--inputs", "scenes:20"]
    for labels in ("output", "input"):
        out = ["--out", tmp_path / labels, "--layers", "encoder2", "decoder1", "--labels", labels]
        status, _, error = gandissect("dissect", *words, *out)
        assert status == 0, error
    inputs = Dissection.load(tmp_path / "input")
    assert inputs.provenance.labels == "input"
    assert "by the true labels of the inputs" in (tmp_path / "input" / "report.html").read_text(encoding="utf-8")
    status, _, error = gandissect("report", tmp_path / "output", "--input-labels", tmp_path / "input")
    assert status == 0, error
    comparison = compare_labels(Dissection.load(tmp_path / "output"), inputs)
    with (tmp_path / "output" / "units.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["layer"], int(row["unit"]), float(row["agreement_input_iou"])) for row in rows] == [
        (unit.layer, unit.unit, unit.input_iou) for unit in comparison.units
    ]
    page = (tmp_path / "output" / "report.html").read_text(encoding="utf-8")
    assert page.count("<i>, output</i>") == sum(unit.concept is not None for unit in comparison.units)
    status, _, error = gandissect("dissect", *words, "--out", tmp_path / "input")
    assert status == 2 and "different layers" in error


def test_wrong_uses_are_refused_in_one_line(gandissect, model: Path, pictures: Path, tmp_path: Path) -> None:
    plain, out = model.with_name("plain.safetensors"), tmp_path / "x"
    labels = model.with_name("labels.safetensors")
    for words, message in (
        (["sample", model, "--out", f"{out}.png"], "translates pictures; name them with --inputs"),
        (["sample", plain, "--inputs", pictures, "--out", f"{out}.png"], "from latent vectors; omit --inputs"),
        (["sample", model, "--inputs", pictures, "--classes", "cat", "--out", f"{out}.png"], "omit --classes"),
        (["translate", plain, pictures, "--out", out], "from latent vectors; use gandissect sample"),
        (["translate", model, tmp_path / "absent", "--out", out], "absent"),
        (["translate", model, "dusk=scenes:4", "--out", out], "have no domain; omit NAME="),
        (["translate", model, pictures, "--out", pictures / "out"], "must not be inside"),
        (["translate", labels, pictures, "--out", out], "must have label maps of the concepts"),
        (["translate", model, pictures, "--out", out, "--num-samples", 0], "--num-samples must be at least 1"),
        (
            ["interpolate", model, "--pictures", 0, 1, "--out", f"{out}.png"],
            "which this command does not take; use translate",
        ),
    ):
        status, _, error = gandissect(*words)
        assert status == 2 and message in error and error.count("\n") == 1, (words, error)
    assert not out.exists()
