"""Apply edits, either with the pure function `generate` or in an `intervene` block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from ..core.hooks import tap_outputs
from ..core.lookup import lookup
from ..core.protocols import Generator, check_generator
from .edits import Edit, Size, check_units


def generate(
    generator: Generator,
    z: Float[Tensor, "batch z"] | Float[Tensor, "batch num_ws w"],
    edits: Sequence[Edit] = (),
    *,
    activation: Float[Tensor, "batch unit h w"] | None = None,
) -> Float[Tensor, "batch 3 H W"]:
    """Generate the images of ``z`` with edited activations, without changing the generator.

    Edits of the same layer are applied in the given order; an edit of one layer affects the later layers.

    Args:
        generator: A `Generator`; to edit several layers, it must be a torch module with submodules of those names.
        z: float32 ``[batch, z_dim]``; for a style-based generator also its w per layer, ``[batch, num_ws, w_dim]``.
        edits: Edits to apply.
        activation: Precomputed ``generator.head(z, layer)`` of the first edited layer; only the rest of the network
            runs if it is passed.

    Returns:
        float32 ``[batch, 3, H, W]`` on the generator's device.

    Raises:
        KeyError: If the generator has no such layer.
        TypeError: If an item of ``edits`` is not an edit, or edits of several layers are applied to a generator that
            is not a torch module.
        ValueError: If the layer has no such unit, a region does not fit, or the generator is in training mode.

    Examples:
        >>> import gandissect, generators, segmenters
        >>> G = generators.PlantedGenerator()
        >>> S = segmenters.PaletteSegmenter(G.concepts)
        >>> z = G.sample_z(8, seed=1)
        >>> green = gandissect.UnitSet("layer2", (1,))
        >>> x = gandissect.generate(G, z, [gandissect.Ablation(green)])
        >>> int((S(G(z)) == 2).sum()), int((S(x) == 2).sum())
        (112, 0)

    Source: Bau et al. 2019, Sec. 3.2.
    """
    check_generator(generator)
    by_layer = _by_layer(edits)
    for layer, layer_edits in by_layer.items():
        info = lookup(generator.layers, layer, "layer")
        for edit in layer_edits:
            check_units(edit.units, info.units)
    if not by_layer:
        return generator(z)
    first, *later = [layer for layer in generator.layers if layer in by_layer]
    activation = generator.head(z, first) if activation is None else activation
    edited = _apply_edits(by_layer[first], generator.image_size, activation)
    if not later:
        return generator.tail(edited, first, z)
    with intervene(generator, [edit for layer in later for edit in by_layer[layer]]):
        return generator.tail(edited, first, z)


@contextmanager
def intervene(network: nn.Module | Generator, edits: Sequence[Edit]) -> Iterator[None]:
    """Edit activations whenever a network runs inside the ``with`` block.

    ``with intervene(G, [Ablation(trees)]): x = G(z)``. A layer is a module, named as in ``named_modules``, whose output
    is ``[batch, unit, h, w]``. A region may be on the image if the network has an ``image_size``.

    Edits are in effect in this thread (or asyncio task) until their block ends, in whatever order blocks end. In a
    generator function they are in effect only while its body runs, so the network is not edited between a ``yield`` and
    the next value.

    Args:
        network: Any torch module.
        edits: Edits to apply, in order.

    Raises:
        KeyError: If the network has no such module; the message suggests the nearest name.
        TypeError: If an item of ``edits`` is not an edit, the network is not a torch module, or a layer's output is not
            a tensor.
        ValueError: If the layer has no such unit, or a region does not fit.
        RuntimeError: If an edited layer has not run by the end of the block, or if it runs inside activation
            checkpointing while gradients are enabled, which would make the gradients wrong.

    Examples:
        >>> import gandissect, generators, segmenters
        >>> G = generators.PlantedGenerator()
        >>> S = segmenters.PaletteSegmenter(G.concepts)
        >>> z = G.sample_z(8, seed=1)
        >>> with gandissect.intervene(G, [gandissect.Ablation(gandissect.UnitSet("layer2", (1,)))]):
        ...     x = G(z)
        >>> int((S(x) == 2).sum()), int((S(G(z)) == 2).sum())
        (0, 112)
    """
    size = getattr(network, "image_size", None)
    size = tuple(size) if isinstance(size, tuple | list) else None  # in some networks it is a number
    by_layer, layers_run = _by_layer(edits), set[str]()

    def apply(layer: str, activation: Any) -> Float[Tensor, "batch unit *grid"]:
        layers_run.add(layer)
        return _apply_edits(by_layer[layer], size, activation)

    with tap_outputs(network, {layer: partial(apply, layer) for layer in by_layer}):  # type: ignore[arg-type]
        yield  # tap_outputs refuses a network that is not a module
    if missed := [layer for layer in by_layer if layer not in layers_run]:
        names = ", ".join(map(repr, missed))
        raise RuntimeError(
            f"the edits of {names} had no effect, since no module of that name was called inside the block; call the "
            "network itself, and each layer as layer(x), not layer.forward(x); a generator function must call the "
            "network in its own body"
        )


def _by_layer(edits: Sequence[Edit]) -> dict[str, list[Edit]]:
    """Return edits by layer, in order."""
    if isinstance(edits, Edit) or not isinstance(edits, Iterable):
        raise TypeError(f"edits must be a list, such as [edit] or []; got {type(edits).__name__}")
    by_layer: dict[str, list[Edit]] = {}
    for edit in edits:
        if not isinstance(edit, Edit):
            raise TypeError(f"an edit must be an Ablation, an Insertion or a Scaling; got {type(edit).__name__}")
        by_layer.setdefault(edit.units.layer, []).append(edit)
    return by_layer


def _apply_edits(edits: Sequence[Edit], image_size: Size | None, activation: Any) -> Float[Tensor, "batch unit *grid"]:
    """Apply all edits of a layer to its activations; hidden vectors are treated as grids of one cell."""
    if not isinstance(activation, Tensor) or activation.ndim not in {2, 4}:
        actual = f"a tensor {list(activation.shape)}" if isinstance(activation, Tensor) else type(activation).__name__
        raise TypeError(
            f"the output of {edits[0].units.layer!r} must be activations [batch, unit, h, w] or [batch, unit] to be "
            f"edited; got {actual}"
        )
    edited = activation if activation.ndim == 4 else activation[:, :, None, None]
    for edit in edits:
        edited = edit.apply(edited, image_size)
    return edited.reshape(activation.shape)
