"""BigGANs of StudioGAN and of BigGAN-PyTorch, against forward passes in float64 that follow their layouts."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from foreign import Draw, assert_agree, assert_contract, assert_every_name_counts, assert_says, built, doubles
from torch import Tensor, nn
from torch.nn import functional

import generators
from generators.architectures.biggan import BigGAN
from generators.importers.families.biggan import LAYOUTS

STUDIOGAN, PYTORCH = LAYOUTS
CLASSES = 3


def _map(draw: Draw, name: str, *shape: int, bias: bool = True) -> dict[str, Tensor]:
    fan_in = torch.tensor(shape[1:]).prod().item()
    tensors = {f"{name}.weight": draw.normal(*shape, scale=0.6 / fan_in**0.5)}
    return tensors | ({f"{name}.bias": draw.normal(shape[0], scale=0.2)} if bias else {})


def _singular_vector(draw: Draw, weight: Tensor) -> Tensor:
    """A left singular vector after three steps of the power iteration, as early in a training."""
    matrix, u = weight.flatten(1), draw.normal(len(weight))
    for _ in range(3):
        u = functional.normalize(matrix @ (matrix.T @ u), dim=0)
    return u


def studiogan_biggan(
    units: list[int], part: int = 2, embedding: int = 4, attention: tuple[int, ...] = (), normal: bool = True
) -> dict[str, Tensor]:
    """A file of ``big_resnet``; attention comes after blocks, counted from 1, and is in the list itself."""
    draw, place = Draw(0), 0
    t = _map(draw, "linear0", units[0] * 16, part) | {"shared.weight": draw.normal(CLASSES, embedding)}
    for number, (before, after) in enumerate(pairwise(units), start=1):
        block = f"blocks.{place}.0"
        for norm, width in (("bn1", before), ("bn2", after)):
            statistics = draw.norm(f"{block}.{norm}.bn", width)
            t |= {name: value for name, value in statistics.items() if not name.endswith(("weight", "bias"))}
            for affine in ("gain", "bias"):
                t[f"{block}.{norm}.{affine}.weight"] = draw.normal(width, embedding + part, scale=0.3)
        t |= _map(draw, f"{block}.conv2d0", after, before, 1, 1) | _map(draw, f"{block}.conv2d1", after, before, 3, 3)
        t |= _map(draw, f"{block}.conv2d2", after, after, 3, 3)
        place += 1
        if number in attention:
            shapes = {"theta": (after // 8, after), "phi": (after // 8, after), "g": (after // 2, after)}
            for name, shape in (shapes | {"attn": (after, after // 2)}).items():
                t |= _map(draw, f"blocks.{place}.0.conv1x1_{name}", *shape, 1, 1, bias=False)
            t[f"blocks.{place}.0.sigma"] = torch.tensor([0.7])
            place += 1
    t |= draw.norm("bn4", units[-1]) | _map(draw, "conv2d5", 3, units[-1], 3, 3)
    return _with_torchs_norm(t) if normal else t


def _with_torchs_norm(t: dict[str, Tensor]) -> dict[str, Tensor]:
    """The file with torch's own spectral norm on every map but the embedding."""
    draw, normal = Draw(3), {}
    for name, value in t.items():
        layer = name.removesuffix(".weight")
        if value.ndim < 2 or layer == "shared":
            normal[name] = value
            continue
        u = _singular_vector(draw, value)
        v = functional.normalize(value.flatten(1).T @ u, dim=0)
        normal |= {f"{layer}.weight_orig": value, f"{layer}.weight_u": u, f"{layer}.weight_v": v}
    return normal


def biggan_pytorch(
    units: list[int],
    part: int = 2,
    embedding: int = 4,
    attention: tuple[int, ...] = (),
    *,
    hierarchical: bool = True,
    shared: bool = True,
    normal: bool = True,
    inner: str = "",
    side: int = 4,
) -> dict[str, Tensor]:
    """A file of ``BigGAN.py``; attention comes after blocks, counted from 1, and belongs to them.

    Args:
        inner: Names of the statistics: in the norm itself (empty), or in its ``stored`` or ``running`` module.
    """
    draw = Draw(1)

    def norm(name: str, width: int) -> dict[str, Tensor]:
        words = {"": "stored_", "stored": "bn.stored_", "running": "bn.running_"}[inner]
        statistics = {
            f"{name}.{words}mean": draw.normal(width, scale=0.3),
            f"{name}.{words}var": draw.positive(width),
        }
        counters = {"stored": {f"{name}.bn.accumulation_counter": torch.zeros(1)}}
        counters["running"] = {f"{name}.bn.num_batches_tracked": torch.tensor(7)}
        return statistics | counters.get(inner, {})

    t = {"shared.weight": draw.normal(CLASSES, embedding)} if shared else {}
    t |= _map(draw, "linear", units[0] * side**2, part)
    for index, (before, after) in enumerate(pairwise(units)):
        block = f"blocks.{index}.0"
        t |= _map(draw, f"{block}.conv1", after, before, 3, 3) | _map(draw, f"{block}.conv2", after, after, 3, 3)
        t |= _map(draw, f"{block}.conv_sc", after, before, 1, 1)
        for bn, width in (("bn1", before), ("bn2", after)):
            shape = (width, embedding + part * hierarchical) if shared else (CLASSES, width)
            for affine in ("gain", "bias"):
                t[f"{block}.{bn}.{affine}.weight"] = draw.normal(*shape, scale=0.3)
            t |= norm(f"{block}.{bn}", width)
        if index + 1 in attention:
            shapes = {"theta": (after // 8, after), "phi": (after // 8, after), "g": (after // 2, after)}
            for name, shape in (shapes | {"o": (after, after // 2)}).items():
                t |= _map(draw, f"blocks.{index}.1.{name}", *shape, 1, 1, bias=False)
            t[f"blocks.{index}.1.gamma"] = torch.tensor(0.7)
    t |= {"output_layer.0.gain": draw.normal(units[-1], mean=1, scale=0.2)}
    t |= {"output_layer.0.bias": draw.normal(units[-1], scale=0.2)} | norm("output_layer.0", units[-1])
    t |= _map(draw, "output_layer.2", 3, units[-1], 3, 3)
    if normal:
        maps = [name.removesuffix(".weight") for name, value in t.items() if value.ndim > 1 and "shared" not in name]
        for name in maps if shared else [name for name in maps if not name.endswith((".gain", ".bias"))]:
            t[f"{name}.u0"] = _singular_vector(draw, t[f"{name}.weight"])[None]
            t[f"{name}.sv0"] = torch.tensor([9.0])  # is not what they divide by
    return t


def _attend(x: Tensor, maps: list[Tensor], strength: Tensor) -> Tensor:
    """Largest of each 2 x 2 keys and values, weighted by exp(query . key), one image after another."""
    theta, phi, g, o = (weight[:, :, 0, 0] for weight in maps)
    outputs = []
    for image in x:
        units, height, width = image.shape
        pixels = image.reshape(units, -1)
        squares = image.reshape(units, height // 2, 2, width // 2, 2)
        keys, values = (torch.einsum("ku,uaibj->kabij", weight, squares).amax((3, 4)).flatten(1) for weight in (phi, g))
        logits = (theta @ pixels).T @ keys
        weights = torch.exp(logits - logits.amax(1, keepdim=True))
        means = values @ (weights / weights.sum(1, keepdim=True)).T
        outputs.append(image + strength * (o @ means).reshape(units, height, width))
    return torch.stack(outputs)


def _up(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def _scaled(x: Tensor, mean: Tensor, variance: Tensor, eps: float, gain: Tensor, offset: Tensor) -> Tensor:
    """Norm, gain, offset and ReLU; the last two are per image, or one row for all."""
    normalized = (x - mean[:, None, None]) / torch.sqrt(variance + eps)[:, None, None]
    return torch.relu(normalized * gain[:, :, None, None] + offset[:, :, None, None])


def _studiogan_images(tensors: dict[str, Tensor], z: Tensor, classes: list[int], part: int = 2) -> Tensor:
    t = doubles(tensors)

    def weight(name: str) -> Tensor:
        if f"{name}.weight" in t:
            return t[f"{name}.weight"]
        original = t[f"{name}.weight_orig"]
        return original / (t[f"{name}.weight_u"] @ original.flatten(1) @ t[f"{name}.weight_v"])

    def conv(x: Tensor, name: str) -> Tensor:
        return functional.conv2d(x, weight(name), t[f"{name}.bias"], padding=weight(name).shape[2] // 2)

    first, *parts = z.double().split(part, dim=1)
    shared = t["shared.weight"][classes]
    x = (first @ weight("linear0").T + t["linear0.bias"]).reshape(len(z), -1, 4, 4)
    for index in range(1 + max(int(name.split(".")[1]) for name in t if name.startswith("blocks."))):
        block = f"blocks.{index}.0"
        if f"{block}.sigma" in t:
            maps = [weight(f"{block}.conv1x1_{name}") for name in ("theta", "phi", "g", "attn")]
            x = _attend(x, maps, t[f"{block}.sigma"])
            continue
        condition = torch.cat([shared, parts.pop(0)], dim=1)

        def norm(x: Tensor, name: str, condition: Tensor = condition) -> Tensor:
            gain, offset = (condition @ weight(f"{name}.{affine}").T for affine in ("gain", "bias"))
            return _scaled(x, t[f"{name}.bn.running_mean"], t[f"{name}.bn.running_var"], 1e-4, 1 + gain, offset)

        y = conv(_up(norm(x, f"{block}.bn1")), f"{block}.conv2d1")
        x = conv(norm(y, f"{block}.bn2"), f"{block}.conv2d2") + conv(_up(x), f"{block}.conv2d0")
    assert not parts
    last = [t[f"bn4.{name}"][None] for name in ("weight", "bias")]
    return torch.tanh(conv(_scaled(x, t["bn4.running_mean"], t["bn4.running_var"], 1e-4, *last), "conv2d5"))


def _pytorch_images(
    tensors: dict[str, Tensor], z: Tensor, classes: list[int], part: int = 2, inner: str = ""
) -> Tensor:
    t = doubles(tensors)
    words = {"": "stored_", "stored": "bn.stored_", "running": "bn.running_"}[inner]

    def weight(name: str) -> Tensor:
        matrix = t[f"{name}.weight"].flatten(1)
        if f"{name}.u0" not in t:
            return t[f"{name}.weight"]
        v = t[f"{name}.u0"] @ matrix
        v = v / v.norm()
        u = v @ matrix.T
        u = u / u.norm()
        return t[f"{name}.weight"] / (v @ matrix.T @ u.T)

    def conv(x: Tensor, name: str) -> Tensor:
        return functional.conv2d(x, weight(name), t[f"{name}.bias"], padding=weight(name).shape[2] // 2)

    z = z.double()
    count = 1 + max(int(name.split(".")[1]) for name in t if name.startswith("blocks."))
    first, *parts = z.split(part, dim=1)
    x = first @ weight("linear").T + t["linear.bias"]
    units = t["blocks.0.0.conv1.weight"].shape[1]
    side = round((x.shape[1] / units) ** 0.5)
    x = x.reshape(len(z), units, side, side)
    parts = parts or [z[:, :0]] * count
    assert len(parts) == count
    for index, own in enumerate(parts):
        block = f"blocks.{index}.0"

        def norm(x: Tensor, name: str, own: Tensor = own) -> Tensor:
            if "shared.weight" in t:
                condition = torch.cat([t["shared.weight"][classes], own], dim=1)
                gain, offset = (condition @ weight(f"{name}.{affine}").T for affine in ("gain", "bias"))
            else:
                gain, offset = (t[f"{name}.{affine}.weight"][classes] for affine in ("gain", "bias"))
            return _scaled(x, t[f"{name}.{words}mean"], t[f"{name}.{words}var"], 1e-5, 1 + gain, offset)

        y = conv(_up(norm(x, f"{block}.bn1")), f"{block}.conv1")
        x = conv(norm(y, f"{block}.bn2"), f"{block}.conv2") + conv(_up(x), f"{block}.conv_sc")
        if f"blocks.{index}.1.gamma" in t:
            maps = [weight(f"blocks.{index}.1.{name}") for name in ("theta", "phi", "g", "o")]
            x = _attend(x, maps, t[f"blocks.{index}.1.gamma"])
    norm_ = "output_layer.0"
    last = [t[f"{norm_}.{name}"][None] for name in ("gain", "bias")]
    x = _scaled(x, t[f"{norm_}.{words}mean"], t[f"{norm_}.{words}var"], 1e-5, *last)
    return torch.tanh(conv(x, "output_layer.2"))


def _rows(generator: BigGAN, classes: list[int]) -> tuple[Tensor, Tensor]:
    """Rows of classes, and their noise."""
    z = generator.sample_z(len(classes), seed=3, classes=torch.tensor(classes))
    return z, z[:, : generator.noise_dim]


@pytest.mark.parametrize("normal", [True, False])
@pytest.mark.parametrize(
    ("units", "attention"),
    [([4, 4, 4, 4], ()), ([16, 8, 8, 4, 2], (2,)), ([16, 16, 16, 8, 4, 2], (3,)), ([8, 8, 8, 8, 8], (4, 2))],
    ids=str,
)
def test_images_of_studiogans_biggan(units: list[int], attention: tuple[int, ...], normal: bool, tmp_path) -> None:
    t = studiogan_biggan(units, attention=attention, normal=normal)
    generator = built(STUDIOGAN, t)
    assert isinstance(generator, BigGAN)
    assert generator.image_size == (2 ** (len(units) + 1),) * 2
    assert (generator.noise_dim, generator.classes) == (2 * len(units), ("0", "1", "2"))
    assert generator.settings["attention"] == sorted(number + 1 for number in attention)
    z, noise = _rows(generator, [2, 0, 1])
    assert_agree(generator(z), _studiogan_images(t, noise, [2, 0, 1]))
    assert_contract(generator, tmp_path)


@pytest.mark.parametrize("normal", [True, False])
@pytest.mark.parametrize(
    ("units", "attention"),
    [([4, 4, 4, 4], ()), ([16, 16, 8, 8, 2], (3,)), ([16, 16, 16, 8, 4, 2], (3,)), ([8, 8, 8, 8, 8], (4, 2))],
    ids=str,
)
def test_images_of_biggan_pytorch(units: list[int], attention: tuple[int, ...], normal: bool, tmp_path) -> None:
    t = biggan_pytorch(units, attention=attention, normal=normal)
    generator = built(PYTORCH, t)
    assert generator.image_size == (2 ** (len(units) + 1),) * 2
    assert generator.noise_dim == 2 * len(units)
    z, noise = _rows(generator, [2, 0, 1])
    assert_agree(generator(z), _pytorch_images(t, noise, [2, 0, 1]))
    assert_contract(generator, tmp_path)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("normal", [True, False])
def test_without_hierarchical_noise_the_norms_take_the_class_alone(shared: bool, normal: bool, tmp_path) -> None:
    t = biggan_pytorch([8, 8, 4], 6, attention=(1,), hierarchical=False, shared=shared, normal=normal)
    generator = built(PYTORCH, t)
    assert generator.noise_dim == 6
    assert not generator.settings["hierarchical"]
    z, noise = _rows(generator, [1, 1, 2])
    assert_agree(generator(z), _pytorch_images(t, noise, [1, 1, 2], part=6))
    assert_contract(generator, tmp_path)


@pytest.mark.parametrize("inner", ["stored", "running"])
def test_statistics_in_a_module_of_the_norm(inner: str) -> None:
    t = biggan_pytorch([6, 5, 4], inner=inner, side=3)
    generator = built(PYTORCH, t)
    assert generator.image_size == (12, 12)
    z, noise = _rows(generator, [1, 0])
    assert_agree(generator(z), _pytorch_images(t, noise, [1, 0], inner=inner))


def test_accumulated_standing_statistics_are_divided_by_their_number() -> None:
    t = biggan_pytorch([6, 5, 4], inner="stored")
    sums = {
        name: value * 16 if name.endswith(("stored_mean", "stored_var")) else value + 16 * ("accumulation" in name)
        for name, value in t.items()
    }
    generator = built(PYTORCH, sums)
    z, noise = _rows(generator, [1, 0])
    assert_agree(generator(z), _pytorch_images(t, noise, [1, 0], inner="stored"))


def test_further_singular_vectors_are_ignored() -> None:
    t = biggan_pytorch([6, 5, 4])
    more = {name.replace("u0", "u1"): -value for name, value in t.items() if name.endswith(".u0")}
    more |= {name.replace("sv0", "sv1"): value for name, value in t.items() if name.endswith(".sv0")}
    z, _ = _rows(built(PYTORCH, t), [2])
    assert torch.equal(built(PYTORCH, t | more)(z), built(PYTORCH, t)(z))


def test_torchs_spectral_norm_in_eval_mode_is_what_the_file_of_studiogan_is_read_as() -> None:
    """The reference above divides as torch does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = nn.utils.spectral_norm(nn.Linear(4, 5)).eval()
    state = layer.state_dict()
    weight = state["weight_orig"] / (state["weight_u"] @ state["weight_orig"] @ state["weight_v"])
    torch.testing.assert_close(functional.linear(torch.eye(4), weight, layer.bias), layer(torch.eye(4)))


@pytest.mark.parametrize("layout", ["StudioGAN", "BigGAN-PyTorch"])
def test_a_file_is_loaded_like_any_other(layout: str, tmp_path) -> None:
    if layout == "StudioGAN":
        t = studiogan_biggan([8, 8, 4], attention=(1,))
        torch.save({"state_dict": t, "step": 7}, tmp_path / "model=G_ema-best-weights-step=7.pth")
        images = _studiogan_images
    else:
        t = biggan_pytorch([8, 8, 4], attention=(1,))
        torch.save({f"module.{name}": value for name, value in t.items()}, tmp_path / "G_ema.pth")
        images = _pytorch_images
    generator = generators.load(next(tmp_path.iterdir()), device="cpu")
    z, noise = _rows(generator, [2, 1])
    assert_agree(generator(z), images(t, noise, [2, 1]))
    assert generator.of_classes(2).drawn == ("2",)


def test_every_name_of_each_layout_counts() -> None:
    studiogan = studiogan_biggan([8, 8, 4], attention=(1,))
    assert_every_name_counts(STUDIOGAN, {name: value for name, value in studiogan.items() if "batches" not in name})
    assert_every_name_counts(PYTORCH, biggan_pytorch([8, 8, 4], attention=(1,), normal=False))
    unshared = biggan_pytorch([8, 8, 4], hierarchical=False, shared=False, normal=False)
    assert_every_name_counts(PYTORCH, unshared)


def test_what_is_wrong_is_said() -> None:
    t = biggan_pytorch([8, 8, 4], normal=False)
    assert_says(PYTORCH, {**t, "shared.weight": torch.ones(3, 5)}, ["must take the 5 numbers", "2 numbers", "got 6"])
    assert_says(PYTORCH, {**t, "linear.weight": torch.ones(8 * 15, 2)}, ["output of linear", "120 numbers", "8 units"])
    assert_says(PYTORCH, t, ["accepts no options; got c"], c=1)
    many = {**t, "shared.weight": torch.ones(1000, 4), "blocks.0.0.conv2.weight": torch.ones(8, 7, 3, 3)}
    assert_says(PYTORCH, many, ["must be [8, 8, 3, 3] in a biggan with units [8, 8, 4]", "classes (1000 in all)"])
    s = studiogan_biggan([8, 8, 4], normal=False)
    assert_says(STUDIOGAN, {**s, "shared.weight": torch.ones(3, 5)}, ["must take the 5 numbers", "got 6"])
    assert_says(STUDIOGAN, {name: s[name] for name in s if name != "shared.weight"}, ["missing shared.weight"])
    assert_says(STUDIOGAN, {"blocks.0.0.conv1x1_theta.weight": torch.ones(1, 8, 1, 1)}, ["missing"])
