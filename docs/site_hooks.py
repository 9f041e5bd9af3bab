"""What building the site does besides Markdown: reference pages of public names, and formulas as MathML."""

from __future__ import annotations

import ast
import contextlib
import html
import io
import os
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert

ROOT = Path(__file__).parents[1]
FORMULA = re.compile(r'<(span|div) class="arithmatex">(\\\(|\\\[)(.*?)(\\\)|\\\])</\1>', re.DOTALL)
SHORT_CODE = re.compile(r"<code>(?=[^<\n]{1,24}</code>)")
ROOM = re.compile(r"^::: ([a-z.]+)$", re.MULTILINE)
COMMANDS = "::: commands"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in the public names of a room, or the commands, where a page names them."""
    if COMMANDS in markdown:
        return markdown.replace(COMMANDS, describe_commands())
    return ROOM.sub(lambda match: list_public_names(match[1]), markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Replace each formula of a page, so that no page needs a script to show it, and mark code that fits on a line."""
    return SHORT_CODE.sub('<code class="short">', FORMULA.sub(_render, content))


def list_public_names(package: str) -> str:
    """Return a package's charter and a directive for each of its public names, from the stub beside its code."""
    folder = ROOT.joinpath(*package.split("."))
    charter = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    stub = ast.parse((folder / "__init__.pyi").read_text(encoding="utf-8"))
    names = {
        alias.name: f"{package}.{node.module}.{alias.name}"
        for node in stub.body
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 1
        for alias in node.names
    }
    sections = [f"::: {path}\n" for _, path in sorted(names.items(), key=lambda item: item[0].lower())]
    return "\n".join([charter, "", *sections])


def describe_commands() -> str:
    """Return a section for each command with the text that its ``--help`` prints."""
    sys.path.insert(0, str(ROOT))
    from apps.cli import COMMANDS as SUMMARIES, main

    sections = []
    os.environ["COLUMNS"] = "72"
    for name in SUMMARIES:
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
            main([*name.split(), "--help"])
        lines = output.getvalue().strip().replace("``", "").splitlines()
        text = "\n".join(_wrap(line) for line in lines)
        sections.append(f"## `{name}`\n\n```text\n{text}\n```\n")
    return "\n".join(sections)


def _wrap(line: str) -> str:
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.fill(line.strip(), 80, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _render(match: re.Match[str]) -> str:
    formula = html.unescape(match[3]).strip()
    if match[2] == "\\[":
        return f'<div class="formula">{convert(formula, display="block")}</div>'
    return convert(formula)
