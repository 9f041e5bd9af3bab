"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook

# Shapes in signatures are checked here, at run time; users do not pay for that.
SHAPED = [
    "gandissect.inference.upsampling",
    "gandissect.dissection.results",
    "gandissect.core.sampling",
    "generators.architectures.base",
]
install_import_hook(SHAPED, "beartype.beartype")

settings.register_profile("default", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("default")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Two test processes share two cores."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the explorer keeps for the next time is nobody else's."""
    monkeypatch.setenv("GANDISSECT_CACHE", str(tmp_path / "cache"))


def pytest_configure() -> None:
    os.environ.setdefault("MPLBACKEND", "Agg")
