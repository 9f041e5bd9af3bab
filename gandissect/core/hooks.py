"""Read or change the outputs of a network's modules. No other file registers a torch hook.

One hook serves all modules of the process and is registered only while a block is open. For each module that runs, it
looks up the open blocks that tap it. Nothing is registered on a network itself, so threads that share a network do not
affect each other.

**Where a block is in effect.** A block belongs to the function that opened it, even if that function used a helper
(`contextlib.contextmanager`, `contextlib.ExitStack`, a pytest fixture). A block opened by an ordinary function or a
coroutine is in effect in its own context (thread, task) until it ends, in whatever order blocks end. A block opened by
a generator function, or by a function that it calls, is in effect only while the generator's body runs, not between a
``yield`` and the next value, when the consumer may run other networks.
"""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from threading import RLock
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.hooks import RemovableHandle

from .lookup import lookup

Tap = Callable[[Any], Any]
"""Function from a module's output to its replacement."""

ENTERING = frozenset({"__enter__", "__aenter__", "enter_context", "enter_async_context", "call_fixture_func"})
"""Functions that enter a block on behalf of their caller; the last is pytest's, for fixtures that yield."""
RECOMPUTING = (
    "torch.utils.checkpoint",
    "torch.autograd.function",  # functions with a custom backward pass
    "fairscale.nn.checkpoint.checkpoint_activations",
    "deepspeed.runtime.activation_checkpointing.checkpointing",
)
"""Python modules whose functions run part of a network a second time when gradients are computed."""


class _Block:
    """An open ``with`` block.

    Args:
        taps: Functions by module, in the order in which they are applied.
        generator_frame: Frame of the generator function that opened the block; None for any other function.
        only_reads: Whether the taps change nothing and carry no gradient.
    """

    __slots__ = ("generator_frame", "is_open", "only_reads", "serial", "takes_gradients", "taps")
    _serials = itertools.count()

    def __init__(
        self, taps: Mapping[nn.Module, Sequence[Tap]], generator_frame: FrameType | None, only_reads: bool
    ) -> None:
        self.taps, self.generator_frame, self.only_reads = taps, generator_frame, only_reads
        self.takes_gradients = torch.is_grad_enabled()
        self.serial, self.is_open = next(self._serials), True

    def is_in_effect(self) -> bool:
        """Return whether the code that is running now is inside the block."""
        if self.generator_frame is None:
            return self.is_open
        return self.is_open and any(frame is self.generator_frame for frame in _stack())

    def apply(self, module: nn.Module, output: Any) -> Any:
        """Return the replacement for a module's output."""
        if not self.only_reads and (self.takes_gradients or torch.is_grad_enabled()):
            _refuse_recomputation()
        for tap in self.taps[module]:
            output = tap(output)
        return output


_BLOCKS: ContextVar[tuple[_Block, ...]] = ContextVar("gandissect blocks", default=())
_LOCK = RLock()
"""Guards the globals below. It is reentrant because garbage collection of a generator function, which ends its block,
may happen at any point.
"""
_GENERATOR_BLOCKS: tuple[_Block, ...] = ()
"""Blocks of generator functions in all threads, since the next value may be requested from another thread."""
_OPEN: set[_Block] = set()
"""All open blocks; the hook is registered while there are any."""
_HOOK: list[RemovableHandle] = []
"""The hook's handle while it is registered, otherwise empty."""


@contextmanager
def tap_outputs(network: nn.Module, taps: Mapping[str, Tap], *, only_reads: bool = False) -> Iterator[None]:
    """Pass the outputs of some modules through functions while a network runs.

    In nested blocks, the functions of the outer block are applied first.

    Args:
        network: Any torch module.
        taps: Functions by dotted module name, as in ``named_modules``. An exception in one ends the forward pass.
        only_reads: Whether the functions return the output unchanged and keep nothing that carries a gradient.

    Raises:
        TypeError: If the network is not a torch module.
        KeyError: If the network has no module of that name; the message suggests the nearest one.
        RuntimeError: If a tapped module runs inside activation checkpointing while gradients are enabled.
    """
    taps_by_module: dict[nn.Module, list[Tap]] = {}
    for name, module in _find_modules(network, tuple(taps)).items():
        taps_by_module.setdefault(module, []).append(taps[name])  # one module may have two names
    block = _Block(taps_by_module, _find_generator_frame(sys._getframe()), only_reads)
    _open(block)
    try:
        yield
    finally:
        _close(block)


def _open(block: _Block) -> None:
    """Register a block."""
    global _GENERATOR_BLOCKS
    with _LOCK:
        _OPEN.add(block)
        if not _HOOK:
            _HOOK.append(register_module_forward_hook(_tap))
        if block.generator_frame is not None:
            _GENERATOR_BLOCKS = (*_GENERATOR_BLOCKS, block)
            return
    _BLOCKS.set((*_BLOCKS.get(), block))


def _close(block: _Block) -> None:
    """End a block everywhere and drop it from this context; copied contexts drop it when they close a block."""
    global _GENERATOR_BLOCKS
    block.is_open = False
    with _LOCK:
        _GENERATOR_BLOCKS = tuple(other for other in _GENERATOR_BLOCKS if other.is_open)
        _OPEN.discard(block)
        if not _OPEN and _HOOK:
            _HOOK.pop().remove()
    _BLOCKS.set(tuple(other for other in _BLOCKS.get() if other.is_open))


def _tap(module: nn.Module, _arguments: Any, output: Any) -> Any:
    """Pass a module's output through the taps of all blocks in effect, in the order in which they were opened."""
    blocks = [block for block in (*_BLOCKS.get(), *_GENERATOR_BLOCKS) if module in block.taps and block.is_in_effect()]
    for block in sorted(blocks, key=lambda block: block.serial):
        output = block.apply(module, output)
    return output


def _stack(frame: FrameType | None = None) -> Iterator[FrameType]:
    """Yield a frame and its callers, innermost first; by default, start from the caller's frame."""
    frame = frame or sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _find_generator_frame(frame: FrameType) -> FrameType | None:
    """Return the frame of the generator function whose body opens a block; None if there is no such function.

    Generator functions that only help to enter a block do not count, nor do generator expressions. A coroutine has its
    own context.

    Args:
        frame: Frame in which the block is opened.
    """
    for current in _stack(frame):
        flags, name = current.f_code.co_flags, current.f_code.co_name
        if flags & inspect.CO_COROUTINE and name not in ENTERING:
            return None
        is_entered = current.f_back is not None and current.f_back.f_code.co_name in ENTERING
        if flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR) and name != "<genexpr>" and not is_entered:
            return current
    return None


def _refuse_recomputation() -> None:
    """Refuse to change an output in part of a network that runs a second time when gradients are computed.

    Raises:
        RuntimeError: If the part runs a second time; that run is outside the block and would yield the gradients of the
            unedited network.
    """
    if module := next(filter(None, map(_get_recomputing_module, _stack())), None):
        raise RuntimeError(
            f"the network recomputes activations ({module}), so gradients would be wrong wherever a layer is edited or "
            "replaced; turn activation checkpointing off for this network (its images stay the same), or open the "
            "block under torch.no_grad() if you need no gradients"
        )


def _get_recomputing_module(frame: FrameType) -> str | None:
    """Return the module of `RECOMPUTING` that a frame belongs to; None if it belongs to none of them.

    The forward pass of a function with a custom backward pass, where some projects recompute by hand, is not called
    from a frame of torch, so it is recognized by its first argument.
    """
    code, module = frame.f_code, frame.f_globals.get("__name__")
    name = code.co_varnames[0] if code.co_name == "forward" and code.co_argcount else "self"
    if name != "self" and isinstance(frame.f_locals.get(name), FunctionCtx):  # leaves the locals of modules unread
        return FunctionCtx.__module__
    return module if module in RECOMPUTING else None


class Trace(Mapping[str, Any]):
    """Outputs of the traced modules by name, in the order requested; empty until the network has run."""

    def __init__(self, layers: tuple[str, ...]) -> None:
        self._layers = layers
        self._outputs: dict[str, Any] = {}

    def __getitem__(self, layer: str) -> Any:
        """Return the most recent output of a layer, detached and copied.

        Raises:
            KeyError: If the layer is not traced or did not run.
        """
        lookup(dict.fromkeys(self._layers), layer, "traced layer")
        if layer not in self._outputs:
            raise KeyError(f"layer {layer!r} did not run inside the trace; call the network in the with block")
        return self._outputs[layer]

    def __iter__(self) -> Iterator[str]:
        return (layer for layer in self._layers if layer in self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    @property
    def output(self) -> Any:
        """Output of the traced layer, if only one layer is traced.

        Raises:
            ValueError: If several layers are traced.
            KeyError: If the layer did not run.
        """
        if len(self._layers) != 1:
            raise ValueError(f"{len(self._layers)} layers are traced; read them by name: {', '.join(self._layers)}")
        return self[self._layers[0]]


class _StopForwardError(Exception):
    """Ends a forward pass once all traced layers have run."""


@contextmanager
def trace(network: nn.Module, layers: str | Sequence[str], stop: bool = False) -> Iterator[Trace]:
    """Record the outputs of some modules while a network runs.

    ``with trace(G, "layer4") as r: G(z)``, then ``r.output``.

    Args:
        network: Any torch module.
        layers: One dotted module name or several, as in ``named_modules``.
        stop: End the forward pass, and with it the ``with`` block, as soon as all the layers have run.

    Yields:
        A mapping from name to output, with ``r.output`` for a single layer. Outputs are detached copies, so later
            in-place operations do not change them.

    Raises:
        TypeError: If the network is not a torch module.
        KeyError: If the network has no module of that name; the message suggests the nearest one.
        ValueError: If no layer is named, or one is named twice.

    Examples:
        >>> import gandissect, generators
        >>> G = generators.PlantedGenerator()
        >>> with gandissect.trace(G, "layer1") as record:
        ...     x = G(G.sample_z(2))
        >>> record.output.shape
        torch.Size([2, 6, 16, 16])
    """
    names = (layers,) if isinstance(layers, str) else tuple(layers)
    if not names or len(set(names)) != len(names):
        raise ValueError(f"layers must name at least one layer, each only once; got {list(names)}")
    record, finished = Trace(names), _StopForwardError()

    def keep(name: str, output: Any) -> Any:
        record._outputs[name] = _copy(output)
        if stop and len(record) == len(names):
            raise finished
        return output

    try:
        with tap_outputs(network, {name: partial(keep, name) for name in names}, only_reads=True):
            yield record
    except _StopForwardError as caught:
        if caught is not finished:
            raise


def _find_modules(network: nn.Module, names: tuple[str, ...]) -> dict[str, nn.Module]:
    """Return modules by name."""
    if not isinstance(network, nn.Module):
        raise TypeError(f"network must be a torch module; got {type(network).__name__}")
    known = {name: module for name, module in network.named_modules(remove_duplicate=False) if name}
    return {name: lookup(known, name, "layer") for name in names}


def _copy(output: Any) -> Any:
    """Return an output with all of its tensors detached and copied."""
    if isinstance(output, Tensor):
        return output.detach().clone()
    if isinstance(output, Mapping):
        return {key: _copy(value) for key, value in output.items()}
    if isinstance(output, tuple | list):
        return tuple(_copy(value) for value in output)
    return output
