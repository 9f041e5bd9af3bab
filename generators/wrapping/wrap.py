"""Any torch module as a generator.

A module does not reveal how to split its forward pass, so `head` runs it up to the layer, and `tail` runs it entirely
and replaces the layer's output with the given activation. Everything after the layer runs as usual, including skip
connections of the same ``z``, so ``tail(head(z, layer), layer, z)`` equals ``G(z)`` bit for bit. Outputs are read and
replaced by the one hook of `gandissect.core.hooks`, which is local to the thread's call: nothing stays on the module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Self

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from gandissect.core.hooks import tap_outputs
from gandissect.core.lookup import lookup
from gandissect.core.network_id import join_fingerprint
from gandissect.core.rows import limit_rows
from gandissect.core.sampling import check_seed
from gandissect.core.types import LayerInfo
from gandissect.storage.files import find_unsaved_tensors, hash_tensors

from ..architectures.base import LayeredGenerator
from ..architectures.forced import ForcedUnits
from ..architectures.generator_base import GeneratorBase
from ..architectures.input_pictures import InputPictures, Pictures
from .conventions import (
    Condition,
    ValueRange,
    check_arguments,
    check_images,
    check_range,
    check_runs,
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
from .layers import find_layers, iterate_parts
from .programs import load_program
from .torchscript import ScriptedModule

PROBES = 4
"""Number of samples from which the range of images is guessed."""
EXACT_SAMPLES = 2
"""Number of samples whose images enter a fingerprint."""
SCRIPT = "generators.scripted.Scripted"
"""Class name in the fingerprints of scripts, which must not change when the class moves."""


def wrap(
    module: nn.Module | Path | str,
    z_dim: int | None = None,
    layers: Sequence[str] | None = None,
    *,
    z_shape: Sequence[int] | None = None,
    inputs: Pictures | None = None,
    c: int | Condition | None = None,
    value_range: ValueRange | None = None,
    name: str | None = None,
) -> WrappedGenerator:
    """Wrap any torch module that renders images from latent vectors, or from pictures, as a generator.

    The module is run a few times to determine its inputs and outputs. It is shared, not copied, and not modified.

    Loading a file runs code from it: pass only files that you trust. TorchScript can call any of torch's operators,
    and `torch.export.load` unpickles without restriction. No other function in this package loads such files.

    Args:
        module: Module in eval mode, including results of ``torch.jit.load`` and ``torch.export.unflatten``; or the
            path of a file written by ``torch.jit.save`` or ``torch.export.save``. It is called as ``module(z)``, or
            ``module(z, c)``, with ``z [batch, z_dim]`` or, if it rejects that, ``[batch, z_dim, 1, 1]``, and must
            return images ``[batch, 3 or 1, H, W]``, or a tuple that starts with them. Gray images are repeated to
            three channels.
        z_dim: Length of a latent vector, at least 1; the product of ``z_shape`` if None.
        layers: Dotted names of modules, as in ``named_modules``. If None, all that return ``[batch, unit, h, w]``; if
            there are none, as in a multilayer perceptron, all hidden vectors ``[batch, unit]``, as grids of one cell.
        z_shape: Shape of one latent if the module takes ``[batch, *z_shape]``, such as ``(64, 4, 4)`` for noise maps.
        inputs: Pictures that the module translates, as for `Translator.on`, in [-1, 1]; float pictures are passed as
            they are. It is called with ``[batch, channel, H, W]``, and row ``i`` of `sample_z` is picture ``i``.
        c: Condition of a conditional module, the same for every image: a class index (passed as int64 ``[batch]``) or
            a vector (passed as ``[batch, length]``).
        value_range: Values of black and white in its images; if None, the best fit of [-1, 1], [0, 1] and [0, 255].
        name: Name of the generator; the path or the class name if None.

    Raises:
        FileNotFoundError: If there is no such file.
        KeyError: If a name in ``layers`` is not a module; the message names the nearest match.
        TypeError: If the object is not a torch module, or does not return images.
        ValueError: If the module is in training mode, rejects ``z``, needs ``c``, is stochastic, or lets images affect
            each other; if a module in ``layers`` is not a layer; or if a file is damaged or not a program.

    Examples:
        >>> import generators
        >>> from torch import nn
        >>> module = nn.Sequential(nn.ConvTranspose2d(8, 4, 4), nn.ReLU(), nn.ConvTranspose2d(4, 3, 4, 4), nn.Tanh())
        >>> G = generators.wrap(module.eval(), z_dim=8)
        >>> G.layers["0"]
        LayerInfo(units=4, height=4, width=4)
    """
    if isinstance(module, str | Path):
        module, name = load_program(module), name or str(module)
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch module or the path of a program; got {type(module).__name__}")
    kind = str(getattr(module, "original_name", type(module).__name__))  # the class that was scripted
    if any(getattr(part, "training", False) for part in module.modules()):
        raise ValueError(f"{kind} is in training mode; call .eval() first")
    pictures = None if inputs is None else InputPictures(inputs)
    if pictures is not None:
        if (z_dim, z_shape) != (None, None):
            raise ValueError("a module takes either latent vectors or pictures; omit z_dim and z_shape, or inputs")
        z_shape = pictures.shape
    z_dim, z_shape = parse_z_shape(z_dim, z_shape)
    check_runs(module, name or kind)
    network = ScriptedModule(module) if isinstance(module, torch.jit.ScriptModule) else module
    condition = parse_condition(c)
    check_arguments(module, condition is not None, name or kind)
    return WrappedGenerator(network, z_dim, layers, condition, value_range, name or kind, z_shape, pictures=pictures)


class WrappedGenerator(GeneratorBase):
    """A torch module as a generator, made by `wrap`.

    Attributes:
        module: The wrapped module.
        c: Condition of every image besides ``z``, or None.
        value_range: Values of black and white in the module's images.
        pictures: Pictures that it translates, or None.
        normalizes_z: Whether the length of ``z`` makes no difference, as found by a test.
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
        *,
        pictures: InputPictures | None = None,
    ) -> None:
        super().__init__()
        self.module, self.z_dim, self.name, self.pictures = module, z_dim, name, pictures
        self.register_buffer("c", c, persistent=False)
        self.training = False
        modules = {key: module for key, module in self.named_modules(remove_duplicate=False) if key}
        for layer in layers or ():
            lookup(modules, layer, "layer")
        with torch.no_grad():
            self._z_shape = self._find_z_shape([(z_dim,), (z_dim, 1, 1)] if z_shape is None else [z_shape])
            check_images(self.module, self._run_module, self._sample_probe(3), name)
            self._layers = find_layers(self, lambda count: self._run_module(self._sample_probe(count)), layers)
            if not self._layers:
                raise ValueError(
                    f"{name} has no layer that can be dissected: no visible submodule runs once per forward pass and "
                    "returns [batch, unit, h, w] (compiled or frozen modules hide their submodules)"
                )
            images = self._run_module(self._sample_probe(PROBES))
            self.image_size = (images.shape[2], images.shape[3])
            self.value_range = check_range(value_range) if value_range is not None else guess_range(images, name)
            self.normalizes_z = self.pictures is None and self._ignores_length(images)
        self.name = name if pictures is None else f"{name} on {pictures.name}"

    @property
    def layers(self) -> Mapping[str, LayerInfo]:
        """The layers in order from input to output."""
        return MappingProxyType(self._layers)

    @property
    def noise_dim(self) -> int:
        """Length of the noise in a row: all of it, or nothing where a row is a picture."""
        return self.z_dim if self.pictures is None else 0

    def on(self, inputs: Pictures) -> WrappedGenerator:
        """Return a generator of the same module on other pictures, which are checked as by `wrap`.

        Raises:
            ValueError: If the module takes latent vectors.
        """
        if self.pictures is None:
            raise ValueError(f"{self.name} takes latent vectors; wrap a module that takes pictures with inputs=")
        pictures, name = InputPictures(inputs), self.name.replace(f" on {self.pictures.name}", "", 1)
        arguments = (prod(pictures.shape), list(self._layers), self.c, self.value_range, name, pictures.shape)
        return WrappedGenerator(self.module, *arguments, pictures=pictures)

    def sample_z(self, num_samples: int, seed: int = 0, start: int = 0) -> Float32[Tensor, "batch z"]:
        """Draw standard normal latent vectors, or return the rows of consecutive pictures, whatever the seed."""
        if self.pictures is None:
            return super().sample_z(num_samples, seed, start)
        check_seed(seed)
        return self.pictures.rows(num_samples, start)

    @property
    def fingerprint(self) -> str:
        """Identifier of this network: up to four hashes, joined by hyphens.

        The first is the SHA-256 of the module's class, state dict, inputs and outputs, the only one in files of earlier
        versions. The second covers its other parameters and buffers. If it translates pictures, the next covers these.
        The last covers a few images, if they are the same on every machine (`exact_images`).
        """
        state = {key: value for key, value in self.state_dict().items() if isinstance(value, Tensor)}
        condition = None if self.c is None else self.c.tolist()
        home = type(self.module).__module__.replace(
            "generators.architectures.", "generators."
        )  # path in earlier versions
        module_class = f"{home}.{type(self.module).__qualname__}"
        kind = SCRIPT if isinstance(self.module, ScriptedModule) else module_class
        settings = {"class": kind, "z_dim": self.z_dim, "c": condition, "range": self.value_range}
        is_default = self._z_shape in ((self.z_dim,), (self.z_dim, 1, 1))
        whole = hash_tensors(state, settings if is_default else {**settings, "z_shape": self._z_shape})
        own = {"fingerprint": self.module.fingerprint} if isinstance(self.module, LayeredGenerator) else {}
        unsaved = hash_tensors(find_unsaved_tensors(self.module, state, "module."), own)  # includes the settings
        z = self.sample_z(limit_rows(self, EXACT_SAMPLES))
        levels = quantize_images(self, WrappedGenerator._run_module, z, self.value_range)
        images = () if levels is None else (hash_tensors({"images": levels}, {}),)
        pictures = () if self.pictures is None else (self.pictures.fingerprint,)
        return join_fingerprint(whole, unsaved, *pictures, *images)

    def forward(self, z: Float[Tensor, "batch z"]) -> Float32[Tensor, "batch 3 H W"]:
        """Return the images of ``z``, float32 ``[batch, 3, H, W]``, nominally in [-1, 1].

        Args:
            z: float32 ``[batch, z_dim]``, on any device.

        Raises:
            ValueError: If ``z`` has another shape or holds no floating-point numbers.
        """
        return normalize_images(self._run_module(self._prepare_z(z)), self.value_range)

    def head(self, z: Float[Tensor, "batch z"], layer: str) -> Float[Tensor, "batch unit h w"]:
        """Return the activations of a layer, without running anything after it.

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
        return reached.activation.clone().reshape(len(z), info.units, info.height, info.width)  # the module may keep it

    def tail(
        self, activation: Float[Tensor, "batch unit h w"], layer: str, z: Float[Tensor, "batch z"]
    ) -> Float32[Tensor, "batch 3 H W"]:
        """Return the images of a layer's activations, at the cost of a full forward pass.

        Args:
            activation: float32 ``[batch, unit, h, w]``, activations of the layer.
            layer: One of `layers`.
            z: float32 ``[batch, z_dim]``, for connections that bypass the layer.

        Returns:
            float32 ``[batch, 3, H, W]``; ``tail(head(z, layer), layer, z)`` equals ``G(z)`` bit for bit.

        Raises:
            KeyError: If there is no such layer.
            ValueError: If a shape does not match.
        """
        self._check_activation(activation, layer, len(z))

        def replace(output: Tensor) -> Tensor:
            return activation.to(output).reshape(output.shape).clone()  # the module may write to it

        with tap_outputs(self, {layer: replace}):
            return normalize_images(self._run_module(self._prepare_z(z)), self.value_range)

    def _copy(self) -> Self:
        """Return a copy, including the module.

        Raises:
            TypeError: If torch cannot copy the module.
        """
        try:
            return super()._copy()
        except (RuntimeError, TypeError) as error:  # e.g. the result of torch.export.unflatten
            raise TypeError(
                f"{self.name} cannot be copied ({summarize_error(error)}); edit its images instead, with "
                "generate(generator, z, [Ablation(units)])"
            ) from error

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """Yield the modules by their names in the wrapped module, and this one by the empty name."""
        seen_modules: set[nn.Module] = set() if memo is None else memo
        for name, part in (("", self), ("module", self.module), *iterate_parts(self.module)):
            if not (remove_duplicate and part in seen_modules):
                seen_modules.add(part)
                yield f"{prefix}.{name}" if prefix and name else prefix or name, part

    def add_forced_units(self, layer: str, num_units: int) -> ForcedUnits:
        """Replace the module of a layer by one that can force units, and return it."""
        module = dict(iterate_parts(self.module))[layer]
        if isinstance(module, ForcedUnits):
            return module
        forced_units = ForcedUnits(module, num_units).to(self.device).eval()
        for parent in (self.module, *(part for _, part in iterate_parts(self.module))):
            for key, child in parent._modules.items():
                if child is module:
                    parent._modules[key] = forced_units
        return forced_units

    def _run_module(self, z: Tensor) -> Tensor:
        """Return the module's images, before normalization."""
        latent = z.reshape(len(z), *self._z_shape)
        conditions = () if self.c is None else (self.c.expand(len(z), *self.c.shape),)
        return extract_images(self.module(latent, *conditions), len(z), self.name)

    def _place(self, x: Tensor) -> Tensor:
        """Return a tensor on the module's device, in float32."""
        return super()._place(x).float()

    def _sample_probe(self, count: int, start: int = 0) -> Tensor:
        if self.pictures is None:
            return self.sample_z(count, start=start).to(self.device)
        probes = [divmod(number, len(self.pictures)) for number in range(start, start + count)]
        maps = [self.pictures.maps([index]).roll(shift, 3) for shift, index in probes]  # all distinct
        return torch.cat(maps).flatten(1).to(self.device)

    def _find_z_shape(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """Return the first of several shapes of one latent that the module accepts."""
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
        other_dtypes = ", ".join(sorted(map(str, dtypes - {torch.float32})))
        remedy = (
            f"; its weights are {other_dtypes}, but z is torch.float32; call .float() first" if other_dtypes else ""
        )
        hint = remedy or explain_input(self.module) or explain_classes(self.module, self.c)
        kind = "z" if self.pictures is None else "pictures"
        raise ValueError(f"{self.name} does not take {kind} of shape {tried}{condition}{hint}") from errors[0]

    def _try_batch(self, count: int) -> Exception | None:
        """Return the error that a forward pass over ``count`` samples raises, if any."""
        try:
            self._run_module(self._sample_probe(count))
        except (RuntimeError, ValueError, IndexError, AssertionError) as error:
            return error
        return None

    def _check_batches(self) -> None:
        """Reject a module with a fixed batch size."""
        for count in (2, 3):
            if (error := self._try_batch(count)) is not None:
                raise ValueError(
                    f"{self.name} does not take batches of {count} ({summarize_error(error)}), only of another size; "
                    "trace or export it with a dynamic batch size, such as "
                    "torch.export.export(..., dynamic_shapes=...)"
                ) from error

    def _ignores_length(self, images: Tensor) -> bool:
        differs = (self._run_module(3 * self._sample_probe(PROBES)) - images).abs().max()
        return bool(differs < 1e-3 * (images[0] - images[1]).abs().max())


class _ReachedError(Exception):
    """Ends a forward pass at a layer and carries its activation."""

    activation: Tensor
