"""What checks the shapes of tensors in signatures while the tests run; users do not pay for it.

Types without a shape are mypy's business. A test of what a function says about input of a wrong shape is marked
``wrong_shape``, so that the function itself answers and not its signature.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import threading
from collections.abc import Callable, Hashable, Iterable
from types import FunctionType
from typing import Any, get_args

import jaxtyping
from beartype import BeartypeConf, BeartypeStrategy, beartype
from jaxtyping import AbstractArray, config
from torch import Tensor
from torch.nn import Parameter

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
    if not shaped:
        return target
    return _check_new_shapes(target, options) if isinstance(target, FunctionType) else _check_always(target, **options)


_UNKNOWN = object()
"""What a value counts as that is not simply a tensor or None: it is checked each time."""
_result = threading.local()
"""Its ``value`` is what a function has just returned."""


def _check_new_shapes(function: FunctionType, options: dict[str, Any]) -> Callable[..., Any]:
    """Return a function that is checked whenever its tensors have dtypes and shapes that were not checked before.

    Checks depend on nothing else: binding arguments and comparing shapes, twice a call, would take a seventh of the
    tests' time. What is not simply a tensor or None, such as a list of tensors, is checked each time.
    """
    parameters = inspect.signature(function).parameters.values()
    shaped = {
        name for name, hint in function.__annotations__.items() if not _gives_no_shape(hint, function.__globals__)
    }
    if any(each.kind in {each.VAR_POSITIONAL, each.VAR_KEYWORD} and each.name in shaped for each in parameters):
        return _check_always(function, **options)
    placed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positions = tuple(index for index, each in enumerate(parameters) if each.kind in placed and each.name in shaped)
    names = frozenset(shaped - {"return"})
    has_shaped_result = "return" in shaped
    seen: dict[Hashable, set[Hashable]] = {}

    @functools.cache  # many functions are imported and never called
    def check_all() -> Callable[..., Any]:
        return _check_always(function, **options)

    @functools.cache
    def check_result() -> Callable[..., Any]:
        return _check_always(_returning_result(function), **options)

    @functools.wraps(function)
    def checked(*arguments: Any, **keywords: Any) -> Any:
        if config.jaxtyping_disable:
            return function(*arguments, **keywords)
        count = len(arguments)
        given = [_describe(arguments[index]) for index in positions if index < count]
        given += [(name, _describe(keywords[name])) for name in keywords if name in names] if keywords else []
        key = (count, *given)
        if _UNKNOWN in given or any(type(each) is tuple and each[-1] is _UNKNOWN for each in given):
            return check_all()(*arguments, **keywords)
        results = seen.get(key)
        if results is None:
            result = check_all()(*arguments, **keywords)
            seen.setdefault(key, set()).add(_describe(result))
            return result
        result = function(*arguments, **keywords)
        if has_shaped_result and ((found := _describe(result)) is _UNKNOWN or found not in results):
            _result.value = result
            check_result()(*arguments, **keywords)
            results.add(found)
        return result

    return checked


def _describe(value: Any) -> Hashable:
    """Return all of a value that a check of its shape depends on, or `_UNKNOWN`."""
    if type(value) is Tensor or type(value) is Parameter:
        return value.dtype, value.shape
    return None if value is None else _UNKNOWN


def _returning_result(function: FunctionType) -> FunctionType:
    """Return a function with another one's signature that returns what the other one has just returned."""
    result = _result

    def stand_in(*_arguments: Any, **_keywords: Any) -> Any:
        return result.__dict__.pop("value")

    copied = FunctionType(stand_in.__code__, function.__globals__, closure=stand_in.__closure__)
    return functools.update_wrapper(copied, function)


def _gives_no_shape(hint: Any, names: dict[str, Any]) -> bool:
    """Return whether an annotation certainly gives no shape, nor can be read by jaxtyping later."""
    if isinstance(hint, str):
        try:
            hint = eval(hint, names)
        except Exception:
            return False
    return not gives_shape(hint)


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
