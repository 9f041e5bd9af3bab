"""From a file to a generator, or to the reason why not."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..architectures.base import LayeredGenerator
from .files.checkpoint import Checkpoint, read_checkpoint
from .files.values import make_printable
from .layouts import ImportOptions
from .match import Match, is_partial, match_networks
from .networks import Network, find_networks
from .plans import is_discriminator, list_names
from .roles import AVERAGED, DISCRIMINATOR, OPTIMIZER
from .unread import find_reason

_LOG = logging.getLogger(__name__)

SIZELESS = frozenset({"rosinality StyleGAN"})
"""Layouts whose files do not say how large the images are."""
MIN_ROOM = 2**24
"""Numbers of a layer up to which images of any generator are checked."""
PROGRAMS = frozenset({"torchscript", "torch export"})
"""Kinds of files that are programs."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """A generator and what it was made of.

    Args:
        generator: The generator, in eval mode, on the CPU, without gradients.
        layout: The layout that the file has, such as ``"rosinality StyleGAN2"``.
        where: The network in the file that was taken, such as ``g_ema``; empty where there is one only.
        kind: Of the file, see `checkpoint.Checkpoint`.
        assumed: What the file does not say and was guessed; empty if nothing was, or options were given.
    """

    generator: LayeredGenerator
    layout: str
    where: str
    kind: str
    assumed: str = ""


def import_checkpoint(
    path: Path | str, options: ImportOptions | None = None, network: str | None = None
) -> LayeredGenerator:
    """Make a generator of a checkpoint that others have trained; nothing in the file is executed.

    Args:
        path: The file, recognized by what is in it; docs/guides/import.md lists what is known.
        options: What the file does not say, such as ``{"size": 256}`` or ``{"strides": [...], "paddings": [...]}``.
        network: Which network of the file, such as ``"g_ema"`` or ``"models.generator"``, as `explain` names them; by
            default the averaged generator, else the generator.

    Returns:
        The generator in eval mode, on the CPU, without gradients, with the path for a name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, no generator or of no known layout, the message saying which is nearest and what
            does not fit; if several of its networks could be meant; or if the images are not finite.
    """
    imported = import_network(path, options, network)
    if imported.assumed:
        _LOG.warning("%s: %s; import_checkpoint, or gandissect import --arch, takes others", path, imported.assumed)
    return imported.generator


def import_network(path: Path | str, options: ImportOptions | None = None, network: str | None = None) -> ImportResult:
    """Do what `import_checkpoint` does, and say what was found."""
    checkpoint = read_checkpoint(path)
    try:
        match = choose(checkpoint, find_matches(checkpoint), network)
        generator = match.layout.build(match.network.tensors, match.network.facts, _check_options(match, options or {}))
        check_images(generator)
    except ValueError as error:
        raise ValueError(f"{path} cannot be imported: {make_printable(str(error))}") from error
    generator.name = str(path)
    assumed = "" if options else match.fit.assumed
    return ImportResult(generator, match.layout.name, match.network.where, checkpoint.kind, assumed)


def _check_options(match: Match, options: ImportOptions) -> ImportOptions:
    """Return the options that a layout is to be built with: a size that the file says itself is no option.

    Raises:
        ValueError: If the file says another.
    """
    size = match.fit.settings.get("height")
    if "size" not in options or size is None or match.layout.name in SIZELESS:
        return options
    if options["size"] != size:
        raise ValueError(
            f"it makes images of {size} x {match.fit.settings['width']} pixels; size says {options['size']!r}"
        )
    return {name: value for name, value in options.items() if name != "size"}


def find_matches(checkpoint: Checkpoint) -> list[Match]:
    """Return the networks of a file, averaged generators first, each with the layout that it fits best.

    Raises:
        ValueError: If there are too many, or they are too large.
    """
    return [] if checkpoint.kind in PROGRAMS else match_networks(find_networks(checkpoint))


def choose(checkpoint: Checkpoint, nearest: Sequence[Match], network: str | None = None) -> Match:
    """Return the network of a file that is to be imported, and its layout.

    Args:
        checkpoint: The file.
        nearest: What `find_matches` says of it.
        network: Which network, see `import_checkpoint`.

    Raises:
        ValueError: If no network fits, naming what the file contains; or if several do and ``network`` names none.
    """
    if checkpoint.kind in PROGRAMS:
        raise ValueError(
            f"it is a program ({checkpoint.kind}), which is run and not read; if you trust it, this runs it in Python: "
            f"generators.wrap({checkpoint.path!r}, z_dim=...)"
        )
    candidates = [match for match in nearest if match.network.role not in {OPTIMIZER, DISCRIMINATOR}]
    if network is not None:
        candidates = [match for match in nearest if match.network.where == network]
        if not candidates:
            raise ValueError(f"network must be one of {_list_networks(nearest)}; got {network!r}")
    if not candidates:
        raise ValueError(_describe_networks([match.network for match in nearest]))
    near = [match for match in candidates if match.is_near]
    if not near:
        raise ValueError(_describe_misfit(min(candidates, key=lambda match: match.distance)))
    if reason := near[0].network.facts.get("refused"):
        raise ValueError(reason)
    if network is None:
        _check_only(near, candidates)
    return near[0]


def _check_only(near: Sequence[Match], candidates: Sequence[Match]) -> None:
    """Check that no other network of a file could be meant as well as the first that can be imported.

    Raises:
        ValueError: If another of its role differs from it, or one of any role whose tensors have the same names, which
            may be its average; or if an averaged generator cannot be imported. The message names them.
    """
    taken = near[0].network
    rivals = [match for match in near[1:] if _is_rival(match.network, taken) and not _are_equal(match.network, taken)]
    averages = [match for match in candidates if match.network.role == AVERAGED and is_partial(match.network, taken)]
    if taken.role != AVERAGED and averages:
        raise ValueError(
            f"{averages[0].network.where!r} seems to be the averaged generator and is of no known layout; "
            f"name {taken.where!r} to take the generator itself: {_how_to_name(taken)}"
        )
    if rivals:
        raise ValueError(f"it holds {_list_networks([near[0], *rivals])}; name one of them: {_how_to_name(taken)}")


def _is_rival(network: Network, taken: Network) -> bool:
    may_be_average = taken.role != AVERAGED and network.tensors.keys() == taken.tensors.keys()
    return network.role == taken.role or may_be_average


def _how_to_name(network: Network) -> str:
    return (
        f"gandissect import FILE --network {network.where} --out FILE.safetensors, in Python network={network.where!r}"
    )


def _are_equal(network: Network, other: Network) -> bool:
    return network.tensors.keys() == other.tensors.keys() and all(
        torch.equal(tensor, other.tensors[name]) for name, tensor in network.tensors.items()
    )


def _list_networks(matches: Sequence[Match]) -> str:
    """Return the names of networks, and how many there are besides."""
    return list_names([repr(match.network.where) for match in matches]) or "none, as the file holds no network"


def check_images(generator: LayeredGenerator) -> None:
    """Check that a generator's activations and images are finite, as far as they take no more room than its weights.

    Raises:
        ValueError: If not, naming the first layer that is not.
    """
    room = max(MIN_ROOM, 4 * sum(tensor.numel() for tensor in generator.state_dict().values()))
    z, names = generator.sample_z(1, seed=0), (name for name, _ in generator.named_children())
    with torch.no_grad():
        x, context = generator.input(z), generator.context(z)
        for index, name in enumerate(name for name in names if name not in generator.beside):
            if 4 * x.numel() > room:  # the next may double height and width
                return
            x = generator.stage(index, x, context)
            if not x.isfinite().all():
                raise ValueError(
                    f"its weights make numbers that are not finite, first in {name!r}, of a random latent vector; "
                    "the training had diverged: take an earlier snapshot"
                )


def _describe_networks(networks: Sequence[Network]) -> str:
    """Say what a file holds that holds no generator."""
    roles = {network.role for network in networks}
    if not roles:
        return "it holds no tensors by name"
    kinds = " and ".join(f"{role}s" for role in sorted(roles))
    return f"it holds {kinds} only, no generator; save the generator's state_dict() too"


def _describe_misfit(match: Match) -> str:
    network, fit = match.network, match.fit
    where = f"{network.where!r} is" if network.where else "it is"
    if is_discriminator(network.tensors) or re.search(r"discriminator|critic", network.facts.get("class", ""), re.I):
        return f"{where} a discriminator's tensors, such as {next(iter(network.tensors))}; give the generator's"
    if reason := find_reason(network.tensors):
        return f"{where} {reason}"
    if match.num_taken <= len(network.tensors) / 4:
        return (
            f"{where} of no known layout: {len(network.tensors)} tensors such as {list_names(list(network.tensors))}. "
            "The network itself, loaded in Python, can be given to generators.wrap"
        )
    parts = [f"missing {list_names(fit.missing)}"] * bool(fit.missing)
    parts += [f"unexpected {list_names(fit.unexpected)}"] * bool(fit.unexpected)
    return (
        f"{where} of no known layout; nearest is {match.layout.name}, of which {match.num_taken} of "
        f"{len(network.tensors)} tensors are: {'; '.join(parts)}. "
        "A network of your own, loaded in Python, can be given to generators.wrap"
    )
