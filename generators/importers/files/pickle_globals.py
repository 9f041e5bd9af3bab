"""The closed table of supported globals, with a replacement for each.

No global is imported: functions of torch and NumPy that rebuild numbers have replacements here that check sizes first.
Any other class or function is inert: it stays a name, and an object that a pickle creates from it becomes an `Instance`
with that name, its arguments and its state. If a class comes with its source code (``torch_utils.persistence``), only
the hash of the code is kept. Functions that run programs, which no checkpoint needs, are refused by name, and so are
tensors in special formats. Torch files nested in a pickle use the same table.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .arrays import SINGLE, are_counts, fill_array, make_array, make_dtype, make_scalar, set_order, to_bytes
from .values import (
    ARGUMENTS,
    MAX_NAME,
    STATE,
    Array,
    Budget,
    DtypeCode,
    GlobalName,
    Instance,
    Storage,
    check_key,
)

PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
NETWORKS = frozenset({"tfutil.Network", "dnnlib.tflib.network.Network"})
PATH = "pathlib.Path"
NAMESPACES = frozenset({"argparse.Namespace", "types.SimpleNamespace"})
"""Classes whose objects are read as dicts of their attributes."""
PERSISTENCE_VERSION = 6

STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}
_DICTS = frozenset({"collections.OrderedDict", "collections.defaultdict", "collections.Counter"})
_EASY_DICTS = frozenset({"dnnlib.util.EasyDict", "dnnlib.EasyDict"})
_MODULES = re.compile(r"torch\.nn\.(modules|parallel)\.\w+\.\w+")
_PATHS = re.compile(r"pathlib\.(_local\.)?(Pure)?(Posix|Windows)?Path")
_TENSORS = re.compile(r"torch\._utils\._rebuild_\w*tensor\w*")
_PROGRAMS = re.compile(
    r"(os|posix|nt|sys|subprocess|_posixsubprocess|pty|shutil|socket|_socket|ctypes|_ctypes|importlib|_frozen_importlib\w*"
    r"|runpy|codeop|pdb|timeit|webbrowser|multiprocessing|asyncio|urllib|pickle|_pickle|cPickle|marshal|zipimport|pip)\..+"
    r"|(commands|urllib2)\.\w+"
    r"|(_?io|codecs|tarfile|zipfile)\.(open|open_code|FileIO|TarFile|ZipFile)"
    r"|builtins\.(eval|exec|execfile|compile|open|file|input|raw_input|__import__|reload|apply|breakpoint|setattr|delattr"
    r"|globals|locals|vars)"
    r"|torch\.(load|hub\..+|jit\..+|package\..+|serialization\..+|ops\..+|classes\..+|utils\.cpp_extension\..+)"
    r"|numpy\.(load|fromfile|memmap|testing\..+|f2py\..+|distutils\..+)"
)
"""Functions and modules that run programs, or open files and connections."""
_VALUES = re.compile(
    r"torch\.(float(16|32|64)|bfloat16|u?int(8|16|32|64)|bool|complex(64|128)|strided)"
    r"|torch\.(cuda\.)?\w+Storage|torch\.storage\.UntypedStorage"
    r"|numpy\.ndarray"
)
_ALIASES = (("__builtin__.", "builtins."), ("numpy._core.", "numpy.core."), ("copy_reg.", "copyreg."))


def find_global(module: Any, attribute: Any) -> GlobalName:
    """Return a global, which is only a name.

    Raises:
        ValueError: If it runs programs, or rebuilds unsupported tensors; the message names it.
    """
    if not isinstance(module, str) or not isinstance(attribute, str):
        raise ValueError("the name of a global in the pickle must be a string")
    if len(module) + len(attribute) > MAX_NAME:
        raise ValueError(f"the name of a global must have at most {MAX_NAME} characters; got {module[:100]!r}...")
    name = f"{module}.{attribute}"
    for old, new in _ALIASES:
        name = new + name.removeprefix(old) if name.startswith(old) else name
    name = PATH if _PATHS.fullmatch(name) else name
    if _is_known(name):
        return GlobalName(name)
    if _TENSORS.fullmatch(name):
        raise ValueError(
            f"{_name(name)}, which is not supported; nothing was executed. "
            "Save plain tensors instead, with .dequantize(), .to_dense() or .float()"
        )
    if _PROGRAMS.fullmatch(name) or re.search(r"(^|\.)__\w+__($|\.)", attribute):
        raise ValueError(
            f"{_name(name)}, which can run code and is not needed in a checkpoint; nothing was executed. "
            "If you trust the file, save only the generator's state_dict()"
        )
    return GlobalName(name)


def _name(name: str) -> str:
    return f"it names the global {name[:200]!r}"


def is_class(name: str) -> bool:
    """Return whether a global is a class whose objects are read as records or dicts."""
    is_known = name in NETWORKS or name in NAMESPACES or name in _EASY_DICTS or name in _DICTS
    return is_known or _MODULES.fullmatch(name) is not None


def construct(name: str, arguments: tuple[Any, ...]) -> Any:
    """Return the replacement for a new object of a class: a dict, or an `Instance` with its name and arguments.

    Raises:
        ValueError: If the global is a function or a value, or a dict is created with arguments.
    """
    if name in _DICTS or name in _EASY_DICTS:
        if arguments:
            raise ValueError(f"a {name} in the pickle must have no arguments; got {len(arguments)}")
        return {}
    if name in CALLS or _VALUES.fullmatch(name):
        raise ValueError(f"the pickle instantiates {name[:200]}, which is not a class")
    return Instance(name, {ARGUMENTS: arguments} if arguments else {})


def call(name: str, arguments: tuple[Any, ...], budget: Budget, load_bytes: Callable[[bytes], Any] | None) -> Any:
    """Return the result of calling a global.

    Args:
        name: Name of the global.
        arguments: Arguments of the call.
        budget: Remaining budget of the file.
        load_bytes: Function that reads a nested torch file; None if no more nesting is allowed.

    Raises:
        ValueError: If it cannot be called with these arguments.
    """
    if name == "torch.storage._load_from_bytes":
        if load_bytes is None or len(arguments) != 1 or not isinstance(arguments[0], bytes):
            raise ValueError("a nested pickle is too deep, or is not bytes")
        budget.spend(len(arguments[0]))
        return load_bytes(arguments[0])
    if name not in CALLS:
        return construct(name, arguments)
    try:
        return CALLS[name](budget, *arguments)
    except (TypeError, AttributeError, IndexError, KeyError, RuntimeError, OverflowError) as error:
        raise ValueError(f"the pickle calls {name} with invalid arguments") from error


def set_state(target: Any, state: Any, budget: Budget) -> None:
    """Set the state of an object, as ``__setstate__`` would.

    Raises:
        ValueError: If an object of this kind cannot have such a state.
    """
    if isinstance(target, Array):
        fill_array(target, state, budget)
    elif isinstance(target, DtypeCode):
        set_order(target, state)
    elif isinstance(target, Instance) and isinstance(state, dict):
        target.state = {**target.state, **state} if target.state else state
    elif isinstance(target, Instance) and not is_class(target.name):
        _set_slots(target, state)
    elif isinstance(target, dict) and isinstance(state, dict):
        pass  # attributes of a dict, such as the metadata of a state_dict
    else:
        raise ValueError(f"the pickle sets the state of a value of type {type(target).__name__}")


def _set_slots(target: Instance, state: Any) -> None:
    """Set a state that is not a dict: attributes in slots, or a value that only the object's class understands."""
    is_pair = isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict)
    if is_pair and isinstance(state[0], dict | None):
        target.state = {**target.state, **(state[0] or {}), **state[1]}
    else:
        target.state = {**target.state, STATE: state}


def make_storage(kind: Any, data: bytes | memoryview, count: Any, budget: Budget) -> Storage:
    """Return a storage from its bytes.

    Args:
        kind: Global of its class.
        data: Bytes of the storage.
        count: Number of values according to the pickle.
        budget: Remaining budget of the file.

    Raises:
        ValueError: If the class is unknown, or the number of bytes does not match.
    """
    dtype = storage_dtype(kind)
    if not isinstance(count, int) or len(data) != count * dtype.itemsize:
        raise ValueError(f"a storage must contain {count} values of {dtype}; got {len(data)} bytes")
    budget.spend(len(data))
    empty = torch.empty(0, dtype=dtype, device="cpu")
    return Storage(torch.frombuffer(bytearray(data), dtype=dtype) if data else empty)


def storage_dtype(kind: Any) -> torch.dtype:
    """Return the dtype of a storage class.

    Raises:
        ValueError: If the class is unknown.
    """
    name = kind.name.rpartition(".")[2] if isinstance(kind, GlobalName) else ""
    if name not in STORAGES:
        raise ValueError(f"the class of a storage must be one of {', '.join(STORAGES)}; got {name or 'another value'}")
    return STORAGES[name]


def _rebuild_tensor(budget: Budget, storage: Any, offset: Any, size: Any, stride: Any, *more: Any) -> Tensor:
    """Return a view of a storage, which costs its number of values even if they overlap."""
    numbers = storage.numbers
    if len(more) > 2 and more[2]:  # {"neg": True}: the values of the storage are negated
        raise ValueError("a tensor is stored as its negative or conjugate; save it after .resolve_neg().resolve_conj()")
    if not (are_counts(size) and are_counts(stride) and are_counts((offset,)) and len(size) == len(stride)):
        raise ValueError("a tensor has an invalid shape, offset or strides")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count and last >= len(numbers):
        raise ValueError(f"a tensor of shape {list(size)} exceeds its storage of {len(numbers)} values")
    budget.spend(count * max(numbers.element_size(), SINGLE))
    view: Tensor = numbers.as_strided(size, stride, offset) if count else numbers.new_empty(size)
    return view


def _make_parameter(_: Budget, data: Any, *__: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise TypeError("a parameter must be a tensor")
    return data


def _make_persistent(budget: Budget, meta: Any) -> Instance:
    """Return the record of an object that comes with its source code, which is not run."""
    kind, version = meta["type"], meta["version"]
    if kind != "class" or version != PERSISTENCE_VERSION:
        shown = version if isinstance(version, int) else "?"
        raise ValueError(f"a persistent object must be a class of version {PERSISTENCE_VERSION}; got {shown}")
    name, state, source = meta["class_name"], meta["state"], meta["module_src"]
    if not isinstance(name, str) or not isinstance(state, dict):
        raise TypeError("a persistent object must have a name and a state")
    if id(source) not in budget.hashes:  # modules share one string, which is kept alive with its hash
        budget.hashes[id(source)] = source, hashlib.sha256(source.encode("utf-8", "replace")).hexdigest()
    return Instance(name, state, budget.hashes[id(source)][1])


def _make_dict(budget: Budget, items: Any = (), *_: Any) -> dict[Any, Any]:
    if isinstance(items, GlobalName | Instance | None):  # the factory of a defaultdict
        return {}
    budget.step(len(items))
    pairs = list(items.items()) if isinstance(items, dict) else list(items)
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
        raise TypeError("the items of a dict must be pairs")
    return {check_key(key): value for key, value in pairs}


def _make_set(budget: Budget, items: Any = ()) -> set[Any]:
    budget.step(len(items))
    return {check_key(item) for item in items}


def _check_size(_: Budget, size: Any) -> Any:
    if not isinstance(size, tuple | list):
        raise TypeError("a size must be a tuple")
    return size


def _make_device(_: Budget, *words: Any) -> str:
    if not all(isinstance(check_key(word), str | int) for word in words[:2]):
        raise TypeError("a device must be a word and a number")
    return ":".join(map(str, words[:2]))


def _make_path(budget: Budget, *parts: Any) -> str:
    """Return a path as a string."""
    if not all(isinstance(check_key(part), str) for part in parts):
        raise TypeError("the parts of a path must be strings")
    budget.step(len(parts))
    budget.spend(sum(map(len, parts)))
    return "/".join(parts).replace("//", "/")


def _encode(budget: Budget, text: Any, encoding: Any) -> bytes:
    """Return bytes that protocols before 3 write as strings."""
    if encoding != "latin1" or not isinstance(text, str):
        raise TypeError("the encoding of bytes must be latin1")
    budget.spend(len(text))
    return text.encode("latin1")


def _make_bytes(budget: Budget, text: Any = b"", encoding: Any = "latin-1") -> bytes:
    """Return the bytes of a bytearray, which protocols before 5 write as a string, and before 3 omit if empty."""
    if encoding not in ("latin1", "latin-1"):
        raise TypeError("the encoding of bytes must be latin1")
    return to_bytes(text, budget)


def _reconstruct(_: Budget, kind: Any, base: Any, state: Any) -> Any:
    """Return an object as in protocols before 2, from a class, its built-in base class, and its value as that."""
    if not isinstance(kind, GlobalName) or not isinstance(base, GlobalName):
        raise TypeError("the class of an object must be a global")
    return construct(kind.name, () if state is None else (state,))


def _make_new(_: Budget, kind: Any, *arguments: Any) -> Any:
    if not isinstance(kind, GlobalName):
        raise TypeError("the class of an object must be a global")
    return construct(kind.name, arguments)


def _rebuild_subclass(budget: Budget, function: Any, _kind: Any, arguments: Any, *_: Any) -> Tensor:
    """Return a tensor with additional attributes, or of a subclass, as a plain tensor."""
    if not isinstance(function, GlobalName) or not function.name.startswith("torch._utils._rebuild_"):
        raise TypeError("a tensor must be rebuilt by a function of torch")
    tensor: Tensor = CALLS[function.name](budget, *arguments)
    return tensor


def _get_attribute(_: Budget, target: Any, name: Any) -> Instance:
    """Return the replacement for an attribute of an inert object, such as an enumeration member or a method."""
    is_inert = isinstance(target, Instance) or (isinstance(target, GlobalName) and not _is_known(target.name))
    if not is_inert or not isinstance(name, str) or len(target.name) + len(name) > MAX_NAME:
        raise ValueError(
            f"{_name('builtins.getattr')}, which is supported only for inert objects; nothing was executed"
        )
    return Instance(f"{target.name}.{name}")


def _is_known(name: str) -> bool:
    return name in CALLS or is_class(name) or _VALUES.fullmatch(name) is not None


CALLS: dict[str, Callable[..., Any]] = {
    PERSISTENT: _make_persistent,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _make_parameter,
    "torch._utils._rebuild_parameter_with_state": _make_parameter,
    "torch._tensor._rebuild_from_type_v2": _rebuild_subclass,
    "torch.storage._load_from_bytes": lambda *_: None,  # handled in `call`
    "torch.Size": _check_size,
    "torch.device": _make_device,
    "torch.serialization._get_layout": lambda _, name: name,
    PATH: _make_path,
    "collections.OrderedDict": _make_dict,
    "collections.defaultdict": _make_dict,
    "collections.Counter": _make_dict,
    "builtins.set": _make_set,
    "builtins.frozenset": _make_set,
    "builtins.bytearray": _make_bytes,
    "builtins.bytes": _make_bytes,
    "builtins.getattr": _get_attribute,
    "copyreg.__newobj__": _make_new,
    "copyreg._reconstructor": _reconstruct,
    "_codecs.encode": _encode,
    "numpy.dtype": make_dtype,
    "numpy.core.multiarray._reconstruct": lambda *_: Array(),
    "numpy.core.multiarray.scalar": make_scalar,
    "numpy.core.numeric._frombuffer": make_array,
}
"""Functions that a pickle may call; their first argument is the budget."""
