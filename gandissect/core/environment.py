"""Where to compute."""

from __future__ import annotations

from importlib import metadata

import torch


def resolve_device(device: str) -> torch.device:
    """Return the device that a name stands for.

    Args:
        device: ``auto`` (CUDA, else MPS, else CPU), or a name that torch knows.

    Raises:
        ValueError: If torch does not know it or it is not there.
    """
    if device == "auto":
        accelerators = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        device = next((name for name, available in accelerators.items() if available), "cpu")
    try:
        if torch.device(device).type == "meta":
            raise RuntimeError("it computes nothing")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {device!r} cannot be used here; give 'auto' or 'cpu'") from error
    return torch.device(device)


def installed_versions() -> dict[str, str]:
    """Return the versions of what results depend on, by package."""
    return {name: _version(name) for name in ("gandissect", "torch")}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
