"""Settings of StyleGAN2's modules in files, besides the tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..layouts import Facts
from .style_parts import RATE


def rate_of(facts: Facts, layer: str) -> float:
    """Return the factor on weights and biases of mapping layers.

    Args:
        facts: Facts of the file.
        layer: Name of the first mapping layer.
    """
    mapping = _get_dict(_get_dict(facts, "init_kwargs"), "mapping_kwargs")
    rate = _get_dict(_get_dict(facts, "attributes"), layer).get("bias_gain", mapping.get("lr_multiplier", RATE))
    return float(rate) if _is_number(rate) else RATE


def clamp_of(facts: Facts) -> float | None:
    """Return the largest magnitude of activations, after the gain; None means no limit.

    Raises:
        ValueError: If layers have different limits.
    """
    modules = _get_dict(facts, "attributes")
    clamps = [_get_dict(modules, name)["conv_clamp"] for name in modules if "conv_clamp" in _get_dict(modules, name)]
    if not clamps:
        keywords = _get_dict(facts, "init_kwargs")
        clamps = [_get_dict(keywords, "synthesis_kwargs").get("conv_clamp", keywords.get("conv_clamp"))]
    if len(set(map(str, clamps))) > 1 or not (clamps[0] is None or _is_number(clamps[0])):
        raise ValueError(f"conv_clamp must be one number for all layers, or None; got {sorted(set(map(str, clamps)))}")
    return None if clamps[0] is None else float(clamps[0])


def check_activation(facts: Facts) -> None:
    """Check that layers have the supported nonlinearity.

    Raises:
        ValueError: If a layer has anything but leaky ReLU.
    """
    for name, module in _get_dict(facts, "attributes").items():
        activation = _get_dict({name: module}, name).get("activation", "lrelu")
        if activation not in {"lrelu", "linear"}:
            raise ValueError(f"the activation of {name} must be lrelu (leaky ReLU); got {activation!r}")


def _get_dict(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = facts.get(name)
    return value if isinstance(value, Mapping) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
