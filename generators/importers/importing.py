"""From a file to a generator, or to the reason why not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..base import LayeredGenerator
from .known import Match, matches
from .layouts import Options
from .networks import Network, find_networks
from .plans import is_discriminator
from .reading import Checkpoint, read_checkpoint
from .values import printable

SHOWN = 6
"""Names in an error at most."""
SIZELESS = frozenset({"rosinality StyleGAN"})
"""Layouts whose files do not say how large the images are."""
PROGRAMS = {"torchscript": "torch.jit.load", "torch export": "torch.export.load"}


@dataclass(frozen=True, slots=True)
class Imported:
    """A generator and what it was made of.

    Args:
        generator: The generator, in eval mode, on the CPU, without gradients.
        layout: The layout that the file has, such as ``"rosinality StyleGAN2"``.
        where: The network in the file that was taken, such as ``g_ema``; empty where there is one only.
        kind: Of the file, see `reading.Checkpoint`.
    """

    generator: LayeredGenerator
    layout: str
    where: str
    kind: str


def import_checkpoint(path: Path | str, options: Options | None = None) -> LayeredGenerator:
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
    return import_network(path, options).generator


def import_network(path: Path | str, options: Options | None = None) -> Imported:
    """Do what `import_checkpoint` does, and say what was found."""
    checkpoint = read_checkpoint(path)
    try:
        match = choose(checkpoint)
        generator = match.layout.build(match.network.tensors, match.network.facts, _checked(match, options or {}))
    except ValueError as error:
        raise ValueError(f"{path} cannot be imported: {printable(str(error))}") from error
    generator.name = str(path)
    return Imported(generator, match.layout.name, match.network.where, checkpoint.kind)


def _checked(match: Match, options: Options) -> Options:
    """Return the options that a layout is to be built with: a size that the file says itself is no option.

    Raises:
        ValueError: If the file says another.
    """
    said = match.fit.found.get("height")
    if "size" not in options or said is None or match.layout.name in SIZELESS:
        return options
    if options["size"] != said:
        raise ValueError(
            f"it makes images of {said} x {match.fit.found['width']} pixels; size says {options['size']!r}"
        )
    return {name: value for name, value in options.items() if name != "size"}


def choose(checkpoint: Checkpoint) -> Match:
    """Return the network of a file that is to be imported, and its layout.

    Raises:
        ValueError: If there is none, saying what there is instead.
    """
    if checkpoint.kind in PROGRAMS:
        raise ValueError(
            f"it is a program ({checkpoint.kind}), which is run and not read: if you trust it, load it with "
            f"{PROGRAMS[checkpoint.kind]} and give it to generators.wrap"
        )
    networks = find_networks(checkpoint)
    wanted = [network for network in networks if network.role not in {"optimizer", "discriminator"}]
    if not wanted:
        raise ValueError(_without(networks))
    found = [matches(network)[0] for network in wanted]
    for match in found:
        if match.is_near:
            if said := match.network.facts.get("refused"):
                raise ValueError(said)
            return match
    raise ValueError(_unknown(min(found, key=lambda match: match.distance)))


def _without(networks: Sequence[Network]) -> str:
    """Say what a file holds that holds no generator."""
    roles = {network.role for network in networks}
    if not roles:
        return "it holds no tensors by name"
    what = " and ".join(f"{role}s" for role in sorted(roles))
    return f"it holds {what} only, no generator; save the generator's state_dict() too"


def _unknown(match: Match) -> str:
    network, fit = match.network, match.fit
    where = f"{network.where!r} is" if network.where else "it is"
    if is_discriminator(network.tensors) or re.search(r"discriminator|critic", network.facts.get("class", ""), re.I):
        return f"{where} a discriminator's tensors, such as {next(iter(network.tensors))}; give the generator's"
    if match.taken <= len(network.tensors) / 4:
        return (
            f"{where} of no known layout: {len(network.tensors)} tensors such as {listed(list(network.tensors))}. "
            "The network itself, loaded in Python, can be given to generators.wrap"
        )
    parts = [f"missing {listed(fit.missing)}"] * bool(fit.missing)
    parts += [f"unexpected {listed(fit.unexpected)}"] * bool(fit.unexpected)
    return (
        f"{where} of no known layout; nearest is {match.layout.name}, of which {match.taken} of "
        f"{len(network.tensors)} tensors are: {'; '.join(parts)}"
    )


def listed(names: Sequence[str]) -> str:
    """Return some names, and how many there are besides."""
    rest = len(names) - SHOWN
    return ", ".join(name[:100] for name in names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
