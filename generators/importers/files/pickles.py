"""Read pickles with an interpreter that knows no classes and imports nothing.

A pickle is a program. Python's unpickler lets it call every importable function; this interpreter executes the same
opcodes (parsed by `pickletools`) on plain values, and calls only the functions in the closed table of `pickle_globals`.
Any other call becomes a record of that call.

Source: PEP 307, PEP 3154 and the comments of Python's ``pickletools`` (the opcodes).
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from typing import Any

from torch import Tensor

from .pickle_globals import NAMESPACES, call, construct, find_global, set_state
from .values import (
    ARGUMENTS,
    CALL,
    COLLECTION,
    ITEMS,
    MAX_TEXT,
    Array,
    Budget,
    DtypeCode,
    GlobalName,
    Instance,
    Record,
    Storage,
    check_key,
    describe_key,
)

LoadOutside = Callable[[Any], Any]
LoadBytes = Callable[[bytes], Any]
MARK = object()
MAX_INTEGER = 2**128

PUSHES = frozenset(
    opcode.name
    for opcode in pickletools.opcodes
    if opcode.arg is not None
    and opcode.stack_before == []
    and len(opcode.stack_after) == 1
    and not opcode.name.endswith(("GET", "PERSID", "GLOBAL", "BUFFER"))
    and not opcode.name.startswith("EXT")
)
"""Opcodes that push their argument."""

MAKES: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set,
    "MARK": lambda: MARK,
}
"""Opcodes that push a new object."""


class Machine:
    """Interpreter for one pickle.

    Args:
        stream: Stream at the start of the pickle; afterwards at its end.
        budget: Remaining budget of the file.
        load_outside: Function that returns the object of a persistent id; None if there are none.
        load_bytes: Function that reads a nested torch file; None if there are none.
    """

    def __init__(
        self,
        stream: io.BytesIO,
        budget: Budget,
        load_outside: LoadOutside | None = None,
        load_bytes: LoadBytes | None = None,
    ) -> None:
        self._stream, self._budget = stream, budget
        self._load_outside, self._load_bytes = load_outside, load_bytes
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Run the pickle and return its value.

        Raises:
            ValueError: If it is damaged, uses a refused global, or exceeds the budget.
        """
        for opcode, argument, _ in pickletools.genops(self._stream):
            self._budget.step()
            if opcode.name in PUSHES:
                self._stack.append(_check_argument(argument))
            elif opcode.name in MAKES:
                self._stack.append(MAKES[opcode.name]())
            elif opcode.name == "STOP":
                return self._pop()
            elif opcode.name not in {"PROTO", "FRAME"}:
                self._step(opcode.name, argument)
        raise ValueError("the pickle ends without a STOP opcode")

    def _step(self, name: str, argument: Any) -> None:
        match name:
            case "GET" | "BINGET" | "LONG_BINGET":
                if argument not in self._memo:
                    raise ValueError(f"the pickle refers to value {argument}, which does not exist")
                self._stack.append(self._memo[argument])
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self._top()
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._top()
            case "POP":
                del self._stack[-1:]
            case "POP_MARK":
                self._pop_to_mark()
            case "DUP":
                self._stack.append(self._top())
            case _:
                self._collect(name, argument)

    def _collect(self, name: str, argument: Any) -> None:
        match name:
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = [self._pop() for _ in range(int(name[-1]))]
                self._stack.append(tuple(reversed(items)))
            case "TUPLE":
                self._stack.append(tuple(self._pop_to_mark()))
            case "LIST":
                self._stack.append(self._pop_to_mark())
            case "DICT":
                items = self._pop_to_mark()
                self._stack.append(_extend({}, items))
            case "FROZENSET":
                self._stack.append(_unite(set(), self._pop_to_mark()))
            case "APPEND":
                item = self._pop()
                self._items().append(item)
            case "APPENDS":
                items = self._pop_to_mark()
                self._items().extend(items)
            case "SETITEM":
                value, key = self._pop(), self._pop()
                _extend(self._attributes(), [key, value])
            case "SETITEMS":
                items = self._pop_to_mark()
                _extend(self._attributes(), items)
            case "ADDITEMS":
                items = self._pop_to_mark()
                _unite(self._top_of(set), items)
            case _:
                self._build(name, argument)

    def _build(self, name: str, argument: Any) -> None:
        match name:
            case "GLOBAL":
                module, _, attribute = argument.partition(" ")
                self._stack.append(find_global(module, attribute))
            case "STACK_GLOBAL":
                attribute, module = self._pop(), self._pop()
                self._stack.append(find_global(module, attribute))
            case "REDUCE":
                arguments, function = self._pop(), self._pop()
                self._stack.append(self._call(function, _check_tuple(arguments)))
            case "NEWOBJ":
                arguments, kind = self._pop(), self._pop()
                self._stack.append(construct(_function_name(kind), _check_tuple(arguments)))
            case "NEWOBJ_EX":
                keywords, arguments, kind = self._pop(), self._pop(), self._pop()
                self._stack.append(construct(_function_name(kind), (*_check_tuple(arguments), keywords)))
            case "OBJ":
                kind, *items = self._pop_to_mark() or [None]
                self._stack.append(construct(_function_name(kind), tuple(items)))
            case "INST":
                module, _, attribute = argument.partition(" ")
                kind = find_global(module, attribute)
                self._stack.append(construct(kind.name, tuple(self._pop_to_mark())))
            case "BUILD":
                state = self._pop()
                set_state(self._top(), state, self._budget)
            case "BINPERSID" if self._load_outside is not None:
                self._stack.append(self._load_outside(self._pop()))
            case _:
                raise ValueError(f"the pickle uses the opcode {name}, which is not supported")

    def _call(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        self._budget.step(CALL)
        if isinstance(function, Instance):  # the result of another call, such as a method
            return Instance(function.name, {ARGUMENTS: arguments})
        return call(_function_name(function), arguments, self._budget, self._load_bytes)

    def _pop(self) -> Any:
        value = self._top()
        self._stack.pop()
        return value

    def _top(self) -> Any:
        if not self._stack or self._stack[-1] is MARK:
            raise ValueError("the pickle pops from an empty stack")
        return self._stack[-1]

    def _top_of(self, kind: type) -> Any:
        if type(self._top()) is not kind:
            raise ValueError(f"the pickle adds items to {_describe(self._top())} instead of a {kind.__name__}")
        return self._stack[-1]

    def _attributes(self) -> dict[Any, Any]:
        """Return the dict to which items are added: the top of the stack, or the state of an object that is a dict."""
        target = self._top()
        return target.state if isinstance(target, Instance) else self._top_of(dict)

    def _items(self) -> list[Any]:
        """Return the list to which items are added: the top of the stack, or the items of an object that is a list."""
        target = self._top()
        items = target.state.setdefault(ITEMS, []) if isinstance(target, Instance) else self._top_of(list)
        if not isinstance(items, list):
            raise ValueError(f"the pickle adds items to {_describe(items)}")
        return items

    def _pop_to_mark(self) -> list[Any]:
        """Return the values that were pushed since the last mark."""
        items: list[Any] = []
        while self._stack:
            if (item := self._stack.pop()) is MARK:
                return items[::-1]
            items.append(item)
        raise ValueError("the pickle collects items without a mark")


def to_plain(value: Any, budget: Budget, depth: int = 0) -> Any:
    """Return a value as nested dicts and lists of tensors, numbers, strings and `Record`.

    Args:
        value: Value returned by a `Machine`.
        budget: Remaining budget of the file; shared values count each time.
        depth: Nesting depth of the value.

    Raises:
        ValueError: If it is too large or too deep, or a dict or list contains itself.
    """
    budget.node(depth, COLLECTION if isinstance(value, dict | list | tuple | set | Instance) else 1)
    match value:
        case dict():
            return {_strip_name(key): to_plain(item, budget, depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [to_plain(item, budget, depth + 1) for item in value]
        case set():
            budget.node(depth, len(value))
            return sorted(map(_strip_name, value), key=str)
        case Instance() if value.name in NAMESPACES:
            return to_plain(value.state, budget, depth + 1)
        case Instance():
            return _to_record(value, budget, depth)
        case Array():
            if value.kind:
                return Record("numpy.ndarray", {"dtype": value.kind})
            if value.tensor is None:
                raise ValueError("an array has no values")
            return value.tensor
        case Storage():
            return value.numbers
        case GlobalName():
            return _strip_name(value)
        case DtypeCode():
            return value.order + value.code
        case str() | bytes():
            if isinstance(value, str) and len(value) > MAX_TEXT:
                raise ValueError(f"a string must have at most {MAX_TEXT:,} characters; got {len(value):,}")
            budget.spend(len(value))
            return value
        case None | bool() | int() | float() | Tensor():
            return value
    raise ValueError(f"the pickle contains {_describe(value)}, which is not supported")


def _to_record(value: Instance, budget: Budget, depth: int) -> Record:
    """Return the one record of an object; a reference to it from within itself, such as to a parent, is empty."""
    if id(value) not in budget.records:
        budget.records[id(value)] = Record(value.name, {}, value.source_hash)
        state = to_plain(value.state, budget, depth + 1)
        budget.records[id(value)] = Record(value.name, state, value.source_hash)
    return budget.records[id(value)]


def _strip_name(key: Any) -> Any:
    return describe_key(key) if isinstance(key, GlobalName | Instance | Tensor) else key


def _check_argument(argument: Any) -> Any:
    if isinstance(argument, int) and abs(argument) >= MAX_INTEGER:
        raise ValueError("an integer must have at most 128 bits")
    return bytes(argument) if isinstance(argument, bytearray) else argument


def _extend(target: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise ValueError("the pickle has a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[check_key(key)] = value
    return target


def _unite(target: set[Any], items: list[Any]) -> set[Any]:
    target.update(map(check_key, items))
    return target


def _function_name(function: Any) -> str:
    if not isinstance(function, GlobalName):
        raise ValueError(f"a call in the pickle must be of a global; got {_describe(function)}")
    return function.name


def _check_tuple(arguments: Any) -> tuple[Any, ...]:
    if not isinstance(arguments, tuple):
        raise ValueError(f"the arguments of a call in the pickle must be a tuple; got {_describe(arguments)}")
    return arguments


def _describe(value: Any) -> str:
    return f"a value of type {type(value).__name__}"
