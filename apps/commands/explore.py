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
from typing import Annotated

import tyro

from gandissect import Dissection
from gandissect.core import install_command
from gandissect.core.sampling import check_num_samples

PAGE = Path(__file__).parents[1] / "explorer" / "app.py"


@dataclass(frozen=True)
class Options:
    """Open the interactive explorer: inspect a generator's units in the browser, and switch them off.

    Args:
        generator: Generator: a bundled name, a .safetensors file, or a training folder (its best.safetensors if
            present, else generator.safetensors); the page also offers the bundled ones.
        segmenter: Segmenter: a bundled name, "palette", a .safetensors file, or a training folder; by default the
            bundled one for the generator's kind of images.
        dissection: Folder of a saved dissection; it is used only with the networks that it was computed from.
        inputs: Pictures that a translator is put on, one or more of scenes, scenes:COUNT, FOLDER, FOLDER@SPLIT, or
            edges: or labels: and one of these; by default scenes.
        data: Pictures that the generator was trained on, one or more of FOLDER or FOLDER@SPLIT, for the artifacts page;
            generators of scenes need none.
        skip_broken: Skip unusable pictures, with a warning that names them.
        num_samples: Number of images to dissect a layer on when no saved dissection applies.
        port: Port of the page, which only this machine can reach.
        device: Device to compute on: auto, cpu, cuda or mps.
        headless: Do not open a browser.
    """

    generator: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[MODEL]")] = None
    segmenter: str | None = None
    dissection: Path | None = None
    inputs: tuple[str, ...] = ()
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
        """Return the arguments of ``python -m`` that serve the page."""
        flags = {
            "server.address": "localhost",
            "server.port": self.port,
            "server.headless": "true",  # otherwise Streamlit asks for an e-mail address first
            "server.fileWatcherType": "none",  # watching would import all of torch
            "browser.gatherUsageStats": "false",
            "client.toolbarMode": "minimal",
            "runner.magicEnabled": "false",  # otherwise bare strings in the program appear on the page
        }
        options = {
            "generator": self.generator,
            "segmenter": self.segmenter,
            "dissection": self.dissection,
            "num-samples": self.num_samples,
            "device": self.device,
        }
        page = [f"--{name}={value}" for name, value in options.items() if value is not None]
        page += [f"--inputs={spec}" for spec in self.inputs]
        page += [*(f"--data={spec}" for spec in self.data), *(["--skip-broken"] if self.skip_broken else [])]
        return ["streamlit", "run", str(PAGE), *(f"--{key}={value}" for key, value in flags.items()), "--", *page]

    def _warm_up(self) -> None:
        from streamlit.logger import set_log_level

        set_log_level("ERROR")  # Streamlit warns that no visitor has come yet
        from ..explorer.visit import parse_settings
        from ..explorer.warm_up import warm_up

        warm_up(parse_settings())
        set_log_level("INFO")

    def _check(self) -> None:
        """Load the requested networks and dissection, so that mistakes are reported before the page opens."""
        import generators
        import segmenters
        from segmenters.datasets import check_specs

        from ..explorer.visit import choose_inputs
        from ..networks import load_generator, load_segmenter

        if self.num_samples < 1:
            raise ValueError(f"--num-samples must be at least 1; got {self.num_samples}")
        if not 1 <= self.port <= 65535:
            raise ValueError(f"--port must be 1 to 65535; got {self.port}")
        check_specs(self.data)
        check_num_samples(self.num_samples)
        if self.dissection is not None:
            Dissection.load(self.dissection)
        bundled = generators.names()
        if self.generator is None and not bundled:
            raise ValueError("no generator is bundled; name a .safetensors file")
        name = self.generator or bundled[0]
        generator = load_generator(name, self.device, inputs=self.inputs, default_inputs=choose_inputs(name))
        load_segmenter(self.segmenter or segmenters.find_for(generator.name), self.device)


def _check_port(port: int) -> None:
    """Raise ValueError unless a page can be served on a port, at every address that ``localhost`` resolves to."""
    for family, kind, protocol, _, address in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM):
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            try:
                probe.bind(address)
            except OSError as error:
                if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                    reason = "is in use" if error.errno == errno.EADDRINUSE else "needs administrator rights"
                    raise ValueError(f"port {port} {reason}; choose another with --port") from error


def _open_browser(port: int, patience: float = 60.0) -> None:
    """Open the page as soon as the server answers, or give up after `patience` seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("localhost", port)) == 0:
                webbrowser.open(f"http://localhost:{port}")
                return
        time.sleep(0.2)
