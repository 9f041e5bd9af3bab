"""StyleGAN3 of NVlabs stylegan3, configurations T and R.

A layer is named ``synthesis.L{index}_{side of the canvas}_{units}``; the last one renders the image. The resampling
factors around a leaky ReLU follow from the lengths of the filters, which span ``filter_size`` samples of the coarser
grid, six by default. Filters are used as stored. The two-dimensional filter of R is recognized by its shape.

Source: Karras et al. 2021, arXiv 2106.12423, Sec. 3.2, Appendix C and F; names: github.com/NVlabs/stylegan3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...architectures.blocks import SQRT2
from ...architectures.stylegan3 import BRIGHTNESS, LIMIT, StyleGAN3
from ..layouts import Facts, ImportOptions, Tensors
from ..plans import ImportPlan, TensorSource, copy_tensor, find_numbers, layout_of, shape_of, spread_gray
from .class_conditions import OPTION, Classes
from .style_parts import RATE, mapping_settings, mapping_sources
from .stylegan2_settings import rate_of

TAPS = 6
"""Default length of a filter in samples of the coarser of its grids."""

LAYER = re.compile(r"synthesis\.(L(\d{1,4})_(\d{1,5})_(\d{1,5}))\.")
TRANSFORM = "synthesis.input.transform"
WAVES = {"weight": "weight", "transform": "transform", "frequencies": "freqs", "phases": "phases"}
SHARED = {"weight": "weight", "bias": "bias", "magnitude": "magnitude_ema"}
AFFINE = {"affine.weight": "affine.weight", "affine.bias": "affine.bias"}


@dataclass(frozen=True, slots=True)
class LayerName:
    """A layer of the file.

    Args:
        name: Prefix of the names of its tensors, up to the last dot.
        side: Height and width of its canvas.
        units: Number of output channels.
    """

    name: str
    side: int
    units: int


def _plan(tensors: Tensors, facts: Facts, options: ImportOptions) -> ImportPlan:
    layers = _find_layers(tensors)
    dense = [f"mapping.fc{index}" for index in find_numbers(tensors, r"mapping\.fc(\d+)\.") or (0, 1)]
    classes, factor = Classes(tensors, dense[0], options.get(OPTION)), rate_of(facts, dense[0]) / RATE
    sources = mapping_sources(dense, lambda x: x * factor, lambda x: x * (SQRT2 * factor))
    sources |= classes.fold_class(factor * RATE) | {"mapping.w_avg": copy_tensor("mapping.w_avg")}
    sources |= {
        f"layer1.{target}": copy_tensor(f"synthesis.input.{source}") for target, source in (WAVES | AFFINE).items()
    }
    for number, layer in enumerate(layers[:-1], start=2):
        sources |= {
            f"layer{number}.{target}": copy_tensor(f"{layer.name}.{part}") for target, part in (SHARED | AFFINE).items()
        }
        for target in ("up_filter", "down_filter"):
            if f"{layer.name}.{target}" in tensors:
                sources[f"layer{number}.{target}"] = copy_tensor(f"{layer.name}.{target}")
    sources |= _image_sources(layers[-1].name, facts)

    def settings() -> dict[str, Any]:
        filterings = [
            _make_filtering(tensors, layer, _read_setting(facts, "filter_size", TAPS)) for layer in layers[:-1]
        ]
        waves = shape_of(tensors, "synthesis.input.freqs", 2)[0]
        sizes = {"size": layers[-1].side, "waves": waves, "side": layers[0].side, "filterings": filterings}
        return sizes | mapping_settings(tensors, dense) | classes.settings()

    def check() -> None:
        classes.check()
        _check_values(tensors, layers, facts)

    return ImportPlan(StyleGAN3, settings, sources, check=check)


def _find_layers(tensors: Tensors) -> list[LayerName]:
    """Return the layers in the names, in order; if there are none, return two, to report missing names."""
    by_name = {match[1]: match for match in map(LAYER.match, tensors) if match}
    numbered = [
        (int(match[2]), LayerName(f"synthesis.{name}", int(match[3]), int(match[4]))) for name, match in by_name.items()
    ]
    layers = [layer for _, layer in sorted(numbered, key=lambda pair: pair[0])]
    return (
        layers
        if len(layers) > 1
        else [LayerName("synthesis.L0_36_512", 36, 512), LayerName("synthesis.L14_256_3", 256, 3)]
    )


def _image_sources(name: str, facts: Facts) -> dict[str, TensorSource]:
    """Return the sources of the image layer; the image is multiplied by ``output_scale`` at the end."""
    factor = _read_setting(facts, "output_scale", BRIGHTNESS) / BRIGHTNESS
    weight, bias = spread_gray(f"{name}.weight"), spread_gray(f"{name}.bias")
    return {
        "output.weight": TensorSource(weight.names, lambda x: weight.make(x) * factor),
        "output.bias": TensorSource(bias.names, lambda x: bias.make(x) * factor),
        "output.magnitude": copy_tensor(f"{name}.magnitude_ema"),
        **{f"output.{part}": copy_tensor(f"{name}.{part}") for part in AFFINE},
    }


def _make_filtering(tensors: Tensors, layer: LayerName, taps: int) -> dict[str, Any]:
    """Return the arguments of a layer's `Filtering`.

    Raises:
        ValueError: If its weights or filters have unexpected shapes.
    """
    units, _, kernel, _ = shape_of(tensors, f"{layer.name}.weight", 4)
    lengths, axes = [], 1
    for part in ("up_filter", "down_filter"):
        shape = tuple(tensors[f"{layer.name}.{part}"].shape) if f"{layer.name}.{part}" in tensors else (1,)
        if len(shape) not in (1, 2) or len(set(shape)) > 1 or (shape[0] > 1 and shape[0] % taps):
            raise ValueError(
                f"{layer.name}.{part} must be a row or a square of {taps}, {2 * taps}, ...; got {list(shape)}"
            )
        lengths.append(shape[0])
        axes = len(shape)
    up, down = (length // taps or 1 for length in lengths)
    factors = {"up": up, "up_taps": lengths[0], "down": down, "down_taps": lengths[1], "radial": axes == 2}
    return {"units": units, "side": layer.side, "kernel": kernel} | factors


def _check_values(tensors: Tensors, layers: list[LayerName], facts: Facts) -> None:
    """Check values that the architecture does not support.

    Raises:
        ValueError: If a filter is asymmetric, the input transform is not rigid, or activations have another bound.
    """
    for layer in layers[:-1]:
        for part in ("up_filter", "down_filter"):
            row = tensors.get(f"{layer.name}.{part}")
            if row is not None and not torch.allclose(row, row.flip(tuple(range(row.ndim))), atol=1e-6):
                raise ValueError(f"{layer.name}.{part} must be symmetric; other filters are not supported")
    if shape_of(tensors, TRANSFORM, 2) != (3, 3) or not _is_rigid(tensors[TRANSFORM]):
        raise ValueError(f"{TRANSFORM} must be a rotation and translation; reset it to the identity")
    if (limit := _read_setting(facts, "conv_clamp", LIMIT)) != LIMIT:
        raise ValueError(f"the bound on activations must be {LIMIT:g}; got {limit}")


def _is_rigid(transform: Tensor) -> bool:
    turn = transform.float()[:2, :2]
    last = transform.new_tensor([0.0, 0.0, 1.0])
    identity = torch.eye(2, dtype=torch.float32, device="cpu")
    return torch.allclose(turn @ turn.T, identity, atol=1e-4) and torch.equal(transform[2], last)


def _read_setting(facts: Facts, name: str, default: float) -> Any:
    """Return a setting from the file, or the default."""
    keywords = facts.get("init_kwargs")
    keywords = keywords if isinstance(keywords, dict) else {}
    inner = keywords.get("synthesis_kwargs")
    value = {**keywords, **(inner if isinstance(inner, dict) else {})}.get(name, default)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else default


LAYOUTS = (layout_of("NVlabs StyleGAN3", _plan, [OPTION]),)
