"""Reports in a real browser: a picture on the first screen, nothing cut off on a phone, and a search that finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gandissect import choose_num_units, dissect, measure_repair, rank_artifact_units, write_repair_report, write_report
from gandissect.fidelity.yardstick import Yardstick
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
CUT = """[...document.querySelectorAll("body *")].filter((node) => node.checkVisibility() && !node.closest(".sr, .skip, svg"))
  .filter((node) => getComputedStyle(node).overflowX !== "visible" && node.clientWidth && node.scrollWidth > node.clientWidth + 1)
  .map((node) => node.outerHTML.slice(0, 80))"""
"""Elements that hide, or scroll to, a part of what they contain."""
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


def test_a_picture_is_on_the_first_screen(browser: Browser, page: Page, repair_report: Path) -> None:
    for url in (page.run("location.href"), repair_report.as_uri()):
        with browser.open(url) as opened:
            opened.wait("document.readyState === 'complete'")
            opened.resize(1280, 800)
            opened.run(f"document.images[0].decode().then(() => {SETTLED})")
            bottom, width = opened.run(
                "(({bottom, width}) => [bottom, width])(document.images[0].getBoundingClientRect())"
            )
            assert bottom < 800 and width > 200


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cut_off(page: Page, width: int) -> None:
    page.resize(width, 844)
    page.run(SETTLED)
    assert page.run("document.documentElement.scrollWidth") == width
    assert page.run(OVERFLOW) == []
    assert page.run(LABELS) == []
    pairs = page.run(TICKS)
    assert pairs and not any(pairs)


def test_long_names_are_whole(browser: Browser, tmp_path: Path) -> None:
    generator = PlantedGenerator(size=16, cells=8)
    names = ("swivel chair with armrests", "averylongnamewithoutbreaks", "crt screen, cathode ray tube", "sky", "a")
    concepts = tuple(replace(concept, name=name) for concept, name in zip(generator.concepts, names, strict=True))
    dissection = dissect(generator, PaletteSegmenter(concepts), num_samples=40, progress=False)
    layers = tuple(
        replace(layer, name=f"synthesis.blocks.{number}.conv1.with_a_long_name")
        for number, layer in enumerate(dissection)
    )
    page = write_report(tmp_path, replace(dissection, layers=layers)).as_uri()
    for width in (390, 1280):
        with browser.open(page) as opened:
            opened.wait("document.readyState === 'complete'")
            opened.resize(width, 844)
            opened.run(SETTLED)
            assert opened.run(OVERFLOW) == []
            assert opened.run(CUT) == []


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


@pytest.fixture(scope="module")
def repair_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = PlantedGenerator()
    draw = torch.Generator().manual_seed(1)
    real = torch.randint(0, 256, (120, 3, *generator.image_size), dtype=torch.uint8, generator=draw)
    segmenter = PaletteSegmenter(generator.concepts)
    yardstick = Yardstick("colors", lambda images: images.float().mean((2, 3)) / 255, real[:80], real[80:])
    ranking = rank_artifact_units(generator, "layer1", yardstick, 100, 0, top_share=0.3, progress=False)
    options = {"num_sets": 2, "num_controls": 2, "progress": False}
    curve = choose_num_units(generator, ranking.top(4), yardstick, (0, 2, 4), 0, num_images=40, **options)
    repair = measure_repair(generator, ranking.top(3), yardstick, 0, segmenter=segmenter, **options)
    folder = tmp_path_factory.mktemp("repair")
    return write_repair_report(folder, generator, curve, repair, ranking, command="gandissect repair " + "x" * 300)


ROWS = """[...document.querySelectorAll(".block")].filter((block) => block.querySelector(".row-labels")).map((block) => {
  const image = block.querySelector("img").getBoundingClientRect();
  const labels = [...block.querySelectorAll(".row-labels span")].map((label) => label.getBoundingClientRect());
  return labels.map((box) => labels.length * ((box.top + box.bottom) / 2 - image.top) / image.height);
})"""
"""Middle of each label of a row of pictures, in rows from the top of the pictures."""


@pytest.mark.parametrize("width", [390, 1280])
def test_a_repair_fits_its_window_and_labels_stand_beside_their_rows(
    browser: Browser, repair_report: Path, width: int
) -> None:
    with browser.open(repair_report.as_uri()) as page:
        page.wait("document.readyState === 'complete'")
        page.resize(width, 844)
        page.run(
            "Promise.all([...document.images].map((image) => { image.loading = 'eager'; return image.decode(); }))"
        )
        page.run(SETTLED)
        assert page.run("document.documentElement.scrollWidth") == width
        assert page.run(OVERFLOW) == []
        blocks = page.run(ROWS)
        assert {len(block) for block in blocks} == {2, 3}
        for block in blocks:
            assert block == pytest.approx([row + 0.5 for row in range(len(block))], abs=0.1)
        visible = page.run(
            "[...document.querySelectorAll('.stacked td')].map((cell) => getComputedStyle(cell, '::before').content)"
        )
        assert all(content.strip('"') not in ("none", "normal") for content in visible) == (width == 390)
