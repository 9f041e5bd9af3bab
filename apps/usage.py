"""Normalize the position of a command's subject, and reduce tyro's boxes of usage errors to one sentence."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence

SUBJECTS = ("generator", "dissection")
"""Names of subjects, which may come first in a command or be named by an option."""


def put_subject_first(options: type, arguments: Sequence[str]) -> list[str]:
    """Move the command's subject to the front if an option names it.

    ``dissect --generator NAME`` is ``dissect NAME``, and ``report --dissection FOLDER`` is ``report FOLDER``.

    Args:
        options: Dataclass of the command's options.
        arguments: Arguments of the command.

    Raises:
        ValueError: If the subject is named twice, or its option has no value.
    """
    name = next(iter(dataclasses.fields(options))).name
    flag, words = f"--{name}", list(arguments)
    if name not in SUBJECTS:
        return words
    places = [place for place, word in enumerate(words) if word.split("=")[0] == flag]
    if len(places) > 1:
        raise ValueError(f"{flag} must be given once; got it {len(places)} times")
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
    """Reduce an error box to one line.

    Args:
        box: Title and sections, each preceded by a rule of hyphens, as tyro writes them without a terminal.
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
    """Return a section as part of a sentence; the options it lists are indented below its heading."""
    text = " ".join(line.strip() for line in lines)
    if match := re.match(r"Missing from (?:\S+ )?(.+?):", text):
        return f"{match[1]} needs {', '.join(_list_options(lines[1:]))}"
    if text.startswith("Perhaps you meant:"):
        return f"perhaps you meant {' or '.join(_list_options(lines[1:]))}"
    if text.startswith("Arguments similar to"):
        return f"{lines[0].strip().removeprefix('Arguments ')} {', '.join(_list_options(lines[1:]))}"
    if text.startswith("Unrecognized options:"):
        return text[0].lower() + text[1:]
    if text.startswith("Argument helptext:"):
        return ""
    for pattern, sentence in _VALUES.items():
        text = re.sub(pattern, sentence, text)
    text = re.sub(r"^For full helptext, (?:run|see):?", "see", text).rstrip(".").replace(". Expected", "; expected")
    return text[:1].lower() + text[1:]


_VALUES = {
    r"^Missing value for argument '([^']+)'\. Expected 1 values?\.?": r"\1 needs a value",
    r"^Error parsing settings[\w.]*: ": "",
    r"^Error parsing (\S+): invalid literal for int\(\) with base 10: ": r"\1 must be an integer; got ",
    r"^Error parsing (\S+): could not convert string to float: ": r"\1 must be a number; got ",
    r"^Error parsing (\S+): no type matching \{None\}\|INT could be instantiated from \[(.*?)\]\. .*": (
        r"\1 must be an integer or None; got \2"
    ),
    r"^Error parsing (\S+): no type matching INT could be instantiated from \[(.*?)\]\. .*": (
        r"\1 must be an integer; got \2"
    ),
    r"^Error parsing (\S+): no type matching FLOAT could be instantiated from \[(.*?)\]\. .*": (
        r"\1 must be a number; got \2"
    ),
    r"^Error parsing (\S+): Could not find valid parse for arguments: \[(.*)\]": (  # text is always valid
        r"\1 must be numbers separated by spaces (integers for INT); got \2"
    ),
}
"""Patterns of the messages of Python and tyro about invalid values, and their replacements."""


def _list_options(lines: Sequence[str]) -> list[str]:
    """Return the listed options: the first words of the least indented lines."""
    indents = [len(line) - len(line.lstrip()) for line in lines]
    names = [line.split()[0] for line, indent in zip(lines, indents, strict=True) if indent == min(indents)]
    return list(dict.fromkeys(name.rstrip(",") for name in names))
