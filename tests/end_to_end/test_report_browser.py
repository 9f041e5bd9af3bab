"""Reports in a real browser: a picture on the first screen, nothing cut off on a phone, and a search that finds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gandissect import dissect, write_report
from generators import PlantedGenerator
from segmenters import PaletteSegmenter

pytest.importorskip("websockets", reason="websockets, which comes with Streamlit, is not installed")
from browser import Browser, Page, find_browser, starting_browser

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed: apt-get install chromium")

SETTLED = "new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))"
OVERFLOW = """[...document.querySelectorAll("body *")]
  .filter((node) => node.checkVisibility() && !node.closest(".sr, .skip, title, desc"))
  .filter((node) => { const box = node.getBoundingClientRect(); return box.right > innerWidth + 0.5 || box.left < -0.5; })
  .map((node) => node.outerHTML.slice(0, 80))"""
"""Visible elements that extend beyond the window."""
LABELS = """(() => {
  const outside = [];
  for (const label of document.querySelectorAll("svg:not(.sr) text, svg use")) {
    const box = label.getBoundingClientRect(), frame = label.ownerSVGElement.getBoundingClientRect();
    if (box.width && (box.left < frame.left - 1 || box.right > frame.right + 1)) outside.push(label.outerHTML);
  }
  return outside;
})()"""
"""Labels that are wider than their figure."""
TICKS = """[...document.querySelectorAll(".ticks")].flatMap((figure) => {
  const boxes = [...figure.querySelectorAll("text")].map((label) => label.getBoundingClientRect());
  return boxes.flatMap((a, i) => boxes.slice(i + 1).map((b) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1));
})"""
"""Whether each pair of labels beside an axis overlaps."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with starting_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    generator = PlantedGenerator()
    segmenter = PaletteSegmenter(generator.concepts)
    dissection = dissect(generator, segmenter, num_samples=40, curves=True, progress=False)
    with browser.open(write_report(tmp_path, dissection).as_uri()) as page:
        page.wait("document.readyState === 'complete'")
        yield page


def test_a_picture_is_on_the_first_screen(page: Page) -> None:
    page.resize(1280, 800)
    boxes = page.run("[...document.images].map((image) => image.getBoundingClientRect().bottom)")
    assert boxes[0] < 800


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cut_off(page: Page, width: int) -> None:
    page.resize(width, 844)
    page.run(SETTLED)
    assert page.run("document.documentElement.scrollWidth") == width
    assert page.run(OVERFLOW) == []
    assert page.run(LABELS) == []
    pairs = page.run(TICKS)
    assert pairs and not any(pairs)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_search_scrolls_to_its_hit_and_keeps_its_box_in_view(page: Page, width: int) -> None:
    page.resize(width, 844)
    page.run(
        "const box = document.getElementById('text'); box.value = 'layer2 3'; box.dispatchEvent(new Event('input'))"
    )
    page.run(SETTLED)
    shown = page.run("[...document.querySelectorAll('.unit:not([hidden])')].map((card) => card.dataset.unit)")
    assert shown == ["3"]
    hit = page.run(
        "(({top, bottom}) => [top, bottom])(document.querySelector('.unit:not([hidden])').getBoundingClientRect())"
    )
    search = page.run("(({top, bottom}) => [top, bottom])(document.getElementById('text').getBoundingClientRect())")
    assert 0 <= search[0] < search[1] <= hit[0] < 844 - 50
    visible = page.run(
        "[...document.querySelectorAll('.layer')].filter((part) => part.checkVisibility())"
        ".map((part) => part.dataset.layer)"
    )
    assert visible == ["layer2"]
