"""Convert pickled TensorFlow networks of ProGAN, StyleGAN and StyleGAN2 to layouts of PyTorch.

TensorFlow stores the weights of a convolution as ``[h, w, in, out]`` and of a dense layer as ``[in, out]``. Layers that
double the grid in one step (``Conv0_up`` in ProGAN, in StyleGAN from 128 x 128 on, and in StyleGAN2) are transposed
convolutions, whose kernels are flipped. The resulting names are those of CSAILVision/gandissect for ProGAN, of genforce
for StyleGAN and of stylegan2-ada-pytorch for StyleGAN2.

Source: Karras et al. 2018, arXiv 1710.10196; 2019, arXiv 1812.04948; 2020, arXiv 1912.04958, whose terms are the names
in the files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gandissect.storage.files import MAX_TENSORS

from .values import MAX_NAME, Record

Variables = Mapping[str, Tensor]
FUSED_FROM = 128
"""Smallest grid that StyleGAN doubles in one step by default."""
MAX_DEPTH = 4
"""Maximum nesting of components; those of StyleGAN are nested once."""
USUAL: dict[str, Any] = {
    "blur_filter": [1, 2, 1],
    "mapping_lrmul": 0.01,
    "mapping_nonlinearity": "lrelu",
    "nonlinearity": "lrelu",
    "normalize_latents": True,
    "resample_kernel": [1, 3, 3, 1],
    "use_instance_norm": True,
    "use_leakyrelu": True,
    "use_noise": True,
    "use_pixel_norm": False,
    "use_pixelnorm": True,
    "use_styles": True,
    "use_wscale": True,
}
"""Default settings that a network must have, since others change its images; files contain non-default settings."""


@dataclass(frozen=True, slots=True)
class NetworkTraits:
    """Properties of a whole network.

    Args:
        size: Height and width of its images.
        fused: Whether all or none of its layers double the grid in one step; None means the default.
    """

    size: int
    fused: bool | None


Rename = Callable[[re.Match[str], Tensor, NetworkTraits], tuple[str, Tensor]]


def read_variables(record: Record, depth: int = 0) -> dict[str, Tensor]:
    """Return the variables of a network, and those of its components with the component's name and a slash in front.

    Args:
        record: Record of the network.
        depth: Nesting depth of the network.

    Raises:
        ValueError: If there are too many variables, or an unsupported version stores them differently.
    """
    variables = record.state.get("variables")
    if not isinstance(variables, list):
        version = record.state.get("version")
        shown = version if isinstance(version, int) else "?"
        raise ValueError(f"a TensorFlow network must contain variables; got version {shown} without any")
    tensors = {}
    for pair in variables:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str) or len(pair[0]) > MAX_NAME:
            raise ValueError("the variables of a TensorFlow network must be pairs of a name and values")
        kind = torch.float32 if isinstance(pair[1], float) else None
        number = isinstance(pair[1], int | float)
        tensors[pair[0]] = torch.tensor(pair[1], dtype=kind, device="cpu") if number else pair[1]
    components = record.state.get("components")
    for name, component in components.items() if isinstance(components, dict) else ():
        if isinstance(component, Record):
            tensors |= {f"{name}/{inner}": value for inner, value in read_variables(component, depth + 1).items()}
    if len(tensors) > MAX_TENSORS or depth > MAX_DEPTH:
        raise ValueError(f"a network must have at most {MAX_TENSORS:,} variables and {MAX_DEPTH} levels of components")
    return {name: value for name, value in tensors.items() if isinstance(value, Tensor)}


def rename_variables(variables: Variables, settings: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Convert the names and axes of variables to those of PyTorch.

    Args:
        variables: Variables of the network; those of an unknown network are not changed.
        settings: Keyword arguments of the network, from the file.

    Returns:
        The tensors, and facts: ``refused`` if the network is between two resolutions, or has unsupported settings.
    """
    rules = _choose_rules(variables)
    sides = [int(match[1]) for name in variables if (match := re.search(r"(?:^|/)(\d{1,4})x\1/", name))]
    fused = settings.get("fused_scale")
    traits = NetworkTraits(max(sides, default=4), fused if isinstance(fused, bool) else None)
    try:
        tensors = dict(_rename(name, value, rules, traits) for name, value in variables.items())
        lods = [float(value) for name, value in variables.items() if name.endswith("lod") and value.numel() == 1]
    except (RuntimeError, IndexError) as error:
        raise ValueError(f"a variable has an unexpected shape or unexpected values: {error}") from error
    tensors.pop("", None)
    unsupported = [
        f"{name} = {_shorten(settings[name])}"
        for name, default in USUAL.items()
        if _is_unsupported(settings, name, default)
    ]
    if any(lods):
        return tensors, {"refused": f"it is between two resolutions (lod {max(lods)}); import a later snapshot"}
    return tensors, {"refused": f"its settings are not supported: {', '.join(unsupported)}"} if unsupported else {}


def _is_unsupported(settings: Mapping[str, Any], name: str, default: Any) -> bool:
    value = settings.get(name, default)
    items = value if isinstance(value, list) else [value]
    return not all(isinstance(item, int | float | str | None) for item in items) or value != default


def _shorten(value: Any) -> str:
    return repr(value[:50])[:50] if isinstance(value, str | list) else repr(value)[:50]


def _rename(name: str, value: Tensor, rules: Mapping[str, Rename], traits: NetworkTraits) -> tuple[str, Tensor]:
    for pattern, rename in rules.items():
        if match := re.fullmatch(pattern, name):
            return rename(match, value, traits)
    return name, value


def _choose_rules(variables: Variables) -> dict[str, Rename]:
    if "4x4/Dense/weight" in variables:
        return PROGAN
    if any(name.endswith("StyleMod/weight") for name in variables):
        return STYLEGAN
    return STYLEGAN2 if any(name.endswith("/mod_weight") for name in variables) else {}


def _drop(_: re.Match[str], value: Tensor, __: NetworkTraits) -> tuple[str, Tensor]:
    return "", value


def _level(match: re.Match[str]) -> int:
    """Return the number of doublings from 4 x 4 to the grid in a name."""
    return int(match["side"]).bit_length() - 3


def _kernel(value: Tensor) -> Tensor:
    return value.permute(3, 2, 0, 1)


def _progan_layer(match: re.Match[str], value: Tensor, _: NetworkTraits) -> tuple[str, Tensor]:
    part, leaf = match["part"], match["leaf"]
    name = f"layer{2 * _level(match) + (1 if part in {'Dense', 'Conv0', 'Conv0_up'} else 2)}"
    if leaf == "bias":
        return f"{name}.wscale.b", value
    if part == "Dense":  # [z, units * 16]: the output at each position; a convolution needs it flipped
        value = value.reshape(value.shape[0], -1, 4, 4).transpose(0, 1).flip(2, 3)
    elif part == "Conv0_up":  # [h, w, out, in]
        value = value.permute(2, 3, 0, 1).flip(2, 3)
    else:
        value = _kernel(value)
    return f"{name}.conv.weight", value


def _progan_image(match: re.Match[str], value: Tensor, traits: NetworkTraits) -> tuple[str, Tensor]:
    name = f"output_{traits.size}x{traits.size}"
    return (f"{name}.conv.weight", _kernel(value)) if match["leaf"] == "weight" else (f"{name}.wscale.b", value)


def _mapping_layer(match: re.Match[str], value: Tensor, _: NetworkTraits) -> tuple[str, Tensor]:
    return f"mapping.dense{match['index']}.{match['leaf']}", value.T if match["leaf"] == "weight" else value


def _stylegan_layer(match: re.Match[str], value: Tensor, traits: NetworkTraits) -> tuple[str, Tensor]:
    name = f"synthesis.layer{2 * _level(match) + (0 if match['part'] in {'Const', 'Conv0_up'} else 1)}"
    leaf = match["leaf"]
    if leaf == "weight":
        value = _kernel(value)
        default = int(match["side"]) >= FUSED_FROM
        if match["part"] == "Conv0_up" and traits.fused is not None and traits.fused != default:
            value = value.flip(2, 3)  # the layout expects the default orientation
    elif leaf == "StyleMod/weight":
        value = value.T
    leaves = {"Noise/weight": "apply_noise.weight", "StyleMod/weight": "style.weight", "StyleMod/bias": "style.bias"}
    return f"{name}.{leaves.get(leaf, leaf)}", value


def _stylegan_noise(match: re.Match[str], value: Tensor, _: NetworkTraits) -> tuple[str, Tensor]:
    return f"synthesis.layer{match['index']}.apply_noise.noise", value


def _stylegan_image(match: re.Match[str], value: Tensor, traits: NetworkTraits) -> tuple[str, Tensor]:
    name = f"synthesis.output{traits.size.bit_length() - 3}.{match['leaf']}"
    return name, _kernel(value) if match["leaf"] == "weight" else value


def _stylegan2_mapping(match: re.Match[str], value: Tensor, _: NetworkTraits) -> tuple[str, Tensor]:
    return f"mapping.fc{match['index']}.{match['leaf']}", value.T if match["leaf"] == "weight" else value


def _stylegan2_layer(match: re.Match[str], value: Tensor, _: NetworkTraits) -> tuple[str, Tensor]:
    block, leaf = f"synthesis.b{match['side']}", match["leaf"]
    if match["part"] == "Const":
        return f"{block}.const", value.squeeze(0)
    part = {"Conv": "conv1", "Conv1": "conv1", "Conv0_up": "conv0", "ToRGB": "torgb", "Skip": "skip"}[match["part"]]
    if leaf == "weight":
        value = _kernel(value)
        value = value.flip(2, 3) if part == "conv0" else value
    elif leaf == "mod_weight":
        value = value.T
    elif leaf == "mod_bias":
        value = value + 1
    leaves = {"mod_weight": "affine.weight", "mod_bias": "affine.bias"}
    return f"{block}.{part}.{leaves.get(leaf, leaf)}", value


def _stylegan2_noise(match: re.Match[str], value: Tensor, _: NetworkTraits) -> tuple[str, Tensor]:
    index = int(match["index"])
    side, part = 4 * 2 ** ((index + 1) // 2), "conv0" if index % 2 else "conv1"
    return f"synthesis.b{side}.{part}.noise_const", value.squeeze(0).squeeze(0)


SIDE = r"(?P<side>\d{1,4})x\d{1,4}"
PROGAN: dict[str, Rename] = {
    rf"{SIDE}/(?P<part>Dense|Conv|Conv0|Conv0_up|Conv1)/(?P<leaf>weight|bias)": _progan_layer,
    r"ToRGB_lod0/(?P<leaf>weight|bias)": _progan_image,
    r"ToRGB_lod\d+/(weight|bias)|lod": _drop,
}
STYLEGAN: dict[str, Rename] = {
    r"(mapping/|G_mapping/)Dense(?P<index>\d{1,2})/(?P<leaf>weight|bias)": _mapping_layer,
    r"dlatent_avg": lambda _, value, __: ("truncation.w_avg", value),
    rf"(synthesis/|G_synthesis/){SIDE}/(?P<part>Const|Conv|Conv0_up|Conv1)/"
    r"(?P<leaf>const|weight|bias|Noise/weight|StyleMod/weight|StyleMod/bias)": _stylegan_layer,
    r"(synthesis/|G_synthesis/)noise(?P<index>\d{1,2})": _stylegan_noise,
    r"(synthesis/|G_synthesis/)ToRGB_lod0/(?P<leaf>weight|bias)": _stylegan_image,
    r"(synthesis/|G_synthesis/)?(ToRGB_lod\d+/(weight|bias)|lod)": _drop,
}
STYLEGAN2: dict[str, Rename] = {
    r"(mapping/|G_mapping/)Dense(?P<index>\d{1,2})/(?P<leaf>weight|bias)": _stylegan2_mapping,
    r"dlatent_avg": lambda _, value, __: ("mapping.w_avg", value),
    rf"(synthesis/|G_synthesis/){SIDE}/(?P<part>Const|Conv|Conv0_up|Conv1|ToRGB|Skip)/"
    r"(?P<leaf>const|weight|bias|mod_weight|mod_bias|noise_strength)": _stylegan2_layer,
    r"(synthesis/|G_synthesis/)noise(?P<index>\d{1,2})": _stylegan2_noise,
    r"(synthesis/|G_synthesis/)?lod": _drop,
}
