"""Segmenters: the palette against a pixel loop, the U-Net's promises, torchvision's wrapping, the hub's errors."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import segmenters
from gandissect.core.environment import resolve_device
from gandissect.core.images import from_uint8
from gandissect.core.protocols import Segmenter
from gandissect.core.types import Concept
from gandissect.storage.cards import CardIndex
from gandissect.storage.files import load_tensors, save_tensors
from segmenters import hub, torchvision
from segmenters.palette import BASIC_CONCEPTS, PaletteSegmenter
from segmenters.unet import FORMAT, UNetArchitecture, UNetSegmenter, build_network, network_size

SMALL = UNetArchitecture("resnet18", (16, 8, 8), 32)
CONCEPTS = (Concept(0, "sky", (0, 0, 255)), Concept(1, "road", (90, 90, 90)), Concept(2, "tree", (0, 99, 0)))


def random_images(count: int = 3, height: int = 32, width: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def unet() -> UNetSegmenter:
    torch.manual_seed(0)
    network = build_network(SMALL, len(CONCEPTS))
    network.train()
    for _ in range(3):  # batch-norm statistics other than the initial ones
        network(random_images(8))
    return UNetSegmenter(network, SMALL, CONCEPTS, "tiny")


# --- palette


def test_palette_is_the_nearest_color_of_every_pixel():
    images = random_images(2, 5, 7)
    labels = PaletteSegmenter(BASIC_CONCEPTS, max_distance=120)(images)
    for image, label in zip(images, labels, strict=True):
        for row in range(5):
            for column in range(7):
                rgb = [(value + 1) * 127.5 for value in image[:, row, column].double().tolist()]
                far = [sum((a - b) ** 2 for a, b in zip(rgb, c.color, strict=True)) ** 0.5 for c in BASIC_CONCEPTS]
                assert label[row, column] == (far.index(min(far)) if min(far) <= 120 else -1)


def test_palette_reads_what_is_painted_in_its_colors():
    truth = torch.arange(64).view(1, 8, 8) % len(BASIC_CONCEPTS)
    colors = torch.tensor([concept.color for concept in BASIC_CONCEPTS], dtype=torch.uint8)
    images = from_uint8(colors[truth].permute(0, 3, 1, 2))
    assert torch.equal(PaletteSegmenter(BASIC_CONCEPTS)(images), truth)
    assert torch.equal(PaletteSegmenter(BASIC_CONCEPTS, max_distance=0)(images), truth)


def test_palette_prefers_the_first_of_equally_near_colors():
    gray = (Concept(0, "light", (200, 200, 200)), Concept(1, "dark", (100, 100, 100)))
    middle = torch.full((1, 3, 1, 1), 150 / 127.5 - 1, dtype=torch.float64)
    assert PaletteSegmenter(gray)(middle).item() == 0


@pytest.mark.parametrize(
    "concepts",
    [(), CONCEPTS[1:], (Concept(0, "a", (1, 1, 1)), Concept(1, "b", (1, 1, 1)))],
    ids=["none", "gap", "twins"],
)
def test_palette_refuses_concepts_that_do_not_serve(concepts):
    with pytest.raises(ValueError, match=r"numbered|distinct colors"):
        PaletteSegmenter(concepts)


# --- U-Net


def test_protocol_is_kept(unet):
    for segmenter in (unet, PaletteSegmenter(CONCEPTS)):
        assert isinstance(segmenter, Segmenter)
        labels = segmenter(random_images(2, 40, 56))
        assert labels.shape == (2, 40, 56) and labels.dtype == torch.int64
        assert labels.min() >= -1 and labels.max() < len(CONCEPTS)


def test_a_picture_does_not_depend_on_its_batch_mates(unet):
    images = random_images(5)
    together = unet.logits(images)
    for index in range(5):
        alone = unet.logits(images[index : index + 1])
        assert torch.allclose(together[index : index + 1], alone, atol=1e-4)
        assert not unet._network.training


def test_images_are_resized_to_the_input_and_logits_back(unet):
    images = random_images(2, 48, 48)
    small = nn.functional.interpolate(images, (32, 32), mode="bilinear", antialias=True)
    expected = nn.functional.interpolate(unet.logits(small), (48, 48), mode="bilinear")
    assert torch.allclose(unet.logits(images), expected, atol=1e-5)
    assert torch.equal(unet(images), expected.argmax(1))


@pytest.mark.parametrize(
    ("size", "input_size", "seen"),
    [
        ((64, 64), 128, (128, 128)),
        ((64, 96), 128, (128, 192)),
        ((341, 256), 128, (168, 128)),
        ((100, 70), None, (96, 72)),
        ((5, 5), None, (8, 8)),
    ],
)
def test_network_sees_multiples_of_its_stride(size, input_size, seen):
    assert network_size(size, UNetArchitecture("resnet18", (8, 8, 8), input_size)) == seen


def test_gradients_reach_the_images_through_logits_only(unet):
    images = random_images(1).requires_grad_(True)
    unet.logits(images)[:, 1].mean().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in unet._network.parameters())
    assert not unet(images).requires_grad


def test_encoder_features_are_what_the_encoder_computes(unet):
    images = random_images(2)
    features = unet.encode(images)
    assert [tuple(feature.shape) for feature in features] == [(2, 64, 16, 16), (2, 64, 8, 8), (2, 128, 4, 4)]
    seen = []
    handle = unet._network.encoder.register_forward_hook(lambda _m, _i, output: seen.extend(output))
    unet.logits(images)
    handle.remove()
    assert all(torch.equal(a, b) for a, b in zip(features, seen[1:], strict=True))


def test_a_saved_segmenter_is_the_rounded_original(unet, tmp_path):
    unet.save(tmp_path / "tiny.safetensors", {"note": 1})
    loaded = UNetSegmenter.load(tmp_path / "tiny.safetensors", "cpu")
    assert (loaded.name, loaded.concepts, loaded.architecture) == ("tiny", CONCEPTS, SMALL)
    assert loaded.fingerprint == unet.fingerprint
    rounded = {
        name: value.half().float() if value.is_floating_point() and value.ndim > 1 else value
        for name, value in unet._network.state_dict().items()
        if value.is_floating_point()
    }
    found = {name: value for name, value in loaded._network.state_dict().items() if value.is_floating_point()}
    assert found.keys() == rounded.keys() and all(torch.equal(found[name], rounded[name]) for name in found)
    agreement = (loaded(random_images()) == unet(random_images())).float().mean()
    assert agreement > 0.98
    again = segmenters.load(tmp_path / "tiny.safetensors", device="cpu")
    assert torch.equal(again(random_images()), loaded(random_images()))


def test_unused_stages_of_a_shallow_encoder_are_not_kept():
    kept = build_network(SMALL, 3).state_dict()
    assert not [name for name in kept if "layer3" in name or "layer4" in name]


def test_default_segmenter_fits_sixteen_megabytes(tmp_path):
    architecture = UNetArchitecture()
    UNetSegmenter(build_network(architecture, 20), architecture, BASIC_CONCEPTS).save(tmp_path / "x.safetensors")
    assert (tmp_path / "x.safetensors").stat().st_size <= 16e6


@pytest.mark.wrong_shape
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 8, 8), r"got torch.float32 \[3, 8, 8\]"),
        (torch.zeros(1, 4, 8, 8), r"\[1, 4, 8, 8\]"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "torch.uint8"),
        (torch.zeros(0, 3, 8, 8), r"\[0, 3, 8, 8\]"),
        (torch.stack([torch.zeros(3, 8, 8), torch.full((3, 8, 8), torch.nan)]), "image 1 of the batch"),
    ],
)
def test_what_is_no_image_is_refused(unet, images, message):
    for segmenter in (unet, PaletteSegmenter(CONCEPTS)):
        with pytest.raises(ValueError, match=message):
            segmenter(images)


@pytest.mark.parametrize(
    "arguments",
    [{"decoder_channels": (8,)}, {"decoder_channels": (8, 0, 8)}, {"input_size": 100}, {"input_size": -32}],
)
def test_architecture_is_checked(arguments):
    with pytest.raises(ValueError, match=r"decoder_channels|input_size"):
        UNetArchitecture(**arguments)


def test_unknown_encoder_is_named():
    with pytest.raises(ValueError, match="no encoder 'resnet19'"):
        build_network(UNetArchitecture("resnet19"), 3)


# --- files


def test_damaged_files_are_named(unet, tmp_path):
    path = tmp_path / "tiny.safetensors"
    unet.save(path)
    data = path.read_bytes()
    tensors = {name: value for name, value in unet._network.state_dict().items() if value.is_floating_point()}
    header = unet._header() | {"format": FORMAT, "version": 1}

    def expect(message: str) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            segmenters.load(path, device="cpu")
        assert "tiny.safetensors" in str(caught.value)

    path.write_bytes(data[:-10])
    expect("not a complete")
    save_tensors(path, tensors, header | {"format": "something"}, overwrite=True)
    expect("must be 'gandissect-segmenter'")
    save_tensors(path, tensors, header | {"version": 99}, overwrite=True)
    expect("version of .* got 99")
    save_tensors(path, dict(list(tensors.items())[1:]), header, overwrite=True)
    expect("1 weights are missing")
    save_tensors(
        path, {**tensors, next(iter(tensors)): next(iter(tensors.values())) * torch.nan}, header, overwrite=True
    )
    expect("must be finite")
    save_tensors(path, tensors, header | {"architecture": {"encoder": "resnet18"}}, overwrite=True)
    expect("does not describe a segmenter")
    architecture = json.loads(json.dumps(header["architecture"])) | {"input_size": 31}
    save_tensors(path, tensors, header | {"architecture": architecture}, overwrite=True)
    expect("input_size .* must be a multiple")
    save_tensors(path, tensors, header | {"concepts": [{"index": 0, "name": "sky", "color": "blue"}]}, overwrite=True)
    expect("does not describe a segmenter")


# --- hub


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("palete", KeyError, "did you mean 'palette'"),
        ("torchvision:deeplabv3_resnet5", KeyError, "did you mean 'deeplabv3_resnet50'"),
        ("nothing.safetensors", FileNotFoundError, "no file nothing.safetensors"),
        (
            "runs/nothing",
            FileNotFoundError,
            "no file or folder runs/nothing; pass .* the folder of a segmenter's training",
        ),
        (
            "tests",
            FileNotFoundError,
            r"tests is not the folder of a segmenter's training: it has no segmenter\.safetensors",
        ),
        ("pyproject.toml", ValueError, "pyproject.toml is not a segmenter; pass a bundled name"),
    ],
)
def test_unknown_names_get_the_nearest(name, error, message):
    with pytest.raises(error, match=message):
        segmenters.load(name)


def test_a_training_is_loaded_from_its_folder(unet, tmp_path):
    unet.save(tmp_path / "segmenter.safetensors")
    for folder in (tmp_path, str(tmp_path)):
        loaded = segmenters.load(folder, device="cpu")
        assert (loaded.name, loaded.fingerprint) == (str(tmp_path / "segmenter.safetensors"), unet.fingerprint)


def test_unknown_device_is_a_value_error(unet, tmp_path):
    unet.save(tmp_path / "tiny.safetensors")
    with pytest.raises(ValueError, match="device 'gpu' is not available"):
        segmenters.load(tmp_path / "tiny.safetensors", device="gpu")


@pytest.mark.parametrize(
    ("generator", "fit"),
    [
        ("dcgan-scenes64", ("unet-scenes",)),
        ("cgan-digits32", ("unet-digits",)),
        ("cgan-digits32 of 3, 8", ("unet-digits",)),
        ("progan-streets128", ("unet-streets",)),
        ("sagan-outdoor64", ("unet-streets",)),
        ("generator", ()),
        ("planted", ()),
    ],
)
def test_scenes_go_with_scenes_and_streets_with_streets(generator: str, fit: tuple[str, ...]) -> None:
    assert segmenters.names_for(generator) == fit
    if fit:
        assert segmenters.find_for(generator) == fit[0]
    else:
        with pytest.raises(ValueError, match=f"no bundled segmenter matches '{generator}'"):
            segmenters.find_for(generator)


@pytest.mark.parametrize("name", segmenters.names())
def test_bundled_segmenters_load_and_are_what_their_cards_say(name):
    card = segmenters.card(name)
    assert card.path.stat().st_size <= 16e6
    segmenter = segmenters.load(name, device="cpu")
    assert segmenter.name == name
    assert segmenter(random_images(1, 64, 64)).shape == (1, 64, 64)
    assert set(card.quality["iou"]) <= {concept.name for concept in segmenter.concepts}
    assert "resear" in card.license or name != "unet-streets"


def test_bundled_weights_that_are_not_the_cards_are_refused(monkeypatch, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a.safetensors").write_bytes(b"other")
    keys = ("family", "summary", "dataset", "command", "hardware", "duration", "license")
    lines = ["[fake]", 'file = "a.safetensors"', f'sha256 = "{"0" * 64}"', "seed = 0", "images_seen = 1"]
    (tmp_path / "cards.toml").write_text("\n".join([*lines, *(f'{key} = "x"' for key in keys), "quality = {}"]))
    shelf = CardIndex(tmp_path, "segmenter")
    monkeypatch.setattr(hub, "names", shelf.names)
    monkeypatch.setattr(hub, "card", shelf.card)
    with pytest.raises(ValueError, match=r"must be 0000.*, as in its card"):
        segmenters.load("fake")


# --- torchvision


class FakeNetwork(nn.Module):
    """Scores class 0 by darkness, 1 by red, 2 by blue, at half the resolution."""

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = torch.stack([0.3 + 0 * images[:, 0], images[:, 0], images[:, 2]], 1)
        return {"out": nn.functional.avg_pool2d(scores, 2)}


def test_torchvision_background_is_unlabeled_and_inputs_are_zero_to_one():
    segmenter = torchvision.TorchvisionSegmenter(
        FakeNetwork(), lambda x: x, ["__background__", "bus", "sea"], "fake", "cpu"
    )
    assert [concept.name for concept in segmenter.concepts] == ["bus", "sea"]
    colors = torch.tensor([[-1.0, -1, -1], [1, -1, -1], [-1, -1, 1], [-0.5, -1, -1]])
    labels = segmenter(colors[:, :, None, None].expand(4, 3, 6, 6))
    assert labels.flatten(1).unique(dim=1).tolist() == [[-1], [0], [1], [-1]]


def test_torchvision_without_its_weights_says_where_to_put_them(monkeypatch):
    import torchvision.models

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torchvision.models, "get_model", refuse)
    with pytest.raises(
        FileNotFoundError, match=r"torchvision:fcn_resnet50 could not be downloaded \(no network\); put"
    ):
        segmenters.load("torchvision:fcn_resnet50")


def test_torchvision_names_exist():
    from torchvision.models import list_models, segmentation as module

    assert sorted(list_models(module)) == sorted(torchvision.NETWORKS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": {"encoder": "tu-hf_hub:someone/network"}}, "encoder .* must name an encoder"),
        ({"architecture": {"encoder": "tu-local-dir:/etc"}}, "encoder .* must name an encoder"),
        ({"architecture": {"encoder": 5}}, "encoder .* must name an encoder"),
        ({"architecture": {"decoder_channels": [10**9] * 3}}, r"integers in \[1, 1024\]"),
        ({"concepts": {"index": 7}}, "numbered 0, 1"),
        ({"concepts": {"name": "road"}}, "two are called 'road'"),
        ({"concepts": {"name": 5}}, "of a concept must be integers"),
        ({"concepts": {"color": [0.5, 0, 0]}}, "of a concept must be integers"),
    ],
    ids=str,
)
def test_a_hostile_description_is_refused_and_fetches_nothing(unet, tmp_path, monkeypatch, change, message):
    def fetched(*_arguments: object, **_options: object) -> None:
        pytest.fail("a file must not cause a download")

    monkeypatch.setattr("socket.socket.connect", fetched)
    unet.save(tmp_path / "x.safetensors")
    tensors, header = load_tensors(tmp_path / "x.safetensors", FORMAT, 1)
    header["architecture"] |= change.get("architecture", {})
    header["concepts"][0] |= change.get("concepts", {})
    save_tensors(tmp_path / "x.safetensors", tensors, header, overwrite=True)
    with pytest.raises(ValueError, match=rf"x\.safetensors.*{message}"):
        segmenters.load(tmp_path / "x.safetensors", device="cpu")


def test_the_meta_device_computes_nothing_and_is_refused():
    with pytest.raises(ValueError, match="device 'meta'"):
        resolve_device("meta")
