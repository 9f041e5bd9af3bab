"""Translators: the networks against slow forward passes in float64, and the row law on pictures."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from naive_layers import conv, instance_norm, reflect, up
from tiny_generators import draw_pictures
from torch import Tensor, nn

import generators
import segmenters
from gandissect import (
    Ablation,
    Dissection,
    Generator,
    Recipe,
    Translation,
    Translator as TranslatorProtocol,
    UnitSet,
    average_causal_effect,
    dissect,
    find_causal_units,
    generate,
    latent,
    measure_concept_effects,
    repair,
    write_report,
)
from gandissect.core.rows import noise_length, repeat_rows
from gandissect.core.types import Concept
from generators.architectures.patchgan import PatchDiscriminator
from generators.architectures.translator import Translator
from generators.architectures.translator_resnet import ResNetTranslator
from generators.architectures.translator_unet import UNetTranslator
from segmenters.datasets import Paired

CONCEPTS = ("sky", "tree", "door")


def _seeded(make: Callable[[], Any], factor: float = 10.0) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = make()
        for name, value in network.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif name.endswith(("running_mean", "bias")):
                value.normal_(0, 0.3)
            elif value.ndim == 4:
                value.mul_(factor)  # as drawn, everything is small
    return network.eval().requires_grad_(False)


class _Tensors:
    """Tensors of a network as float64 arrays, and the operations that use them."""

    def __init__(self, network: nn.Module) -> None:
        self.arrays = {name: value.double().numpy() for name, value in network.state_dict().items()}

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def bias(self, name: str) -> np.ndarray | None:
        return self.arrays.get(f"{name}.bias")

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        if f"{name}.running_mean" not in self.arrays:  # instance norm: mean and variance of each map of each image
            scale, offset = self.arrays.get(f"{name}.weight", np.ones(1)), self.arrays.get(f"{name}.bias", np.zeros(1))
            return instance_norm(x) * scale[:, None, None] + offset[:, None, None]
        mean, variance, scale, offset = (
            self[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * scale + offset


def _naive_unet(network: Translator, x: np.ndarray, depth: int, off: tuple[str, int] | None = None) -> np.ndarray:
    """Return pix2pix's images; optionally with a unit of a layer set to 0, wherever that layer's output goes."""
    t, outputs = _Tensors(network), []

    def emit(layer: str, y: np.ndarray) -> np.ndarray:
        if off is not None and off[0] == layer:
            y = y.copy()
            y[:, off[1]] = 0
        return y

    for number in range(1, depth + 1):
        name = f"encoder{number}"
        x = conv(x, t[f"{name}.0.weight"], t.bias(f"{name}.0"), 2, 1)
        x = t.norm(x, f"{name}.1") if 1 < number < depth else x
        x = emit(name, np.maximum(x, 0) if number == depth else np.where(x > 0, x, 0.2 * x))
        outputs.append(x)
    for number in range(1, depth):
        name = f"decoder{number}"
        x = up(x, t[f"{name}.0.weight"], None, 1, 0)
        x = emit(name, np.maximum(t.norm(x, f"{name}.1"), 0))
        x = np.concatenate([np.maximum(outputs[depth - 1 - number], 0), x], 1)
    return np.tanh(up(x, t["output.0.weight"], t.bias("output.0"), 1, 0))


def _naive_resnet(network: Translator, x: np.ndarray, blocks: int, nearest: bool) -> np.ndarray:
    """Return CycleGAN's images."""
    t = _Tensors(network)
    x = np.maximum(t.norm(conv(reflect(x, 3), t["encoder1.1.weight"], None, 1, 0), "encoder1.2"), 0)
    for number in (2, 3):
        x = np.maximum(t.norm(conv(x, t[f"encoder{number}.0.weight"], None, 2, 1), f"encoder{number}.1"), 0)
    for number in range(1, blocks + 1):
        name = f"block{number}.change"
        y = np.maximum(t.norm(conv(reflect(x, 1), t[f"{name}.1.weight"], None, 1, 0), f"{name}.2"), 0)
        x = x + t.norm(conv(reflect(y, 1), t[f"{name}.5.weight"], None, 1, 0), f"{name}.6")
    for number in (1, 2):
        name = f"decoder{number}"
        if nearest:
            x = conv(x.repeat(2, 2).repeat(2, 3), t[f"{name}.0.1.weight"], None, 1, 1)
        else:  # padding 1 and output padding 1: one row less is cropped at the end
            x = up(x, t[f"{name}.0.weight"], None, 0, 0)[:, :, 1:, 1:]
        x = np.maximum(t.norm(x, f"{name}.1"), 0)
    return np.tanh(conv(reflect(x, 3), t["output.1.weight"], t.bias("output.1"), 1, 0))


def _unet(**changes: Any) -> UNetTranslator:
    network: UNetTranslator = _seeded(lambda: UNetTranslator(**{"size": 16, "width": 3, **changes}))
    return network


def _resnet(**changes: Any) -> ResNetTranslator:
    network: ResNetTranslator = _seeded(lambda: ResNetTranslator(**{"size": 16, "width": 3, "blocks": 2, **changes}), 5)
    return network


@pytest.mark.parametrize("norm", ["batch", "instance", "affine-instance"])
@pytest.mark.parametrize("depth", [2, 4])
def test_a_unet_follows_the_paper(norm: str, depth: int) -> None:
    network = _unet(norm=norm, depth=depth)
    pictures = torch.rand(2, 3, 16, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    images = network.on(pictures)(pictures.flatten(1))
    wanted = _naive_unet(network, pictures.double().numpy(), depth)
    assert images.std() > 0.1
    np.testing.assert_allclose(images.numpy(), wanted, atol=2e-5)


@pytest.mark.parametrize("norm", ["batch", "instance", "affine-instance"])
@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
def test_a_residual_translator_follows_the_paper(norm: str, upsampling: str) -> None:
    network = _resnet(norm=norm, upsampling=upsampling)
    pictures = torch.rand(2, 3, 12, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    images = network.on(pictures)(pictures.flatten(1))
    wanted = _naive_resnet(network, pictures.double().numpy(), 2, upsampling == "nearest")
    assert images.std() > 0.1
    np.testing.assert_allclose(images.numpy(), wanted, atol=2e-5)


def test_a_unit_of_the_encoder_reaches_the_decoder_both_ways() -> None:
    network = _unet()
    pictures = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    G, x = network.on(pictures), pictures.double().numpy()
    z = G.sample_z(2)
    for layer in G.layers:
        unit = int(G.head(z, layer).abs().amax((0, 2, 3)).argmax())
        edited = generate(G, z, [Ablation(UnitSet(layer, (unit,)))])
        np.testing.assert_allclose(edited.numpy(), _naive_unet(network, x, 4, (layer, unit)), atol=2e-5)
        assert not torch.allclose(edited, G(z), atol=1e-4)


def test_layers_and_units_are_those_of_the_papers() -> None:
    unet = UNetTranslator(size=256, width=1)
    units = [1, 2, 4, 8, 8, 8, 8, 8]
    assert [info.units for info in unet.layers.values()] == [*units, *units[-2::-1]]
    assert [info.height for info in unet.layers.values()] == [128, 64, 32, 16, 8, 4, 2, 1, 2, 4, 8, 16, 32, 64, 128]
    drops = [name for name, part in unet.named_modules() if isinstance(part, nn.Dropout)]
    assert [name.split(".")[0] for name in drops] == ["decoder1", "decoder2", "decoder3"]
    layers = ResNetTranslator(size=128, width=2, blocks=6).layers
    assert list(layers) == [
        "encoder1",
        "encoder2",
        "encoder3",
        *(f"block{n}" for n in range(1, 7)),
        "decoder1",
        "decoder2",
    ]
    assert [info.units for info in layers.values()] == [2, 4, 8, *[8] * 6, 4, 2]
    assert [info.height for info in layers.values()] == [128, 64, 32, *[32] * 6, 64, 128]


@pytest.mark.parametrize(("halvings", "side"), [(1, 16), (2, 34), (3, 70)])
def test_a_logit_of_the_patch_discriminator_sees_a_square(halvings: int, side: int) -> None:
    """The support of the gradient of one logit, with norms that mix no positions."""
    network = _seeded(lambda: PatchDiscriminator(channels=5, width=2, halvings=halvings, norm="batch"))
    pictures = torch.randn(1, 5, 128, 128, generator=torch.Generator().manual_seed(0), requires_grad=True)
    logits = network(pictures)
    middle = logits.shape[2] // 2
    logits[0, 0, middle, middle].backward()
    rows, columns = (pictures.grad.abs().sum((0, 1, axis)) > 0 for axis in (3, 2))
    for seen in (rows, columns):
        assert int(seen.sum()) == side
        assert int(seen.nonzero().max() - seen.nonzero().min()) == side - 1
    assert logits.shape[1] == 1


def test_patch_discriminators_normalize_as_asked_and_refuse_numbers_below_one() -> None:
    for norm, kind in (("instance", nn.InstanceNorm2d), ("batch", nn.BatchNorm2d)):
        assert sum(isinstance(part, kind) for part in PatchDiscriminator(norm=norm).modules()) == 3
    with pytest.raises(ValueError, match="halvings must be at least 1; got 3, 64 and 0"):
        PatchDiscriminator(halvings=0)
    with pytest.raises(KeyError, match="unknown norm 'none'"):
        PatchDiscriminator(norm="none")


# The row law


class _Source:
    """Pictures by index, with label maps."""

    name, size = "patches", 16
    concepts = tuple(Concept(index, name, (90 * index, 0, 0)) for index, name in enumerate(CONCEPTS))

    def __init__(self, count: int = 12) -> None:
        self.images = draw_pictures(count)
        self.labels = self.images[:, 0].long() % 4 - 1

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: Any, rng: torch.Generator | None = None) -> Any:
        assert rng is None
        chosen = list(indices)
        return type("Batch", (), {"images": self.images[chosen], "labels": self.labels[chosen]})


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 11), st.integers(0, 12), st.integers(-(2**40), 2**40))
def test_row_i_is_picture_i_whatever_the_seed(start: int, count: int, seed: int) -> None:
    count = min(count, 12 - start)
    images = draw_pictures()
    wanted = (images.double() / 127.5 - 1)[start : start + count]
    for pictures in (_Source(), images, images.double() / 127.5 - 1):
        rows = ResNetTranslator(size=16, width=2, blocks=1).on(pictures).sample_z(count, seed, start)
        assert rows.shape == (count, 3 * 16 * 16) and rows.dtype == torch.float32
        torch.testing.assert_close(rows.reshape(wanted.shape).double(), wanted, atol=1e-6, rtol=0)


def test_a_translator_on_pictures_is_a_generator_and_the_bare_one_says_what_it_needs() -> None:
    T = _unet()
    G = T.on(_Source())
    assert isinstance(T, TranslatorProtocol) and isinstance(G, Generator) and isinstance(G, Translation)
    with pytest.raises(ValueError, match=r"unet-translator translates pictures; put it on some, .*\.on\(pictures\)"):
        T.sample_z(1)
    for count, start in ((13, 0), (1, 12), (3, 10)):
        with pytest.raises(
            ValueError, match=rf"one row per picture, 12 in all; got {count} samples from number {start}"
        ):
            G.sample_z(count, start=start)
    with pytest.raises(ValueError, match="at least 0; got 1 and -1"):
        G.sample_z(1, start=-1)
    with pytest.raises(ValueError, match="seed must be an integer"):
        G.sample_z(1, seed=0.5)


def test_pictures_of_another_size_make_a_generator_of_that_size() -> None:
    T, pictures = _resnet(), draw_pictures(3, 32)
    G = T.on(pictures)
    assert (T.image_size, T.z_dim) == ((16, 16), 768)
    assert (G.image_size, G.z_dim, len(G.pictures)) == ((32, 32), 3072, 3)
    assert G.layers["block1"].height == 8 and T.layers["block1"].height == 4
    assert {id(value) for value in G.parameters()} == {id(value) for value in T.parameters()}
    back = G.on(_Source())
    assert (back.name, G.name) == ("resnet-translator on patches", "resnet-translator on 3 pictures")
    assert back.image_size == (16, 16)


def test_the_fingerprint_is_that_of_the_network_and_the_pictures() -> None:
    T, images = _unet(), draw_pictures()
    other = images.clone()
    other[5, 1, 3, 3] ^= 1
    prints = [T.fingerprint, T.on(images).fingerprint, T.on(other).fingerprint, T.on(_Source()).fingerprint]
    prints.append(T.on(_Source(11)).fingerprint)
    assert len(set(prints)) == 5
    assert all(text.startswith(T.fingerprint) for text in prints)
    assert T.on(images.clone()).fingerprint == prints[1]
    assert _unet(width=4).on(images).fingerprint != prints[1]
    copy = deepcopy(T.on(images))
    assert copy.fingerprint == prints[1] and copy.pictures is not None


def test_label_maps_become_planes_of_zeros_and_ones() -> None:
    T, source = _unet(input_concepts=CONCEPTS), _Source()
    G = T.on(source)
    assert torch.equal(G.sample_z(12), T.on(source.labels).sample_z(12))
    assert G.z_dim == 16 * 16 and G.num_planes == 3
    planes = G.input(G.sample_z(5))
    for index in range(3):
        assert torch.equal(planes[:, index], (source.labels[:5] == index).float())
    assert (source.labels[:5] == -1).any(), "pixels without a concept are 0 in all planes"
    free = UNetTranslator(size=16, width=3, input_channels=3).eval()
    free.load_state_dict(T.state_dict())
    assert torch.equal(G(G.sample_z(5)), free(planes.flatten(1)))
    assert torch.equal(G.to_rows(source.labels[:4]), G.sample_z(4))
    rows = G.draw_rows(9, torch.Generator().manual_seed(0))
    assert set(rows.unique().tolist()) == {0.0, 1.0, 2.0}


@pytest.mark.parametrize(
    ("pictures", "error", "match"),
    [
        ([1, 2], TypeError, "pictures must be of type PictureSource or Tensor; got list; use a source"),
        (torch.zeros(0, 3, 16, 16), ValueError, "at least one; got none"),
        (torch.zeros(2, 3, 16, 16, dtype=torch.int64), TypeError, "uint8, 0 to 255, or float, in .*; got torch.int64"),
        (torch.zeros(2, 3, 16), ValueError, r"float \[n, channel, H, W\]; got \[2, 3, 16\]"),
        (torch.zeros(2, 4, 16, 16, dtype=torch.uint8), ValueError, r"uint8 \[n, 3, H, W\]"),
        (torch.zeros(2, 4, 16, 16), ValueError, "takes pictures with 3 channels; got 4"),
        (torch.full((2, 3, 16, 16), torch.nan), ValueError, "finite"),
        (torch.zeros(2, 3, 16, 24), ValueError, "multiples of 16, at least 16; got 16 x 24"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(pictures: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        _unet().on(pictures)


def test_label_maps_that_do_not_fit_are_refused() -> None:
    T, labels = _unet(input_concepts=CONCEPTS), torch.zeros(2, 16, 16, dtype=torch.int64)
    with pytest.raises(TypeError, match=r"label maps must be int64; got torch\.uint8"):
        T.on(labels.to(torch.uint8))
    with pytest.raises(ValueError, match=r"int64 \[n, H, W\]; got \[2, 1, 16, 16\]"):
        T.on(labels[:, None])
    with pytest.raises(ValueError, match="labels must be -1 to 2; got 0 to 3"):
        T.on(labels.clone().index_fill_(1, torch.tensor([2]), 3))
    source = _Source()
    source.concepts = source.concepts[:2]
    with pytest.raises(ValueError, match="patches must have label maps of the concepts sky, tree, door; got sky, tree"):
        T.on(source)
    source.concepts = ()
    with pytest.raises(ValueError, match="got no labels"):
        T.on(source)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: UNetTranslator(size=16, depth=1), "depth must be 2 to 12"),
        (lambda: UNetTranslator(size=24, depth=4), "multiples of 16"),
        (lambda: UNetTranslator(size=16, input_channels=0), "input_channels must be at least 1"),
        (lambda: UNetTranslator(size=16, input_concepts=["a", "a"]), "input_concepts distinct"),
        (lambda: ResNetTranslator(size=4), "multiples of 4, at least 8; got 4 x 4"),
        (lambda: ResNetTranslator(size=16, blocks=0), "blocks must be at least 1"),
        (lambda: ResNetTranslator(size=16, upsampling="bilinear"), "upsampling transposed or nearest"),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()


def test_what_needs_a_latent_space_refuses_in_one_sentence() -> None:
    G = _resnet().on(_Source())
    S, z = segmenters.PaletteSegmenter(_Source.concepts), G.sample_z(4)
    calls: dict[str, Callable[[], Any]] = {
        "length": lambda: noise_length(G),
        "walk": lambda: latent.Walk(G, z),
        "grid": lambda: latent.generate_grid(G, z, 2, 2),
        "path length": lambda: latent.path_length(G, "pixels", lambda x: x.flatten(1), num_samples=4, progress=False),
        "components": lambda: latent.component_directions(G, 1, "block1", 8, in_z=True, progress=False),
        "closed form": lambda: latent.closed_form_directions(G),
        "boundary": lambda: latent.find_boundary(G, S, "sky", num_samples=30, progress=False),
        "invert": lambda: latent.invert(G, G(z[:1]), num_candidates=2, num_starts=1, progress=False),
        "truncate": lambda: latent.truncated_z(G, 2),
        "hold": lambda: latent.hold_class(G, z),
    }
    for call in calls.values():
        with pytest.raises(ValueError, match="translates pictures without noise, so there is no latent space"):
            call()


# What takes a generator takes a translator on pictures


class _Bright:
    """Labels light and dark pixels."""

    name, fingerprint = "bright", "version 1"
    concepts = (Concept(0, "light", (250, 220, 80)), Concept(1, "dark", (40, 40, 60)))

    def __call__(self, images: Tensor) -> Tensor:
        return (images.mean(1) < 0).long()


class _Rows:
    """A plain generator that looks its images and activations up by number: what a translation must equal."""

    name, z_dim, image_size, device = "table", 1, (16, 16), torch.device("cpu")

    def __init__(self, G: Translator) -> None:
        self.G, self.rows = G, G.sample_z(len(G.pictures))
        self.layers, self.fingerprint, self.pictures, self.noise_dim = G.layers, "table", range(len(self.rows)), 0

    def sample_z(self, num_samples: int, seed: int = 0, start: int = 0) -> Tensor:
        return torch.arange(start, start + num_samples, dtype=torch.float32)[:, None]

    def __call__(self, z: Tensor) -> Tensor:
        return self.G(self.rows[z[:, 0].long()])

    def on(self, pictures: object) -> _Rows:
        raise AssertionError(f"nothing puts a table on other pictures; got {pictures!r}")

    def head(self, z: Tensor, layer: str) -> Tensor:
        return self.G.head(self.rows[z[:, 0].long()], layer)

    def tail(self, activation: Tensor, layer: str, z: Tensor) -> Tensor:
        return self.G.tail(activation, layer, self.rows[z[:, 0].long()])


@pytest.mark.parametrize("make", [_unet, _resnet])
def test_dissection_effects_repair_and_reports_work_unchanged(make: Callable[[], Translator], tmp_path: Path) -> None:
    G, S = make().on(_Source()), _Bright()
    quiet: dict[str, Any] = {"num_samples": 12, "progress": False}
    D, wanted = (dissect(H, S, quantile=0.2, **quiet) for H in (G, _Rows(G)))
    for layer in G.layers:
        assert np.array_equal(D[layer].iou, wanted[layer].iou)
        assert torch.equal(D[layer].thresholds, wanted[layer].thresholds)
    assert D.provenance.generator.name == f"{G.architecture} on patches"
    assert D.provenance.generator.fingerprint == G.fingerprint
    D.save(tmp_path / "a")
    assert Dissection.load(tmp_path / "a").provenance.generator == D.provenance.generator
    assert write_report(tmp_path / "report", D).exists()
    layer = list(G.layers)[-1]
    units = UnitSet(layer, (0, 2))
    effects = [average_causal_effect(H, S, units, concept="light", **quiet) for H in (G, _Rows(G))]
    assert effects[0].ace == effects[1].ace
    find_causal_units(G, S, layer=layer, concept="light", num_units=1, method="effect", **quiet)
    fixed, z = repair(G, units), G.sample_z(3)
    assert torch.equal(fixed(z), generate(G, z, [Ablation(units)]))
    assert fixed.pictures is G.pictures
    recipe = Recipe.of(G, [Ablation(units)], num_samples=3)
    recipe.save(tmp_path / "recipe.json")
    assert torch.equal(Recipe.load(tmp_path / "recipe.json").generate(G), fixed(z))
    with pytest.raises(ValueError, match="belongs to"):
        recipe.generate(G.on(draw_pictures(4)))
    with pytest.raises(ValueError, match="12 in all; got 13 samples"):
        dissect(G, S, num_samples=13, progress=False)


def test_a_single_picture_can_be_dissected() -> None:
    G = _unet().on(draw_pictures(1))
    assert dissect(G, _Bright(), num_samples=1, progress=False)["encoder1"].info.units == 3


def test_saved_files_hold_the_network_and_load_as_a_translator(tmp_path: Path) -> None:
    for number, T in enumerate((_unet(norm="instance", input_concepts=CONCEPTS), _resnet(upsampling="nearest"))):
        path = tmp_path / f"{number}.safetensors"
        generators.save(T.on(_Source()), path, half=False)
        loaded = generators.load(path, device="cpu")
        assert isinstance(loaded, Translator) and loaded.pictures is None
        G = loaded.on(_Source())
        assert torch.equal(G(G.sample_z(3)), T.on(_Source())(G.sample_z(3)))
        assert loaded.fingerprint == T.fingerprint


def test_of_pairs_the_inputs_are_translated() -> None:
    inputs, targets = _Source(), _Source()
    targets.images = draw_pictures(seed=8)
    pairs = Paired(inputs, targets)
    assert torch.equal(_unet().on(pairs).sample_z(12), _unet().on(inputs).sample_z(12))
    maps = Paired(inputs, targets, label_maps=True)
    T = _unet(input_concepts=CONCEPTS)
    assert torch.equal(T.on(maps).sample_z(12), T.on(inputs).sample_z(12))
    with pytest.raises(
        ValueError, match="the inputs of patches to patches are label maps, but the network takes pictures"
    ):
        _unet().on(maps)


def test_units_are_chosen_on_all_pictures_where_there_are_few() -> None:
    """By default units are chosen on more samples than there are pictures."""
    G, S = _unet().on(_Source()), _Bright()
    quiet: dict[str, Any] = {"progress": False}
    few = find_causal_units(G, S, "decoder3", "light", 2, method="effect", num_samples=12, **quiet)
    assert find_causal_units(G, S, "decoder3", "light", 2, method="effect", **quiet) == few
    result = measure_concept_effects(G, S, "light", num_units=2, num_samples=12, **quiet)
    assert result.effects[0].num_samples == 12
    assert [list(samples) for samples in repeat_rows(G, 26)] == [list(range(12)), list(range(12)), [0, 1]]
    assert repeat_rows(G, 5) == [range(5)] and repeat_rows(_Endless(), 5_000) == [range(5_000)]


class _Endless:
    name = "endless"
