from __future__ import annotations

import json
import re
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import bundled_models
import numpy as np
import pytest
import torch
import train_bundled as script
import tyro
from PIL import Image

import generators
from apps.commands import sample, train_generator
from apps.commands.fidelity import Options as FidelityOptions
from gandissect.storage.cards import read_cards
from generators import DCGAN, Translator

ROOT = Path(__file__).parents[3]
OTHER = """[other]
file = "other.safetensors"
summary = "[tiny-noise16] is another; # no comment"

[other.quality]
distance =   1.50   # kept as it is written

"""


NOISE = bundled_models.TrainingPictures(
    data="DATA/noise", segmenter="unet-scenes", shows="noise", dataset="40 pictures of noise", license='MIT, "free"'
)
TINY = bundled_models.Model(
    "progan",
    NOISE,
    "--hold-out 0.4 --resolution 16 --width 4 --max-width 8 --z-dim 6 --batch-size 8 --images 64 "
    "--hold-images 8 --fade-images 8",
    "--snapshot-images 64 --checkpoint-images 16",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, object]:
    """A repository's folder with one tiny model in it, trained and bundled, and the options that did it."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("repository")
    data = root / "photographs of mine"
    (data / "noise").mkdir(parents=True)
    for index in range(40):
        pixels = np.random.default_rng(index).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(data / f"noise/{index}.png")
    (root / "generators").mkdir()
    shutil.copyfile(ROOT / "generators/cards.toml", root / "generators/cards.toml")
    options = script.Options(data_root=data, hardware="an abacus", device="cpu")
    script.bundle("tiny-noise16", TINY, options, root)
    return root, options


def test_the_card_of_a_trained_model_tells_how_it_was_made(made) -> None:
    root, _ = made
    card = read_cards(root / "generators")["tiny-noise16"]
    assert card.verified_path() == root / "generators/weights/tiny-noise16.safetensors"
    assert card.summary == "Noise, 16 px: ProGAN, 4 units in the last layer."
    assert (card.dataset, card.license, card.hardware) == ("40 pictures of noise", 'MIT, "free"', "an abacus")
    assert card.command.startswith("gandissect train generator progan --data DATA/noise --out runs/tiny-noise16 ")
    assert card.images_seen == 64
    assert re.fullmatch(r"\d+ seconds", card.duration)
    assert str(root) not in (root / "generators/cards.toml").read_text()


def test_the_other_cards_stay_as_they_are_byte_for_byte(made) -> None:
    root, _ = made
    before, after = (folder / "generators/cards.toml" for folder in (ROOT, root))
    assert after.read_bytes().startswith(before.read_bytes())


def test_the_figures_on_the_card_are_those_of_the_fidelity_command(made, capsys) -> None:
    root, options = made
    card = read_cards(root / "generators")["tiny-noise16"]
    data = (str(options.data_root / "noise"),)
    FidelityOptions(str(card.path), data, "unet-scenes", hold_out=0.4, device="cpu", json=True).run()
    found = json.loads(capsys.readouterr().out)
    assert card.quality["frechet_distance"] == round(found["generated"]["distance"]["mean"], 2)
    assert card.quality["real_against_real_std"] == round(found["real"]["distance"]["std"], 2)
    for share in ("precision", "recall", "density", "coverage", "nearest_ratio"):
        wanted = [found[side][share][figure] for side in ("generated", "real") for figure in ("mean", "std")]
        assert list(card.quality[share].values()) == [round(value, 3) for value in wanted]
        assert list(card.quality[share]) == ["mean", "std", "real", "real_std"]
    counts = {key: found[key] for key in ("num_images", "num_sets", "num_train", "seed")}
    assert {key: card.quality[key] for key in counts} == counts


def test_the_card_warns_of_overfitting_with_the_logits_of_its_snapshot(made) -> None:
    root, _ = made
    card = read_cards(root / "generators")["tiny-noise16"]
    lines = [json.loads(line) for line in (root / "runs/tiny-noise16/metrics.jsonl").read_text().splitlines()]
    (wanted,) = (line for line in lines if line["images"] == card.images_seen and "logit_held_out" in line)
    assert card.quality["logit_learned"] == round(wanted["logit_learned"], 3)
    assert card.quality["logit_held_out"] == round(wanted["logit_held_out"], 3)
    num_measured = sum("distance" in line for line in lines)
    assert card.quality["snapshot"] == (
        f"at {card.images_seen} of 64 images, the nearest of {num_measured} to the held-out pictures"
    )


def test_the_samples_are_those_of_the_sample_command(made, tmp_path: Path) -> None:
    root, _ = made
    card = read_cards(root / "generators")["tiny-noise16"]
    sample.Options(str(card.path), tmp_path / "wanted.png", device="cpu").run()
    assert (root / card.quality["samples"]).read_bytes() == (tmp_path / "wanted.png").read_bytes()
    with Image.open(root / card.quality["samples"]) as grid:
        assert grid.size == (8 * 18 + 2, 8 * 18 + 2)


def test_what_is_done_is_not_trained_again_and_ends_the_same(made, monkeypatch) -> None:
    root, options = made
    files = [root / "generators/cards.toml", root / "generators/weights/tiny-noise16.safetensors"]
    before = [file.read_bytes() for file in files]
    run = script.parse_training(TINY.arguments("tiny-noise16"), options, root)
    assert script.is_finished(run)
    monkeypatch.setattr(train_generator.Options, "run", lambda _self: pytest.fail("trained again"))
    script.bundle("tiny-noise16", TINY, options, root)
    assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize(
    "left",
    [
        '{"step": 7, "distance": 2.0}\n',
        '{"step": 8, "loss": 1.0}\n',
        '{"step": 7, "loss": 1.0}\n{"step": 8, "dista',
        "",
    ],
    ids=["a step is missing", "the last measurement is missing", "a line is torn", "nothing"],
)
def test_what_was_interrupted_goes_on(made, tmp_path: Path, left: str) -> None:
    _, options = made
    run = script.parse_training(TINY.arguments("tiny-noise16"), options, tmp_path)
    assert not script.is_finished(run)
    run.out.mkdir(parents=True)
    (run.out / "metrics.jsonl").write_text(left)
    assert not script.is_finished(run)
    assert run.resume


def test_a_card_is_not_written_of_a_run_with_other_settings(made) -> None:
    root, options = made
    before = (root / "generators/cards.toml").read_bytes()
    other = replace(TINY, options=TINY.options + " --seed 5 --images 128")
    with pytest.raises(
        ValueError, match=r"tiny-noise16 was trained with different settings \(images, seed\); fix the table"
    ):
        script.bundle("tiny-noise16", other, replace(options, only_card=True), root)
    assert (root / "generators/cards.toml").read_bytes() == before


def test_weights_too_large_to_ship_are_refused_before_they_are_trained(tmp_path: Path) -> None:
    wide = bundled_models.Model("progan", NOISE, "--width 128 --max-width 512", "")
    with pytest.raises(ValueError, match=r"wide must take at most 16 MB; got 30\.\d MB; reduce max_width"):
        script.bundle("wide", wide, script.Options(device="cpu"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_size_told_beforehand_is_that_of_the_tensors_in_the_file(made, tmp_path: Path) -> None:
    root, options = made
    data = (root / "generators/weights/tiny-noise16.safetensors").read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    run = script.parse_training(TINY.arguments("tiny-noise16"), options, tmp_path)
    assert script.count_half_precision_bytes(run.settings) == len(data) - header


def _run(folder: Path, distances: dict[int, float], *, best: int | None, size: int = 16) -> Path:
    """Write what a run leaves, whose last snapshot is that of the most images."""
    generator = DCGAN(size=size, width=2, z_dim=4)
    generators.save(generator, folder / "generator.safetensors", {"images_seen": max(distances)})
    if best is not None:
        generators.save(generator, folder / "best.safetensors", {"images_seen": best})
    lines = [{"images": images, "seconds": images / 10, "distance": d} for images, d in distances.items()]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.mark.parametrize(
    ("distances", "best", "chosen"),
    [
        ({10: 3.0, 20: 2.0, 30: 2.5}, 20, "best"),
        ({10: 3.0, 20: 2.0, 30: 1.5}, 30, "generator"),
        ({10: 3.0, 20: 2.0, 30: 2.0}, 20, "generator"),
        ({10: 3.0}, None, "generator"),
    ],
)
def test_the_best_snapshot_ships_if_it_is_better_than_the_last(tmp_path: Path, distances, best, chosen) -> None:
    snapshot = script.choose_snapshot(_run(tmp_path, distances, best=best))
    assert snapshot.path == tmp_path / f"{chosen}.safetensors"
    assert snapshot.distance == min(distances.values())
    assert snapshot.seconds == max(distances) / 10


def test_a_network_that_has_not_grown_up_gets_no_card(tmp_path: Path, made) -> None:
    _, options = made
    run = script.parse_training(TINY.arguments("small"), options, tmp_path)
    snapshot = script.choose_snapshot(_run(tmp_path, {8: 1.0}, best=None, size=32))
    with pytest.raises(ValueError, match=r"must make images of 16 px; got 32 px; continue"):
        script.measure_fidelity(run, snapshot, "unet-scenes")


def test_an_autoencoder_ships_its_last_snapshot_with_its_own_figures(made, tmp_path: Path) -> None:
    """The reconstructions' error is beside that of the mean picture; other models have no such entries."""
    root, options = made
    size = "--hold-out 0.4 --resolution 16 --width 4 --z-dim 6 --batch-size 8 --images 64"
    model = bundled_models.Model("vae", NOISE, size, "--snapshot-images 64 --checkpoint-images 64", chosen=False)
    assert "--segmenter" not in model.arguments("tiny-vae")
    run = script.parse_training(model.arguments("tiny-vae"), options, tmp_path)
    run.run()
    assert script.is_finished(run)
    snapshot = script.choose_snapshot(run.out)
    assert (snapshot.images_seen, snapshot.num_measured) == (64, 0)
    figures = script.describe_autoencoder(run, snapshot)
    assert figures["elbo"] == pytest.approx(snapshot.figures["elbo"], abs=0.5)
    assert 0 < figures["mean_picture_mse"] < 1
    assert figures["num_pictures"] > 10
    tiny = script.choose_snapshot(script.parse_training(TINY.arguments("tiny-noise16"), options, root).out)
    assert script.describe_autoencoder(run, tiny) == {}


@pytest.mark.parametrize("before", ["", OTHER])
@pytest.mark.parametrize("after", ["", OTHER.replace("other", "later")])
def test_a_card_is_replaced_where_it_stands(before: str, after: str) -> None:
    old = '[mine]\nfile = "a"\n\n[mine.quality]\nx = 1\n' + ("\n" if after else "")
    near = '[mine-too]\nfile = "b"\n\n'
    new = (
        script.format_table("mine", {"file": "c", "n": 3})
        + "\n"
        + script.format_table("mine.quality", {"y": {"mean": 0.5}})
    )
    text = script.replace_card(near + before + old + after, "mine", new)
    assert text == near + before + new + ("\n" if after else "") + after
    assert tomllib.loads(text)["mine"] == {"file": "c", "n": 3, "quality": {"y": {"mean": 0.5}}}


@pytest.mark.parametrize("models", [script.CPU_MODELS, script.GPU_MODELS], ids=["cpu", "gpu"])
def test_every_model_of_the_tables_can_be_trained_and_fits(models) -> None:
    for name, model in models.items():
        words = [word.replace("DATA", "photographs") for word in model.arguments(name).split()]
        run = tyro.cli(train_generator.Options, args=words)
        subject = name.partition("-")[2].removesuffix(str(run.settings.resolution))
        assert (subject == "scenes") == all("scenes:" in spec for spec in run.data)
        assert model.pictures.segmenter == f"unet-{'streets' if subject == 'outdoor' else subject}"
        assert run.segmenter == (model.pictures.segmenter if model.chosen else None)
        script.check_fits(name, script.count_half_precision_bytes(run.settings))
        assert run.settings.images > _grown_after(run.settings), "it is to see images of full size"


def _grown_after(settings) -> int:
    """Return after how many images a network has grown, by counting them."""
    if getattr(settings, "start_resolution", None) is None:
        return 0
    size, images = settings.start_resolution, settings.hold_images
    while size < settings.resolution:
        size, images = 2 * size, images + settings.fade_images + settings.hold_images
    return images


@pytest.mark.parametrize("name", generators.names())
def test_the_command_on_a_card_is_one_that_is_understood(name: str) -> None:
    card = generators.card(name)
    words = card.command.removeprefix("gandissect train generator ").split()
    run = tyro.cli(train_generator.Options, args=words)
    assert run.settings.seed == card.seed
    assert card.images_seen <= run.settings.num_steps * run.settings.images_per_step
    generator = generators.load(name, device="cpu")
    noise_dim = 0 if isinstance(generator, Translator) else run.settings.z_dim
    assert generator.noise_dim == noise_dim + getattr(run.settings, "code_dim", 0)
    assert generator.image_size == (run.settings.resolution, run.settings.resolution)
    assert generator.settings.get("width", run.settings.width) == run.settings.width  # a BigGAN lists its units


def test_the_dcgan_of_the_same_pictures_stands_beside(tmp_path: Path) -> None:
    cards = tmp_path / "cards.toml"
    cards.write_text(
        "[dcgan-streets64.quality]\nfrechet_distance = 6.31\nfrechet_distance_std = 0.14\n", encoding="utf-8"
    )
    assert script.describe_dcgan("progan-streets64", cards) == {"beside": "dcgan-streets64: 6.31 ± 0.14"}
    assert script.describe_dcgan("progan-scenes64", cards) == {}
    assert script.describe_dcgan("dcgan-streets64", cards) == {}
