"""Import a checkpoint as a generator, or report the reason why it cannot be."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gandissect.core.display import Displayed
from gandissect.core.sampling import make_rng

from ..architectures.base import LayeredGenerator
from .families import cyclegan
from .files.checkpoint import Checkpoint, read_checkpoint
from .files.values import make_printable
from .layouts import ImportOptions
from .match import Match, is_partial, match_networks
from .networks import Network, find_networks
from .plans import is_discriminator, list_names
from .roles import AVERAGED, DISCRIMINATOR, OPTIMIZER
from .unread import find_reason

_LOG = logging.getLogger(__name__)

SIZELESS = frozenset({"rosinality StyleGAN", *(layout.name for layout in cyclegan.LAYOUTS)})
"""Layouts whose files do not determine the size of images."""
MIN_ROOM = 2**24
"""Largest number of activations up to which every generator is checked."""
PROGRAMS = frozenset({"torchscript", "torch export"})
"""Kinds of checkpoints that are programs."""


@dataclass(frozen=True, slots=True, repr=False)
class ImportResult(Displayed):
    """An imported generator and its origin.

    Args:
        generator: Generator in eval mode, on the CPU, without gradients.
        layout: Layout of the network, such as ``"rosinality StyleGAN2"``.
        where: Name of the network in the file, such as ``g_ema``; empty if the file contains only one.
        kind: Kind of the file; see `checkpoint.Checkpoint`.
        assumed: Settings that were guessed because the file does not contain them; empty if none were, or options
            were given.
    """

    generator: LayeredGenerator
    layout: str
    where: str
    kind: str
    assumed: str = ""

    def _summarize(self) -> str:
        return f"{self.layout}, {self.where or 'the only network'} of a {self.kind} file"


def import_checkpoint(
    path: Path | str, options: ImportOptions | None = None, network: str | None = None
) -> LayeredGenerator:
    """Import a third-party checkpoint as a generator, without running code from the file.

    Args:
        path: Checkpoint, recognized by its content; docs/guides/import.md lists the known layouts.
        options: Settings that the file does not contain, such as ``{"size": 256}`` or
            ``{"strides": [...], "paddings": [...]}``.
        network: Name of the network in the file, such as ``"g_ema"`` or ``"models.generator"``, as listed by
            `explain`; by default the averaged generator, else the generator.

    Returns:
        The generator in eval mode, on the CPU, without gradients; its ``name`` is the path.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged; if it contains no generator of a known layout, in which case the message
            names the nearest layout and the mismatch; if the choice among its networks is ambiguous; or if the images
            are not finite.
    """
    imported = import_network(path, options, network)
    if imported.assumed:
        _LOG.warning("%s: %s; override with import_checkpoint or gandissect import --arch", path, imported.assumed)
    return imported.generator


def import_network(path: Path | str, options: ImportOptions | None = None, network: str | None = None) -> ImportResult:
    """Import like `import_checkpoint`, and also return the origin of the generator."""
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
    """Return the options for the layout, without a size that the file itself determines.

    Raises:
        ValueError: If the given size differs from the file's.
    """
    size = match.fit.settings.get("height")
    if "size" not in options or size is None or match.layout.name in SIZELESS:
        return options
    if options["size"] != size:
        raise ValueError(
            f"size must be {size}, since its images are {size} x {match.fit.settings['width']} pixels; "
            f"got {options['size']!r}"
        )
    return {name: value for name, value in options.items() if name != "size"}


def find_matches(checkpoint: Checkpoint) -> list[Match]:
    """Return the networks of a file, averaged generators first, each with its best-matching layout.

    Raises:
        ValueError: If there are too many, or they are too large.
    """
    return [] if checkpoint.kind in PROGRAMS else match_networks(find_networks(checkpoint))


def choose(checkpoint: Checkpoint, nearest: Sequence[Match], network: str | None = None) -> Match:
    """Return the network of a file to import, with its layout.

    Args:
        checkpoint: Checkpoint that was read.
        nearest: Result of `find_matches` for it.
        network: Name of the network; see `import_checkpoint`.

    Raises:
        ValueError: If no network has a known layout; the message names what the file contains. Also if several do and
            ``network`` is None.
    """
    if checkpoint.kind in PROGRAMS:
        raise ValueError(
            f"it is a program ({checkpoint.kind}), which cannot be read without running it; if you trust it, run it in "
            f"Python: generators.wrap({checkpoint.path!r}, z_dim=...)"
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
    """Check that the choice of the first importable network is unambiguous.

    Raises:
        ValueError: If another network of its role differs from it; if a differing one of any role has the same tensor
            names, since it may be its average; or if an averaged generator cannot be imported. The message names them.
    """
    chosen = near[0].network
    rivals = [match for match in near[1:] if _is_rival(match.network, chosen) and not _are_equal(match.network, chosen)]
    averages = [match for match in candidates if match.network.role == AVERAGED and is_partial(match.network, chosen)]
    if chosen.role != AVERAGED and averages:
        raise ValueError(
            f"{averages[0].network.where!r} seems to be the averaged generator but has no known layout; "
            f"to import the generator itself, name {chosen.where!r}: {_how_to_name(chosen)}"
        )
    if rivals:
        raise ValueError(f"it contains {_list_networks([near[0], *rivals])}; name one: {_how_to_name(chosen)}")


def _is_rival(network: Network, chosen: Network) -> bool:
    may_be_average = chosen.role != AVERAGED and network.tensors.keys() == chosen.tensors.keys()
    return network.role == chosen.role or may_be_average


def _how_to_name(network: Network) -> str:
    command = f"gandissect import FILE --network {network.where} --out FILE.safetensors"
    return f"{command}, or network={network.where!r} in Python"


def _are_equal(network: Network, other: Network) -> bool:
    return network.tensors.keys() == other.tensors.keys() and all(
        torch.equal(tensor, other.tensors[name]) for name, tensor in network.tensors.items()
    )


def _list_networks(matches: Sequence[Match]) -> str:
    """List the names of networks, shortened if there are many."""
    return list_names([repr(match.network.where) for match in matches]) or "none, since the file contains no network"


def check_images(generator: LayeredGenerator) -> None:
    """Check that a generator's activations and images are finite, up to layers that need more memory than its weights.

    Raises:
        ValueError: If an activation or a pixel is not finite; the message names the first layer with NaN or infinity.
    """
    room = max(MIN_ROOM, 4 * sum(tensor.numel() for tensor in generator.state_dict().values()))
    z, names = generator.draw_rows(1, make_rng(0, "import")), (name for name, _ in generator.named_children())
    with torch.no_grad():
        x, context = generator.input(z), generator.context(z)
        for index, name in enumerate(name for name in names if name not in generator.beside):
            if 4 * x.numel() > room:  # the next stage may double height and width
                return
            x = generator.stage(index, x, context)
            if not x.isfinite().all():
                raise ValueError(
                    f"it produces NaN or infinity for a random latent vector, first in {name!r}; "
                    "its training probably diverged: import an earlier snapshot"
                )


def _describe_networks(networks: Sequence[Network]) -> str:
    """Describe the content of a file without a generator."""
    roles = {network.role for network in networks}
    if not roles:
        return "it contains no named tensors"
    kinds = " and ".join(f"{role}s" for role in sorted(roles))
    return f"it contains only {kinds}, no generator; save the generator's state_dict() too"


def _describe_misfit(match: Match) -> str:
    network, fit = match.network, match.fit
    name = repr(network.where) if network.where else "it"
    if is_discriminator(network.tensors) or re.search(r"discriminator|critic", network.facts.get("class", ""), re.I):
        return f"{name} is a discriminator, with tensors such as {next(iter(network.tensors))}; pass the generator"
    if reason := find_reason(network.tensors):
        return f"{name} is {reason}"
    if match.num_taken <= len(network.tensors) / 4:
        return (
            f"{name} has no known layout: {len(network.tensors)} tensors such as {list_names(list(network.tensors))}. "
            "Load the network in Python and pass it to generators.wrap instead"
        )
    parts = [f"missing {list_names(fit.missing)}"] * bool(fit.missing)
    parts += [f"unexpected {list_names(fit.unexpected)}"] * bool(fit.unexpected)
    parts += [fit.problem] * bool(fit.problem)
    return (
        f"{name} has no known layout; the nearest is {match.layout.name}, which has {match.num_taken} of its "
        f"{len(network.tensors)} tensors: {'; '.join(parts)}. "
        "If you have the network's code, load it in Python and pass it to generators.wrap"
    )
