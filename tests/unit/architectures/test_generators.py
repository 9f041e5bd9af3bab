from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_gans import Noise, noise_for, tiny
from tiny_generators import draw_pictures
from torch import nn

import generators
from gandissect.core.hooks import trace
from gandissect.core.protocols import Generator
from gandissect.core.types import LayerInfo
from gandissect.storage.files import load_tensors, save_tensors
from generators import DCGAN, LayeredGenerator, PlantedGenerator, Translator
from generators.architectures.biggan import BigGAN
from generators.architectures.cgan import ConditionalDCGAN
from generators.architectures.cogan import CoGAN
from generators.architectures.decoder import Decoder
from generators.architectures.fastgan import FastGAN
from generators.architectures.lightweight import LightweightGAN
from generators.architectures.planted import GROUND, PLANTED
from generators.architectures.progan import ProGAN
from generators.architectures.resize import ResizeConv
from generators.architectures.resnet import ResNet
from generators.architectures.sagan import SAGAN
from generators.architectures.stack import Stack
from generators.architectures.stylegan import StyleGAN
from generators.architectures.stylegan2 import StyleGAN2
from generators.architectures.stylegan2_bilinear import BilinearStyleGAN2
from generators.architectures.stylegan3 import StyleGAN3
from generators.architectures.translator_resnet import ResNetTranslator
from generators.architectures.translator_unet import UNetTranslator
from generators.architectures.virtual_norm import VirtualNormDCGAN, VirtualNormMLP
from generators.training.families import FAMILIES, build_networks
from segmenters.datasets import open_source


def _live(generator: LayeredGenerator) -> LayeredGenerator:
    """Change parameters that start at zero or as the identity, so that mistakes show."""
    rng = torch.Generator().manual_seed(1)
    for module in generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3, generator=rng)
            module.running_var.uniform_(0.5, 2, generator=rng)
        elif isinstance(module, nn.ConvTranspose2d):
            module.weight.data.mul_(8)  # as drawn, all images are nearly the same
    for name, value in generator.state_dict().items():
        if not name.endswith("num_batches_tracked") and not value.any():
            value.normal_(0, 0.3, generator=rng)
    return generator.eval().requires_grad_(False)


def _exported(family: str) -> LayeredGenerator:
    """Return the generator that a training of a family saves."""
    generator = build_networks(tiny(family), Noise.classes)["generator"].export(16)
    if family == "stackgan":
        return _stronger(generator)
    if not isinstance(generator, Translator):
        return generator
    return generator.on(
        noise_for(family).batch(range(6)).inputs.labels if generator.input_concepts else draw_pictures()
    )


def _seeded(make: Callable[[], LayeredGenerator]) -> LayeredGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return _live(make())


STAGES = [
    {"units": 5, "kernel": [3, 4], "linear": True},
    {"units": 4, "kernel": 5, "stride": [2, 3], "padding": 1, "output_padding": 1},
    {"units": 3, "kernel": 4, "stride": 2, "padding": 1},
]
GENERATORS: dict[str, Callable[[], LayeredGenerator]] = {
    **{f"trained {family}": partial(_seeded, partial(_exported, family)) for family in FAMILIES},
    "biggan16": lambda: _seeded(lambda: BigGAN(7, [8, 8, 4], 3, ["cat", "dog", "owl"], attention=[2])),
    "biggan32 flat": lambda: _seeded(lambda: BigGAN(6, [8, 8, 8, 4], 3, ["cat", "dog"], hierarchical=False)),
    "cgan16": lambda: _seeded(lambda: ConditionalDCGAN(16, 4, 6, ["cat", "dog", "owl"])),
    "cgan32 gray": lambda: _seeded(lambda: ConditionalDCGAN(32, 4, 6, ["cat", "dog"], gray=True, drawn=["dog"])),
    "cogan16": lambda: _seeded(lambda: CoGAN(16, 4, 6, ["noon", "dusk", "mist"])),
    "cogan32 gray": lambda: _seeded(lambda: CoGAN(32, 4, 6, ["digits", "edges"], True, 0, ["edges"])),
    "dcgan16": lambda: _seeded(lambda: DCGAN(size=16, width=4, z_dim=6)),
    "dcgan64": lambda: _seeded(lambda: DCGAN(size=64, width=4, z_dim=6)),
    "decoder16": lambda: _seeded(lambda: Decoder(size=16, width=4, z_dim=6)),
    "dcgan16 virtual norm": lambda: _seeded(lambda: VirtualNormDCGAN(size=16, width=4, z_dim=6)),
    "gan8 virtual norm": lambda: _seeded(lambda: VirtualNormMLP(size=8, width=4, max_width=8, z_dim=6)),
    "fastgan128": lambda: _seeded(lambda: _stronger(FastGAN(z_dim=6, units=[6, 5, 4, 4, 4, 3]))),
    "lightweight16": lambda: _seeded(
        lambda: _stronger(LightweightGAN(z_dim=6, units=[6, 5, 4], attention=[2], head_dim=2))
    ),
    "planted": lambda: PlantedGenerator(size=32, cells=8),
    "progan8": lambda: _seeded(lambda: ProGAN(size=8, width=4, max_width=8, z_dim=6)),
    "progan32": lambda: _seeded(lambda: ProGAN(size=32, width=3, max_width=10, z_dim=6)),
    "progan8 offsets": lambda: _seeded(lambda: ProGAN(size=8, width=4, max_width=8, z_dim=6, offset_by_place=True)),
    "resize": lambda: _seeded(lambda: ResizeConv(z_dim=6, units=[6, 5, 4], side=3)),
    "resnet": lambda: _seeded(lambda: ResNet(z_dim=6, units=[5, 4, 4], side=3, doubling="bilinear")),
    "resnet attentive": lambda: _seeded(lambda: ResNet(z_dim=6, units=[5, 9, 8], attention=[2, 3])),
    "resnet-translator16": lambda: _seeded(
        lambda: ResNetTranslator(size=16, width=4, blocks=2, upsampling="nearest").on(draw_pictures())
    ),
    "sagan32": lambda: _seeded(lambda: SAGAN(32, 4, 8, 6, ["cat", "dog", "owl"])),
    "stack": lambda: _seeded(lambda: Stack(z_dim=6, stages=STAGES)),
    "unet-translator16": lambda: _seeded(lambda: UNetTranslator(size=16, width=4).on(draw_pictures())),
    "stylegan2-32": lambda: _seeded(_style_based),
    "stylegan2-32 residual": lambda: _seeded(lambda: _style_based(structure="resnet", clamp=2.0)),
    "stylegan2-32 original": lambda: _seeded(lambda: _style_based(structure="orig")),
    "stylegan2-bilinear16": lambda: _seeded(
        lambda: BilinearStyleGAN2(size=16, width=3, max_width=10, z_dim=6, w_dim=5, mapping_depth=2)
    ),
    "stylegan3-32": lambda: _seeded(_alias_free),
    "stylegan8 unblurred": lambda: _seeded(
        lambda: StyleGAN(size=8, width=3, max_width=10, z_dim=6, w_dim=5, mapping_depth=2, blur=False)
    ),
    "stylegan32": lambda: _seeded(lambda: StyleGAN(size=32, width=3, max_width=10, z_dim=6, w_dim=5, mapping_depth=2)),
}


def _stronger(generator: LayeredGenerator) -> LayeredGenerator:
    for module in generator.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data.mul_(6)  # as drawn, gates leave little of what differs
    return generator


def _style_based(**options: Any) -> StyleGAN2:
    return StyleGAN2(size=32, width=3, max_width=10, z_dim=6, w_dim=5, mapping_depth=2, **options)


def _alias_free() -> StyleGAN3:
    layers = [(5, 24, 2), (4, 40, 4), (3, 32, 2)]
    filterings = [{"units": units, "side": side, "up": up, "up_taps": 6 * up} for units, side, up in layers]
    return StyleGAN3(32, waves=6, side=24, filterings=filterings, z_dim=6, w_dim=5)


BOUNDED = {"biggan", "cgan", "cogan", "dcgan", "decoder", "planted", "resize", "resnet", "sagan", "stack"} | {
    "resnet-translator",
    "stackgan",
    "stargan",
    "unet-translator",
    "unit",
}
"""Architectures that end in a tanh, or in the palette; the images of the others are linear."""
every_generator = pytest.mark.parametrize("make", GENERATORS.values(), ids=GENERATORS.keys())


@every_generator
def test_tail_of_head_is_the_image_bit_for_bit(make) -> None:
    generator = make()
    z = generator.sample_z(5, seed=2)
    image = generator(z)
    for layer, info in generator.layers.items():
        activation = generator.head(z, layer)
        assert activation.shape == (5, info.units, info.height, info.width)
        assert torch.equal(generator.tail(activation, layer, z), image)
        assert torch.equal(activation, generator.head(z, layer)), "tail wrote into the activation"


@every_generator
def test_a_generator_is_what_the_protocol_says(make) -> None:
    generator = make()
    assert isinstance(generator, Generator)
    image = generator(generator.sample_z(2))
    assert image.dtype == torch.float32
    assert image.shape == (2, 3, *generator.image_size)
    assert image.isfinite().all()
    if generator.architecture in BOUNDED:
        assert image.abs().max() <= 1
    assert image.std(dim=0).mean() > 0.02, "different z must give different images"
    assert torch.equal(generator.sample_z(3, seed=5, start=2), generator.sample_z(5, seed=5)[2:])
    assert set(generator.layers) <= {name for name, _ in generator.named_modules()}


@every_generator
def test_one_image_does_not_depend_on_its_batch_mates(make) -> None:
    generator = make()
    z = generator.sample_z(6)
    other = torch.cat([z[:1], generator.sample_z(5, seed=9)])
    assert torch.equal(generator(z)[0], generator(other)[0])


@every_generator
def test_saved_and_loaded_it_is_the_same_up_to_half_precision(make, tmp_path: Path) -> None:
    generator = make()
    path = tmp_path / "mine.safetensors"
    generators.save(generator, path)
    loaded = generators.load(path, device="cpu")
    z = generator.sample_z(4)
    assert loaded.name == str(path)
    assert not loaded.training
    assert loaded.layers == generator.layers
    assert torch.equal(loaded(z), deepcopy(generator).half().float()(z))
    error = (loaded(z) - generator(z)).abs()
    assert error.mean() < 0.01 * generator(z).std()
    if generator.architecture in BOUNDED:
        assert error.max() < 0.04
    again = tmp_path / "again.safetensors"
    generators.save(loaded, again)
    assert generators.load(again, device="cpu").fingerprint == loaded.fingerprint


def test_dcgan_has_the_layers_of_the_paper() -> None:
    assert dict(DCGAN(size=64, width=64, z_dim=128).layers) == {
        "layer1": LayerInfo(512, 4, 4),
        "layer2": LayerInfo(256, 8, 8),
        "layer3": LayerInfo(128, 16, 16),
        "layer4": LayerInfo(64, 32, 32),
    }
    assert list(DCGAN(size=128, width=4).layers.values())[-1] == LayerInfo(4, 64, 64)


def test_the_fingerprint_follows_the_weights() -> None:
    generator = DCGAN(size=16, width=4, z_dim=6)
    before = generator.fingerprint
    with torch.no_grad():
        generator.layer1[0].weight[0, 0, 0, 0] += 1
    assert generator.fingerprint != before


def test_wrong_arguments_say_what_is_allowed(tmp_path: Path) -> None:
    generator = GENERATORS["dcgan16"]()
    z = generator.sample_z(2)
    with pytest.raises(KeyError, match=r"unknown layer 'layer9'; did you mean 'layer\d'"):
        generator.head(z, "layer9")
    with pytest.raises(ValueError, match=r"z of shape \[batch, 6\]; got \[2, 5\]"):
        generator(z[:, :5])
    with pytest.raises(ValueError, match=r"layer1.*\(2, 8, 4, 4\).*got \(2, 8, 2, 2\)"):
        generator.tail(torch.zeros(2, 8, 2, 2), "layer1", z)
    with pytest.raises(ValueError, match="size must be one of 16, 32"):
        DCGAN(size=48)
    with pytest.raises(KeyError, match="unknown generator 'dcgan-scenes46'; did you mean 'dcgan-scenes64'"):
        generators.load("dcgan-scenes46")
    (tmp_path / "README.md").write_text("x")
    with pytest.raises(ValueError, match=r"README\.md cannot be read: it is not a checkpoint: neither a torch file"):
        generators.load(str(tmp_path / "README.md"))
    with pytest.raises(
        FileNotFoundError, match=r"no file or folder .*absent; pass .* the folder of a generator's training"
    ):
        generators.load(str(tmp_path / "absent"))
    with pytest.raises(FileNotFoundError, match="absent"):
        generators.load(tmp_path / "absent.safetensors")
    with pytest.raises(FileNotFoundError, match=r"no file or folder absent\.pt"):
        generators.load("absent.pt")
    with pytest.raises(ValueError, match="device 'gpu7'"):
        generators.load("dcgan-scenes64", device="gpu7")


def test_a_training_is_loaded_from_its_folder_the_best_before_the_last(tmp_path: Path) -> None:
    first, second = (DCGAN(size=16, width=width, z_dim=6) for width in (4, 5))
    with pytest.raises(FileNotFoundError, match=r"it has no best\.safetensors or generator\.safetensors"):
        generators.load(tmp_path)
    for name, width, generator in (("generator", 4, first), ("best", 5, second)):
        generators.save(generator, tmp_path / f"{name}.safetensors")
        for folder in (tmp_path, str(tmp_path)):
            loaded = generators.load(folder, device="cpu")
            assert loaded.settings["width"] == width
            assert loaded.name == str(tmp_path / f"{name}.safetensors")


def test_a_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    generator = DCGAN(size=16, width=4, z_dim=6)
    generator.settings["width"] = 8
    generators.save(generator, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"x\.safetensors does not describe a generator"):
        generators.load(tmp_path / "x.safetensors")


def test_planted_images_are_what_the_closed_form_says() -> None:
    """Repaint the images from z in a loop that follows the module's docstring."""
    size, cells = 32, 8
    generator = PlantedGenerator(size, cells)
    z = generator.sample_z(40, seed=4)
    images = ((generator(z) + 1) * 127.5).round().int()
    edge = size // cells
    for image, vector in zip(images, z, strict=True):
        expected = torch.tensor(GROUND.color).reshape(3, 1, 1).repeat(1, size, size)
        for k, concept in enumerate(PLANTED):
            if vector[2 * k] > 0:
                phi = 0.5 * (1 + torch.erf(vector[2 * k + 1].double() / 2**0.5))
                column = int(phi * cells)
                expected[:, k * edge : (k + 1) * edge, column * edge : (column + 1) * edge] = torch.tensor(
                    concept.color
                ).reshape(3, 1, 1)
        assert torch.equal(image, expected.int())


@pytest.mark.parametrize("name", generators.names())
def test_bundled_generators_load_and_their_cards_are_whole(name: str) -> None:
    card = generators.card(name)
    assert card.path.stat().st_size <= 16 * 10**6
    assert card.images_seen > 0
    assert card.quality
    generator = generators.load(name, device="cpu")
    if isinstance(generator, Translator):
        generator = generator.on(open_source("scenes:8", generator.image_size[0]))
    image = generator(generator.sample_z(8))
    assert image.isfinite().all()
    assert image.std(dim=0).mean() > 0.1, "different z must give different images"


def _written(path: Path, **changes: object) -> Path:
    """Write a tiny generator with other settings, or other tensors."""
    generators.save(DCGAN(size=16, width=4, z_dim=6), path, overwrite=True)
    tensors, header = load_tensors(path, "gandissect-generator", 1)
    first = "layer1.0.weight"
    kinds = {"nan": lambda x: x * torch.nan, "int": lambda x: x.int(), "complex": lambda x: x.to(torch.complex64)}
    tensors[first] = kinds.get(str(changes.pop("weights", "")), lambda x: x)(tensors[first])
    architecture = changes.pop("architecture", "dcgan")
    settings = changes if architecture == "planted" else header["settings"] | changes
    save_tensors(path, tensors, header | {"architecture": architecture, "settings": settings}, overwrite=True)
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 4_000},  # 30 GB: more than this test may take, less than what cannot be asked for at all
        {"width": 10**9},
        {"z_dim": 10**30},
        {"size": 16.0},
        {"size": "16"},
        {"width": None},
        {"weights": "nan"},
        {"weights": "int"},
        {"weights": "complex"},
        {"architecture": "planted", "size": 10**6, "cells": 4},
        {"architecture": "planted", "size": 10**30, "cells": 10**30},
        {"architecture": ["dcgan"]},
    ],
    ids=str,
)
def test_hostile_settings_and_weights_are_refused_at_no_cost(tmp_path: Path, changes: dict[str, object]) -> None:
    path = _written(tmp_path / "x.safetensors", **changes)
    began = time.process_time()
    with pytest.raises(ValueError, match=r"x\.safetensors"):
        generators.load(path, device="cpu")
    assert time.process_time() - began < 2, "no memory is asked for, let alone filled"


def test_loading_draws_no_random_numbers_and_gives_what_was_saved(tmp_path: Path) -> None:
    made = _live(DCGAN(size=16, width=4, z_dim=6)).half().float()
    generators.save(made, tmp_path / "x.safetensors")
    before = torch.random.get_rng_state()
    loaded = generators.load(tmp_path / "x.safetensors", device="cpu")
    assert torch.equal(torch.random.get_rng_state(), before)
    z = made.sample_z(3)
    assert torch.equal(loaded(z), made(z))
    assert {value.device.type for value in loaded.state_dict().values()} == {"cpu"}


def test_layers_can_be_asked_for_while_a_trace_is_open() -> None:
    generator = DCGAN(size=16, width=4, z_dim=6).eval()
    with trace(generator, "layer1") as seen:
        generator(generator.sample_z(5))
        assert generator.layers["layer2"] == LayerInfo(4, 8, 8)
    assert len(seen.output) == 5, "what was traced is not the run that measured the layers"


@pytest.mark.wrong_shape
@every_generator
def test_float64_is_taken_and_whole_numbers_are_refused(make) -> None:
    generator = make()
    z = generator.sample_z(2)
    assert torch.equal(generator(z.double()), generator(z))
    layer = next(iter(generator.layers))
    activation = generator.head(z, layer)
    assert torch.equal(generator.tail(activation.double(), layer, z), generator(z))
    with pytest.raises(ValueError, match=r"takes float32; got torch\.int64"):
        generator(z.long())


@pytest.mark.parametrize("name", ["dcgan-scenes64", "progan-scenes64", "stylegan-scenes64"])
def test_a_generator_says_what_its_latent_space_allows(name: str) -> None:
    generator = generators.load(name, device="cpu")
    z = generator.sample_z(2)
    differs = (generator(3 * z) - generator(z)).abs().amax()
    assert (float(differs) < 1e-3) == generator.normalizes_z, "whether the length of z makes no difference"
    assert (
        hasattr(generator, "mapping") == generator.has_w and hasattr(generator, "random_noise") == generator.has_noise
    )
    if generator.has_w:
        assert torch.equal(generator(generator.mapping(z)), generator(z))
