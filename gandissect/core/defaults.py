"""Networks of float32, whatever torch's defaults are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

FACTORIES = frozenset({torch.empty, torch.eye, torch.linspace, torch.ones, torch.rand, torch.randn, torch.zeros})
"""What makes floating-point numbers of torch's default dtype."""


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
    """Make networks of float32 whatever ``torch.set_default_dtype`` says, in this thread; as a decorator, too."""
    with _Float32Factories():
        yield


@contextmanager
def plain_defaults() -> Iterator[None]:
    """Make networks of float32 on the CPU whatever torch's defaults are, in this thread; as a decorator, too."""
    with torch.device("cpu"), float32_factories():
        yield
