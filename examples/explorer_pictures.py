"""Take the screenshots for docs/guides/explorer.md: each page of the explorer in use, in a headless Chromium.

python examples/explorer_pictures.py docs/explorer
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from PIL import Image

from gandissect.storage import atomic_path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "end_to_end"))
from browser import Page, browsing, find_browser, serving

WIDTH = 1280
QUIET = "!document.querySelector('[data-testid=stStatusWidget], [data-testid=stSpinner], [data-testid=stProgress]')"
CANVAS = """[...document.querySelectorAll(".st-key-easel *")].map((node) => node.shadowRoot?.querySelector("canvas"))
  .find(Boolean)"""
SETTLE = 3.0
"""Seconds without activity after which a page counts as fully drawn."""


@dataclass(frozen=True)
class Options:
    """Write screenshots of the explorer as JPEG files.

    Args:
        out: Folder for the screenshots.
        pages: Names of the pages; all by default.
    """

    out: tyro.conf.Positional[Path]
    pages: list[str] = field(default_factory=lambda: list(PAGES))


def main(options: Options) -> None:
    """Take a screenshot of each page."""
    if find_browser() is None:
        raise SystemExit("this needs Chromium: apt-get install chromium")
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        serving(device="cpu") as url,
        browsing("about:blank", Path(folder)) as page,
    ):
        for name in options.pages:
            address, height, use = PAGES[name]
            page.resize(WIDTH, height)
            page.call("Page.navigate", url=f"{url}/{address}")
            wait_until_quiet(page)
            use(page)
            wait_until_quiet(page)
            page.screenshot(Path(folder) / "seen.png")
            image = Image.open(io.BytesIO((Path(folder) / "seen.png").read_bytes())).convert("RGB")
            with atomic_path(options.out / f"{name}.jpg", overwrite=True) as temporary:
                image.save(temporary, "JPEG", quality=88, optimize=True)
            print(options.out / f"{name}.jpg")


def wait_until_quiet(page: Page) -> None:
    """Wait until the page has been idle for a while."""
    page.wait("!!document.querySelector('.st-key-strip')", 120)
    quiet = 0.0
    while quiet < SETTLE:
        time.sleep(0.5)
        quiet = quiet + 0.5 if page.run(QUIET) else 0.0


def click(page: Page, label: str, kind: str = "button") -> None:
    """Click the element with a label."""
    element = f"[...document.querySelectorAll({kind!r})].find((node) => node.textContent.includes({label!r}))"
    page.wait(f"({element}?.click(), !!{element})")


def stroke(page: Page, *points: tuple[float, float]) -> None:
    """Paint a stroke through points, given as fractions of the picture's width and height."""
    box = page.wait(
        f"(() => {{ const {{x, y, width, height}} = {CANVAS}.getBoundingClientRect(); "
        "return {x, y, width, height}; })()"
    )
    page.drag(*[(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in points])
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=5, y=5)
    wait_until_quiet(page)


def paint(page: Page) -> None:
    """Draw a tree on the right, and remove the building on the left."""
    click(page, "behind the brush", "summary")
    click(page, "building")
    click(page, "remove")
    wait_until_quiet(page)
    stroke(page, *[(0.08 + 0.04 * step, 0.55) for step in range(6)])
    click(page, "tree")
    click(page, "draw")
    wait_until_quiet(page)
    stroke(page, *[(0.72 + 0.05 * step, 0.42) for step in range(5)])


def leave(_: Page) -> None:
    """Do nothing on a page."""


PAGES: dict[str, tuple[str, int, Callable[[Page], None]]] = {
    "paint": ("?picture=7", 1450, paint),
    "units": ("units?picture=1&concept=building", 1600, leave),
    "artifacts": ("artifacts", 1300, lambda page: click(page, "Find artifacts")),
    "latent": ("latent?picture=4&part=directions", 1100, leave),
    "compare": ("compare?layer=layer2", 1250, leave),
}


if __name__ == "__main__":
    main(tyro.cli(Options))
