"""Random files of StyleGAN2 in three layouts, and the forward pass that the paper and their notes describe."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from foreign import Draw, doubles
from torch import Tensor

ROW = torch.tensor([1.0, 3.0, 3.0, 1.0])
SQRT2 = 2**0.5


def nvlabs(
    units: list[int],
    z_dim: int = 6,
    w_dim: int = 5,
    depth: int = 2,
    c_dim: int = 0,
    colors: int = 3,
    seed: int = 0,
    architecture: str = "skip",
) -> dict[str, Tensor]:
    """A `G_ema` of stylegan2-ada-pytorch with so many units at 4 x 4, 8 x 8, ..."""
    draw, t = Draw(seed), {}
    before = z_dim
    if c_dim:
        t |= {"mapping.embed.weight": draw.normal(w_dim, c_dim), "mapping.embed.bias": draw.normal(w_dim)}
        before = z_dim + w_dim
    for i in range(depth):
        t[f"mapping.fc{i}.weight"] = draw.normal(w_dim, before, scale=100)
        t[f"mapping.fc{i}.bias"] = draw.normal(w_dim, scale=30)
        before = w_dim
    t |= {"mapping.w_avg": draw.normal(w_dim), "synthesis.b4.const": draw.normal(units[0], 4, 4)}
    filter = torch.outer(ROW, ROW) / 64
    for level, after in enumerate(units):
        side, before = 4 * 2**level, units[max(level - 1, 0)]
        block = f"synthesis.b{side}"
        t[f"{block}.resample_filter"] = filter
        for conv, inside in (("conv0", before), ("conv1", after))[level == 0 :]:
            t |= _modulated(draw, f"{block}.{conv}", inside, after, w_dim, 3)
            t[f"{block}.{conv}.noise_const"] = draw.normal(side, side)
            t[f"{block}.{conv}.noise_strength"] = draw.normal()
            t[f"{block}.{conv}.resample_filter"] = filter
        if architecture == "skip" or level == len(units) - 1:
            t |= _modulated(draw, f"{block}.torgb", after, colors, w_dim, 1)
        if architecture == "resnet" and level:
            t |= {f"{block}.skip.weight": draw.normal(after, before, 1, 1), f"{block}.skip.resample_filter": filter}
    return t


def _modulated(draw: Draw, name: str, before: int, after: int, w_dim: int, kernel: int) -> dict[str, Tensor]:
    return {
        f"{name}.weight": draw.normal(after, before, kernel, kernel),
        f"{name}.bias": draw.normal(after, scale=0.3),
        f"{name}.affine.weight": draw.normal(before, w_dim),
        f"{name}.affine.bias": draw.normal(before, scale=0.2, mean=1),
    }


def rosinality(t: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same network as a `g_ema` of rosinality/stylegan2-pytorch, without the mean w, which is beside it."""
    named = {"input.input": t["synthesis.b4.const"][None]}
    for name, value in t.items():
        match name.split("."):
            case ["mapping", layer, leaf] if layer.startswith("fc"):
                named[f"style.{int(layer[2:]) + 1}.{leaf}"] = value
            case ["synthesis", block, "torgb", *leaf]:
                level = int(block[1:]).bit_length() - 3
                head = f"to_rgbs.{level - 1}" if level else "to_rgb1"
                wide = {"weight": value[None], "bias": value.reshape(1, -1, 1, 1)}.get(leaf[0], value)
                named[f"{head}.{_rosinality_leaf(leaf, image=True)}"] = wide
            case ["synthesis", block, ("conv0" | "conv1") as conv, *leaf]:
                index = 2 * (int(block[1:]).bit_length() - 3) - 1 + int(conv[-1])
                head = f"convs.{index - 1}" if index else "conv1"
                if leaf == ["noise_const"]:
                    named[f"noises.noise_{index}"] = value[None, None]
                elif leaf != ["resample_filter"]:
                    wide = {"weight": value[None], "noise_strength": value[None]}.get(leaf[0], value)
                    named[f"{head}.{_rosinality_leaf(leaf)}"] = wide
                elif conv == "conv0":
                    named[f"{head}.conv.blur.kernel"] = named[f"to_rgbs.{index // 2}.upsample.kernel"] = value * 4
    return named


def _rosinality_leaf(leaf: list[str], image: bool = False) -> str:
    return {
        ("weight",): "conv.weight",
        ("bias",): "bias" if image else "activate.bias",
        ("noise_strength",): "noise.weight",
        ("affine", "weight"): "conv.modulation.weight",
        ("affine", "bias"): "conv.modulation.bias",
    }[tuple(leaf)]


def genforce(t: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same network as a `generator_smooth` of genforce."""
    named = {"synthesis.early_layer.const": t["synthesis.b4.const"][None], "truncation.w_avg": t["mapping.w_avg"]}
    for name, value in t.items():
        match name.split("."):
            case ["mapping", layer, leaf] if layer.startswith("fc"):
                named[f"mapping.dense{layer[2:]}.{leaf}"] = value
            case ["synthesis", block, ("conv0" | "conv1" | "torgb") as part, *leaf] if leaf != ["resample_filter"]:
                level = int(block[1:]).bit_length() - 3
                head = f"output{level}" if part == "torgb" else f"layer{2 * level - 1 + int(part[-1])}"
                end = {"affine": "style", "noise_const": "noise"}.get(leaf[0], leaf[0])
                if part == "conv0" and leaf == ["weight"]:
                    value = value.flip(2, 3)
                elif leaf == ["affine", "bias"]:
                    value = value - 1
                elif leaf == ["noise_const"]:
                    value = value[None, None]
                named[f"synthesis.{head}.{'.'.join([end, *leaf[1:]])}"] = value
    named["synthesis.layer1.filter.kernel"] = torch.outer(ROW, ROW)[None, None] / 16
    return named


def mapped(t: Mapping[str, Tensor], z: Tensor, c: Tensor | None = None, rate: float = 0.01) -> Tensor:
    """The w of latent vectors, in float64."""
    t, x = doubles(t), _unit(z.double())
    if c is not None:
        y = t["mapping.embed.weight"] @ c.double() / len(c) ** 0.5 + t["mapping.embed.bias"]
        x = torch.cat([x, _unit(y[None]).expand(len(x), -1)], dim=1)
    for i in range(sum(name.startswith("mapping.fc") for name in t) // 2):
        weight, bias = t[f"mapping.fc{i}.weight"], t[f"mapping.fc{i}.bias"]
        x = _leaky(x @ weight.T * (rate / weight.shape[1] ** 0.5) + bias * rate) * SQRT2
    return x


def images(t: Mapping[str, Tensor], w: Tensor, clamp: float = torch.inf, noisy: bool = True) -> Tensor:
    """The images of w, in float64, one by one."""
    return torch.cat([_image(doubles(t), vector, clamp, noisy) for vector in w])


def _image(t: dict[str, Tensor], w: Tensor, clamp: float, noisy: bool) -> Tensor:
    x, image, side = t["synthesis.b4.const"][None], None, 4
    while f"synthesis.b{side}.conv1.weight" in t:
        before, skip = x, t.get(f"synthesis.b{side}.skip.weight")
        for conv in ("conv0", "conv1")[side == 4 :]:
            name = f"synthesis.b{side}.{conv}"
            weight = t[f"{name}.weight"] * _style(t, name, w)[None, :, None, None]
            weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
            x = _low_pass(_spread(x, weight), 1, 1) if conv == "conv0" else _convolve(x, weight)
            if noisy:
                x = x + t[f"{name}.noise_const"] * t[f"{name}.noise_strength"]
            share = 0.5**0.5 if skip is not None and conv == "conv1" else 1.0  # of a sum of two
            x = (_leaky(x + t[f"{name}.bias"][:, None, None]) * SQRT2 * share).clamp(-clamp * share, clamp * share)
        if skip is not None:
            beside = torch.einsum("oi,bihw->bohw", skip[:, :, 0, 0] / before.shape[1] ** 0.5, _stuffed(before))
            x = x + _low_pass(beside, 2, 1) * 0.5**0.5
        name = f"synthesis.b{side}.torgb"
        if f"{name}.weight" in t:
            weight = t[f"{name}.weight"] * (_style(t, name, w) / x.shape[1] ** 0.5)[None, :, None, None]
            own = torch.einsum("oi,bihw->bohw", weight[:, :, 0, 0], x) + t[f"{name}.bias"][:, None, None]
            image = own.clamp(-clamp, clamp) + (0 if image is None else _low_pass(_stuffed(image), 2, 1))
        side *= 2
    return image


def _style(t: dict[str, Tensor], name: str, w: Tensor) -> Tensor:
    return t[f"{name}.affine.weight"] @ w / len(w) ** 0.5 + t[f"{name}.affine.bias"]


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def _leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def _convolve(x: Tensor, weight: Tensor) -> Tensor:
    """Correlation with a 3 x 3 kernel as a sum of shifted images, zeros outside."""
    height, width = x.shape[2:]
    wide = torch.nn.functional.pad(x, (1, 1, 1, 1))
    return sum(
        torch.einsum(
            "oi,bihw->bohw", weight[:, :, row, column], wide[:, :, row : row + height, column : column + width]
        )
        for row in range(3)
        for column in range(3)
    )


def _spread(x: Tensor, weight: Tensor) -> Tensor:
    """Every pixel times the kernel, added up at twice its place."""
    height, width = x.shape[2:]
    full = torch.zeros(len(x), len(weight), 2 * height + 1, 2 * width + 1, dtype=x.dtype)
    for row in range(3):
        for column in range(3):
            full[:, :, row : row + 2 * height : 2, column : column + 2 * width : 2] += torch.einsum(
                "oi,bihw->bohw", weight[:, :, row, column], x
            )
    return full


def _stuffed(x: Tensor) -> Tensor:
    """Zeros after every pixel, to the right and below."""
    wide = torch.zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3], dtype=x.dtype)
    wide[:, :, ::2, ::2] = x
    return wide


def _low_pass(x: Tensor, before: int, after: int) -> Tensor:
    """[1, 3, 3, 1] / 4 in both directions, with so many zeros before and after."""
    wide = torch.nn.functional.pad(x, (before, after, before, after))
    height, width = wide.shape[2] - 3, wide.shape[3] - 3
    row = (ROW / 4).double()
    return sum(row[i] * row[j] * wide[:, :, i : i + height, j : j + width] for i in range(4) for j in range(4))
