"""Reading, and changing, what the modules of a network put out. No other file registers a torch hook.

There is one hook, for all modules of the process. It is registered when this file is imported and never removed, and
does nothing but look into a context variable, where each ``with`` block notes which modules it taps. So nothing is
registered on a network, a block sees only what its own thread runs, and a network shared by threads gives each of them
what it would give without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from .lookup import lookup

Tap = Callable[[Any], Any]
"""From a module's output to what takes its place."""

_TAPS: ContextVar[tuple[Mapping[nn.Module, Sequence[Tap]], ...]] = ContextVar("gandissect taps", default=())


@contextmanager
def tap_outputs(network: nn.Module, taps: Mapping[str, Tap]) -> Iterator[None]:
    """Put the outputs of some modules through functions while a network runs.

    Where blocks are nested, the outer one's comes first.

    Args:
        network: Any module.
        taps: Functions by dotted module name, as in ``named_modules``. What one raises ends the forward pass.

    Raises:
        TypeError: If the network is not a module.
        KeyError: If it has no such module, naming the nearest match.
    """
    taps_by_module: dict[nn.Module, list[Tap]] = {}
    for name, module in _find_modules(network, tuple(taps)).items():
        taps_by_module.setdefault(module, []).append(taps[name])  # one module may go by two names
    token = _TAPS.set((*_TAPS.get(), taps_by_module))
    try:
        yield
    finally:
        _TAPS.reset(token)


def _tap(module: nn.Module, _arguments: Any, output: Any) -> Any:
    for taps in _TAPS.get():
        for tap in taps.get(module, ()):
            output = tap(output)
    return output


register_module_forward_hook(_tap)


class Trace(Mapping[str, Any]):
    """What the traced modules put out, by name, in the order asked for; empty until the network has run."""

    def __init__(self, layers: tuple[str, ...]) -> None:
        self._layers = layers
        self._outputs: dict[str, Any] = {}

    def __getitem__(self, layer: str) -> Any:
        """Return the last output of a layer, detached and copied.

        Raises:
            KeyError: If the layer is not traced or did not run.
        """
        lookup(dict.fromkeys(self._layers), layer, "traced layer")
        if layer not in self._outputs:
            raise KeyError(f"layer {layer!r} did not run inside its trace; call the network in the with block")
        return self._outputs[layer]

    def __iter__(self) -> Iterator[str]:
        return (layer for layer in self._layers if layer in self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    @property
    def output(self) -> Any:
        """The output of the one traced layer.

        Raises:
            ValueError: If several layers are traced.
            KeyError: If it did not run.
        """
        if len(self._layers) != 1:
            raise ValueError(f"{len(self._layers)} layers are traced; read them by name: {', '.join(self._layers)}")
        return self[self._layers[0]]


class _StopForwardError(Exception):
    """Ends a forward pass once everything asked for has been seen."""


@contextmanager
def trace(network: nn.Module, layers: str | Sequence[str], stop: bool = False) -> Iterator[Trace]:
    """Keep the outputs of some modules while a network runs.

    ``with trace(G, "layer4") as r: G(z)``, then ``r.output``.

    Args:
        network: Any module.
        layers: One dotted module name or several, as in ``named_modules``.
        stop: End the forward pass, and with it the ``with`` block, as soon as all of them have run.

    Yields:
        A mapping from name to output, with ``r.output`` for a single layer. Outputs are detached copies,
        which no later in-place operation changes.

    Raises:
        TypeError: If the network is not a module.
        KeyError: If it has no such module, naming the nearest match.
        ValueError: If no layer is named, or one twice.
    """
    names = (layers,) if isinstance(layers, str) else tuple(layers)
    if not names or len(set(names)) != len(names):
        raise ValueError(f"name one or more layers, each once; got {list(names)}")
    record, finished = Trace(names), _StopForwardError()

    def keep(name: str, output: Any) -> Any:
        record._outputs[name] = _copy(output)
        if stop and len(record) == len(names):
            raise finished
        return output

    try:
        with tap_outputs(network, {name: partial(keep, name) for name in names}):
            yield record
    except _StopForwardError as caught:
        if caught is not finished:
            raise


def _find_modules(network: nn.Module, names: tuple[str, ...]) -> dict[str, nn.Module]:
    """Return the modules of those names."""
    if not isinstance(network, nn.Module):
        raise TypeError(f"only the modules of a torch module can be tapped; got {type(network).__name__}")
    known = {name: module for name, module in network.named_modules(remove_duplicate=False) if name}
    return {name: lookup(known, name, "layer") for name in names}


def _copy(output: Any) -> Any:
    """Return detached copies of all tensors in an output."""
    if isinstance(output, Tensor):
        return output.detach().clone()
    if isinstance(output, Mapping):
        return {key: _copy(value) for key, value in output.items()}
    if isinstance(output, tuple | list):
        return tuple(_copy(value) for value in output)
    return output
