"""From a file to a generator, or to the reason why not."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..architectures.base import LayeredGenerator
from .files.checkpoint import Checkpoint, read_checkpoint
from .files.values import make_printable
from .layouts import ImportOptions
from .match import Match, rank_layouts
from .networks import Network, find_networks
from .plans import is_discriminator, list_names
from .unread import find_reason

_LOG = logging.getLogger(__name__)

SIZELESS = frozenset({"rosinality StyleGAN"})
"""Layouts whose files do not say how large the images are."""
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


def import_checkpoint(path: Path | str, options: ImportOptions | None = None) -> LayeredGenerator:
    """Make a generator of a checkpoint that others have trained; nothing in the file is executed.

    Args:
        path: The file, recognised by what is in it; docs/importing.md lists what is known.
        options: What the file does not say, such as ``{"size": 256}`` or ``{"strides": [...], "paddings": [...]}``.

    Returns:
        The generator in eval mode, on the CPU, without gradients, with the path for a name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, no generator or of no known layout; the message says which is nearest and what
            does not fit.
    """
    imported = import_network(path, options)
    if imported.assumed:
        _LOG.warning("%s: %s; import_checkpoint, or gandissect import --arch, takes others", path, imported.assumed)
    return imported.generator


def import_network(path: Path | str, options: ImportOptions | None = None) -> ImportResult:
    """Do what `import_checkpoint` does, and say what was found."""
    checkpoint = read_checkpoint(path)
    try:
        match = choose(checkpoint, match_networks(checkpoint))
        generator = match.layout.build(match.network.tensors, match.network.facts, _check_options(match, options or {}))
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


def match_networks(checkpoint: Checkpoint) -> list[Match]:
    """Return the networks of a file, averaged generators first, each with the layout that it fits best.

    Raises:
        ValueError: If there are too many, or they are too large.
    """
    networks = [] if checkpoint.kind in PROGRAMS else find_networks(checkpoint)
    return [rank_layouts(network)[0] for network in networks]


def choose(checkpoint: Checkpoint, nearest: Sequence[Match]) -> Match:
    """Return the network of a file that is to be imported, and its layout.

    Args:
        checkpoint: The file.
        nearest: What `match_networks` says of it.

    Raises:
        ValueError: If there is none, saying what there is instead.
    """
    if checkpoint.kind in PROGRAMS:
        raise ValueError(
            f"it is a program ({checkpoint.kind}), which is run and not read; if you trust it, this runs it in Python: "
            f"generators.wrap({checkpoint.path!r}, z_dim=...)"
        )
    candidates = [match for match in nearest if match.network.role not in {"optimizer", "discriminator"}]
    if not candidates:
        raise ValueError(_describe_networks([match.network for match in nearest]))
    for match in candidates:
        if match.is_near:
            if reason := match.network.facts.get("refused"):
                raise ValueError(reason)
            return match
    raise ValueError(_describe_misfit(min(candidates, key=lambda match: match.distance)))


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
