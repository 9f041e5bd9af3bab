"""Build float32 networks regardless of torch's defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

FACTORIES = frozenset({torch.empty, torch.eye, torch.linspace, torch.ones, torch.rand, torch.randn, torch.zeros})
"""Functions that create floating-point tensors in torch's default dtype."""


class _Float32Factories(TorchFunctionMode):
    def __torch_function__(
        self, function: Callable[..., Any], _types: Any, arguments: tuple[Any, ...] = (), settings: Any = None
    ) -> Any:
        settings = settings or {}
        if function in FACTORIES and settings.get("dtype") is None:
            settings = settings | {"dtype": torch.float32}
        return function(*arguments, **settings)


@contextmanager
def float32_factories() -> Iterator[None]:
    """Build float32 networks in this thread, whatever ``torch.set_default_dtype`` is set to; also a decorator."""
    with _Float32Factories():
        yield


@contextmanager
def plain_defaults() -> Iterator[None]:
    """Build float32 networks on the CPU in this thread, whatever torch's defaults are; also a decorator."""
    with torch.device("cpu"), float32_factories():
        yield
