"""A visitor of the explorer, for tests: opens a page, waits for what is worked out, and sees pictures."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import generators
from apps.commands.explore import PAGE

st = pytest.importorskip("streamlit", reason="the extra 'app' is not installed: pip install 'gandissect[app]'")
from streamlit.testing.v1 import AppTest  # noqa: E402
from streamlit.util import calc_hash  # noqa: E402

from apps.explorer import redrawing  # noqa: E402

Open = Callable[..., AppTest]


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A saved planted generator."""
    path = tmp_path / "planted.safetensors"
    generators.save(generators.PlantedGenerator(), path)
    return path


@pytest.fixture
def visit_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open a page by its name, as `gandissect explore` with some arguments would serve it, on caches of its own.

    An AppTest shows what the last run drew, so that here all is drawn anew where a visitor gets some parts; the browser
    tests have the parts.
    """
    monkeypatch.setattr(redrawing, "st", SimpleNamespace(rerun=lambda parts: None))
    st.cache_resource.clear()
    st.cache_data.clear()

    def opened(name: str, *arguments: object, **query: str) -> AppTest:
        monkeypatch.setattr(sys, "argv", [str(PAGE), *map(str, arguments)])
        page = AppTest.from_file(str(PAGE), default_timeout=60)
        for key, value in query.items():
            page.query_params[key] = value
        page._page_hash = calc_hash(name)  # AppTest.switch_page knows pages that are files only
        page.run()
        assert not page.exception
        return page

    yield opened
    st.cache_resource.clear()
    st.cache_data.clear()


def settled(page: AppTest, seconds: float = 60) -> AppTest:
    """Run a page until nothing is under way."""
    deadline = time.monotonic() + seconds
    while page.get("progress") and time.monotonic() < deadline:
        time.sleep(0.05)
        page.run()
    assert not page.exception and not page.get("progress")
    return page


def pictures(page: AppTest) -> dict[str, str]:
    """The addresses of all pictures by their alternative text; an address holds a hash of the picture."""
    return {each.alt: each.url for image in page.image for each in image.proto.imgs}


def said(page: AppTest) -> str:
    """All errors, warnings, notes, captions and Markdown, without the signs that keep them plain."""
    kinds = (page.error, page.warning, page.info, page.caption, page.markdown)
    return "\n".join(each.value for kind in kinds for each in kind).replace("\\", "")
