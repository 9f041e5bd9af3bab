"""What all tests share."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from jaxtyping import config as jaxtyping_config
from shape_checks import install_shape_checks

ROOT = Path(__file__).parents[1]
COMPILED = {"gandissect.dissection.counting.numba_counts"}
"""Numba compiles functions of these modules, which must be plain."""
install_shape_checks(
    {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in ("gandissect", "generators", "segmenters", "apps")
        for path in (ROOT / package).rglob("[a-z]*.py")
    }
    - COMPILED
)

settings.register_profile("default", deadline=None, max_examples=25, derandomize=True)
settings.register_profile("slow", deadline=None, max_examples=100, derandomize=True)


@pytest.fixture(autouse=True)
def _shapes_are_checked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Signatures are checked, except in tests of what a function itself says about a wrong shape."""
    jaxtyping_config.update("jaxtyping_disable", request.node.get_closest_marker("wrong_shape") is not None)
    yield
    jaxtyping_config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Two test processes share two cores."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_cache(request: pytest.FixtureRequest, caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the explorer keeps for the next time is nobody else's; most tests never make the folder."""
    monkeypatch.setenv("GANDISSECT_CACHE", str(caches / f"{abs(hash(request.node.nodeid))}"))


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("caches")


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("MPLBACKEND", "Agg")
    settings.load_profile("default" if config.option.markexpr == "not slow" else "slow")


def pytest_collection_finish() -> None:
    """Exempt what was imported and collected from garbage collection, which would scan it hundreds of times."""
    gc.collect()
    gc.freeze()
