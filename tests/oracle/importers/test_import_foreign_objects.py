"""What a training saves beside its tensors is read as inert records, and whole modules as the tensors that they hold."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import functools
import os
import pickle
import resource
import sys
import types
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pickled_files import torch_file
from small_dcgans import SmallDCGAN, Z, small_dcgan, small_images, small_state
from torch import Tensor, nn

import generators
import segmenters
from gandissect.storage.files import load_tensors, read_bytes
from generators.importers import explain, import_checkpoint
from generators.importers.files.checkpoint import read_checkpoint
from generators.importers.files.values import Record

G = small_state(1)


class Mode(enum.Enum):
    TRAIN = "train"
    TEST = 2


class Level(enum.IntFlag):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Options:
    size: int = 64
    names: list[str] = dataclasses.field(default_factory=lambda: ["a"])
    kind: type = float


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    size: int = 64


class Slots:
    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 64


class EasyDict(dict[str, Any]):
    """As in easydict, addict and yacs: a dict whose items are also attributes."""

    def __init__(self, **items: Any) -> None:
        super().__init__(items)
        self.__dict__.update(items)


class Names(list[Any]):
    pass


class Pair(collections.namedtuple("Pair", "a b")):  # with fields, as older code has it
    pass


class Node:
    """As in OmegaConf: a child refers to its parent."""

    def __init__(self, parent: Node | None = None, depth: int = 2) -> None:
        self.parent, self.content = parent, {"size": 64}
        self.children = [Node(self, depth - 1) for _ in range(3)] if depth else []


class Called:
    """Pickled as a call, with keywords and a state."""

    def __reduce_ex__(self, _: Any) -> Any:
        return functools.partial(Called, size=3), (), {"a": 1}, iter([1, 2]), iter([("k", 3)])


def a_function(x: int) -> int:
    return x


def _trained() -> tuple[Any, Any]:
    network = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, a_function)


def _tensor_with_attributes() -> Tensor:
    tensor = torch.ones(2)
    tensor.tag = Mode.TRAIN  # type: ignore[attr-defined]  # as trackers do it
    return tensor


def _itself() -> Node:
    node = Node()
    node.content["node"] = [node]
    return node


OBJECTS: dict[str, Any] = {
    "an enumeration": [Mode.TRAIN, Mode.TEST, Level.LOW | Level.HIGH],
    "a dataclass": Options(),
    "a dataclass with slots": Frozen(),
    "slots": Slots(),
    "a dict of another class": EasyDict(size=64, inner=EasyDict(a=1)),
    "a list of another class": Names([1, 2]),
    "a named tuple": Pair(1, 2),
    "a tree with parents": Node(),
    "an object in itself": _itself(),
    "a call": Called(),
    "a date": [datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC), datetime.timedelta(3), datetime.date(2024, 1, 2)],
    "a deque": collections.deque([1.5, 2], maxlen=4),
    "a frozen set": [frozenset({1, "a"}), {2}, frozenset({(1, 2)})],
    "a counter": [collections.Counter("aab"), collections.defaultdict(list, a=[1]), collections.ChainMap({"a": 1})],
    "a default": [collections.defaultdict(None, a=1), collections.defaultdict(functools.partial(int, 3), a=1)],
    "torch's version": torch.torch_version.TorchVersion("2.1.0"),
    "a partial": functools.partial(a_function, 3, key=[1]),
    "a function": [a_function, torch.nn.functional.relu, torch.relu, len, np.mean],
    "a class": [Options, nn.Linear, int, torch.optim.Adam],
    "a method": Options().__eq__,
    "an optimizer": _trained(),
    "a dict by tensors": {torch.ones(3): 1, torch.zeros(3): 2},
    "a dict by members": {Mode.TRAIN: 1, Mode.TEST: 2, (1, 2): 3, (1, "a"): 4, Options: 5},
    "numpy's texts": [np.str_("text"), np.bytes_(b"x"), np.array(["a", "bc"]), np.array([b"a"])],
    "numpy's others": [np.datetime64("2024-01-02"), np.complex64(1j), np.array([1j]), np.dtype([("a", "f4")])],
    "numpy's empty arrays": [np.array([]), np.zeros((0, 3), np.float32), np.zeros(0, np.int64)],
    "numpy's arrays of objects": [np.array([{}, None], dtype=object), np.array("a", dtype=object)],
    "numpy's long numbers": [np.longdouble(1), np.ones(2, np.longdouble)],
    "numpy's random state": [np.random.RandomState(0), np.random.default_rng(0), np.random.RandomState(0).get_state()],
    "numbers": [1j, decimal.Decimal("1.5"), uuid.UUID(int=3), bytearray(b"abc"), range(3), slice(1, 2), ...],
    "an error": [KeyError("a"), ValueError("b", 3)],
    "a tensor with attributes": [_tensor_with_attributes(), nn.Parameter(torch.ones(2))],
    "torch's own": [torch.device("cpu"), torch.float16, torch.Size([2])],
    "a module": nn.Sequential(nn.Linear(2, 2), nn.Dropout()),
    "a path": Path("a/b"),
}


def _read_without(data: bytes, path: Path) -> Any:
    """The images of a file, read while the module of its classes cannot be imported."""
    path.write_bytes(data)
    module = sys.modules.pop(__name__)
    before = set(sys.modules)
    try:
        explain(path).record()
        list(explain(path).lines())
        images = import_checkpoint(path)(Z)
        assert __name__ not in set(sys.modules) - before
        return images
    finally:
        sys.modules[__name__] = module


@pytest.mark.parametrize("kind", OBJECTS)
def test_an_object_beside_the_tensors_is_an_inert_record(kind: str, tmp_path: Path) -> None:
    wanted = small_images(G)
    for zipped in (True, False):
        for value in (
            {"netG": G, "extra": OBJECTS[kind]},
            {"extra": [{"a": OBJECTS[kind]}], "state_dict": G},
            {**G, "extra": OBJECTS[kind]},
        ):
            images = _read_without(torch_file(value, zipped=zipped), tmp_path / "x.pth")
            torch.testing.assert_close(images, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", [kind for kind in OBJECTS if kind not in {"slots", "a dataclass with slots"}])
def test_objects_are_read_in_every_protocol(kind: str, protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"extra": OBJECTS[kind], "size": 64}, protocol=protocol))
    try:
        tree = read_checkpoint(path).tree
    except ValueError as error:
        assert protocol < 2  # torch writes 2; of tensors, older protocols know other ways
        assert "tensor" in str(error) or "torch" in str(error) or "persistent" in str(error), error
    else:
        assert tree["size"] == 64


def test_a_record_says_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(torch_file({"mode": Mode.TEST, "options": Options(), "easy": EasyDict(size=3), "f": a_function}))
    tree = read_checkpoint(path).tree
    assert isinstance(tree["mode"], Record)
    assert tree["mode"].name.startswith(f"{__name__}.Mode")
    assert tree["options"] == Record(f"{__name__}.Options", {"size": 64, "names": ["a"], "kind": "builtins.float"})
    assert tree["easy"].state == {"size": 3}
    assert tree["f"] == f"{__name__}.a_function"


class Hidden:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.canary}",)


def test_a_program_in_a_foreign_object_is_still_refused(tmp_path: Path) -> None:
    """In a record, in the arguments of a call, as a state, an item or a key."""
    canary = tmp_path / "canary"
    program, options = Hidden(canary), Options()
    options.names = [program]  # type: ignore[list-item]  # on purpose
    for value in (options, EasyDict(a=program), Names([program]), functools.partial(a_function, program), [program]):
        (tmp_path / "x.pth").write_bytes(torch_file({"netG": G, "extra": value}))
        with pytest.raises(ValueError, match=r"names the global '(posix|nt)\.system'.*nothing was executed"):
            import_checkpoint(tmp_path / "x.pth")
    assert not canary.exists()


class Both(nn.Module):
    """A training's module, pickled whole."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.discriminator = small_dcgan(1), nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU())
        self.history = [{"loss": torch.tensor(0.5)}] * 20


def _compiled_by_name(network: nn.Module) -> nn.Module:
    holder = nn.Module()
    holder._orig_mod = network
    return holder


WHOLE: dict[str, Any] = {
    "itself": lambda: small_dcgan(1),
    "in a dict": lambda: {"epoch": 3, "netG": small_dcgan(1), "netD": nn.Sequential(nn.Conv2d(3, 4, 4))},
    "for several devices": lambda: nn.DataParallel(small_dcgan(1)),
    "compiled": lambda: _compiled_by_name(small_dcgan(1)),
    "with its discriminator": Both,
    "in an object": lambda: types.SimpleNamespace(args=Options(), G=small_dcgan(1)),
    "in an object of another class": lambda: EasyDict(args=Options(), G=small_dcgan(1)),
    "with its average": lambda: {"netG": small_dcgan(2), "ema": {"module": small_dcgan(1)}},
    "averaged by torch": lambda: torch.optim.swa_utils.AveragedModel(small_dcgan(1)),
    "with weights by another class": lambda: {"model": small_dcgan(1).double()},
}


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_module_is_read_as_its_tensors(kind: str, zipped: bool, tmp_path: Path) -> None:
    pickled = sys.modules[SmallDCGAN.__module__]
    data = torch_file(WHOLE[kind](), zipped=zipped)
    del sys.modules[SmallDCGAN.__module__]
    try:
        images = _read_without(data, tmp_path / "x.pth")
    finally:
        sys.modules[SmallDCGAN.__module__] = pickled
    torch.testing.assert_close(images, small_images(G), rtol=0, atol=1e-6)


HISTORIES: dict[str, Any] = {
    "dicts of losses": lambda: [{"g": torch.tensor(0.5), "d": torch.tensor(0.3)} for _ in range(20)],
    "dicts of losses by epoch": lambda: {epoch: {"loss.g": torch.tensor(0.5)} for epoch in range(100)},
    "dicts of curves": lambda: [{"g": torch.ones(100), "d": torch.ones(100)} for _ in range(20)],
    "lists of losses": lambda: {"g": [torch.tensor(0.5)] * 30, "steps": [[torch.tensor(1.0)] for _ in range(30)]},
    "of an average": lambda: {"avg_losses": [torch.tensor(0.5)] * 30, "ema": [torch.ones(1)] * 30},
    "400,000 numbers": lambda: [index / 7 for index in range(400_000)],
    "numbers by name": lambda: {f"step_{index}": index / 7 for index in range(10_000)},
    "20,000 tensors": lambda: [{"g": torch.tensor(0.5), "d": torch.tensor(0.3)} for _ in range(10_000)],
}


@pytest.mark.parametrize("kind", HISTORIES)
def test_a_history_beside_it_is_no_network(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(torch_file({"netG": G, "history": HISTORIES[kind]()}))
    torch.testing.assert_close(import_checkpoint(path)(Z), small_images(G), rtol=0, atol=1e-6)


def test_a_file_is_looked_at_before_it_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for start, words in (
        (b"", "it is not a checkpoint"),
        (b"\x89HDF", "it is an HDF5"),
        (b"hello", "it is not a checkpoint"),
    ):
        path.write_bytes(start)
        with path.open("r+b") as file:
            file.truncate(2 * 2**30)
        for take in (import_checkpoint, explain, generators.load):
            with pytest.raises(ValueError, match=words):
                take(path)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 200 * 2**20


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs a kernel's files")
def test_a_link_to_a_kernel_file_is_not_waited_for(tmp_path: Path) -> None:
    """Such a file reports no length, and some, such as the kernel's log, never end."""
    link = tmp_path / "x.pth"
    for target in ("/proc/self/status", "/proc/kmsg"):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        for take in (import_checkpoint, explain, generators.load):
            with pytest.raises(ValueError, match="it is not a checkpoint"):
                take(link)
        for read in (segmenters.load, lambda path: load_tensors(path, "gandissect-segmenter", 1)):
            with pytest.raises(ValueError, match="not a complete safetensors file"):
                read(link)
    assert read_bytes("/proc/self/status") == b""


@pytest.mark.parametrize(
    ("name", "factor", "first"),
    [("main.0.weight", 3e38, "layer1"), ("main.4.running_var", -1, "layer2"), ("main.6.weight", 3e38, "output")],
)
def test_weights_that_make_images_of_no_number_are_refused(
    name: str, factor: float, first: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.pth"
    state = G | {name: G[name].sign() * factor}
    assert state[name].isfinite().all()
    assert small_images(state).isnan().any()
    path.write_bytes(torch_file(state))
    with pytest.raises(
        ValueError, match=f"NaN or infinity for a random latent vector, first in '{first}'.*earlier snapshot"
    ):
        import_checkpoint(path)


def test_our_own_files_need_no_import(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    generators.save(generators.load("dcgan-scenes64", "cpu"), path)
    for take in (import_checkpoint, explain):
        with pytest.raises(ValueError, match=r"mine\.safetensors was written by gandissect and needs no import"):
            take(path)
