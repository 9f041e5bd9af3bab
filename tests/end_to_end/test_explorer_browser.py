"""The explorer in a real browser: what is painted changes the picture, and undoing brings it back byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import generators

pytest.importorskip("streamlit", reason="the extra 'app' is not installed: pip install 'gandissect[app]'")
pytest.importorskip("websockets", reason="websockets, which comes with Streamlit, is not installed")
from browser import Page, browsing, find_browser, serving

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed: apt-get install chromium")

EASEL = """(() => {
  const roots = [...document.querySelectorAll(".st-key-easel *")].map((each) => each.shadowRoot);
  const root = roots.find((each) => each?.querySelector("canvas"));
  const canvas = root?.querySelector("canvas"), box = canvas?.getBoundingClientRect();
  return canvas?.dataset.shown && {
    x: box.x, y: box.y, width: box.width, height: box.height, paints: canvas.className === "paints",
    picture: root.querySelector("img.after").src, pixels: canvas.toDataURL(), shown: Number(canvas.dataset.shown),
  };
})()"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("explorer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANDISSECT_CACHE", str(folder / "cache"))
        generators.save(generators.PlantedGenerator(), folder / "planted.safetensors")
        given = {"generator": str(folder / "planted.safetensors"), "segmenter": "palette", "num_samples": 40}
        with serving(**given, device="cpu") as url:
            yield url


@pytest.fixture
def page(address: str, tmp_path: Path) -> Iterator[Page]:
    z = generators.PlantedGenerator().sample_z(200, seed=1)
    number = next(index for index, row in enumerate(z) if row[0] > 0 and row[4] > 0)
    with browsing(f"{address}/?picture={number}&layer=layer1", tmp_path / "browser") as opened:
        opened.wait(f"({EASEL} || {{}}).paints", 300)
        opened.wait("!document.querySelector('[data-testid=stStatusWidget]')", 120)
        yield opened


def remove(page: Page) -> None:
    """Choose to remove."""
    script = """[...document.querySelectorAll("button")].find((each) => each.textContent.trim() === "remove")"""
    marked = "[aria-checked=true], [aria-pressed=true], [kind*=Active], [data-selected]"
    page.wait(f"{script}?.matches({marked!r}) || ({script}?.click(), false)")


def everywhere(page: Page) -> list[tuple[float, float]]:
    """Points of a stroke that covers the picture."""
    easel = page.run(EASEL)
    rows = [easel["y"] + easel["height"] * (0.5 + row) / 16 for row in range(16)]
    left, right = easel["x"] + 2, easel["x"] + easel["width"] - 2
    return [(x, y) for index, y in enumerate(rows) for x in ((left, right) if index % 2 else (right, left))]


def test_a_stroke_changes_the_picture_and_undo_brings_it_back(page: Page) -> None:
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


def test_strokes_that_come_while_one_is_on_its_way_all_count_and_the_rest_follows(page: Page) -> None:
    remove(page)
    points = everywhere(page)
    for start in range(0, 12, 2):
        page.drag(*points[start : start + 2])  # nothing is waited for
    rows = "document.querySelectorAll('[class*=st-key-switch]').length"
    page.wait(f"{rows} === 6")
    page.wait("!document.querySelector('.st-key-undo button').disabled")
    page.run("document.querySelector('.st-key-undo button').click()")
    page.wait(f"{rows} === 5")
    page.run("document.querySelector('.st-key-clear button').click()")
    page.wait(f"{rows} === 0")
    page.wait("document.body.textContent.includes('each stroke is listed here')")


def test_a_finger_paints_too(page: Page) -> None:
    remove(page)
    first = page.run(EASEL)
    page.touch(*everywhere(page))
    page.wait(f"{EASEL}.picture !== {first['picture']!r}")


def test_a_click_on_the_strip_picks_a_picture_and_pages_keep_it(page: Page) -> None:
    script = """[...document.querySelectorAll(".st-key-strip *")].map((each) => each.shadowRoot).find(Boolean)"""
    page.wait(f"!!{script}?.querySelector('button[data-number]')")
    first = page.run(EASEL)["picture"]
    other = page.run(f"""(() => {{
      const button = [...{script}.querySelectorAll("button[data-number]")].at(-1); // 0, the default, would not be in the URL
      button.click();
      return button.dataset.number;
    }})()""")
    page.wait(f"{EASEL}.picture !== {first!r}")
    page.wait(f"new URLSearchParams(location.search).get('picture') === {other!r}")
    page.run("""[...document.querySelectorAll("a")].find((each) => each.textContent.includes("Units")).click()""")
    page.wait("location.pathname.endsWith('/units')")
    page.wait(f"document.querySelector('.st-key-picture input')?.value === {other!r}")
    told = page.run("Object.fromEntries(new URLSearchParams(location.search))")
    assert told["picture"] == other and told["layer"] == "layer1"
