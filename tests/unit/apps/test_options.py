"""Help pages: placeholders with a meaning, and defaults that are stated once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from apps import commands
from apps.cli import COMMANDS, main
from apps.options import annotate_options


@pytest.fixture(params=COMMANDS)
def page(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "10000")
    with pytest.raises(SystemExit):
        main([*request.param.split(), "--help"])
    return capsys.readouterr().out


def test_no_option_states_its_default_twice_or_an_empty_one(page: str) -> None:
    assert "(default: None)" not in page
    assert "(default: )" not in page
    assert "(default: False)" not in page
    for line in page.splitlines():
        assert not ("by default" in line and "(default:" in line), line


def test_no_placeholder_is_just_text(page: str) -> None:
    assert not re.search(r"\bSTR\b(?! of)", re.sub(r"--encoder STR|--augmentation \[STR \[STR ...\]\]", "", page))


def test_an_american_spelling_is_shown_first(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["effect", "--help"])
    page = capsys.readouterr().out
    assert 0 < page.index("--optimize") < page.index("--optimise")


def test_each_kind_of_default_has_its_text() -> None:
    from apps.options import _describe_default

    @dataclass
    class Options:
        layers: tuple[str, ...] = ()
        zero: float = 0.0
        path: Path | None = None

    annotate_options(Options)
    hints = {name: hint.__metadata__[0].help_behavior_hint for name, hint in Options.__annotations__.items()}
    assert hints == {"layers": "", "zero": None, "path": ""}
    assert _describe_default(0) is None and _describe_default(True) is None and _describe_default(False) == ""


def test_every_command_has_a_module() -> None:
    stems = {path.stem.rstrip("_") for path in Path(commands.__file__).parent.glob("[a-z]*.py")}
    assert stems == {name.replace(" ", "_") for name in COMMANDS}
