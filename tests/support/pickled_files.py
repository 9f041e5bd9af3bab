"""Small files in the containers that GANs are found in, written with classes that are made up while they are written."""

from __future__ import annotations

import io
import pickle
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SOURCE = "raise SystemExit('the source text of a checkpoint was run')"


def torch_file(value: Any, *, zipped: bool = True) -> bytes:
    """What `torch.save` writes, in the container of today or in that of before 1.6."""
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def nvlabs_file(
    tensors: Mapping[str, Tensor], init_kwargs: Mapping[str, Any] | None = None, protocol: int = 3, version: int = 6
) -> bytes:
    """A pickle as stylegan2-ada-pytorch and stylegan3 write it: G, D, G_ema of persistent classes."""
    with _fakes() as fakes:
        G = _module(fakes, tensors, dict(init_kwargs or {}), version)
        ema = _module(fakes, tensors, dict(init_kwargs or {}), version)
        D = _module(fakes, {"b4.conv.weight": torch.ones(2, 3), "b4.fc.weight": torch.ones(2)}, {}, version)
        options = fakes["EasyDict"](class_name="training.dataset.ImageFolderDataset", resolution=16)
        value = {"training_set_kwargs": options, "G": G, "D": D, "G_ema": ema, "augment_pipe": None}
        return pickle.dumps(value, protocol=protocol)


def tensorflow_file(
    components: Mapping[str, Mapping[str, np.ndarray]],
    own: Mapping[str, np.ndarray],
    static_kwargs: Mapping[str, Any] | None = None,
    protocol: int = 4,
) -> bytes:
    """A pickle (G, D, Gs) of TensorFlow networks; ``own`` are the variables of Gs, ``components`` those within it."""
    with _fakes() as fakes:
        parts = {name: _network(fakes, name, variables) for name, variables in components.items()}
        wrong = {name: value + 1 for name, value in own.items()}
        D = _network(fakes, "D", {"4x4/Conv/weight": np.zeros((3, 3, 2, 2), np.float32)})
        networks = (_network(fakes, "G", wrong, parts), D, _network(fakes, "Gs", own, parts, static_kwargs or {}))
        return pickle.dumps(networks, protocol=protocol)


def _network(
    fakes: Mapping[str, Any], name: str, variables: Any, components: Any = None, static_kwargs: Any = None
) -> Any:
    network = fakes["Network"]()
    network.__dict__ |= {
        "version": 4,
        "name": name,
        "static_kwargs": dict(static_kwargs or {}),
        "components": dict(components or {}),
        "build_module_src": SOURCE,
        "build_func_name": "G_main",
        "variables": list(variables.items()),
    }
    return network


def _module(fakes: Mapping[str, Any], tensors: Mapping[str, Tensor], kwargs: dict[str, Any], version: int) -> Any:
    """A tree of persistent objects whose tensors have these dotted names."""
    children: dict[str, dict[str, Tensor]] = {}
    own: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        head, _, rest = name.partition(".")
        if rest:
            children.setdefault(head, {})[rest] = tensor
        else:
            own[head] = tensor
    state = {
        "training": False,
        "_parameters": {
            name: nn.Parameter(value, requires_grad=False) for name, value in own.items() if name in {"weight", "bias"}
        },
        "_buffers": {name: value for name, value in own.items() if name not in {"weight", "bias"}} | {"empty": None},
        "_non_persistent_buffers_set": set(),
        "_modules": {name: _module(fakes, inner, {}, version) for name, inner in children.items()},
        "_init_args": (),
        "_init_kwargs": kwargs,
        "weight_gain": np.float64(0.5),
    }
    return fakes["Persistent"](state, version)


@contextmanager
def _fakes() -> Iterator[dict[str, Any]]:
    """Make up the classes that the files name, for as long as they are written."""

    def _reconstruct_persistent_obj(meta: Any) -> None:
        raise AssertionError("a class of a checkpoint was made")

    class EasyDict(dict):
        pass

    class Network:
        pass

    class Persistent:
        def __init__(self, state: Any, version: int) -> None:
            self.meta = {"type": "class", "version": version, "module_src": SOURCE, "class_name": "Generator"}
            self.meta["state"] = state

        def __reduce__(self) -> Any:
            return _reconstruct_persistent_obj, (self.meta,)

    places = {
        "torch_utils.persistence": _reconstruct_persistent_obj,
        "dnnlib.util": EasyDict,
        "dnnlib.tflib.network": Network,
    }
    names = {name.rsplit(".", depth)[0] for name in places for depth in range(3)}
    kept = {name: sys.modules.get(name) for name in names}
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    for name, thing in places.items():
        thing.__module__, thing.__qualname__ = name, thing.__name__
        setattr(sys.modules[name], thing.__name__, thing)
    try:
        yield {"EasyDict": EasyDict, "Network": Network, "Persistent": Persistent}
    finally:
        for name, module in kept.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module
