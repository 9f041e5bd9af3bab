"""Where to compute, and how what is missing is installed."""

from __future__ import annotations

import json
import shlex
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from gandissect.core import environment

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_checkout_is_installed_from_where_it_is() -> None:
    checkout = Path(__file__).parents[3]
    assert shlex.split(environment.install_command("fast")) == ["pip", "install", "--editable", f"{checkout}[fast]"]


@pytest.mark.parametrize(
    ("source", "requirement"),
    [
        (None, "gandissect[app]"),
        ({"url": "file:///home/me/my%20code", "dir_info": {}}, "gandissect[app] @ file:///home/me/my%20code"),
        (
            {"url": "https://example.org/it.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
            f"gandissect[app] @ git+https://example.org/it.git@{COMMIT}",
        ),
        ({"url": "file:///tmp/it-1.whl", "archive_info": {}}, "gandissect[app] @ file:///tmp/it-1.whl"),
    ],
)
def test_a_package_is_installed_from_where_it_came(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: dict | None, requirement: str
) -> None:
    text = None if source is None else json.dumps(source)
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "site-packages/gandissect/core/environment.py"))
    monkeypatch.setattr(metadata, "distribution", lambda name: SimpleNamespace(read_text=lambda file: text))
    assert shlex.split(environment.install_command("app")) == ["pip", "install", requirement]


def test_a_package_that_nothing_is_known_of_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def miss(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(environment, "__file__", str(tmp_path / "a/b/environment.py"))
    monkeypatch.setattr(metadata, "distribution", miss)
    assert environment.install_command("app") == "pip install 'gandissect[app]'"
