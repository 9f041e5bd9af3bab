"""What training puts around a network and its names: wrappers, and averages that keep a part of it only."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

PREFIX = "module."
INNER = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_forward_module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What compiling, Fabric, FSDP and the recomputing of activations put before names, in any place."""
AVERAGE_COUNT = "n_averaged"
"""What torch's ``AveragedModel`` has beside the network that it averages, whose names it puts ``module.`` before."""
MAX_WRAPPERS = 8
"""How often what wrappers put before names is taken away."""
BUFFERS = frozenset({"running_mean", "running_var", "num_batches_tracked", "weight_u", "weight_v"})
"""How the names of tensors end that are no parameters."""

Tensors = Mapping[str, Tensor]


def strip_wrappers(tensors: Tensors) -> dict[str, Tensor]:
    """Return tensors by the names that they have in the network itself, without what wrappers put before them."""
    bare = {strip_inner(name): tensor for name, tensor in tensors.items()}
    if len(bare) < len(tensors):
        return dict(tensors)
    if AVERAGE_COUNT in bare and all(name == AVERAGE_COUNT or name.startswith(PREFIX) for name in bare):
        del bare[AVERAGE_COUNT]
    for _ in range(MAX_WRAPPERS):
        if not bare or not all(name.startswith(PREFIX) for name in bare):
            break
        bare = {name.removeprefix(PREFIX): tensor for name, tensor in bare.items()}
    return bare


def strip_inner(name: str) -> str:
    """Return a name without what wrappers put into it."""
    return INNER.sub("", name)


def strip_head(tensors: Tensors) -> dict[str, Tensor] | None:
    """Return tensors without the first part of their names, if it is the same for all; else None."""
    heads = {name.partition(".")[0] if "." in name else "" for name in tensors}
    if len(heads) != 1 or "" in heads:
        return None
    return strip_wrappers({name.partition(".")[2]: tensor for name, tensor in tensors.items()})


def complete_average(averaged: Tensors, plain: Tensors) -> dict[str, Tensor] | None:
    """Return an averaged network whole, if the file keeps only a part of it, or its names otherwise.

    An average of parameters alone runs with the buffers of the network that it is an average of. Its tensors go by the
    names of that network, by these without their dots, or by none, in the order of the parameters.

    Args:
        averaged: What the file has of it.
        plain: The network that it may be an average of.

    Returns:
        The tensors by the names of ``plain``; None if these are not of one network.
    """
    names = _find_names(averaged, plain)
    if names is None or any(averaged[own].shape != plain[name].shape for own, name in names.items()):
        return None
    return {**plain, **{name: averaged[own] for own, name in names.items()}}


def _find_names(averaged: Tensors, plain: Tensors) -> dict[str, str] | None:
    """Return the names in ``plain`` of the tensors of an average, by those that they have; None if it has others."""
    if averaged.keys() <= plain.keys():
        return {name: name for name in averaged}
    if all(name.isdecimal() for name in averaged):
        parameters = [name for name in plain if name.rpartition(".")[2] not in BUFFERS]
        return dict(zip(averaged, parameters, strict=True)) if len(parameters) == len(averaged) else None
    undotted = {name.replace(".", ""): name for name in plain}
    own = [name for name in averaged if name in undotted]  # beside numbers, such as its decay
    is_whole = all(averaged[name].numel() == 1 for name in averaged if name not in undotted)
    return {name: undotted[name] for name in own} if own and is_whole else None
