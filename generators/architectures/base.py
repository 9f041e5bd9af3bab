"""Base class of the generators in this package: a chain of named stages.

The image is ``stage_n(... stage_1(input(z)))``. Each stage but the last is a *layer*: `head` returns its output, and
`tail` continues from it. Splitting the chain changes no operation, so ``tail(head(z, layer), layer, z)`` equals
``G(z)`` bit for bit. Additional inputs of stages, such as styles, form their *context*, which every call computes from
the latent vectors.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from copy import deepcopy
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from gandissect.core.defaults import float32_factories
from gandissect.core.lookup import lookup
from gandissect.core.network_id import join_fingerprint
from gandissect.core.types import LayerInfo
from gandissect.storage.files import find_unsaved_tensors, hash_tensors

from .forced import ForcedUnits
from .generator_base import GeneratorBase, Latent

M = TypeVar("M", bound=nn.Module)


class LayeredGenerator(GeneratorBase):
    """A generator that runs its child modules one after the other.

    A subclass registers its stages as children, in order, and defines the `input` of the first. The last child renders
    the image and is not a layer.

    Args:
        z_dim: Length of a latent vector, at least 1.
        settings: Keyword arguments that reproduce the architecture, JSON values.
    """

    architecture: str
    """Name of this family in files."""
    beside: frozenset[str] = frozenset()
    """Names of the children that are not stages."""
    has_w: ClassVar[bool] = False
    """Whether ``z`` is mapped to ``ws``, one latent vector per layer, which may be passed instead of ``z``."""
    has_noise: ClassVar[bool] = False
    """Whether layers add noise, which may be passed."""
    normalizes_z: ClassVar[bool] = False
    """Whether the length of ``z`` makes no difference."""
    mixes_classes: ClassVar[bool] = False
    """Whether the class of a row may be a mixture, with weights that sum to 1."""
    classes: tuple[str, ...] = ()
    """Names of the classes that a row chooses from; empty if images have no classes."""

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if "__init__" in vars(cls):
            cls.__init__ = float32_factories()(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, z_dim: int, settings: Mapping[str, Any]) -> None:
        super().__init__()
        if z_dim < 1:
            raise ValueError(f"z_dim must be at least 1; got {z_dim}")
        self.z_dim = z_dim
        self.settings = dict(settings)
        self.name = self.architecture

    @property
    def noise_dim(self) -> int:
        """Length of the noise in a row of `sample_z`; the rest of a row is its class."""
        return self.z_dim

    def draw_rows(self, num_rows: int, rng: torch.Generator) -> Float[Tensor, "batch z"]:
        """Draw rows: standard normal noise and, if there are classes, a class drawn uniformly.

        Args:
            num_rows: Number of rows.
            rng: Source of randomness, on the CPU.
        """
        noise = torch.randn((num_rows, self.noise_dim), generator=rng, dtype=torch.float32, device="cpu")
        if not self.classes:
            return noise
        return self.join_row(noise, torch.randint(len(self.classes), (num_rows,), generator=rng, device="cpu"))

    def join_row(
        self, noise: Float[Tensor, "batch noise"], classes: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch z"]:
        """Return rows of noise and class, ``[batch, z_dim]``.

        Args:
            noise: float32 ``[batch, noise_dim]``.
            classes: Index of each row's class, int64 ``[batch]``.
        """
        return torch.cat([noise, functional.one_hot(classes, len(self.classes)).to(noise)], dim=1)

    def input(self, z: Latent) -> Float[Tensor, "batch unit h w"]:
        """Return the input of the first stage for latent vectors ``[batch, z_dim]``."""
        return z[:, :, None, None]

    def context(self, z: Latent) -> Any:  # noqa: ARG002
        """Return the additional input of every stage; None by default."""
        return None

    def stage(self, index: int, x: Float[Tensor, "batch before _ _"], context: Any) -> Float[Tensor, "batch unit h w"]:  # noqa: ARG002
        """Return the output of a stage for the output of the previous one."""
        output: Tensor = self._stages[index][1](x)
        return output

    @property
    def layers(self) -> Mapping[str, LayerInfo]:
        """The layers in order from input to output."""
        return MappingProxyType({name: self._shapes[name] for name, _ in self._stages[:-1]})

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of an image."""
        image = self._shapes[self._stages[-1][0]]
        return image.height, image.width

    @cached_property
    def _shapes(self) -> dict[str, LayerInfo]:
        """Output shape of each stage for one sample, found by running a copy."""
        hooks = [module._forward_hooks for module in self.modules()]  # must not run for the probe
        unhooked: dict[int, Any] = {id(registered): OrderedDict() for registered in hooks}
        chain = deepcopy(self, unhooked).eval()
        z = torch.zeros(1, self.z_dim, dtype=torch.float32, device=self.device)
        shapes = {}
        with torch.no_grad():
            x, context = chain.input(z), chain.context(z)
            for index, (name, _) in enumerate(chain._stages):
                x = chain.stage(index, x, context)
                shapes[name] = LayerInfo(*x.shape[1:])
        return shapes

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of architecture, settings and weights; then of tensors that are not saved, if any."""
        state = self.state_dict()
        whole = hash_tensors(state, {"architecture": self.architecture, "settings": self.settings})
        unsaved = find_unsaved_tensors(self, state)
        return join_fingerprint(whole, *([hash_tensors(unsaved, {})] if unsaved else []))

    def forward(self, z: Latent) -> Float[Tensor, "batch 3 H W"]:
        """Return the images of ``z``.

        Args:
            z: float32 ``[batch, z_dim]``, on any device.

        Returns:
            float32 ``[batch, 3, H, W]``, nominally in [-1, 1], on the generator's device.

        Raises:
            ValueError: If ``z`` has another shape or holds no floating-point numbers.
        """
        latent = self._prepare_z(z)
        return self.run(self.input(latent), self.context(latent), 0, len(self._stages))

    def head(self, z: Latent, layer: str) -> Float[Tensor, "batch unit h w"]:
        """Return the activations of a layer.

        Args:
            z: float32 ``[batch, z_dim]``.
            layer: One of `layers`.

        Returns:
            float32 ``[batch, unit, h, w]``.

        Raises:
            KeyError: If there is no such layer.
            ValueError: If ``z`` has another shape.
        """
        stop, latent = self._position(layer) + 1, self._prepare_z(z)
        return self.run(self.input(latent), self.context(latent), 0, stop)

    def tail(self, activation: Float[Tensor, "batch unit h w"], layer: str, z: Latent) -> Float[Tensor, "batch 3 H W"]:
        """Return the images of a layer's activations.

        Args:
            activation: float32 ``[batch, unit, h, w]``, activations of the layer.
            layer: One of `layers`.
            z: float32 ``[batch, z_dim]``, from which later stages take their styles, if they have any.

        Returns:
            float32 ``[batch, 3, H, W]``; ``tail(head(z, layer), layer, z)`` equals ``G(z)`` bit for bit.

        Raises:
            KeyError: If there is no such layer.
            ValueError: If a shape does not match.
        """
        self._check_activation(activation, layer, len(z))
        position = self._position(layer)
        context = self.context_after(self._prepare_z(z), position)
        return self.run(self._place(activation), context, position + 1, len(self._stages))

    def context_after(self, z: Latent, position: int) -> Any:  # noqa: ARG002
        """Return the context after the stage at ``position``; by default the same everywhere."""
        return self.context(z)

    def run(
        self, x: Float[Tensor, "batch before _ _"], context: Any, start: int, stop: int
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the output of stage ``stop - 1`` if the input of stage ``start`` is ``x``."""
        for index in range(start, stop):
            x = self.stage(index, x, context)
        return x

    def add_forced_units(self, layer: str, num_units: int) -> ForcedUnits:
        """Replace the stage of a layer by one that can force units, and return it.

        Raises:
            KeyError: If there is no such layer.
        """
        module = self._stages[self._position(layer)][1]
        if not isinstance(module, ForcedUnits):
            module = ForcedUnits(module, num_units).to(self.device).train(self.training)
            setattr(self, layer, module)
        return module

    @property
    def _stages(self) -> list[tuple[str, nn.Module]]:
        return [(name, child) for name, child in self.named_children() if name not in self.beside]

    def find_stage(self, layer: str) -> nn.Module:
        """Return the stage of a layer, without the wrapper that forces units.

        Raises:
            KeyError: If there is no such stage.
        """
        stage = lookup(dict(self._stages), layer, "stage")
        return stage.stage if isinstance(stage, ForcedUnits) else stage

    def find_part(self, layer: str, name: str, kind: type[M]) -> M:
        """Return a module inside the stage of a layer, whether or not the stage forces units.

        Args:
            layer: One of `layers`.
            name: Dotted name of the module inside the stage.
            kind: Required class of the module.

        Raises:
            KeyError: If there is no such layer.
            AttributeError: If the stage has no such module.
            TypeError: If the module is of another class.
        """
        part = self.find_stage(layer).get_submodule(name)
        if not isinstance(part, kind):
            raise TypeError(f"{layer}.{name} must be a {kind.__name__}; got a {type(part).__name__}")
        return part

    def _position(self, layer: str) -> int:
        return lookup({name: index for index, (name, _) in enumerate(self._stages[:-1])}, layer, "layer")
