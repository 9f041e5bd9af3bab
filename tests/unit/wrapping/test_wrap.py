"""Any torch module as a generator: the same as one that is cut by hand, and nothing left on the module."""

from __future__ import annotations

import threading
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional

import generators
from gandissect import (
    Ablation,
    Insertion,
    Scaling,
    UnitSet,
    average_causal_effect,
    dissect,
    generate,
    intervene,
    latent,
    repair,
    trace,
)
from gandissect.core.protocols import Generator
from gandissect.core.types import LayerInfo
from gandissect.storage.files import hash_tensors
from generators import DCGAN, WrappedGenerator, wrap
from generators.architectures.planted import PlantedGenerator
from generators.architectures.stylegan2 import StyleGAN2
from segmenters.palette import PaletteSegmenter


class Skips(nn.Module):
    """A typical module: functions, a submodule used twice, a constant, a skip connection, a class, a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.randn(1, 6, 4, 4))
        self.style = nn.Linear(5, 6)
        self.classes = nn.Embedding(3, 5)
        self.lrelu = nn.LeakyReLU(0.2, inplace=True)
        self.body = nn.ModuleDict({"a": nn.Conv2d(6, 6, 3, padding=1), "b": nn.Conv2d(6, 7, 3, padding=1)})
        self.block = nn.Sequential(nn.Conv2d(7, 7, 3, padding=1), nn.BatchNorm2d(7))
        self.rgb = nn.ModuleList([nn.Conv2d(6, 3, 1), nn.Conv2d(7, 3, 1)])
        self.unused = nn.Conv2d(1, 1, 1)

    def forward(self, z: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        style = self.style(z + self.classes(label))
        x = self.lrelu(self.body["a"](self.constant * style[:, :, None, None]))
        image = functional.interpolate(self.rgb[0](x), scale_factor=2)
        x = self.body["b"](functional.interpolate(x, scale_factor=2, mode="bilinear"))
        x = self.block(self.lrelu(x)).mul_(1.5)
        return torch.sigmoid(image + self.rgb[1](x)), style


class Spatial(nn.Sequential):
    """Takes noise with a height and a width."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(2, 5, 3, padding=1), nn.Tanh(), nn.Upsample(scale_factor=2), nn.Conv2d(5, 3, 1))


class Vector(Skips):
    """Takes a class vector."""

    def forward(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(z, c.argmax(1))


def _sequential() -> nn.Module:
    """The DCGAN of PyTorch's examples, 16 px."""
    return nn.Sequential(
        nn.ConvTranspose2d(5, 8, 4, 1, 0, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(True),
        nn.ConvTranspose2d(8, 6, 4, 2, 1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(True),
        nn.ConvTranspose2d(6, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    )


def _made(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(3)
    network = make().eval().requires_grad_(False)
    rng = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=rng)
            module.running_var.uniform_(0.01, 0.1, generator=rng)
    return network


MADE: dict[str, Callable[[], WrappedGenerator]] = {
    "examples": lambda: wrap(_made(_sequential), z_dim=5),
    "some": lambda: wrap(_made(_sequential), z_dim=5, layers=["5", "0"]),
    "class": lambda: wrap(_made(Skips), z_dim=5, c=2),
    "vector": lambda: wrap(_made(Vector), z_dim=5, c=torch.tensor([0.0, 1.0, 0.0])),
    "inference": lambda: wrap(_made(Infers), z_dim=5, c=2),
    "stylegan2": lambda: wrap(_made(_stylegan2), z_dim=5),
    "hidden vectors": lambda: wrap(_made(Perceptron), z_dim=5),
    "named vector": lambda: wrap(_made(Skips), z_dim=5, layers=["style", "body.b"], c=1),
    "spatial": lambda: wrap(_made(Spatial), z_shape=(2, 4, 4)),
}
every = pytest.mark.parametrize("make", MADE.values(), ids=MADE.keys())


def _stylegan2() -> StyleGAN2:
    return StyleGAN2(size=16, width=4, max_width=8, z_dim=5, w_dim=5, mapping_depth=2)


@every
def test_tail_of_head_is_the_image_bit_for_bit(make: Callable[[], WrappedGenerator]) -> None:
    generator = make()
    z = generator.sample_z(5, seed=2)
    image = generator(z)
    assert image.shape == (5, 3, *generator.image_size)
    assert image.dtype == torch.float32
    for layer, info in generator.layers.items():
        activation = generator.head(z, layer)
        assert activation.shape == (5, info.units, info.height, info.width)
        kept = activation.clone()
        assert torch.equal(generator.tail(activation, layer, z), image), layer
        assert torch.equal(activation, kept), "tail wrote into the activation"
        assert torch.equal(activation, generator.head(z, layer))
        assert torch.equal(generator.tail(activation.double(), layer, z), image)
    with trace(generator, list(generator.layers)) as record:
        generator(z)
    for layer in generator.layers:
        activation = generator.head(z, layer)
        assert torch.equal(record[layer].reshape(activation.shape), activation)


@every
def test_it_is_what_the_protocol_says(make: Callable[[], WrappedGenerator]) -> None:
    generator = make()
    assert isinstance(generator, Generator)
    z = generator.sample_z(6)
    assert torch.equal(generator(z)[:1], generator(torch.cat([z[:1], generator.sample_z(5, seed=9)]))[:1])
    assert torch.equal(generator(z.double()), generator(z))
    assert torch.equal(z[2:], generator.sample_z(4, start=2))
    assert generator.fingerprint == make().fingerprint
    assert set(generator.layers) <= {name for name, _ in generator.named_modules()}
    assert {id(each) for each in generator.parameters()} == {id(each) for each in generator.module.parameters()}


def test_the_layers_that_are_found_are_those_that_keep_the_batch_and_run_once() -> None:
    shapes = {name: (info.units, info.height) for name, info in MADE["class"]().layers.items()}
    assert shapes == {
        "body.a": (6, 4),
        "rgb.0": (3, 4),
        "body.b": (7, 8),
        "block.0": (7, 8),
        "block": (7, 8),
        "rgb.1": (3, 8),
    }
    shapes = {name: (info.units, info.height) for name, info in MADE["examples"]().layers.items()}
    assert shapes == {"0": (8, 4), "1": (8, 4), "2": (8, 4), "3": (6, 8), "4": (6, 8), "5": (6, 8), "6": (3, 16)}
    assert dict(MADE["some"]().layers) == {"0": LayerInfo(8, 4, 4), "5": LayerInfo(6, 8, 8)}


def test_the_activation_of_a_layer_is_what_its_module_puts_out_before_anything_is_written_into_it() -> None:
    generator = MADE["examples"]()
    z = generator.sample_z(3)
    normalized = generator.module[:2](z[:, :, None, None])
    assert torch.equal(generator.head(z, "1"), normalized)
    assert torch.equal(generator.head(z, "2"), normalized.clamp(min=0))
    assert generator.head(z, "1").min() < 0


@pytest.mark.parametrize("inner", [_stylegan2, lambda: DCGAN(size=16, width=6, z_dim=5)], ids=["stylegan2", "dcgan"])
def test_a_generator_of_ours_gives_the_same_wrapped_as_cut_by_hand(inner: Callable[[], nn.Module]) -> None:
    own = _made(inner)
    generator = wrap(own, z_dim=5, layers=list(own.layers), value_range=(-1, 1))
    assert dict(generator.layers) == dict(own.layers)
    assert generator.image_size == own.image_size
    z = own.sample_z(4, seed=6)
    assert torch.equal(generator(z), own(z))
    region = torch.rand(16, 16, generator=torch.Generator().manual_seed(0))
    for layer in own.layers:
        assert torch.equal(generator.head(z, layer), own.head(z, layer))
        edits = [Ablation(UnitSet(layer, (2, 0)), region), Insertion(UnitSet(layer, (1,)), 2.0)]
        wanted = generate(own, z, edits)
        assert torch.equal(generate(generator, z, edits), wanted)
        with intervene(generator, edits):
            assert torch.equal(generator(z), wanted)
    first, *_, last = own.layers
    edits = [Scaling(UnitSet(last, (0,)), 3.0), Ablation(UnitSet(first, (0, 2)))]
    assert torch.equal(generate(generator, z, edits), generate(own, z, edits))


def test_dissection_and_effect_are_those_of_the_generator_inside() -> None:
    own = PlantedGenerator(size=16, cells=8)
    generator, segmenter = wrap(own, own.z_dim, layers=list(own.layers)), PaletteSegmenter(own.concepts)
    theirs, wanted = (dissect(each, segmenter, num_samples=40, progress=False) for each in (generator, own))
    for layer in own.layers:
        assert torch.equal(theirs[layer].iou, wanted[layer].iou)
        assert torch.equal(theirs[layer].thresholds, wanted[layer].thresholds)
    units = UnitSet("layer1", (0,))
    effects = [
        average_causal_effect(each, segmenter, units, "red", 32, 3, values=[1.0], progress=False)
        for each in (generator, own)
    ]
    assert effects[0].ace == effects[1].ace != 0


def test_latent_functions_take_it() -> None:
    own = _made(lambda: DCGAN(size=16, width=6, z_dim=5))
    generator = wrap(own, z_dim=5)
    assert latent.capabilities(generator) == latent.Capabilities()
    assert torch.equal(latent.truncated_z(generator, 3, limit=1.0), latent.truncated_z(own, 3, limit=1.0))
    z = generator.sample_z(2)
    assert torch.equal(
        latent.swap_activations(generator, z[:1], z[1:], "layer1"), latent.swap_activations(own, z[:1], z[1:], "layer1")
    )
    moving = z.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(generator(moving).sum(), moving)
    (wanted,) = torch.autograd.grad(own(moving).sum(), moving)
    assert torch.equal(slope, wanted)
    (through,) = torch.autograd.grad(generator.head(moving, "layer2").sum(), moving)
    assert torch.equal(through, torch.autograd.grad(own.head(moving, "layer2").sum(), moving)[0])
    normalizing = MADE["stylegan2"]()
    assert normalizing.normalizes_z
    with pytest.raises(ValueError, match="divides z by its length"):
        latent.truncated_z(normalizing, 3)


@every
def test_units_forced_for_good_are_units_ablated_and_the_module_stays(make: Callable[[], WrappedGenerator]) -> None:
    generator = make()
    z = generator.sample_z(3)
    before = generator(z)
    for layer in generator.layers:
        units = UnitSet(layer, (2, 0))
        fixed = repair(generator, units)
        assert torch.equal(fixed(z), generate(generator, z, [Ablation(units)]))
        assert dict(fixed.layers) == dict(generator.layers)
        assert set(fixed.layers) <= {name for name, _ in fixed.named_modules()}
        assert fixed.head(z, layer)[:, [0, 2]].abs().max() == 0
        for other in generator.layers:
            assert torch.equal(fixed.tail(fixed.head(z, other), other, z), fixed(z))
        held = fixed.forcing(UnitSet(layer, (0,)), [0.5])
        assert torch.equal(held(z), generate(generator, z, [Ablation(units), Insertion(UnitSet(layer, (0,)), 0.5)]))
        assert fixed.fingerprint != generator.fingerprint
    assert torch.equal(generator(z), before)


@pytest.mark.parametrize("mode", ["normal", "bad argument", "module raises"])
def test_nothing_is_left_on_the_module(mode: str) -> None:
    generator = MADE["class"]()
    z, units = generator.sample_z(3), UnitSet("body.b", (1,))
    before, attributes = generator(z), set(vars(generator.module))
    if mode == "normal":
        generate(generator, z, [Ablation(units)])
    elif mode == "bad argument":
        with pytest.raises(ValueError, match=r"'body.b' must have activations \(3, 7, 8, 8\)"):
            generator.tail(torch.zeros(3, 7, 4, 4), "body.b", z)
    else:
        broken = deepcopy(generator)
        broken.module.rgb[1] = nn.Conv2d(9, 3, 1)
        with pytest.raises(RuntimeError):
            broken.tail(generator.head(z, "body.b"), "body.b", z)
        assert torch.equal(broken.head(z, "body.b"), generator.head(z, "body.b")), "what is behind it does not run"
    hooks = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in generator.modules()]
    assert sum(hooks) == 0
    assert set(vars(generator.module)) == attributes
    assert torch.equal(generator(z), before)


def test_threads_that_share_a_module_each_get_their_own_edit() -> None:
    generator = MADE["class"]()
    z = generator.sample_z(2)
    edits = [[Ablation(UnitSet("body.a", (unit,)))] for unit in range(6)]
    wanted = [generate(generator, z, each) for each in edits]
    got: dict[int, list[Tensor]] = {}

    def work(index: int) -> None:
        got[index] = [generate(generator, z, edits[index]) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(image, wanted[index]) for index, images in got.items() for image in images)
    assert len({image.sum().item() for image in wanted}) == 6


def test_classes_give_other_images_and_other_fingerprints() -> None:
    network = _made(Skips)
    first, second = (wrap(network, z_dim=5, c=number) for number in (0, 1))
    z = first.sample_z(3)
    images, _ = network(z, torch.tensor([1, 1, 1]))
    assert torch.equal(second(z), images * 2 - 1)
    assert not torch.equal(first(z), second(z))
    assert first.fingerprint != second.fingerprint
    vector = wrap(_made(Vector), z_dim=5, c=torch.tensor([0.0, 1.0, 0.0]))
    assert torch.equal(vector(z), second(z))


class Paints(nn.Module):
    """Images with values between two numbers, and a given number of channels."""

    def __init__(self, lowest: float, highest: float, channels: int = 3) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, channels, 1)
        self.lowest, self.highest = lowest, highest

    def forward(self, z: Tensor) -> Tensor:
        share = torch.sigmoid(3 * self.layer(z.reshape(-1, 1, 4, 4)))
        return self.lowest + (self.highest - self.lowest) * share


@pytest.mark.parametrize("limits", [(-1, 1), (0, 1), (0, 255)])
def test_images_in_the_usual_ranges_are_recognized(limits: tuple[float, float]) -> None:
    network = _made(lambda: Paints(*limits))
    generator = wrap(network, z_dim=16)
    assert generator.value_range == limits
    z = generator.sample_z(4)
    wanted = 2 * torch.sigmoid(3 * network.layer(z.reshape(-1, 1, 4, 4))) - 1
    assert torch.allclose(generator(z), wanted, atol=1e-5)


def test_a_range_can_be_given_and_gray_becomes_three_channels() -> None:
    generator = wrap(_made(lambda: Paints(-3, 5, channels=1)), z_dim=16, value_range=(-3, 5), name="gray")
    images = generator(generator.sample_z(4))
    assert images.shape == (4, 3, 4, 4)
    assert -1 <= images.min() < images.max() <= 1
    assert torch.equal(images[:, 0], images[:, 2])
    assert generator.name == "gray"


class Draws(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 1)

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z.reshape(-1, 1, 4, 4)) + torch.randn(4, 4)


class Mates(Draws):
    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z.reshape(-1, 1, 4, 4)) / z.std()


class Translator(nn.Module):
    """An image-to-image network that begins with padding."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(3, 4, 7), nn.ReLU(), nn.Conv2d(4, 3, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.body(image)


class Perceptron(nn.Module):
    """A small version of the first GAN's generator: hidden vectors, and an image that is a reshaped vector."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.ReLU(True), nn.Linear(6, 12), nn.Tanh()
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.model(z).view(len(z), 3, 2, 2)


class Shuts(Draws):
    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(z.reshape(-1, 1, 4, 4).expand(-1, 3, -1, -1))


class Three(Draws):
    def forward(self, z: Tensor, c: Tensor, *, noise: Tensor) -> Tensor:
        return self.layer(z.reshape(-1, 1, 4, 4)) + noise + c


class Returns(Draws):
    def forward(self, z: Tensor) -> dict[str, Tensor]:
        return {"image": z}


class Noisy(Draws):
    def forward(self, z: Tensor, *, noise: Tensor) -> Tensor:
        return self.layer(z.reshape(-1, 1, 4, 4)) + noise


class Stretched(Draws):
    """Images in [-factor, factor], or in that share of [0, 65535]."""

    def __init__(self, factor: float, lowest: float = -1.0) -> None:
        super().__init__()
        self.factor, self.lowest = factor, lowest

    def forward(self, z: Tensor) -> Tensor:
        return (self.layer(z.reshape(-1, 1, 4, 4)).tanh() - 1 - self.lowest) * self.factor


class Counts(Draws):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, z: Tensor) -> Tensor:
        self.calls += 1
        return self.layer(z.reshape(-1, 1, 4, 4))


class Infers(Skips):
    """A typical generation function."""

    @torch.inference_mode()
    def forward(self, z: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(z, label)


def _compiled() -> nn.Module:
    return torch.compile(_sequential().eval(), backend="eager")


def _compiled_in_place() -> nn.Module:
    network = _sequential().eval()
    network[0].compile(backend="eager")
    return network


@pytest.mark.wrong_shape
@pytest.mark.parametrize(
    ("make", "arguments", "error", "message"),
    [
        (Draws, {}, ValueError, "returns different images for the same z: it is stochastic or stateful"),
        (Mates, {}, ValueError, "lets images of a batch affect each other"),
        (Shuts, {}, ValueError, "no layer that can be dissected"),
        (Returns, {}, TypeError, r"float images \[batch, 3, H, W\]; got a dict"),
        (Draws, {"z_dim": 17}, ValueError, r"does not take z of shape \[2, 17\] \(.*\) and \[2, 17, 1, 1\]"),
        (Draws, {"z_dim": 0}, ValueError, "z_dim must be at least 1; got 0"),
        (_sequential, {"z_dim": 5.0}, TypeError, "z_dim must be an integer; got 5.0"),
        (Noisy, {}, ValueError, "Noisy takes z, noise; wrap it in a module"),
        (Noisy, {"c": 1}, ValueError, "Noisy takes z, noise; wrap it in a module"),
        (Counts, {}, ValueError, "Counts modifies its buffer 'calls' in a forward pass"),
        (partial(Stretched, float("nan")), {}, ValueError, "returns images with NaN or infinity"),
        (
            partial(Stretched, 1e5),
            {},
            ValueError,
            "is not a known range; pass the values of black and white with value_range=",
        ),
        (
            partial(Stretched, 1e5, -2.0),
            {},
            ValueError,
            "is not a known range; pass the values of black and white with value_range=",
        ),
        (lambda: Draws().half(), {}, ValueError, r"its weights are torch.float16, .* call \.float\(\) first"),
        (lambda: Draws().to("meta"), {}, ValueError, "on the meta device"),
        (_compiled, {"z_dim": 5}, ValueError, r"is compiled, .* pass the original module \(`\._orig_mod`\)"),
        (_compiled_in_place, {"z_dim": 5}, ValueError, "is compiled"),
        (Skips, {"z_dim": 5, "c": 3}, ValueError, r"index out of range in self\), with c = 3"),
        (
            Skips,
            {"z_dim": 5, "c": 1, "value_range": "ab"},
            ValueError,
            "value_range must be the values of black and white",
        ),
        (
            _sequential,
            {"z_dim": 5, "layers": ["7"]},
            ValueError,
            "'7' returns the image itself; .* 0, 1, 2, 3, 4, 5, 6",
        ),
        (_sequential, {"z_dim": 5, "layers": ["layer1"]}, KeyError, "unknown layer 'layer1'"),
        (
            Skips,
            {"z_dim": 5, "c": 1, "layers": ["lrelu"]},
            ValueError,
            "'lrelu' must run once per forward pass; it runs 2 times",
        ),
        (Skips, {"z_dim": 5, "c": 1, "layers": ["unused"]}, ValueError, "'unused' does not run"),
        (
            Skips,
            {"z_dim": 5, "c": 7},
            ValueError,
            r"embedding 'classes' has classes, so c must be in \[0, 2\]; got 7",
        ),
        (Skips, {"z_dim": 5}, ValueError, r"embedding 'classes' has classes, so c must be in \[0, 2\]$"),
        (Translator, {}, ValueError, "seems to translate images: its first convolution 'body.1' takes 3 channels"),
        (_sequential, {"z_dim": None}, TypeError, "z_dim must be an integer; got None"),
        (_sequential, {"z_dim": 5, "z_shape": (2, 4)}, ValueError, r"product of z_shape \(2, 4\), 8; got 5"),
        (_sequential, {"z_dim": None, "z_shape": ()}, ValueError, "z_shape must have at least one number"),
        (_sequential, {"z_dim": None, "z_shape": (5, 1.0)}, TypeError, "each number in z_shape .* got 1.0"),
        (_sequential, {"z_dim": None, "z_shape": (4, 1, 1)}, ValueError, r"does not take z of shape \[2, 4, 1, 1\]"),
        (
            Skips,
            {"z_dim": 5},
            ValueError,
            "Skips takes z and label, so it seems to be conditional; pass its .* with c=",
        ),
        (_sequential, {"z_dim": 5, "c": 1}, ValueError, "Sequential takes input only; omit c"),
        (Three, {"c": 1}, ValueError, "Three takes z, c, noise; wrap it in a module that takes z, or z and c"),
        (Skips, {"z_dim": 5, "c": "cat"}, TypeError, "a class index or a tensor"),
        (Skips, {"z_dim": 5, "c": torch.zeros(2, 3)}, ValueError, r"shared by all images; got shape \[2, 3\]"),
        (
            Skips,
            {"z_dim": 5, "c": 1, "value_range": (1, 0)},
            ValueError,
            "value_range must be the values of black and white",
        ),
    ],
)
def test_what_cannot_be_a_generator_is_refused_with_the_reason(
    make: Callable[[], nn.Module], arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    network = _made(make)
    with pytest.raises(error, match=message):
        wrap(network, **({"z_dim": 16} | arguments))


def test_hidden_vectors_are_layers_of_one_cell_where_there_are_no_others() -> None:
    network = _made(Perceptron)
    generator = wrap(network, z_dim=5)
    assert generator.layers == {
        "model.0": LayerInfo(7, 1, 1),
        "model.1": LayerInfo(7, 1, 1),
        "model.2": LayerInfo(6, 1, 1),
        "model.3": LayerInfo(6, 1, 1),
    }
    assert "style" not in MADE["class"]().layers
    assert MADE["named vector"]().layers["style"] == LayerInfo(6, 1, 1)
    z = generator.sample_z(3, seed=1)
    hidden = network.model[:2](z)
    assert torch.equal(generator.head(z, "model.1"), hidden[:, :, None, None])
    hidden[:, 2] = 0
    expected = network.model[2:](hidden).view(3, 3, 2, 2)
    edit = Ablation(UnitSet("model.1", (2,)))
    assert torch.equal(generate(generator, z, [edit]), expected)
    with intervene(network, [edit]):
        assert torch.equal(network(z), expected)
    assert torch.equal(repair(generator, edit.units)(z), expected)


def test_hidden_vectors_are_dissected_as_maps_of_one_value() -> None:
    generator, segmenter = wrap(_made(Perceptron), z_dim=5), PaletteSegmenter(PlantedGenerator().concepts)
    dissection = dissect(generator, segmenter, ["model.1"], num_samples=50, batch_size=7, seed=2)
    z = generator.sample_z(50, seed=2)
    vectors, labels = generator.head(z, "model.1")[:, :, 0, 0], segmenter(generator(z))
    layer = dissection["model.1"]
    on = vectors > layer.thresholds
    for concept in range(len(segmenter.concepts)):
        pixels = (labels == concept).flatten(1)
        for unit in range(7):
            active = on[:, unit, None].expand_as(pixels)
            union = int((active | pixels).sum())
            expected = int((active & pixels).sum()) / union if union else 0.0
            assert float(layer.iou[concept, unit].nan_to_num()) == pytest.approx(expected, abs=1e-12)


def test_the_shape_of_z_is_part_of_the_fingerprint() -> None:
    class Reads(nn.Module):
        """Reads its noise in any shape."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(2, 3, 1)

        def forward(self, z: Tensor) -> Tensor:
            return self.layer(z.reshape(len(z), 2, 4, 4)).tanh()

    network = _made(Reads)
    plain, same, other = wrap(network, 32), wrap(network, 32, z_shape=(32,)), wrap(network, z_shape=(2, 4, 4))
    assert plain.fingerprint == same.fingerprint != other.fingerprint
    assert other.z_dim == 32


@pytest.mark.wrong_shape
def test_training_mode_and_other_things_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Sequential is in training mode; call \.eval\(\) first"):
        wrap(_sequential(), z_dim=5)
    with pytest.raises(TypeError, match="must be a torch module or the path of a program; got function"):
        wrap(_sequential, z_dim=5)
    generator = MADE["class"]()
    with pytest.raises(KeyError, match=r"unknown layer 'body\.c'"):
        generator.head(generator.sample_z(1), "body.c")
    with pytest.raises(ValueError, match=r"z of shape \[batch, 5\]; got \[2, 4\]"):
        generator(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="takes float32; got"):
        generator(torch.zeros(2, 5, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"must be in \[0, 5\]; got \[6\]"):
        generator.forcing(UnitSet("body.a", (6,)), [0.0])


def test_a_network_that_torch_exported_is_taken_apart_by_its_modules(tmp_path: Path) -> None:
    network, batch = _made(Skips), Dim("batch")
    arguments = (torch.randn(2, 5), torch.tensor([0, 1]))
    program = torch.export.export(network, arguments, dynamic_shapes=({0: batch}, {0: batch}))
    torch.export.save(program, tmp_path / "mine.pt2")
    unflat = torch.export.unflatten(torch.export.load(tmp_path / "mine.pt2")).eval()
    generator, wanted = wrap(unflat, z_dim=5, c=1), wrap(network, z_dim=5, c=1)
    z = wanted.sample_z(3)
    assert dict(generator.layers) == dict(wanted.layers)
    assert torch.equal(generator(z), wanted(z))
    for layer in wanted.layers:
        assert torch.equal(generator.head(z, layer), wanted.head(z, layer))
        edits = [Ablation(UnitSet(layer, (1,)))]
        assert torch.equal(generate(generator, z, edits), generate(wanted, z, edits))
    with pytest.raises(TypeError, match=r"cannot be copied .*; edit its images instead"):
        repair(generator, UnitSet("body.b", (1,)))


class Branches(nn.Module):
    """Conditions, functions, omitted arguments, numbers and tuples, as in scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(5, 32), nn.ReLU())
        self.up = nn.ConvTranspose2d(2, 4, 4, 2, 1)
        self.last = nn.Conv2d(4, 3, 3, padding=1)
        self.gain, self.twice = 1.5, True

    def mix(self, x: Tensor, gain: float) -> tuple[Tensor, float]:
        return functional.leaky_relu(x, 0.2) * gain, gain

    def forward(self, z: Tensor, gain: float = 1.0) -> Tensor:
        x = self.first(z).view(z.shape[0], -1, 4, 4)
        y = functional.interpolate(self.up(x), scale_factor=2.0)
        if self.twice and y.shape[0] > 0:
            y = y + y
        y, gain = self.mix(y, self.gain * gain)
        return torch.tanh(self.last(y) * gain)


class Lists(Branches):
    def forward(self, z: Tensor, gain: float = 1.0) -> Tensor:
        found = [self.up(self.first(z).view(z.shape[0], -1, 4, 4))]
        found.append(gain * found[0])
        return self.last(torch.stack(found).mean(0))


class Numbers(Branches):
    """Numbers and tensors that a trace stores as constants; one of them is the input of a module."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Scaled()
        self.factor, self.shift = torch.tensor(1.5), torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None]

    def forward(self, z: Tensor) -> Tensor:
        y = self.up(3 * self.first(z).view(-1, 2, 4, 4))
        y = self.inner(2 * y + 0.5, self.factor) / 7
        return torch.tanh(self.last(1 - y + self.shift))


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor, gain: Tensor) -> Tensor:
        return self.layer(x) * gain


def _saved(program: torch.jit.ScriptModule, path: Path) -> torch.jit.ScriptModule:
    torch.jit.save(program, path)
    return torch.jit.load(path)


SCRIPTS = {
    "scripted": (_sequential, lambda network: torch.jit.script(network), {}),
    "traced": (Skips, lambda network: torch.jit.trace(network, (torch.ones(2, 5), torch.tensor([0, 1]))), {"c": 1}),
    "numbers": (Numbers, lambda network: torch.jit.trace(network, torch.ones(2, 5)), {}),
    "branches": (Branches, lambda network: torch.jit.script(network), {}),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize(("make", "program", "arguments"), SCRIPTS.values(), ids=SCRIPTS.keys())
def test_a_script_shows_its_modules(make, program, arguments, tmp_path: Path) -> None:
    network = _made(make)
    script = _saved(program(network), tmp_path / "mine.pt")
    generator, wanted = (wrap(each, z_dim=5, **arguments) for each in (script, network))
    assert dict(generator.layers) == dict(wanted.layers)
    assert generator.name == type(network).__name__
    z = wanted.sample_z(3)
    images = wanted(z)
    assert torch.equal(generator(z), images)
    for layer in wanted.layers:
        assert torch.equal(generator.head(z, layer), wanted.head(z, layer)), layer
        edits = [Ablation(UnitSet(layer, (1,)))]
        assert torch.equal(generate(generator, z, edits), generate(wanted, z, edits))
        fixed = repair(generator, UnitSet(layer, (1,)))
        assert torch.equal(fixed(z), generate(wanted, z, edits))
        assert torch.equal(deepcopy(fixed)(z), fixed(z))
    assert torch.equal(generator(z), images)
    state = {name: value for name, value in network.state_dict().items() if not name.startswith("unused")}
    assert len(list(generator.parameters())) >= len([name for name in state if name.endswith("weight")])
    moving = z.clone().requires_grad_(True)
    slopes = [torch.autograd.grad(each(moving).sum(), moving)[0] for each in (generator, wanted)]
    assert torch.allclose(*slopes, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_script_is_moved_with_its_parameters() -> None:
    generator = wrap(torch.jit.script(_made(_sequential)), z_dim=5)
    fixed = repair(generator, UnitSet("2", (1,))).double()
    assert {value.dtype for value in fixed.module.state_dict().values() if value.is_floating_point()} == {torch.float64}
    assert {each.dtype for each in fixed.module.script.parameters()} == {torch.float64}
    assert {each.dtype for each in generator.parameters()} == {torch.float32}
    other = wrap(torch.jit.script(_made(_sequential)), z_dim=5)
    assert generator.fingerprint == other.fingerprint != wrap(_made(_sequential), z_dim=5).fingerprint


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_the_fingerprint_of_a_script_names_the_class_as_saved_results_do() -> None:
    generator = wrap(torch.jit.script(_made(_sequential)), z_dim=5)
    kind = "generators.scripted.Scripted"  # where the class was when the first results were saved
    facts = {"class": kind, "z_dim": 5, "c": None, "range": generator.value_range}
    assert generator.fingerprint.split("-")[0] == hash_tensors(generator.state_dict(), facts)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_script_that_changes_lists_runs_as_a_whole_and_says_that_nothing_shows() -> None:
    script = torch.jit.script(_made(Lists))
    with pytest.raises(ValueError, match=r"no layer that can be dissected: .* hide their submodules"):
        wrap(script, z_dim=5)


def test_a_wrapped_module_is_not_saved_as_a_generator_of_this_package(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="got a WrappedGenerator; save its module instead"):
        generators.save(wrap(_sequential().eval(), z_dim=5), tmp_path / "wrapped.safetensors")
    assert not list(tmp_path.iterdir())
