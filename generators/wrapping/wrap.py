"""Any torch module as a generator.

A module says nothing of how its forward pass is cut, so it is not: `head` runs it up to the layer, and `tail` runs all
of it and has the layer put out the given activation. What comes after runs as it always does, with the skip
connections of the same ``z``, so that ``tail(head(z, layer), layer, z)`` equals ``G(z)`` bit for bit. Outputs are read
and replaced by the one hook of `gandissect.core.hooks`, which belongs to a thread's call: nothing stays on the module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Self

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from gandissect.core.hooks import tap_outputs
from gandissect.core.lookup import lookup
from gandissect.core.network_id import join_fingerprint
from gandissect.core.types import LayerInfo
from gandissect.storage.files import find_unsaved_tensors, hash_tensors

from ..architectures.base import LayeredGenerator
from ..architectures.forced import ForcedUnits
from ..architectures.generator_base import GeneratorBase
from .conventions import (
    Condition,
    ValueRange,
    check_arguments,
    check_range,
    explain_classes,
    explain_input,
    extract_images,
    guess_range,
    normalize_images,
    parse_condition,
    parse_z_shape,
    summarize_error,
)
from .exact_images import quantize_images
from .layers import find_layers
from .programs import load_program
from .torchscript import ScriptedModule

PROBES = 4
"""Samples from which the range of images is guessed."""
EXACT_SAMPLES = 2
"""Samples whose images a fingerprint is made of."""
SCRIPT = "generators.scripted.Scripted"
"""What fingerprints of scripts name the class, wherever it is: they must stay as they are."""


def wrap(
    module: nn.Module | Path | str,
    z_dim: int | None = None,
    layers: Sequence[str] | None = None,
    *,
    z_shape: Sequence[int] | None = None,
    c: int | Condition | None = None,
    value_range: ValueRange | None = None,
    name: str | None = None,
) -> WrappedGenerator:
    """Make a generator of any torch module that makes images of latent vectors.

    It is run a few times to find out what it takes and gives. The module is shared, not copied, and stays as it is.

    A file is loaded first, which runs what is in it: give only one that you trust. TorchScript does whatever torch's
    operators do, and `torch.export.load` unpickles without restriction. No other function here loads such files.

    Args:
        module: In eval mode; what ``torch.jit.load`` and ``torch.export.unflatten`` return, too; or the path of a file
            of ``torch.jit.save`` or ``torch.export.save``. It is called as
            ``module(z)``, or ``module(z, c)``, with ``z [batch, z_dim]`` or, if it does not take that,
            ``[batch, z_dim, 1, 1]``; it returns images ``[batch, 3 or 1, H, W]``, or a tuple that begins with them.
            Gray ones get three equal channels.
        z_dim: Length of a latent vector, 1 or more; the product of `z_shape` if None.
        layers: Dotted names of its modules, as in ``named_modules``. If None, all that put out ``[batch, unit, h, w]``;
            where none does, as in a multilayer perceptron, all hidden vectors ``[batch, unit]``, as grids of one cell.
        z_shape: Shape of one latent if the module takes ``[batch, *z_shape]``, such as ``(64, 4, 4)`` for noise maps.
        c: What a conditional module is given for every image: the number of a class (it gets int64 ``[batch]``), or a
            vector (it gets ``[batch, length]``).
        value_range: What black and white are in its images; [-1, 1], [0, 1] or [0, 255], whichever fits, if None.
        name: What to call it; its path or its class if None.

    Raises:
        FileNotFoundError: If there is no such file.
        KeyError: If it has no module of a layer's name, naming the nearest match.
        TypeError: If it is no torch module, or returns something else.
        ValueError: If it is in training mode, takes no such ``z``, wants ``c`` and is not given it, draws at random, or
            lets images depend on each other; if a layer is none, saying why; or if a file is damaged, or no program.
    """
    if isinstance(module, str | Path):
        module, name = load_program(module), name or str(module)
    if not isinstance(module, nn.Module):
        raise TypeError(f"wrap takes a torch module, or the path of a program; got {type(module).__name__}")
    kind = str(getattr(module, "original_name", type(module).__name__))  # a script has the name of what was scripted
    if any(getattr(part, "training", False) for part in module.modules()):
        raise ValueError(f"{kind} is in training mode; call .eval() first")
    z_dim, z_shape = parse_z_shape(z_dim, z_shape)
    _check_runs(module, name or kind)
    network = ScriptedModule(module) if isinstance(module, torch.jit.ScriptModule) else module
    condition = parse_condition(c)
    check_arguments(module, condition is not None, name or kind)
    return WrappedGenerator(network, z_dim, layers, condition, value_range, name or kind, z_shape)


def _check_runs(module: nn.Module, name: str) -> None:
    """Check that a module has its numbers, and runs as Python.

    Raises:
        ValueError: If not.
    """
    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        raise ValueError(f"{name} has no numbers: it is on the meta device; load its state_dict() onto another first")
    compiled = ("_orig_mod", "_compiled_call_impl")  # of torch.compile(module), and of module.compile()
    if any(getattr(part, attribute, None) is not None for part in module.modules() for attribute in compiled):
        raise ValueError(f"{name} is compiled, so that its parts do not show; give it as it was before, its _orig_mod")


class WrappedGenerator(GeneratorBase):
    """A torch module as a generator, made by `wrap`.

    Attributes:
        module: The module.
        c: What it is given beside ``z`` for each image, or None.
        value_range: What black and white are in its images.
        normalizes_z: Whether the length of ``z`` was found to make no difference.
    """

    c: Condition | None

    def __init__(
        self,
        module: nn.Module,
        z_dim: int,
        layers: Sequence[str] | None,
        c: Condition | None,
        value_range: ValueRange | None,
        name: str,
        z_shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self.module, self.z_dim, self.name = module, z_dim, name
        self.register_buffer("c", c, persistent=False)
        self.training = False
        modules = {key: module for key, module in self.named_modules(remove_duplicate=False) if key}
        for layer in layers or ():
            lookup(modules, layer, "layer")
        with torch.no_grad():
            self._z_shape = self._find_z_shape([(z_dim,), (z_dim, 1, 1)] if z_shape is None else [z_shape])
            self._check_images()
            self._layers = find_layers(self, lambda count: self._run_module(self._sample_probe(count)), layers)
            if not self._layers:
                raise ValueError(
                    f"{name} has no layer that can be dissected: no module of it runs once and puts out activations "
                    "[batch, unit, h, w], as far as PyTorch shows (the parts of a compiled or frozen one do not show)"
                )
            images = self._run_module(self._sample_probe(PROBES))
            self.image_size = (images.shape[2], images.shape[3])
            self.value_range = check_range(value_range) if value_range is not None else guess_range(images, name)
            self.normalizes_z = self._ignores_length(images)

    @property
    def layers(self) -> Mapping[str, LayerInfo]:
        """The layers in order from input to output."""
        return MappingProxyType(self._layers)

    @property
    def fingerprint(self) -> str:
        """What tells this network from others, three parts joined by hyphens.

        SHA-256 of the module's class, its state dict, and what it is given and gives, which is all that files of
        earlier versions hold; the same of its other parameters and buffers; and of some images, where they are the same
        on every machine (`exact_images`).
        """
        state = {key: value for key, value in self.state_dict().items() if isinstance(value, Tensor)}
        condition = None if self.c is None else self.c.tolist()
        home = type(self.module).__module__.replace("generators.architectures.", "generators.")  # where ours stood once
        module_class = f"{home}.{type(self.module).__qualname__}"
        kind = SCRIPT if isinstance(self.module, ScriptedModule) else module_class
        settings = {"class": kind, "z_dim": self.z_dim, "c": condition, "range": self.value_range}
        is_usual = self._z_shape in ((self.z_dim,), (self.z_dim, 1, 1))
        whole = hash_tensors(state, settings if is_usual else {**settings, "z_shape": self._z_shape})
        own = {"fingerprint": self.module.fingerprint} if isinstance(self.module, LayeredGenerator) else {}
        unsaved = hash_tensors(find_unsaved_tensors(self.module, state, "module."), own)  # ours know their settings
        z = self.sample_z(EXACT_SAMPLES)
        levels = quantize_images(self, WrappedGenerator._run_module, z, self.value_range)
        images = () if levels is None else (hash_tensors({"images": levels}, {}),)
        return join_fingerprint(whole, unsaved, *images)

    def forward(self, z: Float[Tensor, "batch z"]) -> Float32[Tensor, "batch 3 H W"]:
        """Return the images of ``z``, float32 ``[batch, 3, H, W]``, nominally in [-1, 1].

        Args:
            z: float32 ``[batch, z_dim]``, on any device.

        Raises:
            ValueError: If ``z`` has another shape or holds no floating-point numbers.
        """
        return normalize_images(self._run_module(self._prepare_z(z)), self.value_range)

    def head(self, z: Float[Tensor, "batch z"], layer: str) -> Float[Tensor, "batch unit h w"]:
        """Return the activations of a layer; nothing behind it runs.

        Args:
            z: float32 ``[batch, z_dim]``.
            layer: One of `layers`.

        Raises:
            KeyError: If there is no such layer.
            ValueError: If ``z`` has another shape.
        """
        lookup(self._layers, layer, "layer")
        latent, reached = self._prepare_z(z), _ReachedError()

        def stop(output: Tensor) -> Tensor:
            reached.activation = output
            raise reached

        try:
            with tap_outputs(self, {layer: stop}):
                self._run_module(latent)
        except _ReachedError as caught:
            if caught is not reached:
                raise
        info = self._layers[layer]
        return reached.activation.clone().reshape(len(z), info.units, info.height, info.width)  # a module may keep it

    def tail(
        self, activation: Float[Tensor, "batch unit h w"], layer: str, z: Float[Tensor, "batch z"]
    ) -> Float32[Tensor, "batch 3 H W"]:
        """Return the images that a layer's activations lead to, at the cost of a whole forward pass.

        Args:
            activation: float32 ``[batch, unit, h, w]`` of that layer.
            layer: One of `layers`.
            z: The latent vectors, ``[batch, z_dim]``, for what goes around the layer.

        Returns:
            float32 ``[batch, 3, H, W]``; ``tail(head(z, layer), layer, z)`` equals ``G(z)`` bit for bit.

        Raises:
            KeyError: If there is no such layer.
            ValueError: If the shapes do not fit.
        """
        self._check_activation(activation, layer, len(z))

        def replace(output: Tensor) -> Tensor:
            return activation.to(output).reshape(output.shape).clone()  # the module may write into it

        with tap_outputs(self, {layer: replace}):
            return normalize_images(self._run_module(self._prepare_z(z)), self.value_range)

    def _copy(self) -> Self:
        """Return a copy, of the module too.

        Raises:
            TypeError: If torch cannot copy the module.
        """
        try:
            return super()._copy()
        except (RuntimeError, TypeError) as error:  # as of what torch.export.unflatten gives
            raise TypeError(
                f"{self.name} cannot be copied ({summarize_error(error)}); edit its images instead, by "
                "generate(generator, z, [Ablation(units)])"
            ) from error

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """Yield the modules by the names that they have in the wrapped one, and this one by none."""
        seen_modules: set[nn.Module] = set() if memo is None else memo
        for name, part in (("", self), ("module", self.module), *_iterate_parts(self.module)):
            if not (remove_duplicate and part in seen_modules):
                seen_modules.add(part)
                yield f"{prefix}.{name}" if prefix and name else prefix or name, part

    def add_forced_units(self, layer: str, num_units: int) -> ForcedUnits:
        """Return the module of a layer as one that can force units, which it is from now on."""
        module = dict(_iterate_parts(self.module))[layer]
        if isinstance(module, ForcedUnits):
            return module
        forced_units = ForcedUnits(module, num_units).to(self.device).eval()
        for parent in (self.module, *(part for _, part in _iterate_parts(self.module))):
            for key, child in parent._modules.items():
                if child is module:
                    parent._modules[key] = forced_units
        return forced_units

    def _run_module(self, z: Tensor) -> Tensor:
        """Return the module's own images."""
        latent = z.reshape(len(z), *self._z_shape)
        conditions = () if self.c is None else (self.c.expand(len(z), *self.c.shape),)
        return extract_images(self.module(latent, *conditions), len(z), self.name)

    def _place(self, x: Tensor) -> Tensor:
        """Return a tensor on the module's device, in float32."""
        return super()._place(x).float()

    def _sample_probe(self, count: int, start: int = 0) -> Tensor:
        return self.sample_z(count, start=start).to(self.device)

    def _find_z_shape(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """Return the shape of one latent that the module takes, by trying some."""
        errors: list[Exception] = []
        for self._z_shape in shapes:
            if (error := self._try_batch(2)) is None:
                self._check_batches()
                return self._z_shape
            errors.append(error)
        for self._z_shape in shapes:
            if self._try_batch(1) is None:
                self._check_batches()
        tried = " and ".join(
            f"{[2, *shape]} ({summarize_error(error)})" for shape, error in zip(shapes, errors, strict=True)
        )
        condition = "" if self.c is None else f", with c = {str(self.c.tolist())[:100]}"
        dtypes = {parameter.dtype for parameter in self.module.parameters() if parameter.is_floating_point()}
        odd = ", ".join(sorted(map(str, dtypes - {torch.float32})))
        remedy = f"; it is of {odd}, and z of torch.float32: call .float() first" if odd else ""
        hint = remedy or explain_input(self.module) or explain_classes(self.module, self.c)
        raise ValueError(f"{self.name} does not take z of shape {tried}{condition}{hint}") from errors[0]

    def _try_batch(self, count: int) -> Exception | None:
        """Return what a forward pass over so many samples raises, if it does."""
        try:
            self._run_module(self._sample_probe(count))
        except (RuntimeError, ValueError, IndexError, AssertionError) as error:
            return error
        return None

    def _check_batches(self) -> None:
        """Refuse a module that takes batches of one size only."""
        for count in (2, 3):
            if (error := self._try_batch(count)) is not None:
                raise ValueError(
                    f"{self.name} does not take batches of {count} ({summarize_error(error)}), though of others: trace "
                    "or export it so that the number of samples is free, such as "
                    "torch.export.export(..., dynamic_shapes=...)"
                ) from error

    def _check_images(self) -> None:
        """Refuse a module whose images are no functions of their own ``z``."""
        z = self._sample_probe(3)
        before = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        one, again, other = (self._run_module(latent)[0] for latent in (z[:2], z[:2], z[[0, 2]]))
        for name, buffer in self.module.named_buffers():
            if name in before and not torch.equal(buffer.nan_to_num(), before[name].nan_to_num()):
                raise ValueError(
                    f"{self.name} changes {name!r} in a forward pass, which threads share and its fingerprint is made "
                    "of; have it changed in training mode only"
                )
        if not one.isfinite().all():
            raise ValueError(f"{self.name} makes images that are not finite")
        if not torch.equal(one, again):
            raise ValueError(
                f"{self.name} makes two images of one z: it draws at random or remembers; give it noise that is fixed"
            )
        if not torch.equal(one, other):
            raise ValueError(f"{self.name} makes other images of a z beside other z; its layers are to be in eval mode")

    def _ignores_length(self, images: Tensor) -> bool:
        differs = (self._run_module(3 * self._sample_probe(PROBES)) - images).abs().max()
        return bool(differs < 1e-3 * (images[0] - images[1]).abs().max())


class _ReachedError(Exception):
    """Ends a forward pass at a layer, whose activation it carries."""

    activation: Tensor


def _iterate_parts(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules inside one by name; what stands around one that forces units is not in the names."""
    for key, child in module._modules.items():
        if child is not None:
            yield f"{prefix}{key}", child
            inner = child
            if isinstance(child, ForcedUnits):
                inner = child.stage
                yield f"{prefix}{key}.stage", inner
            yield from _iterate_parts(inner, f"{prefix}{key}.")
