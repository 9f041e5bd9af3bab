"""A training that is extended ends as if it had been begun with as many images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_gans import Noise, Stops, tiny

import generators
from generators.training import train_generator


def _train(settings: Any, folder: Path, source: Noise | None = None) -> None:
    train_generator(settings, source or Noise(), folder, device="cpu", checkpoint_images=8)


def _state(folder: Path) -> list[torch.Tensor]:
    """Every tensor of a checkpoint, in order."""

    def flatten(value: Any) -> list[torch.Tensor]:
        if isinstance(value, dict | list | tuple):
            return [
                tensor for part in (value.values() if isinstance(value, dict) else value) for tensor in flatten(part)
            ]
        return [value] if isinstance(value, torch.Tensor) else [torch.tensor(value)] if isinstance(value, float) else []

    return flatten(torch.load(folder / "checkpoint.pt", weights_only=True)["task"])


def _assert_equal(one: Path, other: Path) -> None:
    for a, b in zip(_state(one), _state(other), strict=True):
        assert torch.equal(a, b)
    assert json.loads((one / "settings.json").read_text()) == json.loads((other / "settings.json").read_text())


@pytest.mark.parametrize("architecture", ["dcgan", "progan"])
def test_a_finished_training_is_extended_bit_for_bit(architecture: str, tmp_path: Path) -> None:
    short, long = tiny(architecture, images=72), tiny(architecture, images=120)
    _train(long, tmp_path / "whole")
    _train(short, tmp_path / "extended")
    _train(long, tmp_path / "extended")
    _assert_equal(tmp_path / "extended", tmp_path / "whole")


def test_a_training_is_extended_before_its_learning_rate_falls(tmp_path: Path) -> None:
    short, long = tiny("dcgan", images=64, decay_from=0.5), tiny("dcgan", images=128, decay_from=0.5)
    _train(long, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        _train(short, tmp_path / "extended", Stops(6))  # after 5 of 8 steps: the fifth was at half of the training
    _train(long, tmp_path / "extended")
    _assert_equal(tmp_path / "extended", tmp_path / "whole")


@pytest.mark.parametrize("stopped_in", [7, None])
def test_no_training_is_extended_after_its_learning_rate_fell(tmp_path: Path, stopped_in: int | None) -> None:
    settings = tiny("dcgan", images=64, decay_from=0.5)
    if stopped_in is None:
        _train(settings, tmp_path)
    else:
        with pytest.raises(KeyboardInterrupt):
            _train(settings, tmp_path, Stops(stopped_in))
    before = (tmp_path / "checkpoint.pt").read_bytes()
    message = "64 images cannot be extended to 128: its learning rate has fallen since image 32 .*decay_from is 0.5"
    with pytest.raises(ValueError, match=message):
        _train(tiny("dcgan", images=128, decay_from=0.5), tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    if stopped_in is not None:
        _train(settings, tmp_path)  # as it was begun, it is finished


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"images": 32}, "images: 64 there, 32 given"),
        ({"images": 128, "seed": 1}, "images: 64 there, 128 given, seed: 0 there, 1 given"),
        ({"images": 128, "decay_from": 0.5}, "decay_from: 1.0 there, 0.5 given, images: 64 there, 128 given"),
    ],
)
def test_only_more_images_extend_a_training(tmp_path: Path, changes: dict[str, Any], difference: str) -> None:
    _train(tiny("dcgan"), tmp_path)
    with pytest.raises(ValueError, match=rf"other settings \({difference}\)"):
        _train(tiny("dcgan", **changes), tmp_path)


def test_a_stopped_training_has_the_generator_of_its_checkpoint(tmp_path: Path) -> None:
    """Stopped by Ctrl-C before the first snapshot, and half faded in: the generator makes images of the size before."""
    import signal

    class Interrupts(Noise):
        asked = 0

        def batch(self, indices: Any, rng: Any = None) -> Any:
            self.asked += 1
            if self.asked == 3:
                signal.raise_signal(signal.SIGINT)
            return super().batch(indices, rng)

    with pytest.raises(KeyboardInterrupt):
        _train(tiny("progan"), tmp_path, Interrupts())
    generator = generators.load(tmp_path, device="cpu")
    average = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["task"]["average"]
    assert generator.image_size == (8, 8)
    for name, value in generator.state_dict().items():
        if not name.startswith("output"):
            assert torch.equal(value.half(), average[f"generator.{name}"].half()), name
    assert not list(tmp_path.glob("generator-*")), "that is no snapshot"
