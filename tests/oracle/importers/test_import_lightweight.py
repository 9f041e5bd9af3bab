"""Checkpoints of lucidrains' lightweight GAN against its forward pass in float64."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from foreign import Draw, assert_agree, assert_contract, assert_every_name_counts, assert_says, built, doubles
from torch import Tensor
from torch.nn import functional

import generators
from generators.architectures.fastgan import FixedNoise
from generators.architectures.lightweight import HEADS, LightweightGAN
from generators.importers.families.lucidrains import LAYOUTS

_, LIGHTWEIGHT = LAYOUTS
HEAD = 2
"""Numbers in a head of the files here; in those of the project 64."""


def lightweight(
    units: list[int], attention: tuple[int, ...] = (), z_dim: int = 6, colors: int = 3, seed: int = 0
) -> dict[str, Tensor]:
    """A `G` with these numbers of units at 4 x 4, 8 x 8, ..., and attention to grids of some sides."""
    draw, t = Draw(seed), {}
    t |= {
        "initial_conv.0.weight": draw.normal(z_dim, 2 * units[0], 4, 4),
        "initial_conv.0.bias": draw.normal(2 * units[0]),
    }
    t |= draw.norm("initial_conv.1", 2 * units[0])
    for index, (before, after) in enumerate(pairwise(units)):
        up, side = f"layers.{index}.0", 4 * 2**index
        t |= _map(draw, f"{up}.0.net.0", 4 * before, before, 1) | {f"{up}.1.f": torch.tensor([1.0, 2.0, 1.0])}
        t |= _map(draw, f"{up}.2.1", 2 * after, before, 4) | {f"{up}.3.weight": draw.normal(1)}
        t |= draw.norm(f"{up}.4", 2 * after)
        if index + 3 < len(units) - 1 and side >= 8:  # this grid, doubled, excites the one 8 times as large
            t |= _map(draw, f"layers.{index}.1.to_k", 1, after, 1) | _map(draw, f"layers.{index}.1.net.0", 5, after, 1)
            t |= _map(draw, f"layers.{index}.1.net.2", units[index + 4], 5, 1)
        if side in attention:
            t |= _attention(draw, f"layers.{index}.2", before)
    return t | _map(draw, "out_conv", colors, units[-1], 3)


def _map(draw: Draw, name: str, after: int, before: int, kernel: int) -> dict[str, Tensor]:
    scale = (2 / before) ** 0.5 / kernel
    return {
        f"{name}.weight": draw.normal(after, before, kernel, kernel, scale=scale),
        f"{name}.bias": draw.normal(after),
    }


def _attention(draw: Draw, name: str, units: int) -> dict[str, Tensor]:
    inner = HEADS * HEAD
    shapes = {"to_lin_q": inner, "to_lin_kv.net.1": 2 * inner, "to_q": inner, "to_kv": 2 * inner}
    t = {f"{name}.fn.{part}.weight": draw.normal(after, units, 1, 1) for part, after in shapes.items()}
    t |= {f"{name}.fn.to_lin_kv.net.0.weight": draw.normal(units, 1, 3, 3)} | _map(
        draw, f"{name}.fn.to_out", units, 2 * inner, 1
    )
    return t | {f"{name}.norm.{part}": draw.normal(1, units, 1, 1, mean=1) for part in ("g", "b")}


def _images(tensors: dict[str, Tensor], z: Tensor, noise: list[Tensor]) -> Tensor:
    """Images in [0, 1] and beyond."""
    t = doubles(tensors)
    x = torch.einsum("bz,zuhw->buhw", z.double(), t["initial_conv.0.weight"]) + t["initial_conv.0.bias"][:, None, None]
    x = _gated(_norm(t, "initial_conv.1", x))
    x = x / x.square().sum(dim=1, keepdim=True).sqrt()
    gates: dict[int, Tensor] = {}
    for index, own in enumerate(noise):
        layer = f"layers.{index}"
        if f"{layer}.2.norm.g" in t:
            x = x + _attended(t, f"{layer}.2", x)
        x = _mapped(t, f"{layer}.0.0.net.0", x)
        x = _shuffled(x * torch.sigmoid(x))
        x = _mapped(t, f"{layer}.0.2.1", functional.pad(_blurred(x), (2, 1, 2, 1)))
        x = _gated(_norm(t, f"{layer}.0.4", x + t[f"{layer}.0.3.weight"] * own.double()))
        if f"{layer}.1.to_k.weight" in t:
            share = _mapped(t, f"{layer}.1.to_k", x).flatten(2).softmax(dim=2)
            mean = _mapped(t, f"{layer}.1.net.0", torch.einsum("bin,bcn->bc", share, x.flatten(2))[:, :, None, None])
            gates[index + 3] = torch.sigmoid(_mapped(t, f"{layer}.1.net.2", torch.where(mean > 0, mean, 0.1 * mean)))
        x = x * gates.get(index, 1)
    return functional.conv2d(x, t["out_conv.weight"], t["out_conv.bias"], padding=1)


def _mapped(t: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return functional.conv2d(x, t[f"{name}.weight"], t[f"{name}.bias"])


def _norm(t: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    scale, offset, mean, var = (
        t[f"{name}.{part}"][:, None, None] for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / (var + 1e-5).sqrt() * scale + offset


def _gated(x: Tensor) -> Tensor:
    value, gate = x.chunk(2, dim=1)
    return value * torch.sigmoid(gate)


def _shuffled(x: Tensor) -> Tensor:
    """Four units become the four pixels of one unit, row by row."""
    larger = torch.zeros(len(x), x.shape[1] // 4, 2 * x.shape[2], 2 * x.shape[3], dtype=x.dtype)
    for part in range(4):
        larger[:, :, part // 2 :: 2, part % 2 :: 2] = x[:, part::4]
    return larger


def _blurred(x: Tensor) -> Tensor:
    for axis in (2, 3):
        size = x.shape[axis]
        before = x.index_select(axis, torch.tensor([1, *range(size - 1)]))
        after = x.index_select(axis, torch.tensor([*range(1, size), size - 2]))
        x = 0.25 * before + 0.5 * x + 0.25 * after
    return x


def _attended(t: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Head by head, and of the neighbors pixel by pixel."""
    mean, var = x.mean(dim=1, keepdim=True), x.var(dim=1, correction=0, keepdim=True)
    x = (x - mean) / (var + 1e-5).sqrt() * t[f"{name}.norm.g"] + t[f"{name}.norm.b"]
    height, width = x.shape[2:]

    def mixed(part: str, of: Tensor) -> Tensor:
        return torch.einsum("oi,bihw->bohw", t[f"{name}.fn.{part}.weight"][:, :, 0, 0], of)

    depthwise = functional.conv2d(x, t[f"{name}.fn.to_lin_kv.net.0.weight"], padding=1, groups=x.shape[1])
    far_query, far_both = mixed("to_lin_q", x), mixed("to_lin_kv.net.1", depthwise)
    near_query, near_both = mixed("to_q", x), mixed("to_kv", x)
    far, near = torch.zeros_like(far_query), torch.zeros_like(far_query)
    inner, wide = HEADS * HEAD, functional.pad(near_both, (1, 1, 1, 1))
    for head in range(HEADS):
        own = slice(HEAD * head, HEAD * (head + 1))
        q, k, v = (part[:, own].flatten(2) for part in (far_query, far_both[:, :inner], far_both[:, inner:]))
        context = torch.einsum("bdn,ben->bde", k.softmax(dim=2), v)
        far[:, own] = torch.einsum("bde,bdn->ben", context, q.softmax(dim=1) * HEAD**-0.5).unflatten(2, (height, width))
        keys, values = wide[:, :inner][:, own], wide[:, inner:][:, own]
        for row in range(height):
            for column in range(width):
                near_k, near_v = (part[:, :, row : row + 3, column : column + 3].flatten(2) for part in (keys, values))
                share = (near_query[:, own, row, column, None] * HEAD**-0.5 * near_k).sum(dim=1).softmax(dim=1)
                near[:, own, row, column] = (near_v * share[:, None]).sum(dim=2)
    far = 0.5 * far * (1 + torch.erf(far / 2**0.5))
    both = torch.cat([far, near], dim=1)
    return mixed("to_out", both) + t[f"{name}.fn.to_out.bias"][:, None, None]


def _noise(generator: LightweightGAN) -> list[Tensor]:
    return [part.noise for part in generator.modules() if isinstance(part, FixedNoise)]


@pytest.mark.parametrize(
    ("units", "attention"),
    [([6, 5], ()), ([6, 5, 4], (4, 8)), ([8, 8, 6, 6, 5, 4], ()), ([8, 8, 6, 6, 5, 4, 3], (8,))],
    ids=["8", "16 attentive", "128", "256 attentive"],
)
def test_images_are_those_of_its_rules(units: list[int], attention: tuple[int, ...], tmp_path) -> None:
    t = lightweight(units, attention)
    generator = built(LIGHTWEIGHT, t)
    assert isinstance(generator, LightweightGAN)
    assert generator.image_size == (2 ** (len(units) + 1),) * 2
    z = generator.sample_z(2)
    assert_agree(generator(z), 2 * _images(t, z, _noise(generator)) - 1)
    assert_contract(generator, tmp_path)


def test_every_name_counts() -> None:
    t = lightweight([4, 4, 3, 3, 3, 2], (8,))
    assert any("to_k" in name for name in t)
    named = {name: t[name] for name in t if not name.endswith((".f", "num_batches_tracked"))}
    assert_every_name_counts(LIGHTWEIGHT, named)


def test_the_averaged_generator_of_a_file_is_taken(tmp_path) -> None:
    plain, averaged = lightweight([6, 5], seed=1), lightweight([6, 5])
    critic = {
        "residual_layers.0.0.branches.0.1.weight": torch.ones(4, 3, 4, 4),
        "to_logits.0.weight": torch.ones(4, 4, 1, 1),
    }
    networks = {"G": plain, "D": critic, "GE": averaged, "D_aug.D": critic}
    file = {f"{head}.{name}": value for head, tensors in networks.items() for name, value in tensors.items()}
    torch.save({"GAN": file, "version": "1.1.1"}, tmp_path / "model_3.pt")
    generator = generators.load(tmp_path / "model_3.pt", device="cpu")
    z = generator.sample_z(2)
    assert_agree(generator(z), 2 * _images(averaged, z, _noise(generator)) - 1)


def test_what_is_wrong_is_named() -> None:
    t = lightweight([6, 5, 4])
    assert_says(LIGHTWEIGHT, {**t, "layers.0.1.dct_weights": torch.ones(2)}, ["dct_weights", "unexpected"])
    with pytest.raises(ValueError, match=r"must be filtered with \[1, 2, 1\]"):
        LIGHTWEIGHT.build({**t, "layers.0.0.1.f": torch.ones(3)}, {}, {})
    for wrong in ({"units": [4]}, {"units": [4] * 6}, {"units": [4, 4], "attention": [3]}, {"units": [4, 0]}):
        with pytest.raises(ValueError, match="must"):
            LightweightGAN(3, **wrong)
