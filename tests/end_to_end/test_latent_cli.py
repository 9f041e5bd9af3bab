"""``gandissect interpolate`` and ``gandissect mix`` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import generators
import segmenters
from gandissect import encoder_features
from gandissect.latent import Walk, mix_styles, path_length, slerp, swap_activations, truncated_z


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = {name: getattr(generators, name)(size=16, width=4, z_dim=6) for name in ("DCGAN", "ProGAN", "StyleGAN")}
    for name, generator in made.items():
        generators.save(generator, folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in made}


def _picture(path: Path, x: int, y: int, side: int = 16) -> torch.Tensor:
    """The pixels of one picture, [3, H, W]."""
    return torch.from_numpy(np.asarray(Image.open(path).convert("RGB"))[y : y + side, x : x + side].copy()).permute(
        2, 0, 1
    )


def _is(found: torch.Tensor, image: torch.Tensor) -> bool:
    return bool((found.float() - ((image.clamp(-1, 1) + 1) * 127.5)).abs().max() <= 1)


def test_a_strip_is_the_walk(gandissect, models: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "strip.png"
    status, output, error = gandissect(
        "interpolate", models["DCGAN"], "--pictures", 4, 7, "--seed", 2, "--out", out, "--json"
    )
    assert status == 0, error
    facts = json.loads(output)
    assert (facts["space"], facts["num_frames"], facts["pictures"]) == ("z", 5, [4, 7])
    assert 0 < facts["steps"]["least"] <= facts["steps"]["mean"] <= facts["steps"]["most"]
    generator = generators.load(models["DCGAN"], device="cpu")
    a, b = generator.sample_z(1, 2, 4)[0], generator.sample_z(1, 2, 7)[0]
    for index in range(5):
        assert _is(_picture(out, 2 + index * 18, 2), generator(slerp(a, b, index / 4)[None])[0])


def test_a_grid_has_the_four_pictures_in_its_corners(gandissect, models: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    for name in models:
        status, _, error = gandissect(
            "interpolate", models[name], "--grid", "--num-frames", 3, "--out", out, "--overwrite"
        )
        assert status == 0, error
        generator = generators.load(models[name], device="cpu")
        images = generator(generator.sample_z(4, seed=1))
        for image, (x, y) in zip(images, [(2, 2), (38, 2), (2, 38), (38, 38)], strict=True):
            assert _is(_picture(out, x, y), image)


def test_a_film_comes_back_to_where_it_began(gandissect, models: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "film.gif"
    words = ("interpolate", models["StyleGAN"], "--pictures", 0, 1, 2, "--num-frames", 12, "--fps", 10, "--out", out)
    status, output, error = gandissect(*words, "--json")
    assert (status, json.loads(output)["space"]) == (0, "w"), error
    with Image.open(out) as film:
        assert (film.n_frames, film.size, film.info["loop"], film.info["duration"]) == (12, (16, 16), 0, 100)
        generator = generators.load(models["StyleGAN"], device="cpu")
        walk = Walk(generator, generator.sample_z(3, seed=1), "w", closed=True)
        images = walk.images(walk.positions(12))
        for index in (0, 4, 7):
            film.seek(index)
            pixels = torch.from_numpy(np.array(film.convert("RGB"))).permute(2, 0, 1)
            wanted = (images[index].clamp(-1, 1) + 1) * 127.5
            assert (pixels - wanted).abs().mean() < 4, "256 colors of 256 pixels"
    status, output, _ = gandissect(*words, "--even", "--json", "--overwrite")
    even = json.loads(output)["steps"]
    assert even["most"] < 2 * even["least"]


def test_a_way_leads_through_the_activations_of_a_layer(gandissect, models: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "strip.png"
    status, _, error = gandissect(
        "interpolate", models["ProGAN"], "--space", "layer2", "--pictures", 0, 1, "--out", out
    )
    assert status == 0, error
    generator = generators.load(models["ProGAN"], device="cpu")
    z = generator.sample_z(2, seed=1)
    middle = generator.head(z, "layer2").mean(dim=0, keepdim=True)
    assert _is(_picture(out, 2 + 2 * 18, 2), generator.tail(middle, "layer2", z[:1])[0])


def test_the_path_length_comes_with_its_interval_and_network(
    gandissect, models: dict[str, Path], tmp_path: Path
) -> None:
    words = (
        "interpolate",
        models["DCGAN"],
        "--path-length",
        4,
        "--segmenter",
        "unet-scenes",
        "--out",
        tmp_path / "x.png",
    )
    status, output, error = gandissect(*words, "--device", "cpu", "--json")
    assert status == 0, error
    answer = json.loads(output)["path_length"]
    generator, segmenter = generators.load(models["DCGAN"], "cpu"), segmenters.load("unet-scenes", "cpu")
    wanted = path_length(generator, "unet-scenes", encoder_features(segmenter), "z", 4, 1, progress=False)
    assert {name: answer[name] for name in ("mean", "low", "high", "network")} == {
        "mean": wanted.mean,
        "low": wanted.low,
        "high": wanted.high,
        "network": "unet-scenes",
    }
    status, _, error = gandissect(
        "interpolate", models["DCGAN"], "--path-length", 4, "--segmenter", "palette", "--out", tmp_path / "y.png"
    )
    assert (status, "has no encoder" in error) == (2, True)


def test_tables_are_of_mixed_styles_or_swapped_activations(gandissect, models: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "table.png"
    left, top = 2 + 18 + 6, 2 + 18 + 18  # of the first mixed picture
    words = ("--rows", 0, 1, "--columns", 2, 3, 4, "--out", out, "--json", "--overwrite")
    status, output, error = gandissect("mix", models["StyleGAN"], *words)
    assert status == 0, error
    tables = json.loads(output)["tables"]
    assert [each["heading"] for each in tables] == ["coarse styles (4 to 8 px)", "middle styles (16 px)"]
    generator = generators.load(models["StyleGAN"], device="cpu")
    w = generator.mapping(generator.sample_z(5, seed=1))
    assert _is(_picture(out, 2, top), generator(w[:1])[0])
    assert _is(_picture(out, left, 2), generator(w[2:3])[0])
    assert _is(_picture(out, left + 18, top + 18), generator(mix_styles(generator, w[1:2], w[3:4], range(4)))[0])
    status, output, error = gandissect("mix", models["DCGAN"], "--layers", "layer2", "--region", 0, 0, 1, 0.5, *words)
    assert (status, json.loads(output)["mixed"]) == (0, "activations"), error
    generator = generators.load(models["DCGAN"], device="cpu")
    z, mask = generator.sample_z(5, seed=1), torch.zeros(16, 16)
    mask[:8] = 1
    assert _is(_picture(out, left, top), swap_activations(generator, z[:1], z[2:3], "layer2", mask)[0])
    status, output, error = gandissect("mix", models["StyleGAN"], "--noise", *words[:3], *words[7:])
    assert status == 0, error
    assert list(json.loads(output)["noise"]) == [f"layer{index + 1}" for index in range(6)]


def test_samples_are_truncated_in_the_first_layers_or_in_z(gandissect, models: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "x.png"
    words = ("--num-samples", 1, "--out", out, "--seed", 5, "--overwrite")
    status, _, error = gandissect(
        "sample", "--generator", models["StyleGAN"], "--truncation-psi", 0, "--truncation-cutoff", 2, *words
    )
    assert status == 0, error
    generator = generators.load(models["StyleGAN"], device="cpu")
    w = generator.mapping(generator.sample_z(1, seed=5))
    w[:, :2] = generator.mapping.w_avg
    assert _is(_picture(out, 0, 0), generator(w)[0])
    status, _, error = gandissect("sample", "--generator", models["DCGAN"], "--truncation-limit", 0.5, *words)
    assert status == 0, error
    generator = generators.load(models["DCGAN"], device="cpu")
    assert _is(_picture(out, 0, 0), generator(truncated_z(generator, 1, seed=5, limit=0.5))[0])


HUGE = ("--pictures", "0", str(2**70))
"""Pictures that cannot be drawn; what is refused before them, is refused before anything is drawn."""
BAD = {
    "a limit of none": (("sample", "--generator", "ProGAN", "--truncation-limit", "1"), "divides z by its length"),
    "a cutoff alone": (("sample", "--generator", "StyleGAN", "--truncation-cutoff", "1"), "needs --truncation-psi"),
    "too many layers": (
        ("sample", "--generator", "StyleGAN", "--truncation-psi", "1", "--truncation-cutoff", "9"),
        "truncation_cutoff must be in [0, 6]",
    ),
    "a truncated length": (
        ("interpolate", "StyleGAN", "--path-length", "4", "--truncation-psi", "0.5"),
        "omit --path-length or the truncation",
    ),
    "one picture": (("interpolate", "DCGAN", "--pictures", "1"), "must be at least 2 nonnegative indices"),
    "three corners": (("interpolate", "DCGAN", "--grid", "--pictures", "1", "2", "3"), "exactly 4 nonnegative indices"),
    "a grid as a film": (("interpolate", "DCGAN", "--grid", "--out", "OUT/x.gif"), "must end in .png for a grid"),
    "another kind of file": (("interpolate", "DCGAN", "--out", "OUT/x.mp4"), "must end in .png or .gif"),
    "no w": (("interpolate", "DCGAN", "--space", "w"), "has no w, only z"),
    "no such space": (("interpolate", "DCGAN", "--space", "layer9"), "unknown latent space or layer 'layer9'"),
    "no psi": (("interpolate", "DCGAN", "--truncation-psi", "0.5"), "acts on w, not z"),
    "no limit": (("interpolate", "ProGAN", "--truncation-limit", "0.5"), "divides z by its length"),
    "a grid in a layer": (("interpolate", "ProGAN", "--grid", "--space", "layer2"), "got 'layer2'"),
    "even grid": (("interpolate", "ProGAN", "--grid", "--even"), "omit --even or --grid"),
    "frames": (("interpolate", "ProGAN", "--num-frames", "1"), "--num-frames must be 2 to 4096 frames"),
    "a large grid": (
        ("interpolate", "ProGAN", "--grid", "--num-frames", "65"),
        "--num-frames must be 2 to 64 images along each side",
    ),
    "a layer of none": (("mix", "DCGAN", "--layers", "layer9"), "did you mean 'layer"),
    "a style of none": (("mix", "StyleGAN", "--layers", "layer99"), "did you mean 'layer"),
    "a region": (("mix", "DCGAN", "--region", "0.5", "0", "0.2", "1"), "with LEFT < RIGHT"),
    "no noise": (("mix", "DCGAN", "--noise"), "adds no noise"),
    "noise of a layer": (
        ("mix", "StyleGAN", "--noise", "--layers", "layer1"),
        "omit --layers, --region and --columns",
    ),
    "noise of columns": (
        ("mix", "StyleGAN", "--noise", "--columns", "3"),
        "omit --layers, --region and --columns",
    ),
    "a rate of a picture": (("interpolate", "DCGAN", "--fps", "20"), "for a GIF only; got 20 for"),
    "a rate": (("interpolate", "DCGAN", "--fps", "51", "--out", "OUT/x.gif"), "--fps must be 1 to 50"),
    "an empty space": (("interpolate", "DCGAN", "--space", ""), "unknown latent space or layer ''"),
    "one pair": (("interpolate", "DCGAN", "--path-length", "1"), "must be at least 2 pairs, or 0"),
    "no network": (("interpolate", "DCGAN", "--path-length", "4", "--segmenter", "unet-scene", *HUGE), "unet-scenes"),
    "no encoder": (("interpolate", "DCGAN", "--path-length", "4", "--segmenter", "palette", *HUGE), "has no encoder"),
    "a path length in a layer": (
        ("interpolate", "DCGAN", "--path-length", "4", "--space", "layer2", *HUGE),
        "known: z",
    ),
    "far beyond": (("interpolate", "StyleGAN", "--truncation-psi", "1e38"), "NaN or infinite"),
    "mixed far beyond": (("mix", "StyleGAN", "--truncation-psi", "1e38"), "latent vectors must be finite"),
    "no w to truncate": (("mix", "DCGAN", "--truncation-psi", "0.5"), "has no w"),
    "a negative picture": (("mix", "DCGAN", "--rows", "-1"), "nonnegative indices"),
}


@pytest.mark.parametrize(("arguments", "hint"), BAD.values(), ids=BAD.keys())
def test_bad_input_gets_one_line_and_writes_nothing(
    gandissect, models: dict[str, Path], tmp_path: Path, arguments: tuple[str, ...], hint: str
) -> None:
    words = [str(models.get(each, each)).replace("OUT", str(tmp_path)) for each in arguments]
    if "--out" not in words:
        words += ["--out", str(tmp_path / "x.png")]
    status, output, error = gandissect(*words)
    assert (status, output, error.count("\n")) == (2, "", 1), error
    assert hint in error
    assert not list(tmp_path.iterdir())
