"""Files made to take as long, or as much memory, as a reader lets them: up to 16 MiB each."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Iterable

import torch
from pickled_files import torch_file
from style_files import nvlabs

SIZE = 16 * 2**20
STEPS = 790_000
"""A little less than a reader takes of a file of that size."""
PRIME = 2**61 - 1
"""Integers that differ by it have the same hash in Python."""
LONG = 2_600
"""Numbers of z and w, of which weights with one number repeated are as large as they may be."""
START = b"\x80\x04"


def text(value: str) -> bytes:
    """A step that pushes a text."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def whole(value: int) -> bytes:
    """A step that pushes an integer."""
    data = value.to_bytes(17, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def put(index: int) -> bytes:
    """A step that keeps what was pushed last."""
    return b"r" + struct.pack("<I", index)


def get(index: int) -> bytes:
    """A step that pushes what was kept."""
    return b"h%c" % index if index < 256 else b"j" + struct.pack("<I", index)


def many(steps: Iterable[bytes], into: bytes = b"]", end: bytes = b"e") -> bytes:
    """A list, or another collection, of so many things."""
    return into + b"(" + b"".join(steps) + end


def kept(steps: bytes, index: int = 0) -> bytes:
    """Steps that keep what other steps make, and leave nothing."""
    return steps + put(index) + b"0"


def _colliding() -> bytes:
    return START + many((whole(PRIME * index) + b"N" for index in range(STEPS // 2)), b"}", b"u") + b"."


def _colliding_set() -> bytes:
    return START + many((whole(PRIME * index) for index in range(STEPS)), b"\x8f", b"\x90") + b"."


def _colliding_ordered() -> bytes:
    pairs = many(whole(PRIME * index) + b"N\x86" for index in range(STEPS // 4))
    return START + b"ccollections\nOrderedDict\n" + pairs + b"\x85R."


def _one_set_many_times() -> bytes:
    numbers = many((b"M" + struct.pack("<H", index % 2**16) for index in range(2**16)), b"\x8f", b"\x90")
    return START + kept(numbers) + many(get(0) for _ in range(STEPS - 2**16)) + b"."


def _one_text_many_times() -> bytes:
    facts = many((text(f"k{index}") + get(0) for index in range(900)), b"}", b"u")
    network = b"}" + text("w") + _zeros() + b"s"
    return START + kept(text("\x01" * (SIZE - 2**16) + "\U0001f600")) + facts + text("g") + network + b"s."


def _zeros() -> bytes:
    """Steps that make a tensor without a file of torch around it: an array of NumPy."""
    data = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    return data + b"(K\x01K\x02\x85cnumpy\ndtype\nX\x02\x00\x00\x00f4\x89\x88\x87R\x89C\x08" + bytes(8) + b"tb"


def _deep_names() -> bytes:
    leaf = many((text(str(index)) + get(0) for index in range(STEPS // 4)), b"}", b"u")
    return START + kept(_zeros()) + _modules(leaf, "x" * (SIZE // 40), 35) + b"."


def _modules(parameters: bytes, name: str, depth: int) -> bytes:
    """Modules in modules, the innermost with parameters."""
    head = b"ctorch.nn.modules.container\nSequential\n)\x81"
    steps = head + b"}(" + text("_parameters") + parameters + text("_modules") + b"}ub"
    for _ in range(depth):
        steps = head + b"}" + text("_modules") + b"}" + text(name) + steps + b"ssb"
    return steps


def _deep_components() -> bytes:
    pairs = many(text(str(index)) + get(0) + b"\x86" for index in range(STEPS // 4))
    head = b"cdnnlib.tflib.network\nNetwork\n)\x81}"
    steps = head + text("variables") + pairs + b"sb"
    for index in range(45):
        inner = b"}" + text(f"{index}" * (SIZE // 200)) + steps + b"s"
        steps = head + b"(" + text("variables") + b"]" + text("components") + inner + b"ub"
    return START + kept(_zeros()) + steps + b"."


def _same_keys() -> bytes:
    """Two equal texts for all keys: each comparison reads both."""
    half = "x" * (SIZE // 2 - 2**16)
    items = (get(index % 2) + b"N" for index in range(STEPS // 2))
    return START + kept(text(half), 0) + kept(text(half), 1) + many(items, b"}", b"u") + b"."


def _same_pairs() -> bytes:
    half = "x" * (SIZE // 2 - 2**18)
    pairs = b"".join(kept(text(half) + b"N\x86", index) for index in range(2))
    items = many(get(index % 2) for index in range(STEPS // 2 - 10))
    return START + pairs + b"ccollections\nOrderedDict\n" + items + b"\x85R."


def _same_sources() -> bytes:
    half = "x" * (SIZE // 2 - 2**20)
    metas = b""
    for index in range(2):
        items = text("type") + text("class") + text("version") + b"K\x06" + text("class_name") + text("x")
        items += text("state") + b"}" + text("module_src") + text(half)
        metas += kept(b"}(" + items + b"u\x85", index)
    function = kept(b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n", 2)
    calls = (get(2) + get(index % 2) + b"R" for index in range(STEPS // 3 - 10))
    return START + metas + function + many(calls) + b"."


def _called_with_long_texts(function: str, values: int = 1) -> Callable[[], bytes]:
    def make() -> bytes:
        module, _, name = function.rpartition(".")
        long = kept(text("x" * (SIZE - 2**21)), 0) + kept(f"c{module}\n{name}\n".encode(), 1)
        calls = (get(1) + get(0) * values + (b"\x85" if values == 1 else b"\x86") + b"R" for _ in range(STEPS // 5))
        return START + long + many(calls) + b"."

    return make


def _long_globals() -> bytes:
    """A name that ends as the names of storages do."""
    parts = kept(text("torch"), 0) + kept(text("x" * (SIZE - 2**21) + "Storage"), 1)
    return START + parts + many(get(0) + get(1) + b"\x93" for _ in range(STEPS // 3)) + b"."


def _long_kinds() -> bytes:
    return START + kept(b"cnumpy\ndtype\n" + text("x" * (SIZE - 2**21)) + b"\x85R") + many([get(0)] * 200_000) + b"."


def _facts_beside_dicts() -> bytes:
    facts = b"".join(text(f"k{index}") + b"K\x01" for index in range(900))
    return START + b"}(" + facts + text("x") + many([b"}"] * (STEPS - 2_000)) + b"u."


def _facts_beside_optimizers() -> bytes:
    facts = b"".join(text(f"k{index}") + b"K\x01" for index in range(900))
    state = kept(b"}" + text("exp_avg") + _zeros() + b"s")
    return START + state + b"}(" + facts + text("x") + many(get(0) for _ in range(STEPS // 3)) + b"u."


def _one_network_many_times() -> bytes:
    network = many((text(f"layer{index}.weight") + get(1) for index in range(12_000)), b"}", b"u")
    return START + kept(_zeros(), 1) + kept(network) + many(get(0) for _ in range(30)) + b"."


def _long_names() -> bytes:
    """Names that patterns have to read to their end."""
    items = (text(f"synthesis.layer{index}.{'1' * 800}") + get(0) for index in range(19_000))
    return START + kept(_zeros()) + many(items, b"}", b"u") + b"."


def _long_numbers() -> bytes:
    return START + many(b"L" + b"9" * 4000 + b"L\n" for _ in range(SIZE // 4100)) + b"."


def _long_number() -> bytes:
    return START + b"\x8b" + struct.pack("<I", SIZE - 100) + b"\x7f" * (SIZE - 100) + b"."


def _long_floats() -> bytes:
    return START + b"F" + b"9" * (SIZE - 100) + b"e-1000\n."


def _many_floats() -> bytes:
    return START + many([b"F" + b"1." + b"7" * 760 + b"e-300\n"] * (SIZE // 800)) + b"."


def _many_views(zipped: bool) -> bytes:
    """A tensor of torch, and as many views of it as there are steps for."""
    base = torch.zeros(4)
    return torch_file([base[index % 4 :][:0] for index in range(90_000)], zipped=zipped)


def _many_storages() -> bytes:
    return torch_file([torch.zeros(1) for _ in range(36_000)])


def _many_entries(name_length: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02N.")
        for index in range(min(49_000, SIZE // (100 + 2 * name_length))):
            archive.writestr(f"a/data/{index:0{name_length}}", b"")
    return buffer.getvalue()


def _safetensors() -> bytes:
    header = b",".join(b'"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % index for index in range(SIZE // 60))
    return struct.pack("<Q", len(header) + 2) + b"{" + header + b"}"


def _nested_files() -> bytes:
    """A pickle that asks for the same file of torch again and again."""
    inner = torch_file(torch.zeros(2).untyped_storage(), zipped=False)
    file = kept(b"B" + struct.pack("<I", len(inner)) + inner + b"\x85", 0)
    function = kept(b"ctorch.storage\n_load_from_bytes\n", 1)
    return START + file + function + many([get(1) + get(0) + b"R"] * 100_000) + bytes(0) + b"."


def _lists_of_lists() -> bytes:
    """A tree as wide as is read, eight levels deep."""
    levels = b"".join(kept(many([get(index)] * 5), index + 1) for index in range(7))
    return START + kept(b"]") + levels + get(7) + b"."


def _large_dicts() -> bytes:
    return START + many([b"}K\x01Ns"] * (STEPS // 4)) + b"."


def _large_sets() -> bytes:
    return START + many([b"\x8f"] * STEPS) + b"."


def _memo() -> bytes:
    return START + b"N" + b"".join(put(2**32 - 1 - index) for index in range(STEPS)) + b"."


def _wide_text() -> bytes:
    """A text of which each letter takes four bytes, and its repr more."""
    return START + b"]" + text("\x01" * (SIZE - 100) + "\U0001f600") + b"a."


def _wide_source() -> bytes:
    return START + text("x" * (SIZE - 100) + "\U0001f600") + b"."


def _facts_within() -> bytes:
    facts = b"".join(text(f"k{index}") + b"K\x01" for index in range(900))
    return START + b"}(" + facts + text("x") + many([b"}K\x01Ns"] * 10_900) + b"u."


def _names_within(start: str) -> bytes:
    """As many tensors as are read, with names as long as are read."""
    items = (text(f"{start}{index}.".ljust(480, "1")) + get(0) for index in range(19_900))
    return START + kept(_zeros()) + many(items, b"}", b"u") + b"."


def _texts_within() -> bytes:
    """Long texts, as often as they are read."""
    padding = text("x" * (SIZE - 2**21)) + b"0"
    items = (text(f"k{index}") + get(0) for index in range(60))
    network = text("g") + b"}" + text("w") + _zeros() + b"s"
    return START + padding + kept(text("\x01" * (2**20 - 1) + "\U0001f600")) + many(items, b"}", b"u") + network + b"s."


def _storages_within() -> bytes:
    return torch_file([torch.zeros(1) for _ in range(9_900)])


def _networks_within(state: Callable[[], dict[str, torch.Tensor]]) -> Callable[[], bytes]:
    """Networks as large as are made, as many as are read."""

    def make() -> bytes:
        tensors = state()
        return torch_file([tensors] * 12)

    return make


def _stylegan2() -> dict[str, torch.Tensor]:
    return {name: value for name, value in nvlabs([1] * 9, depth=64).items() if "noise" not in name}


def _dcgan() -> dict[str, torch.Tensor]:
    norms = {
        "weight": torch.ones(8),
        "bias": torch.ones(8),
        "running_mean": torch.ones(8),
        "running_var": torch.ones(8),
    }
    state = {f"main.{3 * index}.weight": torch.ones(8, 8 if index < 10 else 3, 6, 6) for index in range(11)}
    return state | {f"main.{3 * index + 1}.{name}": value for index in range(10) for name, value in norms.items()}


def _large_mapping() -> dict[str, torch.Tensor]:
    """A mapping network whose mean is to be found, of the longest vectors that are read."""
    state = {f"mapping.fc{index}.weight": torch.zeros(1).expand(LONG, LONG) for index in range(1)}
    state |= {"mapping.fc0.bias": torch.zeros(LONG)}
    rest = nvlabs([1, 1], w_dim=1)
    wide = {
        name: torch.zeros(1).expand(len(value), LONG) for name, value in rest.items() if name.endswith("affine.weight")
    }
    return {
        name: value for name, value in (rest | wide | state).items() if name != "mapping.w_avg" and "fc1" not in name
    }


def _padded(make: Callable[[], dict[str, torch.Tensor]]) -> Callable[[], bytes]:
    """A network beside zeros that make the file as large as it may be here."""
    return lambda: torch_file({"g_ema": make(), "zeros": torch.zeros(SIZE // 4 - 2**16)})


def filled(make: Callable[[], bytes]) -> Callable[[], bytes]:
    """A pickle that is as large as it may be here, as a reader takes more steps of a larger file."""

    def fill() -> bytes:
        data = make()
        rest = SIZE - len(data)
        return (
            data
            if rest <= 0 or not data.startswith(START)
            else START + b"B" + struct.pack("<I", rest) + bytes(rest) + b"0" + data[2:]
        )

    return fill


KINDS: dict[str, Callable[[], bytes]] = {
    "keys of one hash": _colliding,
    "a set of one hash": _colliding_set,
    "pairs of one hash": _colliding_ordered,
    "one set many times": _one_set_many_times,
    "one text many times": _one_text_many_times,
    "names that grow": _deep_names,
    "components that grow": _deep_components,
    "two equal keys": _same_keys,
    "two equal pairs": _same_pairs,
    "two equal sources": _same_sources,
    "devices of long texts": _called_with_long_texts("torch.device", 2),
    "dtypes of long texts": _called_with_long_texts("numpy.dtype"),
    "sets of long texts": _called_with_long_texts("builtins.set"),
    "dicts of long texts": _called_with_long_texts("collections.OrderedDict"),
    "long globals": _long_globals,
    "long dtypes": _long_kinds,
    "facts beside dicts": _facts_beside_dicts,
    "facts beside optimizers": _facts_beside_optimizers,
    "one network many times": _one_network_many_times,
    "long names": _long_names,
    "long numbers": _long_numbers,
    "a long number": _long_number,
    "a long float": _long_floats,
    "many floats": _many_floats,
    "views": lambda: _many_views(True),
    "views before 1.6": lambda: _many_views(False),
    "storages": _many_storages,
    "entries": lambda: _many_entries(6),
    "long entries": lambda: _many_entries(8_000),
    "safetensors": _safetensors,
    "nested files": _nested_files,
    "lists of lists": _lists_of_lists,
    "dicts": _large_dicts,
    "sets": _large_sets,
    "memo": _memo,
    "facts within": _facts_within,
    "names within": lambda: _names_within("synthesis.layer"),
    "other names within": lambda: _names_within("blocks."),
    "texts within": _texts_within,
    "storages within": _storages_within,
    "networks of 1024 pixels": _networks_within(_stylegan2),
    "networks of 11 stages": _networks_within(_dcgan),
    "a large mapping": _padded(_large_mapping),
    "a wide text": _wide_text,
    "a wide text alone": _wide_source,
}

FILES = {name: filled(make) for name, make in KINDS.items()}
