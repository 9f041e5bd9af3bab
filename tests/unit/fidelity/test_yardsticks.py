from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from apps.commands.fidelity import Options
from gandissect import Yardstick
from gandissect.core import load_pictures
from gandissect.core.images import from_uint8
from gandissect.fidelity import inception
from gandissect.fidelity.inception import Inception
from segmenters import UNetSegmenter
from segmenters.datasets import open_pictures

EXTRACTOR = "torch_fidelity.feature_extractor_inceptionv3"


class _Extractor(nn.Module):
    """The interface of torch-fidelity's extractor: it reads a file, takes uint8 and returns a tuple."""

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str) -> None:
        super().__init__()
        assert features_list == ["2048"]
        self.scale = nn.Parameter(torch.zeros(3), requires_grad=False)
        self.load_state_dict(torch.load(feature_extractor_weights_path, weights_only=True))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        assert x.dtype == torch.uint8
        return ((x.float().mean(dim=(2, 3)) * self.scale),)


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file of weights for a stand-in of torch-fidelity."""
    module = ModuleType(EXTRACTOR)
    module.FeatureExtractorInceptionV3 = _Extractor
    monkeypatch.setitem(sys.modules, "torch_fidelity", ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, EXTRACTOR, module)
    torch.save({"scale": torch.tensor([1.0, 10.0, 100.0])}, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "pictures"
    path.mkdir()
    for index in range(40):
        pixels = np.random.default_rng(index).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{index}.png")
    return path


def test_inception_is_given_the_pixels_and_its_features_are_left_as_they_are(weights: Path, folder: Path) -> None:
    train, held_out = open_pictures([str(folder)], 16, 0.4)
    found = Yardstick.of(Inception(weights, "cpu"), train, held_out)
    pixels = load_pictures(held_out, 1000).double().mean(dim=(2, 3))
    assert torch.allclose(found.held_out, pixels * torch.tensor([1, 10, 100]), rtol=1e-6)
    assert found.train.shape == (len(train), 3)


def test_only_the_published_weights_make_it_the_network_of_fid(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert Inception(weights, "cpu").name == f"inception-v3 with weights {sha256[:8]}"
    monkeypatch.setattr(inception, "FID_WEIGHTS", sha256)
    assert Inception(weights, "cpu").name == "inception-v3"


class _Code:
    """An object that writes a file if it is unpickled carelessly."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return Path.touch, (self.trace,)


def test_a_file_of_something_else_is_refused_and_no_code_in_it_runs(weights: Path, tmp_path: Path) -> None:
    bad, trace = tmp_path / "bad.pth", tmp_path / "trace"
    torch.save({"scale": _Code(trace)}, bad)
    with pytest.raises(ValueError, match=r"bad.pth is damaged, or holds more than the tensors"):
        Inception(bad, "cpu")
    assert not trace.exists()
    bad.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"bad.pth is damaged"):
        Inception(bad, "cpu")
    torch.save([torch.zeros(3)], bad)
    with pytest.raises(ValueError, match=r"bad.pth must hold a state dict"):
        Inception(bad, "cpu")
    torch.save({"weight": torch.zeros(3)}, bad)
    with pytest.raises(ValueError, match=r"bad.pth does not hold the weights of torch-fidelity's Inception"):
        Inception(bad, "cpu")
    with pytest.raises(FileNotFoundError, match=r"none.pth"):
        Inception(tmp_path / "none.pth", "cpu")


def test_without_torch_fidelity_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ValueError, match=r"need torch-fidelity; run: pip install .*\[metrics\]"):
        Inception(tmp_path / "weights.pth", "cpu")


def test_the_command_takes_one_network(
    weights: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    options = {"generator": "dcgan-scenes64", "data": (str(folder),), "hold_out": 0.4, "num_sets": 2, "device": "cpu"}
    Options(**options, inception_weights=weights).run()
    first, second = capsys.readouterr().out.splitlines()[:2]
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert first.startswith(f"FD(inception-v3 with weights {sha256[:8]}, 3 dims, n=")
    assert second.startswith(f"KD(inception-v3 with weights {sha256[:8]}, 3 dims, n=")
    with pytest.raises(ValueError, match=r"either --segmenter or --inception-weights .*; got neither"):
        Options(**options).run()
    with pytest.raises(ValueError, match=r"either --segmenter or --inception-weights .*; got both"):
        Options(**options, segmenter="unet-scenes", inception_weights=weights).run()


class _NoFeatures(UNetSegmenter):
    """Too few pictures are an error before any features are computed."""

    def __init__(self) -> None:
        self.name = "none"


def test_too_few_pictures_to_judge_by_are_refused_with_the_remedy(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"got 20 and 1000; add training pictures"):
        Yardstick.of(_NoFeatures(), *open_pictures(["scenes:20"], 32, 0.05))
    train, held_out = open_pictures([str(folder)], 16, 0.1)
    assert 0 < len(held_out) < 8
    with pytest.raises(ValueError, match=rf"at least 8 held-out pictures; got {len(held_out)}; .* a larger share"):
        Yardstick.of(_NoFeatures(), train, held_out)
    train, held_out = open_pictures([str(folder)], 16, 0.9)
    with pytest.raises(ValueError, match=rf"got {len(train)} and {len(held_out)}; .* a smaller share"):
        Yardstick.of(_NoFeatures(), train, held_out)
    with pytest.raises(ValueError, match=r"leaves a part empty; .* \(--hold-out\)"):
        open_pictures([str(folder)], 16, 1e-9)


class _Corners:
    """An encoder of two stages; the second is the coarsest."""

    name = "corners"

    def encode(self, images: Tensor) -> Sequence[Tensor]:
        return [images, torch.cat([images[:, :, ::2, ::2], 2 * images[:, :, ::2, ::2] ** 2], dim=1)]


def _noise(seed: int, count: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, 4, 4), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def test_a_yardstick_of_an_encoder_averages_its_coarsest_features() -> None:
    train, held_out = _noise(1, 120), _noise(2, 40)
    yardstick = Yardstick.of(_Corners(), train, held_out)

    def average(images: Tensor) -> Tensor:
        return _Corners().encode(images)[1].mean(dim=(2, 3))

    by_hand = Yardstick("corners", average, train, held_out)
    assert yardstick.network == "corners" and yardstick.train.shape == (120, 6)
    assert torch.equal(yardstick.train, by_hand.train) and torch.equal(yardstick.held_out, by_hand.held_out)
    images = from_uint8(_noise(3, 9))
    assert torch.equal(yardstick.extract_features(images), by_hand.extract_features(images))


def test_a_yardstick_looks_at_evenly_spaced_pictures() -> None:
    train, held_out = _noise(1, 120), _noise(2, 40)
    yardstick = Yardstick.of(_Corners(), train, held_out, max_train=50, max_held_out=20)
    expected = Yardstick.of(_Corners(), train[::3], held_out[::2])
    assert torch.equal(yardstick.train, expected.train) and torch.equal(yardstick.held_out, expected.held_out)


class _Unread:
    """Pictures that must not be read."""

    name, size = "unread", 4

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> None:
        raise AssertionError(indices)


def test_too_few_pictures_are_refused_before_one_is_read() -> None:
    with pytest.raises(ValueError, match="there must be at least 8 held-out pictures; got 7"):
        Yardstick.of(_Corners(), _Unread(100), _Unread(7))
    with pytest.raises(ValueError, match=r"got 9 and 20; use more training pictures .*--num-real"):
        Yardstick.of(_Corners(), _Unread(100), _Unread(20), max_train=9)
