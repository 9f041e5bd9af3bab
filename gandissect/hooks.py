"""Reading what the modules of a network put out. No other file registers a torch hook.

A hook lives only inside the ``with`` block and sees only the thread that opened it, so a network shared by
threads gives each of them what it would give without.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from .names import lookup


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
    modules = _find(network, names)
    record, thread = Trace(names), threading.get_ident()
    finished = _StopForwardError()

    def keep(name: str, output: Any) -> None:
        if threading.get_ident() != thread:
            return
        record._outputs[name] = _copy(output)
        if stop and len(record) == len(names):
            raise finished

    handles = []
    try:
        for name, module in modules.items():
            handles.append(module.register_forward_hook(lambda _m, _i, output, name=name: keep(name, output)))
        yield record
    except _StopForwardError as caught:
        if caught is not finished:
            raise
    finally:
        for handle in handles:
            handle.remove()


def _find(network: nn.Module, names: tuple[str, ...]) -> dict[str, nn.Module]:
    """Return the modules of those names."""
    if not isinstance(network, nn.Module):
        raise TypeError(f"trace reads torch modules; got {type(network).__name__}")
    if not names or len(set(names)) != len(names):
        raise ValueError(f"name one or more layers, each once; got {list(names)}")
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
