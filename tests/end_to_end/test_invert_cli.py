"""``gandissect invert`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import generators
from gandissect import Ablation, Recipe, UnitSet
from gandissect.core import from_uint8
from gandissect.latent import Inversion
from generators.architectures.cgan import ConditionalDCGAN
from generators.architectures.decoder import Decoder
from generators.architectures.encoder import Encoder
from segmenters.datasets import Photos, open_source

QUICK = ("--num-candidates", 50, "--num-starts", 2, "--num-steps", 10, "--device", "cpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = {name: getattr(generators, name)(size=16, width=4, z_dim=6) for name in ("DCGAN", "StyleGAN")}
    for name, generator in made.items():
        generators.save(generator, folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in made}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two pictures of other sizes than the generators'."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (40, 60, 3)), ("b.jpg", (70, 33, 3))):
        pixels = np.kron(rng.integers(0, 255, (10, 10, 3)), np.ones((7, 7, 1)))[: size[0], : size[1]]
        Image.fromarray(pixels.astype(np.uint8)).resize(size[1::-1]).save(folder / name)
    (folder / "all.txt").write_text("a.png\nb.jpg\n")
    return [folder / "a.png", folder / "b.jpg"]


def _picture(path: Path, column: int, row: int, side: int = 16) -> torch.Tensor:
    """The pixels of one picture of the table, [3, H, W]."""
    x, y = 2 + column * (side + 2), 18 + row * (side + 2)
    pixels = np.asarray(Image.open(path).convert("RGB"))[y : y + side, x : x + side]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


def test_a_table_a_file_and_the_figures(gandissect, models, photos: list[Path], tmp_path: Path) -> None:
    generator = generators.load(models["DCGAN"], device="cpu")
    edits = [Ablation(UnitSet("layer2", (0, 1)))]
    recipe = Recipe.of(generator, edits).save(tmp_path / "recipe.json")
    out = tmp_path / "found"
    words = ("--out", out, "--layer", "layer1", "--recipe", recipe, "--segmenter", "palette", "--json", *QUICK)
    status, output, error = gandissect("invert", models["DCGAN"], *photos, *words)
    assert status == 0, error
    facts, found = json.loads(output), Inversion.load(out)
    assert (facts["space"], facts["layer"], facts["num_steps"]) == ("z", "layer1", 10)
    assert [each["name"] for each in facts["pictures"]] == [str(path) for path in photos]
    assert [each["psnr"] for each in facts["pictures"]] == found.psnr.tolist()
    assert all(each["loss_end"] < each["loss_start"] for each in facts["pictures"])
    assert torch.equal(found.pictures, Photos(photos[0].parent, 16).batch([0, 1]).images), "as pictures are read"
    assert sum(each["picture"] for each in facts["concepts"]) == pytest.approx(1)
    edited = (found.generate(generator, edits).clamp(-1, 1) + 1) * 127.5
    for row in range(2):
        assert torch.equal(_picture(out / "inversion.png", 0, row), found.pictures[row])
        assert torch.equal(_picture(out / "inversion.png", 1, row), found.reconstructions[row])
        shown = _picture(out / "inversion.png", 2, row).float() / 255 * 0.25
        assert (shown - found.error_maps[row].clamp(max=0.25)).abs().max() < 1e-3
        assert (_picture(out / "inversion.png", 3, row) - edited[row]).abs().max() <= 0.51


def test_the_encoder_of_an_autoencoder_gives_the_start(gandissect, models, photos: list[Path], tmp_path: Path) -> None:
    """Without steps its latent vectors are the result, and with ``--no-encoder`` the nearest sample's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        decoder, encoder = Decoder(16, 16, 6).eval(), Encoder(16, 4, 6)
        encoder.stages[-1].bias.data.normal_()
    generators.save(decoder, model := tmp_path / "vae.safetensors", encoder=encoder)
    assert generators.has_encoder(model)
    assert not generators.has_encoder(models["DCGAN"])
    words = ("--num-candidates", 50, "--num-starts", 1, "--num-steps", 0, "--device", "cpu", "--json")
    status, output, error = gandissect("invert", model, *photos, *words, "--out", tmp_path / "encoded")
    assert status == 0, error
    assert json.loads(output)["encoder"]
    found = Inversion.load(tmp_path / "encoded")
    with torch.no_grad():
        z = generators.load_encoder(model, "cpu").encode(from_uint8(found.pictures))
    torch.testing.assert_close(found.latents, z)
    status, output, error = gandissect("invert", model, *photos, *words, "--no-encoder", "--out", tmp_path / "sampled")
    assert status == 0, error
    assert not json.loads(output)["encoder"]
    assert (Inversion.load(tmp_path / "sampled").latents - z).abs().max() > 0.1


def test_identity_is_kept_and_shown_in_other_classes(gandissect, photos: list[Path], tmp_path: Path) -> None:
    """From the encoder's noise and a class that is held; each further column has the noise and its own class."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        generator = ConditionalDCGAN(16, 4, 6, ("noon", "dusk", "night")).eval()
        encoder = Encoder(16, 4, 6, deterministic=True)
    generators.save(generator, model := tmp_path / "hours.safetensors", encoder=encoder)
    words = ("--classes", "dusk", "--other-classes", "night", "noon", "--out", tmp_path / "x", "--device", "cpu")
    objective = ("--segmenter", "unet-scenes", "--identity", "--num-starts", 1, "--num-steps", 2, "--json")
    status, output, error = gandissect("invert", model, *photos, *words, *objective, "--num-candidates", 20)
    assert status == 0, error
    facts, found = json.loads(output), Inversion.load(tmp_path / "x")
    assert (facts["with_pixels"], facts["optimizer"], facts["encoder"]) == (False, "lbfgs", True)
    loaded = generators.load(model, device="cpu")
    assert loaded.classes_of(found.latents) == ("dusk", "dusk")
    for column, index in ((3, 2), (4, 0)):
        rows = torch.cat([found.latents[:, :6], torch.eye(3)[[index, index]]], dim=1)
        shown = (loaded(rows).clamp(-1, 1) + 1) * 127.5
        for row in range(2):
            assert (_picture(tmp_path / "x" / "inversion.png", column, row) - shown[row]).abs().max() <= 0.51


def test_a_stylegan_is_searched_layer_by_layer(gandissect, models, photos: list[Path], tmp_path: Path) -> None:
    status, output, error = gandissect("invert", models["StyleGAN"], photos[0], "--out", tmp_path / "x", *QUICK)
    assert status == 0, error
    lines = output.splitlines()
    assert lines[0] == str(tmp_path / "x")
    found = Inversion.load(tmp_path / "x")
    assert lines[1] == f"{photos[0]}: {float(found.psnr):.1f} dB"
    assert (found.space, len(lines), found.with_features) == ("ws", 2, False)


def test_held_out_scenes_are_inverted_with_noise_of_their_own(gandissect, models, tmp_path: Path) -> None:
    words = ("--data", "scenes:40", "--num-pictures", 3, "--noise", "--out", tmp_path / "x", "--json", *QUICK)
    status, output, error = gandissect("invert", models["StyleGAN"], *words)
    assert status == 0, error
    facts, found = json.loads(output), Inversion.load(tmp_path / "x")
    held_out = open_source("scenes", 16, held_out=True)
    assert [each["name"] for each in facts["pictures"]] == [f"held-out picture {index}" for index in (0, 334, 668)]
    assert torch.equal(found.pictures, held_out.batch([0, 334, 668]).images)
    assert (facts["noise"], [len(each) for each in found.noise]) == (True, [3] * 6)


def test_features_of_a_segmenter_are_compared(gandissect, models, photos: list[Path], tmp_path: Path) -> None:
    words = ("--segmenter", "unet-scenes", "--out", tmp_path / "x", "--json", *QUICK[:-2], "--num-steps", 2)
    status, output, error = gandissect("invert", models["DCGAN"], photos[0], *words, "--device", "cpu")
    assert status == 0, error
    facts = json.loads(output)
    assert (facts["with_features"], facts["segmenter"]) == (True, "unet-scenes")
    assert facts["concepts"][0]["stderr"] is None


def test_a_file_is_no_folder_and_stays_as_it_is(gandissect, models, photos: list[Path], tmp_path: Path) -> None:
    kept = models["DCGAN"].read_bytes()
    for out in (models["DCGAN"], models["DCGAN"] / "deeper"):
        status, output, error = gandissect("invert", models["DCGAN"], photos[0], "--out", out, *QUICK)
        assert (status, output) == (2, "")
        assert f"{models['DCGAN']} is a file; choose another folder" in error
    assert models["DCGAN"].read_bytes() == kept
    out = tmp_path / "new.safetensors"
    status, _, error = gandissect("invert", models["DCGAN"], photos[0], "--out", out, *QUICK)
    assert status == 0, error
    assert sorted(path.name for path in out.iterdir()) == ["inversion.png", "inversion.safetensors"]


BAD = {
    "no file": (("DCGAN", "OUT/none.png"), "No such file"),
    "no pictures": (("DCGAN",), "name either picture files, or the generator"),
    "files and data": (("DCGAN", "PHOTO", "--data", "scenes"), "name either picture files, or the generator"),
    "no number": (("DCGAN", "--data", "scenes", "--num-pictures", "0"), "the number of pictures must be 1 to 64"),
    "nothing held out": (("DCGAN", "--data", "SPLIT"), "are held out; name a folder without @SPLIT"),
    "no features": (("DCGAN", "PHOTO", "--identity"), "--identity needs a --segmenter with an encoder"),
    "no classes": (("DCGAN", "PHOTO", "--other-classes", "dusk"), "has no classes; omit --other-classes"),
    "no noise": (("DCGAN", "PHOTO", "--noise"), "noise can be inverted only in w or ws"),
    "no picture": (("DCGAN", "MODEL"), "is not a picture that can be read"),
    "no w": (("DCGAN", "PHOTO", "--space", "w"), "has no w, only z"),
    "an empty space": (("DCGAN", "PHOTO", "--space", ""), "unknown latent space ''"),
    "no layer": (("DCGAN", "PHOTO", "--layer", "layer9"), "did you mean 'layer"),
    "no steps": (("DCGAN", "PHOTO", "--num-steps", "-1"), "at least 0 steps"),
    "another generator": (("StyleGAN", "PHOTO", "--recipe", "RECIPE"), "the recipe belongs to"),
    "no segmenter": (("DCGAN", "PHOTO", "--segmenter", "unet-scene"), "unet-scenes"),
}


@pytest.mark.parametrize(("arguments", "hint"), BAD.values(), ids=BAD.keys())
def test_bad_input_gets_one_line_and_writes_nothing(
    gandissect, models, photos: list[Path], tmp_path: Path, arguments: tuple[str, ...], hint: str
) -> None:
    recipe = Recipe.of(generators.load(models["DCGAN"], device="cpu"), []).save(tmp_path / "recipe.json")
    places = {
        **models,
        "SPLIT": f"{photos[0].parent}@all",
        "PHOTO": photos[0],
        "MODEL": models["DCGAN"],
        "RECIPE": recipe,
    }
    words = [str(places.get(each, each)).replace("OUT", str(tmp_path)) for each in arguments]
    status, output, error = gandissect("invert", *words, "--out", tmp_path / "x")
    assert (status, output, error.count("\n")) == (2, "", 1), error
    assert hint in error
    assert not (tmp_path / "x").exists()
