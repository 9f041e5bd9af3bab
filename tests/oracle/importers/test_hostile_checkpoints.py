"""Whatever a checkpoint holds, reading it runs nothing, ends soon, takes little memory, and says what is wrong."""

from __future__ import annotations

import io
import os
import pickle
import resource
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from pickled_files import nvlabs_file, tensorflow_file, torch_file
from safetensors.torch import save
from style_files import nvlabs
from torch import Tensor, nn
from worst_files import FILES

from generators.importers import explain, import_checkpoint
from generators.importers.files.checkpoint import Checkpoint, read_checkpoint
from generators.importers.files.values import Record

importing, explaining = (sys.modules[f"generators.importers.{name}"] for name in ("importing", "explain"))
NETWORK = "dnnlib.tflib.network.Network"
NORM = ("weight", "bias", "running_mean", "running_var")
SECONDS = 5
SPARE_BYTES = 500 * 2**20
"""Memory that a file of any size may take, besides seven times its own bytes."""


class Payload:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def _refused(path: Path, data: bytes, words: str = "") -> str:
    """Read a hostile file within its limits, and return the error that it must raise."""
    path.write_bytes(data)
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=words or None) as caught:
        read_checkpoint(path)
    assert time.process_time() - start < SECONDS
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < SPARE_BYTES + 7 * len(data)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def _touch(path: Path) -> str:
    return f"touch {path}"


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("container", ["pickle", "torch", "legacy", "nested"])
def test_no_payload_is_run(container: str, protocol: int, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    payloads = [
        Payload(os.system, _touch(canary)),
        Payload(subprocess.Popen, ["touch", str(canary)]),
        Payload(eval, f"open({str(canary)!r}, 'w')"),
        Payload(exec, f"open({str(canary)!r}, 'w')"),
        Payload(open, str(canary), "w"),
        Payload(getattr, "x", "upper"),
        Payload(pickle.loads, pickle.dumps(Payload(os.system, _touch(canary)))),
        Payload(torch.load, str(canary)),
    ]
    for payload in payloads:
        data = {
            "pickle": lambda payload=payload: pickle.dumps(payload, protocol=protocol),
            "torch": lambda payload=payload: torch_file({"x": payload}),
            "legacy": lambda payload=payload: torch_file({"x": payload}, zipped=False),
            "nested": lambda payload=payload: _nested(torch_file(payload, zipped=False), protocol),
        }[container]()
        _refused(tmp_path / "hostile", data, "names the global '")
        assert not canary.exists()


def _nested(data: bytes, protocol: int = 2) -> bytes:
    """A pickle that asks torch to load bytes."""
    return pickle.dumps(Payload(torch.storage._load_from_bytes, data), protocol=protocol)


def test_a_nested_file_may_be_no_archive_and_not_nested_again(tmp_path: Path) -> None:
    inner = torch_file(torch.ones(2).untyped_storage(), zipped=False)
    assert read_checkpoint(_written(tmp_path, _nested(inner))).tree.numel() == 8
    _refused(tmp_path / "a", _nested(torch_file(torch.ones(2))))
    _refused(tmp_path / "b", _nested(_nested(inner)))
    deep = inner
    for _ in range(4):
        deep = torch_file(Payload(torch.storage._load_from_bytes, deep), zipped=False)
    _refused(tmp_path / "c", _nested(deep), "too deep")


def _written(folder: Path, data: bytes) -> Path:
    (folder / "file").write_bytes(data)
    return folder / "file"


PROGRAMS = {
    # Reduce chains: attributes of what is allowed, functions called on functions, and arguments that are calls.
    "a chain of attributes": b"cbuiltins\ngetattr\n(ccollections\nOrderedDict\nS'__class__'\ntR.",
    "a call of a value": b"\x80\x02K\x01)R.",
    "a call of an array class": b"cnumpy\nndarray\n(K\x08tR.",
    "a call of a dtype": b"ctorch\nfloat32\n)R.",
    "an attribute of a global": b"\x80\x04\x8c\x05torch\x8c\x0b_utils.open_R\x93.",
    "dots in a name": b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.",
    "a global by number": b"\x80\x02\x82\x01.",
    "an instance": b"(S'x'\nios\nsystem\n.",
    "an object": b"(cos\nsystem\nS'x'\no.",
    "a global by a tuple": b"\x80\x04))\x93.",
    # What BUILD could set.
    "a state of a function": b"ctorch._utils\n_rebuild_tensor_v2\n}S'__code__'\nNsb.",
    "slots of a function": b"ctorch._utils\n_rebuild_tensor_v2\n(N}S'__defaults__'\nNstb.",
    "a state of a list": b"]}S'x'\nNsb.",
    "slots of a module": b"ctorch.nn.modules.linear\nLinear\n)\x81(N}S'__class__'\nNstb.",
    "a state of a tensor": b"ctorch\nSize\n()tR}b.",
    # Damage.
    "nothing": b"",
    "no end": b"\x80\x02]",
    "an empty stack": b"\x80\x020.",
    "a mark": b"\x80\x02(.",
    "no mark": b"\x80\x02t.",
    "an unknown reference": b"\x80\x02h\x05.",
    "a key without a value": b"\x80\x02}(K\x01u.",
    "a list for a key": b"\x80\x02}]K\x01s.",
    "items of a number": b"\x80\x02K\x01K\x02a.",
    "no opcode": b"\x80\x02\xff.",
    "no UTF-8": b"\x80\x02X\x02\x00\x00\x00\xff\xff.",
    "a long number": b"\x80\x02\x8b\x00\x10\x00\x00" + b"\x7f" * 4096 + b".",
    "a persistent id": b"\x80\x02K\x01Q.",
    "buffers": b"\x80\x05\x97.",
    # Bombs.
    "lengths beyond the end": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f" + b"x.",
    "a text beyond the end": b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f" + b"x.",
    "marks": b"(" * 500_000 + b".",
    "depth": b"\x80\x02" + b"]" * 1000 + b"a" * 999 + b".",
    "tuples in tuples": b"\x80\x02)" + b"\x85" * 100_000 + b".",
    "laughs": b"\x80\x02]q\x00" + b"".join(b"](" + b"h%c" % n * 10 + b"eq%c" % (n + 1) for n in range(60)) + b".",
    "laughs in keys": b"\x80\x04)\x94" + b"".join(b"h%ch%c\x86\x94" % (n, n) for n in range(100)) + b"}h\x64K\x01s.",
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "a dict in itself": b"\x80\x02}q\x00K\x01h\x00s.",
    "a set of laughs": b"\x80\x04)\x94" + b"".join(b"h%ch%c\x86\x94" % (n, n) for n in range(100)) + b"\x8f(h\x64\x90.",
    "many steps": b"\x80\x02" + b"N0" * 250_000 + b"N.",
    "many dicts": b"\x80\x02(" + b"}" * 500_000 + b"l.",
    "many sets of one list": b"\x80\x02]("
    + b"K\x01" * 20_000
    + b"eq\x00"
    + b"cbuiltins\nset\nh\x00\x85R0" * 10_000
    + b"N.",
}
"""Pickles by hand."""


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_program_gets_out(name: str, tmp_path: Path) -> None:
    _refused(tmp_path / "hostile", PROGRAMS[name])


def test_a_memo_index_takes_no_memory(tmp_path: Path) -> None:
    """Python's unpickler would allocate memory for all smaller indices."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    data = b"\x80\x02Nr" + struct.pack("<I", 2**31) + b"."
    assert read_checkpoint(_written(tmp_path, data)).tree is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16


SHAPES = {
    "a tensor larger than its storage": ((0,), (1000, 1000, 1000), (1000000, 1000, 1)),
    "a tensor of one number repeated": ((0,), (1 << 40,), (0,)),
    "a negative offset": ((-1,), (2,), (1,)),
    "an offset beyond": ((4,), (2,), (1,)),
    "a negative size": ((0,), (-1,), (1,)),
    "a size of a text": ((0,), ("x",), (1,)),
    "strides of another length": ((0,), (2,), (1, 1)),
    "a stride beyond": ((0,), (2,), (1 << 40,)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_tensors_lie_within_their_storage(name: str, tmp_path: Path) -> None:
    (offset,), size, stride = SHAPES[name]
    storage = torch.ones(4).untyped_storage()

    class Tensor:
        def __reduce__(self) -> Any:
            typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
            return torch._utils._rebuild_tensor_v2, (typed, offset, size, stride, False, {})

    for zipped in (True, False):
        _refused(tmp_path / "hostile", torch_file({"x": Tensor()}, zipped=zipped))


def test_storages_have_the_length_that_is_said(tmp_path: Path) -> None:
    """A pickle that claims a storage of 1 << 40 values does not allocate memory for them."""
    said, huge = b"K\x07t", b"\x8a\x06" + (1 << 40).to_bytes(6, "little") + b"t"
    for zipped in (True, False):
        good = torch_file({"x": torch.ones(7)}, zipped=zipped)
        if zipped:
            files = dict(_entries(good))
            name = next(name for name in files if name.endswith("data.pkl"))
            assert files[name].count(said) == 1
            bad = _archive(files | {name: files[name].replace(said, huge)})
        else:
            assert said in good or b"K\x07Nt" in good
            bad = good.replace(b"K\x07Nt", huge.replace(b"t", b"Nt")).replace(said, huge)
        _refused(tmp_path / "hostile", bad, "storage")


def _entries(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(info.filename, archive.read(info)) for info in archive.infolist()]


def _archive(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_archives_are_stored_whole_and_once(tmp_path: Path) -> None:
    zeros = {"a/data.pkl": b"\x80\x02N.", "a/data/0": bytes(10 * 2**20)}
    _refused(tmp_path / "bomb", _archive(zeros, zipfile.ZIP_DEFLATED), "compressed")
    _refused(tmp_path / "bomb", _archive(zeros, zipfile.ZIP_LZMA), "compressed")
    _refused(tmp_path / "other", _archive({"x.txt": b"x"}), "must contain one data.pkl; got 0")
    _refused(tmp_path / "two", _archive({"a/data.pkl": b"N.", "b/data.pkl": b"N."}), "one data.pkl; got 2")
    _refused(tmp_path / "big", _archive({"a/data.pkl": b"N.", "a/byteorder": b"big"}), "big-endian")
    _refused(tmp_path / "many", b"PK\x03\x04" + b"PK\x01\x02" * 60_000, "more than 50000 files")
    overlapping = bytearray(_archive({f"a/{i}": bytes(1000) for i in range(20)}))
    for at in (i for i in range(len(overlapping)) if overlapping[i : i + 4] == b"PK\x01\x02"):
        overlapping[at + 20 : at + 28] = struct.pack("<II", 15_000, 15_000)
    _refused(tmp_path / "overlapping", bytes(overlapping), "exceed its size")


def test_arrays_have_the_bytes_that_their_shape_asks_for(tmp_path: Path) -> None:
    good = pickle.dumps(np.ones((3, 5), np.float32), protocol=3)
    assert read_checkpoint(_written(tmp_path, good)).tree.shape == (3, 5)
    _refused(tmp_path / "a", good.replace(b"K\x03K\x05", b"K\x7fK\x7f"), "got 60 bytes")
    _refused(tmp_path / "b", pickle.dumps(np.array([Payload(os.system, "x")]), protocol=3), "system")
    _refused(tmp_path / "c", pickle.dumps(np.ones(2, np.float32), protocol=3).replace(b"f4", b"x4"), "'x4'")


def test_versions_of_persistence_that_are_not_known_are_refused(tmp_path: Path) -> None:
    tensors = {"mapping.fc0.weight": torch.ones(2, 2)}
    assert read_checkpoint(_written(tmp_path, nvlabs_file(tensors))).kind == "nvlabs pickle"
    _refused(tmp_path / "hostile", nvlabs_file(tensors, version=7), "version 6; got 7")


def test_nothing_of_the_file_is_imported(tmp_path: Path) -> None:
    before = set(sys.modules)
    tree = read_checkpoint(_written(tmp_path, nvlabs_file(nvlabs([3, 2])))).tree
    assert tree["G_ema"].name == "Generator"
    assert len(tree["G_ema"].source_hash) == 64
    assert not {name for name in set(sys.modules) - before if name.startswith(("torch_utils", "dnnlib"))}


def _good_files() -> list[bytes]:
    torch.manual_seed(0)
    parts = [
        nn.ConvTranspose2d(3, 4, 4, 1, 0, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 3, 4, 2, 1),
    ]
    state = {f"main.{name}": value for name, value in nn.Sequential(*parts).state_dict().items()}
    dense = {"4x4/Dense/weight": np.ones((3, 32), np.float32), "4x4/Dense/bias": np.ones(2, np.float32)}
    return [
        torch_file({"g": state, "args": {"size": 8}}),
        torch_file(state, zipped=False),
        nvlabs_file({"synthesis.b4.const": torch.ones(2, 4, 4), "mapping.fc0.weight": torch.ones(3, 3)}),
        tensorflow_file({}, dense),
        save(state),
    ]


GOOD = _good_files()
EDITS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=6), st.integers(0, 12)), max_size=8)


def _mutated(data: bytes, edits: list[tuple[float, bytes, int]], kept: float) -> bytes:
    """Replace some bytes, and truncate the end."""
    for place, new, length in edits:
        at = int(place * len(data))
        data = data[:at] + new + data[at + length :]
    return data[: int(kept * len(data)) + 1]


def _survives(path: Path, data: bytes) -> None:
    """The file is explained and imported, or reported as damaged, within the limits."""
    path.write_bytes(data)
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for take in (explain, import_checkpoint):
        try:
            take(path)
        except ValueError as error:
            assert str(path) in str(error)
            assert len(str(error)) < 2000
    assert time.process_time() - start < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < SPARE_BYTES + 7 * len(data)


MUTATIONS = given(
    data=st.sampled_from(GOOD), edits=EDITS, kept=st.one_of(st.just(1.0), st.floats(0, 1, exclude_max=True))
)
CALM = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=200, derandomize=True, **CALM)
@MUTATIONS
def test_damaged_files_say_so_or_are_read(tmp_path_factory: Any, data: bytes, edits: Any, kept: float) -> None:
    _survives(tmp_path_factory.getbasetemp() / "mutated", _mutated(data, edits, kept))


@pytest.mark.slow
@settings(max_examples=10_000, **CALM)
@MUTATIONS
def test_ten_thousand_damaged_files_say_so_or_are_read(
    tmp_path_factory: Any, data: bytes, edits: Any, kept: float
) -> None:
    _survives(tmp_path_factory.getbasetemp() / "mutated", _mutated(data, edits, kept))


@pytest.mark.parametrize("data", GOOD, ids=["torch", "legacy", "nvlabs", "tensorflow", "safetensors"])
def test_every_truncation_of_a_good_file_is_refused(data: bytes, tmp_path: Path) -> None:
    for length in range(0, len(data) - 1, max(1, len(data) // 40)):
        _refused(tmp_path / "cut", data[:length])


QUICK = (
    "keys of one hash",
    "two equal keys",
    "long globals",
    "facts beside dicts",
    "safetensors",
)


@pytest.mark.parametrize("name", QUICK)
def test_what_was_made_to_take_long_does_not(name: str, tmp_path: Path) -> None:
    _survives(tmp_path / "worst", FILES[name]())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FILES if name not in QUICK])
def test_none_of_the_worst_files_takes_long(name: str, tmp_path: Path) -> None:
    _survives(tmp_path / "worst", FILES[name]())


CROWDS = {
    "networks": ([{"a.b": torch.zeros(2)}] * 1_000, "more than 12 networks"),
    "facts": ({str(index): index for index in range(2_000)} | {"g": {"a": torch.zeros(2)}}, "more than 1,000 values"),
    "wrappers": ({"module." * 60 + "a": torch.zeros(2)}, "has no known layout"),
    "long names": ({"module." * 1_100 + "a": torch.zeros(2)}, "at most 500 characters; got 7701"),
    "tensors": (dict.fromkeys(map(str, range(20_001)), torch.zeros(2)), "more than 20,000 tensors"),
    "stages": ({f"main.{3 * index}.weight": torch.zeros(1, 1, 4, 4) for index in range(300)}, "has no known layout"),
    "an optimizer": (
        {"state": {0: {"step": torch.zeros(()), "exp_avg": torch.zeros(2)}}, "param_groups": []},
        "only optimizers",
    ),
}


@pytest.mark.parametrize(("content", "hint"), CROWDS.values(), ids=CROWDS.keys())
def test_what_would_take_for_ever_is_refused(content: object, hint: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "crowd.pth")
    start = time.process_time()
    with pytest.raises(ValueError, match=hint):
        import_checkpoint(tmp_path / "crowd.pth")
    assert time.process_time() - start < 5


TENSORFLOW = {"name": "G", "static_kwargs": {}, "components": {}, "version": 4}
WRONG_KINDS = {
    "names that cannot be hashed": ("torch.nn.modules.x.X", {"_modules": {}, "_non_persistent_buffers_set": [[1], {}]}),
    "a class that is a number": ("dict", {"class": 1.5, "G": {"a": torch.ones(2)}}),
    "a refusal that is a tensor": ("dict", {"refused": torch.ones(2), "G": {"a": torch.ones(2)}}),
    "a setting that is a tensor": (
        NETWORK,
        {**TENSORFLOW, "variables": [], "static_kwargs": {"use_noise": torch.ones(2)}},
    ),
    "a setting of tensors": (
        NETWORK,
        {**TENSORFLOW, "variables": [], "static_kwargs": {"blur_filter": [torch.ones(2)] * 3}},
    ),
    "a level that is complex": (NETWORK, {**TENSORFLOW, "variables": [["lod", torch.tensor(1 + 2j)]]}),
}
"""Values of kinds that the keys they lie at never have."""


@pytest.mark.parametrize("name", WRONG_KINDS)
def test_values_of_another_kind_are_no_network_and_no_accident(name: str, monkeypatch: Any) -> None:
    kind, state = WRONG_KINDS[name]
    tree = state if kind == "dict" else {"G": Record(kind, state)}
    for module in (importing, explaining):
        monkeypatch.setattr(module, "read_checkpoint", lambda path: Checkpoint(path, "pickle", tree))
    with pytest.raises(ValueError, match="file cannot be imported"):
        import_checkpoint("file")
    try:
        list(explain("file").lines())
    except ValueError as error:
        assert "file cannot be read" in str(error)


def test_no_network_has_numbers_that_are_not_finite(tmp_path: Path) -> None:
    """Each tensor is finite, but the result is not."""
    styles = nvlabs([3, 2], c_dim=3)
    path = _written(tmp_path, torch_file({name: value * 1e38 for name, value in styles.items()}))
    with pytest.raises(ValueError, match="NaN or infinity"):
        import_checkpoint(path, {"c": 1})
    path.write_bytes(torch_file(styles))
    for c in ([float("nan"), 0, 0], [float("inf"), 0, 0], [10**400, 0, 0], [1e300, 0, 0]):
        with pytest.raises(ValueError, match="a list of 3 finite weights"):
            import_checkpoint(path, {"c": c})
    assert import_checkpoint(path, {"c": [0, 0.5, 0.5]}).z_dim == 6


def _huge_stack() -> dict[str, Tensor]:
    norms = {f"main.{3 * i + 1}.{leaf}": torch.ones(1) for i in range(10) for leaf in NORM}
    return norms | {f"main.{3 * i}.weight": torch.ones(1, 1, *[4 if i else 200] * 2) for i in range(11)}


def _huge_resnet() -> dict[str, Tensor]:
    shapes = {"conv2d0": (1, 1, 1, 1), "conv2d1": (1, 1, 3, 3), "conv2d2": (1, 1, 3, 3)}
    state = {"linear0.weight": torch.ones(16, 3), "linear0.bias": torch.ones(16)}
    state |= {"conv2d5.weight": torch.ones(3, 1, 3, 3), "conv2d5.bias": torch.ones(3)}
    state |= {f"bn4.{leaf}": torch.ones(1) for leaf in NORM}
    for i in range(16):
        state |= {f"blocks.{i}.0.bn{norm}.{leaf}": torch.ones(1) for norm in (1, 2) for leaf in NORM}
        state |= {f"blocks.{i}.0.{name}.weight": torch.ones(shape) for name, shape in shapes.items()}
        state |= {f"blocks.{i}.0.{name}.bias": torch.ones(1) for name in shapes}
    return state


@pytest.mark.parametrize("make", [_huge_stack, _huge_resnet])
def test_a_small_file_makes_no_images_that_fill_memory(make: Any, tmp_path: Path) -> None:
    """These would be 200 x 1024 and 4 x 65536 pixels wide, and finding a generator's layers requires running it."""
    path = _written(tmp_path, torch_file(make()))
    with pytest.raises(ValueError, match="4,096 pixels per side; got"):
        import_checkpoint(path)
    assert "4,096 pixels per side" in explain(path).verdict
