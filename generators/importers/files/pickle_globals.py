"""The closed table of globals that are more than names, and what stands in for each.

None of them is imported: a function of torch or NumPy that rebuilds numbers has a stand-in here that checks sizes
first. Any other class or function is inert: it stays a name, and what a pickle makes of it becomes an `Instance` of
that name, its arguments and its state. Of a class whose source text comes with it (``torch_utils.persistence``) only
the hash of that text is kept. Refused by name are the functions that pickles run programs with, which nothing that
belongs to a checkpoint needs, and tensors that are not kept plainly. What is pickled within a pickle by torch goes
through the same table.
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
"""Classes whose objects are read as the dict of their attributes."""
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
    """Return a global, which is a name and nothing more.

    Raises:
        ValueError: If it is one that runs programs, or rebuilds tensors that are not read; the message names it.
    """
    if not isinstance(module, str) or not isinstance(attribute, str):
        raise ValueError("the pickle names a global by something that is no text")
    if len(module) + len(attribute) > MAX_NAME:
        raise ValueError(f"the pickle names a global of more than {MAX_NAME} characters, {(module + '.')[:100]!r}...")
    name = f"{module}.{attribute}"
    for old, new in _ALIASES:
        name = new + name.removeprefix(old) if name.startswith(old) else name
    name = PATH if _PATHS.fullmatch(name) else name
    if _is_known(name):
        return GlobalName(name)
    if _TENSORS.fullmatch(name):
        raise ValueError(
            f"{_name(name)}, which is not read; nothing was executed. "
            "Save plain tensors instead, as .dequantize(), .to_dense() or .float() make them"
        )
    if _PROGRAMS.fullmatch(name) or re.search(r"(^|\.)__\w+__($|\.)", attribute):
        raise ValueError(
            f"{_name(name)}, which checkpoints do not need and programs hide in them; nothing was executed. "
            "If the file is one that you trust, save the generator's state_dict() alone"
        )
    return GlobalName(name)


def _name(name: str) -> str:
    return f"it names the global {name[:200]!r}"


def is_class(name: str) -> bool:
    """Whether a global is a class whose objects are read as records or dicts."""
    is_known = name in NETWORKS or name in NAMESPACES or name in _EASY_DICTS or name in _DICTS
    return is_known or _MODULES.fullmatch(name) is not None


def construct(name: str, arguments: tuple[Any, ...]) -> Any:
    """Return what stands for a new object of a class: a dict, or a record of its name and arguments.

    Raises:
        ValueError: If it is a function or a value of the table, or a dict with arguments.
    """
    if name in _DICTS or name in _EASY_DICTS:
        if arguments:
            raise ValueError(f"the pickle makes a {name} with {len(arguments)} arguments")
        return {}
    if name in CALLS or _VALUES.fullmatch(name):
        raise ValueError(f"the pickle makes a {name[:200]}, which is no class here")
    return Instance(name, {ARGUMENTS: arguments} if arguments else {})


def call(name: str, arguments: tuple[Any, ...], budget: Budget, load_bytes: Callable[[bytes], Any] | None) -> Any:
    """Return what a global of the table makes of arguments.

    Args:
        name: The global.
        arguments: What it is called with.
        budget: What it may cost.
        load_bytes: What reads a nested file of torch.

    Raises:
        ValueError: If it cannot be called so.
    """
    if name == "torch.storage._load_from_bytes":
        if load_bytes is None or len(arguments) != 1 or not isinstance(arguments[0], bytes):
            raise ValueError("a pickle within a pickle lies too deep, or holds no bytes")
        budget.spend(len(arguments[0]))
        return load_bytes(arguments[0])
    if name not in CALLS:
        return construct(name, arguments)
    try:
        return CALLS[name](budget, *arguments)
    except (TypeError, AttributeError, IndexError, KeyError, RuntimeError, OverflowError) as error:
        raise ValueError(f"the pickle calls {name} with what it does not take") from error


def set_state(target: Any, state: Any, budget: Budget) -> None:
    """Give an object its state, as ``__setstate__`` would.

    Raises:
        ValueError: If it is of no kind that has such a state.
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
        pass  # attributes of a dict, such as the versions that torch keeps with a state_dict
    else:
        raise ValueError(f"the pickle sets the state of a value of type {type(target).__name__}")


def _set_slots(target: Instance, state: Any) -> None:
    """Give an object what is no dict: attributes in slots beside it, or a state that only its class understands."""
    is_pair = isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict)
    if is_pair and isinstance(state[0], dict | None):
        target.state = {**target.state, **(state[0] or {}), **state[1]}
    else:
        target.state = {**target.state, STATE: state}


def make_storage(kind: Any, data: bytes | memoryview, count: Any, budget: Budget) -> Storage:
    """Return the numbers of a storage.

    Args:
        kind: The global of its class.
        data: Its bytes.
        count: How many numbers the pickle says that there are.
        budget: What it may cost.

    Raises:
        ValueError: If the class is unknown, or the bytes are not so many numbers.
    """
    dtype = storage_dtype(kind)
    if not isinstance(count, int) or len(data) != count * dtype.itemsize:
        raise ValueError(f"a storage has {len(data)} bytes where {count} numbers of {dtype} are said to be")
    budget.spend(len(data))
    empty = torch.empty(0, dtype=dtype, device="cpu")
    return Storage(torch.frombuffer(bytearray(data), dtype=dtype) if data else empty)


def storage_dtype(kind: Any) -> torch.dtype:
    """Return the dtype of a class of storages.

    Raises:
        ValueError: If it is none.
    """
    name = kind.name.rpartition(".")[2] if isinstance(kind, GlobalName) else ""
    if name not in STORAGES:
        raise ValueError(f"storages of {name or 'that'} kind are not read; allowed are {', '.join(STORAGES)}")
    return STORAGES[name]


def _rebuild_tensor(budget: Budget, storage: Any, offset: Any, size: Any, stride: Any, *more: Any) -> Tensor:
    """Return a view of a storage; one that shows numbers several times costs as many."""
    numbers = storage.numbers
    if len(more) > 2 and more[2]:  # of {"neg": True}: its numbers are those of the storage with the other sign
        raise ValueError("a tensor is kept as its negative or conjugate; save what .resolve_neg().resolve_conj() gives")
    if not (are_counts(size) and are_counts(stride) and are_counts((offset,)) and len(size) == len(stride)):
        raise ValueError("a tensor has a shape that is none")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count and last >= len(numbers):
        raise ValueError(f"a tensor of shape {list(size)} lies outside its storage of {len(numbers)} numbers")
    budget.spend(count * max(numbers.element_size(), SINGLE))
    view: Tensor = numbers.as_strided(size, stride, offset) if count else numbers.new_empty(size)
    return view


def _make_parameter(_: Budget, data: Any, *__: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise TypeError("a parameter is a tensor")
    return data


def _make_persistent(budget: Budget, meta: Any) -> Instance:
    """Return the record of an object that came with its source text, which nobody runs."""
    kind, version = meta["type"], meta["version"]
    if kind != "class" or version != PERSISTENCE_VERSION:
        shown = version if isinstance(version, int) else "?"
        raise ValueError(f"a persistent object is of version {shown}; known are classes of {PERSISTENCE_VERSION}")
    name, state, source = meta["class_name"], meta["state"], meta["module_src"]
    if not isinstance(name, str) or not isinstance(state, dict):
        raise TypeError("a persistent object has a name and a state")
    if id(source) not in budget.hashes:  # each module carries the same text, which stays as long as its hash does
        budget.hashes[id(source)] = source, hashlib.sha256(source.encode("utf-8", "replace")).hexdigest()
    return Instance(name, state, budget.hashes[id(source)][1])


def _make_dict(budget: Budget, items: Any = (), *_: Any) -> dict[Any, Any]:
    if isinstance(items, GlobalName | Instance | None):  # what a defaultdict makes
        return {}
    budget.step(len(items))
    pairs = list(items.items()) if isinstance(items, dict) else list(items)
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
        raise TypeError("a dict is made of pairs")
    return {check_key(key): value for key, value in pairs}


def _make_set(budget: Budget, items: Any = ()) -> set[Any]:
    budget.step(len(items))
    return {check_key(item) for item in items}


def _check_size(_: Budget, size: Any) -> Any:
    if not isinstance(size, tuple | list):
        raise TypeError("a size is a tuple")
    return size


def _make_device(_: Budget, *words: Any) -> str:
    if not all(isinstance(check_key(word), str | int) for word in words[:2]):
        raise TypeError("a device is a word and a number")
    return ":".join(map(str, words[:2]))


def _make_path(budget: Budget, *parts: Any) -> str:
    """Return a path, of settings, as a text."""
    if not all(isinstance(check_key(part), str) for part in parts):
        raise TypeError("a path is made of texts")
    budget.step(len(parts))
    budget.spend(sum(map(len, parts)))
    return "/".join(parts).replace("//", "/")


def _encode(budget: Budget, text: Any, encoding: Any) -> bytes:
    """Return the bytes that protocols before 3 write as text."""
    if encoding != "latin1" or not isinstance(text, str):
        raise TypeError("only latin1 is encoded")
    budget.spend(len(text))
    return text.encode("latin1")


def _make_bytes(budget: Budget, text: Any = b"", encoding: Any = "latin-1") -> bytes:
    """Return the bytes of a bytearray, which protocols before 5 write as text, or none, as protocols before 3 do."""
    if encoding not in ("latin1", "latin-1"):
        raise TypeError("only latin1 is encoded")
    return to_bytes(text, budget)


def _reconstruct(_: Budget, kind: Any, base: Any, state: Any) -> Any:
    """Return an object as protocols before 2 make it: of a class, a built-in class below it, and its value there."""
    if not isinstance(kind, GlobalName) or not isinstance(base, GlobalName):
        raise TypeError("an object has a class")
    return construct(kind.name, () if state is None else (state,))


def _make_new(_: Budget, kind: Any, *arguments: Any) -> Any:
    if not isinstance(kind, GlobalName):
        raise TypeError("an object has a class")
    return construct(kind.name, arguments)


def _rebuild_subclass(budget: Budget, function: Any, _kind: Any, arguments: Any, *_: Any) -> Tensor:
    """Return a tensor that has attributes, or a class, of its own, as a plain one."""
    if not isinstance(function, GlobalName) or not function.name.startswith("torch._utils._rebuild_"):
        raise TypeError("a tensor is rebuilt by torch")
    tensor: Tensor = CALLS[function.name](budget, *arguments)
    return tensor


def _get_attribute(_: Budget, target: Any, name: Any) -> Instance:
    """Return what stands for an attribute of an inert object, as members of enumerations and methods are written."""
    is_inert = isinstance(target, Instance) or (isinstance(target, GlobalName) and not _is_known(target.name))
    if not is_inert or not isinstance(name, str) or len(target.name) + len(name) > MAX_NAME:
        raise ValueError(f"{_name('builtins.getattr')}, which is read for objects that are not; nothing was executed")
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
    "torch.storage._load_from_bytes": lambda *_: None,  # `call` has it
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
"""The functions that a pickle may call; each is given the budget first."""
