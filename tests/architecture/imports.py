"""Reading the imports of a package's files, as text."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("gandissect", "generators", "segmenters", "apps")


def source_files(root: Path, package: str) -> list[Path]:
    """Return the modules of a package, stubs that list public names included."""
    return sorted([*(root / package).rglob("*.py"), *(root / package).rglob("*.pyi")])


def imported_names(path: Path, root: Path) -> set[str]:
    """Return the dotted names that a file imports, relative ones resolved: ``package.module.name``."""
    return set(_imported_names(path, root))


def room_arrows(root: Path, package: str) -> Counter[tuple[str, str]]:
    """Return how many files' imports lead from one room of a package to another; a file beside rooms is one itself."""
    arrows: Counter[tuple[str, str]] = Counter()
    depth = len(package.split("/"))
    for path in source_files(root, package):
        own_room = path.relative_to(root).with_suffix("").parts[depth]
        for name in imported_names(path, root):
            parts = name.split(".")
            inside = parts[:depth] == package.split("/") and len(parts) > depth
            if inside and (root / package / parts[depth]).exists() | (root / package / f"{parts[depth]}.py").exists():
                arrows[own_room, parts[depth]] += parts[depth] != own_room
    return +arrows


def find_circle(arrows: Counter[tuple[str, str]]) -> list[str]:
    """Return the rooms that can be put on no floor because their imports run in a circle, or lead to one."""
    rooms = {room for arrow in arrows for room in arrow}
    while free := {room for room in rooms if not any(a == room and b in rooms for a, b in arrows)}:
        rooms -= free
    return sorted(rooms)


def _imported_names(path: Path, root: Path) -> Iterator[str]:
    package = path.relative_to(root).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{stem}.{alias.name}" for alias in node.names)
