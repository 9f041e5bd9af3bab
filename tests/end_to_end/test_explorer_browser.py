"""The explorer in a real browser: a stroke changes the picture, and undo restores it byte for byte."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import generators
from apps.explorer.display.images import draw_native
from gandissect import Ablation, UnitSet, generate

pytest.importorskip("streamlit", reason="the extra 'app' is not installed: pip install '.[app]'")
pytest.importorskip("websockets", reason="websockets, which comes with Streamlit, is not installed")
from browser import Browser, Page, find_browser, serving, starting_browser

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed: apt-get install chromium")

EASEL = """(() => {
  const roots = [...document.querySelectorAll(".st-key-easel *")].map((part) => part.shadowRoot);
  const root = roots.find((part) => part?.querySelector("canvas"));
  const canvas = root?.querySelector("canvas"), box = canvas?.getBoundingClientRect();
  return canvas?.dataset.shown && {
    x: box.x, y: box.y, width: box.width, height: box.height, paints: canvas.className === "paints",
    picture: root.querySelector("img.after").src, pixels: canvas.toDataURL(), shown: Number(canvas.dataset.shown),
  };
})()"""

CANVAS = """[...document.querySelectorAll(".st-key-easel *")].map((part) => part.shadowRoot?.querySelector("canvas"))
  .find(Boolean)"""
STRIP = """[...document.querySelectorAll(".st-key-strip *")].map((part) => part.shadowRoot).find(Boolean)"""
PADDING = "getComputedStyle(document.querySelector('.stMainBlockContainer')).paddingTop"
ROWS = "document.querySelectorAll('[class*=st-key-switch]').length"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("explorer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANDISSECT_CACHE", str(folder / "cache"))
        generators.save(generators.PlantedGenerator(), folder / "planted.safetensors")
        options = {"generator": str(folder / "planted.safetensors"), "segmenter": "palette", "num_samples": 40}
        with serving(**options, device="cpu") as url:
            yield url


def number_with_two() -> int:
    """Return the first picture of seed 1 with red and blue, from the closed form."""
    z = generators.PlantedGenerator().sample_z(200, seed=1)
    return next(index for index, row in enumerate(z) if row[0] > 0 and row[4] > 0)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with starting_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@contextmanager
def painting_at(address: str, browser: Browser) -> Iterator[Page]:
    """Open the page Paint as a new visitor, ready for a stroke."""
    with browser.open(f"{address}?picture={number_with_two()}&layer=layer1") as page:
        page.wait(f"({EASEL} || {{}}).paints", 300)
        page.wait("!document.querySelector('[data-testid=stStatusWidget]')", 120)
        page.wait(f"{PADDING} === '60px'")  # style and strip have loaded, so the layout is final
        page.wait(f"!!{STRIP}?.querySelector('button[data-number]')")
        yield page


@pytest.fixture
def page(address: str, browser: Browser) -> Iterator[Page]:
    with painting_at(address, browser) as page:
        yield page


def click(page: Page, label: str) -> None:
    """Choose a concept or an action by name."""
    script = f"""[...document.querySelectorAll("button")].find((button) => button.textContent.trim() === {label!r})"""
    marked = "[aria-checked=true], [aria-pressed=true], [kind*=Active], [data-selected]"
    page.wait(f"{script}?.matches({marked!r}) || ({script}?.click(), false)")


def remove(page: Page) -> None:
    """Choose the action remove."""
    click(page, "remove")


def read_picture(page: Page) -> torch.Tensor:
    """Return the picture on the easel, as sent to the page: uint8 ``[3, H, W]``."""
    png = base64.b64decode(page.run(EASEL)["picture"].partition(",")[2])
    return torch.from_numpy(np.array(Image.open(io.BytesIO(png)).convert("RGB"))).permute(2, 0, 1)


def make_picture(*edits: Ablation) -> torch.Tensor:
    """Return the same picture, rendered with `generate`."""
    generator = generators.PlantedGenerator()
    image = generate(generator, generator.sample_z(1, 1, number_with_two()), list(edits))[0]
    return torch.from_numpy(draw_native(image)).permute(2, 0, 1)


def everywhere(page: Page) -> list[tuple[float, float]]:
    """Return the points of a stroke that covers the picture."""
    easel = page.run(EASEL)
    rows = [easel["y"] + easel["height"] * (0.5 + row) / 16 for row in range(16)]
    left, right = easel["x"] + 2, easel["x"] + easel["width"] - 2
    return [(x, y) for index, y in enumerate(rows) for x in ((left, right) if index % 2 else (right, left))]


def test_a_stroke_changes_the_picture_and_undo_restores_it(page: Page) -> None:
    remove(page)
    first = page.run(EASEL)
    page.drag(*everywhere(page))
    page.run("0")
    page.wait(f"{EASEL}.picture !== {first['picture']!r}")
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=5, y=5)
    page.wait(f"{EASEL}.pixels !== {first['pixels']!r}")
    page.wait("!document.querySelector('.st-key-undo button').disabled", 60)
    page.run("document.querySelector('.st-key-undo button').click()")
    page.wait(f"{EASEL}.picture === {first['picture']!r}")
    page.wait(f"{EASEL}.pixels === {first['pixels']!r}")


def test_rapid_strokes_all_count_and_the_rest_of_the_page_follows(page: Page) -> None:
    remove(page)
    points = everywhere(page)
    for start in range(0, 12, 2):
        page.drag(*points[start : start + 2])  # without waiting
    page.wait(f"{ROWS} === 6")
    page.wait("!document.querySelector('.st-key-undo button').disabled")
    page.run("document.querySelector('.st-key-undo button').click()")
    page.wait(f"{ROWS} === 5")
    page.run("document.querySelector('.st-key-clear button').click()")
    page.wait(f"{ROWS} === 0")
    page.wait("document.body.textContent.includes('Your strokes are listed here')")


def test_a_finger_paints_too(page: Page) -> None:
    remove(page)
    first = page.run(EASEL)
    page.touch(*everywhere(page))
    page.wait(f"{EASEL}.picture !== {first['picture']!r}")


def test_a_second_finger_does_not_paint(page: Page) -> None:
    remove(page)
    box = page.run(EASEL)
    one, two, moved = (
        {"id": finger, "x": box["x"] + share * box["width"], "y": box["y"] + share * box["height"]}
        for finger, share in ((0, 0.1), (1, 0.9), (1, 0.4))
    )
    page.touch((one["x"], one["y"]))
    page.wait(f"{ROWS} === 1")
    taps = (("touchStart", [one]), ("touchStart", [one, two]), ("touchMove", [one, moved]), ("touchEnd", [one]))
    for kind, fingers in (*taps, ("touchEnd", [])):
        page.call("Input.dispatchTouchEvent", type=kind, touchPoints=fingers)
    page.wait(f"{ROWS} === 2")
    texts = page.run("[...document.querySelectorAll('[class*=st-key-stroke] p')].map((line) => line.textContent)")
    cells = [text.rpartition("·")[2] for text in texts if "cell" in text]
    assert len(cells) == 2 and cells[0] == cells[1], texts


def test_a_stroke_started_on_another_picture_is_dropped_and_finished_ones_are_kept(page: Page) -> None:
    remove(page)
    box, points = page.run(EASEL), everywhere(page)
    numbers = page.run(f"[...{STRIP}.querySelectorAll('button[data-number]')].map((button) => button.dataset.number)")
    here = str(number_with_two())
    other = numbers[-1]  # not 0, which the URL leaves out
    for start in (0, 2, 4):
        page.drag(*points[start : start + 2])  # still in transit when the other picture is picked
    page.call("Input.dispatchMouseEvent", type="mousePressed", x=points[6][0], y=points[6][1], button="left", buttons=1)
    page.run(f"{STRIP}.querySelector('button[data-number=\"{other}\"]').click()")
    page.wait(f"document.querySelector('.st-key-picture input').value === {other!r}")
    page.wait(f"{ROWS} === 0 && {EASEL}.picture !== {box['picture']!r}")
    page.wait("!document.querySelector('[data-testid=stStatusWidget]')")
    for kind, buttons in (("mouseMoved", 1), ("mouseReleased", 0)):
        x, y = points[7]
        page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons)
    page.drag(*points[8:10])
    page.wait(f"{ROWS} > 0")
    assert page.run(ROWS) == 1
    page.run(f"{STRIP}.querySelector('button[data-number=\"{here}\"]').click()")
    page.wait(f"{ROWS} === 3")


def test_the_original_disappears_when_the_space_bar_is_released_elsewhere(page: Page) -> None:
    remove(page)
    first = page.run(EASEL)["picture"]
    page.drag(*everywhere(page))
    page.wait(f"{EASEL}.picture !== {first!r}")
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=5, y=5)
    page.wait(f"{ROWS} === 1")
    page.run(f"{CANVAS}.focus()")
    edited = page.run(EASEL)["pixels"]
    page.call("Input.dispatchKeyEvent", type="keyDown", key=" ", code="Space", windowsVirtualKeyCode=32)
    page.wait(f"{EASEL}.pixels !== {edited!r}")
    page.run(f"{CANVAS}.blur()")
    page.wait(f"{EASEL}.pixels === {edited!r}", 20)


def test_a_click_on_the_strip_picks_a_picture_and_pages_keep_it(page: Page) -> None:
    page.wait(f"!!{STRIP}?.querySelector('button[data-number]')")
    first = page.run(EASEL)["picture"]
    other = page.run(f"""(() => {{
      const button = [...{STRIP}.querySelectorAll("button[data-number]")].at(-1); // 0, the default, would not be in the URL
      button.click();
      return button.dataset.number;
    }})()""")
    page.wait(f"{EASEL}.picture !== {first!r}")
    page.wait(f"new URLSearchParams(location.search).get('picture') === {other!r}")
    page.run("""[...document.querySelectorAll("a")].find((button) => button.textContent.includes("Units")).click()""")
    page.wait("location.pathname.endsWith('/units')")
    page.wait(f"document.querySelector('.st-key-picture input')?.value === {other!r}")
    query = page.run("Object.fromEntries(new URLSearchParams(location.search))")
    assert query["picture"] == other and query["layer"] == "layer1"


def test_concurrent_visitors_see_only_their_own_strokes(address: str, page: Page, browser: Browser) -> None:
    gone = {
        "red": make_picture(Ablation(UnitSet("layer1", (0, 4)))),
        "blue": make_picture(Ablation(UnitSet("layer1", (2,)))),
    }
    untouched = make_picture()
    assert not torch.equal(gone["red"], gone["blue"]) and not torch.equal(gone["red"], untouched)
    with painting_at(f"{address}/paint", browser) as other:
        visitors = {"red": page, "blue": other}
        for concept, visitor in visitors.items():
            assert torch.equal(read_picture(visitor), untouched)
            click(visitor, concept)
            remove(visitor)
        first = page.run(EASEL)["picture"]
        for visitor in visitors.values():  # the second starts before the first is answered
            visitor.drag(*everywhere(visitor))
        for visitor in visitors.values():
            visitor.wait(f"{EASEL}.picture !== {first!r}")
        for concept, visitor in visitors.items():
            assert torch.equal(read_picture(visitor), gone[concept]), concept
        page.wait("!document.querySelector('.st-key-undo button').disabled")
        page.run("document.querySelector('.st-key-undo button').click()")
        page.wait(f"{EASEL}.picture === {first!r}")
        assert torch.equal(read_picture(page), untouched) and torch.equal(read_picture(other), gone["blue"])


def test_an_uploaded_picture_is_inverted_and_visible_only_to_its_visitor(
    address: str, browser: Browser, tmp_path: Path
) -> None:
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "<b>mine.png")
    place, field, metric = f"{address}/latent?part=your+picture", "input[type=file]", "[data-testid=stMetric]"
    with browser.open(place) as page, browser.open(place) as other:
        for visitor in (page, other):
            visitor.wait(f"!!document.querySelector('{field}')", 120)
        root = page.call("DOM.getDocument")["root"]["nodeId"]
        node = page.call("DOM.querySelector", nodeId=root, selector=field)["nodeId"]
        page.call("DOM.setFileInputFiles", nodeId=node, files=[str(tmp_path / "<b>mine.png")])
        page.wait(f"document.querySelector('{metric}')?.textContent.includes('dB')", 120)
        assert page.run("document.querySelectorAll('img[alt^=\"Reconstruction of\"]').length") == 1
        other.call("Page.reload")
        other.wait(f"!!document.querySelector('{field}')", 120)
        other.wait("!document.querySelector('[data-testid=stStatusWidget]')", 120)
        assert not other.run(f"document.querySelector('{metric}, [alt^=\"Your picture\"]')")


def test_paint_has_its_own_address_and_invalid_values_leave_the_url(address: str, browser: Browser) -> None:
    with browser.open(f"{address}/paint?picture=5&seed=1e400") as page:
        page.wait("document.querySelector('.st-key-picture input')?.value === '5'", 120)
        page.wait("location.pathname === '/' && location.search === '?picture=5'")
        page.wait("document.querySelector('.st-key-seed input')?.value === '1'")
        assert not page.run("document.querySelector('[data-testid=stException], [role=dialog]')")
