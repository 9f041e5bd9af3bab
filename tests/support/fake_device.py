"""A device that has no float64, as Apple's GPUs, played on the CPU.

Tensors on it are of a class of their own, `OnDevice`. Inside `fake_device` every function of torch is watched: what it
makes of tensors on the device, or is told to make there, is on the device, and is no float64; tensors on the device and
others do not go together, as on any device. Only ``cpu()`` and ``to`` lead away from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_iter, tree_map

DEVICE = torch.device("mps")

GETTERS = {Tensor.device.__get__: DEVICE, Tensor.is_cpu.__get__: False, Tensor.is_mps.__get__: True}
MOVES = {Tensor.to, Tensor.cpu}
MIXING = {Tensor.__getitem__, Tensor.__setitem__, Tensor.copy_, Tensor.backward, torch.autograd.grad, Tensor.new_tensor}
"""What takes tensors of several devices: to index by, to copy, or to differentiate."""


class OnDevice(Tensor):
    """A tensor on the device that is played."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # the mode below watches

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return mark(self.detach().clone().as_subclass(Tensor))


def mark(tensor: Tensor) -> Tensor:
    """Return a tensor as one on the device.

    Raises:
        TypeError: If it is of float64.
    """
    if tensor.dtype in (torch.float64, torch.complex128):
        raise TypeError("the device has no float64")
    return tensor if isinstance(tensor, OnDevice) else tensor.as_subclass(OnDevice)


def put_on_device(module: nn.Module) -> None:
    """Move the parameters and buffers of a network to the device."""
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    tensors[name] = mark(tensor.detach().as_subclass(Tensor))  # type: ignore[assignment]


class _FakeDevice(TorchFunctionMode):
    def __torch_function__(
        self, function: Callable[..., Any], _types: Any, arguments: tuple[Any, ...] = (), settings: Any = None
    ) -> Any:
        settings = dict(settings or {})
        given = [value for value in tree_iter((arguments, settings)) if isinstance(value, Tensor)]
        marked = [tensor for tensor in given if isinstance(tensor, OnDevice)]
        if function in GETTERS:
            return GETTERS[function] if marked else function(*arguments, **settings)
        if function in (Tensor.numpy, Tensor.__array__) and marked:
            raise TypeError("can't convert a tensor on the device to numpy; use Tensor.cpu()")
        if function in MOVES:
            return self._move(function, arguments, settings)
        told = settings.get("device")
        to_device = told is not None and torch.device(told).type == DEVICE.type
        if told is not None:
            settings["device"] = "cpu"
        others = [tensor for tensor in given if not isinstance(tensor, OnDevice) and tensor.ndim]
        if marked and others and function not in MIXING:
            raise RuntimeError(f"{function.__name__} was given tensors of two devices")
        if to_device and settings.pop("requires_grad", False):
            return mark(function(*arguments, **settings)).requires_grad_()
        result = function(*arguments, **settings)
        if function is Tensor.__setitem__ or (not marked and not to_device):
            return result
        if told is not None and not to_device:
            return result
        if function is Tensor.copy_ and not isinstance(arguments[0], OnDevice):
            return result
        return tree_map(lambda value: mark(value) if isinstance(value, Tensor) else value, result)

    @staticmethod
    def _move(function: Callable[..., Any], arguments: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        """Do what `to` and its kin do."""
        tensor, *places = arguments
        target = DEVICE if isinstance(tensor, OnDevice) else torch.device("cpu")
        if function is Tensor.cpu:
            target, function = torch.device("cpu"), Tensor.to
            places = ["cpu"]
        for index, place in enumerate(places):
            if isinstance(place, Tensor):
                target = DEVICE if isinstance(place, OnDevice) else torch.device("cpu")
                places[index] = place.as_subclass(Tensor)
            elif isinstance(place, str | torch.device):
                target, places[index] = torch.device(place), "cpu"
        if settings.get("device") is not None:
            target, settings["device"] = torch.device(settings["device"]), "cpu"
        result = function(tensor, *places, **settings)
        if isinstance(tensor, OnDevice):
            mark(result)  # it is converted before it leaves
        if target.type == DEVICE.type:
            return mark(result)
        return result.as_subclass(Tensor) if isinstance(result, OnDevice) else result


@contextmanager
def fake_device() -> Iterator[None]:
    """Play the device."""
    with _FakeDevice():
        yield
