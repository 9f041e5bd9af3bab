"""Describe the content of a checkpoint without building a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from .files.checkpoint import Checkpoint, read_checkpoint
from .files.values import Record, make_printable
from .importing import choose, find_matches
from .match import Match
from .networks import Network

MAX_LENGTH = 100
"""Maximum number of characters shown of a string."""
MAX_FACT = 4_000
"""Maximum number of characters of a fact that is shown."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Content of a checkpoint, and what would be imported.

    Args:
        checkpoint: Checkpoint that was read.
        nearest: Best match of each network in it, averaged generators first.
        verdict: The network that would be imported, or the reason why none would be.
    """

    checkpoint: Checkpoint
    nearest: list[Match]
    verdict: str

    def record(self) -> dict[str, Any]:
        """Return the explanation as JSON values."""
        return {
            "path": self.checkpoint.path,
            "kind": self.checkpoint.kind,
            "verdict": self.verdict,
            "networks": [_record(match) for match in self.nearest],
        }

    def lines(self) -> Iterator[str]:
        """Yield the explanation as lines of text."""
        yield from map(make_printable, self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.checkpoint.path}: {self.checkpoint.kind}"
        if not self.nearest:
            yield from (f"  {line}" for line in _outline(self.checkpoint.tree))
        for match in self.nearest:
            yield from _lines(match)
        yield self.verdict


def explain(path: Path | str, network: str | None = None) -> Explanation:
    """Report the tensors and shapes in a checkpoint, which network is recognized, and what is missing.

    Args:
        path: Checkpoint to explain.
        network: Name of the network that the verdict is about; by default the one that would be imported.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read; the message names the file and the problem.
    """
    checkpoint = read_checkpoint(path)
    try:
        nearest = find_matches(checkpoint)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {make_printable(str(error))}") from error
    try:
        match = choose(checkpoint, nearest, network)
        verdict = f"recognized: {match.layout.name}" + (f" in {match.network.where}" if match.network.where else "")
        verdict += f", but {match.fit.problem}" if match.fit.problem else ""
    except ValueError as error:
        verdict = f"not recognized: {error}"
    return Explanation(checkpoint, nearest, verdict)


def _record(match: Match) -> dict[str, Any]:
    network, fit = match.network, match.fit
    return {
        "where": network.where,
        "role": network.role,
        "tensors": {name: [str(tensor.dtype), *tensor.shape] for name, tensor in network.tensors.items()},
        "facts": _facts(network),
        "layout": match.layout.name,
        "fits": fit.is_whole,
        "found": fit.settings,
        "missing": fit.missing,
        "unexpected": fit.unexpected,
        "problem": fit.problem,
        "assumed": fit.assumed,
    }


def _lines(match: Match) -> Iterator[str]:
    network, fit = match.network, match.fit
    numbers = sum(tensor.numel() for tensor in network.tensors.values())
    count = f"{len(network.tensors)} tensor{'s' if len(network.tensors) > 1 else ''}"
    yield f"{network.where or 'top level'}: {network.role}, {count}, {numbers:,} values"
    yield from (f"  {key} = {value}"[:MAX_LENGTH] for key, value in _facts(network).items())
    for name, tensor in network.tensors.items():
        dtype = str(tensor.dtype).removeprefix("torch.")
        yield f"  {name[:MAX_LENGTH]}  {dtype} {list(tensor.shape)}"
    if network.role == "optimizer":
        return
    if fit.is_whole:
        yield f"  matches {match.layout.name}: " + ", ".join(f"{key} {value}" for key, value in fit.settings.items())
        if fit.assumed:
            yield f"    {fit.assumed}; override with --arch FILE.json"
        return
    if match.num_taken:
        yield f"  nearest: {match.layout.name}, with {match.num_taken} of these tensors"
        yield from (f"    missing: {name[:MAX_LENGTH]}" for name in fit.missing)
        yield from (f"    unexpected: {name[:MAX_LENGTH]}" for name in fit.unexpected)
        if fit.problem:
            yield f"    problem: {fit.problem}"


def _facts(network: Network) -> dict[str, Any]:
    """Return the facts that are short, plain values."""
    facts = {key: value for key, value in network.facts.items() if key not in {"attributes", "kind"}}
    return {key: value for key, value in facts.items() if _is_short(value) and value}


def _is_short(value: Any) -> bool:
    items = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else [value]
    plain = all(isinstance(item, str | int | float | None) for item in items)
    return len(items) <= 64 and plain and sum(len(item) for item in items if isinstance(item, str)) <= MAX_FACT


def _outline(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield an outline of a tree, two levels deep."""
    items = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    for key, item in items[:20]:
        yield f"{'  ' * depth}{str(key)[:MAX_LENGTH]}: {_describe(item)}"
        if depth < 1:
            yield from _outline(item, depth + 1)


def _describe(value: Any) -> str:
    match value:
        case Tensor():
            return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
        case Record():
            return f"object of class {value.name[:MAX_LENGTH]}"
        case dict() | list():
            return f"{type(value).__name__} of {len(value)}"
        case str():
            return repr(value[:MAX_LENGTH])[:MAX_LENGTH]
        case int() | float() | None:
            return repr(value)
    return type(value).__name__
