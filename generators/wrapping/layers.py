"""Find the layers of a network that can be dissected by running it.

A layer is a module that runs once per forward pass and returns one floating-point tensor ``[batch, unit, h, w]``, of
the same shape for every sample; the image itself is not a layer. A hidden vector ``[batch, unit]`` is a layer with a
grid of one cell: by default in a network without other layers (a multilayer perceptron), elsewhere only if it is named.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gandissect.core.hooks import tap_outputs
from gandissect.core.types import LayerInfo

from ..architectures.forced import ForcedUnits

Forward = Callable[[int], Float[Tensor, "batch channel H W"]]
"""Forward pass that takes the number of samples and returns their images."""


@dataclass(slots=True)
class ModuleRun:
    """Record of what a module did in one forward pass.

    Args:
        calls: Number of times the module ran.
        output: Description of its last output.
        shape: Shape of its last output, if that is a floating-point tensor.
        is_repeated: Whether a module that contains it returned the same tensor.
        is_image: Whether its output was the image, as is or flattened.
    """

    calls: int = 0
    output: str = "nothing"
    shape: tuple[int, ...] | None = None
    is_repeated: bool = False
    is_image: bool = False


class _RunLog:
    """Records the outputs of modules, in the order in which they finish, without keeping them alive."""

    def __init__(self) -> None:
        self.runs: dict[str, ModuleRun] = {}
        self._outputs: dict[str, tuple[weakref.ref[Tensor], int]] = {}

    def note(self, name: str, output: Any) -> Any:
        run = self.runs.setdefault(name, ModuleRun())
        run.calls, run.output, run.shape = run.calls + 1, describe(output), None
        if isinstance(output, Tensor):
            run.shape = tuple(output.shape) if output.is_floating_point() else None
            for part in self._modules_with(output):
                self.runs[part].is_repeated |= part.startswith(f"{name}.")
            self._outputs[name] = weakref.ref(output), _version(output)
        return output

    def _modules_with(self, output: Tensor) -> list[str]:
        """Return the modules that returned this very tensor, unless it was written to since."""
        current, outputs = _version(output), self._outputs.items()
        return [name for name, (reference, version) in outputs if reference() is output and version == current]

    def end(self, image: Tensor) -> dict[str, ModuleRun]:
        same = self._modules_with(image)
        for name, run in self.runs.items():
            run.is_image = name in same or run.shape == (len(image), image[0].numel())
        return self.runs


def _version(output: Tensor) -> int:
    """Return how often a tensor was written to; always 0 for inference tensors, which have no version counter."""
    return 0 if output.is_inference() else output._version


def watch(network: nn.Module, forward: Callable[[], Float[Tensor, "batch channel H W"]]) -> dict[str, ModuleRun]:
    """Return what the modules of a network do in one forward pass, in the order in which they finish.

    Args:
        network: Network whose modules are watched.
        forward: Function that runs the network and returns its images.
    """
    log = _RunLog()
    names = [name for name, _ in network.named_modules() if name]
    with (
        torch.inference_mode(False),  # inference tensors have no versions
        torch.no_grad(),
        tap_outputs(network, {name: partial(log.note, name) for name in names}),
    ):
        image = forward()
    return log.end(image)


def find_layers(network: nn.Module, forward: Forward, selected: Sequence[str] | None = None) -> dict[str, LayerInfo]:
    """Return the layers of a network, from input to output.

    If a module and its last part return the same tensor, only the module is listed, unless both are selected. Hidden
    vectors are listed only if there are no other layers.

    Args:
        network: Network to search.
        forward: Function that runs the network on a given number of samples.
        selected: Names of modules; None selects every one that can be dissected.

    Raises:
        ValueError: If a selected module is not a layer; the message gives the reason and the layers that exist.
    """
    two, three = (watch(network, partial(forward, count)) for count in (2, 3))
    refusals = {name: _explain_refusal(run, three.get(name, ModuleRun())) for name, run in two.items()}
    layers = [name for name, refusal in refusals.items() if not refusal and not two[name].is_repeated]
    layers = [name for name in layers if len(two[name].shape or ()) == 4] or layers
    for name in selected or ():
        if refusal := refusals.get(name, "does not run"):
            raise ValueError(f"{name!r} {refusal}; layers that can be dissected: {', '.join(layers) or 'none'}")
    chosen = layers if selected is None else [name for name in two if name in selected]
    return {name: _layer_info(two[name]) for name in chosen}


def describe(output: Any) -> str:
    """Describe the output of a module or a network."""
    return f"{output.dtype} {list(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"


def _explain_refusal(two: ModuleRun, three: ModuleRun) -> str | None:
    """Return why a module is not a layer, from its runs on two and three samples; None if it is one."""
    if two.calls != 1 or three.calls != 1:
        return f"must run once per forward pass; it runs {two.calls} times" if two.calls else "does not run"
    if two.is_image:
        return "returns the image itself"
    if two.shape is None or len(two.shape) not in (2, 4) or three.shape != (3, *two.shape[1:]) or two.shape[0] != 2:
        return f"must return [batch, unit, h, w] or [batch, unit]; it returns {two.output} for 2 samples"
    return None


def _layer_info(run: ModuleRun) -> LayerInfo:
    _, units, height, width = (*(run.shape or ()), 1, 1)[:4]
    return LayerInfo(units, height, width)


def iterate_parts(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the submodules by name; the wrapper of a module that forces units does not appear in the names."""
    for key, child in module._modules.items():
        if child is not None:
            yield f"{prefix}{key}", child
            inner = child
            if isinstance(child, ForcedUnits):
                inner = child.stage
                yield f"{prefix}{key}.stage", inner
            yield from iterate_parts(inner, f"{prefix}{key}.")
