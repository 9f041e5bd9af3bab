"""How a command's options appear in its help: meaningful placeholders, and each default stated once."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import tyro

PLACEHOLDERS = {
    "concept": "CONCEPT",
    "data": "PICTURES",
    "device": "DEVICE",
    "generator": "MODEL",
    "held_out": "PICTURES",
    "inputs": "PICTURES",
    "keep": "CONCEPT",
    "labels": "LABEL",
    "layer": "LAYER",
    "layers": "LAYER",
    "network": "NETWORK",
    "segmenter": "SEGMENTER",
    "shard": "K/N",
    "space": "SPACE",
    "units": "UNIT",
}
"""Placeholder of an option's value, by the option's name; other options show the type of the value."""

TYPES = {int: "INT", float: "FLOAT", str: "TEXT", Path: "PATH"}


@cache
def annotate_options(options: type) -> None:
    """Set the placeholders of a command's options, and hide defaults that only mark an option as left out.

    The help text of such an option explains what happens without it; "(default: None)" would contradict it.

    Args:
        options: Dataclass of a command's options.
    """
    hints = get_type_hints(options, include_extras=True)
    for field in dataclasses.fields(options):
        hint = hints[field.name]
        origin, *metadata = get_args(hint) if get_origin(hint) is Annotated else [hint]
        argument = tyro.conf.arg(
            metavar=_find_placeholder(field.name, origin), help_behavior_hint=_describe_default(field.default)
        )
        options.__annotations__[field.name] = Annotated[origin, argument, *metadata]


def _describe_default(default: object) -> str | None:
    """Return what the help shows after an option's text; None for tyro's own "(default: ...)"."""
    if default is dataclasses.MISSING:
        return "(required)"  # tyro calls a list of positional arguments optional
    return "" if default is None or default is False or default == () else None


def _find_placeholder(name: str, hint: Any) -> str | None:
    """Return the placeholder of an option's value; None for tyro's own."""
    for part in (hint, *get_args(hint)):
        if get_origin(part) is tuple:
            inner, *rest = get_args(part)
            word = PLACEHOLDERS.get(name) or TYPES.get(inner)
            return f"{word} [{word} ...]" if word and rest == [Ellipsis] else None
    return PLACEHOLDERS.get(name)
