"""``gandissect explore``."""

from __future__ import annotations

import errno
import importlib.util
import os
import runpy
import socket
import sys
import threading
import time
import webbrowser
from dataclasses import dataclass
from pathlib import Path

import tyro

from gandissect import Dissection
from gandissect.core import install_command
from gandissect.core.sampling import check_num_samples

PAGE = Path(__file__).parents[1] / "explorer" / "app.py"


@dataclass(frozen=True)
class Options:
    """Open the explorer: a page on which one sees a generator's units and switches them off.

    Args:
        generator: A bundled name, the path of a .safetensors file, or the folder of a training (best.safetensors in it
            if it is there, else generator.safetensors); the page offers the bundled ones besides.
        segmenter: A bundled name, "palette", the path of a .safetensors file, or the folder of a training; by default
            one made for the generator.
        dissection: Folder of a saved dissection, used where it is of the same networks.
        data: The pictures that the generator learned from, each FOLDER or FOLDER@SPLIT, which the page of artifacts
            compares with; the generators of scenes need none.
        skip_broken: Leave out the pictures of a folder that cannot be used, with a warning that names them.
        num_samples: Pictures that a layer is dissected with when no saved dissection serves.
        port: Where the page is served, on this machine only.
        device: auto, cpu, cuda or mps.
        headless: Open no browser.
    """

    generator: tyro.conf.Positional[str | None] = None
    segmenter: str | None = None
    dissection: Path | None = None
    data: tuple[str, ...] = ()
    skip_broken: bool = False
    num_samples: int = 300
    port: int = 8501
    device: str = "auto"
    headless: bool = False

    def run(self) -> None:
        """Serve the page until stopped.

        Raises:
            ValueError: If Streamlit is missing, or an option is out of range.
            KeyError: If a name is unknown.
            FileNotFoundError: If a file is missing.
        """
        if importlib.util.find_spec("streamlit") is None:
            raise ValueError(f"the explorer needs Streamlit; run: {install_command('app')}")
        self._check()
        _check_port(self.port)
        if not self.headless:
            threading.Thread(target=_open_browser, args=(self.port,), daemon=True).start()
        sys.argv = self.arguments()
        self._warm_up()
        runpy.run_module("streamlit", run_name="__main__", alter_sys=True)  # python -m streamlit, in this process

    def arguments(self) -> list[str]:
        """Return what follows ``python -m`` on the command line that serves the page."""
        flags = {
            "server.address": "localhost",
            "server.port": self.port,
            "server.headless": "true",  # else Streamlit asks for an e-mail address before it serves anything
            "server.fileWatcherType": "none",  # it would import all of torch to watch it
            "browser.gatherUsageStats": "false",
            "client.toolbarMode": "minimal",
            "runner.magicEnabled": "false",  # else texts in the page's program are shown on the page
        }
        options = {
            "generator": self.generator,
            "segmenter": self.segmenter,
            "dissection": self.dissection,
            "num-samples": self.num_samples,
            "device": self.device,
        }
        page = [f"--{name}={value}" for name, value in options.items() if value is not None]
        page += [*(f"--data={spec}" for spec in self.data), *(["--skip-broken"] if self.skip_broken else [])]
        return ["streamlit", "run", str(PAGE), *(f"--{key}={value}" for key, value in flags.items()), "--", *page]

    def _warm_up(self) -> None:
        from streamlit.logger import set_log_level

        set_log_level("ERROR")  # it warns that there is no visitor yet
        from ..explorer.visit import parse_settings
        from ..explorer.warm_up import warm_up

        warm_up(parse_settings())
        set_log_level("INFO")  # as it was

    def _check(self) -> None:
        """Load what was asked for: mistakes show here."""
        import generators
        import segmenters
        from segmenters.datasets import check_specs

        from ..networks import load_generator, load_segmenter

        if self.num_samples < 1 or not 1 <= self.port <= 65535:
            raise ValueError(f"num_samples is 1 or more, port 1 to 65535; got {self.num_samples}, {self.port}")
        check_specs(self.data)
        check_num_samples(self.num_samples)
        if self.dissection is not None:
            Dissection.load(self.dissection)
        bundled = generators.names()
        if self.generator is None and not bundled:
            raise ValueError("no generator is bundled here; name a file of one")
        generator = load_generator(self.generator or bundled[0], self.device)
        load_segmenter(self.segmenter or segmenters.find_for(generator.name), self.device)


def _check_port(port: int) -> None:
    """Raise ValueError unless a page can be served there, at every address that ``localhost`` stands for."""
    for family, kind, protocol, _, address in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM):
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            try:
                probe.bind(address)
            except OSError as error:
                if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                    reason = "is in use" if error.errno == errno.EADDRINUSE else "needs the rights of an administrator"
                    raise ValueError(f"port {port} {reason}; name another one with --port") from error


def _open_browser(port: int, patience: float = 60.0) -> None:
    """Open the page as soon as the server answers, or give up after so many seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("localhost", port)) == 0:
                webbrowser.open(f"http://localhost:{port}")
                return
        time.sleep(0.2)
