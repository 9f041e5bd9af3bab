"""Roles of the networks in a file, judging by the words in their names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from torch import Tensor

AVERAGED, GENERATOR, NETWORK, DISCRIMINATOR, OPTIMIZER = ROLES = (
    "averaged generator",
    "generator",
    "network",
    "discriminator",
    "optimizer",
)
"""Roles of networks, in order of preference."""

GENERATORS = frozenset({"g", "gen", "generator"})
DISCRIMINATORS = frozenset({"d", "dis", "disc", "discriminator", "critic"})
AVERAGES = frozenset(
    {
        "ema",
        "gema",
        "emag",
        "gs",
        "ge",
        "avg",
        "gavg",
        "average",
        "averaged",
        "averaging",
        "shadow",
        "smoothed",
        "swa",
        "polyak",
    }
)
AVERAGES_OF_GENERATORS = frozenset({"running", "smooth", "mean", "moving", "test", "eval"})
"""Words that indicate an average only together with a generator, such as ``G_running``."""
BESIDE_AVERAGES = frozenset({"online", "backup"})
"""Words for the original network inside an object that averages it."""
FILLERS = frozenset(
    {"net", "nets", "network", "model", "models", "module", "state", "dict", "params", "weights", "copy"}
)
OPTIMIZERS = ("optim", "opt_", "_opt")
MOMENTS = frozenset({"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "grad_avg"})
"""Names of the tensors that optimizers store for each parameter."""
MAX_HEADS = 3
"""Maximum number of parts of a tensor's name that may identify its network."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def find_role(path: Sequence[str], tensors: Collection[str]) -> str:
    """Return the role of a network, one of `ROLES`.

    Args:
        path: Keys that lead to the network, outermost first.
        tensors: Names of its tensors.
    """
    is_optimizer = any(mark in word.lower() for word in path for mark in OPTIMIZERS)
    if is_optimizer or (tensors and MOMENTS.issuperset(tensors)):
        return OPTIMIZER
    roles = [role for name in path if (role := _role_of(name))]
    kinds = [role for role in roles if role != AVERAGED]
    if kinds and kinds[-1] == DISCRIMINATOR:
        return DISCRIMINATOR
    if AVERAGED in roles and not BESIDE_AVERAGES & _words(path[-1]):
        return AVERAGED
    return GENERATOR if kinds else NETWORK


def split_networks(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the names and tensors of networks that share one dict, such as in a module that trains several.

    The dict is split if names begin with an averaged generator's name, or with those of both a generator and a
    discriminator, or all with a generator's name. ``generator.`` together with other names is part of rosinality's
    StyleGAN. A group with the same names as an averaged generator, such as ``online_model.``, is a network too.
    """
    parts, rest = _group_by_head(tensors)
    roles = {head: find_role(head.split("."), ()) for head in parts}
    makes = {head for head, role in roles.items() if role in {AVERAGED, GENERATOR}}
    if not makes or not (AVERAGED in roles.values() or DISCRIMINATOR in roles.values() or not rest):
        yield from [("", dict(tensors))] * bool(tensors)
        return
    yield from parts.items()
    for head, part in rest.items():
        if any(part.keys() == parts[make].keys() for make in makes):
            yield head, part


Parts = dict[str, dict[str, Tensor]]


def _group_by_head(tensors: Mapping[str, Tensor]) -> tuple[Parts, Parts]:
    """Group tensors by the prefix of their names, and return groups with and without a known role."""
    parts: Parts = {}
    others: Parts = {}
    heads: dict[str, bool] = {}
    for name, tensor in tensors.items():
        words = name.split(".")
        for count in range(1, min(MAX_HEADS, len(words) - 1) + 1):
            head = ".".join(words[:count])
            if head not in heads:
                heads[head] = _role_of(words[count - 1], is_strict=True) is not None
            if heads[head]:
                parts.setdefault(head, {})[".".join(words[count:])] = tensor
                break
            if not FILLERS.issuperset(_words(words[count - 1])):
                break
        if len(words) > 1 and not heads[head]:
            others.setdefault(words[0], {})[".".join(words[1:])] = tensor
    return parts, others


def _role_of(name: str, is_strict: bool = False) -> str | None:
    """Return the role that one name indicates, if any.

    Args:
        name: Key of a dict, or part of a tensor's name.
        is_strict: Whether names with other words, such as ``encoder``, are rejected for averaged networks too.
    """
    words = _words(name)
    makes, judges = words & GENERATORS, words & DISCRIMINATORS
    averages = words & AVERAGES | (words & AVERAGES_OF_GENERATORS if makes else frozenset())
    if is_strict and re.search(r"\d", name):  # a layer, such as g1
        return None
    others = words - makes - judges - averages - FILLERS
    if judges:
        return None if others or makes else DISCRIMINATOR
    if averages and not (is_strict and others):
        return AVERAGED
    return GENERATOR if makes and not others else None


def _words(name: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _WORD.findall(name[:100]))
