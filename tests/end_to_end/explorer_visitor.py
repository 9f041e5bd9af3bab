"""A simulated visitor for tests: opens pages, waits for results, and reads pictures and texts."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import pytest

import generators
from apps.commands.explore import PAGE

pytest.importorskip("streamlit", reason="the extra 'app' is not installed: pip install '.[app]'")
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)
"""Each AppTest would read what all installed packages say about themselves, which takes most of a short visit."""

Open = Callable[..., AppTest]


def open_page(name: str, arguments: Sequence[object] = (), query: Mapping[str, str] = MappingProxyType({})) -> AppTest:
    """Open a page by its name, as `gandissect explore` with some arguments would serve it."""
    sys.argv = [str(PAGE), *map(str, arguments)]
    page = AppTest.from_file(str(PAGE), default_timeout=60)
    for key, value in query.items():
        page.query_params[key] = value
    return turn_to(page, name)


def turn_to(page: AppTest, name: str) -> AppTest:
    """Go to another page; AppTest.switch_page supports only pages that are files."""
    page._page_hash = calc_hash(app_path(name))
    page.run()
    assert not page.exception
    return page


def app_path(name: str) -> str:
    """Return the path by which Streamlit identifies a page; the first one is served at / regardless."""
    return "start" if name == "paint" else name


def settle(page: AppTest, seconds: float = 60) -> AppTest:
    """Run a page until no task is running."""
    deadline = time.monotonic() + seconds
    while page.get("progress") and time.monotonic() < deadline:
        time.sleep(0.05)
        page.run()
    assert not page.exception and not page.get("progress")
    return page


def read_pictures(page: AppTest) -> dict[str, str]:
    """Return the URLs of all pictures by alternative text; a URL contains a hash of the picture."""
    return {picture.alt: picture.url for image in page.image for picture in image.proto.imgs}


def read_texts(page: AppTest) -> str:
    """Return all errors, warnings, notes, captions and Markdown, without escapes."""
    kinds = (page.error, page.warning, page.info, page.caption, page.markdown)
    return "\n".join(element.value for kind in kinds for element in kind).replace("\\", "")


def number_with(*present: int, absent: tuple[int, ...] = ()) -> int:
    """Return the first picture of seed 1 with and without some planted concepts, from the closed form."""
    z = generators.PlantedGenerator().sample_z(200, seed=1)
    fits = [all(row[2 * k] > 0 for k in present) and all(row[2 * k] <= 0 for k in absent) for row in z]
    return fits.index(True)
