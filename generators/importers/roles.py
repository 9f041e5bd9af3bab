"""What a network in a file is for, by the words of its name."""

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
"""In the order in which networks are taken."""

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
"""Words that say it of a generator, such as ``G_running``, and something else alone."""
BESIDE_AVERAGES = frozenset({"online", "backup"})
"""Words for the network that is averaged, where what averages it keeps it, too."""
FILLERS = frozenset(
    {"net", "nets", "network", "model", "models", "module", "state", "dict", "params", "weights", "copy"}
)
OPTIMIZERS = ("optim", "opt_", "_opt")
MOMENTS = frozenset({"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "grad_avg"})
"""What optimizers keep of each parameter."""
MAX_HEADS = 3
"""How many parts of a tensor's name may say of which network it is."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def find_role(way: Sequence[str], tensors: Collection[str]) -> str:
    """Return the role of a network, of `ROLES`.

    Args:
        way: The names that lead to it, outermost first.
        tensors: The names of its tensors.
    """
    is_optimizer = any(mark in word.lower() for word in way for mark in OPTIMIZERS)
    if is_optimizer or (tensors and MOMENTS.issuperset(tensors)):
        return OPTIMIZER
    roles = [role for name in way if (role := _role_of(name))]
    kinds = [role for role in roles if role != AVERAGED]
    if kinds and kinds[-1] == DISCRIMINATOR:
        return DISCRIMINATOR
    if AVERAGED in roles and not BESIDE_AVERAGES & _words(way[-1]):
        return AVERAGED
    return GENERATOR if kinds else NETWORK


def split_networks(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the networks whose tensors lie in one dict, as a module that trains several has them, by their names.

    That is so if names begin with that of an averaged generator, or with those of a generator and a discriminator, or
    all with that of a generator; ``generator.`` alone, beside others, is a part of rosinality's StyleGAN. What has the
    names of an averaged generator's tensors, such as ``online_model.``, is a network, too.
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
    """Return tensors by what their names begin with and by the rest: those of a known network, and the others."""
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
    """Return what one name says; None if that is nothing.

    Args:
        name: A key of a dict, or a part of a tensor's name.
        is_strict: Whether an averaged network, too, must have no other words in its name, such as ``encoder``.
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
