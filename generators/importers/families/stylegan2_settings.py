"""What files of StyleGAN2 say beside the tensors: settings of their modules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..layouts import Facts, Tensors
from .style_parts import RATE


def rate_of(facts: Facts, layer: str) -> float:
    """Return the factor on weights and offsets of mapping layers.

    Args:
        facts: The file's.
        layer: Name of the first mapping layer.
    """
    mapping = _dict(_dict(facts, "init_kwargs"), "mapping_kwargs")
    rate = _dict(_dict(facts, "attributes"), layer).get("bias_gain", mapping.get("lr_multiplier", RATE))
    return float(rate) if _is_number(rate) else RATE


def clamp_of(facts: Facts) -> float | None:
    """Return the largest size of activations before their gain; None is no limit.

    Raises:
        ValueError: If layers have different ones.
    """
    modules = _dict(facts, "attributes")
    said = [_dict(modules, name)["conv_clamp"] for name in modules if "conv_clamp" in _dict(modules, name)]
    if not said:
        keywords = _dict(facts, "init_kwargs")
        said = [_dict(keywords, "synthesis_kwargs").get("conv_clamp", keywords.get("conv_clamp"))]
    if len(set(map(str, said))) > 1 or not (said[0] is None or _is_number(said[0])):
        raise ValueError(f"conv_clamp is one number for all layers, or None; got {sorted(set(map(str, said)))}")
    return None if said[0] is None else float(said[0])


def check_activation(facts: Facts) -> None:
    """Check that layers have the usual non-linearity.

    Raises:
        ValueError: If one has another than leaky ReLU.
    """
    for name, module in _dict(facts, "attributes").items():
        activation = _dict({name: module}, name).get("activation", "lrelu")
        if activation not in {"lrelu", "linear"}:
            raise ValueError(f"{name} has the activation {activation!r}; only leaky ReLU (lrelu) is read")


def other_architecture(tensors: Tensors, facts: Facts) -> str | None:
    """Return the architecture of a StyleGAN2 of NVlabs if it is not ``skip``, in which the images of all grids add up.

    Args:
        tensors: The file's.
        facts: The file's.
    """
    modules = _dict(facts, "attributes")
    said = [_dict(modules, name).get("architecture") for name in modules if re.match(r"synthesis\.b\d+$", name)]
    if any(re.match(r"synthesis\.b\d+\.skip\.weight$", name) for name in tensors):
        said.append("resnet")  # 1 x 1 convolutions around its blocks
    return next((each for each in said if each in {"resnet", "orig"}), None)


def _dict(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = facts.get(name)
    return value if isinstance(value, Mapping) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
