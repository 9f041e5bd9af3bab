"""Generators stored as two networks, mapping and synthesis."""

from __future__ import annotations

from torch import Tensor

from .layouts import Tensors

PAIRS = {"GE": ("SE", "GE"), "G": ("S", "G")}
"""Names of mapping and synthesis in the two generators of lucidrains' StyleGAN2, the averaged one first."""


def split_pairs(tensors: Tensors) -> list[tuple[str, dict[str, Tensor]]]:
    """Return the generators in a dict that are pairs, with names that begin with ``S.`` and ``G.``; empty if none.

    Args:
        tensors: Tensors of all networks that were trained together, by dotted name.
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
