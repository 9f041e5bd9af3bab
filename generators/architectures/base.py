"""What every generator here has in common: a chain of named stages.

The image is ``stage_n(... stage_1(input(z)))``. Each stage but the last is a *layer*: its output is what
`head` returns, and what `tail` continues from. Splitting the chain changes no operation, so
``tail(head(z, layer), layer, z)`` equals ``G(z)`` bit for bit. What stages need besides the output of the one
before, such as styles, is their *context*; it is made of the latent vectors anew in each call.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from copy import deepcopy
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

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

    A subclass registers its stages as children, in order, and says what the first of them is given
    (`input`). The last child makes the image and is not a layer.

    Args:
        z_dim: Length of a latent vector, 1 or more.
        settings: The keyword arguments that make the same architecture again, JSON values.
    """

    architecture: str
    """The name under which the hub knows this family."""
    beside: frozenset[str] = frozenset()
    """Children that are no stages."""
    has_w: ClassVar[bool] = False
    """Whether ``z`` is mapped to ``ws`` first, one latent vector a layer, which may be given in its place."""
    has_noise: ClassVar[bool] = False
    """Whether layers add noise, which may be given."""
    normalizes_z: ClassVar[bool] = False
    """Whether the length of ``z`` makes no difference."""

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if "__init__" in vars(cls):
            cls.__init__ = float32_factories()(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, z_dim: int, settings: Mapping[str, Any]) -> None:
        super().__init__()
        if z_dim < 1:
            raise ValueError(f"z_dim is 1 or more; got {z_dim}")
        self.z_dim = z_dim
        self.settings = dict(settings)
        self.name = self.architecture

    def input(self, z: Latent) -> Float[Tensor, "batch unit h w"]:
        """Return what the first stage is given for latent vectors ``[batch, z_dim]``."""
        return z[:, :, None, None]

    def context(self, z: Latent) -> Any:  # noqa: ARG002
        """Return what every stage is given besides the output of the one before; here nothing."""
        return None

    def stage(self, index: int, x: Float[Tensor, "batch before _ _"], context: Any) -> Float[Tensor, "batch unit h w"]:  # noqa: ARG002
        """Return the output of one stage for the output of the one before."""
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
        """What each stage returns for one sample, found by running a copy, so that this one stays as it is."""
        hooks = [module._forward_hooks for module in self.modules()]  # whoever registered them
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
        """SHA-256 of architecture, settings and weights, hexadecimal; then of tensors that are not saved, if any."""
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
        """Return the images that a layer's activations lead to.

        Args:
            activation: float32 ``[batch, unit, h, w]`` of that layer.
            layer: One of `layers`.
            z: The latent vectors, ``[batch, z_dim]``; architectures with styles carry them along.

        Returns:
            float32 ``[batch, 3, H, W]``; ``tail(head(z, layer), layer, z)`` equals ``G(z)`` bit for bit.

        Raises:
            KeyError: If there is no such layer.
            ValueError: If the shapes do not fit.
        """
        self._check_activation(activation, layer, len(z))
        position = self._position(layer)
        context = self.context_after(self._prepare_z(z), position)
        return self.run(self._place(activation), context, position + 1, len(self._stages))

    def context_after(self, z: Latent, position: int) -> Any:  # noqa: ARG002
        """Return the context as it is after the stage of that position; here the same everywhere."""
        return self.context(z)

    def run(
        self, x: Float[Tensor, "batch before _ _"], context: Any, start: int, stop: int
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the output of stage ``stop - 1`` when stage ``start`` is given ``x``."""
        for index in range(start, stop):
            x = self.stage(index, x, context)
        return x

    def add_forced_units(self, layer: str, num_units: int) -> ForcedUnits:
        """Return the stage of a layer as one that can force units, which it is from now on.

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
        """Return the stage of that name as the architecture made it, whether or not it forces units now.

        Raises:
            KeyError: If there is none.
        """
        stage = lookup(dict(self._stages), layer, "stage")
        return stage.stage if isinstance(stage, ForcedUnits) else stage

    def find_part(self, layer: str, name: str, kind: type[M]) -> M:
        """Return a module inside the stage of a layer, whether or not the stage forces units now.

        Args:
            layer: One of `layers`.
            name: Dotted name of the module inside the stage, as the architecture made it.
            kind: The class that it must have.

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
