"""How long does it take from releasing the brush to the new picture? ``python benchmarks/explorer_latency.py``.

A headless Chromium paints on the served page with real pointer events. The page's own clock runs from the release of
the pointer until the easel has decoded and drawn the picture that the server sent.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "end_to_end"))
from browser import Page, browsing, find_browser, serving

CANVAS = """[...document.querySelectorAll(".st-key-easel *")].map((node) => node.shadowRoot?.querySelector("canvas"))
  .find(Boolean)"""
EASEL = f"""(() => {{
  const canvas = {CANVAS}, box = canvas?.getBoundingClientRect();
  return canvas?.className === "paints" && canvas.dataset.shown && {{
    x: box.x, y: box.y, width: box.width, height: box.height, shown: Number(canvas.dataset.shown),
  }};
}})()"""
WATCH = f"""void (window.stroke = new Promise((done) => {{
  const canvas = {CANVAS}, before = canvas.dataset.sent;
  new MutationObserver((_, watch) => {{
    const {{ sent, answered, shown, released }} = canvas.dataset;
    if (sent === before || answered !== sent) return;
    watch.disconnect();
    done(Number(shown) - Number(released));
  }}).observe(canvas, {{ attributes: true, attributeFilter: ["data-answered"] }});
}}))"""  # observed rather than polled, since polling would slow down the page
PAUSE = {"one at a time": 2.5, "one after another": 0.4}
"""Seconds between a new picture and the next stroke: enough to draw everything else, or those of a fast painter."""


@dataclass(frozen=True)
class Options:
    """Print the median and the 95th percentile of the latency.

    Args:
        generator: Name of a bundled generator.
        num_strokes: Number of timed strokes, at least 1; three untimed ones precede them.
    """

    generator: str = "dcgan-scenes64"
    num_strokes: int = 30


def main(options: Options) -> None:
    """Measure the latency at each pace."""
    if find_browser() is None:
        raise SystemExit("this needs Chromium: apt-get install chromium")
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        serving(device="cpu") as url,
        browsing(f"{url}/?generator={options.generator}", Path(folder)) as page,
    ):
        page.wait(EASEL, 300)
        page.wait("!document.querySelector('[data-testid=stStatusWidget]')", 300)
        first = page.run(EASEL)["shown"]
        print(f"{options.generator}: first picture {first:.0f} ms after the page was requested")
        for pace, pause in PAUSE.items():
            times = [stroke(page, index, pause) for index in range(options.num_strokes + 3)][3:]
            report(pace, times)


def report(pace: str, times: list[float]) -> None:
    """Print the median and the 95th percentile."""
    ordered = sorted(times)
    last = ordered[max(0, -(-95 * len(ordered) // 100) - 1)]
    print(
        f"{pace}: {len(times)} strokes, median {statistics.median(times):.0f} ms, "
        f"95th percentile {last:.0f} ms, largest {ordered[-1]:.0f} ms"
    )


def stroke(page: Page, index: int, pause: float) -> float:
    """Wait, paint a stroke, and return the milliseconds until the new picture."""
    time.sleep(pause)
    easel = page.run(EASEL)
    page.run(WATCH)
    y = easel["y"] + easel["height"] * (0.2 + 0.6 * (index % 7) / 7)
    page.drag(*[(easel["x"] + easel["width"] * (0.2 + 0.1 * step), y) for step in range(5)])
    milliseconds = page.run("window.stroke")
    if index % 10 == 9:  # clear now and then, as a visitor would
        time.sleep(PAUSE["one at a time"])
        shown = page.run(EASEL)["shown"]
        page.run("document.querySelector('.st-key-clear button').click()")
        page.wait(f"{EASEL}.shown > {shown}")
        time.sleep(PAUSE["one at a time"])
    return milliseconds


if __name__ == "__main__":
    main(tyro.cli(Options))
