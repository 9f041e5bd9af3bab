"""What checks the shapes of tensors in signatures while the tests run; users do not pay for it.

Types without a shape are mypy's business. A test of what a function says about input of a wrong shape is marked
``wrong_shape``, so that the function itself answers and not its signature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from beartype import BeartypeConf, BeartypeStrategy, beartype
from jaxtyping import AbstractArray

_beartype = beartype(conf=BeartypeConf(strategy=BeartypeStrategy.O1))


def check_shapes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that checks those of its annotations that give a tensor's shape."""
    annotations = function.__annotations__
    function.__annotations__ = {name: hint for name, hint in annotations.items() if gives_shape(hint)}
    return _beartype(function)


def gives_shape(hint: Any) -> bool:
    """Return whether a type hint is, or holds, a tensor type of jaxtyping."""
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(map(gives_shape, get_args(hint)))
