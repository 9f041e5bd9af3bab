"""A headless Chromium, driven over the DevTools protocol: no driver to install, only the browser itself."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)


def find_browser() -> str | None:
    """Return the path of an installed browser."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """A page of the browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._count = socket, 0

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol and return its result."""
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=60))
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression, after awaiting promises."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait(self, script: str, seconds: float = 60) -> Any:
        """Return the value of an expression as soon as it is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            if time.monotonic() > end:
                raise TimeoutError(f"{script} was not true within {seconds} s")
            time.sleep(0.02)
        return value

    def drag(self, *points: tuple[float, float]) -> None:
        """Press the pointer at the first point, move it over the others and release it."""
        (x, y), *others = points
        self._mouse("mouseMoved", x, y, 0)
        self._mouse("mousePressed", x, y, 1)
        for x, y in others:
            self._mouse("mouseMoved", x, y, 1)
        self._mouse("mouseReleased", x, y, 0)

    def touch(self, *points: tuple[float, float]) -> None:
        """Drag a finger over points."""
        for kind, point in zip(("touchStart", *["touchMove"] * (len(points) - 1)), points, strict=True):
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": point[0], "y": point[1]}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """Set the page's size and theme."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path | str) -> None:
        """Write a screenshot as a PNG."""
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def _mouse(self, kind: str, x: float, y: float, buttons: int) -> None:
        pressed = {"button": "left", "buttons": buttons, "clickCount": 1} if kind != "mouseMoved" or buttons else {}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **pressed)


class Browser:
    """A running browser with isolated pages.

    Args:
        address: Address of the debugging port, ``127.0.0.1:PORT``.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    @contextmanager
    def open(self, url: str) -> Iterator[Page]:
        """Open a page as a new visitor, and close it afterwards."""
        version = json.loads(urllib.request.urlopen(f"http://{self._address}/json/version", timeout=30).read())
        with connect(version["webSocketDebuggerUrl"]) as socket:
            browser = Page(socket)
            visitor = browser.call("Target.createBrowserContext")["browserContextId"]
            target = browser.call("Target.createTarget", url="about:blank", browserContextId=visitor)["targetId"]
            try:
                with connect(f"ws://{self._address}/devtools/page/{target}", max_size=2**28) as page_socket:
                    page = Page(page_socket)
                    page.call("Page.enable")
                    page.resize(1280, 900)
                    page.call("Page.navigate", url=url)
                    yield page
            finally:
                browser.call("Target.disposeBrowserContext", browserContextId=visitor)


@contextmanager
def starting_browser(folder: Path) -> Iterator[Browser]:
    """Start a browser, and close it afterwards.

    Args:
        folder: Folder that the browser may write to.
    """
    command = [find_browser() or "", *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield Browser(f"127.0.0.1:{_read_port(folder / 'DevToolsActivePort', process)}")
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def browsing(url: str, folder: Path) -> Iterator[Page]:
    """Open a page in a new browser, and close both afterwards.

    Args:
        url: Address to open.
        folder: Folder that the browser may write to.
    """
    with starting_browser(folder) as browser, browser.open(url) as page:
        yield page


@contextmanager
def serving(**options: Any) -> Iterator[str]:
    """Serve the explorer as `gandissect explore` does, and yield its address.

    Raises:
        RuntimeError: If the server's output contains a traceback.
    """
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    arguments = ", ".join(f"{key}={value!r}" for key, value in (options | {"port": port, "headless": True}).items())
    code = f"from apps.commands.explore import Options; Options({arguments}).run()"
    server = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + 90
        while not _answers(f"http://localhost:{port}/_stcore/health"):
            if server.poll() is not None or time.monotonic() > end:
                raise TimeoutError("the explorer does not respond")
            time.sleep(0.1)
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        output = server.communicate(timeout=30)[0].decode()
    if "Traceback" in output:
        raise RuntimeError(output)


def _read_port(path: Path, process: subprocess.Popen[bytes]) -> str:
    end = time.monotonic() + 60
    while not (path.is_file() and path.read_text()):
        if process.poll() is not None or time.monotonic() > end:
            raise TimeoutError("the browser does not start")
        time.sleep(0.05)
    return path.read_text().split()[0]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False
