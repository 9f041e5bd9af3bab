"""What a training watches beside its weights: pictures that stay on the device, held-out pictures, the best snapshot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_gans import Noise, Stops, tiny
from torch import Tensor

import generators
from gandissect.storage.files import load_tensors
from generators import LayeredGenerator
from generators.hub import FORMAT, VERSION
from generators.training import GANSettings, GANTask, train_generator


class Colored(Noise):
    """Pictures of one color."""

    name, inputs = "colored", None

    def __init__(self, color: tuple[int, int, int]) -> None:
        super().__init__()
        self.color = torch.tensor(color, dtype=torch.uint8)[None, :, None, None]

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> SimpleNamespace:
        assert rng is None or self.color[0, 0] > 100, "only red pictures are learned from"
        return SimpleNamespace(images=self.color.expand(len(indices), 3, 16, 16))


def _shown(monkeypatch: pytest.MonkeyPatch, task: GANTask, steps: int) -> Tensor:
    """Train, and return the real images that the discriminator was shown first in each step."""
    seen: list[Tensor] = []
    forward = task.discriminator.forward
    monkeypatch.setattr(
        task.discriminator, "forward", lambda images, *more: seen.append(images) or forward(images, *more)
    )
    real = []
    for index in range(steps):
        seen.clear()
        task.step(index)
        real.append(seen[0].detach())
    return torch.cat(real)


def test_resident_pictures_are_the_evaluation_views_half_of_them_flipped(monkeypatch: pytest.MonkeyPatch) -> None:
    task = GANTask(tiny("dcgan", augmentation=(), resident=True, images=8 * 15), Noise(), device="cpu")
    shown = _shown(monkeypatch, task, 15)
    views = Noise().batch(range(20)).images.float() / 127.5 - 1
    as_is = [[torch.allclose(image, view) for view in views] for image in shown]
    flipped = [[torch.allclose(image, view.flip(2)) for view in views] for image in shown]
    which = (torch.tensor(as_is) | torch.tensor(flipped)).int()
    assert (which.sum(dim=1) == 1).all(), "each is one of the pictures"
    for epoch in which.argmax(dim=1).split(20):
        assert sorted(epoch.tolist()) == list(range(20)), "each epoch shows every picture once"
    turned = torch.tensor(flipped).any(dim=1)
    assert abs(int(turned.sum()) - 60) < 4 * 120**0.5 / 2, "a fair coin, within four standard deviations"


def test_pictures_are_decoded_once_where_they_are_resident() -> None:
    class Counts(Noise):
        asked = 0

        def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> SimpleNamespace:
            Counts.asked += len(indices)
            return super().batch(indices, rng)

    task = GANTask(tiny("dcgan", resident=True), Counts(), device="cpu")
    for index in range(8):
        task.step(index)
    assert Counts.asked == 20


def _evaluate(generator: LayeredGenerator) -> Mapping[str, float]:
    """Return a distance that follows the weights, up and down."""
    return {"distance": float(generator(generator.sample_z(2)).double().sum()) * 1e3 % 1, "other": 1.0}


def _lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def _best(folder: Path) -> tuple[str, dict]:
    path = folder / "best.safetensors"
    return generators.load(path, device="cpu").fingerprint, load_tensors(path, FORMAT, VERSION)[1]["facts"]


SMALL = tiny("progan", resolution=8)
OFTEN = {"evaluate": _evaluate, "snapshot_images": 8, "checkpoint_images": 16, "device": "cpu"}


def test_the_best_snapshot_is_the_one_of_least_distance_whenever_the_run_was_interrupted(tmp_path: Path) -> None:
    settings, kept = SMALL, {}

    def remember(generator: LayeredGenerator) -> Mapping[str, float]:
        generators.save(generator, tmp_path / "one.safetensors", overwrite=True)
        kept[_evaluate(generator)["distance"]] = generators.load(tmp_path / "one.safetensors", device="cpu").fingerprint
        return _evaluate(generator)

    train_generator(settings, Noise(size=8), tmp_path / "whole", **(OFTEN | {"evaluate": remember}))
    distances = {line["distance"]: line["images"] for line in _lines(tmp_path / "whole") if "distance" in line}
    least = min(distances)
    assert 1 < len(distances) == len(kept)
    fingerprint, facts = _best(tmp_path / "whole")
    assert fingerprint == kept[least]
    assert (facts["distance"], facts["images_seen"]) == (least, distances[least])
    for stop in (4, 7):
        run = tmp_path / f"stopped {stop}"
        with pytest.raises(KeyboardInterrupt):
            train_generator(settings, Stops(stop, size=8), run, **OFTEN)
        train_generator(settings, Noise(size=8), run, **OFTEN)
        assert _best(run) == (fingerprint, facts), f"interrupted in step {stop}"


def test_small_images_on_the_way_are_not_evaluated(tmp_path: Path) -> None:
    """8 px for 16 images, faded until 32."""
    train_generator(tiny("progan", fade_images=16, images=40), Noise(), tmp_path, **OFTEN)
    assert [line["images"] for line in _lines(tmp_path) if "distance" in line] == [32, 40]


def test_without_a_distance_no_snapshot_is_the_best(tmp_path: Path) -> None:
    train_generator(
        replace(SMALL, images=8), Noise(size=8), tmp_path, **(OFTEN | {"evaluate": lambda _: {"other": 2.0}})
    )
    assert _lines(tmp_path)[0]["other"] == 2.0
    assert not (tmp_path / "best.safetensors").exists()


def test_what_was_learned_looks_more_real_than_what_was_held_out(tmp_path: Path) -> None:
    settings = tiny("progan", images=8 * 40, learning_rate=2e-3, augmentation=(), r1_gamma=0.0)
    red, blue = Colored((200, 30, 30)), Colored((30, 30, 200))
    train_generator(settings, red, tmp_path, held_out=blue, snapshot_images=160, checkpoint_images=1000, device="cpu")
    watched = [line for line in _lines(tmp_path) if "logit_learned" in line]
    assert [line["images"] for line in watched] == [160, 320]
    assert watched[-1]["logit_learned"] > watched[-1]["logit_held_out"] + 0.1


def test_the_logits_are_those_of_the_evaluation_views_of_both_sets(tmp_path: Path) -> None:
    """Whole batches of eight: the first 16 of 20 learned pictures, 8 of 10 held out."""
    held_out = Noise(10)
    task = GANTask(tiny("progan"), Noise(), held_out=held_out, device="cpu")
    for index in range(8):
        task.step(index)
    figures = task.snapshot(tmp_path, 64)
    with torch.no_grad():
        for name, batches in (("logit_learned", [range(8), range(8, 16)]), ("logit_held_out", [range(8)])):
            views = [held_out.batch(indices).images / 127.5 - 1 for indices in batches]
            expected = torch.cat([task.discriminator(images) for images in views]).mean()
            assert figures[name] == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("settings", [SMALL, tiny("dcgan", images=32)], ids=["progan", "dcgan"])
def test_watching_held_out_pictures_changes_no_weight(settings: GANSettings, tmp_path: Path) -> None:
    """Nor the statistics of batch norms, which learn from whatever they see."""
    size = settings.resolution
    watch = {"held_out": Noise(9, size=size), "evaluate": _evaluate, "snapshot_images": 16}
    states = []
    for name, more in (("alone", {}), ("watched", watch)):
        train_generator(settings, Noise(size=size), tmp_path / name, device="cpu", **more)
        states.append(torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["task"])
    for part in ("generator", "discriminator", "average"):
        for name, value in states[0][part].items():
            assert torch.equal(value, states[1][part][name]), f"{part}.{name}"
