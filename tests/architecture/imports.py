"""Reading the imports of a package's files, as text."""

from __future__ import annotations

import ast
import sys
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
            if parts[:depth] == package.split("/"):
                room = (*parts[depth:], "__init__")[0]
                is_room = (root / package / room).exists() or (root / package / f"{room}.py").exists()
                target = room if is_room else "__init__"  # a name of the package itself
                arrows[own_room, target] += target != own_room
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


def draw_table(arrows: Counter[tuple[str, str]], order: list[str]) -> str:
    """Return how many imports lead from each room, a line each, to each other one, a column each."""
    columns = [room for room in order if any(target == room for _, target in arrows)]
    width = max(map(len, order)) + 2
    lines = [" " * width + "".join(f"{room:>15}" for room in columns)]
    for room in reversed(order):
        counts = "".join(f"{arrows[room, target] or '.':>15}" for target in columns)
        lines.append(f"{room:<{width}}{counts}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    rooms = [
        "core",
        "storage",
        "interventions",
        "stats",
        "inference",
        "dissection",
        "fidelity",
        "latent",
        "causal",
        "artifacts",
        "report",
    ]
    found = room_arrows(Path(__file__).parents[2], "gandissect")
    inside = {arrow: count for arrow, count in found.items() if "__init__" not in arrow}
    total = f"{len(inside)} arrows between {len(rooms)} rooms, {sum(inside.values())} imports"
    sys.stdout.write(f"{draw_table(found, rooms)}\n\n{total}\n")
