"""What README and docs point at exists, and no placeholder was left in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from apps.cli import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere_and_commands_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        file, _, heading = target.partition("#")
        if "://" not in target:
            there = page.parent / file if file else page
            assert there.exists(), target
            assert not heading or heading in _anchors(there), target
    for words in re.findall(r"^ {4}gandissect (\S+(?: \S+)?)", text, flags=re.MULTILINE):
        assert words in COMMANDS or words.split()[0] in {*COMMANDS, "COMMAND"}, words
    assert not re.search(r"^[A-Z]{4,}$", text, flags=re.MULTILINE), "a placeholder was left"


def test_the_example_of_own_networks_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "guides" / "your-own-model.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(compile(code, "your-own-model.md", "exec"), {"__name__": "__main__"})
    assert re.fullmatch(
        r"UnitMatch\(layer='only', unit=0, concept='(bright|dark)'.*\)", capsys.readouterr().out.strip()
    )
