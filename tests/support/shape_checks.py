"""What checks the shapes of tensors in signatures while the tests run; users do not pay for it.

Types without a shape are mypy's business. A test of what a function says about input of a wrong shape is marked
``wrong_shape``, so that the function itself answers and not its signature.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any, get_args

import jaxtyping
from beartype import BeartypeConf, BeartypeStrategy, beartype
from jaxtyping import AbstractArray

_beartype = beartype(conf=BeartypeConf(strategy=BeartypeStrategy.O1, is_pep484_tower=True))
_check_always = jaxtyping.jaxtyped


def install_shape_checks(modules: Iterable[str]) -> None:
    """Check the shapes in the signatures of these modules, which must not be imported yet.

    The import hook decorates every function with ``jaxtyping.jaxtyped``, which binds the arguments of every call. A
    function without a shape in its signature has nothing to check and stays as it is.
    """
    jaxtyping.jaxtyped = _check_if_shaped
    jaxtyping.install_import_hook(sorted(modules), "shape_checks.check_shapes")


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


def _check_if_shaped(target: Any = None, **options: Any) -> Any:
    """Do what ``jaxtyping.jaxtyped`` does, for functions and dataclasses whose annotations give a shape."""
    if target is None:
        return functools.partial(_check_if_shaped, **options)
    if isinstance(target, type) and not dataclasses.is_dataclass(target):
        return target  # jaxtyping checks the fields of dataclasses only
    function = target.__init__ if dataclasses.is_dataclass(target) else target
    annotations = getattr(function, "__annotations__", {}).values()
    shaped = any([_may_give_shape(hint, getattr(function, "__globals__", {})) for hint in annotations])  # reads all
    return _check_always(target, **options) if shaped else target


def _may_give_shape(hint: Any, names: dict[str, Any]) -> bool:
    """Return whether an annotation, as text or not, gives a shape.

    Raises:
        NameError: If names in the annotation of a tensor are missing while the module runs, as those that are imported
            under TYPE_CHECKING are: jaxtyping would silently check nothing.
    """
    if isinstance(hint, str):
        try:
            hint = eval(hint, names)
        except Exception as error:
            if "Tensor," in hint:
                raise NameError(f"{names.get('__name__')}: the shape {hint} cannot be checked") from error
            return False
    return gives_shape(hint)
