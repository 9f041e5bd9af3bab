"""Prefixes that training wrappers add to a network's names, and averages that contain only part of a network."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

PREFIX = "module."
INNER = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_forward_module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Parts that compilation, Fabric, FSDP and activation checkpointing insert anywhere in names."""
AVERAGE_COUNT = "n_averaged"
"""Counter in torch's ``AveragedModel``, next to the averaged network, whose names begin with ``module.``."""
MAX_WRAPPERS = 8
"""Maximum number of ``module.`` prefixes that are removed."""
BUFFERS = frozenset({"running_mean", "running_var", "num_batches_tracked", "weight_u", "weight_v"})
"""Last parts of the names of tensors that are not parameters."""

Tensors = Mapping[str, Tensor]


def strip_wrappers(tensors: Tensors) -> dict[str, Tensor]:
    """Return tensors by their names in the network itself, without the prefixes of wrappers."""
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
    """Remove the parts that wrappers insert from a name."""
    return INNER.sub("", name)


def strip_head(tensors: Tensors) -> dict[str, Tensor] | None:
    """Remove the first part of all names, if it is the same for all; else return None."""
    heads = {name.partition(".")[0] if "." in name else "" for name in tensors}
    if len(heads) != 1 or "" in heads:
        return None
    return strip_wrappers({name.partition(".")[2]: tensor for name, tensor in tensors.items()})


def complete_average(averaged: Tensors, plain: Tensors) -> dict[str, Tensor] | None:
    """Complete an averaged network that the file contains only in part, or under other names.

    An average of parameters alone uses the buffers of the network that it averages. Its tensors have the names of that
    network, those names without dots, or no names, in the order of the parameters.

    Args:
        averaged: Tensors of the average.
        plain: Tensors of the network that it may be an average of.

    Returns:
        The tensors by the names in ``plain``; None if the average is not of that network.
    """
    names = _find_names(averaged, plain)
    if names is None or any(averaged[average_name].shape != plain[name].shape for average_name, name in names.items()):
        return None
    return {**plain, **{name: averaged[average_name] for average_name, name in names.items()}}


def _find_names(averaged: Tensors, plain: Tensors) -> dict[str, str] | None:
    """Map the names in an average to those in ``plain``; None if it is not an average of that network."""
    if averaged.keys() <= plain.keys():
        return {name: name for name in averaged}
    if all(name.isdecimal() for name in averaged):
        parameters = [name for name in plain if name.rpartition(".")[2] not in BUFFERS]
        return dict(zip(averaged, parameters, strict=True)) if len(parameters) == len(averaged) else None
    undotted = {name.replace(".", ""): name for name in plain}
    known = [name for name in averaged if name in undotted]  # without scalars such as its decay
    is_whole = all(averaged[name].numel() == 1 for name in averaged if name not in undotted)
    return {name: undotted[name] for name in known} if known and is_whole else None
