"""The device to compute on, and the versions installed."""

from __future__ import annotations

import json
import shlex
from importlib import metadata
from pathlib import Path

import torch

PACKAGE = "gandissect"


def resolve_device(device: str) -> torch.device:
    """Return the device with a given name.

    Args:
        device: ``auto`` (CUDA, else MPS, else CPU), or the name of a torch device.

    Raises:
        ValueError: If torch does not know the device or it is not available.
    """
    if device == "auto":
        accelerators = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        device = next((name for name, available in accelerators.items() if available), "cpu")
    try:
        if torch.device(device).type == "meta":
            raise RuntimeError("the meta device computes nothing")
        torch.empty(0, dtype=torch.float32, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {device!r} is not available; use 'auto' or 'cpu'") from error
    return torch.device(device)


def installed_versions() -> dict[str, str]:
    """Return the versions of the packages that results depend on, by name."""
    return {name: _version(name) for name in (PACKAGE, "torch")}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def install_command(extra: str) -> str:
    """Return the shell command that installs an extra of this package from the package's own source.

    Args:
        extra: Name of the extra, such as ``"fast"``.
    """
    checkout = Path(__file__).parents[2]
    if (checkout / "pyproject.toml").is_file():
        return f"pip install --editable {shlex.quote(f'{checkout}[{extra}]')}"
    address = _installed_from()
    return f"pip install {shlex.quote(f'{PACKAGE}[{extra}] @ {address}' if address else f'{PACKAGE}[{extra}]')}"


def _installed_from() -> str | None:
    """Return the URL that the package was installed from; None for a package index.

    Source: PEP 610.
    """
    try:
        source = json.loads(metadata.distribution(PACKAGE).read_text("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:
        return None
    version = source.get("vcs_info")
    return f"{version['vcs']}+{source['url']}@{version['commit_id']}" if version else source.get("url")
