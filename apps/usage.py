"""The model's place on the command line, and usage errors in one sentence, of what tyro writes into a box."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence

SUBJECTS = ("generator", "dissection")
"""What may stand first in a command, and be named by an option too."""


def put_subject_first(options: type, arguments: Sequence[str]) -> list[str]:
    """Return arguments with the command's subject in the first place, where an option of its name gives it.

    ``dissect --generator NAME`` is ``dissect NAME``, and ``report --dissection FOLDER`` is ``report FOLDER``.

    Args:
        options: The dataclass of the command's options.
        arguments: The command's arguments.

    Raises:
        ValueError: If the subject is named twice, or not at all behind its option.
    """
    name = next(iter(dataclasses.fields(options))).name
    flag, words = f"--{name}", list(arguments)
    if name not in SUBJECTS:
        return words
    places = [place for place, word in enumerate(words) if word.split("=")[0] == flag]
    if len(places) > 1:
        raise ValueError(f"give the {name} once; got {flag} {len(places)} times")
    for place in places:
        _, joined, value = words[place].partition("=")
        rest = words[:place] + words[place + 1 + (not joined) :]
        value = value if joined else "".join(words[place + 1 : place + 2])
        if not value or (not joined and value.startswith("-")):
            raise ValueError(f"{flag} needs a value")
        if rest and not rest[0].startswith("-"):
            raise ValueError(f"the {name} is named twice: {rest[0]} and {value}")
        return [value, *rest]
    return words


def summarize_box(box: str) -> str:
    """Return what a box says as one line.

    Args:
        box: A title, and sections with a rule of hyphens before each, as tyro writes it where there is no terminal.
    """
    title, *sections = _split_sections(box)
    parts = [_format_section(section) for section in sections] or [" ".join(line.strip() for line in title)]
    return "; ".join(part for part in parts if part)


def _split_sections(box: str) -> Iterator[list[str]]:
    """Yield the lines between the rules."""
    lines: list[str] = []
    for line in box.splitlines():
        if re.fullmatch(r"\s*-{3,}\s*", line):
            yield lines
            lines = []
        elif line.strip():
            lines.append(line.rstrip())
    yield lines


def _format_section(lines: Sequence[str]) -> str:
    """Return a section as part of a sentence; what its heading leads to stands below it, explained further inside."""
    text = " ".join(line.strip() for line in lines)
    if match := re.match(r"Missing from (?:\S+ )?(.+?):", text):
        return f"{match[1]} needs {', '.join(_list_options(lines[1:]))}"
    if text.startswith("Perhaps you meant:"):
        return f"perhaps you meant {' or '.join(_list_options(lines[1:]))}"
    if text.startswith("Arguments similar to"):
        return f"{lines[0].strip().removeprefix('Arguments ')} {', '.join(_list_options(lines[1:]))}"
    if text.startswith("Unrecognized options:"):
        return text.replace("Unrecognized options:", "not understood:")
    if text.startswith("Argument helptext:"):
        return ""
    for pattern, sentence in _VALUES.items():
        text = re.sub(pattern, sentence, text)
    text = re.sub(r"^For full helptext, (?:run|see):?", "see", text).rstrip(".").replace(". Expected", "; expected")
    return text[:1].lower() + text[1:]


_VALUES = {
    r"^Error parsing settings[\w.]*: ": "",
    r"^Error parsing (\S+): invalid literal for int\(\) with base 10: ": r"\1 must be a whole number; got ",
    r"^Error parsing (\S+): could not convert string to float: ": r"\1 must be a number; got ",
    r"^Error parsing (\S+): no type matching \{None\}\|INT could be instantiated from \[(.*?)\]\. .*": (
        r"\1 must be a whole number or None; got \2"
    ),
    r"^Error parsing (\S+): no type matching INT could be instantiated from \[(.*?)\]\. .*": (
        r"\1 must be a whole number; got \2"
    ),
    r"^Error parsing (\S+): no type matching FLOAT could be instantiated from \[(.*?)\]\. .*": (
        r"\1 must be a number; got \2"
    ),
    r"^Error parsing (\S+): Could not find valid parse for arguments: \[(.*)\]": (  # texts are always valid
        r"\1 must be numbers (INT: whole ones), with spaces between them; got \2"
    ),
}
"""What Python and tyro say about a value, as patterns, and how it is put here."""


def _list_options(lines: Sequence[str]) -> list[str]:
    """Return the options that are listed: the first words of the lines that are least indented."""
    indents = [len(line) - len(line.lstrip()) for line in lines]
    names = [line.split()[0] for line, indent in zip(lines, indents, strict=True) if indent == min(indents)]
    return list(dict.fromkeys(name.rstrip(",") for name in names))
