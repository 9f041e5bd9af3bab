"""Generators whose mapping and synthesis are two networks of a file."""

from __future__ import annotations

from torch import Tensor

from .layouts import Tensors

PAIRS = {"GE": ("SE", "GE"), "G": ("S", "G")}
"""The networks of lucidrains' StyleGAN2, the averaged one first: what its mapping and its synthesis are called."""


def split_pairs(tensors: Tensors) -> list[tuple[str, dict[str, Tensor]]]:
    """Return the generators of one dict that are pairs, with the names ``S.`` and ``G.`` in each; empty if none is.

    Args:
        tensors: By dotted name, of all networks that were trained together.
    """
    heads = {name.partition(".")[0] for name in tensors}
    return [
        (name, _rename(tensors, dict(zip(pair, PAIRS["G"], strict=True))))
        for name, pair in PAIRS.items()
        if heads.issuperset(pair)
    ]


def _rename(tensors: Tensors, names: dict[str, str]) -> dict[str, Tensor]:
    parts = ((name.partition("."), tensor) for name, tensor in tensors.items())
    return {f"{names[head]}.{rest}": tensor for (head, _, rest), tensor in parts if head in names}
